import type { SipAgent } from './sip-agent.ts'
import type { Flow } from './sip-agent-channel.ts'
import { Dialog } from './sip-agent-dialog.ts'
import { type Headers, messageText, type TextRequest, token } from './sip-agent-message.ts'

export interface ReplyOptions {
  readonly headers?: Headers
  readonly body?: string | Uint8Array
  /** text/plain unless given. */
  readonly contentType?: string
  /** The tag of this transaction unless given. */
  readonly toTag?: string
}

const reasons: Readonly<Record<number, string>> = { 100: 'Trying', 180: 'Ringing', 200: 'OK', 202: 'Accepted' }

/** What tells a request from a copy of another (S-30); an ACK matches no INVITE here, it is awaited by itself. */
export function transactionKey(request: TextRequest): string {
  const via = request.vias[0]
  return `${via?.branch} ${via?.sentBy} ${request.method}`
}

/** A request received. Not replying ignores it; what is replied is what its copies are answered with. */
export class IncomingRequest {
  readonly message: TextRequest
  readonly flow: Flow
  /** The tag our responses put on To. */
  readonly localTag: string
  /** How often it was received again. */
  copies = 0

  readonly #agent: SipAgent
  #answer: Buffer | null = null

  constructor(agent: SipAgent, message: TextRequest, flow: Flow) {
    this.#agent = agent
    this.message = message
    this.flow = flow
    this.localTag = message.toTag ?? token(6)
  }

  get method(): string {
    return this.message.method
  }

  get uri(): string {
    return this.message.uri
  }

  /** The body as text. */
  get text(): string {
    return this.message.text
  }

  header(name: string): string | null {
    return this.message.header(name)
  }

  reply(status: number, reason = reasons[status] ?? 'Because', options: ReplyOptions = {}): void {
    this.#answer = this.response(status, reason, options)
    this.resend()
  }

  /** 200 to an INVITE, with Contact and session description. */
  accept(sdp: string, options: ReplyOptions = {}): Dialog {
    const headers: Headers = [['Contact', this.#agent.contact], ...(options.headers ?? [])]
    this.reply(200, 'OK', { ...options, headers, body: sdp, contentType: 'application/sdp' })
    return this.dialog()
  }

  /** Sends the last response again. */
  resend(): void {
    if (this.#answer !== null) this.#agent.send(this.#answer, this.flow)
  }

  /** The octets of a response (RFC 3261 8.2.6), with received and rport (S-21). */
  response(status: number, reason: string, { headers = [], body, contentType, toTag }: ReplyOptions = {}): Buffer {
    const { message, flow } = this
    const copied = (name: string) => message.all(name).map((value) => [name, value] as const)
    const [top = '', ...vias] = message.list('Via')
    const { host, port } = flow.remote
    const rport = /;\s*rport(?![\w=])/i
    const marked = rport.test(top) ? `${top.replace(rport, `;rport=${port}`)};received=${host}` : top
    const hasTag = message.toTag !== null || status === 100
    const to = hasTag ? message.header('To') : `${message.header('To')};tag=${toTag ?? this.localTag}`
    const all: Headers = [
      ...[marked, ...vias].map((via) => ['Via', via] as const),
      ...(message.method === 'INVITE' ? copied('Record-Route') : []),
      ...copied('From'),
      ['To', to ?? ''],
      ...copied('Call-ID'),
      ...copied('CSeq'),
      ...headers,
      ...(body === undefined ? [] : [['Content-Type', contentType ?? 'text/plain'] as const]),
    ]
    return messageText(`SIP/2.0 ${status} ${reason}`, all, body)
  }

  /** The dialog that a 2xx to this request makes, seen from this side (RFC 3261 12.1.1). */
  dialog(): Dialog {
    const { message, localTag } = this
    return new Dialog(this.#agent, {
      callId: message.callId,
      local: { uri: message.to.uri, tag: localTag },
      remote: { uri: message.from.uri, tag: message.fromTag ?? '' },
      target: message.contacts[0]?.uri ?? message.from.uri,
      routes: message.list('Record-Route'),
      cseq: 0,
      flow: this.flow,
    })
  }
}
