import type { MessageId } from '../ids.ts'
import { type TimerOwner, type TimerWheel, WheelTimer } from '../sip/timer-wheel.ts'
import { TransientMap } from '../transient-map.ts'

class Wait implements TimerOwner {
  readonly timer = new WheelTimer(this)
  readonly id: MessageId
  readonly promise: Promise<boolean>
  readonly resolve: (delivered: boolean) => void
  readonly #waits: PushWaits

  constructor(id: MessageId, waits: PushWaits) {
    const { promise, resolve } = Promise.withResolvers<boolean>()
    this.id = id
    this.promise = promise
    this.resolve = resolve
    this.#waits = waits
  }

  expired(): void {
    this.#waits.end(this.id, false)
  }
}

/** Messages whose senders wait for the answer until a device has woken up and taken them, or `waitMs` are over. */
export class PushWaits {
  readonly #wheel: TimerWheel
  readonly #waitMs: number
  readonly #max: number
  readonly #waits = new TransientMap<MessageId, Wait>()

  /** @param max of them at a time; others are not waited for */
  constructor(wheel: TimerWheel, waitMs: number, max = 10_000) {
    this.#wheel = wheel
    this.#waitMs = waitMs
    this.#max = max
  }

  get full(): boolean {
    return this.#waits.size >= this.#max
  }

  /** Resolves with whether a device has taken the message in time. */
  wait(id: MessageId): Promise<boolean> {
    const wait = new Wait(id, this)
    this.#waits.set(id, wait)
    this.#wheel.start(wait.timer, this.#waitMs)
    return wait.promise
  }

  /** A device has taken the message, or nobody will before the sender is to be answered. */
  end(id: MessageId, delivered: boolean): void {
    const wait = this.#waits.get(id)
    if (wait === undefined) return
    this.#waits.delete(id)
    this.#wheel.cancel(wait.timer)
    wait.resolve(delivered)
  }

  close(): void {
    for (const { id } of this.#waits.values()) this.end(id, false)
  }
}
