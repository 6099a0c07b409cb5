// A message for somebody who is away: alice writes to bob, who is offline, and bob gets it all when he registers.
//
//   npm run try:silo     with a server of its own, which has the configuration of examples/silo.yaml
//   npm run try:silo -- --connect 127.0.0.1:5060 alice:PASSWORD bob:PASSWORD     with a server that runs, as of npm start
//
// `--domain` is the users' SIP domain, `--admin` the URL of that server's admin address.
// Rule ids such as SILO-24 are those of docs/protocol.md.
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const { values: options, positionals } = parseArgs({
  options: {
    connect: { type: 'string' },
    domain: { type: 'string', default: 'localhost' },
    admin: { type: 'string', default: 'http://127.0.0.1:9095' },
  },
  allowPositionals: true,
})
const patienceMs = 5000
const texts = ['Are you there?', 'Call me when you are back.', 'It is about tomorrow.']

/** The server that all of this is shown on. */
interface Stage {
  readonly address: string
  readonly admin: string
  readonly domain: string
  /** Whether its configuration is that of the example, so that it tells senders that their message was kept. */
  readonly isOurs: boolean
  /** `name:password` each. */
  readonly users: readonly string[]
  close(): Promise<void>
}

/** A server of our own, on free ports and with a folder that goes with it. */
async function ownStage(): Promise<Stage> {
  const { createLogger, formatProblems, loadConfig, startServer } = await import('../src/index.ts')
  const loaded = await loadConfig(fileURLToPath(new URL('silo.yaml', import.meta.url)))
  if (!loaded.ok) fail(formatProblems(loaded.error))
  const { listen, admin, auth, domains } = loaded.value
  if (admin === false) fail('examples/silo.yaml has no admin server')
  const folder = await mkdtemp(join(tmpdir(), 'silopath-try-'))
  const config = {
    ...loaded.value,
    data_dir: folder,
    listen: listen.map((listener) => ({ ...listener, port: 0 })),
    admin: { ...admin, port: 0 },
  }
  const server = await startServer(config, { log: createLogger('warn', 'text') })
  return {
    address: `127.0.0.1:${server.listeners[0]?.port}`,
    admin: server.adminUrl ?? '',
    domain: domains[0] ?? '',
    isOurs: true,
    users: auth.users.map(({ username, password }) => `${username}:${password}`),
    close: async () => {
      await server.close()
      await rm(folder, { recursive: true })
    },
  }
}

function givenStage(address: string): Stage {
  const { admin, domain } = options
  return { address, admin, domain, isOurs: false, users: positionals, close: async () => {} }
}

interface Message {
  /** `MESSAGE sip:bob@example.org SIP/2.0`, or `SIP/2.0 202 Accepted`. */
  readonly start: string
  readonly headers: readonly (readonly [name: string, value: string])[]
  readonly body: string
}

/** Cuts whole messages from the front of `octets` (S-5), each character of which is an octet. */
function cutMessages(octets: string): { messages: Message[]; rest: string } {
  const messages: Message[] = []
  let rest = octets
  for (;;) {
    const bodyStart = rest.indexOf('\r\n\r\n') + 4
    if (bodyStart < 4) return { messages, rest }
    const head = rest.slice(0, bodyStart)
    const end = bodyStart + Number(/^Content-Length: (\d+)/im.exec(head)?.[1] ?? 0)
    if (rest.length < end) return { messages, rest }
    const [start = '', ...lines] = head.trimEnd().split('\r\n')
    const headers = lines.map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 2)] as const)
    messages.push({ start, headers, body: Buffer.from(rest.slice(bodyStart, end), 'latin1').toString() })
    rest = rest.slice(end)
  }
}

/** One user on one connection, on which the server reaches it once it has registered (S-71). */
class Agent {
  readonly name: string
  readonly uri: string
  readonly #password: string
  readonly #socket: Socket
  readonly #domain: string
  readonly #callId = randomId()
  readonly #tag = randomId()
  readonly #requests: Message[] = []
  readonly #responses: Message[] = []
  #octets = ''
  #cseq = 0

