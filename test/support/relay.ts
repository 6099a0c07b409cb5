import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, onTestFinished } from 'vitest'
import type { Ticker } from '../../src/clock.ts'
import { formatProblems, parseConfig } from '../../src/config/load.ts'
import { createLogger } from '../../src/log.ts'
import { defaultRouting } from '../../src/routing/default-routing.ts'
import type { Routing } from '../../src/routing/routing.ts'
import { type Server, startServer } from '../../src/server.ts'
import { type AuthOutcome, type AuthRequest, connect, type MsrpClient, type ReceivedResponse } from './msrp-client.ts'

/** The users every relay of the tests knows, with their passwords. */
export const passwords = { alice: 'wonderland', bob: 'builder', mallory: 'mischief' } as const
export type Username = keyof typeof passwords

interface Section {
  readonly [key: string]: unknown
}

export interface RelayOptions {
  /** Config keys, section by section, on top of the tests' own. */
  readonly config?: Section
  /** Moves time when there are no workers; the system's unless given. */
  readonly clock?: Ticker
  /** 0 unless given. */
  readonly workers?: number
  /** The relay's own unless given. */
  readonly routing?: Routing
  /** Left in place when the relay is closed; a folder of its own, which goes, unless given. */
  readonly dataDir?: string
  /** No other test gets this relay: the test closes it, or looks at what it does from its start on. */
  readonly own?: boolean
}

/** The ways to run a relay, which must not be told apart: a case of `describe.each`. */
export const setups: readonly { readonly setup: string; readonly how: RelayOptions }[] = [
  { setup: 'no worker', how: { workers: 0 } },
  // An object of the operator's own: frames pass the routing one by one, without the short cuts of the default.
  { setup: 'no worker, own routing', how: { workers: 0, routing: { ...defaultRouting } } },
  { setup: '1 worker', how: { workers: 1 } },
  { setup: '2 workers', how: { workers: 2 } },
]

/** One lane, and several that hand over to each other: enough where the routing has no say. */
export const laneSetups = [setups[0]!, setups[3]!]

/** The setups in which time is the test's. */
export const clockedSetups = setups.filter(({ how }) => how.workers === 0)

/** A client that has a session. */
export interface Endpoint {
  readonly client: MsrpClient
  /** Our URI for it, from Use-Path. */
  readonly relayUri: string
  readonly uri: string
  /** What the other side puts in To-Path. */
  readonly path: readonly string[]
}

/** A server, and what it has logged, a line of JSON each. */
interface Running {
  readonly server: Server
  readonly log: readonly string[]
  readonly stop: () => Promise<void>
}

/** A relay as one test sees it: as if it had just started. */
export class Relay {
  readonly server: Server
  readonly port: number
  readonly #running: Running
  readonly #logStart: number
  /** Counters as they stood when the test got the relay. */
  readonly #earlier: ReadonlyMap<string, number>
  readonly #clients: MsrpClient[] = []

  constructor(running: Running, earlier: ReadonlyMap<string, number>) {
    this.#running = running
    this.#earlier = earlier
    this.#logStart = running.log.length
    this.server = running.server
    this.port = running.server.listeners[0]!.port
  }

  /** What the relay has logged for this test. */
  get log(): readonly string[] {
    return this.#running.log.slice(this.#logStart)
  }

  /** A URI at our listener: of the relay itself, or with a session-id. */
  uri(sessionId?: string, host = '127.0.0.1'): string {
    return `msrp://${host}:${this.port}${sessionId === undefined ? '' : `/${sessionId}`};tcp`
  }

  /** A connection nobody is authorised on. */
  async connect(): Promise<MsrpClient> {
    const client = await connect(this.port)
    this.#clients.push(client)
    return client
  }

  /** A client with a session, on a connection of its own unless given. */
  async session(
    username: Username,
    { client, ...request }: Partial<AuthRequest> & { client?: MsrpClient } = {},
  ): Promise<Endpoint> {
    const own = client ?? (await this.connect())
    const { final, usePath } = await this.auth(own, username, request)
    expect(final.octets.toString()).toMatch(/^MSRP \S+ 200 /)
    return { client: own, relayUri: usePath[0]!, uri: own.uri, path: [...usePath, own.uri] }
  }

  auth(client: MsrpClient, username: Username, request: Partial<AuthRequest> = {}): Promise<AuthOutcome> {
    return client.auth({ username, password: passwords[username], ...request })
  }

