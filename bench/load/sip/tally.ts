import { Histogram } from '../histogram.ts'

/** What all users of a scenario have seen. */
export class SipTally {
  readonly latency = new Histogram()
  /** Operations that ended with 200. */
  completed = 0
  challenges = 0
  duplicate = 0
  failed = 0
  retransmissions = 0
  /** The first thing that went wrong, in words, without credentials. */
  first: string | null = null

  doubled(what: string): void {
    this.duplicate++
    this.first ??= what
  }

  fail(what: string): void {
    this.failed++
    this.first ??= what
  }
}
