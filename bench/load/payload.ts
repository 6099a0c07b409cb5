import { randomBytes } from 'node:crypto'
import { type Octets, octetsOf, sameOctets } from './octets.ts'

/** How many different bodies there are. A power of two. */
const ROTATIONS = 1024

/** Printable, and without the hyphen: no body can hold an end-line (M-9), whatever the transaction id. */
const LETTERS = Array.from({ length: 94 }, (_, i) => String.fromCharCode(0x21 + i)).filter((letter) => letter !== '-')

/**
 * Message bodies: slices of one random block, each starting at an octet that pair and sequence number choose, so that
 * neighbouring messages of a pair differ nearly everywhere and any octet of any body is known without storing it.
 */
export class Payload {
  readonly size: number
  readonly #block: Octets
  readonly #slices: readonly Buffer[]

  /** @param size octets in each body */
  constructor(size: number) {
    this.size = size
    const random = randomBytes(ROTATIONS + size)
    this.#block = octetsOf(Array.from(random, (octet) => LETTERS[octet % LETTERS.length]!).join(''))
    this.#slices = Array.from({ length: ROTATIONS }, (_, at) => this.#block.bytes.subarray(at, at + size))
  }

  body(pair: number, sequence: number): Buffer {
    return this.#slices[rotation(pair, sequence)]!
  }

  /** Whether `length` octets from `at` are what this message's body holds from octet `position` (counted from 0) on. */
  matches(octets: Octets, at: number, length: number, pair: number, sequence: number, position = 0): boolean {
    return sameOctets(octets, at, this.#block, rotation(pair, sequence) + position, length)
  }
}

const rotation = (pair: number, sequence: number): number => (pair * 131 + sequence) & (ROTATIONS - 1)
