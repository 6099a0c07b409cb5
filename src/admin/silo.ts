import { Buffer } from 'node:buffer'
import { Readable } from 'node:stream'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'
import type { Clock } from '../clock.ts'
import type { Result } from '../errors.ts'
import type { MessageId } from '../ids.ts'
import type { Logger } from '../log.ts'
import { ColumnNames } from '../silo/table/column-names.ts'
import { importLines, importOctetsMax } from '../silo/table/import.ts'
import { jsonBody, jsonRow } from '../silo/table/json.ts'
import { namedOwner, rowOfStored } from '../silo/table.ts'
import type { SiloListing, SiloStore, StoredMessage } from '../store/silo-store.ts'

/** What operators may ask of a running silo. */
export interface SiloAdmin {
  readonly store: SiloStore
  /** Delivers a message again now: a dead letter too, or one that waits for its time. */
  resend(id: MessageId): Promise<'queued' | 'unknown' | 'unavailable'>
  /** Removes all that has expired, telling whoever is to be told of it (C-9); how many messages that were. */
  expire(): Promise<Result<number, 'unavailable'>>
  /** By the names of SILO-60. */
  statistics(): Readonly<Record<string, number>>
}

export interface SiloRoutesOptions {
  readonly silo: SiloAdmin
  readonly clock: Clock
  readonly log: Logger
}

/** Those that can be read without more. */
export const siloPaths = ['/api/silo', '/api/silo/messages', '/api/silo/export'] as const

const listDefault = 100
const listMax = 1_000
/** Messages read in one turn of the event loop: the primary, which serves this, also serves every socket. */
const messagesPerTurn = 50
const ownNames = new ColumnNames()

interface Listed {
  readonly owner?: string
  readonly dead: boolean
}

const listed = {
  owner: { type: 'string', maxLength: 1_024 },
  dead: { type: 'boolean', default: false },
} as const
const identified = {
  params: { type: 'object', properties: { id: { type: 'integer', minimum: 1, maximum: Number.MAX_SAFE_INTEGER } } },
} as const
/** Exactly one of these, and nothing else: what is mistaken for less removes more. */
const purge = z.union([
  z.strictObject({ owner: z.string().max(1_024), dead: z.literal(true).optional() }),
  z.strictObject({ dead: z.literal(true) }),
  z.strictObject({ expired: z.literal(true) }),
])

/** Adds what operators can do with stored messages. Lists show no bodies: those are personal. */
export function addSiloRoutes(app: FastifyInstance, options: SiloRoutesOptions): void {
  // With its hooks and its content type these routes stay among themselves.
  void app.register(async (scope) => {
    refuseForgeries(scope)
    addReadingRoutes(scope, options)
    addChangingRoutes(scope, options)
    addImportRoute(scope, options)
  })
}

/**
 * A web page can make the operator's browser send simple requests here, though not read what is answered. For a header of
 * ours, and for these content types, the browser would ask us first, and we do not agree.
 */
function refuseForgeries(app: FastifyInstance): void {
  app.addHook('onRequest', async ({ method, headers }, reply) => {
    if (method === 'GET' || method === 'HEAD' || headers['x-silopath'] === '1') return
    const type = headers['content-type']?.split(';')[0]?.trim().toLowerCase()
    if (type === 'application/json' || type === 'application/x-ndjson') return
    return reply.code(403).send({ error: 'changes need the header X-Silopath: 1, or a JSON content type' })
  })
}

function addReadingRoutes(app: FastifyInstance, { silo, log }: SiloRoutesOptions): void {
  const { store } = silo
  app.get('/api/silo', () => ({ ...store.counts(), statistics: silo.statistics() }))

  app.get<{ Querystring: Listed & { after?: number; limit: number } }>(
    '/api/silo/messages',
    {
      schema: {
        querystring: {
          type: 'object',
          properties: {
            ...listed,
            after: { type: 'integer', minimum: 0, maximum: Number.MAX_SAFE_INTEGER },
            limit: { type: 'integer', minimum: 1, maximum: listMax, default: listDefault },
          },
        },
      },
    },
    async ({ query }, reply) => {
      const owner = ownerAsked(query.owner, reply)
      if (owner === undefined) return reply
      const messages = []
      const after = (query.after ?? null) as MessageId | null
      for await (const slice of slicesOf(store, { owner, dead: query.dead, after })) {
        for (const message of slice) {
          if (messages.length === query.limit) return { messages, next: messages.at(-1)!.id }
          messages.push(summaryOf(message))
        }
      }
      return { messages, next: null }
    },
  )

  app.get<{ Params: { id: MessageId } }>('/api/silo/messages/:id', { schema: identified }, ({ params }, reply) => {
    const stored = store.get(params.id)
    return stored === null ? unknown(reply, params.id) : wholeOf(stored)
  })

  app.get<{ Querystring: Listed }>(
    '/api/silo/export',
    { schema: { querystring: { type: 'object', properties: listed } } },
    (request, reply) => {
      const owner = ownerAsked(request.query.owner, reply)
      if (owner === undefined) return reply
      const lines = exportLines(store, { owner, dead: request.query.dead, after: null })
      const body = Readable.from(lines, { objectMode: false })
      body.on('error', (err) => log.error({ err }, 'export of the silo failed'))
      return reply.type('application/x-ndjson').send(body)
    },
  )
}

