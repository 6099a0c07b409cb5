import type { Address, ConnectionId, ConnectionSlot, LaneIndex } from '../ids.ts'
import { CONNECTION_ID, CONNECTION_SETTLED, CONNECTION_SLOT_MASK } from '../parser/kernel/record.ts'

/*
 * What threads share of a connection, CONNECTION_OCTETS each:
 *
 *   id        the connection in this slot, 0 when there is none
 *   queued    octets of segments that lanes have ever sent to it      (modulo 2^32)
 *   written   octets of segments that have left for the kernel        (modulo 2^32)
 *   waiters   a bit for each lane that wants to know when the queue has drained
 *   consumed  octets of its input that its lane is done with           (modulo 2^32)
 *   hungry    1: the primary has paused it and waits for `consumed` to grow
 *   lane      the lane that reads it, and whether it takes whole messages only (a WebSocket)
 *   settled   requests from it that were forwarded and whose outcome is known (modulo 2^32)
 *
 * A slot is used again only when its lane has released it, and `queued` and `written` go on from where they were, since
 * other lanes may still be sending to the connection that was there.
 *
 * queued - written is what waits in memory for a receiver that does not read; it is bounded by QUEUE_MAX plus a segment
 * for each lane, as a lane looks before each frame.
 */

const ID = CONNECTION_ID
const QUEUED = 1
const WRITTEN = 2
const WAITERS = 3
const CONSUMED = 4
const HUNGRY = 5
const LANE = 6
const LANE_MASK = 31
const FRAMED = 1 << 8
const SETTLED = CONNECTION_SETTLED

const SLOT_BITS = 20
const SLOT_MASK = CONNECTION_SLOT_MASK
const GENERATION_MASK = (1 << 11) - 1

/** Most connections a table can hold. */
export const CONNECTIONS_MAX = 1 << SLOT_BITS

/** Octets of segments that may wait for one receiver before senders to it are held back. */
export const QUEUE_MAX = 262_144
/**
 * Octets of input a lane in another thread may owe for one connection before the primary stops reading it. A lane in the
 * primary owes nothing but what it had to stall, so there a single octet stops the reading.
 */
export const INPUT_WINDOW = 65_536

export function slotOf(connection: ConnectionId): ConnectionSlot {
  return (connection & SLOT_MASK) as ConnectionSlot
}

/** The id after `previous` in the same slot; never 0. */
export function nextConnectionId(slot: ConnectionSlot, previous: number): ConnectionId {
  const generation = ((previous >> SLOT_BITS) + 1) & GENERATION_MASK
  return (((generation || 1) << SLOT_BITS) | slot) as ConnectionId
}

/** The shared side of all connections, for whichever thread. */
export class Connections {
  readonly #words: Int32Array
  readonly #first: number

  constructor(words: Int32Array, start: Address) {
    this.#words = words
    this.#first = start >> 2
  }

  #at(connection: number): number {
    return this.#first + ((connection & SLOT_MASK) << 3)
  }

  /**
   * Primary: a connection begins.
   * @param framed it is a WebSocket: each segment becomes a message
   */
  open(connection: ConnectionId, lane: LaneIndex, framed = false): void {
    const at = this.#at(connection)
    const words = this.#words
    for (const word of [WAITERS, CONSUMED, HUNGRY, SETTLED]) Atomics.store(words, at + word, 0)
    Atomics.store(words, at + LANE, framed ? lane | FRAMED : lane)
    Atomics.store(words, at + ID, connection)
  }

  /** Primary: it is gone; nothing sent to it will leave. */
  close(connection: ConnectionId): void {
    Atomics.store(this.#words, this.#at(connection) + ID, 0)
  }

  isOpen(connection: ConnectionId): boolean {
    return this.#words[this.#at(connection) + ID] === connection
  }

  /**
   * Octets of segments waiting to leave. A plain read, many times cheaper than an atomic one: an old value is as good,
   * as who acts on it (`await`) looks again.
   */
  waiting(connection: ConnectionId): number {
    const at = this.#at(connection)
    return (this.#words[at + QUEUED]! - this.#words[at + WRITTEN]!) | 0
  }

  /** The same, no older than what this thread last did to the connection. */
  waitingNow(connection: ConnectionId): number {
    const at = this.#at(connection)
    return (Atomics.load(this.#words, at + QUEUED) - Atomics.load(this.#words, at + WRITTEN)) | 0
  }

  /** Lane: a segment goes out. */
  queue(connection: ConnectionId, octets: number): void {
    Atomics.add(this.#words, this.#at(connection) + QUEUED, octets)
  }

  /** What `written` will be when everything queued so far has left. */
  queuedPosition(connection: ConnectionId): number {
    return this.#words[this.#at(connection) + QUEUED]!
  }

  /** Whether everything that was queued at `position` has left. */
  hasLeft(connection: ConnectionId, position: number): boolean {
    return ((Atomics.load(this.#words, this.#at(connection) + WRITTEN) - position) | 0) >= 0
  }

  /** Primary: a segment has left (or its connection is gone). */
  written(connection: ConnectionId, octets: number): void {
    Atomics.add(this.#words, this.#at(connection) + WRITTEN, octets)
  }

  /** Lane: asks to be told when the queue has drained. Look at `waiting` again after this. */
  await(connection: ConnectionId, lane: LaneIndex): void {
    Atomics.or(this.#words, this.#at(connection) + WAITERS, 1 << lane)
  }

  /** Primary: the lanes that asked, as bits; they are forgotten. */
  takeWaiters(connection: ConnectionId): number {
    const index = this.#at(connection) + WAITERS
    return Atomics.load(this.#words, index) === 0 ? 0 : Atomics.exchange(this.#words, index, 0)
  }

  /** Lane: is done with octets of input. True if the primary is to be told. */
  consume(connection: ConnectionId, octets: number): boolean {
    const at = this.#at(connection)
    Atomics.add(this.#words, at + CONSUMED, octets)
    return Atomics.load(this.#words, at + HUNGRY) === 1 && Atomics.exchange(this.#words, at + HUNGRY, 0) === 1
  }

  /** Primary: of `delivered` octets (modulo 2^32), those that the lane is not done with. */
  owed(connection: ConnectionId, delivered: number): number {
    return (delivered - Atomics.load(this.#words, this.#at(connection) + CONSUMED)) | 0
  }

  /** Primary: wants to be told of the next `consume`. Look at `owed` again after this. */
  hunger(connection: ConnectionId): void {
    Atomics.store(this.#words, this.#at(connection) + HUNGRY, 1)
  }

  /** Forwarded requests from this connection whose outcome is known, modulo 2^32. */
  settled(connection: ConnectionId): number {
    return this.#words[this.#at(connection) + SETTLED]!
  }

  /** One more of them. Nothing once the connection is gone. */
  settle(connection: ConnectionId): void {
    const at = this.#at(connection)
    if (this.#words[at + ID] === connection) Atomics.add(this.#words, at + SETTLED, 1)
  }

  laneOf(connection: ConnectionId): LaneIndex {
    return (this.#words[this.#at(connection) + LANE]! & LANE_MASK) as LaneIndex
  }

  /** Whether what is sent becomes messages, one a segment. */
  isFramed(connection: ConnectionId): boolean {
    return (this.#words[this.#at(connection) + LANE]! & FRAMED) !== 0
  }
}
