import type { Address, ConnectionId } from '../ids.ts'
import { Flows } from './flows.ts'
import type { LaneFeed } from './lane-port.ts'
import { BATCH_OCTETS, CONTROL_HANDED, CONTROL_INPUT_READ, type LaneMemory, type MemoryMap } from './memory.ts'
import { RingConsumer } from './ring.ts'
import {
  IN_ANSWERED,
  IN_CLOSED,
  IN_DATA,
  IN_DATAGRAM,
  IN_DRAINED,
  IN_HANDED,
  IN_MESSAGE,
  IN_OPENED,
  IN_STOP,
} from './ring-feed.ts'

/** A lane's end of the way from the primary: gives it what is in its ring. */
export class RingIntake {
  readonly #lane: LaneFeed
  readonly #words: Int32Array
  readonly #ring: RingConsumer
  readonly #flows: Flows
  readonly #inputRead: number
  readonly #handedSeen: number
  /** End of the input octets that have been read, until the primary has been told; 0: it knows. */
  #read = 0
  /** Octets of the batch so far. */
  #taken = 0
  #stopped = false

  constructor(memory: WebAssembly.Memory, map: MemoryMap, place: LaneMemory, lane: LaneFeed) {
    this.#lane = lane
    this.#words = new Int32Array(memory.buffer)
    this.#ring = new RingConsumer(this.#words, place.ringIn, map.ringInRecords)
    this.#flows = new Flows(memory.buffer, map.flows)
    this.#inputRead = (place.control >> 2) + CONTROL_INPUT_READ
    this.#handedSeen = (place.control >> 2) + CONTROL_HANDED
  }

  /** The primary has told the lane to stop, after everything before. */
  get stopped(): boolean {
    return this.#stopped
  }

  /** Works off a batch of what is there; false if nothing was. */
  drain(): boolean {
    this.#taken = 0
    if (this.#ring.drain(this.#take, this.#enough) === 0) return false
    if (this.#read !== 0) {
      Atomics.store(this.#words, this.#inputRead, this.#read)
      this.#read = 0
    }
    this.#lane.flush()
    return true
  }

  readonly #enough = () => this.#taken >= BATCH_OCTETS

  readonly #take = (kind: number, connection: number, address: number, length: number): void => {
    const lane = this.#lane
    this.#taken += length
    switch (kind) {
      case IN_DATA:
        lane.data(connection as ConnectionId, address as Address, length)
        this.#read = address + length
        break
      case IN_MESSAGE:
        lane.message(connection as ConnectionId, address as Address, length)
        this.#read = address + length
        break
      case IN_DATAGRAM:
        lane.datagram(connection, address as Address, length)
        this.#read = address + length
        break
      case IN_HANDED:
        try {
          lane.handed(address as Address, length)
        } finally {
          Atomics.add(this.#words, this.#handedSeen, 1)
        }
        break
      case IN_OPENED:
        lane.opened(connection as ConnectionId, this.#flows.get(connection as ConnectionId))
        break
      case IN_CLOSED:
        lane.closed(connection as ConnectionId)
        break
      case IN_DRAINED:
        lane.drained(connection as ConnectionId)
        break
      case IN_ANSWERED:
        lane.answered(address, connection as ConnectionId | 0)
        break
      case IN_STOP:
        this.#stopped = true
        break
    }
  }
}
