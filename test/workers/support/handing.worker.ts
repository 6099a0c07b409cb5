import assert from 'node:assert/strict'
import type { Address, ConnectionId, LaneIndex } from '../../../src/ids.ts'
import type { LaneFeed, LanePort } from '../../../src/workers/lane-port.ts'
import { SegmentPool } from '../../../src/workers/segments.ts'
import { type LaneTask, serveLane } from '../../../src/workers/worker.ts'

/*
 * A lane that does nothing but hand on. A ball is a segment whose words all are its number but the first, which says how
 * often it is still to be handed on. Each lane puts it into a segment of its own; at its end it leaves as a datagram.
 */

/** Octets of a ball: so many different segments are in use at once. */
const BALL_OCTETS = [64, 2000, 16_000] as const

class HandingLane implements LaneFeed {
  readonly #index: number
  readonly #lanes: number
  readonly #port: LanePort
  readonly #pool: SegmentPool
  readonly #words: Int32Array
  /** Balls that found no free segment. */
  #waiting: { readonly ball: number; readonly hops: number }[] = []
  #timer: NodeJS.Timeout | null = null

  constructor({ lane, setup: { map, memory }, held }: LaneTask, port: LanePort) {
    const { segmentControl, segments } = map.lane[lane]!
    this.#index = lane
    this.#lanes = map.lanes
    this.#port = port
    this.#words = new Int32Array(memory.buffer)
    this.#pool = new SegmentPool(this.#words, segmentControl >> 2, segments, map.segmentOctets, held)
  }

  /** `listener` balls are to be made, numbered from the one in the word at `address`, which also says how far they go. */
  datagram(count: number, address: Address): boolean {
    const [first, hops] = this.#words.subarray(address >> 2, (address >> 2) + 2)
    for (let i = 0; i < count; i++) this.#throw(first! + i, hops!)
    return true
  }

  handed(segment: Address, octets: number): void {
    const [hops, ...rest] = this.#words.subarray(segment >> 2, (segment + octets) >> 2)
    const ball = rest[0]!
    try {
      assert(
        rest.every((word) => word === ball),
        'a segment is not written to while it is on its way',
      )
    } finally {
      this.#pool.give(segment)
    }
    this.#throw(ball, hops! - 1)
  }

  opened(): void {}
  data(_connection: ConnectionId): boolean {
    return true
  }
  message(): boolean {
    return true
  }
  closed(): void {}
  drained(): void {}
  answered(): void {}
  told(): void {}
  flush(): void {
    this.#port.flush()
  }
  stop(): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
  }

  #throw(ball: number, hops: number): void {
    const octets = BALL_OCTETS[(ball + hops) % BALL_OCTETS.length]!
    const segment = this.#pool.take(octets)
    if (segment === 0) {
      this.#waiting.push({ ball, hops })
      this.#timer ??= setTimeout(() => {
        this.#timer = null
        for (const one of this.#waiting.splice(0)) this.#throw(one.ball, one.hops)
        this.flush()
      }, 1)
      return
    }
    this.#words.fill(ball, segment >> 2, (segment + octets) >> 2)
    this.#words[segment >> 2] = hops
    if (hops === 0) this.#port.datagram(ball, segment, octets)
    else {
      const to = (this.#index + 1 + (ball % (this.#lanes - 1))) % this.#lanes
      this.#port.hand(to as LaneIndex, segment, octets)
    }
  }
}

export default (task: LaneTask): Promise<void> => serveLane(task, (port) => new HandingLane(task, port))
