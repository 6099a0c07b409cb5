import assert from 'node:assert/strict'
import type { Address } from '../ids.ts'

/*
 * A ring of records between two threads: one producer, one consumer, four words a record (kind, connection, address,
 * length). Two counters that only grow (modulo 2^32) say how far each side is:
 *
 *   head  ≤  tail  ≤  head + capacity        records head … tail - 1 wait to be read
 *
 * The producer writes records past its tail and publishes them all at once; the consumer reads up to the tail it saw
 * and gives the room back all at once. So a batch costs two atomic operations a side.
 */

export const RING_RECORD_OCTETS = 16
/** Head and tail on cache lines of their own. */
export const RING_CONTROL_OCTETS = 128
const TAIL_WORD = 16

/** Most records that a consumer takes before it gives their room back. */
export const RING_BATCH = 4096

export class RingProducer {
  readonly #words: Int32Array
  readonly #control: number
  readonly #records: number
  readonly #mask: number
  readonly capacity: number
  #tail: number

  constructor(words: Int32Array, start: Address, capacity: number) {
    assert((capacity & (capacity - 1)) === 0, 'capacity is a power of two')
    this.#words = words
    this.#control = start >> 2
    this.#records = (start + RING_CONTROL_OCTETS) >> 2
    this.#mask = capacity - 1
    this.capacity = capacity
    this.#tail = Atomics.load(words, this.#control + TAIL_WORD)
  }

  /** Records that can be pushed now. */
  get room(): number {
    return this.capacity - ((this.#tail - Atomics.load(this.#words, this.#control)) | 0)
  }

  /** Writes one record; nobody sees it until `publish`. There must be room. */
  push(kind: number, connection: number, address: number, length: number): void {
    const at = this.#records + ((this.#tail & this.#mask) << 2)
    const words = this.#words
    words[at] = kind
    words[at + 1] = connection
    words[at + 2] = address
    words[at + 3] = length
    this.#tail = (this.#tail + 1) | 0
  }

  /** Shows the consumer all records pushed. True if there were any. */
  publish(): boolean {
    const index = this.#control + TAIL_WORD
    if (this.#words[index] === this.#tail) return false
    assert(this.room >= 0, 'a ring is never overrun')
    Atomics.store(this.#words, index, this.#tail)
    return true
  }

  /** Records published and not yet taken back by the consumer. */
  get waiting(): number {
    return this.capacity - this.room
  }

  /** Calls back with the newest `count` records, newest first, until told to stop by `false`. They are as they were pushed until `capacity` more are. */
  recall(count: number, take: (kind: number, connection: number, address: number, length: number) => boolean): void {
    const words = this.#words
    for (let left = count, tail = this.#tail - 1; left > 0; left--, tail--) {
      const at = this.#records + ((tail & this.#mask) << 2)
      if (!take(words[at]!, words[at + 1]!, words[at + 2]!, words[at + 3]!)) return
    }
  }
}

export class RingConsumer {
  readonly #words: Int32Array
  readonly #control: number
  readonly #records: number
  readonly #mask: number
  #head: number

  constructor(words: Int32Array, start: Address, capacity: number) {
    this.#words = words
    this.#control = start >> 2
    this.#records = (start + RING_CONTROL_OCTETS) >> 2
    this.#mask = capacity - 1
    this.#head = Atomics.load(words, this.#control)
  }

  /**
   * Calls `take` for published records, RING_BATCH at the most, and no more once `enough` says so after one; then gives
   * their room back. Returns their number.
   */
  drain(
    take: (kind: number, connection: number, address: number, length: number) => void,
    enough?: () => boolean,
  ): number {
    const words = this.#words
    const tail = Atomics.load(words, this.#control + TAIL_WORD)
    const most = Math.min((tail - this.#head) | 0, RING_BATCH)
    if (most === 0) return 0
    let count = 0
    while (count < most) {
      const at = this.#records + (((this.#head + count++) & this.#mask) << 2)
      take(words[at]!, words[at + 1]!, words[at + 2]!, words[at + 3]!)
      if (enough?.()) break
    }
    this.#head = (this.#head + count) | 0
    Atomics.store(words, this.#control, this.#head)
    return count
  }

  get empty(): boolean {
    return this.waiting === 0
  }

  /** Records published and not taken yet. */
  get waiting(): number {
    return (Atomics.load(this.#words, this.#control + TAIL_WORD) - this.#head) | 0
  }
}

/**
 * Octets on their way from one thread to another, next to a ring of records that say where they lie. Each piece is
 * contiguous; pieces are given back in the order in which they were placed.
 *
 * `write` is where the next piece goes, `read` where the oldest piece that is still in use begins. The writer never
 * catches up with the reader, so equal means empty.
 */
export class OctetRing {
  readonly #words: Int32Array
  readonly #readWord: number
  readonly #start: number
  readonly #end: number
  #write: number

  /** @param readWord index of the word through which the consumer tells what it has given back */
  constructor(words: Int32Array, readWord: number, start: Address, octets: number) {
    this.#words = words
    this.#readWord = readWord
    this.#start = start
    this.#end = start + octets
    this.#write = start
    Atomics.store(words, readWord, start)
  }

  /** Address of room for `octets` octets, 0 when there is none now. */
  place(octets: number): Address | 0 {
    let read = Atomics.load(this.#words, this.#readWord)
    let at = this.#write
    if (at === read && at !== this.#start) {
      // Nothing is in use, so the reader says nothing before there is more. From the start again: while little is on its
      // way the same memory, which the processor has at hand, is used over and over.
      at = read = this.#start
      Atomics.store(this.#words, this.#readWord, read)
    }
    if (at >= read) {
      if (at + octets > this.#end) {
        if (this.#start + octets >= read) return 0
        at = this.#start
      }
    } else if (at + octets >= read) return 0
    this.#write = at + octets
    return at as Address
  }
}

/**
 * How one thread wakes another that sleeps without blocking its event loop. The sleeper lowers the bell, looks once
 * more, and waits for it to be raised; so nothing announced before it sleeps is missed.
 */
export class Doorbell {
  readonly #words: Int32Array
  readonly #word: number

  constructor(words: Int32Array, word: number) {
    this.#words = words
    this.#word = word
  }

  /** Wakes the sleeper, or keeps it from falling asleep. Costs one atomic operation while it is awake. */
  ring(): void {
    if (Atomics.exchange(this.#words, this.#word, 1) === 0) Atomics.notify(this.#words, this.#word)
  }

  /** Call before the last look for work. */
  lower(): void {
    Atomics.store(this.#words, this.#word, 0)
  }

  /** Resolves when the bell has been rung since `lower`. Keeps no thread alive by itself. */
  async wait(): Promise<void> {
    const wait = Atomics.waitAsync(this.#words, this.#word, 0)
    if (wait.async) await wait.value
  }
}
