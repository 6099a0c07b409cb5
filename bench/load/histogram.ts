/** Sub-buckets a power of two: values are kept to 1/128, so a percentile is at most 0.8 % above the truth. */
const PRECISION_BITS = 7
const SUB_BUCKETS = 1 << PRECISION_BITS
const MAX_MICROSECONDS = 2 ** 31 - 1
const BUCKETS = (32 - PRECISION_BITS) * SUB_BUCKETS

const bucketOf = (microseconds: number): number => {
  const shift = Math.max(0, 31 - Math.clz32(microseconds) - PRECISION_BITS)
  return shift * SUB_BUCKETS + (microseconds >>> shift)
}

/** The largest value that falls in a bucket: percentiles err to the slow side. */
const highestIn = (bucket: number): number => {
  const shift = Math.max(0, Math.floor(bucket / SUB_BUCKETS) - 1)
  return (bucket - shift * SUB_BUCKETS + 1) * 2 ** shift - 1
}

/** Latencies in log-linear buckets of microseconds (as HdrHistogram): constant memory, no allocation to record. */
export class Histogram {
  readonly #counts = new Uint32Array(BUCKETS)
  #total = 0
  #maxMs = 0

  record(milliseconds: number): void {
    // Math.min takes what would leave the table (35 minutes) into its last bucket.
    const microseconds = Math.min(MAX_MICROSECONDS, Math.max(0, Math.round(milliseconds * 1000)))
    this.#counts[bucketOf(microseconds)]!++
    this.#total++
    if (milliseconds > this.#maxMs) this.#maxMs = milliseconds
  }

  reset(): void {
    this.#counts.fill(0)
    this.#total = 0
    this.#maxMs = 0
  }

  get maxMs(): number {
    return this.#maxMs
  }

  /** The value in ms that `percent` of all values do not exceed; 0 when there is none. */
  percentile(percent: number): number {
    if (this.#total === 0) return 0
    const rank = Math.max(1, Math.ceil((percent / 100) * this.#total))
    let seen = 0
    const bucket = this.#counts.findIndex((count) => (seen += count) >= rank)
    return Math.min(highestIn(bucket) / 1000, this.#maxMs)
  }
}
