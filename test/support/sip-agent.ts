import { randomBytes } from 'node:crypto'
import { type AuthOptions, Authorizer } from './sip-agent-auth.ts'
import {
  type Address,
  type Channel,
  type Flow,
  openChannel,
  type TlsFiles,
  type Transport,
} from './sip-agent-channel.ts'
import { Call, type CallOptions } from './sip-agent-dialog.ts'
import {
  faultsOf,
  type Headers,
  messageText,
  mismatchesOf,
  readMessage,
  type TextRequest,
  type TextResponse,
  token,
} from './sip-agent-message.ts'
import { IncomingRequest, transactionKey } from './sip-agent-request.ts'
import { stunRequest, stunResult } from './sip-agent-stun.ts'
import { ClientTransaction, Exchange } from './sip-agent-transaction.ts'
import { Mailbox } from './sip-agent-waits.ts'

export interface AgentOptions {
  readonly transport: Transport
  /** Where requests go, over one flow; none: the agent only listens. */
  readonly server?: Address
  /** Takes connections too, on a port of its own that Contact and Via name. UDP always does. */
  readonly isListening?: boolean
  readonly user: string
  /** For challenges; without one a 401 or 407 is an answer as any other. */
  readonly password?: string
  readonly domain: string
  readonly tls?: TlsFiles
  /** The agent's own address; 127.0.0.1 unless given. */
  readonly host?: string
  /** RFC 3261's T1: retransmits over UDP, at T1, 2·T1, … 8·T1. Without it everything is sent once. */
  readonly t1Ms?: number
  /** How long a wait may take, in ms; 5000 unless given. */
  readonly patienceMs?: number
  /** Notes in `faults` what the server does wrong, but fails nothing: to send it what has no right answer. */
  readonly isLenient?: boolean
}

export interface RequestOptions {
  /** Behind those that every request has. */
  readonly headers?: Headers
  readonly body?: string | Uint8Array
  /** text/plain unless given. */
  readonly contentType?: string
  readonly callId?: string
  readonly cseq?: number
  /** Header values, without tag; `<uri>` of the agent and `<request URI>` unless given. */
  readonly from?: string
  readonly to?: string
  readonly fromTag?: string
  readonly toTag?: string
  readonly branch?: string
  readonly maxForwards?: number
  readonly routes?: readonly string[]
  /** Names of headers to leave out that would otherwise be there. */
  readonly omit?: readonly string[]
  /** How to answer a challenge; false: not at all. */
  readonly auth?: AuthOptions | false
  readonly timeoutMs?: number
  /** Where to send it; to the server unless given. */
  readonly flow?: Flow
}

export interface RegisterOptions extends RequestOptions {
  /** Contact values; the agent's own unless given, none to fetch, `*` for all. */
  readonly contacts?: readonly string[]
  /** Seconds, in Expires; no header unless given. */
  readonly expires?: number
}

/** A message received, in the order of arrival. */
export interface Received {
  readonly message: TextRequest | TextResponse
  readonly flow: Flow
  /** Of performance.now(). */
  readonly atMs: number
  /** Whether the agent was told to lose it. */
  readonly isLost: boolean
}

type Handler = (request: IncomingRequest) => void

/** Tells the agent to lose what arrives, as a network does. */
interface Loss {
  readonly isWanted: (message: TextRequest | TextResponse) => boolean
  left: number
}

const traceMax = 40

/**
 * A SIP user agent for tests: it does what it is told, and checks strictly what it gets. A message that no correct
 * server sends fails every wait and `close`, with the trace of all messages.
 */
export class SipAgent {
  readonly transport: Transport
  /** Its address of record, `sip:user@domain`. */
  readonly uri: string
  /** Its Contact value. */
  readonly contact: string
  readonly local: Address
  /** To the server. */
  readonly flow: Flow | null
  readonly patienceMs: number
  readonly t1Ms: number | null
  readonly authorizer: Authorizer
  /** Every message received, in order, also those awaited, answered or lost. */
  readonly received: Received[] = []
  /** What the server did wrong, in words. */
  readonly faults: string[] = []
  /** Resolves with the reason when the connection to the server has closed. */
  readonly disconnected: Promise<string>
  /** Whether a retransmitted request is answered with the last response again. */
  answersCopies = true

