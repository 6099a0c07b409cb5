import type { Address, ConnectionId, LaneIndex } from '../ids.ts'
import { type CloseReason, closeReasons, type LaneMessage, type LanePort } from './lane-port.ts'
import type { LaneMemory, MemoryMap } from './memory.ts'
import { RingProducer } from './ring.ts'

// Kinds of records on the way from a lane.
const OUT_WRITE = 1
const OUT_CLOSE = 2
const OUT_RESUME = 3
const OUT_RELEASED = 4
const OUT_DATAGRAM = 5
const OUT_HAND = 6

/** How a lane reaches the primary beside the ring. */
export interface PrimaryEnd {
  /** There is something in the ring. */
  wake(): void
  post(message: LaneMessage): void
}

/**
 * A lane's end of the way to the primary. The ring has room for every segment and every connection's close, resume and
 * release, so it is never full (memory.ts).
 */
export class RingPort implements LanePort {
  readonly #ring: RingProducer
  readonly #primary: PrimaryEnd

  constructor(memory: WebAssembly.Memory, map: MemoryMap, place: LaneMemory, primary: PrimaryEnd) {
    this.#ring = new RingProducer(new Int32Array(memory.buffer), place.ringOut, map.ringOutRecords)
    this.#primary = primary
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
    this.#primary.post(message)
  }

  /** Shows the primary everything so far and wakes it. */
  flush(): void {
    if (this.#ring.publish()) this.#primary.wake()
  }
}

/** What has `port` do what comes out of the ring of a lane. */
export function doneBy(port: LanePort): (kind: number, connection: number, address: number, length: number) => void {
  return (kind, connection, address, length) => {
    const id = connection as ConnectionId
    switch (kind) {
      case OUT_WRITE:
        port.write(id, address as Address, length)
        break
      case OUT_DATAGRAM:
        port.datagram(connection, address as Address, length)
        break
      case OUT_HAND:
        port.hand(connection as LaneIndex, address as Address, length)
        break
      case OUT_CLOSE:
        port.close(id, closeReasons[address]!)
        break
      case OUT_RESUME:
        port.resume(id)
        break
      case OUT_RELEASED:
        port.released(id)
        break
    }
  }
}