function addChangingRoutes(app: FastifyInstance, { silo }: SiloRoutesOptions): void {
  const { store } = silo
  app.delete<{ Params: { id: MessageId } }>(
    '/api/silo/messages/:id',
    { schema: identified },
    async ({ params }, reply) => {
      const removed = await store.remove([params.id])
      if (!removed.ok) return unavailable(reply, 0)
      return removed.value === 0 ? unknown(reply, params.id) : { removed: removed.value }
    },
  )

  app.post<{ Params: { id: MessageId } }>(
    '/api/silo/messages/:id/resend',
    { schema: identified },
    async ({ params }, reply) => {
      const outcome = await silo.resend(params.id)
      if (outcome === 'unknown') return unknown(reply, params.id)
      if (outcome === 'unavailable') return unavailable(reply, 0)
      return reply.code(202).send({ queued: true })
    },
  )

  app.post('/api/silo/purge', async ({ body }, reply) => {
    const asked = purge.safeParse(body)
    if (!asked.success) return reply.code(400).send({ error: 'purge takes owner, dead, both of them, or expired' })
    if ('expired' in asked.data) {
      const removed = await silo.expire()
      return removed.ok ? { removed: removed.value } : unavailable(reply, 0)
    }
    const owner = ownerAsked('owner' in asked.data ? asked.data.owner : undefined, reply)
    if (owner === undefined) return reply
    let removed = 0
    // Of an owner everything, unless it is the dead letters that are asked for.
    for (const dead of asked.data.dead ? [true] : [false, true]) {
      for await (const slice of slicesOf(store, { owner, dead, after: null })) {
        const gone = await store.remove(slice.map(({ id }) => id))
        if (!gone.ok) return unavailable(reply, removed)
        removed += gone.value
      }
    }
    return { removed }
  })
}

function addImportRoute(app: FastifyInstance, { silo, clock }: SiloRoutesOptions): void {
  app.addContentTypeParser('application/x-ndjson', { parseAs: 'buffer' }, (_request, body, done) => done(null, body))
  app.post('/api/silo/import', { bodyLimit: importOctetsMax }, async ({ body }: FastifyRequest, reply) => {
    if (!Buffer.isBuffer(body)) return reply.code(415).send({ error: 'rows come as application/x-ndjson' })
    return importLines(silo.store, body, clock.now())
  })
}

/** Null: everybody's. Undefined: no owner can be called that, which has been answered. */
function ownerAsked(named: string | undefined, reply: FastifyReply): string | null | undefined {
  if (named === undefined) return null
  const owner = namedOwner(named)
  if (owner !== null) return owner
  void reply.code(400).send({ error: 'owner is no address such as bob@example.org or sip:bob@example.org' })
  return undefined
}

function unknown(reply: FastifyReply, id: MessageId) {
  return reply.code(404).send({ error: `there is no message ${id}` })
}

function unavailable(reply: FastifyReply, removed: number) {
  return reply.code(503).send({ error: 'the disk failed, see the log', removed })
}

/** All messages of the listing, some at a time. */
async function* slicesOf(store: SiloStore, listing: Omit<SiloListing, 'limit'>) {
  for (let after = listing.after; ; await nextTurn()) {
    const slice = store.list({ ...listing, after, limit: messagesPerTurn })
    if (slice.length > 0) yield slice
    if (slice.length < messagesPerTurn) return
    after = slice.at(-1)!.id
  }
}

async function* exportLines(store: SiloStore, listing: Omit<SiloListing, 'limit'>): AsyncGenerator<Buffer> {
  for await (const slice of slicesOf(store, listing))
    yield Buffer.from(slice.map((stored) => `${jsonRow(rowOfStored(stored), ownNames)}\n`).join(''))
}

function summaryOf({ id, message, attempts, status, reason }: StoredMessage) {
  return {
    id,
    owner: message.owner,
    src_addr: message.srcAddr,
    dst_addr: message.dstAddr,
    ctype: message.contentType,
    octets: message.body.length,
    inc_time: new Date(message.incTime).toISOString(),
    exp_time: new Date(message.expTime).toISOString(),
    snd_time: message.sndTime === 0 ? null : new Date(message.sndTime).toISOString(),
    status,
    attempts,
    reason,
  }
}

function wholeOf(stored: StoredMessage) {
  const { message } = stored
  return {
    ...summaryOf(stored),
    message_id: message.messageId,
    callid: message.callId,
    extra_hdrs: message.extraHeaders,
    body: jsonBody(Buffer.from(message.body.buffer, message.body.byteOffset, message.body.byteLength)),
  }
}