  constructor(user: string, domain: string, socket: Socket) {
    const [name = '', password = ''] = user.split(':')
    this.name = name
    this.uri = `sip:${name}@${domain}`
    this.#password = password
    this.#domain = domain
    this.#socket = socket
    socket.on('close', () => fail(`the server has closed ${name}'s connection`))
    socket.setEncoding('latin1').on('data', (octets: string) => {
      const { messages, rest } = cutMessages(this.#octets + octets)
      this.#octets = rest
      for (const message of messages)
        (message.start.startsWith('SIP/2.0') ? this.#responses : this.#requests).push(message)
      if (messages.length > 0) socket.emit('messages')
    })
  }

  /** REGISTER, 401 with a challenge, REGISTER with the answer, 200 (S-60). */
  async register(): Promise<void> {
    const answer = await this.#request('REGISTER', `sip:${this.#domain}`, this.uri, [
      `Contact: <sip:${this.name}@${this.#here()};transport=tcp>`,
      'Expires: 600',
    ])
    if (/^40[13]/.test(answer)) fail(`wrong password for ${this.name}. Remedy: take those that npm start printed`)
    say('server', this.name, `${answer}: ${this.name} is registered`)
  }

  /** Sends a text (S-80); gives the answer, `202 Accepted`. */
  message(to: string, text: string): Promise<string> {
    return this.#request('MESSAGE', to, to, ['Content-Type: text/plain'], text)
  }

  /** The next request that the server has brought; null: none within `waitMs`. */
  async nextRequest(waitMs = patienceMs): Promise<Message | null> {
    return this.#next(this.#requests, waitMs)
  }

  /** Answers a request: what identifies it goes back as it came (RFC 3261 8.2.6). */
  answer(request: Message, status: string): void {
    const kept = request.headers.filter(([name]) => /^(?:Via|From|To|Call-ID|CSeq)$/i.test(name))
    const lines = kept.map(([name, value]) => `${name}: ${value}${/^To$/i.test(name) ? `;tag=${this.#tag}` : ''}`)
    this.#socket.write(`${[`SIP/2.0 ${status}`, ...lines, 'Content-Length: 0'].join('\r\n')}\r\n\r\n`)
  }

  close(): void {
    this.#socket.removeAllListeners('close').end()
  }

  async #request(method: string, uri: string, to: string, head: readonly string[], body = ''): Promise<string> {
    let answer = await this.#exchange(method, uri, to, head, body)
    const challenge = header(answer, 'WWW-Authenticate') ?? header(answer, 'Proxy-Authenticate')
    if (challenge !== undefined) {
      const name = header(answer, 'WWW-Authenticate') === undefined ? 'Proxy-Authorization' : 'Authorization'
      const credentials = `${name}: ${this.#digest(challenge, method, uri)}`
      answer = await this.#exchange(method, uri, to, [credentials, ...head], body)
    }
    return answer.start.slice('SIP/2.0 '.length)
  }

  async #exchange(method: string, uri: string, to: string, head: readonly string[], body: string): Promise<Message> {
    const lines = [
      `${method} ${uri} SIP/2.0`,
      `Via: SIP/2.0/TCP ${this.#here()};branch=z9hG4bK${randomId()}`,
      'Max-Forwards: 70',
      `From: <${this.uri}>;tag=${this.#tag}`,
      `To: <${to}>`,
      `Call-ID: ${this.#callId}`,
      `CSeq: ${++this.#cseq} ${method}`,
      ...head,
      `Content-Length: ${Buffer.byteLength(body)}`,
    ]
    this.#socket.write(`${lines.join('\r\n')}\r\n\r\n${body}`)
    for (;;) {
      const answer = await this.#next(this.#responses, patienceMs)
      if (answer === null) fail(`${this.name} has waited ${patienceMs / 1000} s for an answer`)
      if (!answer.start.startsWith('SIP/2.0 1')) return answer
    }
  }

  /** D-1, with the first challenge, which is the best (D-8). */
  #digest(challenge: string, method: string, uri: string): string {
    const parameter = (name: string) => new RegExp(`\\b${name}="?([^",]*)`, 'i').exec(challenge)?.[1] ?? ''
    const [realm, nonce, algorithm, cnonce, nc] = [
      ...['realm', 'nonce', 'algorithm'].map(parameter),
      randomId(),
      '00000001',
    ]
    const hash = (text: string) =>
      createHash(algorithm === 'SHA-256' ? 'sha256' : 'md5')
        .update(text)
        .digest('hex')
    const ha1 = hash(`${this.name}:${realm}:${this.#password}`)
    const response = hash(`${ha1}:${nonce}:${nc}:${cnonce}:auth:${hash(`${method}:${uri}`)}`)
    return (
      `Digest username="${this.name}", realm="${realm}", nonce="${nonce}", uri="${uri}", qop=auth, nc=${nc}, ` +
      `cnonce="${cnonce}", algorithm=${algorithm}, response="${response}"`
    )
  }

  async #next(queue: Message[], waitMs: number): Promise<Message | null> {
    const signal = AbortSignal.timeout(waitMs)
    while (queue.length === 0) {
      if (signal.aborted) return null
      // Its only failure is that the time is over.
      await once(this.#socket, 'messages', { signal }).catch(() => null)
    }
    return queue.shift() ?? null
  }

  #here(): string {
    return `${this.#socket.localAddress}:${this.#socket.localPort}`
  }
}

