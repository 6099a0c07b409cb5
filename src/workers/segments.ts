import assert from 'node:assert/strict'
import type { Address } from '../ids.ts'

/*
 * A segment is a piece of the shared memory of one of four sizes:
 *
 *   address - 16: next free segment | address of the free list's head word | capacity | 1 while free
 *   address:      capacity octets, then 16 octets of margin (the kernel copies in steps of 16)
 *
 * One lane owns a pool and is the only one to take from it; any thread may give back. With a single taker the free lists
 * are plain stacks: a head that is compared and swapped cannot have been taken and put back in between.
 */

const HEADER_OCTETS = 16
const MARGIN_OCTETS = 16

/** Octets of memory of a segment of each class, header and margin included. */
export const segmentSizes = [2048, 16_384, 98_304, 393_216] as const

/** Octets that fit a segment of the largest class. */
export const segmentCapacityMax = segmentSizes[3] - HEADER_OCTETS - MARGIN_OCTETS

/** Words of control data a pool needs: for each class a head and the count of segments taken, and the free octets. */
export const SEGMENT_POOL_WORDS = 16
const TAKEN_WORDS = 4
const FREE_WORD = 8

/** Octets usable in the segment at `address`. */
export function segmentCapacity(words: Int32Array, address: Address): number {
  return words[(address - HEADER_OCTETS + 8) >> 2]!
}

/** Gives a segment back to the pool it was taken from. Any thread. */
export function giveSegment(words: Int32Array, address: Address): void {
  const header = (address - HEADER_OCTETS) >> 2
  assert(Atomics.exchange(words, header + 3, 1) === 0, 'a segment is given back once')
  const list = words[header + 1]!
  let top = Atomics.load(words, list)
  for (;;) {
    words[header] = top
    const seen = Atomics.compareExchange(words, list, top, address)
    if (seen === top) break
    top = seen
  }
  Atomics.sub(words, list + TAKEN_WORDS, 1)
  Atomics.add(words, (list & ~(SEGMENT_POOL_WORDS - 1)) + FREE_WORD, words[header + 2]!)
}

/** The taking side of one lane's pool. */
export class SegmentPool {
  readonly #words: Int32Array
  readonly #control: number
  /** Per class: where memory that was never used begins and ends. Carved only when its free list is empty (RSS). */
  readonly #fresh: number[] = []
  readonly #freshEnd: number[] = []
  readonly #count: number[] = []
  /** Octets of capacity in the pool. */
  readonly total: number

  /**
   * Takes over the pool, all free. No thread may still hold one of its segments.
   * @param control word index of SEGMENT_POOL_WORDS words, a multiple of SEGMENT_POOL_WORDS
   * @param start address of `octets` octets, 16-octet aligned; a quarter goes to each class
   */
  constructor(words: Int32Array, control: number, start: Address, octets: number) {
    assert(control % SEGMENT_POOL_WORDS === 0 && start % 16 === 0)
    this.#words = words
    this.#control = control
    let total = 0
    for (const [index, size] of segmentSizes.entries()) {
      const count = Math.floor(octets / segmentSizes.length / size)
      assert(count > 0, 'a pool has segments of every class')
      const first = start + Math.floor(octets / segmentSizes.length / 16) * 16 * index
      this.#fresh.push(first)
      this.#freshEnd.push(first + count * size)
      this.#count.push(count)
      words[control + index] = 0
      words[control + TAKEN_WORDS + index] = 0
      total += count * (size - HEADER_OCTETS - MARGIN_OCTETS)
    }
    words[control + FREE_WORD] = total
    this.total = total
  }

  /** Octets of capacity that are free. */
  get free(): number {
    return Atomics.load(this.#words, this.#control + FREE_WORD)
  }

  /** Address of a segment of at least `octets` octets, the smallest there is; 0 when the pool is exhausted. */
  take(octets: number): Address | 0 {
    const words = this.#words
    for (let index = 0; index < segmentSizes.length; index++) {
      const capacity = segmentSizes[index]! - HEADER_OCTETS - MARGIN_OCTETS
      if (capacity < octets) continue
      const address = this.#pop(index) || this.#carve(index)
      if (address === 0) continue
      words[(address - HEADER_OCTETS + 12) >> 2] = 0
      Atomics.add(words, this.#control + TAKEN_WORDS + index, 1)
      Atomics.sub(words, this.#control + FREE_WORD, capacity)
      return address as Address
    }
    return 0
  }

  /** Calls back with the free and all octets of capacity of each class. */
  measure(take: (index: number, free: number, capacity: number) => void): void {
    for (const [index, size] of segmentSizes.entries()) {
      const capacity = size - HEADER_OCTETS - MARGIN_OCTETS
      const taken = Atomics.load(this.#words, this.#control + TAKEN_WORDS + index)
      const all = this.#count[index]! * capacity
      take(index, all - taken * capacity, all)
    }
  }

  capacity(segment: Address): number {
    return segmentCapacity(this.#words, segment)
  }

  give(segment: Address): void {
    giveSegment(this.#words, segment)
  }

  #pop(index: number): number {
    const words = this.#words
    const list = this.#control + index
    for (;;) {
      const top = Atomics.load(words, list)
      if (top === 0) return 0
      if (Atomics.compareExchange(words, list, top, words[(top - HEADER_OCTETS) >> 2]!) === top) return top
    }
  }

  #carve(index: number): number {
    const start = this.#fresh[index]!
    const size = segmentSizes[index]!
    if (start + size > this.#freshEnd[index]!) return 0
    this.#fresh[index] = start + size
    const address = start + HEADER_OCTETS
    const header = start >> 2
    this.#words[header + 1] = this.#control + index
    this.#words[header + 2] = size - HEADER_OCTETS - MARGIN_OCTETS
    return address
  }
}
