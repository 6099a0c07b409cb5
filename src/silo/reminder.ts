import type { Ticker } from '../clock.ts'
import type { MessageId } from '../ids.ts'
import type { SiloStore } from '../store/silo-store.ts'

export interface ReminderOptions {
  readonly store: Pick<SiloStore, 'due' | 'demote'>
  readonly clock: Ticker
  /** Seconds between two looks; 0: never (SILO-40). */
  readonly sendTime: number
  /**
   * Has the owner's devices delivered to. `underway`: that goes on already; `away`: none is there, or all have failed a
   * moment ago.
   */
  readonly remind: (owner: string) => 'started' | 'underway' | 'away'
  readonly demoted: (reminders: number) => void
}

/** Reminders of the first reading of a look; each further one is twice as long … */
const readMin = 1_000
/** … up to this: a longer one would hold up the thread. What is due beyond is looked for soon afterwards. */
export const readMax = 16_000
const soonMs = 1_000

/** Sends reminders when they are due (SILO-40). Those of owners who are not there become offline messages (SILO-42). */
export class Reminders {
  readonly #options: ReminderOptions
  readonly #stopTicking: () => void
  /** Reminders that the last look has found, and has started to deliver. */
  #handed: ReadonlySet<MessageId> = new Set()
  #looking: Promise<void> | undefined
  #stopHurrying: (() => void) | null = null
  #closed = false

  constructor(options: ReminderOptions) {
    this.#options = options
    const { clock, sendTime } = options
    this.#stopTicking = sendTime === 0 ? () => {} : clock.every(sendTime * 1000, () => this.#tick())
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#stopTicking()
    this.#stopHurrying?.()
    await this.#looking
  }

  #tick(): void {
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined
    })
  }

  async #look(): Promise<void> {
    const { store, clock, remind, demoted } = this.#options
    const answers = new Map<string, ReturnType<typeof remind>>()
    const handed = new Set<MessageId>()
    let hasMore = false
    // Reminders on their way are still due, and stand in front of those that nobody has looked at.
    for (let limit = readMin; limit <= readMax && !this.#closed; limit *= 2) {
      const due = store.due(clock.now(), limit)
      const left: MessageId[] = []
      for (const { id, owner } of due) {
        const answer = answers.get(owner) ?? remind(owner)
        answers.set(owner, answer)
        // One that was delivered since the last look, and is still there, is for a device that is not.
        if (answer === 'away' || (answer === 'started' && this.#handed.has(id))) left.push(id)
        else handed.add(id)
      }
      if (left.length > 0) {
        const written = await store.demote(left)
        // The disk fails: they are due at the next look as well.
        if (!written.ok) {
          hasMore = false
          break
        }
        demoted(left.length)
      }
      hasMore = due.length === limit
      if (!hasMore) break
    }
    this.#handed = handed
    this.#hurry(hasMore)
  }

  /** Looks every second for as long as there is more than one look finds. */
  #hurry(hasMore: boolean): void {
    if (hasMore && !this.#closed) this.#stopHurrying ??= this.#options.clock.every(soonMs, () => this.#tick())
    if (hasMore || this.#stopHurrying === null) return
    this.#stopHurrying()
    this.#stopHurrying = null
  }
}
