import fc from 'fast-check'
import { expect, test } from 'vitest'
import { octetsOf, sameOctets } from '../../bench/load/octets.ts'
import { readSequence, SEQUENCE_DIGITS, writeSequence } from '../../bench/load/sequence.ts'

const latin1 = (length: number): fc.Arbitrary<string> =>
  fc.uint8Array({ minLength: length, maxLength: length }).map((octets) => Buffer.from(octets).toString('latin1'))

test('octets are the same where every one is, and nowhere else', () => {
  const comparison = fc.integer({ min: 1, max: 900 }).chain((length) =>
    fc.record({
      text: latin1(length),
      before: fc.tuple(latin1(3), latin1(9)),
      changed: fc.integer({ min: 0, max: length - 1 }),
      difference: fc.integer({ min: 1, max: 255 }),
    }),
  )
  fc.assert(
    fc.property(comparison, ({ text, before: [left, right], changed, difference }) => {
      const a = octetsOf(`${left}${text}`)
      const b = octetsOf(`${right}${text}`)
      expect(sameOctets(a, left.length, b, right.length, text.length)).toBe(true)
      b.bytes[right.length + changed]! ^= difference
      expect(sameOctets(a, left.length, b, right.length, text.length)).toBe(false)
    }),
  )
})

test('a sequence number is read as it was written, and other letters are none', () => {
  const bytes = Buffer.alloc(SEQUENCE_DIGITS)
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 ** 30 - 1 }), fc.integer({ min: 0, max: 5 }), (sequence, at) => {
      writeSequence(bytes, 0, sequence)
      expect(bytes.toString('latin1')).toMatch(/^[0-9a-v]{6}$/)
      expect(readSequence(bytes, 0)).toBe(sequence)
      bytes[at] = 'w'.charCodeAt(0)
      expect(readSequence(bytes, 0)).toBe(-1)
    }),
  )
})
