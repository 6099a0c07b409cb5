import type { Address, ConnectionId } from '../ids.ts'
import type { Logger } from '../log.ts'

/** Why we end a connection. */
export type CloseReason =
  /** Framing is lost, or too many malformed frames (M-60). */
  | 'malformed'
  /** No successful request in time, or several failures and no success. */
  | 'probation'
  /** The first To-Path URI is not ours at all. */
  | 'misdirected'
  /** Memory is short. */
  | 'pressure'
  /** The routing asked for it. */
  | 'routing'

export const closeReasons: readonly CloseReason[] = ['malformed', 'probation', 'misdirected', 'pressure', 'routing']

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
  /** Connect to a foreign next hop; `request` comes back with the answer. */
  | { readonly type: 'connect'; readonly request: number; readonly host: string; readonly port: number }
  | LogMessage

/** A line for the log, from a thread that has none. */
export interface LogMessage {
  readonly type: 'log'
  readonly level: keyof Logger
  readonly fields: object
  readonly message: string
}

/** What a lane may ask of the thread that owns the sockets. Calls are orders: what comes first happens first. */
export interface LanePort {
  /** Sends the octets of a segment, then gives the segment back. */
  write(connection: ConnectionId, segment: Address, octets: number): void
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
  /** A connection has begun; `listener` is -1 when we made it. */
  opened(connection: ConnectionId, listener: number): void
  /**
   * Octets have come in: `octets` at `address`, which are reused when this returns. False when they cannot be taken now:
   * nothing has been taken of them.
   */
  data(connection: ConnectionId, address: Address, octets: number): boolean
  /** The peer is gone or will send no more. The lane answers with `released`. */
  closed(connection: ConnectionId): void
  /** The queue of a receiver that the lane waits for has drained. */
  drained(connection: ConnectionId): void
  /** Answer to a `connect`: the connection, 0 when there is none. */
  answered(request: number, connection: ConnectionId | 0): void
  /** End of a batch of calls. */
  flush(): void
}
