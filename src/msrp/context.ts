import type { Authenticator } from '../auth/authenticator.ts'
import type { Clock } from '../clock.ts'
import type { Config } from '../config/schema.ts'
import type { ConnectionId, LaneIndex } from '../ids.ts'
import type { Logger } from '../log.ts'
import type { Kernel } from '../parser/kernel.ts'
import type { Routing } from '../routing/routing.ts'
import type { Connections } from '../workers/connections.ts'
import type { CloseReason, LanePort } from '../workers/lane-port.ts'
import type { Outbox } from '../workers/outbox.ts'
import type { MsrpConnection } from './connection.ts'
import type { FailedText } from './failed-texts.ts'
import type { Identity } from './identity.ts'
import type { Peers } from './peers.ts'
import type { SessionTable } from './sessions.ts'
import type { Transactions, TransactionTable } from './transactions.ts'

/** What a relay asks of the lane it runs in. */
export interface LaneServices {
  /** The stream was stalled because this receiver's queue is full: resume it when that has drained. */
  resumeWhenDrained(stream: MsrpConnection, receiver: ConnectionId): void
  /** The stream was stalled for want of memory or transactions: resume it at the next tick. */
  resumeSoon(stream: MsrpConnection): void
  /** Resumes a stalled stream now, if it still is there. */
  resume(stream: MsrpConnection): void
  /** Ends a connection, after what has been written to it. */
  close(stream: MsrpConnection, reason: CloseReason): void
}

/** All that the relay of one lane works with. */
export interface RelayContext {
  readonly lane: LaneIndex
  readonly config: Config
  readonly log: Logger
  readonly clock: Clock
  readonly kernel: Kernel
  /** The lane's row of counters. */
  readonly row: Float64Array
  readonly connections: Connections
  readonly outbox: Outbox
  readonly port: LanePort
  readonly services: LaneServices
  readonly identity: Identity
  readonly sessions: SessionTable
  readonly transactions: Transactions
  readonly table: TransactionTable
  readonly peers: Peers
  readonly authenticator: Authenticator
  readonly routing: Routing
  /** Gives a text to the silo; whether it has kept it. Null: none are kept. */
  readonly keepText: ((text: FailedText) => Promise<boolean>) | null
  /** From when expiry seconds in shared memory count. */
  readonly epochMs: number
}
