// What operators do with the messages that a running server stores for users who are away.
import { z } from 'zod'
import { printable } from '../log.ts'
import { askAdminJson } from './admin-client.ts'
import { type TextColumn, textTable, toSeconds } from './text-table.ts'

const summary = z.object({
  id: z.number(),
  owner: z.string(),
  src_addr: z.string(),
  dst_addr: z.string(),
  ctype: z.string(),
  octets: z.number(),
  inc_time: z.string(),
  exp_time: z.string(),
  snd_time: z.string().nullable(),
  status: z.number(),
  attempts: z.number(),
  reason: z.string().nullable(),
})
const listing = z.object({ messages: z.array(summary), next: z.number().nullable() })
const whole = summary.extend({
  message_id: z.string(),
  callid: z.string(),
  extra_hdrs: z.string(),
  body: z.union([z.string(), z.object({ base64: z.string() })]),
})
const removal = z.object({ removed: z.number() })
const queueing = z.object({ queued: z.literal(true) })

type Summary = z.output<typeof summary>

export interface ListOptions {
  readonly owner?: string
  readonly dead?: true
  readonly after?: number
  readonly limit: number
}

/** Messages that wait, or dead letters; gives the text to print. */
export async function listMessages(admin: URL, options: ListOptions, format: 'table' | 'json'): Promise<string> {
  const query = {
    owner: options.owner ?? null,
    dead: options.dead ?? null,
    after: options.after ?? null,
    limit: options.limit,
  }
  const list = await askAdminJson(admin, '/api/silo/messages', listing, { query })
  if (format === 'json') return `${JSON.stringify(list, null, 2)}\n`
  if (list.messages.length === 0) return 'no messages\n'
  const more = list.next === null ? '' : `There are more: --after ${list.next} shows them.\n`
  return textTable(columns, list.messages) + more
}

const columns: readonly TextColumn<Summary>[] = [
  ['ID', ({ id }) => id],
  ['OWNER', ({ owner }) => owner],
  ['FROM', ({ src_addr }) => src_addr],
  ['TYPE', ({ ctype }) => ctype],
  ['OCTETS', ({ octets }) => octets],
  ['STORED', ({ inc_time }) => toSeconds(inc_time)],
  ['EXPIRES', ({ exp_time }) => toSeconds(exp_time)],
  ['STATUS', statusOf],
]

/** See K-30. */
function statusOf({ status, reason, attempts, snd_time }: Summary): string {
  const tried = attempts > 0 ? `, tried ${attempts} times` : ''
  if (status === 3) return `failed${tried}${reason === null ? '' : `: ${reason}`}`
  if (status === 1) return `in flight${tried}`
  return `${snd_time === null ? 'queued' : `reminder of ${toSeconds(snd_time)}`}${tried}`
}

/** One message with its body. */
export async function showMessage(admin: URL, id: number, format: 'text' | 'json'): Promise<string> {
  const message = await askAdminJson(admin, `/api/silo/messages/${id}`, whole)
  if (format === 'json') return `${JSON.stringify(message, null, 2)}\n`
  const lines = [
    ['id', String(message.id)],
    ['owner', message.owner],
    ['from', message.src_addr],
    ['to', message.dst_addr],
    ['stored', message.inc_time],
    ['expires', message.exp_time],
    ['status', statusOf(message)],
    ['Message-ID', message.message_id],
    ['Call-ID', message.callid],
    ['type', message.ctype],
    ...message.extra_hdrs.split('\r\n').map((line) => ['header', line]),
  ]
  const head = lines.filter(([, value]) => value !== '').map(([name, value]) => `${name}: ${value}`)
  const body =
    typeof message.body === 'string'
      ? message.body.split(/\r?\n/)
      : [`(${message.octets} octets that are no text: --json has them in base64)`]
  return [...head, '', ...body].map((line) => `${printable(line)}\n`).join('')
}

/** Tells of each message as soon as it is gone. */
export async function deleteMessages(admin: URL, ids: readonly number[], tell: (line: string) => void): Promise<void> {
  for (const id of ids) {
    await askAdminJson(admin, `/api/silo/messages/${id}`, removal, { method: 'DELETE' })
    tell(`deleted ${id}\n`)
  }
}

/** Delivers messages again, dead letters too. */
export async function resendMessages(admin: URL, ids: readonly number[], tell: (line: string) => void): Promise<void> {
  for (const id of ids) {
    await askAdminJson(admin, `/api/silo/messages/${id}/resend`, queueing, { method: 'POST' })
    tell(`queued ${id}\n`)
  }
}

/** What is to be removed: everything, or all dead letters, of one owner or of all; or what has expired. */
export interface PurgeOptions {
  readonly owner?: string
  readonly expired?: true
  readonly dead?: true
}

export async function purgeMessages(admin: URL, { owner, expired, dead }: PurgeOptions): Promise<string> {
  const { removed } = await askAdminJson(admin, '/api/silo/purge', removal, {
    method: 'POST',
    json: { owner, expired, dead },
    timeoutMs: purgeTimeoutMs,
  })
  return `removed ${removed} messages\n`
}

/** Millions may have to go. */
const purgeTimeoutMs = 300_000