  readonly #channel: Channel
  readonly #sentBy: string
  readonly #isLenient: boolean
  readonly #trace: string[] = []
  readonly #requests: Mailbox<IncomingRequest>
  readonly #strays: Mailbox<TextResponse>
  readonly #keepAlives: Mailbox<'pong' | Buffer>
  readonly #handlers = new Map<string, Handler>()
  readonly #incoming = new Map<string, IncomingRequest>()
  readonly #transactions = new Map<string, ClientTransaction>()
  readonly #mailboxes: { fail(why: string): void }[] = []
  readonly #losses: Loss[] = []
  readonly #registerCallId = token(12)
  readonly #startedAt = performance.now()
  #cseq = 0
  #disconnect: (why: string) => void = () => {}
  #isClosing = false

  static async create(options: AgentOptions): Promise<SipAgent> {
    const { promise, resolve } = Promise.withResolvers<SipAgent>()
    const channel = await openChannel(
      {
        transport: options.transport,
        server: options.server ?? null,
        isListening: options.isListening ?? false,
        tls: options.tls ?? {},
        host: options.host ?? '127.0.0.1',
      },
      {
        // Nothing is lost that arrives before there is an agent: it is told as soon as there is.
        onMessage: (octets, flow) => void promise.then((agent) => agent.#onMessage(octets, flow)),
        onPong: () => void promise.then((agent) => agent.#keepAlives.put('pong')),
        onStun: (octets) => void promise.then((agent) => agent.#keepAlives.put(octets)),
        onFault: (what, octets) => void promise.then((agent) => agent.#onFault(what, octets)),
        onClose: (flow, why) => void promise.then((agent) => agent.#onClose(flow, why)),
      },
    )
    const agent = new SipAgent(options, channel)
    resolve(agent)
    return agent
  }

  private constructor(options: AgentOptions, channel: Channel) {
    const { transport, user, domain } = options
    this.transport = transport
    this.uri = `sip:${user}@${domain}`
    this.local = channel.local
    this.flow = channel.flow
    this.patienceMs = options.patienceMs ?? 5_000
    this.t1Ms = options.t1Ms ?? null
    this.authorizer = new Authorizer(user, options.password ?? null)
    this.disconnected = new Promise((resolve) => (this.#disconnect = resolve))
    this.#channel = channel
    this.#isLenient = options.isLenient ?? false
    const isWebSocket = transport === 'ws' || transport === 'wss'
    const { host, port } = channel.local
    // A browser knows no address of its own (RFC 7118).
    this.#sentBy = isWebSocket && options.isListening !== true ? `${token(8)}.invalid` : `${host}:${port}`
    const parameter = transport === 'udp' ? '' : `;transport=${isWebSocket ? 'ws' : transport}`
    this.contact = `<sip:${user}@${this.#sentBy}${parameter}>`
    this.#requests = this.mailbox()
    this.#strays = this.mailbox()
    this.#keepAlives = this.mailbox()
  }

  /** Sends octets as they are. What answers them is a stray, see `expectStray`; for requests there is `startRaw`. */
  send(octets: Uint8Array | string, flow: Flow = this.#serverFlow()): void {
    this.#note('>', Buffer.from(octets).toString('utf8'))
    flow.send(octets)
  }

  /** Sends a request and returns at once. Nothing is done by itself but, with `t1Ms`, retransmission over UDP. */
  start(method: string, uri: string, options: RequestOptions = {}): ClientTransaction {
    return this.startRaw(this.compose(method, uri, options), options.flow)
  }

  /** The same with octets of one's own: their top Via and CSeq are what responses are told by. */
  startRaw(octets: Uint8Array | string, flow: Flow = this.#serverFlow()): ClientTransaction {
    const transaction = new ClientTransaction(this, readMessage(Buffer.from(octets)) as TextRequest, flow)
    if (transaction.request.method !== 'ACK') this.#transactions.set(transaction.key, transaction)
    transaction.send()
    return transaction
  }

  /** Sends a request, answers a challenge, and returns at once: every transaction of the exchange can be looked at. */
  exchange(method: string, uri: string, options: RequestOptions = {}): Exchange {
    return new Exchange(this, method, uri, options)
  }

  /** Sends a request, answers a challenge, and resolves with the final response. */
  request(method: string, uri: string, options: RequestOptions = {}): Promise<TextResponse> {
    return this.exchange(method, uri, options).final()
  }

  /** CSeq grows with each; Call-ID stays the same unless given, as a user agent's should. */
  register({ contacts = [this.contact], expires, ...options }: RegisterOptions = {}): Promise<TextResponse> {
    const headers: Headers = [
      ...contacts.map((contact) => ['Contact', contact] as const),
      ...(expires === undefined ? [] : [['Expires', `${expires}`] as const]),
      ...(options.headers ?? []),
    ]
    const registrar = this.uri.replace(/^sip:.*@/, 'sip:')
    return this.request('REGISTER', registrar, {
      to: `<${this.uri}>`,
      callId: this.#registerCallId,
      ...options,
      headers,
    })
  }

  /** RFC 3428. */
  message(to: string, body: string | Uint8Array, options: RequestOptions = {}): Promise<TextResponse> {
    return this.request('MESSAGE', to, { ...options, body })
  }

  /** Sends an INVITE and returns at once; answers a challenge, and answers final responses but 2xx with ACK (S-35). */
  invite(to: string, options: CallOptions = {}): Call {
    return new Call(this, to, options)
  }

  /** The octets of a request as `start` sends it. */
  compose(method: string, uri: string, options: RequestOptions = {}): Buffer {
    const { omit = [], body, callId = token(12), cseq = ++this.#cseq, toTag } = options
    const { from = `<${this.uri}>`, fromTag = token(6), to = `<${uri}>`, branch = `z9hG4bK${token(10)}` } = options
    const headers: [name: string, value: string][] = [
      ['Via', `SIP/2.0/${this.transport.toUpperCase()} ${this.#sentBy};branch=${branch};rport`],
      ['Max-Forwards', `${options.maxForwards ?? 70}`],
      ...(options.routes ?? []).map((route): [string, string] => ['Route', route]),
      ['From', `${from};tag=${fromTag}`],
      ['To', toTag === undefined ? to : `${to};tag=${toTag}`],
      ['Call-ID', callId],
      ['CSeq', `${cseq} ${method}`],
    ]
    const left = omit.map((name) => name.toLowerCase())
    const all: Headers = [
      ...headers.filter(([name]) => !left.includes(name.toLowerCase())),
      ...(options.headers ?? []),
      ...(body === undefined ? [] : [['Content-Type', options.contentType ?? 'text/plain'] as const]),
    ]
    return messageText(`${method} ${uri} SIP/2.0`, all, body)
  }

  /** The first such request that was not yet awaited, or the next to come. ACK is a method as any other. */
  expect(method: string, timeoutMs = this.patienceMs): Promise<IncomingRequest> {
    return this.#requests.take(`a ${method}`, (request) => request.method === method, timeoutMs)
  }

  /** The next response of this status to nothing that was sent with `start`; only a lenient agent may get one. */
  expectStray(status: number, timeoutMs = this.patienceMs): Promise<TextResponse> {
    return this.#strays.take(`a stray ${status}`, (response) => response.status === status, timeoutMs)
  }

  /** Requests that have arrived and were neither awaited nor handled. */
  get unclaimed(): readonly IncomingRequest[] {
    return this.#requests.unclaimed
  }

  /** From now on calls back for each new request of this method (`*`: of all others), which is then not awaited. */
  on(method: string, handler: Handler): void {
    this.#handlers.set(method, handler)
  }

  off(method: string): void {
    this.#handlers.delete(method)
  }

  /** Loses the next `count` messages of this kind, copies included, as if they had never come; `received` has them. */
  lose(isWanted: (message: TextRequest | TextResponse) => boolean, count = 1): void {
    this.#losses.push({ isWanted, left: count })
  }

  /** Sends CRLFCRLF and waits for the CRLF (S-90, S-92). */
  async ping(timeoutMs = this.patienceMs, flow: Flow = this.#serverFlow()): Promise<void> {
    flow.pings++
    this.send('\r\n\r\n', flow)
    await this.#keepAlives.take('the CRLF of a keep-alive', (one) => one === 'pong', timeoutMs)
  }

  /** Sends a STUN binding request and resolves with the address that the server sees (S-91). */
  async stun(timeoutMs = this.patienceMs): Promise<Address> {
    const id = randomBytes(12)
    this.#serverFlow().send(stunRequest(id))
    const isAnswer = (one: 'pong' | Buffer) => one !== 'pong' && one.subarray(8, 20).equals(id)
    return stunResult((await this.#keepAlives.take('a STUN binding response', isAnswer, timeoutMs)) as Buffer)
  }

  /** Closes at once. @throws Error when the server did something wrong, unless the agent is lenient */
  async close(): Promise<void> {
    this.#isClosing = true
    for (const transaction of this.#transactions.values()) transaction.stop()
    await this.#channel.close()
    for (const mailbox of this.#mailboxes) mailbox.fail('the agent was closed')
    if (this.faults.length > 0 && !this.#isLenient) throw new Error(this.explain())
  }

  /** What went wrong and every message, for the text of a failed wait. */
  explain(): string {
    const faults = this.faults.map((fault) => `  FAULT: ${fault}\n`).join('')
    const left = this.#trace.length > traceMax ? `  … ${this.#trace.length - traceMax} earlier messages\n` : ''
    return `${this.uri} over ${this.transport}, as it saw it:\n${faults}${left}${this.#trace.slice(-traceMax).join('\n')}`
  }

  /** A mailbox whose waits end with the agent. */
  mailbox<Item>(): Mailbox<Item> {
    const mailbox = new Mailbox<Item>(() => this.explain())
    this.#mailboxes.push(mailbox)
    return mailbox
  }

  #serverFlow(): Flow {
    if (this.flow === null) throw new Error(`${this.uri} has no server to send to`)
    return this.flow
  }

  #note(direction: '<' | '>' | '!', text: string): void {
    const at = (performance.now() - this.#startedAt).toFixed(1)
    this.#trace.push(`${direction} ${at} ms\n${text.replaceAll('\r\n', '\n').trimEnd().replace(/^/gm, '    ')}`)
  }

  #onFault(what: string, octets: Buffer): void {
    this.#note('!', octets.toString('utf8'))
    this.#fault(what)
  }

  #fault(what: string): void {
    this.faults.push(what)
    if (this.#isLenient) return
    for (const mailbox of this.#mailboxes) mailbox.fail(`the server sent what it must not: ${what}`)
  }

  #onClose(flow: Flow, why: string): void {
    this.#note('!', `the connection to ${flow.remote.host}:${flow.remote.port} ${why}`)
    if (flow !== this.flow) return
    this.#disconnect(why)
    if (this.#isClosing || this.#channel.local.port !== flow.localPort) return
    for (const mailbox of this.#mailboxes) mailbox.fail(`the connection ${why}`)
  }

  #onMessage(octets: Buffer, flow: Flow): void {
    const message = readMessage(octets)
    const loss = this.#losses.find(({ isWanted, left }) => left > 0 && isWanted(message))
    if (loss !== undefined) loss.left--
    const isLost = loss !== undefined
    this.received.push({ message, flow, atMs: performance.now(), isLost })
    this.#note('<', `${octets.toString('utf8')}${isLost ? '\n(lost)' : ''}`)
    const isStream = this.transport === 'tcp' || this.transport === 'tls'
    for (const fault of faultsOf(message, isStream)) this.#fault(fault)
    if (isLost) return
    if (message.kind === 'request') this.#onRequest(message, flow)
    else this.#onResponse(message, flow)
  }

  #onRequest(message: TextRequest, flow: Flow): void {
    const key = transactionKey(message)
    const known = this.#incoming.get(key)
    if (known !== undefined) {
      known.copies++
      if (this.transport !== 'udp') this.#fault(`${message.method} was retransmitted over ${this.transport}`)
      if (!known.message.octets.equals(message.octets))
        this.#fault(`a copy of a ${message.method} that differs from it`)
      if (this.answersCopies) known.resend()
      return
    }
    const request = new IncomingRequest(this, message, flow)
    this.#incoming.set(key, request)
    const handler = this.#handlers.get(message.method) ?? this.#handlers.get('*')
    if (handler === undefined) this.#requests.put(request)
    else handler(request)
  }

  #onResponse(message: TextResponse, flow: Flow): void {
    const key = `${message.vias[0]?.branch} ${message.cseq.method}`
    const transaction = this.#transactions.get(key)
    if (transaction === undefined) {
      this.#fault(`a ${message.status} to no request of this agent (S-23)`)
      this.#strays.put(message)
      return
    }
    const { request } = transaction
    for (const fault of mismatchesOf(message, request, flow.localPort)) this.#fault(`${message.status}: ${fault}`)
    transaction.receive(message)
  }
}
