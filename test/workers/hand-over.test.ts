import { setImmediate } from 'node:timers/promises'
import { describe, expect, onTestFinished, test } from 'vitest'
import type { Address, LaneIndex } from '../../src/ids.ts'
import type { LaneSetup } from '../../src/workers/lane.ts'
import type { LanePort } from '../../src/workers/lane-port.ts'
import { createMemory, type MemoryMap, mapMemory } from '../../src/workers/memory.ts'
import { LanePool } from '../../src/workers/pool.ts'
import { giveSegment, SegmentPool } from '../../src/workers/segments.ts'

const worker = new URL('./support/handing.worker.ts', import.meta.url).href
const eventually = <T>(probe: () => T) => expect.poll(probe, { timeout: 20_000, interval: 5 })
const silent = () => {}

interface Bed {
  readonly map: MemoryMap
  readonly pool: LanePool
  /** Balls that have come to their end. */
  readonly ended: Set<number>
  /** Makes balls in a lane. */
  throw(lane: number, first: number, count: number, hops: number): void
  /** Octets of segments that are free in a lane's pool, of so many. */
  free(lane: number): { readonly free: number; readonly total: number }
  /** As the server replaces it. */
  readonly replaced: () => number
}

async function start(lanes: number, segmentOctets = 8 << 20): Promise<Bed> {
  const map = mapMemory({ lanes, maxConnections: 16, maxSessions: 16, maxTransactions: 16, segmentOctets })
  const memory = createMemory(map)
  const words = new Int32Array(memory.buffer)
  const ended = new Set<number>()
  const unused = () => expect.fail('not asked for')
  const port: LanePort = {
    write: unused,
    datagram(ball, segment) {
      expect(ended.has(ball)).toBe(false)
      ended.add(ball)
      giveSegment(words, segment)
    },
    hand: unused,
    close: unused,
    resume: unused,
    released: unused,
    post: unused,
    flush: unused,
  }
  let replaced = 0
  // Of the set-up, such lanes use only memory and map.
  const setup = { map, memory } as LaneSetup
  const log = { debug: silent, info: silent, warn: silent, error: silent }
  const laneDied = async (lane: LaneIndex) => {
    await pool.handsSeen(lane)
    await pool.startLane(lane, [])
    replaced++
  }
  const pool: LanePool = new LanePool(setup, () => port, log, { laneDied: (lane) => void laneDied(lane) }, worker)
  onTestFinished(() => pool.stop())
  await pool.start()
  const order = map.readBuffer as Address
  return {
    map,
    pool,
    ended,
    throw(lane, first, count, hops) {
      words.set([first, hops], order >> 2)
      const feed = pool.feed(lane as LaneIndex)!
      expect(feed.datagram(count, order, 8)).toBe(true)
      feed.flush()
    },
    free(lane) {
      const { segmentControl, segments } = map.lane[lane]!
      const seen = new SegmentPool(words, segmentControl >> 2, segments, map.segmentOctets)
      return { free: seen.free, total: seen.total }
    },
    replaced: () => replaced,
  }
}

const allFree = ({ map, free }: Bed) =>
  map.lane.every((_, lane) => {
    const { free: now, total } = free(lane)
    return now === total
  })

describe('hand-over between lanes', () => {
  test('carries what a lane gives to another, unchanged, and the segments come back', async () => {
    const bed = await start(3)
    for (let lane = 0; lane < 3; lane++) bed.throw(lane, lane * 300, 300, 10)
    await eventually(() => bed.ended.size).toBe(900)
    await eventually(() => allFree(bed)).toBe(true)
  })

  test('never fills a ring, though every segment of every lane is on its way at once', async () => {
    const bed = await start(4)
    // Many more balls than there are segments: all of them are in use all the time.
    const each = 2000
    for (let lane = 0; lane < 4; lane++) bed.throw(lane, lane * each, each, 5)
    let most = 0
    const watch = setInterval(() => {
      for (let lane = 0; lane < 4; lane++) most = Math.max(most, bed.pool.occupancy(lane as LaneIndex)?.in ?? 0)
    }, 1)
    onTestFinished(() => clearInterval(watch))
    await eventually(() => bed.ended.size).toBe(4 * each)
    expect(most).toBeLessThanOrEqual(bed.map.ringInReserve)
    await eventually(() => allFree(bed)).toBe(true)
  })

  test('what a lane has not seen can be asked for while it goes on', async () => {
    const bed = await start(3)
    const isSegment = (address: number) =>
      bed.map.lane.some(({ segments }) => address >= segments && address < segments + bed.map.segmentOctets)
    const strange: number[] = []
    let asked = 0
    for (let round = 0; round < 10; round++) {
      bed.ended.clear()
      for (let lane = 0; lane < 3; lane++) bed.throw(lane, lane * 300, 300, 20)
      while (bed.ended.size < 900) {
        // As the pool asks when another lane has died.
        for (let i = 0; i < 600; i++) {
          const { unseen } = bed.pool.feed((i % 3) as LaneIndex)!
          asked += unseen.length
          strange.push(...unseen.filter((address) => !isSegment(address)))
        }
        await setImmediate()
      }
    }
    expect(asked).toBeGreaterThan(0)
    expect(strange).toEqual([])
    await eventually(() => allFree(bed)).toBe(true)
  })

  test('survives the death of lanes: what is on its way to them comes back, what they sent arrives, and no segment is lost', async () => {
    const bed = await start(3)
    for (let round = 1; round <= 4; round++) {
      const dying = round % 3
      const first = round * 100_000
      for (let lane = 0; lane < 3; lane++) bed.throw(lane, first + lane * 1500, 1500, 20)
      await eventually(() => bed.ended.size).toBeGreaterThan(0)
      bed.pool.crash(dying as LaneIndex)
      await eventually(() => bed.replaced()).toBe(round)
      // The others go on, with one another and with the new one.
      await eventually(() => allFree(bed)).toBe(true)
      bed.ended.clear()
      for (let lane = 0; lane < 3; lane++) bed.throw(lane, first + 50_000 + lane * 100, 100, 5)
      await eventually(() => bed.ended.size).toBe(300)
      await eventually(() => allFree(bed)).toBe(true)
      bed.ended.clear()
    }
  })

  test('gives back at once what is for a lane that is dead', async () => {
    const bed = await start(2)
    bed.pool.crash(1 as LaneIndex)
    await eventually(() => bed.pool.feed(1 as LaneIndex)).toBe(null)
    if (bed.replaced() === 0) bed.throw(0, 1, 50, 1)
    await eventually(() => bed.replaced()).toBe(1)
    await eventually(() => allFree(bed)).toBe(true)
    bed.throw(0, 1000, 50, 3)
    await eventually(() => [...bed.ended].filter((ball) => ball >= 1000).length).toBe(50)
  })
})
