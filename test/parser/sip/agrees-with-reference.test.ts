import fc from 'fast-check'
import { expect, test } from 'vitest'
import { propertySeed } from '../../support/generators.ts'
import { buildSipCase, type SipCaseKind, sipCaseSeeds } from '../../support/sip-generators.ts'
import { parseSip } from '../../support/sip-parser.ts'
import { referenceMessage, referenceStream } from '../../support/sip-reference-reader.ts'
import { snapshotOf } from '../../support/sip-snapshot.ts'
import { readStream } from '../../support/sip-stream.ts'

/*
 * The parser against the oracle: over 30 000 cases a run, and as many times more as SILOPATH_CASES says. The reference reads
 * each stream whole, so that the comparison also shows that no split matters to the reader.
 */
const times = Number(process.env['SILOPATH_CASES'] ?? 1)
const runs: readonly (readonly [kind: SipCaseKind, datagrams: number, streams: number])[] = [
  ['well-formed', 1_500, 500],
  ['odd', 3000, 1500],
  ['mutated', 5000, 2000],
  ['small-limits', 5000, 4000],
  ['garbage', 5000, 4500],
]

const seed = propertySeed()

for (const [kind, datagrams, streams] of runs) {
  test(`parser and reference agree on ${datagrams} ${kind} datagrams (S-1 … S-13)`, () => {
    fc.assert(
      fc.property(sipCaseSeeds, (caseSeed) => {
        const { octets, limits } = buildSipCase(kind, caseSeed, false)
        const got = snapshotOf(parseSip(octets, kind === 'small-limits' ? limits : undefined))
        const wanted = referenceMessage(octets, limits)
        if (JSON.stringify(got) !== JSON.stringify(wanted)) expect(got, describeOctets(octets)).toStrictEqual(wanted)
      }),
      { numRuns: datagrams * times, seed },
    )
  }, 120_000)

  test(`reader and reference agree on ${streams} ${kind} streams in pieces (S-5, S-12, S-92)`, () => {
    fc.assert(
      fc.property(sipCaseSeeds, (caseSeed) => {
        const { octets, cuts, limits } = buildSipCase(kind, caseSeed, true)
        const got = readStream(octets, cuts, limits)
        const wanted = referenceStream(octets, limits)
        if (JSON.stringify(got) !== JSON.stringify(wanted)) {
          expect(got, `${describeOctets(octets)} cut at ${cuts.join(', ')}`).toStrictEqual(wanted)
        }
      }),
      { numRuns: streams * times, seed },
    )
  }, 120_000)
}

test('well-formed messages have no problem but an unsupported scheme, so that the cases above are worth something', () => {
  const problems = new Map<string, number>()
  for (let seedOfCase = 0; seedOfCase < 300; seedOfCase++) {
    const { octets } = buildSipCase('well-formed', { seed: seedOfCase, messages: 1, mutations: 1, cuts: 0 }, false)
    const { problem } = parseSip(octets)
    problems.set(`${problem}`, (problems.get(`${problem}`) ?? 0) + 1)
  }
  expect([...problems.keys()]).toEqual(['null'])
})

test('any octets at all are read as something (S-1)', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (octets) => {
      expect(snapshotOf(parseSip(octets))).toStrictEqual(referenceMessage(octets))
      expect(readStream(Buffer.from(octets), [])).toStrictEqual(referenceStream(octets))
    }),
    { numRuns: 2_000, seed },
  )
})

function describeOctets(octets: Buffer): string {
  return `octets (latin1) ${JSON.stringify(octets.toString('latin1'))}`
}
