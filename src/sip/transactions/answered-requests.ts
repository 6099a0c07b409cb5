import { Buffer } from 'node:buffer'
import type { TransientMap } from '../../transient-map.ts'
import { type TimerOwner, type TimerWheel, WheelTimer } from '../timer-wheel.ts'
import type { SipChannel } from './channel.ts'

/** What a batch takes at most: answers, and octets of them; an answer that is longer fills one by itself. */
const batchAnswers = 512
const batchOctets = 131_072
const batchOctetsFirst = 4096

/** Batches that are taken from while one life passes: answers are kept for that part of it longer than they have to be. */
const batchesPerLife = 32

/** Answers that were given one soon after the other, and are forgotten together. */
class Batch implements TimerOwner {
  readonly number: number
  readonly keys: string[] = []
  /** Where the layer keeps each. */
  readonly places: number[] = []
  readonly channels: SipChannel[] = []
  /** Where each answer ends in `octets`; it begins where the one before it ends. */
  readonly ends: number[] = []
  octets = Buffer.allocUnsafeSlow(batchOctetsFirst)
  used = 0
  over = false
  /** Runs from the last answer on. */
  readonly timer = new WheelTimer(this)
  readonly #expired: (batch: Batch) => void

  constructor(number: number, expired: (batch: Batch) => void) {
    this.number = number
    this.#expired = expired
  }

  get full(): boolean {
    return this.keys.length === batchAnswers || this.used >= batchOctets
  }

  add(key: string, place: number, octets: Uint8Array, channel: SipChannel): void {
    this.#reserve(octets.length)
    this.octets.set(octets, this.used)
    this.used += octets.length
    this.keys.push(key)
    this.places.push(place)
    this.channels.push(channel)
    this.ends.push(this.used)
  }

  answer(i: number): Buffer {
    return this.octets.subarray(i === 0 ? 0 : this.ends[i - 1]!, this.ends[i]!)
  }

  expired(): void {
    this.#expired(this)
  }

  #reserve(length: number): void {
    const needed = this.used + length
    if (needed <= this.octets.length) return
    // The old one stays as it is: whoever was given a part of it may still be reading.
    const larger = Buffer.allocUnsafeSlow(Math.max(needed, Math.min(this.octets.length * 2, batchOctets)))
    larger.set(this.octets.subarray(0, this.used))
    this.octets = larger
  }
}

/** An answer that is kept: number of its batch, and place in it. What the table of server transactions holds in their stead. */
export type AnswerId = number

/** What tells whether an answer is still kept. */
export interface Remembered {
  readonly over: boolean
}

/**
 * Final responses to requests other than INVITE, kept for the copies that may come until Timer J (S-34).
 *
 *   batch 7                      batch 8                      batch 9, taken from
 *   ├ answer │ answer │ …        ├ answer │ …                 ├ answer │ answer ─▶
 *   └ J after its last answer    └ J after its last answer    └ sealed when full, or J/32 after its first
 *
 * At thousands a second these are most of what a lane remembers, for longer than anything else: outside the JavaScript
 * heap, in batches, they neither grow it nor have to be looked at when garbage is collected. What tells copies by their key
 * is the table of server transactions, where an answer takes the place of the transaction that gave it.
 */
export class AnsweredRequests implements TimerOwner {
  readonly #wheel: TimerWheel
  readonly #lifeMs: number
  readonly #forgotten: (key: string) => void
  readonly #servers: TransientMap<string, unknown>
  #kept = 0
  readonly #batches = new Map<number, Batch>()
  #current: Batch | null = null
  #lastNumber = 0
  /** Until no more is added to the current batch. */
  readonly #seal = new WheelTimer(this)

  /**
   * @param lifeMs Timer J
   * @param servers what entries for answers are put into, and taken from when they are no longer kept
   * @param forgotten told of each of these
   */
  constructor(
    wheel: TimerWheel,
    lifeMs: number,
    servers: TransientMap<string, unknown>,
    forgotten: (key: string) => void,
  ) {
    this.#wheel = wheel
    this.#lifeMs = lifeMs
    this.#servers = servers
    this.#forgotten = forgotten
  }

  /**
   * Keeps the answer to the request with this key, whose entry in the table becomes an `AnswerId`.
   * @param place of the entry
   * @param octets copied
   */
  remember(key: string, place: number, octets: Uint8Array, channel: SipChannel): Remembered {
    const batch = this.#current ?? this.#begin()
    this.#servers.replace(place, idOf(batch, batch.keys.length))
    this.#kept++
    batch.add(key, place, octets, channel)
    this.#wheel.start(batch.timer, this.#lifeMs)
    if (batch.full) this.#end()
    return batch
  }

  /** Sends an answer again that is kept. */
  repeat(id: AnswerId): 'sent' | 'unsendable' {
    const batch = this.#batches.get(Math.floor(id / batchAnswers))!
    const i = id % batchAnswers
    return batch.channels[i]!.send(batch.answer(i)) ? 'sent' : 'unsendable'
  }

  /** @param place of the entry of an answer that is kept */
  forget(key: string, place: number): void {
    this.#remove(key, place)
    if (this.#kept > 0) return
    // Nothing is kept, so that nothing has to run out.
    for (const { timer } of this.#batches.values()) this.#wheel.cancel(timer)
    this.#batches.clear()
    this.#end()
  }

  /** No more is added to the current batch. */
  expired(): void {
    this.#end()
  }

  #begin(): Batch {
    const batch = new Batch(++this.#lastNumber, (over) => this.#drop(over))
    this.#batches.set(batch.number, batch)
    this.#current = batch
    this.#wheel.start(this.#seal, this.#lifeMs / batchesPerLife)
    return batch
  }

  #end(): void {
    this.#current = null
    this.#wheel.cancel(this.#seal)
  }

  #drop(batch: Batch): void {
    batch.over = true
    this.#batches.delete(batch.number)
    const { keys, places } = batch
    for (let i = 0; i < keys.length; i++) {
      // Where one was forgotten before, there is something else by now, or nothing.
      if (this.#servers.at(places[i]!) === idOf(batch, i)) this.#remove(keys[i]!, places[i]!)
    }
  }

  #remove(key: string, place: number): void {
    this.#kept--
    this.#servers.remove(key, place)
    this.#forgotten(key)
  }
}

function idOf(batch: Batch, i: number): AnswerId {
  return batch.number * batchAnswers + i
}
