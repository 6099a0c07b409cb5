import { Histogram } from '../histogram.ts'

/** What was seen of a scenario. */
export class SiloTally {
  readonly latency = new Histogram()
  /** Answered 202, or delivered as they should be. */
  completed = 0
  duplicate = 0
  reordered = 0
  failed = 0
  /** The first thing that went wrong, in words. */
  first: string | null = null

  fault(kind: 'duplicate' | 'reordered' | 'failed', what: string): void {
    this[kind]++
    this.first ??= what
  }
}
