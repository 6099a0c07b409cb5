import type { SipTarget } from '../sip/options.ts'

/**
 * `store`: MESSAGEs for users who are away; `dump`: such users come back and take what was kept for them; `reminders`:
 * messages that become due while their readers are there.
 */
export type SiloScenario = 'store' | 'dump' | 'reminders'

export interface SiloLoadOptions {
  readonly target: SipTarget
  readonly scenarios: readonly SiloScenario[]
  /** Readers who are away, and whom `store` is for. */
  readonly users: number
  /** TCP connections that MESSAGEs are sent on. */
  readonly connections: number
  /** MESSAGEs in flight in all; `store` is run with each of them. */
  readonly windows: readonly number[]
  /** Octets in the body of a MESSAGE. */
  readonly size: number
  /** Seconds of traffic before anything is measured; for `dump` see `warmupRounds`. */
  readonly warmup: number
  /** Seconds that are measured; only `store`. */
  readonly seconds: number
  /** Readers who are there at a time, and messages of each; `dump` and `reminders`. */
  readonly readers: number
  readonly messages: number
  /** How often other readers take as many messages; only `dump`. */
  readonly rounds: number
  /** How long to wait for what is still in flight while nothing happens, in ms. */
  readonly drainMs: number
}

/** Rounds of `dump` before those that are measured: about as many as fit into the seconds of warm-up. */
export const warmupRounds = ({ warmup }: Pick<SiloLoadOptions, 'warmup'>): number => Math.ceil(2 * warmup)

export interface SiloLoadResult {
  readonly scenario: SiloScenario
  /** MESSAGEs in flight, of `store`; readers served at a time, of the others. */
  readonly window: number
  readonly size: number
  readonly seconds: number
  /** MESSAGEs answered 202, or taken by their reader, while it was measured. */
  readonly completed: number
  readonly completed_per_second: number
  readonly cpu_us_per_operation: number
  readonly cpu_user_us_per_operation: number
  readonly cpu_sys_us_per_operation: number
  readonly latency_ms: { readonly p50: number; readonly p99: number; readonly p99_9: number; readonly max: number }
  /** Never answered, or never delivered. */
  readonly lost: number
  /** Answered or delivered twice. */
  readonly duplicate: number
  /** Delivered after one that was sent later. */
  readonly reordered: number
  /** Refused, or otherwise not as they should be. */
  readonly failed: number
  /** The first of all these, in words. */
  readonly first_fault: string | null
  readonly rss_mib: number
  /** Of it, what is no page of a file, such as the database. */
  readonly rss_anon_mib: number
  readonly generator_cpu_us_per_operation: number
}

/** What a sender was answered 202 to: the MESSAGEs with numbers from `first` to `last`, without `others`. */
export interface StoredRange {
  readonly sender: number
  readonly first: number
  readonly last: number
  readonly others: readonly number[]
}

export interface SiloLoadReport {
  readonly results: readonly SiloLoadResult[]
  /** What has to lie in the store afterwards. */
  readonly stored: readonly StoredRange[]
}

const nameOf = (letter: string, index: number): string => `${letter}${String(index).padStart(6, '0')}`

/** A user who is never there. */
export const awayName = (index: number): string => nameOf('u', index)
/** A user who comes to take messages, or reminders. */
export const readerName = (scenario: 'dump' | 'reminders', index: number): string =>
  nameOf(scenario === 'dump' ? 'd' : 'r', index)
export const senderName = (index: number): string => nameOf('s', index)
