import assert from 'node:assert/strict'
import { parseErrorClasses } from '../parser/msrp/error-class.ts'
import { handlingBuckets, msrpFamilies } from './families/msrp.ts'
import { serverFamilies } from './families/server.ts'
import { siloFamilies } from './families/silo.ts'
import { sipFamilies } from './families/sip.ts'

/** Every metric that lanes and the primary count. The order of the cells here is their order in a row. */
export const counterFamilies = [...msrpFamilies, ...sipFamilies, ...siloFamilies, ...serverFamilies] as const

type KeyOf<Family> = Family extends { readonly cells: infer Cells } ? keyof Cells & string : never

/** The name of one cell of a row. */
export type CounterKey = KeyOf<(typeof counterFamilies)[number]>

/** The key of every cell, in the order of a row. */
export const counterCells: readonly CounterKey[] = Object.freeze(
  counterFamilies.flatMap(({ cells }) => Object.keys(cells) as CounterKey[]),
)

const indexes = Object.fromEntries(counterCells.map((key, index) => [key, index])) as Readonly<
  Record<CounterKey, number>
>

/**
 * Where each cell lies in a row: `row[C.framesReceivedSend] += 1`. The parse errors lie side by side in the order of
 * `parseErrorClasses`, so that class number n is `C.parseErrorFirst + n`.
 */
export const C: Readonly<Record<CounterKey | 'parseErrorFirst', number>> = Object.freeze({
  ...indexes,
  parseErrorFirst: indexes[`parseError:${parseErrorClasses[0]}`],
})

const handlingFirst = C[`handling:${handlingBuckets[0]}`]

/** Counts `frames` frames of one read that took `meanSeconds` each. */
export function countHandling(row: Float64Array, meanSeconds: number, frames: number): void {
  let bucket = 0
  while (bucket < handlingBuckets.length && meanSeconds > handlingBuckets[bucket]!) bucket += 1
  row[handlingFirst + bucket]! += frames
  row[C.handlingSum]! += meanSeconds * frames
}

const cacheLineOctets = 64

/**
 * The counters of all threads: a row of Float64 for each lane, and the last one for the primary. Each row has one
 * writer, which adds with plain stores; whoever reads may see a value a moment old but never a torn one, as aligned
 * 64-bit stores are whole on the machines Node runs on.
 */
export class SharedCounters {
  /** Octets of one row: whole cache lines, so that no two writers share one. */
  static readonly octetsPerRow: number =
    Math.ceil((counterCells.length * Float64Array.BYTES_PER_ELEMENT) / cacheLineOctets) * cacheLineOctets

  readonly #rows: readonly Float64Array[]

  /** @param rows the lanes' rows in the order of their index, then the primary's; each a view on zeroed shared memory. */
  constructor(rows: readonly Float64Array[]) {
    assert(rows.length > 0, 'the primary has a row')
    for (const row of rows) assert(row.byteLength >= SharedCounters.octetsPerRow, 'a row is too short')
    this.#rows = rows
  }

  /** Number of lanes. */
  get lanes(): number {
    return this.#rows.length - 1
  }

  /** The row of the lane with that index. */
  row(lane: number): Float64Array {
    assert(lane >= 0 && lane < this.lanes, 'no such lane')
    return this.#rows[lane]!
  }

  get primary(): Float64Array {
    return this.#rows[this.lanes]!
  }

  /** The cell added up over lanes and primary. */
  sum(key: CounterKey): number {
    const index = C[key]
    return this.#rows.reduce((sum, row) => sum + row[index]!, 0)
  }
}
