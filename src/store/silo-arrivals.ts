import type { MessageId } from '../ids.ts'
import type { Located, OwnerHash, Waiting } from './silo-tables.ts'

/** By the first 12 bits of the owner's hash. */
const binsCount = 4_096
/** Who has more than that is better off in the table, where messages are found by id. */
const binMax = 64
/** With so many messages `toFile` takes no further bin: more than a transaction brings, and it does not grow long by them. */
const fileMax = 500

/** Bins whose messages are to be filed. */
export interface Filing {
  readonly bins: readonly number[]
  /** The bin whose turn it is then. */
  readonly turn: number
}

/**
 * Messages that wait and have not been filed: they are on disk, but not in the table of inboxes yet. The pages of that lie as
 * owners' hashes do, so that filing each message as it comes would write a page for it, and most of a second one. Here they
 * are in bins, by owners whose inboxes are neighbours, and filed a bin at a time. What is delivered meanwhile never is.
 *
 * All this ends with the process. The next one makes it anew from the rows with ids larger than `filedTo`.
 */
export class Arrivals {
  readonly #max: number
  readonly #bins: Waiting[][]
  /** Of each bin: its messages up to this id are filed, or gone. */
  readonly #filedTo: number[]
  /** Bins with more than `binMax`. */
  readonly #full = new Set<number>()
  #turn = 0
  /** Of all that is here, by `weightOf`. */
  #weight = 0
  /** Largest id that was added. */
  #last: number

  /**
   * @param max how many may be here; more are filed. One of more than 1 KiB counts as several: the next process has to read
   * them all.
   * @param filedTo all messages up to this id are filed, or gone
   */
  constructor(max: number, filedTo: number) {
    this.#max = max
    this.#last = filedTo
    this.#bins = Array.from({ length: binsCount }, () => [])
    this.#filedTo = this.#bins.map(() => filedTo)
  }

  /** All messages up to this id are filed, or gone: of all bins, the one whose turn it is was filed the longest ago. */
  get filedTo(): number {
    return this.#filedTo[this.#turn]!
  }

  get(owner: OwnerHash, id: MessageId): Waiting | null {
    return this.#binOf(owner).find((waiting) => waiting.id === id) ?? null
  }

  /** Those of the owner, by id, with ids larger than `after`. */
  of(owner: OwnerHash, after: number): readonly Waiting[] {
    return this.#binOf(owner).filter((waiting) => waiting.owner === owner && waiting.id > after)
  }

  /** Its id is larger than those before. */
  add(waiting: Waiting): void {
    const bin = binOf(waiting.owner)
    if (this.#bins[bin]!.push(waiting) > binMax) this.#full.add(bin)
    this.#weight += weightOf(waiting)
    this.#last = waiting.id
  }

  /** It has been filed by itself, or is gone. */
  delete({ id, owner }: Located): void {
    const bin = this.#binOf(owner)
    const at = bin.findIndex((waiting) => waiting.id === id)
    if (at < 0) return
    const [gone] = bin.splice(at, 1)
    this.#weight -= weightOf(gone!)
  }

  /**
   * What is to be filed now: bins that are full, and one after the other when there are too many messages here, or many ids
   * since the last round, all rows of which the next process would have to look at.
   */
  toFile(): Filing {
    const bins = [...this.#full]
    let left = this.#weight - weightOfAll(bins.flatMap((bin) => this.#bins[bin]!))
    let turn = this.#turn
    for (let taken = 0, messages = 0; taken < binsCount && messages < fileMax; taken += 1) {
      const isBehind = this.#last - this.#filedTo[turn]! > 3 * this.#max
      if (left <= this.#max && !isBehind) break
      bins.push(turn)
      left -= weightOfAll(this.#bins[turn]!)
      messages += this.#bins[turn]!.length
      turn = (turn + 1) % binsCount
    }
    return { bins, turn }
  }

  /** What a bin holds. */
  in(bin: number): readonly Waiting[] {
    return this.#bins[bin]!
  }

  /** All that these bins hold is filed. */
  filed({ bins, turn }: Filing): void {
    for (const bin of bins) {
      this.#weight -= weightOfAll(this.#bins[bin]!)
      this.#bins[bin] = []
      this.#filedTo[bin] = this.#last
    }
    this.#full.clear()
    this.#turn = turn
  }

  #binOf(owner: OwnerHash): Waiting[] {
    return this.#bins[binOf(owner)]!
  }
}

function binOf(owner: OwnerHash): number {
  return (owner.charCodeAt(0) << 4) | (owner.charCodeAt(1) >> 4)
}

function weightOf({ entry }: Waiting): number {
  return 1 + Math.floor(entry.octets / 1024)
}

function weightOfAll(some: readonly Waiting[]): number {
  return some.reduce((sum, waiting) => sum + weightOf(waiting), 0)
}
