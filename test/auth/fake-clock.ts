import type { Clock } from '../../src/clock.ts'

/** Time that passes only when told to. */
export class FakeClock implements Clock {
  #now = 1_750_000_000_000

  now(): number {
    return this.#now
  }

  advance(ms: number): void {
    this.#now += ms
  }
}