function header({ headers }: Message, name: string): string | undefined {
  return headers.find(([candidate]) => candidate.toLowerCase() === name.toLowerCase())?.[1]
}

function randomId(): string {
  return randomBytes(12).toString('hex')
}

function say(from: string, to: string, what: string, details: readonly string[] = []): void {
  const lines = details.map((detail) => `\n${' '.repeat(20)}${detail}`)
  console.log(`${from.padEnd(6)} → ${to.padEnd(6)}  ${what}${lines.join('')}`)
}

function fail(what: string): never {
  console.error(`try: ${what}`)
  process.exit(1)
}

async function connected(user: string, { address, domain }: Stage): Promise<Agent> {
  const [, host, port] = /^\[?(.+?)\]?:(\d+)$/.exec(address) ?? fail(`${address} is not HOST:PORT`)
  const socket = connect(Number(port), host)
  await once(socket, 'connect').catch((error: Error) => fail(`${error.message}. Remedy: run npm start first`))
  return new Agent(user, domain, socket)
}

/** Messages that wait in the silo, for whomever. */
async function waiting({ admin }: Stage): Promise<number> {
  const metrics = await fetch(new URL('/metrics', admin)).then(
    (answer) => answer.text(),
    () => fail(`${admin} does not answer. Remedy: give the URL of admin.listen with --admin`),
  )
  const [, messages] = /^silopath_silo_messages\{state="waiting"\} (\d+)$/m.exec(metrics) ?? []
  return Number(messages ?? fail('that server has no silo'))
}

const usage = 'usage: npm run try:silo [-- --connect HOST:PORT alice:PASSWORD bob:PASSWORD]'
if (positionals.length !== (options.connect === undefined ? 0 : 2)) fail(usage)
const stage = options.connect === undefined ? await ownStage() : givenStage(options.connect)
const [from = '', to = ''] = stage.users
if (!from.includes(':') || !to.includes(':')) fail(usage)

const alice = await connected(from, stage)
const before = await waiting(stage)
await alice.register()

// Bob is away: what is written to him is on disk before it is answered (S-81).
const [reader = ''] = to.split(':')
const bobUri = `sip:${reader}@${stage.domain}`
for (const text of texts) {
  say(alice.name, 'server', `MESSAGE ${bobUri} "${text}"`)
  const answer = await alice.message(bobUri, text)
  if (!answer.startsWith('202')) fail(`the server has answered ${answer}. Remedy: ${reader} must be offline`)
  say('server', alice.name, `${answer}: it is kept (SILO-1)`)
}

// One for the three: there is one notice a minute (SILO-13).
const notice = await alice.nextRequest(stage.isOurs ? patienceMs : 1000)
if (notice !== null) {
  say('server', alice.name, `MESSAGE "${notice.body}" (SILO-12)`, [`From: ${header(notice, 'From')?.split(';')[0]}`])
  alice.answer(notice, '200 OK')
} else if (stage.isOurs) fail('alice was not told that bob is offline')
else say('server', alice.name, 'no notice: silo.offline_message is not configured there, or there was one just now')

// The server sends the next when this one has been answered (SILO-24), the oldest first.
const bob = await connected(to, stage)
await bob.register()
for (let left = [...texts]; left.length > 0; ) {
  const brought = (await bob.nextRequest()) ?? fail(`${bob.name} has waited ${patienceMs / 1000} s for messages`)
  const details = ['From', 'Date', 'Message-ID'].map((name) => `${name}: ${header(brought, name)?.split(';')[0]}`)
  say('server', bob.name, `MESSAGE "${brought.body}"`, details)
  bob.answer(brought, '200 OK')
  say(bob.name, 'server', '200 OK: it may be forgotten (SILO-28)')
  // In somebody's server there may be older ones.
  if (brought.body === left[0]) left = left.slice(1)
}

let now = await waiting(stage)
for (const deadline = Date.now() + patienceMs; now > before && Date.now() < deadline; now = await waiting(stage))
  await delay(20)
if (now > before) fail(`${now} messages wait in the silo, and ${before} did before`)
console.log(now === 0 ? 'The silo is empty.' : `${now} messages for others wait in the silo.`)
alice.close()
bob.close()
await stage.close()
