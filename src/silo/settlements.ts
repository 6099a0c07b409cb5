import { type TimerOwner, type TimerWheel, WheelTimer } from '../sip/timer-wheel.ts'
import type { ClaimedMessage } from '../store/silo-store.ts'
import type { Judgement } from './outcome.ts'

/**
 * So many are written together: entries of one owner lie on one page, which each transaction writes anew. When the process
 * dies as many may be delivered once more (SILO-31).
 */
export const settledTogetherMax = 8
/** None waits longer for others, ms. */
export const settleWithinMs = 200

/** Has what becomes of the messages of one batch written, some at a time. */
export class Settlements implements TimerOwner {
  readonly #wheel: TimerWheel
  readonly #settle: (message: ClaimedMessage, judgement: Judgement) => Promise<boolean>
  readonly #timer = new WheelTimer(this)
  readonly #writing: Promise<boolean>[] = []
  #waiting: (readonly [ClaimedMessage, Judgement])[] = []

  /** @param settle resolves with whether it is on disk */
  constructor(wheel: TimerWheel, settle: (message: ClaimedMessage, judgement: Judgement) => Promise<boolean>) {
    this.#wheel = wheel
    this.#settle = settle
  }

  add(message: ClaimedMessage, judgement: Judgement): void {
    this.#waiting.push([message, judgement])
    if (this.#waiting.length === settledTogetherMax) this.#write()
    else if (this.#waiting.length === 1) this.#wheel.start(this.#timer, settleWithinMs)
  }

  /** Resolves with whether all are on disk. Nothing is added any more. */
  async written(): Promise<boolean> {
    this.#write()
    const written = await Promise.allSettled(this.#writing)
    for (const one of written) if (one.status === 'rejected') throw one.reason
    return written.every((one) => one.status === 'fulfilled' && one.value)
  }

  expired(): void {
    this.#write()
  }

  #write(): void {
    this.#wheel.cancel(this.#timer)
    const waiting = this.#waiting
    this.#waiting = []
    for (const [message, judgement] of waiting) this.#writing.push(this.#settle(message, judgement))
  }
}
