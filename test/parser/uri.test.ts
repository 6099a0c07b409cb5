import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { uriEqual } from '../../src/parser/msrp/uri.ts'

interface Pair {
  readonly a: string
  readonly b: string
  /** null: one side is no valid URI. */
  readonly equal: boolean | null
  readonly why: string
}

const { pairs } = JSON.parse(readFileSync(join(import.meta.dirname, '../vectors/msrp/uri-compare.json'), 'utf8')) as {
  pairs: readonly Pair[]
}

test('there are URI pairs to compare', () => {
  expect(pairs.length).toBeGreaterThanOrEqual(19)
})

for (const { a, b, equal, why } of pairs) {
  test(`${a} and ${b}: ${why} (U-4, U-5)`, () => {
    expect(uriEqual(a, b)).toBe(equal)
    expect(uriEqual(b, a)).toBe(equal)
    // Equality of a URI with itself: true, or null if it is none.
    if (equal !== null) expect([uriEqual(a, a), uriEqual(b, b)]).toEqual([true, true])
  })
}
