import assert from 'node:assert/strict'
import { Buffer } from 'node:buffer'
import type { Address, ConnectionId, LaneIndex } from '../ids.ts'
import {
  KIND_SEND,
  R_FROM_LENGTH,
  R_MESSAGE_ID_LENGTH,
  R_TID_LENGTH,
  R_TO_LENGTH,
  R_TRANSACTION_STATE,
  REPORT_YES,
  RUN_BEGUN,
  RUN_FREE,
  T_BODY_LENGTH,
  T_CLAIMED,
  T_DEADLINE,
  T_FREE,
  T_FROM_LENGTH,
  T_GENERATION,
  T_IN_CONNECTION,
  T_MESSAGE_ID_LENGTH,
  T_NEXT,
  T_OUT_CONNECTION,
  T_POSITION,
  T_SENDING,
  T_STATE,
  T_STATE_MASK,
  T_TEXTS,
  T_URI_LENGTH,
  T_WAITING,
  T_WHAT,
  TEXTS_HEAD,
  TEXTS_MAX,
  TEXTS_OCTETS,
  TRANSACTION_OCTETS,
  TRANSACTIONS_FREE_LIST,
  TRANSACTIONS_FREED,
  TRANSACTIONS_USED,
} from '../parser/kernel/record.ts'
import type { Kernel } from '../parser/kernel.ts'
import type { Connections } from '../workers/connections.ts'
import { giveSegment, type SegmentPool } from '../workers/segments.ts'

/*
 * A transaction is one forwarded request whose response is awaited. Records lie in shared memory: the
 * response arrives at whichever lane reads the next hop's connection, and that lane settles it there and then. T_STATE
 * is generation << 2 | state:
 *
 *          open()               sweep: octets have left
 *   FREE ─────────▶ SENDING ─────────────────────────────▶ WAITING
 *     ▲                │                                     │
 *     │ free()         │  a response, or the leg is gone     │ a response, the leg is gone, or the deadline
 *     └── CLAIMED ◀────┴─────────────────────────────────────┘
 *
 * Who swaps SENDING or WAITING for CLAIMED, any lane or the sweep of the owning lane, has the record to itself until it
 * frees it. The 30 s begin when the octets have left, which the sweep notices within its period.
 */

/** Where a lane's transactions lie. */
export interface TransactionPlace {
  readonly first: Address
  readonly texts: Address
  /** Word index of the control words, TRANSACTIONS_*, which the owning lane and those that free share. */
  readonly control: number
  readonly max: number
}

/** What a REPORT about a forwarded chunk says. Texts hold a character an octet. */
export interface ForwardedSend {
  readonly messageId: string
  /** Our URIs that stood first in the SEND's To-Path: as a From-Path, they are those the REPORT comes through. */
  readonly ourUris: string
  /** The SEND's whole From-Path. */
  readonly fromPath: string
  /** `null` when the SEND had no Byte-Range. */
  readonly range: { readonly start: number; readonly total: number | null } | null
  readonly bodyLength: number
}

/** Any lane's view of any lane's transactions: to claim, read and free. */
export class Transactions {
  readonly #words: Int32Array
  readonly #floats: Float64Array
  readonly #text: Buffer
  readonly #places: readonly TransactionPlace[]
  readonly #connections: Connections

  constructor(words: Int32Array, places: readonly TransactionPlace[], connections: Connections) {
    this.#words = words
    this.#floats = new Float64Array(words.buffer)
    this.#text = Buffer.from(words.buffer as ArrayBuffer)
    this.#places = places
    this.#connections = connections
  }

