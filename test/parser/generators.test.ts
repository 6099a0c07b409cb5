import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type ParseErrorClass, parseErrorClasses } from '../../src/parser/msrp/error-class.ts'
import { buildCase, caseSeeds, feedCut, propertySeed, type StreamKind } from '../support/generators.ts'
import { createReferenceReader } from '../support/reference-reader.ts'

const seed = propertySeed()

test('the reference reads a well-formed stream as exactly the frames that were composed (M-1 … M-39, M-63)', () => {
  fc.assert(
    fc.property(caseSeeds, (caseSeed) => {
      const { octets, cuts, frames } = buildCase('well-formed', caseSeed)
      const reader = createReferenceReader()
      feedCut(reader, octets, cuts)
      const expected = frames?.map((frame) => ({ type: 'frame', frame }))
      if (!isDeepStrictEqual(reader.events, expected)) {
        expect(reader.events, JSON.stringify(octets.toString('latin1'))).toEqual(expected)
        throw new Error('events differ only in absent and undefined properties')
      }
    }),
    { numRuns: 10_000, seed },
  )
}, 120_000)

test('the reference finds the same events at any split (M-63)', () => {
  fc.assert(
    fc.property(caseSeeds, (caseSeed) => {
      const { octets, cuts, limits } = buildCase('mutated-small-limits', caseSeed)
      const whole = createReferenceReader({ limits })
      const cut = createReferenceReader({ limits })
      feedCut(whole, octets, [])
      feedCut(cut, octets, cuts)
      if (!isDeepStrictEqual(cut.events, whole.events)) expect(cut.events).toEqual(whole.events)
    }),
    { numRuns: 5_000, seed },
  )
}, 120_000)

test('mutations reach every error class of M-60', () => {
  const counts = new Map<ParseErrorClass | 'frame', number>([
    ['frame', 0],
    ...parseErrorClasses.map((cls) => [cls, 0] as const),
  ])
  const kinds: readonly StreamKind[] = ['mutated', 'mutated', 'mutated-small-limits', 'garbage']
  let turn = 0
  fc.assert(
    fc.property(caseSeeds, (caseSeed) => {
      const { octets, limits } = buildCase(kinds[turn++ % kinds.length] ?? 'mutated', caseSeed)
      const reader = createReferenceReader({ limits })
      feedCut(reader, octets, [])
      for (const event of reader.events) {
        const key = event.type === 'frame' ? 'frame' : event.cls
        counts.set(key, (counts.get(key) ?? 0) + 1)
      }
    }),
    { numRuns: 20_000, seed },
  )
  console.log(Object.fromEntries(counts))
  expect([...counts].filter(([, count]) => count === 0)).toEqual([])
}, 120_000)
