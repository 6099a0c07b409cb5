import assert from 'node:assert/strict'
import type { Ticker } from '../clock.ts'

/** Whoever has timers. One owner may have several: it tells them apart by identity. */
export interface TimerOwner {
  /** `timer` has run out; it may be started again at once. */
  expired(timer: WheelTimer): void
}

/** A timer that can be started again and again: a node of the wheel's lists, which is all that a timer allocates. */
export class WheelTimer {
  readonly owner: TimerOwner
  // Linked to itself while it does not run, so that linking never has to ask whether there is a neighbour.
  next: WheelTimer = this
  previous: WheelTimer = this
  dueTick = 0

  constructor(owner: TimerOwner) {
    this.owner = owner
  }

  get running(): boolean {
    return this.next !== this
  }
}

/**
 * Slots of a wheel, a power of two. With ticks of 10 ms a revolution is 41 s: none of the 32 s timers of RFC 3261 is met
 * before it is due.
 */
const slotCount = 4096

/** The first and last link of a list. It is never due. */
function listHead(): WheelTimer {
  return new WheelTimer({ expired: () => assert.fail('the head of a list is no timer') })
}

function link(timer: WheelTimer, list: WheelTimer): void {
  const last = list.previous
  timer.previous = last
  timer.next = list
  last.next = timer
  list.previous = timer
}

function unlink(timer: WheelTimer): void {
  timer.previous.next = timer.next
  timer.next.previous = timer.previous
  timer.next = timer
  timer.previous = timer
}

/**
 * Timers of one lane, however many: starting and cancelling one costs the same with ten as with a million.
 *
 *   slots   0        1        2   …   4095       a timer lies in slot (its tick mod 4096); one that is due in
 *           │        │        │        │         a later revolution stays when its slot is passed
 *           T─T─T    T        T─T      ─
 *
 * A timer never runs out early, and at most a tick late while the thread is not busy. Those of one tick run out in the
 * order in which they were started. The ticker runs only while a timer does.
 *
 * The wheel counts its own time: what `clock` says has passed since the last pass, but never less than nothing and never
 * more than `catchUpMaxMs`. So a pass has a bounded number of slots to look at; and when the thread was stalled, or
 * somebody has set the clock, the answers that already wait to be read get their chance before everything times out.
 */
export class TimerWheel {
  readonly #clock: Ticker
  readonly #tickMs: number
  readonly #catchUpMaxMs: number
  readonly #slots: readonly WheelTimer[] = Array.from({ length: slotCount }, listHead)
  /** Timers of the slot being passed. Those that run out may cancel others of them. */
  readonly #passing = listHead()
  #size = 0
  /** The wheel's own time, ms, and the last tick that was passed in it. */
  #timeMs = 0
  #tick = 0
  /** What the clock said when the wheel's time was last moved on. */
  #countedUntil = 0
  #stopTicker: (() => void) | null = null

  /**
   * @param options.tickMs resolution, ms
   * @param options.catchUpMaxMs how much of a stall is made up for, ms; the rest counts as time that has not passed
   */
  constructor(clock: Ticker, options: { readonly tickMs?: number; readonly catchUpMaxMs?: number } = {}) {
    const { tickMs = 10, catchUpMaxMs = 1000 } = options
    assert(tickMs > 0 && catchUpMaxMs >= tickMs, 'a wheel that does not turn')
    this.#clock = clock
    this.#tickMs = tickMs
    this.#catchUpMaxMs = catchUpMaxMs
  }

  /** Timers that run. */
  get size(): number {
    return this.#size
  }

  /** Starts a timer, anew if it runs. It runs out by a call from the ticker, never before `start` has returned. */
  start(timer: WheelTimer, delayMs: number): void {
    assert(delayMs >= 0, 'a timer cannot run out in the past')
    if (timer.running) unlink(timer)
    else this.#size++
    if (this.#stopTicker === null) this.#startTicker()
    const due = Math.ceil((this.#timeMs + this.#uncountedMs() + delayMs) / this.#tickMs)
    timer.dueTick = Math.max(due, this.#tick + 1)
    link(timer, this.#slotOf(timer.dueTick))
  }

  /** Stops a timer; nothing happens if it does not run. */
  cancel(timer: WheelTimer): void {
    if (!timer.running) return
    unlink(timer)
    this.#size--
  }

  /** Stops all timers, and with them the ticker. */
  close(): void {
    for (const slot of this.#slots) while (slot.running) unlink(slot.next)
    while (this.#passing.running) unlink(this.#passing.next)
    this.#size = 0
    this.#stop()
  }

  #stop(): void {
    this.#stopTicker?.()
    this.#stopTicker = null
  }

  #startTicker(): void {
    this.#countedUntil = this.#clock.now()
    this.#stopTicker = this.#clock.every(this.#tickMs, () => this.#pass())
  }

  #uncountedMs(): number {
    return Math.min(Math.max(this.#clock.now() - this.#countedUntil, 0), this.#catchUpMaxMs)
  }

  #slotOf(tick: number): WheelTimer {
    return this.#slots[tick % slotCount]!
  }

  #pass(): void {
    this.#timeMs += this.#uncountedMs()
    this.#countedUntil = this.#clock.now()
    const target = Math.floor(this.#timeMs / this.#tickMs)
    while (this.#tick < target) {
      this.#tick++
      this.#passSlot(this.#slotOf(this.#tick))
    }
    if (this.#size === 0) this.#stop()
  }

  #passSlot(slot: WheelTimer): void {
    if (!slot.running) return
    // The list changes hands as a whole, as timers that run out may put new ones into this slot.
    const passing = this.#passing
    passing.next = slot.next
    passing.previous = slot.previous
    passing.next.previous = passing
    passing.previous.next = passing
    slot.next = slot
    slot.previous = slot
    for (let timer = passing.next; timer !== passing; timer = passing.next) {
      unlink(timer)
      if (timer.dueTick > this.#tick) {
        link(timer, slot)
        continue
      }
      this.#size--
      timer.owner.expired(timer)
    }
  }
}
