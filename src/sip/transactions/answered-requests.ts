import assert from 'node:assert/strict'
import { Buffer } from 'node:buffer'
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

  add(key: string, octets: Uint8Array, channel: SipChannel): void {
    this.#reserve(octets.length)
    this.octets.set(octets, this.used)
    this.used += octets.length
    this.keys.push(key)
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
 * heap, in batches, they neither grow it nor have to be looked at when garbage is collected.
 */
export class AnsweredRequests implements TimerOwner {
  readonly #wheel: TimerWheel
  readonly #lifeMs: number
  readonly #forgotten: (key: string) => void
  /** By transaction key: number of the batch, and place in it. */
  readonly #places = new Map<string, number>()
  readonly #batches = new Map<number, Batch>()
  #current: Batch | null = null
  #lastNumber = 0
  /** Until no more is added to the current batch. */
  readonly #seal = new WheelTimer(this)

  /**
   * @param lifeMs Timer J
   * @param forgotten told of each answer that is no longer kept
   */
  constructor(wheel: TimerWheel, lifeMs: number, forgotten: (key: string) => void) {
    this.#wheel = wheel
    this.#lifeMs = lifeMs
    this.#forgotten = forgotten
  }

  get size(): number {
    return this.#places.size
  }

  /** @param octets copied */
  remember(key: string, octets: Uint8Array, channel: SipChannel): Remembered {
    assert(!this.#places.has(key), 'a request is answered once')
    const batch = this.#current ?? this.#begin()
    this.#places.set(key, batch.number * batchAnswers + batch.keys.length)
    batch.add(key, octets, channel)
    this.#wheel.start(batch.timer, this.#lifeMs)
    if (batch.full) this.#end()
    return batch
  }

  /** Sends the answer of this request again, if it is kept; null: it is not. */
  repeat(key: string): 'sent' | 'unsendable' | null {
    const place = this.#places.get(key)
    if (place === undefined) return null
    const batch = this.#batches.get(Math.floor(place / batchAnswers))!
    const i = place % batchAnswers
    return batch.channels[i]!.send(batch.answer(i)) ? 'sent' : 'unsendable'
  }

  forget(key: string): void {
    if (this.#places.delete(key)) this.#forgotten(key)
    if (this.#places.size > 0) return
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
    for (const [i, key] of batch.keys.entries()) {
      // One that was forgotten before may be here again, in another batch.
      if (this.#places.get(key) !== batch.number * batchAnswers + i) continue
      this.#places.delete(key)
      this.#forgotten(key)
    }
  }
}
