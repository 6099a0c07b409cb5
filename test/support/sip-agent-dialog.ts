import type { RequestOptions, SipAgent } from './sip-agent.ts'
import type { Address, Flow } from './sip-agent-channel.ts'
import type { TextResponse } from './sip-agent-message.ts'
import type { ClientTransaction, Exchange } from './sip-agent-transaction.ts'

interface DialogState {
  readonly callId: string
  readonly local: { readonly uri: string; readonly tag: string }
  readonly remote: { readonly uri: string; readonly tag: string }
  /** The peer's Contact. */
  readonly target: string
  /** In the order of this side's Route headers. */
  readonly routes: readonly string[]
  /** CSeq number of the last request of this side. */
  readonly cseq: number
  /** Where its requests go. */
  readonly flow: Flow
}

/** One side of a dialog (RFC 3261 12): requests in it have its Call-ID, tags, routes and CSeq. */
export class Dialog {
  readonly state: DialogState
  readonly #agent: SipAgent
  readonly #inviteCseq: number
  #cseq: number

  constructor(agent: SipAgent, state: DialogState) {
    this.#agent = agent
    this.state = state
    this.#inviteCseq = state.cseq
    this.#cseq = state.cseq
  }

  request(method: string, options: RequestOptions = {}): Promise<TextResponse> {
    return this.#agent.request(method, this.state.target, { ...this.#inside(++this.#cseq), ...options })
  }

  bye(options: RequestOptions = {}): Promise<TextResponse> {
    return this.request('BYE', options)
  }

  /** ACK of the 2xx: end to end, with a branch of its own, never answered (S-35). */
  ack(options: RequestOptions = {}): ClientTransaction {
    return this.#agent.start('ACK', this.state.target, { ...this.#inside(this.#inviteCseq), ...options })
  }

  #inside(cseq: number): RequestOptions {
    const { callId, local, remote, routes, flow } = this.state
    const identity = { from: `<${local.uri}>`, fromTag: local.tag, to: `<${remote.uri}>`, toTag: remote.tag }
    return { ...identity, callId, cseq, routes, flow }
  }
}

export interface CallOptions extends RequestOptions {
  /** The session description; that of `msrpSdp` on this agent's address unless given. */
  readonly sdp?: string
}

/** An INVITE sent, and the dialog that comes of it. */
export class Call {
  readonly exchange: Exchange
  readonly #agent: SipAgent
  #dialog: Dialog | null = null

  constructor(agent: SipAgent, to: string, { sdp = msrpSdp(agent.local), ...options }: CallOptions) {
    this.#agent = agent
    this.exchange = agent.exchange('INVITE', to, {
      contentType: 'application/sdp',
      body: sdp,
      ...options,
      headers: [['Contact', agent.contact], ...(options.headers ?? [])],
    })
  }

  /** The next response of this status to the last attempt, such as 180. */
  response(status: number): Promise<TextResponse> {
    return this.exchange.current.response(status)
  }

  final(): Promise<TextResponse> {
    return this.exchange.final()
  }

  /** Waits for the 2xx, sends ACK. @throws Error for any other final response */
  async answered(): Promise<Dialog> {
    const response = await this.final()
    if (response.status >= 300)
      throw new Error(`the call was refused with ${response.status}\n${this.#agent.explain()}`)
    const dialog = this.dialogOf(response)
    dialog.ack()
    this.#dialog = dialog
    return dialog
  }

  /** The dialog of this 2xx (RFC 3261 12.1.2); forked calls may have several. */
  dialogOf(response: TextResponse): Dialog {
    const { request, flow } = this.exchange.current
    return new Dialog(this.#agent, {
      callId: request.callId,
      local: { uri: request.from.uri, tag: request.fromTag ?? '' },
      remote: { uri: request.to.uri, tag: response.toTag ?? '' },
      target: response.contacts[0]?.uri ?? request.uri,
      routes: response.list('Record-Route').toReversed(),
      cseq: request.cseq.number,
      flow,
    })
  }

  cancel(): Promise<TextResponse> {
    return this.exchange.current.cancel()
  }

  /** Ends an answered call. */
  bye(): Promise<TextResponse> {
    if (this.#dialog === null) throw new Error('BYE before the call was answered')
    return this.#dialog.bye()
  }
}

/** A session description of an MSRP endpoint (P-1, P-2, P-3). */
export function msrpSdp({ host, port }: Address, path = `msrp://${host}:${port}/agent;tcp`): string {
  return [
    'v=0',
    `o=- 1 1 IN IP4 ${host}`,
    's=-',
    `c=IN IP4 ${host}`,
    't=0 0',
    `m=message ${port} TCP/MSRP *`,
    'a=accept-types:text/plain message/cpim',
    `a=path:${path}`,
    '',
  ].join('\r\n')
}
