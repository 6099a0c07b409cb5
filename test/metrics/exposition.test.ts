import { AssertionError } from 'node:assert/strict'
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  C,
  type CounterKey,
  counterCells,
  counterFamilies,
  countHandling,
  SharedCounters,
} from '../../src/metrics/counters.ts'
import { renderMetricsDoc } from '../../src/metrics/doc.ts'
import { createRegistry } from '../../src/metrics/exposition.ts'
import { handlingBuckets } from '../../src/metrics/families/msrp.ts'
import { parseErrorClasses } from '../../src/parser/msrp/error-class.ts'
import { newCounters } from '../support/counters.ts'

/** The samples of a scrape: series → value. */
async function scrape(counters: SharedCounters): Promise<Map<string, number>> {
  const text = await createRegistry(counters, { version: '1.2.3' }).metrics()
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  return new Map(
    lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ') + 1))]),
  )
}

describe('the rows', () => {
  test('have one cell for each key, and indexes in the order of the table', () => {
    expect(new Set(counterCells).size).toBe(counterCells.length)
    expect(counterCells.map((key) => C[key])).toEqual(counterCells.map((_, index) => index))
  })

  test('are whole cache lines that hold every cell', () => {
    expect(SharedCounters.octetsPerRow % 64).toBe(0)
    expect(SharedCounters.octetsPerRow).toBeGreaterThanOrEqual(counterCells.length * 8)
    expect(() => new SharedCounters([new Float64Array(counterCells.length - 1)])).toThrow(AssertionError)
  })

  test('M-60: have the parse errors side by side, in the order of their classes', async () => {
    const { counters } = newCounters(1)
    for (const [number] of parseErrorClasses.entries()) counters.row(0)[C.parseErrorFirst + number] = number + 1
    const samples = await scrape(counters)
    for (const [number, name] of parseErrorClasses.entries()) {
      expect(samples.get(`silopath_msrp_parse_errors_total{class="${name}"}`)).toBe(number + 1)
    }
  })
})

