import type { ConnectionId } from '../ids.ts'
import { ReaderState } from '../parser/msrp/reader.ts'
import type { Verdict } from '../routing/routing.ts'
import type { Session } from './sessions.ts'

/** Shared by all that have nothing: thousands of connections may be idle. */
const none: readonly never[] = []

/** What the relay knows of one connection that its lane reads. */
export class MsrpConnection extends ReaderState {
  readonly id: ConnectionId
  /** Index of the listener it was accepted at; -1 when we connected. */
  readonly listener: number
  /** Milliseconds since the Unix epoch. */
  readonly openedAt: number
  /** A request of this peer was accepted: its probation is over. */
  trusted = false
  /** Requests refused while it was not trusted. */
  refusals = 0
  /** AUTHs with wrong credentials. */
  failedAuths = 0
  /** Malformed frames in a row, and when the latest ten came (M-60). */
  malformedInRow = 0
  malformedAt: readonly number[] = none
  /** Requests forwarded whose outcome is awaited or known, modulo 2^32. */
  begun = 0
  /** Octets received that the primary has not been told to be done with. */
  unconsumed = 0
  /** The receiver whose queue it waits for, 0 when it does not. */
  waitsFor: ConnectionId | 0 = 0
  /** We are done with it: it is being closed. */
  closing = false
  /** A routing is deciding about the first frame of the backlog … */
  deciding = false
  /** … and has decided. */
  decided: Verdict | null = null

  // Nearly always one session is bound to it, which needs no Set; to a relay's connection it may be thousands.
  #session: Session | null = null
  #others: Set<Session> | null = null

  constructor(id: ConnectionId, listener: number, now: number) {
    super()
    this.id = id
    this.listener = listener
    this.openedAt = now
  }

  /** Sessions bound to it. */
  get sessions(): readonly Session[] {
    const others = this.#others === null ? none : [...this.#others]
    return this.#session === null ? others : [this.#session, ...others]
  }

  bind(session: Session): void {
    if (this.#session === null) this.#session = session
    else (this.#others ??= new Set()).add(session)
  }

  unbind(session: Session): void {
    if (this.#session === session) this.#session = null
    else this.#others?.delete(session)
  }
}