  /** Value of a metric: the sum of its series with these labels; of a counter, what this test has added. */
  async metric(name: string, labels: Readonly<Record<string, string>> = {}): Promise<number> {
    const all = await seriesOf(this.server)
    const wanted = Object.entries(labels).map(([label, value]) => `${label}="${value}"`)
    const series = [...all.keys()].filter((key) => key === name || key.startsWith(`${name}{`))
    expect(series, `metric ${name}`).not.toEqual([])
    const chosen = series.filter((key) => wanted.every((label) => key.includes(label)))
    const earlier = (key: string) => (name.endsWith('_total') ? (this.#earlier.get(key) ?? 0) : 0)
    return chosen.reduce((sum, key) => sum + all.get(key)! - earlier(key), 0)
  }

  admin(path: string): Promise<Response> {
    const { adminUrl } = this.server
    if (adminUrl === null) throw new Error('this relay has no admin server')
    return fetch(new URL(path, adminUrl))
  }

  /** Closes the test's clients. */
  async leave(): Promise<void> {
    await Promise.all(this.#clients.map((client) => client.close()))
  }
}

/** Relays that one test after the other uses, those used last at the end. More than a few at once would be slow. */
const shared = new Map<string, Running>()
const sharedMax = 3

afterAll(async () => {
  for (const { stop } of shared.values()) await stop()
})

/**
 * A relay on a free port, as if it had just started. Without a clock of its own it is one that earlier tests of the
 * file have used, if they asked for the same, and no connection of theirs is left.
 */
export async function startRelay(options: RelayOptions = {}): Promise<Relay> {
  const { config, workers, routing } = options
  if (options.own === true || options.clock !== undefined || options.dataDir !== undefined || config?.admin === false) {
    const running = await start(options)
    onTestFinished(running.stop)
    const relay = new Relay(running, new Map())
    onTestFinished(() => relay.leave())
    return relay
  }
  const key = JSON.stringify([config, workers, routing !== undefined])
  const running = shared.get(key) ?? (await start(options))
  shared.delete(key)
  shared.set(key, running)
  for (const [oldest, { stop }] of [...shared].slice(0, -sharedMax)) {
    shared.delete(oldest)
    await stop()
  }
  const relay = new Relay(running, await seriesOf(running.server))
  onTestFinished(async () => {
    await relay.leave()
    await eventually(() => relay.metric('silopath_connections')).toBe(0)
  })
  return relay
}

async function start(options: RelayOptions): Promise<Running> {
  const folder = await mkdtemp(join(tmpdir(), 'silopath-'))
  const log: string[] = []
  const logger = createLogger('trace', 'json', { write: (line) => log.push(line) })
  const { clock, routing } = options
  const server = await startServer(configOf(options, folder), {
    log: logger,
    ...(clock && { clock }),
    ...(routing && { routing }),
  })
  const stop = async () => {
    await server.close()
    await rm(folder, { recursive: true, force: true })
  }
  return { server, log, stop }
}

/** Every series of GET /metrics, with its value. */
export async function seriesOf({ adminUrl }: Server): Promise<Map<string, number>> {
  const text = await (await fetch(new URL('/metrics', adminUrl ?? undefined))).text()
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  return new Map(
    lines.map((line) => {
      const at = line.lastIndexOf(' ')
      return [line.slice(0, at), Number(line.slice(at))]
    }),
  )
}

/** An expectation that may take a while: gauges and session records are refreshed about once a second. */
export function eventually<T>(probe: () => T | Promise<T>) {
  return expect.poll(probe, { timeout: 5_000 })
}

/** Sees to it that everything the client has sent so far is dealt with: a keep-alive to its own session comes back. */
export function settle({ client, relayUri }: Endpoint): Promise<ReceivedResponse> {
  return client.transact({ method: 'SEND', toPath: relayUri })
}

/** A password of each user, one plain listener, everything else as it comes. */
function configOf({ config = {}, workers = 0, dataDir }: RelayOptions, folder: string) {
  const { auth = {}, ...sections } = config
  const text = JSON.stringify({
    data_dir: dataDir ?? folder,
    workers,
    memory_mib: 8,
    listen: [{ url: 'msrp://127.0.0.1:0' }],
    domains: ['relay.test'],
    admin: { listen: '127.0.0.1:0' },
    auth: {
      users: Object.entries(passwords).map(([username, password]) => ({ username, password })),
      ...(auth as Section),
    },
    ...sections,
  })
  const parsed = parseConfig(text, join(folder, 'test.yaml'))
  if (!parsed.ok) throw new Error(formatProblems(parsed.error))
  return parsed.value
}
