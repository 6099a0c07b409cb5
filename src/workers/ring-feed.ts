import assert from 'node:assert/strict'
import type { Address, ConnectionId } from '../ids.ts'
import { Flows } from './flows.ts'
import type { Flow, LaneFeed, PrimaryMessage } from './lane-port.ts'
import {
  BATCH_OCTETS,
  CONTROL_HANDED,
  CONTROL_INPUT_READ,
  INPUT_OCTETS,
  type LaneMemory,
  type MemoryMap,
} from './memory.ts'
import { OctetRing, RingProducer } from './ring.ts'

// Kinds of records on the way to a lane.
export const IN_OPENED = 1
export const IN_DATA = 2
export const IN_CLOSED = 3
export const IN_DRAINED = 4
export const IN_ANSWERED = 5
export const IN_STOP = 6
export const IN_MESSAGE = 7
export const IN_DATAGRAM = 8
export const IN_HANDED = 9

/** Records waiting in the rings to and from a lane, and how many fit. */
export interface RingOccupancy {
  readonly in: number
  readonly inCapacity: number
  readonly out: number
  readonly outCapacity: number
}

/** How the primary reaches a lane beside the ring. */
export interface LaneEnd {
  /** There is something in the ring. */
  wake(): void
  tell(message: PrimaryMessage): void
}

/**
 * The primary's end of the way to a lane. A lane that sleeps is woken at the end of the turn of the event loop, when all
 * sockets that had something have been read: once, whatever their number. Waking another thread costs more than most of
 * what it is done for.
 */
export class RingFeed implements LaneFeed {
  readonly #words: Int32Array
  readonly #ring: RingProducer
  readonly #input: OctetRing
  readonly #octets: Uint8Array
  readonly #lane: LaneEnd
  readonly #flows: Flows
  /** Records that octets on their way may not use, so that all others always find room. */
  readonly #reserve: number
  /** Index of the word in which the lane counts the segments it has seen, and those handed to it. */
  readonly #seenWord: number
  #handed = 0
  /** Octets published since the lane was last woken. */
  #carried = 0
  #wakingSoon = false
  readonly #wakeAtEndOfTurn = (): void => {
    this.#wakingSoon = false
    this.#wake()
  }

  /** The lane has not begun to read yet. */
  constructor(memory: WebAssembly.Memory, map: MemoryMap, place: LaneMemory, lane: LaneEnd) {
    this.#lane = lane
    const words = new Int32Array(memory.buffer)
    this.#words = words
    this.#octets = new Uint8Array(memory.buffer)
    this.#flows = new Flows(memory.buffer, map.flows)
    this.#ring = new RingProducer(words, place.ringIn, map.ringInRecords)
    this.#input = new OctetRing(words, (place.control >> 2) + CONTROL_INPUT_READ, place.input, INPUT_OCTETS)
    this.#reserve = map.ringInReserve
    this.#seenWord = (place.control >> 2) + CONTROL_HANDED
    Atomics.store(words, this.#seenWord, 0)
  }

  opened(connection: ConnectionId, flow: Flow): void {
    this.#flows.set(connection, flow)
    this.#ring.push(IN_OPENED, connection, 0, 0)
  }

  data(connection: ConnectionId, address: Address, octets: number): boolean {
    return this.#carry(IN_DATA, connection, address, octets)
  }

  message(connection: ConnectionId, address: Address, octets: number): boolean {
    return this.#carry(IN_MESSAGE, connection, address, octets)
  }

  datagram(listener: number, address: Address, octets: number): boolean {
    return this.#carry(IN_DATAGRAM, listener, address, octets)
  }

  handed(segment: Address, octets: number): void {
    assert(this.#ring.room > 0, 'there is a record for every segment of the other lanes')
    this.#handed = (this.#handed + 1) | 0
    this.#ring.push(IN_HANDED, 0, segment, octets)
  }

  /** Segments that have been handed to the lane and that it has not seen. Of a lane that has died, they are to be given back. */
  get unseen(): Address[] {
    const segments: Address[] = []
    // In this order: what the lane sees and takes out of the ring between the two looks is then in the ring and counted as seen.
    const { waiting } = this.#ring
    const count = (this.#handed - Atomics.load(this.#words, this.#seenWord)) | 0
    this.#ring.recall(waiting, (kind, _, address) => {
      if (segments.length < count && kind === IN_HANDED) segments.push(address as Address)
      return segments.length < count
    })
    assert(segments.length === count, 'what has not been seen is in the ring')
    return segments
  }

  closed(connection: ConnectionId): void {
    this.#ring.push(IN_CLOSED, connection, 0, 0)
  }

  drained(connection: ConnectionId): void {
    this.#ring.push(IN_DRAINED, connection, 0, 0)
  }

  answered(request: number, connection: ConnectionId | 0): void {
    this.#ring.push(IN_ANSWERED, connection, request, 0)
  }

  told(message: PrimaryMessage): void {
    this.#lane.tell(message)
  }

  /** The lane finishes what it has and ends. */
  stop(): void {
    this.#ring.push(IN_STOP, 0, 0, 0)
    this.flush()
  }

  flush(): void {
    if (!this.#ring.publish()) return
    // The lane works on a batch while more is read.
    if (this.#carried >= BATCH_OCTETS) this.#wake()
    else if (!this.#wakingSoon) {
      this.#wakingSoon = true
      setImmediate(this.#wakeAtEndOfTurn)
    }
  }

  /** Records waiting, and how many fit. */
  get occupancy(): { readonly waiting: number; readonly capacity: number } {
    return { waiting: this.#ring.waiting, capacity: this.#ring.capacity }
  }

  #carry(kind: number, name: number, address: Address, octets: number): boolean {
    if (this.#ring.room <= this.#reserve) return false
    const to = this.#input.place(octets)
    if (to === 0) return false
    this.#octets.copyWithin(to, address, address + octets)
    this.#ring.push(kind, name, to, octets)
    this.#carried += octets
    return true
  }

  #wake(): void {
    this.#carried = 0
    this.#lane.wake()
  }
}
