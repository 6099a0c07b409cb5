import assert, { AssertionError } from 'node:assert/strict'
import { commitErrorOf } from './lmdb-environment.ts'
import type { SiloClaims } from './silo-claims.ts'
import type { SiloTables, Totals } from './silo-tables.ts'
import type { Tallies } from './silo-tallies.ts'
import { SiloTransaction } from './silo-transaction.ts'

/** What somebody wants to change. */
export interface Job {
  /** Adds it to the transaction. False: only the next one can take it. */
  plan(transaction: SiloTransaction): boolean
  /** It is on disk, or nothing of it is, which has been told. */
  settled(stored: boolean): void
  /** Our own mistake. */
  broken(error: AssertionError): void
}

export interface SiloWriterOptions {
  readonly tables: SiloTables
  readonly tallies: Tallies
  readonly claims: SiloClaims
  readonly totals: Totals
  readonly deadMax: number
  /** Told of what failed: reading, or a transaction. */
  readonly failed: (error: unknown) => void
}

/**
 * Changes of one transaction: one takes some 10 µs of this thread, during which it serves no socket. Larger transactions
 * would hardly be written any faster, and lanes would have nothing to do while all that they had is being written.
 */
const transactionChangesMax = 300

/**
 * Changes wait in one queue and are stored by one transaction after the other; all that comes while one is being written
 * goes into the next. A transaction stores all that it has taken or nothing.
 */
export class SiloWriter {
  readonly #options: SiloWriterOptions
  readonly #queue: Job[] = []
  #totals: Totals
  #writing: Promise<void> | null = null

  constructor(options: SiloWriterOptions) {
    this.#options = options
    this.#totals = options.totals
  }

  /** Of what is stored. */
  get totals(): Totals {
    return this.#totals
  }

  /**
   * @param plan adds the change to a transaction; the value is for whoever wants it. `later`: only the next transaction
   * can take it.
   * @returns the value when the change is on disk; null when nothing of it is, which has been told
   */
  change<Value extends NonNullable<unknown>>(
    plan: (transaction: SiloTransaction) => { readonly value: Value } | 'later',
  ): Promise<Value | null> {
    return new Promise((resolve, reject) => {
      let value: Value
      this.add({
        plan(transaction) {
          const planned = plan(transaction)
          if (planned === 'later') return false
          value = planned.value
          return true
        },
        settled: (stored) => resolve(stored ? value : null),
        broken: reject,
      })
    })
  }

  /** Has a job done with others that come at the same time. */
  add(job: Job): void {
    this.#queue.push(job)
    this.#writing ??= this.#writeAll()
  }

  /** Resolves when nothing waits to be written. */
  async idle(): Promise<void> {
    await this.#writing
  }

  async #writeAll(): Promise<void> {
    // Lets what else this turn of the event loop changes join the first transaction.
    await endOfTurn()
    let tell = () => {}
    while (this.#queue.length > 0) tell = await this.#write(tell)
    // At once: whoever learns of its change and makes the next one must find that nobody is writing.
    this.#writing = null
    tell()
  }

  /**
   * Resolves when it is written, with what tells those whose changes these were: there is time for that while the next one
   * is being written.
   * @param tell the same of the one before
   */
  async #write(tell: () => void): Promise<() => void> {
    const { tables, tallies, claims, deadMax } = this.#options
    const tokensEnd = claims.reserve(this.#totals.tokensEnd)
    const transaction = new SiloTransaction({ tables, tallies, deadMax, totals: { ...this.#totals, tokensEnd } })
    const taken = this.#take(transaction)
    const committed = this.#commit(transaction)
    // LMDB takes it up at the end of this turn, too.
    await endOfTurn()
    tell()
    const stored = await committed
    transaction.settled(stored)
    // No id is given out twice, even if the disk should have kept what it said it had not.
    this.#totals = stored ? transaction.totals : { ...this.#totals, nextId: transaction.totals.nextId }
    return () => {
      for (const job of taken) job.settled(stored)
    }
  }

  #take(transaction: SiloTransaction): readonly Job[] {
    const taken: Job[] = []
    let at = 0
    for (; at < this.#queue.length && transaction.size < transactionChangesMax; at += 1) {
      const job = this.#queue[at]!
      try {
        if (!job.plan(transaction)) {
          assert(at > 0, 'the first change of a transaction waits for nothing')
          break
        }
        taken.push(job)
      } catch (error) {
        if (error instanceof AssertionError) job.broken(error)
        else {
          this.#options.failed(error)
          job.settled(false)
        }
      }
    }
    this.#queue.splice(0, at)
    return taken
  }

  async #commit(transaction: SiloTransaction): Promise<boolean> {
    if (transaction.size === 0) return true
    try {
      await this.#options.tables.batch(() => transaction.write())
      return true
    } catch (error) {
      this.#options.failed(await commitErrorOf(error))
      return false
    }
  }
}

function endOfTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