describe('the exposition', () => {
  test('adds up what lanes in threads of their own and the primary counted', async () => {
    const { counters, memory } = newCounters(2)
    const url = new URL('./counting.worker.ts', import.meta.url)
    const workers = [1_000, 2_345].map((frames, lane) => new Worker(url, { workerData: { memory, lane, frames } }))
    counters.primary[C.connectionsAccepted]! += 5
    counters.primary[C.framesReceivedSend]! += 10
    await Promise.all(workers.map((worker) => once(worker, 'exit')))
    const samples = await scrape(counters)
    expect(samples.get('silopath_msrp_frames_total{direction="received",method="SEND"}')).toBe(3_355)
    expect(samples.get('silopath_msrp_frames_total{direction="sent",method="SEND"}')).toBe(0)
    expect(samples.get('silopath_msrp_handling_seconds_count')).toBe(3_345)
    expect(samples.get('silopath_connections_total{event="accepted"}')).toBe(5)
    expect(samples.get('silopath_lane_loop_delay_seconds{lane="0"}')).toBe(0.5)
    expect(samples.get('silopath_lane_loop_delay_seconds{lane="1"}')).toBe(1.5)
  })

  test('shows every cell, each once, under its own labels', async () => {
    const { counters } = newCounters(1)
    for (const key of counterCells) counters.row(0)[C[key]] = 1_000 + C[key]
    const registry = createRegistry(counters, { version: '1.2.3' })
    for (const family of counterFamilies.filter(({ kind }) => kind !== 'histogram')) {
      const expected = Object.entries(family.cells).map(([key, labels]) => ({
        value: 1_000 + C[key as CounterKey],
        labels: { ...labels, ...(family.series === 'lane' && { lane: '0' }) },
      }))
      expect((await registry.getSingleMetric(family.name)!.get()).values, family.name).toMatchObject(expected)
    }
  })

  test('gives the totals at every scrape, not what was added since the last', async () => {
    const { counters } = newCounters(1)
    const registry = createRegistry(counters, { version: '1.2.3' })
    counters.row(0)[C.octetsSent] = 300
    await registry.metrics()
    counters.row(0)[C.octetsSent]! += 1
    expect(await registry.metrics()).toContain('silopath_msrp_octets_total{direction="sent"} 301\n')
    expect(await registry.metrics()).toContain('silopath_msrp_octets_total{direction="sent"} 301\n')
  })

  test('has a true histogram: cumulative buckets, inclusive bounds, frames as weights, count equal to +Inf', async () => {
    const time = fc.oneof(fc.constantFrom(...handlingBuckets), fc.double({ min: 0, max: 0.02, noNaN: true }))
    const read = fc.record({ meanSeconds: time, frames: fc.integer({ min: 1, max: 64 }), lane: fc.nat(1) })
    await fc.assert(
      fc.asyncProperty(fc.array(read, { maxLength: 30 }), async (reads) => {
        const { counters } = newCounters(2)
        for (const { lane, meanSeconds, frames } of reads) countHandling(counters.row(lane), meanSeconds, frames)
        const samples = await scrape(counters)
        const framesUpTo = (bound: number) =>
          reads.filter((r) => r.meanSeconds <= bound).reduce((sum, r) => sum + r.frames, 0)
        for (const bound of handlingBuckets) {
          expect(samples.get(`silopath_msrp_handling_seconds_bucket{le="${bound}"}`)).toBe(framesUpTo(bound))
        }
        expect(samples.get('silopath_msrp_handling_seconds_bucket{le="+Inf"}')).toBe(framesUpTo(Infinity))
        expect(samples.get('silopath_msrp_handling_seconds_count')).toBe(framesUpTo(Infinity))
        const seconds = reads.reduce((sum, r) => sum + r.meanSeconds * r.frames, 0)
        expect(samples.get('silopath_msrp_handling_seconds_sum')).toBeCloseTo(seconds, 9)
      }),
      { numRuns: 30 },
    )
  })

  test('gives the same histogram as JSON', async () => {
    const { counters } = newCounters(1)
    countHandling(counters.row(0), 3e-6, 4)
    const metrics = await createRegistry(counters, { version: '1.2.3' }).getMetricsAsJSON()
    const { values } = metrics.find(({ name }) => name === 'silopath_msrp_handling_seconds')!
    expect(values).toContainEqual({
      metricName: 'silopath_msrp_handling_seconds_bucket',
      labels: { le: '0.000005' },
      value: 4,
    })
  })

  test('says which silopath this is, and how the process fares', async () => {
    const samples = await scrape(newCounters(1).counters)
    expect(samples.get(`silopath_build_info{version="1.2.3",node="${process.versions.node}"}`)).toBe(1)
    expect(samples.get('process_resident_memory_bytes')).toBeGreaterThan(1_000_000)
    expect([...samples.keys()].some((series) => series.startsWith('nodejs_eventloop_lag_p99_seconds'))).toBe(true)
  })
})

describe('the table of metrics', () => {
  const labelNames = [
    'direction',
    'method',
    'class',
    'outcome',
    'code',
    'le',
    'event',
    'reason',
    'size',
    'ring',
    'state',
    'transport',
    'kind',
    'layer',
  ]

  test.each(counterFamilies)('$name is named for what it is, and labelled with nothing unbounded', (family) => {
    expect(family.name).toMatch(/^silopath_[a-z_]+$/)
    expect(family.name.endsWith('_total')).toBe(family.kind === 'counter')
    expect(family.help).toMatch(/^[A-Z].*\.$/)
    const labels = Object.values(family.cells).map((cell) => Object.keys(cell))
    expect(labelNames).toEqual(expect.arrayContaining([...new Set(labels.flat())]))
    if (family.kind !== 'histogram') expect(new Set(labels.map(String)).size).toBe(1)
  })

  test('names every metric in the reference, with the values of its labels', () => {
    const rows = renderMetricsDoc()
      .split('\n')
      .filter((line) => line.startsWith('| `'))
    expect(rows.map((row) => row.split('`')[1])).toEqual([
      ...counterFamilies.map(({ name }) => name),
      'silopath_build_info',
    ])
    expect(rows).toContainEqual(expect.stringContaining('| gauge | `ring`: in, out; `lane`: index | Records waiting'))
  })
})
