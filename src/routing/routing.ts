import type { AuthOutcome } from '../auth/authenticator.ts'
import type { Result } from '../errors.ts'
import type { ByteRange, MsrpFrame, ReportWish } from '../parser/msrp/frame.ts'
import type { MsrpUri } from '../parser/msrp/uri.ts'

/*
 * What a routing decides and what it may ask. The relay's own behaviour is a routing too (default-routing.ts); an
 * operator's is used in its place. Every request and response of a peer passes here once.
 */

declare const verdict: unique symbol

/** What is to become of a frame: only the actions below make one. */
export interface Verdict {
  readonly [verdict]: true
}

/** A plain verdict costs no promise; while a promised one is awaited, its connection is not read. */
export type Decision = Verdict | Promise<Verdict>

/** Header lines in order, name and value. */
export type HeaderLines = readonly (readonly [name: string, value: string])[]

/** Kamailio's flags 1 and 2 (K-2). */
export interface SendFlags {
  /** Only over a connection that is already there. */
  readonly noConnect?: boolean
  /** Close the next hop's connection after this frame. */
  readonly closeAfterSend?: boolean
}

/** A request as a routing sees it; good until the routing returns or first awaits. */
export type MsrpRequest = MsrpFrame
/** A response as a routing sees it. */
export type MsrpResponse = MsrpFrame

/** Why a session could not be made. */
export type BindRefusal =
  /** the asked-for Expires is under `bound` seconds. */
  | { readonly reason: 'expires-too-small'; readonly bound: number }
  | { readonly reason: 'expires-too-large'; readonly bound: number }
  | { readonly reason: 'too-many-sessions' }

/** What an AUTH has got. */
export interface Bound {
  /** Value of Use-Path: relays on the way, nearest to the client first, then ours. */
  readonly usePath: string
  /** Seconds until the URI dies. */
  readonly expires: number
}

export interface Sessions {
  /** Binds a new session of `username` to the connection that the AUTH came on (msrp_cmap_save, K-4). */
  bind(auth: MsrpRequest, username: string): Result<Bound, BindRefusal>
}

export interface Auth {
  /** Whether AUTH may travel on this connection: over TLS, or where the operator allows it in the clear. */
  allowed(): boolean
  /**
   * Judges the Authorization headers of an AUTH (D-1 … D-14). A promise when somebody has to be asked who is far away:
   * return it, and the routing is asked again about the same frame when the answer is there, which `verify` then gives at
   * once.
   */
  verify(auth: MsrpRequest): AuthOutcome | Promise<Verdict>
}

export interface MsrpActions {
  readonly sessions: Sessions
  readonly auth: Auth
  /** Sends the frame on, if R-10 … R-17 permit it; else it is answered as they say. */
  relay(flags?: SendFlags): Verdict
  /** Answers a request (msrp_reply, K-1). Nothing is sent where M-51 and M-52 forbid an answer. */
  reply(status: number, comment: string, headers?: HeaderLines): Verdict
  /** Nothing more is done with the frame. */
  drop(): Verdict
}

/** The decisions of a relay. What is left out is done as the default routing does it. */
export interface Routing {
  /** event_route[msrp:frame-in] for requests. */
  onMsrpRequest?(frame: MsrpRequest, msrp: MsrpActions): Decision
  /** … and for responses; `reply` there drops the response. */
  onMsrpResponse?(frame: MsrpResponse, msrp: MsrpActions): Decision
}

export type { AuthOutcome, ByteRange, MsrpFrame, MsrpUri, ReportWish }
