import type { Address, ConnectionId } from '../ids.ts'
import type { LaneFeed } from './lane-port.ts'
import { CONTROL_BELL, CONTROL_INPUT_READ, INPUT_OCTETS, type LaneMemory, type MemoryMap } from './memory.ts'
import { Doorbell, OctetRing, RingProducer } from './ring.ts'

// Kinds of records on the way to a lane.
export const IN_OPENED = 1
export const IN_DATA = 2
export const IN_CLOSED = 3
export const IN_DRAINED = 4
export const IN_ANSWERED = 5
export const IN_STOP = 6

/** The primary's end of the way to a lane in another thread. */
export class RingFeed implements LaneFeed {
  readonly #ring: RingProducer
  readonly #input: OctetRing
  readonly #bell: Doorbell
  readonly #octets: Uint8Array
  /** Records that only data may not use, so that all others always find room. */
  readonly #reserve: number

  constructor(memory: WebAssembly.Memory, map: MemoryMap, place: LaneMemory) {
    const words = new Int32Array(memory.buffer)
    this.#octets = new Uint8Array(memory.buffer)
    this.#ring = new RingProducer(words, place.ringIn, map.ringInRecords)
    this.#input = new OctetRing(words, (place.control >> 2) + CONTROL_INPUT_READ, place.input, INPUT_OCTETS)
    this.#bell = new Doorbell(words, (place.control >> 2) + CONTROL_BELL)
    this.#reserve = 4 * map.maxConnections
  }

  opened(connection: ConnectionId, listener: number): void {
    this.#ring.push(IN_OPENED, connection, listener, 0)
  }

  data(connection: ConnectionId, address: Address, octets: number): boolean {
    if (this.#ring.room <= this.#reserve) return false
    const to = this.#input.place(octets)
    if (to === 0) return false
    this.#octets.copyWithin(to, address, address + octets)
    this.#ring.push(IN_DATA, connection, to, octets)
    return true
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

  /** The lane finishes what it has and ends. */
  stop(): void {
    this.#ring.push(IN_STOP, 0, 0, 0)
    this.flush()
  }

  flush(): void {
    if (this.#ring.publish()) this.#bell.ring()
  }

  /** Records waiting, and how many fit. */
  get occupancy(): { readonly waiting: number; readonly capacity: number } {
    return { waiting: this.#ring.waiting, capacity: this.#ring.capacity }
  }
}
