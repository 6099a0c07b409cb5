import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Histogram } from '../../bench/load/histogram.ts'

test('a percentile is never below the exact one and at most 1/128 above it', () => {
  const microseconds = fc.integer({ min: 1, max: 2 ** 31 - 1 })
  fc.assert(
    fc.property(
      fc.array(microseconds, { minLength: 1, maxLength: 200 }),
      fc.integer({ min: 1, max: 100 }),
      (values, p) => {
        const histogram = new Histogram()
        for (const value of values) histogram.record(value / 1000)
        const sorted = values.toSorted((a, b) => a - b)
        const exact = sorted[Math.max(1, Math.ceil((p / 100) * values.length)) - 1]! / 1000
        expect(histogram.percentile(p)).toBeGreaterThanOrEqual(exact)
        expect(histogram.percentile(p)).toBeLessThanOrEqual(exact * (1 + 1 / 128))
        expect(histogram.maxMs).toBe(sorted.at(-1)! / 1000)
      },
    ),
  )
})

test('a value longer than any bucket counts in the last one', () => {
  const histogram = new Histogram()
  histogram.record(1e10)
  expect(histogram.percentile(50)).toBeCloseTo((2 ** 31 - 1) / 1000)
  expect(histogram.maxMs).toBe(1e10)
})

test('reset forgets everything', () => {
  const histogram = new Histogram()
  histogram.record(5)
  histogram.reset()
  expect([histogram.percentile(99), histogram.maxMs]).toEqual([0, 0])
})
