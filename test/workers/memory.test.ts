import { AssertionError } from 'node:assert/strict'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseConfig } from '../../src/config/load.ts'
import { SharedCounters } from '../../src/metrics/counters.ts'
import {
  CONNECTION_OCTETS,
  SCRATCH_OCTETS,
  SESSION_OCTETS,
  SLOTS_MAX,
  TEXTS_OCTETS,
  TRANSACTION_OCTETS,
} from '../../src/parser/kernel/record.ts'
import { WORK_OCTETS } from '../../src/parser/msrp/reader.ts'
import { SIP_WORK_OCTETS } from '../../src/parser/sip/parse.ts'
import { CONNECTIONS_MAX } from '../../src/workers/connections.ts'
import { FLOW_OCTETS } from '../../src/workers/flows.ts'
import {
  createMemory,
  INPUT_OCTETS,
  type LaneMemory,
  laneStride,
  type MemoryMap,
  type MemorySizes,
  mapMemory,
  OCTETS_MAX,
  READ_OCTETS,
} from '../../src/workers/memory.ts'
import { RING_BATCH, RING_CONTROL_OCTETS, RING_RECORD_OCTETS } from '../../src/workers/ring.ts'
import { resetSegments, SEGMENT_POOL_WORDS, SegmentPool, segmentCount } from '../../src/workers/segments.ts'

const modest: MemorySizes = {
  lanes: 2,
  maxConnections: 1024,
  maxSessions: 1024,
  maxTransactions: 1024,
  segmentOctets: 8 << 20,
}

interface Region {
  readonly name: string
  readonly start: number
  readonly octets: number
}

/** Every region of a map, and the octets that are used of it. */
function regionsOf(map: MemoryMap): Region[] {
  const ring = (records: number) => RING_CONTROL_OCTETS + records * RING_RECORD_OCTETS
  // The kernel reads and writes in steps of 16.
  const margin = 16
  const laneSizes: Readonly<Record<keyof LaneMemory, number>> = {
    control: 64,
    counters: SharedCounters.octetsPerRow,
    scratch: SCRATCH_OCTETS,
    sessions: map.maxSessions * SESSION_OCTETS,
    transactions: map.maxTransactions * TRANSACTION_OCTETS,
    texts: map.maxTransactions * TEXTS_OCTETS,
    segmentControl: SEGMENT_POOL_WORDS * 4,
    segments: map.segmentOctets + margin,
    ringIn: ring(map.ringInRecords),
    ringOut: ring(map.ringOutRecords),
    work: WORK_OCTETS + margin,
    sipWork: SIP_WORK_OCTETS + margin,
    sipOwnWork: SIP_WORK_OCTETS + margin,
    input: INPUT_OCTETS + margin,
  }
  return [
    { name: 'static data of the kernel', start: 0, octets: 65_536 },
    { name: 'primaryControl', start: map.primaryControl, octets: 64 },
    { name: 'primaryCounters', start: map.primaryCounters, octets: SharedCounters.octetsPerRow },
    { name: 'connections', start: map.connections, octets: map.maxConnections * CONNECTION_OCTETS },
    { name: 'flows', start: map.flows, octets: map.maxConnections * FLOW_OCTETS },
    { name: 'readBuffer', start: map.readBuffer, octets: READ_OCTETS + margin },
    ...map.lane.flatMap((lane, index) =>
      (Object.keys(laneSizes) as (keyof LaneMemory)[]).map((name) => ({
        name: `${name} of lane ${index}`,
        start: lane[name],
        octets: laneSizes[name],
      })),
    ),
  ]
}

function expectSound(map: MemoryMap): void {
  const regions = regionsOf(map).sort((a, b) => a.start - b.start)
  for (const [index, { name, start, octets }] of regions.entries()) {
    const next = regions[index + 1] ?? { name: 'the end', start: map.octets }
    if (start + octets > next.start) {
      expect.fail(`${name} (${start}, ${octets} octets) reaches into ${next.name} (${next.start})`)
    }
    if (start % 4096 !== 0) expect.fail(`${name} is not on a page of its own`)
  }
  // Positive 32-bit integers.
  expect(map.octets).toBeLessThan(2 ** 31)
  expect(map.lane).toHaveLength(map.lanes)
  for (const records of [map.ringInRecords, map.ringOutRecords]) expect(Number.isInteger(Math.log2(records))).toBe(true)
  // A close and a resume for each connection, and every segment.
  expect(map.ringOutRecords).toBeGreaterThanOrEqual(2 * map.maxConnections + map.segmentOctets / 2048)
  // Opened, closed, drained and answered for each connection; a segment of every other lane, those of a batch twice. And data.
  const others = (map.lanes - 1) * segmentCount(map.segmentOctets)
  expect(map.ringInReserve).toBeGreaterThanOrEqual(4 * map.maxConnections + others + RING_BATCH)
  expect(map.ringInRecords - map.ringInReserve).toBeGreaterThan(10_000)
  for (const lane of map.lane.slice(1)) {
    const before = map.lane[map.lane.indexOf(lane) - 1]!
    for (const name of Object.keys(lane) as (keyof LaneMemory)[]) {
      expect(lane[name] - before[name], name).toBe(laneStride(map))
    }
  }
}

