import assert from 'node:assert/strict'
import type { MessageId } from '../ids.ts'
import type { PutFailure } from './silo-store.ts'
import {
  type DeadLetter,
  type Device,
  type Entry,
  noState,
  type OwnerHash,
  type SenderHash,
  type SiloTables,
  type Totals,
  type Waiting,
} from './silo-tables.ts'
import type { Tallies } from './silo-tallies.ts'

/**
 * What one transaction is going to change. It is planned upon what is stored, without what it has planned before: so it
 * changes nothing twice. Who wants to change what it has touched waits for the next transaction.
 */
export class SiloTransaction {
  readonly #tables: SiloTables
  readonly #tallies: Tallies
  readonly #deadMax: number
  readonly #tokensEnd: number
  readonly #writes: (() => void)[] = []
  readonly #touched = new Set<MessageId | string>()
  readonly #grown = new Map<OwnerHash, Set<SenderHash>>()
  readonly #shrunk: { readonly owner: OwnerHash; readonly sender: SenderHash }[] = []
  #nextId: number
  #messages: number
  #octets: number
  #dead: number
  /** No dead letter up to here is left to make room. */
  #evictedTo = 0
  /** Smallest id of the dead letters that it makes. */
  #oldestBuried = Number.POSITIVE_INFINITY

  constructor({
    tables,
    tallies,
    deadMax,
    totals,
  }: {
    readonly tables: SiloTables
    readonly tallies: Tallies
    readonly deadMax: number
    /** Before it. */
    readonly totals: Totals
  }) {
    this.#tables = tables
    this.#tallies = tallies
    this.#deadMax = deadMax
    this.#tokensEnd = totals.tokensEnd
    this.#nextId = totals.nextId
    this.#messages = totals.messages
    this.#octets = totals.octets
    this.#dead = totals.dead
  }

  /** Changes planned. */
  get size(): number {
    return this.#writes.length
  }

  /** After it. */
  get totals(): Totals {
    return {
      nextId: this.#nextId,
      tokensEnd: this.#tokensEnd,
      messages: this.#messages,
      octets: this.#octets,
      dead: this.#dead,
    }
  }

  /** To be called for what is going to be changed. False: it has been touched. */
  touch(key: MessageId | string): boolean {
    if (this.#touched.has(key)) return false
    this.#touched.add(key)
    return true
  }

  /** Plans to store a message if its owner has room for it. `later`: that can be said in the next transaction. */
  put(owner: OwnerHash, record: Uint8Array, entry: Entry, now: number): MessageId | PutFailure | 'later' {
    if (this.#tallies.counting) {
      const senders = this.#grown.get(owner)
      const failure = this.#tallies.admit(owner, entry, { now, isGrowing: senders !== undefined })
      if (failure !== null) return failure === 'recount' ? 'later' : failure
      if (senders === undefined) this.#grown.set(owner, new Set([entry.sender]))
      else senders.add(entry.sender)
    }
    const id = this.#nextId as MessageId
    this.#nextId += 1
    this.#messages += 1
    this.#octets += entry.octets
    this.#writes.push(() => this.#tables.putMessage(id, owner, record, entry))
    return id
  }

  remove(waiting: Waiting): void {
    this.#leave(waiting)
    this.#writes.push(() => {
      this.#tables.removeEntry(waiting)
      this.#tables.removeRecord(waiting)
    })
  }

  removeDead(letter: DeadLetter): void {
    this.#dead -= 1
    this.#writes.push(() => {
      this.#tables.removeDead(letter.id)
      this.#tables.removeRecord(letter)
    })
  }

  /** Makes a dead letter of a message. False: the one that has to make room for it is touched, or not stored yet. */
  bury(waiting: Waiting, reason: string): boolean {
    if (this.#deadMax === 0) {
      this.remove(waiting)
      return true
    }
    if (this.#dead >= this.#deadMax && !this.#evict()) return false
    const { id, owner, entry, state } = waiting
    const { attempts, delivered } = state
    this.#leave(waiting)
    this.#oldestBuried = Math.min(this.#oldestBuried, id)
    this.#dead += 1
    this.#writes.push(() => {
      this.#tables.removeEntry(waiting)
      this.#tables.putDead({ id, owner, entry, attempts, delivered, reason })
    })
    return true
  }

  /** Makes a dead letter wait again; devices that have it are not to get it a second time. */
  revive({ id, owner, entry, delivered }: DeadLetter): void {
    this.#dead -= 1
    this.#messages += 1
    this.#octets += entry.octets
    this.#shrunk.push({ owner, sender: entry.sender })
    this.#writes.push(() => {
      this.#tables.removeDead(id)
      this.#tables.putEntry({ id, owner, entry, state: { ...noState, delivered } })
    })
  }

  /** Has it wait on, with another state. */
  keep(waiting: Waiting): void {
    this.#writes.push(() => this.#tables.putEntry(waiting))
  }

  /** Makes an offline message of a reminder. */
  demote(waiting: Waiting): void {
    const { entry } = waiting
    assert(entry.sndTime !== 0, 'a reminder')
    this.#writes.push(() => {
      this.#tables.removeEntry(waiting)
      this.#tables.putEntry({ ...waiting, entry: { ...entry, sndTime: 0 } })
    })
  }

  putDevices(owner: string, devices: readonly Device[]): void {
    this.#writes.push(() => this.#tables.putDevices(owner, devices))
  }

  removeDevices(key: string): void {
    this.#writes.push(() => this.#tables.removeDevices(key))
  }

  /** To be called in a batch. */
  write(): void {
    for (const write of this.#writes) write()
    this.#tables.putTotals(this.totals)
  }

  /** What is known of owners changes with it. */
  settled(stored: boolean): void {
    for (const { owner, sender } of this.#shrunk) this.#tallies.forget(owner, sender)
    if (stored) return
    for (const [owner, senders] of this.#grown) for (const sender of senders) this.#tallies.forget(owner, sender)
  }

  #leave({ owner, entry }: Waiting): void {
    this.#messages -= 1
    this.#octets -= entry.octets
    this.#shrunk.push({ owner, sender: entry.sender })
  }

  /** The oldest makes room. */
  #evict(): boolean {
    for (const letter of this.#tables.deadLetters(this.#evictedTo)) {
      // An older one is only planned yet: once it is stored, it is the one to go.
      if (this.#oldestBuried < letter.id) return false
      this.#evictedTo = letter.id
      if (!this.touch(letter.id)) continue
      this.removeDead(letter)
      return true
    }
    return false
  }
}
