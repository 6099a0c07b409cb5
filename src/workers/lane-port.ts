import type { Protocol } from '../config/address.ts'
import type { Address, ConnectionId, LaneIndex } from '../ids.ts'
import type { Logger } from '../log.ts'
import type { FailedText } from '../msrp/failed-texts.ts'
import type { KeepAnswer, OutgoingMessage } from '../silo/order.ts'
import type { RegisterAnswer } from '../sip/registrar/location.ts'
import type { RegisterRequest } from '../sip/registrar/register-request.ts'
import type { KeepColumns, OrderColumns, OutcomeColumns } from './silo-columns.ts'

export type { Protocol }

/** Why we end a connection. */
export type CloseReason =
  /** Framing is lost, or too many malformed frames (M-60). */
  | 'malformed'
  /** What comes is not even the protocol that is spoken here (W-6). */
  | 'foreign'
  /** No successful request in time, or several failures and no success. */
  | 'probation'
  /** The first To-Path URI is not ours at all. */
  | 'misdirected'
  /** Memory is short. */
  | 'pressure'
  /** The routing asked for it. */
  | 'routing'

export const closeReasons: readonly CloseReason[] = [
  'malformed',
  'foreign',
  'probation',
  'misdirected',
  'pressure',
  'routing',
]

/** How octets travel on a connection: below `ws` and `wss`, in whole messages. */
export type StreamTransport = 'tcp' | 'tls' | 'ws' | 'wss'

/** Where a connection leads, as far as a lane needs to know. */
export interface Flow {
  /** Index of the listener it was accepted at; -1 when we connected. */
  readonly listener: number
  readonly transport: StreamTransport
  /** What is spoken on it; null: both may be, and the first octets tell. */
  readonly protocol: Protocol | null
  /** The peer's IP address, IPv6 without brackets, and port. */
  readonly address: string
  readonly port: number
}

/** A next hop to connect to. */
export interface NextHop {
  readonly protocol: Protocol
  readonly transport: 'tcp' | 'tls'
  readonly host: string
  readonly port: number
  /** TLS: the name that the certificate must be for; default `host`. */
  readonly servername?: string
}

/**
 * Octets in front of a datagram, in either direction: who it came from, or who it goes to. The port (two octets, little
 * endian), the length of the IP address as text (one octet), the text (at most 45 octets); the rest is unused.
 */
export const DATAGRAM_HEAD_OCTETS = 48

/** A session began, as the primary needs to know it for the session store. */
export interface SessionOpened {
  readonly type: 'session-opened'
  readonly connection: ConnectionId
  /** See SessionRecord.id. */
  readonly id: string
  readonly username: string
  readonly createdAt: number
  readonly expiresAt: number
}

/** What a session has carried so far; `closed` once it has ended. */
export interface SessionProgress {
  readonly id: string
  readonly framesFrom: number
  readonly framesTo: number
  readonly octetsFrom: number
  readonly octetsTo: number
  readonly closed: boolean
}

/** What a lane asks of the primary, or tells it, beside the frames: rare enough for a copy. */
export type LaneMessage =
  | SessionOpened
  | { readonly type: 'session-progress'; readonly sessions: readonly SessionProgress[] }
  /** Connect to a next hop, or find the connection that is there; `request` comes back with the answer. */
  | { readonly type: 'connect'; readonly request: number; readonly hop: NextHop }
  /** REGISTERs for the location service; each `request` comes back with its answer. A message for each would cost more. */
  | { readonly type: 'register'; readonly requests: Numbered<RegisterRequest> }
  /** MESSAGEs for the silo, in the same way. */
  | { readonly type: 'keep'; readonly numbers: readonly number[]; readonly requests: KeepColumns }
  /** Texts of MSRP for the silo, in the same way. */
  | { readonly type: 'keep-text'; readonly requests: Numbered<FailedText> }
  /** What became of deliveries, under the numbers that the primary gave them. */
  | { readonly type: 'delivered'; readonly numbers: readonly number[]; readonly outcomes: OutcomeColumns }
  | LogMessage

