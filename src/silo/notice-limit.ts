import type { Clock } from '../clock.ts'

const intervalMs = 60_000

/**
 * One notice a minute for each sender and owner (SILO-13). Who was told within the last minute is remembered, up to a bound:
 * beyond it nobody is told, since that many notices a minute are a flood themselves.
 */
export class NoticeLimit {
  readonly #clock: Clock
  readonly #max: number
  /** When each was told: since the last turn, and between that and the one before. */
  #recent = new Map<string, number>()
  #former = new Map<string, number>()
  #turnedAt: number

  /** @param max pairs told between two turns, which are a minute apart */
  constructor(clock: Clock, max = 50_000) {
    this.#clock = clock
    this.#max = max
    this.#turnedAt = clock.now()
  }

  /** Whether a notice may be sent now; if so, none may for a minute. */
  allows(key: string): boolean {
    const now = this.#clock.now()
    if (now >= this.#turnedAt + intervalMs) {
      this.#former = this.#recent
      this.#recent = new Map()
      this.#turnedAt = now
    }
    const told = this.#recent.get(key) ?? this.#former.get(key) ?? Number.NEGATIVE_INFINITY
    if (now < told + intervalMs || this.#recent.size >= this.#max) return false
    this.#recent.set(key, now)
    return true
  }
}
