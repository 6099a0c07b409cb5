import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { generate } from 'selfsigned'
import { afterAll, expect, onTestFinished } from 'vitest'
import type { Ticker } from '../../src/clock.ts'
import { formatProblems, parseConfig } from '../../src/config/load.ts'
import type { Config } from '../../src/config/schema.ts'
import { createLogger } from '../../src/log.ts'
import { type Server, startServer } from '../../src/server.ts'
import { seriesOf } from './relay.ts'
import { type AgentOptions, type RegisterOptions, SipAgent } from './sip-agent.ts'
import type { Address, TlsFiles, Transport } from './sip-agent-channel.ts'
import { token } from './sip-agent-message.ts'

export { eventually } from './relay.ts'

export const sipDomain = 'sip.test'
export const transports: readonly Transport[] = ['udp', 'tcp', 'tls', 'ws', 'wss']
/** Those where messages travel in order on a connection. */
export const connected: readonly Transport[] = ['tcp', 'tls', 'ws', 'wss']

/** The users every server of the tests knows. */
const users = ['alice', 'bob', 'carol', 'mallory']

/** What a user of the tests has for a password. */
export function passwordOf(user: string): string {
  return `the secret of ${user}`
}

interface Section {
  readonly [key: string]: unknown
}

export interface SipServerOptions {
  /** Config keys, section by section, on top of the tests' own. */
  readonly config?: Section
  /** Lanes in threads of their own; 0 unless given. */
  readonly workers?: number
  /** Moves time when there are no workers; the system's unless given. */
  readonly clock?: Ticker
  /** Left in place when the server is closed; a folder of its own, which goes, unless given. */
  readonly dataDir?: string
  /** More users. */
  readonly users?: readonly string[]
  /** No other test gets this server: the test closes it, or looks at its metrics or its log. */
  readonly own?: boolean
}

/** A server, and what it has logged, a line of JSON each. */
interface Running {
  readonly server: Server
  readonly log: readonly string[]
  readonly tls: TlsFiles
  readonly isOwn: boolean
  readonly stop: () => Promise<void>
}

let certificate: Promise<{ readonly cert: string; readonly key: string }> | undefined

/** The certificate of every server and agent of a file, which is its own CA. */
export function tlsFiles(): Promise<{ readonly cert: string; readonly key: string }> {
  certificate ??= generate([{ name: 'commonName', value: sipDomain }], {
    keyType: 'ec',
    extensions: [
      {
        name: 'subjectAltName',
        altNames: [
          { type: 7, ip: '127.0.0.1' },
          { type: 2, value: sipDomain },
        ],
      },
    ],
  }).then(({ cert, private: key }) => ({ cert, key }))
  return certificate
}

/** A server on free ports, with an agent for whoever talks with it; when the test is over, nobody is registered. */
export class SipBed {
  readonly server: Server
  readonly #running: Running
  readonly #agents: SipAgent[] = []
  /** Users of ours who may have registered. */
  readonly #users = new Set<string>()

  constructor(running: Running) {
    this.#running = running
    this.server = running.server
  }

  /** What the server has logged, a line of JSON each. */
  get log(): readonly string[] {
    this.#assertOwn()
    return this.#running.log
  }

  /** Where the server listens for this transport. */
  address(transport: Transport): Address {
    const scheme = { udp: 'sip', tcp: 'sip', tls: 'sips', ws: 'ws', wss: 'wss' }[transport]
    const listener = this.server.listeners.find(({ url }) => url.startsWith(`${scheme}:`))
    if (listener === undefined) throw new Error(`this server does not listen for ${transport}`)
    return { host: '127.0.0.1', port: listener.port }
  }

  /** The server's own URI, as a Route value has it. */
  route(transport: Transport, user = ''): string {
    const { host, port } = this.address(transport)
    const parameter = transport === 'udp' ? '' : `;transport=${transport}`
    return `<sip:${user === '' ? '' : `${user}@`}${host}:${port}${parameter};lr>`
  }

