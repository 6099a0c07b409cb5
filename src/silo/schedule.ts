import { type TimerOwner, type TimerWheel, WheelTimer } from '../sip/timer-wheel.ts'
import { TransientMap } from '../transient-map.ts'
import type { BatchEnd, Delivery } from './delivery.ts'

/** What the schedule asks of a delivery. */
export type Scheduled = Pick<Delivery, 'owner' | 'device' | 'failures' | 'way' | 'batch' | 'finish' | 'abandon'>

export interface ScheduleOptions {
  readonly wheel: TimerWheel
  readonly open: (owner: string, device: string) => Scheduled
  /** Deliveries that are sending at a time. */
  readonly sendingMax: number
  /** Deliveries that wait for their turn, besides those that have had one. */
  readonly waitingMax?: number
  /** Deliveries that rest after a failure. */
  readonly restingMax?: number
  /** There was no room for one: it is left to the next REGISTER of its owner. */
  readonly putOff: () => void
  /** A batch has thrown. The delivery rests. */
  readonly onError: (error: unknown) => void
}

/** Back-off after the first failure; doubled with each further one … */
export const restMs = 30_000
/** … up to this much. */
export const restMaxMs = 3_600_000

class Entry implements TimerOwner {
  readonly key: string
  readonly delivery: Scheduled
  readonly timer = new WheelTimer(this)
  state: 'new' | 'waiting' | 'sending' | 'resting' = 'new'
  /** Behind it in the queue. */
  next: Entry | null = null
  /** While it is sending: there is more to do. */
  again = false
  /** While it is sending: a failure need not be slept over. */
  renewed = false
  /** The next REGISTER is an answer to a push, and ends a rest, whatever it says. */
  expected = false
  readonly #rested: (entry: Entry) => void

  constructor(key: string, delivery: Scheduled, rested: (entry: Entry) => void) {
    this.key = key
    this.delivery = delivery
    this.#rested = rested
  }

  expired(): void {
    this.#rested(this)
  }
}

/**
 * Which devices are delivered to at this moment:
 *
 *                  ┌──── more to do ────┐
 *                  ▼                    │
 *   start ──▶ waiting ──▶ sending ──▶ (a batch) ──▶ forgotten: drained, or offline
 *                  ▲                    │
 *                  └───── resting ◀─────┘ failed
 *
 * Who waits is served in turn, a batch each, so that a full inbox holds nobody up. A device that failed rests, ever longer,
 * until there is a new way to it. Nothing here need outlive the process, and what there is no room for is only put off:
 * whoever can be reached registers again before long, and is looked at then.
 */
export class Schedule {
  readonly #options: ScheduleOptions
  readonly #waitingMax: number
  readonly #restingMax: number
  readonly #entries = new TransientMap<string, Entry>()
  #first: Entry | null = null
  #last: Entry | null = null
  #waiting = 0
  #sending = 0
  #resting = 0
  #closed = false
  #idle: (() => void) | null = null

  constructor(options: ScheduleOptions) {
    this.#options = options
    this.#waitingMax = options.waitingMax ?? 100_000
    this.#restingMax = options.restingMax ?? 100_000
  }

  get waiting(): number {
    return this.#waiting
  }

  get sending(): number {
    return this.#sending
  }

  get resting(): number {
    return this.#resting
  }

  /** There is something for the device. `resting`: it has failed, and has to wait; else it is delivered to by and by. */
  start(owner: string, device: string): 'started' | 'underway' | 'resting' {
    const entry = this.#entryOf(owner, device)
    if (entry === null) return 'underway'
    switch (entry.state) {
      case 'new':
        this.#enqueue(entry)
        return 'started'
      case 'sending':
        entry.again = true
        return 'underway'
      case 'waiting':
        return 'underway'
      case 'resting':
        return 'resting'
    }
  }

  /** There is something for the device, which has just failed elsewhere. `expected`: it was asked to register. */
  startLater(owner: string, device: string, expected: boolean): void {
    const entry = this.#entryOf(owner, device)
    if (entry === null) return
    entry.expected ||= expected
    if (entry.state === 'sending') entry.again = true
    if (entry.state === 'new') this.#rest(entry, restMs)
  }

