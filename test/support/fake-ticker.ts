import type { Ticker } from '../../src/clock.ts'

interface Timer {
  readonly period: number
  readonly tick: () => void
  due: number
}

/** Time that passes only when told to, and calls back on the way. */
export class FakeTicker implements Ticker {
  #now = Date.UTC(2026, 0, 1)
  readonly #timers = new Set<Timer>()

  now(): number {
    return this.#now
  }

  every(milliseconds: number, tick: () => void): () => void {
    const timer: Timer = { period: milliseconds, tick, due: this.#now + milliseconds }
    this.#timers.add(timer)
    return () => this.#timers.delete(timer)
  }

  /** Lets so much time pass; every tick that falls due is called at its own moment, in order of time. */
  advance(milliseconds: number): void {
    const end = this.#now + milliseconds
    for (;;) {
      const [next] = [...this.#timers].sort((a, b) => a.due - b.due)
      if (next === undefined || next.due > end) break
      this.#now = next.due
      next.due += next.period
      next.tick()
    }
    this.#now = end
  }
}
