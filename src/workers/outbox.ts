import assert from 'node:assert/strict'
import { Buffer } from 'node:buffer'
import type { Address, ConnectionId } from '../ids.ts'
import { type Connections, QUEUE_MAX, slotOf } from './connections.ts'
import type { LanePort } from './lane-port.ts'
import { type SegmentPool, segmentSizes } from './segments.ts'

/** Octets that a segment is taken for at most if no frame needs more: nearly all of the third size. */
const wantedMax = segmentSizes[2] - 64

/**
 * What a lane sends. Frames are composed straight into a segment of their connection; a segment goes to the primary
 * when it is full or when the lane has worked off its batch (`flush`). A segment holds whole frames only, so segments
 * of several lanes to one connection never mix inside a frame.
 */
export class Outbox {
  readonly #port: LanePort
  readonly #pool: SegmentPool
  readonly #connections: Connections
  readonly #octets: Buffer
  // By connection slot: the open segment, its connection, and where the next frame goes.
  readonly #segment: Int32Array
  readonly #owner: Int32Array
  readonly #next: Int32Array
  readonly #room: Int32Array
  /** 1: a segment takes one frame only, as it becomes a WebSocket message (W-3). */
  readonly #framed: Uint8Array
  readonly #open: ConnectionId[] = []
  #batch = 0

  constructor(
    buffer: ArrayBufferLike,
    port: LanePort,
    pool: SegmentPool,
    connections: Connections,
    maxConnections: number,
  ) {
    this.#port = port
    this.#pool = pool
    this.#connections = connections
    this.#octets = Buffer.from(buffer as ArrayBuffer)
    this.#segment = new Int32Array(maxConnections)
    this.#owner = new Int32Array(maxConnections)
    this.#next = new Int32Array(maxConnections)
    this.#room = new Int32Array(maxConnections)
    this.#framed = new Uint8Array(maxConnections)
  }

  /** Segments that `flush` would send. */
  get openSegments(): number {
    return this.#open.length
  }

  /** Octets of input that are about to be worked off: what goes out will be about as much. */
  expect(octets: number): void {
    this.#batch = octets
  }

  /**
   * Whether so much waits for this receiver that its senders must be held back. The allowance shrinks with the
   * free memory of the pool, so that receivers who do not read can never take all of it.
   */
  isFull(connection: ConnectionId): boolean {
    const allowance = Math.max(1, Math.min(QUEUE_MAX, this.#pool.free >> 3))
    return this.#connections.waiting(connection) >= allowance
  }

  /** Octets that go out in the whole batch, when `octets` do for each `of` octets of it. */
  share(octets: number, of: number): number {
    return Math.ceil(this.#batch / of) * octets
  }

  /**
   * Makes sure that `octets` octets can be written at `at(connection)`. False when the pool is exhausted.
   * @param expected how many are likely to follow in this batch: as many as come in, and a little more
   */
  ensure(connection: ConnectionId, octets: number, expected = this.#batch + (this.#batch >> 3)): boolean {
    const slot = slotOf(connection)
    if (this.#owner[slot] === connection) {
      if (this.#room[slot]! >= octets) return true
      this.#send(slot, connection)
    } else if (this.#owner[slot] !== 0) {
      // The slot has a new connection; what was for the old one is dropped by the primary.
      this.#send(slot, this.#owner[slot] as ConnectionId)
    }
    const pool = this.#pool
    // A segment for the whole batch, unless memory is short: a frame that found no room in it would be decided about, sent
    // and received by itself.
    const framed = this.#connections.isFramed(connection)
    const wanted = framed ? octets : Math.min(expected, wantedMax)
    const segment = pool.take(wanted > octets && pool.free >= pool.total >> 1 ? wanted : octets)
    if (segment === 0) return false
    this.#segment[slot] = segment
    this.#owner[slot] = connection
    this.#framed[slot] = framed ? 1 : 0
    this.#next[slot] = segment
    this.#room[slot] = pool.capacity(segment)
    this.#connections.queue(connection, this.#room[slot]!)
    this.#open.push(connection)
    return true
  }

  /** Where the next frame to `connection` is to be written, after `ensure`. */
  at(connection: ConnectionId): Address {
    return this.#next[slotOf(connection)] as Address
  }

  /** Octets that can be written at `at(connection)`, after `ensure`; none after a frame that has to leave alone. */
  room(connection: ConnectionId): number {
    return this.#room[slotOf(connection)]!
  }

  /** Whole frames have been written, up to `end`. */
  commit(connection: ConnectionId, end: number): void {
    const slot = slotOf(connection)
    const octets = end - this.#next[slot]!
    assert(octets <= this.#room[slot]!, 'a frame fits the room made for it')
    this.#room[slot] = this.#framed[slot] === 1 ? 0 : this.#room[slot]! - octets
    this.#next[slot] = end
  }

  /**
   * Two frames have been written, one up to `middle` and one behind it up to `end`. False when they have to leave each by
   * itself and the pool is exhausted: the second is lost.
   */
  commitTwo(connection: ConnectionId, middle: number, end: number): boolean {
    if (this.#framed[slotOf(connection)] === 0) {
      this.commit(connection, end)
      return true
    }
    this.commit(connection, middle)
    // The segment may be the same again: nobody has written to it meanwhile, so the second frame is still there.
    if (!this.ensure(connection, end - middle)) return false
    const at = this.at(connection)
    this.#octets.copyWithin(at, middle, end)
    this.commit(connection, at + end - middle)
    return true
  }

  /** Writes a frame given as text, a character an octet. False when the pool is exhausted. */
  write(connection: ConnectionId, frame: string): boolean {
    if (!this.ensure(connection, frame.length)) return false
    const at = this.at(connection)
    this.#octets.write(frame, at, frame.length, 'latin1')
    this.commit(connection, at + frame.length)
    return true
  }

  /** Writes whole frames or messages given as octets. False when the pool is exhausted. */
  writeOctets(connection: ConnectionId, octets: Uint8Array): boolean {
    if (!this.ensure(connection, octets.length)) return false
    const at = this.at(connection)
    this.#octets.set(octets, at)
    this.commit(connection, at + octets.length)
    return true
  }

  /** Sends all open segments. */
  flush(): void {
    const open = this.#open
    for (let i = 0; i < open.length; i++) {
      const connection = open[i]!
      const slot = slotOf(connection)
      if (this.#owner[slot] === connection) this.#send(slot, connection)
    }
    open.length = 0
  }

  #send(slot: number, connection: ConnectionId): void {
    const segment = this.#segment[slot]! as Address
    this.#owner[slot] = 0
    this.#port.write(connection, segment, this.#next[slot]! - segment)
  }
}
