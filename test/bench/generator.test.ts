import { afterEach, describe, expect, test } from 'vitest'
import type { LoadOptions, LoadResult, Target } from '../../bench/load/options.ts'
import { runIdle } from '../../bench/load/run-idle.ts'
import { runLoad } from '../../bench/load/run-load.ts'
import { failuresOf } from '../../bench/load/verdict.ts'
import { type Behaviour, type StubRelay, startStubRelay } from './stub-relay.ts'

let stub: StubRelay

/** The stub runs in this very process, so its CPU and memory are this one's. */
const targetOf = ({ port }: StubRelay): Target => ({
  host: '127.0.0.1',
  port,
  pid: process.pid,
  user: 'load',
  password: 'unused',
})

const load = async (behaviour: Behaviour, options: Partial<LoadOptions> = {}): Promise<LoadResult> => {
  stub = await startStubRelay(behaviour)
  return runLoad({
    target: targetOf(stub),
    pairs: 3,
    window: 8,
    size: 200,
    topology: 'one-hop',
    warmup: 0,
    seconds: 0.15,
    rate: 0,
    drainMs: 2000,
    ...options,
  })
}

afterEach(() => stub.close())

describe('a relay that does everything right', () => {
  test.each([
    { topology: 'one-hop', size: 200 },
    { topology: 'two-hop', size: 200 },
    { topology: 'one-hop', size: 0 },
    { topology: 'two-hop', size: 3000 },
    { topology: 'one-hop', size: 100_000 },
  ] as const)('loses nothing: $topology, $size octets (R-13, R-16, R-42, M-41)', async (options) => {
    const result = await load('right', options)
    expect(failuresOf(result)).toEqual([])
    expect(result.frames).toBeGreaterThan(0)
    expect(result.latency_ms.p50).toBeGreaterThan(0)
    expect(result.latency_ms.max).toBeGreaterThanOrEqual(result.latency_ms.p99_9)
  })

  test('gets a right 200 for every SEND it forwards (M-50)', async () => {
    const result = await load('right')
    expect(stub.wrongAnswers).toBe(0)
    expect(stub.answers).toBeGreaterThanOrEqual(result.frames)
  })

  test('may split messages into chunks (R-50, R-51)', async () => {
    const result = await load('split', { size: 500 })
    expect(failuresOf(result)).toEqual([])
    expect(stub.wrongAnswers).toBe(0)
  })

  test('may write a frame in pieces of any size (M-63)', async () => {
    expect(failuresOf(await load('trickle'))).toEqual([])
  })

  test('is sent no more than the rate asks for, in an open loop', async () => {
    const before = performance.now()
    const result = await load('right', { rate: 500, seconds: 0.3 })
    expect(failuresOf(result)).toEqual([])
    expect(result.frames).toBeLessThanOrEqual(500 * ((performance.now() - before) / 1000) + 1)
    expect(result.frames).toBeGreaterThan(0)
  })
})

describe('a relay that is wrong in one frame of many is found out', () => {
  test.each<[behaviour: Behaviour, what: string, count: (result: LoadResult) => number | undefined]>([
    ['corrupt-body', 'an octet of a body changed (R-42)', ({ corrupt_by }) => corrupt_by.body],
    ['wrong-end-line', 'an end-line with another transaction id (M-5)', ({ corrupt_by }) => corrupt_by.body],
    ['keep-to-path', 'a To-Path that was not rewritten (R-42)', ({ corrupt_by }) => corrupt_by.path],
    ['keep-from-path', 'a From-Path that was not rewritten (R-42)', ({ corrupt_by }) => corrupt_by.path],
    ['lose-header', 'a header that was left out (R-43)', ({ corrupt_by }) => corrupt_by.header],
    ['abort', 'a message that was given up (R-54)', ({ corrupt_by }) => corrupt_by.framing],
    ['duplicate', 'a frame delivered twice', ({ corrupt_by }) => corrupt_by.duplicate],
    ['swap', 'two frames swapped (R-50)', ({ reordered }) => reordered],
    ['drop', 'a frame dropped', ({ lost }) => lost],
    ['no-answer', 'a SEND without 200 (R-40)', ({ unanswered }) => unanswered],
    ['refuse', 'a SEND refused', ({ bad_responses }) => bad_responses],
    ['report', 'a REPORT (R-45)', ({ reports }) => reports],
  ])('%s: %s', async (behaviour, _what, count) => {
    const result = await load(behaviour, { drainMs: 150 })
    expect(count(result)).toBeGreaterThan(0)
    expect(failuresOf(result)).not.toEqual([])
  })

  test('and only for what it did: a corrupt body is neither lost nor out of order', async () => {
    const result = await load('corrupt-body')
    expect(result).toMatchObject({ lost: 0, reordered: 0, unanswered: 0, bad_responses: 0 })
    expect(result.first_fault).toContain('has another body than was sent')
    expect(result.corrupt).toBe(result.corrupt_by.body)
  })
})

test('idle sessions are authenticated, a connection each, and what memory grew by is shared among them', async () => {
  stub = await startStubRelay()
  const result = await runIdle({ target: targetOf(stub), sessions: 100, settle: 0.1, soon: 0.05 })
  expect(stub.sessions).toBe(100)
  expect(result.idle).toBe(100)
  const growth = (result.rss_after_mib - result.rss_before_mib) * 2 ** 20
  const growthSoon = (result.rss_soon_mib - result.rss_before_mib) * 2 ** 20
  // The two sizes are rounded to a tenth of a MiB.
  expect(Math.abs(result.octets_per_session * 100 - growth)).toBeLessThan(0.11 * 2 ** 20)
  expect(Math.abs(result.octets_per_session_soon * 100 - growthSoon)).toBeLessThan(0.11 * 2 ** 20)
})
