import type { AssertionError } from 'node:assert/strict'
import type { Result } from '../errors.ts'
import type { MessageId } from '../ids.ts'
import type { PutFailure } from './silo-store.ts'
import { type Entry, ownerHashOf } from './silo-tables.ts'
import type { SiloTransaction } from './silo-transaction.ts'
import type { Job } from './silo-writer.ts'

/** What all puts share. */
export interface PutDesk {
  readonly now: () => number
  /** Called when it is decided. */
  readonly done: (owner: string, record: Uint8Array) => void
}

/** A message on its way to the disk: as many are at a time, it holds nothing that it does not need. */
export class Put implements Job {
  readonly #owner: string
  readonly #record: Uint8Array
  readonly #entry: Entry
  readonly #desk: PutDesk
  readonly #resolve: (result: Result<MessageId, PutFailure>) => void
  readonly #reject: (error: AssertionError) => void
  #outcome: MessageId | PutFailure = 'unavailable'

  constructor(
    owner: string,
    record: Uint8Array,
    entry: Entry,
    desk: PutDesk,
    resolve: (result: Result<MessageId, PutFailure>) => void,
    reject: (error: AssertionError) => void,
  ) {
    this.#owner = owner
    this.#record = record
    this.#entry = entry
    this.#desk = desk
    this.#resolve = resolve
    this.#reject = reject
  }

  plan(transaction: SiloTransaction): boolean {
    const planned = transaction.put(ownerHashOf(this.#owner), this.#record, this.#entry, this.#desk.now())
    if (planned === 'later') return false
    this.#outcome = planned
    return true
  }

  settled(stored: boolean): void {
    this.#desk.done(this.#owner, this.#record)
    const outcome = this.#outcome
    if (!stored) this.#resolve({ ok: false, error: 'unavailable' })
    else this.#resolve(typeof outcome === 'number' ? { ok: true, value: outcome } : { ok: false, error: outcome })
  }

  broken(error: AssertionError): void {
    this.#desk.done(this.#owner, this.#record)
    this.#reject(error)
  }
}
