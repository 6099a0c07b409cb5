import type { ConnectionId } from '../ids.ts'
import type { SipRequest } from '../parser/sip/message.ts'
import type { Binding } from '../store/location-store.ts'
import type { NextHop } from '../workers/lane-port.ts'
import type { FlowEnd, FlowTokens } from './flow-token.ts'
import { isSecureTransport, type SipIdentity, type SipTransport } from './identity.ts'
import type { Hop } from './locate.ts'
import type { ProxyIdentity } from './proxy/identity.ts'
import type { Destination, HopOpener } from './proxy/target.ts'
import type { SipSender, Way } from './sender.ts'
import type { SipChannel } from './transactions/channel.ts'

/** Connections to next hops that are remembered; beyond them those that are closed are forgotten. */
const HOPS_MAX = 10_000

export interface HopsOptions {
  readonly epoch: string
  readonly identity: SipIdentity
  readonly sender: SipSender
  /** The way along a connection, whichever lane reads it; null: it is gone. */
  readonly wayOf: (connection: ConnectionId) => Way | null
  readonly tokens: FlowTokens
  /** Whether a way leads to somebody who is trusted with whatever we know (`sip.peers`). */
  readonly isPeer: (way: Way) => boolean
  /** Asks the primary thread for a connection; 0 when there is none. */
  readonly connect: (hop: NextHop, answer: (connection: ConnectionId | 0) => void) => void
}

/** The ways out of a lane, how we sign on them, and the flows that our Record-Route values lead to. */
export class Hops implements HopOpener, ProxyIdentity {
  readonly #options: HopsOptions
  readonly #ways = new Map<string, Way>()
  /** How our Vias begin, by transport and listener. */
  readonly #vias: Readonly<Record<SipTransport, string[]>> = { udp: [], tcp: [], tls: [], ws: [], wss: [] }

  constructor(options: HopsOptions) {
    this.#options = options
  }

  isSelf(at: { readonly host: string; readonly port: number | null }): boolean {
    return this.#options.identity.isSelf(at)
  }

  isTrusted(channel: SipChannel): boolean {
    return this.#options.isPeer(channel as Way)
  }

  open(hop: Hop): Way | null | Promise<Way | null> {
    const { sender, identity, connect, wayOf } = this.#options
    if (hop.transport === 'udp') {
      const listener = identity.listenerFor('udp', -1)
      return listener?.transports.includes('udp') ? sender.datagrams(listener.index, hop.address, hop.port) : null
    }
    const key = `${hop.transport} ${hop.address} ${hop.port} ${hop.servername}`
    const known = this.#ways.get(key)
    if (known !== undefined && known.connection !== 0 && sender.isOpen(known.connection)) return known
    if (this.#ways.size >= HOPS_MAX) this.#forget()
    const { transport, address, port, servername } = hop
    const { promise, resolve } = Promise.withResolvers<Way | null>()
    const next: NextHop = { protocol: 'sip', transport, host: address, port, servername }
    connect(next, (connection) => {
      const way = connection === 0 ? null : wayOf(connection)
      if (way !== null && this.#ways.size < HOPS_MAX) this.#ways.set(key, way)
      resolve(way)
    })
    return promise
  }

  /** The way along the flow that a contact was registered over; null: it is gone (S-71). */
  along({ flow }: Binding): Way | null {
    const { sender, epoch, wayOf } = this.#options
    if (flow.kind === 'udp') return sender.datagrams(flow.listener, flow.address, flow.port)
    return flow.epoch === epoch ? wayOf(flow.connection) : null
  }

  viaFor(channel: SipChannel): string {
    const { transport, listener } = channel as Way
    const known = this.#vias[transport]
    // Behind listener -1 is what we have connected to.
    known[listener + 1] ??= `SIP/2.0/${transport.toUpperCase()} ${this.#options.identity.sentBy(transport, listener)}`
    return known[listener + 1]!
  }

  recordRouteFor(request: SipRequest, incoming: SipChannel, outgoing: SipChannel): string {
    const { tokens } = this.#options
    const [from, to] = [incoming as Way, outgoing as Way]
    const token = tokens.make(request, { caller: this.#endOf(from), callee: this.#endOf(to) })
    const inner = this.#recordRoute(token, from)
    return from.transport === to.transport && from.listener === to.listener
      ? inner
      : `${this.#recordRoute(token, to)}, ${inner}`
  }

  flowOf(token: string, request: SipRequest): Destination | null {
    const end = this.#options.tokens.read(request, token)
    return end === null ? null : this.#destination(end)
  }

  #recordRoute(token: string, { transport, listener }: Way): string {
    const at = this.#options.identity.sentBy(transport, listener)
    const secure = isSecureTransport(transport)
    const param = transport === 'udp' ? '' : `;transport=${transport === 'wss' ? 'ws' : transport}`
    return `<${secure ? 'sips' : 'sip'}:${token}@${at}${param};lr>`
  }

  #endOf({ listener, connection, address, port }: Way): FlowEnd {
    const { epoch } = this.#options
    if (connection !== 0) return { kind: 'connection', listener, connection, epoch }
    return { kind: 'udp', listener, address, port }
  }

  #destination(end: FlowEnd): Destination {
    const { sender, epoch, wayOf } = this.#options
    if (end.kind === 'udp') return { kind: 'flow', channel: sender.datagrams(end.listener, end.address, end.port) }
    const way = end.epoch === epoch ? wayOf(end.connection) : null
    if (way !== null) return { kind: 'flow', channel: way }
    // What we have connected to once we can connect to again; who has connected to us is gone.
    return end.listener < 0 ? toLocate : { kind: 'flow', channel: null }
  }

  #forget(): void {
    for (const [key, { connection }] of this.#ways) {
      if (connection === 0 || !this.#options.sender.isOpen(connection)) this.#ways.delete(key)
    }
  }
}

const toLocate: Destination = { kind: 'locate' }
