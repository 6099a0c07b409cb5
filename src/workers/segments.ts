import assert from 'node:assert/strict'
import type { Address } from '../ids.ts'

/*
 * A segment is a piece of the shared memory of one of five sizes:
 *
 *   address - 16: next free segment | address of the free list's head word | capacity | 1 while free
 *   address:      capacity octets, then 16 octets of margin (the kernel copies in steps of 16)
 *
 * One lane owns a pool and is the only one to take from it; any thread may give back. The free lists are stacks to which
 * others only add, and which the owner takes whole, to a list of its own that needs no atomics.
 */

const HEADER_OCTETS = 16
const MARGIN_OCTETS = 16

/** Octets of memory of a segment of each class, header and margin included. */
export const segmentSizes = [2048, 8192, 24_576, 98_304, 393_216] as const

/** Octets that fit a segment of the largest class. */
export const segmentCapacityMax = segmentSizes[4] - HEADER_OCTETS - MARGIN_OCTETS

/** Words of control data a pool needs: for each class a head and the count of segments taken, and the free octets. */
export const SEGMENT_POOL_WORDS = 16
const TAKEN_WORDS = segmentSizes.length
const FREE_WORD = 2 * segmentSizes.length

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

/** How many segments a pool of so many octets has. */
export function segmentCount(octets: number): number {
  return classPlaces(0 as Address, octets).reduce((sum, { count }) => sum + count, 0)
}

/** Where a class of segments lies in a pool's memory. */
interface ClassPlace {
  readonly size: number
  readonly capacity: number
  readonly first: number
  readonly count: number
}

function classPlaces(start: Address, octets: number): ClassPlace[] {
  const share = Math.floor(octets / segmentSizes.length / 16) * 16
  return segmentSizes.map((size, index) => ({
    size,
    capacity: size - HEADER_OCTETS - MARGIN_OCTETS,
    first: start + share * index,
    count: Math.floor(share / size),
  }))
}

/**
 * Makes all segments of a pool free but those in `held`, which somebody will still give back. No thread may be taking
 * or giving meanwhile, other than the caller's.
 * @param control word index of SEGMENT_POOL_WORDS words, a multiple of SEGMENT_POOL_WORDS
 * @param start address of `octets` octets, 16-octet aligned; each class gets as many
 */
export function resetSegments(
  words: Int32Array,
  control: number,
  start: Address,
  octets: number,
  held: readonly Address[] = [],
): void {
  assert(control % SEGMENT_POOL_WORDS === 0 && start % 16 === 0)
  let free = 0
  for (const [index, { capacity, first, count, size }] of classPlaces(start, octets).entries()) {
    assert(count > 0, 'a pool has segments of every class')
    const taken = held.filter((segment) => segment >= first && segment < first + count * size).length
    words[control + index] = 0
    words[control + TAKEN_WORDS + index] = taken
    free += (count - taken) * capacity
  }
  words[control + FREE_WORD] = free
}

/** The taking side of one lane's pool. */
export class SegmentPool {
  readonly #words: Int32Array
  readonly #control: number
  readonly #classes: readonly ClassPlace[]
  /** Per class: where memory that this pool has never used begins. Carved only when its free list is empty (RSS). */
  readonly #fresh: number[]
  /** Per class: free segments that no other thread sees. Only when they run out is the shared list looked at. */
  readonly #own: number[] = segmentSizes.map(() => 0)
  /** Not to be carved: they come back through the free list. */
  readonly #held: ReadonlySet<Address>
  /** Octets of capacity in the pool. */
  readonly total: number

  /** Takes over the pool as `resetSegments`, with the same arguments, has left it. */
  constructor(words: Int32Array, control: number, start: Address, octets: number, held: readonly Address[] = []) {
    this.#words = words
    this.#control = control
    this.#classes = classPlaces(start, octets)
    this.#fresh = this.#classes.map(({ first }) => first)
    this.#held = new Set(held)
    this.total = this.#classes.reduce((sum, { capacity, count }) => sum + capacity * count, 0)
  }

  /** Octets of capacity that are free. */
  get free(): number {
    // A plain read: a moment's difference decides nothing, and this is asked for every frame.
    return this.#words[this.#control + FREE_WORD]!
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
    for (const [index, { capacity, count }] of this.#classes.entries()) {
      const taken = Atomics.load(this.#words, this.#control + TAKEN_WORDS + index)
      take(index, (count - taken) * capacity, count * capacity)
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
    // All that have been given back, at once.
    if (this.#own[index] === 0 && words[list] !== 0) this.#own[index] = Atomics.exchange(words, list, 0)
    const top = this.#own[index]!
    if (top !== 0) this.#own[index] = words[(top - HEADER_OCTETS) >> 2]!
    return top
  }

  #carve(index: number): number {
    const { first, count, size, capacity } = this.#classes[index]!
    for (;;) {
      const start = this.#fresh[index]!
      if (start === first + count * size) return 0
      this.#fresh[index] = start + size
      const address = start + HEADER_OCTETS
      if (this.#held.has(address as Address)) continue
      const header = start >> 2
      this.#words[header + 1] = this.#control + index
      this.#words[header + 2] = capacity
      return address
    }
  }
}
