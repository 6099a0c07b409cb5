import type { MessageId } from '../ids.ts'
import type { NewMessage } from '../store/silo-store.ts'

// Plain data: all of it crosses threads.

/** Where a stored message goes. */
export type DeliveryTarget =
  /** `contact` is that of one of the bindings of `aor`. */
  | { readonly kind: 'contact'; readonly aor: string; readonly contact: string }
  /** `silo.outbound_proxy`, which finds the way to the owner itself (SILO-22). */
  | { readonly kind: 'outbound-proxy' }

/** One attempt to deliver one stored message. */
export interface DeliveryOrder {
  /** See `encodeRecord`. */
  readonly record: Uint8Array
  readonly id: MessageId
  readonly kind: 'offline' | 'reminder'
  /** When the reminder was due, milliseconds since the Unix epoch (SILO-41); 0: an offline message. */
  readonly sndTime: number
  /** 1, 2, …: the number of its CSeq, as every delivery has the same Call-ID (SILO-31). */
  readonly attempt: number
  readonly target: DeliveryTarget
}

export type DeliveryOutcome =
  /** A final answer. */
  | { readonly kind: 'answered'; readonly status: number; readonly reason: string }
  /** There was no way to it. */
  | { readonly kind: 'unreachable' }
  /** It was sent, and no final answer came within 64*T1. It may have been delivered. */
  | { readonly kind: 'timed-out' }

/** A MESSAGE of our own, a notice or an IMDN: complete but for Via, Max-Forwards and tags. */
export interface OutgoingMessage {
  readonly requestUri: string
  /** A URI or a name-addr, without tag; so is `to`. */
  readonly from: string
  readonly to: string
  readonly callId: string
  readonly cseq: number
  readonly headers: readonly (readonly [name: string, value: string])[]
  readonly contentType: string
  readonly body: Uint8Array
  /** URI of the outbound proxy. Null: it is routed by its Request-URI. */
  readonly via: string | null
}

/** What a lane asks of the silo: that a MESSAGE be kept. */
export interface KeepRequest {
  readonly message: NewMessage
  /** Tells the sender that its message was stored (SILO-12). */
  readonly notice: OutgoingMessage | null
  /** Who tells whom; one notice a minute goes out for each. Empty where there is none. */
  readonly noticeKey: string
  /** `<stored/>`, when the message asked for it (C-9). */
  readonly imdn: OutgoingMessage | null
}

export type KeepAnswer =
  /** `delivered`: while the answer waited for a device to wake up, it took the message with 2xx. */
  | { readonly kept: true; readonly delivered: boolean }
  /** The answer to the sender. `retryAfter`: seconds. */
  | { readonly kept: false; readonly status: number; readonly reason: string; readonly retryAfter: number | null }
