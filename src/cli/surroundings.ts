import type { Writable } from 'node:stream'
import { setTimeout as wait } from 'node:timers/promises'
import { type Clock, systemClock } from '../clock.ts'

/** What commands have of the process that they run in. */
export interface Surroundings {
  readonly stdin: AsyncIterable<Uint8Array>
  /** For what the command answers. */
  readonly stdout: Writable
  readonly clock: Clock
  /** Says how it goes, apart from the answer. */
  tell(text: string): void
  wait(milliseconds: number): Promise<void>
}

export const surroundings: Surroundings = {
  // Only who reads it opens it.
  get stdin() {
    return process.stdin
  },
  stdout: process.stdout,
  clock: systemClock,
  tell: (text) => void process.stderr.write(text),
  wait: (milliseconds) => wait(milliseconds),
}

const progressEveryMs = 2_000

/** To be called often: says now and then how far it has come. */
export function progressOf({ clock, tell }: Surroundings, text: () => string): () => void {
  let told = clock.now()
  return () => {
    if (clock.now() - told < progressEveryMs) return
    told = clock.now()
    tell(text())
  }
}
