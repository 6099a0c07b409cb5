import type { Address } from '../../../src/ids.ts'
import { RING_CONTROL_OCTETS, RING_RECORD_OCTETS } from '../../../src/workers/ring.ts'
import { SEGMENT_POOL_WORDS, segmentSizes } from '../../../src/workers/segments.ts'

/*
 * The memory that the owner of a segment pool and its givers share, and the stamp with which they catch a segment that
 * two hold at once: the owner writes it into a segment that must carry none, the giver wipes it before it gives.
 */

export const GIVERS = 3
export const GIVER_RING_RECORDS = 64
const GIVER_OCTETS = 256 + RING_CONTROL_OCTETS + GIVER_RING_RECORDS * RING_RECORD_OCTETS

export const POOL_CONTROL = 0
export const POOL_START = 65_536 as Address
/** Two segments of the largest class, and more of the smaller ones. */
export const POOL_OCTETS = segmentSizes.length * 2 * 393_216
export const HAMMER_OCTETS = POOL_START + POOL_OCTETS

export interface GiverData {
  readonly memory: SharedArrayBuffer
  readonly giver: number
}

/** Record kinds of the ring to a giver. */
export const GIVE = 1
export const STOP = 2

const giverAt = (giver: number) => SEGMENT_POOL_WORDS * 4 + 192 + giver * GIVER_OCTETS
export const giverBellWord = (giver: number) => giverAt(giver) >> 2
export const giverRing = (giver: number) => (giverAt(giver) + 256) as Address

/** First, middle and last word of a segment. */
const stampWords = (address: Address, capacity: number) => [
  address >> 2,
  (address + (capacity >> 1)) >> 2,
  (address + capacity - 4) >> 2,
]

/** Marks a segment as the caller's. Returns what is wrong, null when nothing is. */
export function stamp(words: Int32Array, address: Address, capacity: number, mark: number): string | null {
  for (const word of stampWords(address, capacity)) {
    const found = Atomics.compareExchange(words, word, 0, mark)
    if (found !== 0) return `the segment at ${address} handed out as ${mark} is still held as ${found}`
  }
  return null
}

/** Takes the mark away before the segment is given back. */
export function wipe(words: Int32Array, address: Address, capacity: number, mark: number): string | null {
  for (const word of stampWords(address, capacity)) {
    const found = Atomics.compareExchange(words, word, mark, 0)
    if (found !== mark) return `the segment at ${address} held as ${mark} carries ${found}`
  }
  return null
}