  /**
   * Claims the transaction that the kernel has just found for a response, if it is open and its request went out on
   * `connection`.
   */
  claim(kernel: Kernel, record: Address, connection: ConnectionId): boolean {
    const at = record >> 2
    const seen = kernel.record[R_TRANSACTION_STATE]!
    const state = seen & 3
    if ((state !== T_SENDING && state !== T_WAITING) || this.#words[at + T_OUT_CONNECTION] !== connection) return false
    return Atomics.compareExchange(this.#words, at + T_STATE, seen, (seen & ~3) | T_CLAIMED) === seen
  }

  kind(record: Address): number {
    return this.#words[(record >> 2) + T_WHAT]! & 255
  }

  failureReport(record: Address): number {
    return (this.#words[(record >> 2) + T_WHAT]! >> 8) & 255
  }

  /** The connection that the request came on. */
  upstream(record: Address): ConnectionId {
    return this.#words[(record >> 2) + T_IN_CONNECTION]! as ConnectionId
  }

  /** A claimed SEND, for a REPORT. */
  forwardedSend(record: Address): ForwardedSend {
    const at = record >> 2
    const words = this.#words
    const texts = words[at + T_TEXTS]!
    const start = texts + TEXTS_HEAD
    const uri = start + words[at + T_MESSAGE_ID_LENGTH]!
    const from = uri + words[at + T_URI_LENGTH]!
    const rangeStart = this.#floats[texts >> 3]!
    const total = this.#floats[(texts >> 3) + 1]!
    return {
      messageId: this.#text.toString('latin1', start, uri),
      ourUris: this.#text.toString('latin1', uri, from),
      fromPath: this.#text.toString('latin1', from, from + words[at + T_FROM_LENGTH]!),
      range: rangeStart === 0 ? null : { start: rangeStart, total: total < 0 ? null : total },
      bodyLength: words[at + T_BODY_LENGTH]!,
    }
  }

  /** URIs of ours that the request visited: its response goes back through as many. */
  visited(record: Address): number {
    return this.#words[(record >> 2) + T_WHAT]! >> 16
  }

  /** Address and length of the upstream transaction id of a claimed request other than SEND. */
  upstreamTid(record: Address): { readonly address: Address; readonly length: number } {
    const at = record >> 2
    return {
      address: (this.#words[at + T_TEXTS]! + TEXTS_HEAD) as Address,
      length: this.#words[at + T_MESSAGE_ID_LENGTH]!,
    }
  }

  /** Frees a claimed record of `lane`; `own` is the table of the lane that calls. */
  free(record: Address, lane: LaneIndex, own: TransactionTable): void {
    const at = record >> 2
    const words = this.#words
    const state = words[at + T_STATE]!
    assert((state & 3) === T_CLAIMED, 'only who has claimed a transaction frees it')
    this.#connections.settle(words[at + T_IN_CONNECTION]! as ConnectionId)
    const place = this.#places[lane]!
    const texts = words[at + T_TEXTS]! as Address
    if (texts < place.texts || texts >= place.texts + place.max * TEXTS_OCTETS) giveSegment(words, texts)
    // Nobody else writes it while it is claimed, and it is shown to others by the list it goes to.
    words[at + T_STATE] = ((state & ~3) + T_GENERATION) & T_STATE_MASK
    if (lane === own.lane) {
      own.recycle(record)
      return
    }
    const { control } = place
    Atomics.add(words, control + TRANSACTIONS_FREED, 1)
    let top = Atomics.load(words, control + TRANSACTIONS_FREE_LIST)
    for (;;) {
      words[at + T_NEXT] = top
      const seen = Atomics.compareExchange(words, control + TRANSACTIONS_FREE_LIST, top, record)
      if (seen === top) return
      top = seen
    }
  }
}

/** Why a transaction ended without a response. */
export type Ending = 'timed-out' | 'leg-gone'

/** The owning lane's side: to open transactions and to end those that get no response. */
export class TransactionTable {
  readonly #kernel: Kernel
  readonly #words: Int32Array
  readonly #place: TransactionPlace
  readonly #connections: Connections
  readonly #pool: SegmentPool
  readonly #epochMs: number
  readonly lane: LaneIndex
  /** RUN_FREE, RUN_BEGUN: the kernel takes from and gives to the same list. */
  readonly #run: Int32Array

  /** Takes over the table, all free: as it is at first, or as `clearTransactions` has left it. */
  constructor(
    lane: LaneIndex,
    kernel: Kernel,
    place: TransactionPlace,
    connections: Connections,
    pool: SegmentPool,
    epochMs: number,
  ) {
    this.lane = lane
    this.#kernel = kernel
    this.#words = kernel.words
    this.#run = kernel.run
    this.#run[RUN_FREE] = 0
    this.#run[RUN_BEGUN] = 0
    this.#place = place
    this.#connections = connections
    this.#pool = pool
    this.#epochMs = epochMs
  }

  get open(): number {
    return (this.#run[RUN_BEGUN]! - this.#words[this.#place.control + TRANSACTIONS_FREED]!) | 0
  }

  /**
   * How many more requests may be forwarded from a connection that has sent `begun` of them so far (modulo 2^32). One
   * sender gets no more than a quarter of what is free, so that one who floods a receiver that never answers cannot take
   * the table from the others.
   */
  allowance(connection: ConnectionId, begun: number): number {
    const free = this.#place.max - this.open
    const outstanding = (begun - this.#connections.settled(connection)) | 0
    return Math.min(free, Math.max(64, free >> 2) - outstanding)
  }

  /**
   * A record to be filled by `begin`; 0 when there is none. Its slot is `slotOf` it.
   */
  take(): Address | 0 {
    const words = this.#words
    const { control, first, max } = this.#place
    const run = this.#run
    if (run[RUN_FREE] === 0 && words[control + TRANSACTIONS_FREE_LIST] !== 0) {
      // All that other lanes have freed, at once.
      run[RUN_FREE] = Atomics.exchange(words, control + TRANSACTIONS_FREE_LIST, 0)
    }
    const record = run[RUN_FREE]! as Address | 0
    if (record !== 0) {
      run[RUN_FREE] = words[(record >> 2) + T_NEXT]!
      return record
    }
    const used = words[control + TRANSACTIONS_USED]!
    if (used === max) return 0
    words[control + TRANSACTIONS_USED] = used + 1
    return (first + used * TRANSACTION_OCTETS) as Address
  }

  /** Puts a taken record back that was not begun. */
  untake(record: Address): void {
    this.#words[(record >> 2) + T_NEXT] = this.#run[RUN_FREE]!
    this.#run[RUN_FREE] = record
  }

  /** Takes a record of its own back that was begun. */
  recycle(record: Address): void {
    this.#run[RUN_BEGUN]! -= 1
    this.untake(record)
  }

  slotOf(record: Address): number {
    return (record - this.#place.first) / TRANSACTION_OCTETS
  }

  /**
   * Opens the transaction of the request in the kernel's record, before the kernel's `relay` fills it in: nobody looks
   * at it until the frame has been sent. False when there is no memory for texts that do not fit the record.
   */
  begin(record: Address, from: ConnectionId, to: ConnectionId): boolean {
    const at = record >> 2
    const words = this.#words
    const kept = this.#kernel.record
    const texts = kept[R_MESSAGE_ID_LENGTH]! + kept[R_FROM_LENGTH]! + kept[R_TO_LENGTH]! + kept[R_TID_LENGTH]!
    let place = this.#place.texts + this.slotOf(record) * TEXTS_OCTETS
    if (texts > TEXTS_MAX) {
      place = this.#pool.take(texts + TEXTS_HEAD)
      if (place === 0) return false
    }
    words[at + T_TEXTS] = place
    words[at + T_OUT_CONNECTION] = to
    words[at + T_IN_CONNECTION] = from
    words[at + T_POSITION] = this.#connections.queuedPosition(to)
    this.#run[RUN_BEGUN]! += 1
    // Plain, as another lane can only learn of it by a response, which goes through the primary.
    words[at + T_STATE] = (words[at + T_STATE]! & ~3) | T_SENDING
    return true
  }

  /**
   * Starts the timers of requests whose octets have left, and claims those that will get no response; `end` gets each
   * of them and frees it.
   */
  sweep(now: number, timeoutMs: number, end: (record: Address, why: Ending) => void): void {
    const words = this.#words
    const nowMs = now - this.#epochMs
    const used = words[this.#place.control + TRANSACTIONS_USED]!
    for (let i = 0, at = this.#place.first >> 2; i < used; i++, at += TRANSACTION_OCTETS >> 2) {
      const seen = Atomics.load(words, at + T_STATE)
      const state = seen & 3
      if (state === T_FREE || state === T_CLAIMED) continue
      const to = words[at + T_OUT_CONNECTION]! as ConnectionId
      let why: Ending | null = null
      if (!this.#connections.isOpen(to)) why = 'leg-gone'
      else if (state === T_SENDING) {
        if (!this.#connections.hasLeft(to, words[at + T_POSITION]!)) continue
        // Modulo 2^32, as a 32-bit count of milliseconds turns over every 49 days.
        words[at + T_DEADLINE] = nowMs + timeoutMs
        Atomics.compareExchange(words, at + T_STATE, seen, (seen & ~3) | T_WAITING)
      } else if (((nowMs - words[at + T_DEADLINE]!) | 0) >= 0) why = 'timed-out'
      if (why === null) continue
      if (Atomics.compareExchange(words, at + T_STATE, seen, (seen & ~3) | T_CLAIMED) === seen) {
        end((at << 2) as Address, why)
      }
    }
  }
}

/**
 * Forgets the transactions of a lane that has died. Nobody may be in the middle of one of them, and what they point to
 * is the dead lane's too.
 */
export function clearTransactions(words: Int32Array, { first, control }: TransactionPlace): void {
  const used = words[control + TRANSACTIONS_USED]!
  for (let i = 0, at = first >> 2; i < used; i++, at += TRANSACTION_OCTETS >> 2) {
    // The next generation: a response that still comes finds nothing.
    Atomics.store(words, at + T_STATE, ((words[at + T_STATE]! & ~3) + T_GENERATION) & T_STATE_MASK)
  }
  for (const word of [TRANSACTIONS_FREE_LIST, TRANSACTIONS_FREED, TRANSACTIONS_USED])
    Atomics.store(words, control + word, 0)
}

/** Whether the original sender is to hear of it when no response comes. */
export function wantsTimeout(kind: number, failureReport: number): boolean {
  return kind === KIND_SEND && failureReport === REPORT_YES
}
