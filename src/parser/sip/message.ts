import type { Buffer } from 'node:buffer'
import type { HeaderName } from './headers.ts'
import type { SipProblem } from './problem.ts'
import type { SipUri } from './uri.ts'
import type { CSeq, NameAddr, Via } from './values.ts'

export type { HeaderName } from './headers.ts'
export type { SipProblem } from './problem.ts'

/**
 * One SIP message. It owns its octets, a copy in ordinary memory, and may be kept as long as one likes. Values are decoded
 * when they are first asked for, as UTF-8, and kept.
 */
export type SipMessage = SipRequest | SipResponse

interface MessageBase {
  /** The whole message, start line to last body octet; what a datagram had beyond Content-Length is cut off (S-5). */
  readonly octets: Buffer
  /** Where everything is in `octets`, as laid out in kernel/sip-record.ts: for those who rewrite messages. */
  readonly index: readonly number[]
  /** Octets of the head, a character each: what commas and semicolons are looked for in, and what is copied. */
  latin1(start: number, end: number): string
  /** The first fault that S-1 … S-13 make a receiver answer or drop the message for; null: well formed where it matters. */
  readonly problem: SipProblem | null
  /** First value line of a header, unfolded (S-2); null when there is none. Compact forms count (S-4). */
  header(name: HeaderName): string | null
  /** Every value line of a header, unfolded, in order, not split at commas. */
  headers(name: HeaderName): readonly string[]
  /** The values of a header over all its lines, split at commas where S-2 and S-3 allow; empty ones are left out. */
  list(name: HeaderName): readonly string[]
  /** '' when there is none. */
  readonly callId: string
  /** null when missing or malformed, as with all that follow. */
  readonly cseq: CSeq | null
  readonly from: NameAddr | null
  readonly to: NameAddr | null
  /** All of them in order, up to the first malformed one. */
  readonly vias: readonly Via[]
  readonly topVia: Via | null
  /** How many `vias` there are. */
  readonly viaCount: number
  /** 0 … 255; null also when it is more (S-7). */
  readonly maxForwards: number | null
  /** Seconds, below 2^32; null also when it is more, or no number (S-62). */
  readonly expires: number | null
  /** null: none. Malformed ones are left out (`bad-contact`). */
  readonly contacts: readonly NameAddr[] | '*' | null
  /** Malformed ones are left out (`bad-route`, `bad-path`). */
  readonly routes: readonly NameAddr[]
  readonly recordRoutes: readonly NameAddr[]
  readonly paths: readonly NameAddr[]
  /** Lies in `octets`. */
  readonly body: Buffer
}

/** Where a request has come from, as its top Via is to say (S-21). */
export interface Received {
  /** IP address, without brackets. */
  readonly address: string
  /** null: `rport` was not asked for. */
  readonly port: number | null
}

export interface SipRequest extends MessageBase {
  readonly kind: 'request'
  readonly method: string
  readonly requestUri: string
  /** null: not a sip or sips URI, or malformed. */
  readonly uri: SipUri | null
  /** Added to its top Via in all that is made of it (S-21); null unless something was noted. */
  readonly received: Received | null
  /** Notes where it has come from. Its top Via is well formed. */
  noteReceived(received: Received): void
  /** Lets go of what has been decoded, for who keeps the request for long: it is decoded anew when it is asked for. */
  forget(): void
}

export interface SipResponse extends MessageBase {
  readonly kind: 'response'
  /** As written, 0 … 999. */
  readonly status: number
  readonly reason: string
}
