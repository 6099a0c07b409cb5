import type { RequestOptions, SipAgent } from './sip-agent.ts'
import type { Flow } from './sip-agent-channel.ts'
import { type Headers, messageText, type TextRequest, type TextResponse, token } from './sip-agent-message.ts'
import type { Mailbox } from './sip-agent-waits.ts'

/** One request sent, and what came back. */
export class ClientTransaction {
  readonly request: TextRequest
  /** Every response, in order, copies too. */
  readonly responses: TextResponse[] = []
  /** Branch and method: what responses are matched by (S-31). */
  readonly key: string
  readonly flow: Flow
  readonly #agent: SipAgent
  readonly #mailbox: Mailbox<TextResponse>
  #timer: NodeJS.Timeout | undefined

  constructor(agent: SipAgent, request: TextRequest, flow: Flow) {
    this.#agent = agent
    this.request = request
    this.flow = flow
    this.key = `${request.vias[0]?.branch} ${request.cseq.method}`
    this.#mailbox = agent.mailbox()
  }

  /** Sends the request; over UDP, if the agent has a T1, again and again until it is answered (timers A and E). */
  send(): void {
    this.retransmit()
    const { t1Ms, transport } = this.#agent
    if (t1Ms === null || transport !== 'udp' || this.request.method === 'ACK') return
    const again = (afterMs: number) => {
      this.#timer = setTimeout(() => {
        this.retransmit()
        again(Math.min(2 * afterMs, 8 * t1Ms))
      }, afterMs)
    }
    again(t1Ms)
  }

  /** Sends the very same octets again. */
  retransmit(): void {
    this.#agent.send(this.request.octets, this.flow)
  }

  /** Retransmits no more. */
  stop(): void {
    clearTimeout(this.#timer)
  }

  receive(response: TextResponse): void {
    this.responses.push(response)
    const isInvite = this.request.method === 'INVITE'
    if (isInvite || response.status >= 200) this.stop()
    if (isInvite && response.status >= 300) this.#acknowledge(response)
    this.#mailbox.put(response)
  }

  /** The first response of this status that was not yet awaited, or the next to come. */
  response(status: number, timeoutMs = this.#agent.patienceMs): Promise<TextResponse> {
    return this.#take(`${status}`, (response) => response.status === status, timeoutMs)
  }

  final(timeoutMs = this.#agent.patienceMs): Promise<TextResponse> {
    return this.#take('a final response', ({ status }) => status >= 200, timeoutMs)
  }

  /** CANCELs it (S-50) and resolves with the response to the CANCEL. */
  cancel(): Promise<TextResponse> {
    return this.#agent.startRaw(this.#samePath('CANCEL', this.request.header('To') ?? '')).final()
  }

  #take(what: string, isWanted: (response: TextResponse) => boolean, timeoutMs: number): Promise<TextResponse> {
    return this.#mailbox.take(`${what} to ${this.request.method} ${this.request.uri}`, isWanted, timeoutMs)
  }

  /** S-35; every copy of the response gets its own. */
  #acknowledge(response: TextResponse): void {
    this.#agent.send(this.#samePath('ACK', response.header('To') ?? ''), this.flow)
  }

  /** ACK and CANCEL go where the request went: same URI, top Via, Route, Call-ID, From and CSeq number. */
  #samePath(method: string, to: string): Buffer {
    const { request } = this
    const headers: Headers = [
      ['Via', request.list('Via')[0] ?? ''],
      ['Max-Forwards', '70'],
      ...request.all('Route').map((route) => ['Route', route] as const),
      ['From', request.header('From') ?? ''],
      ['To', to],
      ['Call-ID', request.callId],
      ['CSeq', `${request.cseq.number} ${method}`],
    ]
    return messageText(`${method} ${request.uri} SIP/2.0`, headers)
  }
}

/** At most a first request, one with credentials, and one more with a fresh nonce. */
const attemptsMax = 3

/** A request with the challenges in between: one transaction for each attempt. */
export class Exchange {
  readonly transactions: ClientTransaction[] = []
  readonly #agent: SipAgent
  readonly #final: Promise<TextResponse>

  constructor(agent: SipAgent, method: string, uri: string, options: RequestOptions) {
    this.#agent = agent
    this.#final = this.#run(method, uri, options)
    // Whoever asks gets the failure; an exchange that nobody asks about is no failure of the test.
    this.#final.catch(() => {})
  }

  /** Of the last attempt. */
  get current(): ClientTransaction {
    return this.transactions.at(-1)!
  }

  final(): Promise<TextResponse> {
    return this.#final
  }

  async #run(method: string, uri: string, options: RequestOptions): Promise<TextResponse> {
    const auth = options.auth === false ? null : (options.auth ?? {})
    const { authorizer, patienceMs } = this.#agent
    const same = { callId: options.callId ?? token(12), fromTag: options.fromTag ?? token(6) }
    let withCredentials = auth?.reuse === true
    for (let attempt = 1; ; attempt++) {
      const credentials = withCredentials && auth !== null ? authorizer.header(method, uri, auth) : null
      const headers: Headers = [...(credentials === null ? [] : [credentials]), ...(options.headers ?? [])]
      // A later attempt is another request: its CSeq is the next (RFC 3261 8.1.3.5).
      const cseq = options.cseq === undefined ? {} : { cseq: options.cseq + attempt - 1 }
      this.transactions.push(this.#agent.start(method, uri, { ...options, ...same, ...cseq, headers }))
      const response = await this.current.final(options.timeoutMs ?? patienceMs)
      const isChallenge = response.status === 401 || response.status === 407
      if (!isChallenge || auth === null || !authorizer.canAnswer(auth)) return response
      const challenges = [...response.all('WWW-Authenticate'), ...response.all('Proxy-Authenticate')]
      const isStale = /stale\s*=\s*"?true/i.test(challenges.join())
      if (attempt === attemptsMax || (credentials !== null && !isStale)) return response
      authorizer.note(response, auth)
      withCredentials = true
    }
  }
}
