import type { Address } from '../ids.ts'
import { S_FRAMES_FROM, S_FRAMES_TO, S_OCTETS_FROM, S_OCTETS_TO } from '../parser/kernel/record.ts'

/**
 * Frames and octets of sessions, for their records. Frames of one read mostly belong to the same sessions: they are added
 * up here, as adding to shared memory is dear.
 */
export class SessionCounts {
  readonly #words: Int32Array
  #from: Address | 0 = 0
  #to: Address | 0 = 0
  #frames = 0
  #octetsIn = 0
  #octetsOut = 0

  /** @param words the shared memory */
  constructor(words: Int32Array) {
    this.#words = words
  }

  /** Frames went from the session of one entry to that of another; 0: to or from somebody else. */
  add(from: Address | 0, to: Address | 0, frames: number, octetsIn: number, octetsOut: number): void {
    if (from !== this.#from || to !== this.#to) {
      this.settle()
      this.#from = from
      this.#to = to
    }
    this.#frames += frames
    this.#octetsIn += octetsIn
    this.#octetsOut += octetsOut
  }

  /** Shows what has been added up: at the end of each read. */
  settle(): void {
    const frames = this.#frames
    if (frames === 0) return
    const words = this.#words
    if (this.#from !== 0) {
      const at = this.#from >> 2
      Atomics.add(words, at + S_FRAMES_FROM, frames)
      Atomics.add(words, at + S_OCTETS_FROM, this.#octetsIn)
    }
    if (this.#to !== 0) {
      const at = this.#to >> 2
      Atomics.add(words, at + S_FRAMES_TO, frames)
      Atomics.add(words, at + S_OCTETS_TO, this.#octetsOut)
    }
    this.#frames = 0
    this.#octetsIn = 0
    this.#octetsOut = 0
  }
}
