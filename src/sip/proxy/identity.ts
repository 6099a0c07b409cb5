import type { SipRequest } from '../../parser/sip/message.ts'
import type { Destination } from './target.ts'

/** What is this proxy itself, and which flows its Record-Route and Path values stand for. */
export interface ProxyIdentity {
  /** Whether host and port of a Via, Route or Request-URI are ours. */
  isSelf(at: { readonly host: string; readonly port: number | null }): boolean
  /**
   * Where a flow token of ours leads a request (RFC 5626 §5.3): to the flow at the other side, or to wherever the request
   * says itself; null: the token has been tampered with (S-70).
   */
  flowOf(token: string, request: SipRequest): Destination | null
}
