import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { buildCase, caseSeeds, feedCut, propertySeed, type StreamKind } from '../support/generators.ts'
import { createKernelReader } from '../support/kernel-reader.ts'
import { createReferenceReader } from '../support/reference-reader.ts'

/*
 * The kernel against the oracle: over 200 000 streams a run, of four kinds, each cut into random reads. The reference is
 * fed the stream whole, so that the comparison also shows that no split matters to the kernel (M-63).
 */
const runs: readonly (readonly [kind: StreamKind, rules: string, runs: number])[] = [
  ['well-formed', 'M-1 … M-39', 45_000],
  ['mutated', 'M-60, M-62', 75_000],
  ['mutated-small-limits', 'M-44', 45_000],
  ['garbage', 'M-60', 36_000],
]

const seed = propertySeed()

for (const [kind, rules, numRuns] of runs) {
  test(`kernel and reference agree on ${numRuns} ${kind} streams (${rules}, M-63)`, () => {
    fc.assert(
      fc.property(caseSeeds, (caseSeed) => {
        const { octets, cuts, limits } = buildCase(kind, caseSeed)
        const kernel = createKernelReader({ limits })
        feedCut(kernel, octets, cuts)
        const reference = createReferenceReader({ limits })
        feedCut(reference, octets, [])
        if (isDeepStrictEqual(kernel.events, reference.events)) return
        const stream = JSON.stringify(octets.toString('latin1'))
        expect(kernel.events, `octets (latin1) ${stream} cut at ${cuts.join(', ')}`).toStrictEqual(reference.events)
        throw new Error(`events differ for ${stream}`)
      }),
      { numRuns, seed },
    )
  }, 600_000)
}