  /** A user of ours, who has not registered. */
  agent(user: string, transport: Transport, options: Partial<AgentOptions> = {}): Promise<SipAgent> {
    this.#users.add(user)
    return this.#create({
      transport,
      server: this.address(transport),
      user,
      password: passwordOf(user),
      domain: sipDomain,
      ...options,
    })
  }

  /** A user of ours, who has registered. */
  async online(
    user: string,
    transport: Transport,
    options: RegisterOptions & { readonly agent?: Partial<AgentOptions> } = {},
  ): Promise<SipAgent> {
    const { agent: agentOptions, ...register } = options
    const agent = await this.agent(user, transport, agentOptions)
    expect((await agent.register(register)).status).toBe(200)
    return agent
  }

  /** Somebody of another domain, without a password here. */
  stranger(transport: Transport, options: Partial<AgentOptions> = {}): Promise<SipAgent> {
    const server = this.address(transport)
    return this.#create({ transport, server, user: 'eve', domain: 'elsewhere.test', ...options })
  }

  /** The proxy of another domain: it listens, and knows nothing of this server. */
  foreign(transport: Transport, options: Partial<AgentOptions> = {}): Promise<SipAgent> {
    return this.#create({ transport, isListening: true, user: 'frank', domain: 'foreign.test', ...options })
  }

  /** Value of a metric: the sum of its series with these labels. */
  async metric(name: string, labels: Readonly<Record<string, string>> = {}): Promise<number> {
    this.#assertOwn()
    const all = await seriesOf(this.server)
    const wanted = Object.entries(labels).map(([label, value]) => `${label}="${value}"`)
    const series = [...all].filter(([key]) => key === name || key.startsWith(`${name}{`))
    expect(series, `metric ${name}`).not.toEqual([])
    return series.filter(([key]) => wanted.every((label) => key.includes(label))).reduce((sum, [, one]) => sum + one, 0)
  }

  /** Closes the agents, and takes away what they have registered. @throws Error for what the server did wrong */
  async leave(): Promise<void> {
    const closed = await Promise.allSettled(this.#agents.map((agent) => agent.close()))
    for (const one of closed) if (one.status === 'rejected') throw one.reason
    if (this.#running.isOwn) return
    for (const user of this.#users) {
      const password = passwordOf(user)
      const agent = await SipAgent.create({
        transport: 'tcp',
        server: this.address('tcp'),
        user,
        password,
        domain: sipDomain,
      })
      await agent.register({ contacts: ['*'], expires: 0, callId: token(8) })
      await agent.close()
    }
  }

  async #create(options: AgentOptions): Promise<SipAgent> {
    const agent = await SipAgent.create({ tls: this.#running.tls, ...options })
    this.#agents.push(agent)
    return agent
  }

  #assertOwn(): void {
    if (!this.#running.isOwn) throw new Error('other tests use this server: ask for one of your own')
  }
}

/** Where a foreign agent is reached: at its address, since nobody knows its domain. */
export function uriOf({ transport, local }: SipAgent, user = 'frank'): string {
  const parameter = transport === 'udp' || transport === 'tls' ? '' : `;transport=${transport}`
  return `${transport === 'tls' ? 'sips' : 'sip'}:${user}@${local.host}:${local.port}${parameter}`
}

/** Servers that one test after the other uses, those used last at the end. */
const shared = new Map<string, Running>()
const sharedMax = 3

afterAll(async () => {
  for (const { stop } of shared.values()) await stop()
})

/** A server with nobody registered: of the test's own, or one that earlier tests of the file have used. */
export async function startSip(options: SipServerOptions = {}): Promise<SipBed> {
  const running = await runningFor(options)
  const bed = new SipBed(running)
  if (running.isOwn) onTestFinished(running.stop)
  onTestFinished(() => bed.leave())
  return bed
}

async function runningFor(options: SipServerOptions): Promise<Running> {
  const { config, workers, users: more, own, clock, dataDir } = options
  if (own === true || clock !== undefined || dataDir !== undefined) return start(options, true)
  const key = JSON.stringify([config, workers, more])
  const running = shared.get(key) ?? (await start(options, false))
  shared.delete(key)
  shared.set(key, running)
  for (const [oldest, { stop }] of [...shared].slice(0, -sharedMax)) {
    shared.delete(oldest)
    await stop()
  }
  return running
}

async function start(options: SipServerOptions, isOwn: boolean): Promise<Running> {
  const folder = await mkdtemp(join(tmpdir(), 'silopath-'))
  const { cert, key } = await tlsFiles()
  await Promise.all([writeFile(join(folder, 'cert.pem'), cert), writeFile(join(folder, 'key.pem'), key)])
  const log: string[] = []
  const logger = createLogger('trace', 'json', { write: (line) => log.push(line) })
  const { clock } = options
  const server = await startServer(configOf(options, folder), { log: logger, ...(clock && { clock }) })
  const stop = async () => {
    await server.close()
    await rm(folder, { recursive: true, force: true })
  }
  return { server, log, tls: { ca: cert, cert, key }, isOwn, stop }
}

/** A folder that goes when the test is over. */
export async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'silopath-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  return folder
}

function configOf(options: SipServerOptions, folder: string): Config {
  const { config = {}, workers = 0, dataDir, users: more = [], clock } = options
  const { auth = {}, sip = {}, ...sections } = config
  const tls = { cert: 'cert.pem', key: 'key.pem' }
  const text = JSON.stringify({
    data_dir: dataDir ?? folder,
    workers,
    memory_mib: 8,
    listen: [
      { url: 'sip://127.0.0.1:0' },
      { url: 'sips://127.0.0.1:0', ...tls },
      { url: 'ws://127.0.0.1:0' },
      { url: 'wss://127.0.0.1:0', ...tls },
    ],
    tls: { ca: 'cert.pem' },
    domains: [sipDomain],
    admin: { listen: '127.0.0.1:0' },
    auth: {
      users: [...users, ...more].map((username) => ({ username, password: passwordOf(username) })),
      ...(auth as Section),
    },
    // Whose reader is away is another matter, that of the silo's own tests.
    silo: { enabled: false },
    // In real time a machine that is busy must not look like a datagram that is lost.
    sip: { ...(clock === undefined && { timer_t1: 4 }), ...(sip as Section) },
    ...sections,
  })
  const parsed = parseConfig(text, join(folder, 'test.yaml'))
  if (!parsed.ok) throw new Error(formatProblems(parsed.error))
  return parsed.value
}
