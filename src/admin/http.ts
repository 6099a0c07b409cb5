import { BlockList, isIP } from 'node:net'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { type FastifyError, type FastifyInstance, type FastifyRequest, fastify } from 'fastify'
import type { Registry } from 'prom-client'
import { systemClock } from '../clock.ts'
import { type Endpoint, formatEndpoint } from '../config/address.ts'
import { SilopathError } from '../errors.ts'
import type { Logger } from '../log.ts'
import type { SessionRecord, SessionStore } from '../store/session-store.ts'
import { addSiloRoutes, type SiloAdmin, siloPaths } from './silo.ts'

/** `starting` until every listener accepts, `draining` from the signal to stop on. */
export type Readiness = 'starting' | 'ready' | 'draining'

/** What `GET /api/status` answers. */
export interface AdminStatus {
  readonly version: string
  readonly uptime_seconds: number
  readonly lanes: number
  /** Open connections. */
  readonly connections: number
  /** URLs of the listeners. */
  readonly listeners: readonly string[]
}

export interface AdminOptions {
  readonly listen: Endpoint
  readonly registry: Registry
  readonly sessions: SessionStore
  /** Null: messages for users who are away are not stored here. */
  readonly silo: SiloAdmin | null
  readonly readiness: () => Readiness
  readonly status: () => AdminStatus
  readonly log: Logger
}

export interface Admin {
  /** Where it listens, `http://host:port`. */
  readonly url: string
  /** Stops listening and ends open requests. */
  close(): Promise<void>
}

const paths = ['/metrics', '/healthz', '/readyz', '/api/status', '/api/sessions']

const sessionsDefault = 1_000
const sessionsMax = 10_000
/** Records read in one turn of the event loop: the primary, which serves this, also serves every socket. */
const sessionsPerTurn = 500
/** Only what is imported into the silo is longer. */
const bodyOctetsMax = 1_024
const connectionsMax = 100
const requestTimeoutMs = 10_000

const loopback = new BlockList()
loopback.addSubnet('127.0.0.0', 8, 'ipv4')
loopback.addAddress('::1', 'ipv6')

/**
 * Starts the operator's HTTP server: metrics, health, what goes on, and the silo. It shows no secret, but messages.
 * @throws SilopathError LISTEN_FAILED
 */
export async function startAdmin(options: AdminOptions): Promise<Admin> {
  const app = fastify({ bodyLimit: bodyOctetsMax, requestTimeout: requestTimeoutMs, forceCloseConnections: true })
  app.server.maxConnections = connectionsMax
  refuseForeignHosts(app)
  addRoutes(app, options)
  answerErrors(app, options)
  if (options.silo) addSiloRoutes(app, { silo: options.silo, clock: systemClock, log: options.log })
  try {
    const url = await app.listen({ host: options.listen.host, port: options.listen.port })
    return { url, close: () => app.close() }
  } catch (cause) {
    await app.close()
    throw new SilopathError(
      'LISTEN_FAILED',
      `cannot listen on admin.listen ${formatEndpoint(options.listen)}: ${cause instanceof Error ? cause.message : String(cause)}. ` +
        'Set admin.listen to host:port with an address of this machine and a port that is free.',
      { cause },
    )
  }
}

function addRoutes(app: FastifyInstance, { registry, sessions, readiness, status }: AdminOptions): void {
  app.get('/metrics', async (_request, reply) => reply.type(registry.contentType).send(await registry.metrics()))
  app.get('/healthz', () => ({ status: 'ok' }))
  app.get('/readyz', (_request, reply) => {
    const state = readiness()
    return reply.code(state === 'ready' ? 200 : 503).send({ status: state })
  })
  app.get('/api/status', () => status())
  app.get<{ Querystring: { limit: number } }>(
    '/api/sessions',
    {
      schema: {
        querystring: {
          type: 'object',
          properties: { limit: { type: 'integer', minimum: 1, maximum: sessionsMax, default: sessionsDefault } },
        },
      },
    },
    ({ query }) => listSessions(sessions, query.limit),
  )
}

async function listSessions(store: SessionStore, limit: number) {
  const sessions = []
  for (const record of store.list({ limit: limit + 1 })) {
    if (sessions.length === limit) return { sessions, truncated: true }
    sessions.push(sessionOf(record))
    if (sessions.length % sessionsPerTurn === 0) await nextTurn()
  }
  return { sessions, truncated: false }
}

function sessionOf(record: SessionRecord) {
  return {
    id: record.id,
    username: record.username,
    connection: record.connection,
    created_at: new Date(record.createdAt).toISOString(),
    expires_at: new Date(record.expiresAt).toISOString(),
    frames_from: record.framesFrom,
    frames_to: record.framesTo,
    octets_from: record.octetsFrom,
    octets_to: record.octetsTo,
  }
}

function answerErrors(app: FastifyInstance, { log, silo }: AdminOptions): void {
  const known = silo ? [...paths, ...siloPaths] : paths
  app.setNotFoundHandler((request, reply) =>
    reply.code(404).send({ error: `no ${request.method} ${request.url.split('?')[0]} here`, paths: known }),
  )
  app.setErrorHandler<FastifyError>((error, request, reply) => {
    const status = error.statusCode ?? 500
    if (status >= 400 && status < 500) return reply.code(status).send({ error: error.message })
    log.error({ err: error, method: request.method, path: request.routeOptions.url }, 'admin request failed')
    return reply.code(500).send({ error: 'internal error, see the log' })
  })
}

/**
 * A web page can give its own name the address 127.0.0.1 and so let the operator's browser read from here (DNS
 * rebinding); such a request still carries the page's name as Host. Behind a public address names are the operator's own.
 */
function refuseForeignHosts(app: FastifyInstance): void {
  const onLoopback = () => app.addresses().every((bound) => typeof bound !== 'string' && isLoopback(bound.address))
  app.addHook('onRequest', async (request, reply) => {
    if (onLoopback() && !namesLoopback(request)) {
      return reply.code(421).send({ error: 'this server is for localhost, 127.0.0.1 and [::1] only' })
    }
  })
}

function namesLoopback({ headers }: FastifyRequest): boolean {
  const host = (headers.host ?? '').replace(/:\d*$/, '').replace(/^\[(.*)\]$/, '$1')
  return host.toLowerCase() === 'localhost' || isLoopback(host)
}

function isLoopback(address: string): boolean {
  const version = isIP(address)
  return version !== 0 && loopback.check(address, version === 6 ? 'ipv6' : 'ipv4')
}
