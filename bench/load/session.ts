import type { Connection } from './connection.ts'
import type { Inbox } from './frame-reader.ts'
import type { Outbox } from './outbox.ts'
import type { Payload } from './payload.ts'
import { randomIdent, readSequence, SEQUENCE_DIGITS } from './sequence.ts'
import type { Tally } from './tally.ts'
import { Window } from './window.ts'

/** A larger body must say that it may be interrupted (M-41). */
const UNINTERRUPTIBLE_MAX = 2048

/** Random letters in front of the sequence number in our transaction ids and Message-IDs. */
const PREFIX_LENGTH = 10

/** Octets of our transaction ids and Message-IDs. */
export const IDENT_LENGTH = PREFIX_LENGTH + SEQUENCE_DIGITS

/** Stands where a sequence number will be written. */
export const SEQUENCE_GAP = '0'.repeat(SEQUENCE_DIGITS)

/** Octets of our frames at most, without the body: five URIs, the fixed headers, two transaction ids. */
export const FRAME_OVERHEAD_MAX = 4096

/** What all pairs of a run share. */
export interface Shared {
  readonly inbox: Inbox
  readonly outbox: Outbox
  readonly payload: Payload
  readonly tally: Tally
  readonly schedule: Schedule
}

/** When SENDs are due. */
export interface Schedule {
  /** False: no more SENDs. */
  running: boolean
  readonly pairs: number
  /** Open loop: message n of pair p is due at startedAt + (n * pairs + p) * intervalMs. Closed loop: 0. */
  readonly intervalMs: number
  startedAt: number
}

/** What the two ends of one session agree on. */
export class Session {
  readonly index: number
  readonly sender: Connection
  readonly receiver: Connection
  /** The relay's URIs in the order a SEND visits them: the receiver's, or the sender's own and then the receiver's. */
  readonly hops: readonly string[]
  readonly window: Window
  readonly tidPrefix = `s${randomIdent(PREFIX_LENGTH - 1)}`
  readonly idPrefix = `m${randomIdent(PREFIX_LENGTH - 1)}`
  /** Octets between the Message-ID and the body. */
  readonly content: string

  constructor(
    index: number,
    sender: Connection,
    receiver: Connection,
    hops: readonly string[],
    window: number,
    size: number,
  ) {
    this.index = index
    this.sender = sender
    this.receiver = receiver
    this.hops = hops
    this.window = new Window(window)
    const end = size > UNINTERRUPTIBLE_MAX ? '*' : size
    this.content = `\r\nByte-Range: 1-${end}/${size}\r\nContent-Type: text/plain\r\n\r\n`
  }
}

/** The sequence number in a transaction id or Message-ID of ours, -1 when it is none of this session's. */
export const sequenceIn = (ident: string, prefix: string): number =>
  ident.length === IDENT_LENGTH && ident.startsWith(prefix)
    ? readSequence(Buffer.from(ident, 'latin1'), PREFIX_LENGTH)
    : -1