  /**
   * The device has registered, and there is something for it.
   * @param way to it from now on
   * @param isNew it was not registered before, as far as is known
   */
  registered(owner: string, device: string, way: string, isNew: boolean): void {
    const entry = this.#entryOf(owner, device)
    if (entry === null) return
    const { delivery } = entry
    const isRenewed = isNew || entry.expected || delivery.way !== way
    switch (entry.state) {
      case 'new':
        this.#enqueue(entry)
        return
      case 'waiting':
        return
      case 'sending':
        entry.again = true
        entry.renewed ||= isRenewed
        return
      case 'resting':
        // Without a failure here it rests because somebody else could not reach it: now it is there.
        if (!isRenewed && delivery.failures > 0) return
        delivery.failures = 0
        this.#options.wheel.cancel(entry.timer)
        this.#rested(entry)
    }
  }

  /**
   * Sends nothing more. Resolves when all that was sent has been answered; after `abandon`, at once.
   */
  close(): Promise<void> {
    this.#closed = true
    for (const entry of this.#entries.values()) {
      this.#options.wheel.cancel(entry.timer)
      entry.delivery.finish()
      if (entry.state !== 'sending') this.#entries.delete(entry.key)
    }
    this.#first = this.#last = null
    this.#waiting = this.#resting = 0
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#idle = resolve
    if (this.#sending === 0) resolve()
    return promise
  }

  /** Answers that have not come are not waited for any longer. */
  abandon(): void {
    for (const { delivery } of this.#entries.values()) delivery.abandon()
    this.#idle?.()
  }

  /** Null: nothing is started any more. */
  #entryOf(owner: string, device: string): Entry | null {
    if (this.#closed) return null
    const key = `${owner}\n${device}`
    return this.#entries.get(key) ?? new Entry(key, this.#options.open(owner, device), (rested) => this.#rested(rested))
  }

  #rested(entry: Entry): void {
    this.#resting--
    this.#enqueue(entry)
  }

  #enqueue(entry: Entry): void {
    // Only newcomers: there are not that many of the others.
    if (entry.state === 'new' && this.#waiting >= this.#waitingMax) {
      this.#putOff(entry)
      return
    }
    entry.state = 'waiting'
    this.#entries.set(entry.key, entry)
    this.#waiting++
    if (this.#last === null) this.#first = entry
    else this.#last.next = entry
    this.#last = entry
    this.#pump()
  }

  #rest(entry: Entry, forMs: number): void {
    if (this.#resting >= this.#restingMax) {
      this.#putOff(entry)
      return
    }
    entry.state = 'resting'
    this.#entries.set(entry.key, entry)
    this.#resting++
    this.#options.wheel.start(entry.timer, forMs)
  }

  #putOff(entry: Entry): void {
    this.#entries.delete(entry.key)
    this.#options.putOff()
  }

  #pump(): void {
    while (this.#first !== null && this.#sending < this.#options.sendingMax) {
      const entry = this.#first
      this.#first = entry.next
      if (this.#first === null) this.#last = null
      entry.next = null
      this.#waiting--
      this.#sending++
      entry.state = 'sending'
      entry.again = entry.renewed = entry.expected = false
      void this.#send(entry)
    }
  }

  async #send(entry: Entry): Promise<void> {
    const { delivery } = entry
    let end: BatchEnd
    try {
      end = await delivery.batch()
    } catch (error) {
      // One inbox that cannot be read is no reason to stop serving the others.
      this.#options.onError(error)
      delivery.failures++
      end = 'failed'
    }
    this.#sending--
    if (this.#closed) {
      this.#entries.delete(entry.key)
      if (this.#sending === 0) this.#idle?.()
      return
    }
    this.#next(entry, end)
    this.#pump()
  }

  #next(entry: Entry, end: BatchEnd): void {
    const { delivery } = entry
    const hasFailed = end === 'failed' || end === 'busy'
    if (hasFailed && !entry.renewed) {
      this.#rest(entry, Math.min(restMs * 2 ** Math.max(delivery.failures - 1, 0), restMaxMs))
      return
    }
    if (hasFailed) delivery.failures = 0
    if (hasFailed || end === 'more' || entry.again) this.#enqueue(entry)
    else this.#entries.delete(entry.key)
  }
}
