import assert, { AssertionError } from 'node:assert/strict'
import { setImmediate as nextTurn } from 'node:timers/promises'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Address } from '../../src/ids.ts'
import { Doorbell, RingProducer } from '../../src/workers/ring.ts'
import {
  giveSegment,
  resetSegments,
  SEGMENT_POOL_WORDS,
  SegmentPool,
  segmentCapacity,
  segmentCapacityMax,
  segmentSizes,
} from '../../src/workers/segments.ts'
import { Random } from '../support/random.ts'
import {
  GIVE,
  GIVER_RING_RECORDS,
  GIVERS,
  giverBellWord,
  giverRing,
  HAMMER_OCTETS,
  POOL_CONTROL,
  POOL_OCTETS,
  POOL_START,
  STOP,
  stamp,
  wipe,
} from './support/giver.ts'
import { seeded, startThread } from './support/threads.ts'

const START = 4096 as Address
/** Header and margin of a segment. */
const OVERHEAD = 32
const capacities = segmentSizes.map((size) => size - OVERHEAD)

/** A pool with `largest` segments of the largest class, and of every other class as many as fill the same memory. */
function newPool(largest = 1) {
  const octets = segmentSizes.length * segmentSizes[4] * largest
  const words = new Int32Array(new SharedArrayBuffer(START + octets))
  resetSegments(words, SEGMENT_POOL_WORDS, START, octets)
  const pool = new SegmentPool(words, SEGMENT_POOL_WORDS, START, octets)
  const counts = segmentSizes.map((size) => Math.floor(octets / segmentSizes.length / size))
  return {
    words,
    octets,
    pool,
    counts,
    anew: (held: readonly Address[] = []) => {
      resetSegments(words, SEGMENT_POOL_WORDS, START, octets, held)
      return new SegmentPool(words, SEGMENT_POOL_WORDS, START, octets, held)
    },
  }
}

/** Takes segments of at least `octets` octets until there are none. */
function takeAll(pool: SegmentPool, octets = 1): Address[] {
  const taken: Address[] = []
  for (let segment = pool.take(octets); segment !== 0; segment = pool.take(octets)) taken.push(segment)
  return taken
}

describe('segment pool', () => {
  test('a segment is of the smallest class that is large enough', () => {
    const { pool, words } = newPool()
    const capacityOf = (octets: number) => {
      const segment = pool.take(octets)
      expect(segment).not.toBe(0)
      expect(segmentCapacity(words, segment as Address)).toBe(pool.capacity(segment as Address))
      return pool.capacity(segment as Address)
    }
    const asked = capacities.slice(0, 3).flatMap((capacity) => [1, capacity, capacity + 1])
    expect(asked.map(capacityOf).slice(0, 8)).toEqual([2016, 2016, 8160, 2016, 8160, 24_544, 2016, 24_544])
    expect(segmentCapacityMax).toBe(capacities[4])
  })

  test('more than the largest class holds is refused, also by a pool that is all free', () => {
    const { pool } = newPool()
    expect(pool.take(segmentCapacityMax + 1)).toBe(0)
    expect(pool.free).toBe(pool.total)
    expect(pool.take(segmentCapacityMax)).not.toBe(0)
  })

  test('an exhausted class falls to the next larger one, never to a smaller one', () => {
    const { pool, counts } = newPool()
    const taken = takeAll(pool)
    const expected = counts.flatMap((count, index) => Array.from({ length: count }, () => capacities[index]!))
    expect(taken.map((segment) => pool.capacity(segment))).toEqual(expected)
    expect(pool.free).toBe(0)
    pool.give(taken[0]!)
    expect([pool.take(capacities[0]! + 1), pool.take(capacities[0]!)]).toEqual([0, taken[0]])
  })

  test('a segment that is given back twice is a bug of ours and asserts', () => {
    const { pool, words } = newPool()
    const [first, second] = [pool.take(1) as Address, pool.take(1) as Address]
    giveSegment(words, first)
    expect(() => giveSegment(words, first)).toThrow(AssertionError)
    giveSegment(words, second)
    expect(() => giveSegment(words, first)).toThrow(AssertionError)
    expect(pool.free).toBe(pool.total)
    expect(pool.take(1)).toBe(second)
    giveSegment(words, second)
  })

  test('a pool that is taken over by a new lane is all free, whatever was out', () => {
    const { pool, anew } = newPool()
    const all = takeAll(pool)
    for (const segment of all.filter((_, index) => index % 3 === 0)) pool.give(segment)
    const next = anew()
    expect(next.free).toBe(next.total)
    expect(takeAll(next)).toHaveLength(all.length)
    expect(next.free).toBe(0)
    for (const segment of all) next.give(segment)
    expect(next.free).toBe(next.total)
  })

  test('any order of taking and giving agrees with a list: segments in bounds, aligned, with margin, never shared', () => {
    const operation = fc.oneof(
      fc.record({ take: fc.oneof(fc.constantFrom(1, 2016, 2017, 8160, 24_544, 98_273), fc.nat(segmentCapacityMax)) }),
      fc.record({ give: fc.nat(1000) }),
    )
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 400 }), (operations) => {
        const { pool, octets, counts } = newPool()
        const left = [...counts]
        const held: { address: Address; capacity: number }[] = []
        let free = pool.total
        expect(free).toBe(counts.reduce((sum, count, index) => sum + count * capacities[index]!, 0))
        for (const step of operations) {
          if ('give' in step) {
            const [segment] = held.splice(step.give % Math.max(1, held.length), 1)
            if (segment === undefined) continue
            pool.give(segment.address)
            left[capacities.indexOf(segment.capacity)]!++
            free += segment.capacity
          } else {
            const index = capacities.findIndex((capacity, at) => capacity >= step.take && left[at]! > 0)
            const address = pool.take(step.take)
            if (index < 0) expect(address).toBe(0)
            else {
              const capacity = capacities[index]!
              expect(pool.capacity(address as Address)).toBe(capacity)
              expect([address % 16, address >= START, address + capacity + 16 <= START + octets]).toEqual([
                0,
                true,
                true,
              ])
              const apart = held.every(
                (other) =>
                  address + capacity + 16 <= other.address - 16 || address - 16 >= other.address + other.capacity,
              )
              expect(apart).toBe(true)
              held.push({ address: address as Address, capacity })
              left[index]!--
              free -= capacity
            }
          }
          expect(pool.free).toBe(free)
        }
      }),
      { numRuns: 50 },
    )
  })
})

