import type { SipRequest } from '../../parser/sip/message.ts'
import type { Hop } from '../locate.ts'
import type { SipChannel } from '../transactions/channel.ts'

/** The way to a target: a flow that is at hand (S-70, S-71), or none, and its next hop has to be located (S-53). */
export type Destination =
  | { readonly kind: 'locate' }
  /** `channel` null: the flow is gone. */
  | { readonly kind: 'flow'; readonly channel: SipChannel | null }

/** One way to reach whom a request is for. */
export interface Target {
  /** As it was written, headers and all. */
  readonly requestUri: string
  /** Values of Route before those that the request has: the Path of a registration (S-68). */
  readonly route: readonly string[]
  readonly destination: Destination
  /** Other flows of the same instance, each tried when those before it have failed (S-70). */
  readonly fallbacks?: readonly Target[]
}

/** The ways out of a lane. */
export interface HopOpener {
  /** A channel to a hop, by a connection that there is or a new one; null: none can be had. Never rejects. */
  open(hop: Hop): SipChannel | null | Promise<SipChannel | null>
  /** Whether who is at the other end is trusted to say who others are, and to keep it to itself (S-55). */
  isTrusted(channel: SipChannel): boolean
  /** Protocol and sent-by of our Via on what goes out by a channel, such as `SIP/2.0/TCP relay.test:5060` (S-20). */
  viaFor(channel: SipChannel): string
  /**
   * Value of our Record-Route for a request that has come by one channel and goes out by another; two values, with a
   * comma, when they differ in transport, that of the way out first (RFC 5658).
   */
  recordRouteFor(request: SipRequest, incoming: SipChannel, outgoing: SipChannel): string
}

/** What may travel in one datagram when nobody knows the path, octets (S-24). */
const datagramOctetsMax = 1_300

/** Whether a request of so many octets may go out by a channel (S-24, S-82). */
export function fits(channel: SipChannel, method: string, octets: number): boolean {
  // Another method's last resort is fragments; but a MESSAGE is refused rather than put where it may clog the net.
  return channel.reliable || octets <= datagramOctetsMax || method !== 'MESSAGE'
}

/** The hops for a request of so many octets: what is too large for a datagram goes over TCP, which every UDP server has (S-24). */
export function congestionSafe(hops: readonly Hop[], method: string, octets: number): readonly Hop[] {
  if (octets <= datagramOctetsMax) return hops
  return hops.flatMap((hop) => {
    if (hop.transport !== 'udp') return hop
    const overTcp: Hop = { ...hop, transport: 'tcp' }
    // S-82
    return method === 'MESSAGE' ? overTcp : [overTcp, hop]
  })
}
