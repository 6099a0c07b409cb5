import type { MessagePort } from 'node:worker_threads'
import type { Address, ConnectionId, LaneIndex } from '../ids.ts'
import { type CloseReason, closeReasons, type LaneMessage, type LanePort } from './lane-port.ts'
import { CONTROL_BELL, type LaneMemory, type MemoryMap } from './memory.ts'
import { Doorbell, RingProducer } from './ring.ts'

// Kinds of records on the way from a lane.
export const OUT_WRITE = 1
export const OUT_CLOSE = 2
export const OUT_RESUME = 3
export const OUT_RELEASED = 4
export const OUT_DATAGRAM = 5
export const OUT_HAND = 6

/**
 * A lane's end of the way to the primary. The ring has room for every segment and every connection's close, resume and
 * release, so it is never full (memory.ts).
 */
export class RingPort implements LanePort {
  readonly #ring: RingProducer
  readonly #bell: Doorbell
  readonly #messages: MessagePort

  constructor(memory: WebAssembly.Memory, map: MemoryMap, place: LaneMemory, messages: MessagePort) {
    const words = new Int32Array(memory.buffer)
    this.#ring = new RingProducer(words, place.ringOut, map.ringOutRecords)
    this.#bell = new Doorbell(words, (map.primaryControl >> 2) + CONTROL_BELL)
    this.#messages = messages
  }

  write(connection: ConnectionId, segment: Address, octets: number): void {
    this.#ring.push(OUT_WRITE, connection, segment, octets)
  }

  datagram(listener: number, segment: Address, octets: number): void {
    this.#ring.push(OUT_DATAGRAM, listener, segment, octets)
  }

  hand(lane: LaneIndex, segment: Address, octets: number): void {
    this.#ring.push(OUT_HAND, lane, segment, octets)
  }

  close(connection: ConnectionId, reason: CloseReason): void {
    this.#ring.push(OUT_CLOSE, connection, closeReasons.indexOf(reason), 0)
  }

  resume(connection: ConnectionId): void {
    this.#ring.push(OUT_RESUME, connection, 0, 0)
  }

  released(connection: ConnectionId): void {
    this.#ring.push(OUT_RELEASED, connection, 0, 0)
  }

  post(message: LaneMessage): void {
    this.#messages.postMessage(message)
  }

  /** Shows the primary everything so far and wakes it. */
  flush(): void {
    if (this.#ring.publish()) this.#bell.ring()
  }

  get waiting(): number {
    return this.#ring.waiting
  }
}