/** Sizes of every order of magnitude. */
const upTo = (least: number, most: number) =>
  fc
    .double({ min: Math.log2(least), max: Math.log2(most), noNaN: true })
    .map((power) => Math.min(most, Math.max(least, Math.round(2 ** power))))

describe('map of the shared memory', () => {
  test('regions lie apart, each on its own page, at the same distance in every lane', () => {
    expectSound(mapMemory(modest))
    expectSound(mapMemory({ ...modest, lanes: 32 }))
    expect(laneStride(mapMemory({ ...modest, lanes: 1 }))).toBe(0)
  })

  test('the defaults of the configuration fit for every number of workers up to 16', () => {
    for (const lanes of [1, 2, 4, 8, 16]) {
      const sizes = { lanes, maxConnections: 65_536, maxSessions: 65_536, maxTransactions: 65_536 }
      expectSound(mapMemory({ ...sizes, segmentOctets: 64 << 20 }))
    }
  })

  test('any sizes within their bounds give a sound map, or one that says that it does not fit', () => {
    const sizes = fc.record({
      lanes: fc.integer({ min: 1, max: 32 }),
      maxConnections: upTo(16, CONNECTIONS_MAX),
      maxSessions: upTo(1, SLOTS_MAX),
      maxTransactions: upTo(16, SLOTS_MAX),
      segmentOctets: upTo(8, 1024).map((mib) => mib << 20),
    })
    let sound = 0
    fc.assert(
      fc.property(sizes, (given) => {
        const map = mapMemory(given)
        if (map.octets > OCTETS_MAX) return
        expectSound(map)
        sound++
      }),
      {
        numRuns: 2000,
        examples: [[{ ...modest, maxTransactions: SLOTS_MAX }], [{ ...modest, maxTransactions: 5_000_000 }]],
      },
    )
    expect(sound).toBeGreaterThan(100)
  })

  test.each([
    ['lanes', { lanes: 33 }],
    ['sessions', { maxSessions: SLOTS_MAX + 1 }],
    ['transactions', { maxTransactions: SLOTS_MAX + 1 }],
  ])('more %s than ids can name assert: the schema lets no such number through', (_, over) => {
    expect(() => mapMemory({ ...modest, ...over })).toThrow(AssertionError)
  })

  test('more memory than addresses below 2^31 reach is refused, with the keys to lower', () => {
    const config = (more: string) => parseConfig(`workers: 4\nmemory_mib: 512\n${more}`, 'test.yaml')
    const refusal = config('')
    if (refusal.ok) expect.fail('2 GiB of segments do not fit')
    expect(refusal.error.map(({ message }) => message).join()).toMatch(/memory_mib.*workers|workers.*memory_mib/)
    expect(config('max_connections: 16').ok).toBe(false)
    expect(() => createMemory(mapMemory({ ...modest, lanes: 4, segmentOctets: 512 << 20 }))).toThrow(AssertionError)
  })

  test('the memory is shared, zeroed, as large as its map, and takes a pool in every lane', () => {
    const map = mapMemory(modest)
    const { buffer } = createMemory(map)
    expect(buffer).toBeInstanceOf(SharedArrayBuffer)
    expect(buffer.byteLength).toBeGreaterThanOrEqual(map.octets)
    const words = new Int32Array(buffer)
    for (const { start } of regionsOf(map)) expect(words[start >> 2]).toBe(0)
    for (const { segmentControl, segments } of map.lane) {
      resetSegments(words, segmentControl >> 2, segments, map.segmentOctets)
      const pool = new SegmentPool(words, segmentControl >> 2, segments, map.segmentOctets)
      expect(pool.total / map.segmentOctets).toBeGreaterThan(0.9)
    }
  })
})
