export type SipTransport = 'udp' | 'tcp'

/** `register`: REGISTERs that refresh a binding; `message`: MESSAGEs relayed to a user who is online and answers 200. */
export type Scenario = 'register' | 'message'

/**
 * `each`: every request is challenged anew; `reuse`: credentials are sent at once, with the nonce of the last challenge;
 * `none`: the server asks a peer of its own for none.
 */
export type DigestUse = 'each' | 'reuse' | 'none'

/** The server under load; its users are `u000000` … with one password. */
export interface SipTarget {
  readonly host: string
  readonly port: number
  /** Process whose CPU and memory are measured; null when it is not on this machine. */
  readonly pid: number | null
  readonly domain: string
  readonly password: string
}

export interface SipLoadOptions {
  readonly target: SipTarget
  readonly transport: SipTransport
  readonly scenarios: readonly Scenario[]
  readonly users: number
  /** Operations in flight in all; one a user at most (S-65, S-83). */
  readonly window: number
  /** Octets in the body of a MESSAGE. */
  readonly size: number
  readonly digest: DigestUse
  /** Seconds of traffic before anything is measured. */
  readonly warmup: number
  /** Seconds that are measured, of each scenario. */
  readonly seconds: number
  /** Afterwards, how long to wait for what is still in flight while nothing happens, in ms. */
  readonly drainMs: number
}

export interface SipLoadResult {
  readonly scenario: Scenario
  readonly transport: SipTransport
  readonly digest: DigestUse
  readonly users: number
  readonly window: number
  readonly size: number
  readonly seconds: number
  /** Operations that ended with 200 while it was measured; a challenge and its answer are one. */
  readonly completed: number
  readonly completed_per_second: number
  readonly challenges: number
  readonly cpu_us_per_operation: number | null
  readonly cpu_user_us_per_operation: number | null
  readonly cpu_sys_us_per_operation: number | null
  readonly latency_ms: { readonly p50: number; readonly p99: number; readonly p99_9: number; readonly max: number }
  readonly lost: number
  readonly duplicate: number
  readonly failed: number
  /** Requests sent again over UDP, and copies received there: not wrong, but they cost time. */
  readonly retransmissions: number
  readonly first_fault: string | null
  readonly rss_mib: number | null
  readonly generator_cpu_us_per_operation: number
}

export const userName = (index: number): string => `u${String(index).padStart(6, '0')}`