/** What the primary tells a lane beside the frames: rare enough for a copy. */
export type PrimaryMessage = SipPrimaryMessage | { readonly type: 'text-kept'; readonly answers: Numbered<boolean> }

/** What it tells SIP. */
export type SipPrimaryMessage =
  | { readonly type: 'registered'; readonly answers: Numbered<RegisterAnswer> }
  | { readonly type: 'kept'; readonly answers: Numbered<KeepAnswer> }
  /** Messages of the silo to be sent; each number comes back with what became of it. */
  | { readonly type: 'deliver'; readonly numbers: readonly number[]; readonly orders: OrderColumns }
  /** Notices, which nobody asks about. */
  | { readonly type: 'send'; readonly messages: readonly OutgoingMessage[] }

/**
 * The octets with a buffer of their own: a message to another thread copies the whole buffer of what it holds, which may be
 * one that many share.
 */
export function ownOctets(octets: Uint8Array): Uint8Array {
  return octets.byteLength === octets.buffer.byteLength ? octets : new Uint8Array(octets)
}

/** Values, each with the number that its answer comes back under: in columns, as a copy of many small objects costs more. */
export interface Numbered<Value> {
  readonly numbers: readonly number[]
  readonly values: readonly Value[]
}

/** A line for the log, from a thread that has none. */
export interface LogMessage {
  readonly type: 'log'
  readonly level: keyof Logger
  readonly fields: object
  readonly message: string
}

/** What a lane may ask of the thread that owns the sockets. Calls are orders: what comes first happens first. */
export interface LanePort {
  /** Sends the octets of a segment, then gives the segment back. On a WebSocket they are one message. */
  write(connection: ConnectionId, segment: Address, octets: number): void
  /** Sends a datagram from a listener's socket, then gives the segment back. `octets` counts the head in front of it. */
  datagram(listener: number, segment: Address, octets: number): void
  /** Gives what a segment holds to another lane; which gives the segment back: see LaneFeed.handed. */
  hand(lane: LaneIndex, segment: Address, octets: number): void
  /** Closes the connection after everything written to it so far. */
  close(connection: ConnectionId, reason: CloseReason): void
  /** The lane has worked off what it owed: read on. */
  resume(connection: ConnectionId): void
  /** The lane has forgotten a closed connection: its slot may be used again. */
  released(connection: ConnectionId): void
  post(message: LaneMessage): void
  /** End of a batch of calls. */
  flush(): void
}

/** What the primary tells a lane. Calls are orders, as in LanePort. */
export interface LaneFeed {
  /** A connection has begun. */
  opened(connection: ConnectionId, flow: Flow): void
  /**
   * Octets have come in: `octets` at `address`, which are reused when this returns. False when they cannot be taken now:
   * nothing has been taken of them.
   */
  data(connection: ConnectionId, address: Address, octets: number): boolean
  /** One whole WebSocket message; otherwise as `data`. */
  message(connection: ConnectionId, address: Address, octets: number): boolean
  /**
   * A datagram has come in at a listener, with its head in front of it; otherwise as `data`. Those of one source all go to
   * one lane. What cannot be taken is dropped, as the network would.
   */
  datagram(listener: number, address: Address, octets: number): boolean
  /**
   * Another lane hands something over: `octets` in a segment of its own. The segment is given back before this returns,
   * also if it throws: whoever carries it has counted on that, should the lane die.
   */
  handed(segment: Address, octets: number): void
  /** The peer is gone or will send no more. The lane answers with `released`. */
  closed(connection: ConnectionId): void
  /** The queue of a receiver that the lane waits for has drained. */
  drained(connection: ConnectionId): void
  /** Answer to a `connect`: the connection, 0 when there is none. */
  answered(request: number, connection: ConnectionId | 0): void
  told(message: PrimaryMessage): void
  /** End of a batch of calls. */
  flush(): void
}
