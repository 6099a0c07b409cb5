import type { Ticker } from '../clock.ts'
import type { Result } from '../errors.ts'
import type { SiloStore, StoredMessage } from '../store/silo-store.ts'

export interface ExpiryOptions {
  readonly store: Pick<SiloStore, 'sweep'>
  readonly clock: Ticker
  /** Milliseconds between two sweeps. */
  readonly intervalMs: number
  readonly expired: (message: StoredMessage) => void
}

/** Messages of one slice of a sweep: others get their turn between two. */
export const sliceMax = 1_000
/** Node.js has no timers beyond 24 days. To sweep more often than was asked for does no harm. */
const intervalMaxMs = 86_400_000

/** Removes messages that have expired: at the start, and at intervals (SILO-29). */
export class Expiry {
  readonly #options: ExpiryOptions
  readonly #stopTicking: () => void
  #sweeping: Promise<Result<number, 'unavailable'>> | undefined
  #closed = false

  constructor(options: ExpiryOptions) {
    this.#options = options
    this.#stopTicking = options.clock.every(Math.min(options.intervalMs, intervalMaxMs), () => void this.sweep())
    void this.sweep()
  }

  /** Removes what has expired by now; resolves with how many messages, those that a sweep under way has found too. */
  sweep(): Promise<Result<number, 'unavailable'>> {
    this.#sweeping ??= this.#sweep().finally(() => {
      this.#sweeping = undefined
    })
    return this.#sweeping
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#stopTicking()
    await this.#sweeping
  }

  async #sweep(): Promise<Result<number, 'unavailable'>> {
    const { store, clock, expired } = this.#options
    let removed = 0
    while (!this.#closed) {
      const swept = await store.sweep(clock.now(), sliceMax)
      // The disk fails: they are still there at the next sweep.
      if (!swept.ok) return swept
      removed += swept.value.length
      for (const message of swept.value) expired(message)
      if (swept.value.length < sliceMax) break
    }
    return { ok: true, value: removed }
  }
}