describe('segment pool and other threads', () => {
  test('200 000 segments taken by the owner while three threads give back: none is held twice, none is lost', async () => {
    const memory = new SharedArrayBuffer(HAMMER_OCTETS)
    const words = new Int32Array(memory)
    resetSegments(words, POOL_CONTROL, POOL_START, POOL_OCTETS)
    const pool = new SegmentPool(words, POOL_CONTROL, POOL_START, POOL_OCTETS)
    const file = new URL('./support/giver.worker.ts', import.meta.url)
    const threads = Array.from({ length: GIVERS }, (_, giver) => startThread<number>(file, { memory, giver }))
    const rings = Array.from({ length: GIVERS }, (_, g) => new RingProducer(words, giverRing(g), GIVER_RING_RECORDS))
    const bells = Array.from({ length: GIVERS }, (_, g) => new Doorbell(words, giverBellWord(g)))
    const announce = () => {
      for (const [giver, ring] of rings.entries()) if (ring.publish()) bells[giver]!.ring()
    }

    const hammer = async (seed: number) => {
      const random = new Random(seed, 0)
      let handedOver = 0
      for (let mark = 1; mark <= 200_000; ) {
        const octets = random.oneIn(50) ? random.between(1, segmentCapacityMax) : random.between(1, 5000)
        const segment = pool.take(octets)
        if (segment !== 0) {
          const capacity = pool.capacity(segment)
          assert.equal(stamp(words, segment, capacity, mark), null)
          const giver = random.below(GIVERS + 1)
          const ring = rings[giver]
          if (ring !== undefined && ring.room > 1) {
            ring.push(GIVE, mark, segment, capacity)
            handedOver++
          } else {
            assert.equal(wipe(words, segment, capacity, mark), null)
            pool.give(segment)
          }
          mark++
        }
        if (segment === 0 || random.oneIn(8)) announce()
        // The givers' errors are heard only when this thread pauses.
        if (random.oneIn(segment === 0 ? 10 : 2000)) await nextTurn()
      }
      for (const ring of rings) {
        while (ring.room === 0) await nextTurn()
        ring.push(STOP, 0, 0, 0)
      }
      announce()
      return handedOver
    }

    const [handedOver, ...given] = await seeded((seed) => Promise.all([hammer(seed), ...threads]))
    expect(given.reduce((sum, count) => sum + count, 0)).toBe(handedOver)
    for (const count of given) expect(count).toBeGreaterThan(1000)
    expect(pool.free).toBe(pool.total)
    const all = takeAll(pool)
    expect(new Set(all).size).toBe(
      segmentSizes.reduce((sum, size) => sum + Math.floor(POOL_OCTETS / segmentSizes.length / size), 0),
    )
    expect(pool.free).toBe(0)
  })
})
