import type { Clock } from '../clock.ts'
import type { ConnectionId } from '../ids.ts'
import type { MsrpUri } from '../parser/msrp/uri.ts'
import { canonicalHost } from '../parser/msrp/uri.ts'
import type { Connections } from '../workers/connections.ts'
import type { Connector } from '../workers/connector.ts'

/** How long a next hop that could not be reached is not tried again, milliseconds. */
const RETRY_AFTER_MS = 2000
/** Next hops remembered; when there are more, those that are not connected are forgotten. */
const PEERS_MAX = 10_000

type Peer =
  | { readonly state: 'connecting'; readonly waiting: Set<() => void> }
  | { readonly state: 'connected'; readonly connection: ConnectionId }
  | { readonly state: 'unreachable'; readonly until: number }

export type PeerState = ConnectionId | 'connecting' | 'unreachable'

/** Foreign next hops as one lane sees them: relays and relay-less peers that we connect to (M-80, R-48). */
export class Peers {
  readonly #connector: Connector
  readonly #connections: Connections
  readonly #clock: Clock
  readonly #peers = new Map<string, Peer>()

  constructor(connector: Connector, connections: Connections, clock: Clock) {
    this.#connector = connector
    this.#connections = connections
    this.#clock = clock
  }

  /**
   * The connection to the host and port of a URI. While it is being made, `then` is called once it is there or has
   * failed.
   */
  connectionTo(uri: MsrpUri, now: number, noConnect: boolean, then: () => void): PeerState {
    // U-7: such names exist to be unresolvable. W-5: who is reached by WebSocket cannot be connected to.
    if (uri.port === null || uri.transport.toLowerCase() !== 'tcp' || /\.invalid\.?$/i.test(uri.host))
      return 'unreachable'
    const key = `${uri.scheme} ${canonicalHost(uri.host)}:${uri.port}`
    const peer = this.#peers.get(key)
    if (peer?.state === 'connected' && this.#connections.isOpen(peer.connection)) return peer.connection
    if (peer?.state === 'connecting') {
      peer.waiting.add(then)
      return 'connecting'
    }
    if (noConnect || (peer?.state === 'unreachable' && now < peer.until)) return 'unreachable'
    if (this.#peers.size >= PEERS_MAX) this.#forget()
    if (this.#peers.size >= PEERS_MAX) return 'unreachable'
    this.#peers.set(key, { state: 'connecting', waiting: new Set([then]) })
    const transport = uri.scheme === 'msrps' ? 'tls' : 'tcp'
    const hop = { protocol: 'msrp', transport, host: uri.host, port: uri.port } as const
    this.#connector.connect(hop, (connection) => this.#answered(key, connection))
    return 'connecting'
  }

  #answered(key: string, connection: ConnectionId | 0): void {
    const peer = this.#peers.get(key)
    const until = this.#clock.now() + RETRY_AFTER_MS
    this.#peers.set(key, connection === 0 ? { state: 'unreachable', until } : { state: 'connected', connection })
    if (peer?.state === 'connecting') for (const then of peer.waiting) then()
  }

  #forget(): void {
    for (const [key, peer] of this.#peers) {
      const useful =
        peer.state === 'connecting' || (peer.state === 'connected' && this.#connections.isOpen(peer.connection))
      if (!useful) this.#peers.delete(key)
    }
  }
}
