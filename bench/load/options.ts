/** The relay under load. */
export interface Target {
  readonly host: string
  readonly port: number
  /** Process whose CPU and memory are measured; null when it is not on this machine. */
  readonly pid: number | null
  readonly user: string
  readonly password: string
}

export type Topology = 'one-hop' | 'two-hop'

export interface LoadOptions {
  readonly target: Target
  /** Sender and receiver, a connection each. */
  readonly pairs: number
  /** SENDs in flight a pair at most. */
  readonly window: number
  /** Octets in a body. */
  readonly size: number
  readonly topology: Topology
  /** Seconds of traffic before anything is measured. */
  readonly warmup: number
  /** Seconds that are measured. */
  readonly seconds: number
  /** Frames a second over all pairs (open loop); 0 sends as soon as the window has room (closed loop). */
  readonly rate: number
  /** Afterwards, how long to wait for what is still in flight while nothing arrives, in ms. */
  readonly drainMs: number
}

export interface LoadResult {
  readonly pairs: number
  readonly window: number
  readonly size: number
  readonly topology: Topology
  readonly rate: number
  readonly seconds: number
  readonly frames: number
  readonly frames_per_second: number
  readonly mb_per_second: number
  readonly cpu_us_per_frame: number | null
  readonly cpu_user_us_per_frame: number | null
  readonly cpu_sys_us_per_frame: number | null
  readonly latency_ms: { readonly p50: number; readonly p99: number; readonly p99_9: number; readonly max: number }
  readonly lost: number
  readonly corrupt: number
  readonly corrupt_by: Readonly<Record<string, number>>
  readonly reordered: number
  readonly reports: number
  readonly bad_responses: number
  readonly unanswered: number
  readonly closed_connections: number
  readonly first_fault: string | null
  /** Open loop: frames that were due when the measurement ended but had found no room in a window. */
  readonly backlog: number
  readonly rss_mib: number | null
  readonly generator_cpu_us_per_frame: number
}

export interface IdleOptions {
  readonly target: Target
  readonly sessions: number
  /** Seconds that nothing happens before memory is read: before the first session, and after the last. */
  readonly settle: number
  /** Seconds after the last session to a first look. */
  readonly soon: number
}

export interface IdleResult {
  readonly idle: number
  /** Before anybody has spoken to the relay; soon after the last session came; when all of them have long been idle. */
  readonly rss_before_mib: number
  readonly rss_soon_mib: number
  readonly rss_after_mib: number
  /** What all of them have added, for each. */
  readonly octets_per_session: number
  /** At the first look. */
  readonly octets_per_session_soon: number
}

/** What the generator's process reads on its standard input. */
export type Job = { readonly load: LoadOptions } | { readonly idle: IdleOptions }
