import { randomBytes } from 'node:crypto'

const ALPHABET = Buffer.from('0123456789abcdefghijklmnopqrstuv', 'latin1')
const NO_DIGIT = 0x80
const VALUES = new Uint8Array(256).fill(NO_DIGIT)
for (const [value, letter] of ALPHABET.entries()) VALUES[letter] = value

/** A sequence number is six base-32 digits: 2^30 messages a pair, more than the longest run can send. */
export const SEQUENCE_DIGITS = 6

export const writeSequence = (bytes: Uint8Array, at: number, sequence: number): void => {
  bytes[at] = ALPHABET[(sequence >>> 25) & 31]!
  bytes[at + 1] = ALPHABET[(sequence >>> 20) & 31]!
  bytes[at + 2] = ALPHABET[(sequence >>> 15) & 31]!
  bytes[at + 3] = ALPHABET[(sequence >>> 10) & 31]!
  bytes[at + 4] = ALPHABET[(sequence >>> 5) & 31]!
  bytes[at + 5] = ALPHABET[sequence & 31]!
}

/** The sequence number written at `at`, -1 when these are no digits of ours. */
export const readSequence = (bytes: Uint8Array, at: number): number => {
  const a = VALUES[bytes[at]!]!
  const b = VALUES[bytes[at + 1]!]!
  const c = VALUES[bytes[at + 2]!]!
  const d = VALUES[bytes[at + 3]!]!
  const e = VALUES[bytes[at + 4]!]!
  const f = VALUES[bytes[at + 5]!]!
  if (((a | b | c | d | e | f) & NO_DIGIT) !== 0) return -1
  return (a << 25) | (b << 20) | (c << 15) | (d << 10) | (e << 5) | f
}

/** Random letters and digits, five bits each; fits transaction ids, Message-IDs and session-ids alike (M-3, M-28, U-1). */
export const randomIdent = (length: number): string =>
  Array.from(randomBytes(length), (octet) => String.fromCharCode(ALPHABET[octet & 31]!)).join('')
