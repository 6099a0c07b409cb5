import assert from 'node:assert/strict'

/** What all timers are derived from (RFC 3261, Table 4), ms. */
export interface BaseTimers {
  /** Estimate of the round-trip time. */
  readonly t1Ms: number
  /** Longest interval between two copies of a non-INVITE request or of a response to INVITE. */
  readonly t2Ms: number
  /** How long a message may stay in the network. */
  readonly t4Ms: number
}

export const defaultBaseTimers: BaseTimers = { t1Ms: 500, t2Ms: 4000, t4Ms: 5000 }

/** The timers of the four machines by their letters, ms. A, E, G, D, I, J and K do not run over reliable channels. */
export interface Timers {
  /** First interval of INVITE copies; doubles. */
  readonly a: number
  /** INVITE: longest wait for any response. */
  readonly b: number
  /** INVITE client: how long copies of the final response are answered with ACK. */
  readonly d: number
  /** First interval of copies of other requests; doubles up to `t2`. */
  readonly e: number
  /** Non-INVITE: longest wait for the final response. */
  readonly f: number
  /** First interval of copies of a final response to INVITE; doubles up to `t2`. */
  readonly g: number
  /** INVITE server: longest wait for ACK. */
  readonly h: number
  /** INVITE server: how long copies of ACK are absorbed. */
  readonly i: number
  /** Non-INVITE server: how long copies of the request are answered. */
  readonly j: number
  /** Non-INVITE client: how long copies of the final response are absorbed. */
  readonly k: number
  /** INVITE server, after 2xx: how long copies of the INVITE are absorbed and 2xx pass [6026]. */
  readonly l: number
  /** INVITE client, after 2xx: how long further 2xx pass [6026]. */
  readonly m: number
  readonly t2: number
  /** When an INVITE without an answer gets its 100 (S-33). */
  readonly tryingInvite: number
  /** When another request without an answer gets its 100: as its client's Timer E would be reset to T2 (S-36). */
  readonly tryingNonInvite: number
}

/** @param base all above 0, `t2Ms` at least `t1Ms` and below `64 * t1Ms`, or nobody would wait for Timer E to reach it */
export function timersOf(base: BaseTimers): Timers {
  const { t1Ms, t2Ms, t4Ms } = base
  assert(t1Ms > 0 && t1Ms <= t2Ms && t2Ms < 64 * t1Ms && t4Ms > 0, 'impossible timers')
  const transaction = 64 * t1Ms
  return {
    a: t1Ms,
    b: transaction,
    // More than 32 s whatever our own T1 is: it has to outlast the peer's Timer H.
    d: Math.max(transaction, 32_000) + t1Ms,
    e: t1Ms,
    f: transaction,
    g: t1Ms,
    h: transaction,
    i: t4Ms,
    j: transaction,
    k: t4Ms,
    l: transaction,
    m: transaction,
    t2: t2Ms,
    tryingInvite: 200,
    tryingNonInvite: timerEReachesT2(t1Ms, t2Ms),
  }
}

/** With the defaults 0.5 + 1 + 2 s: the fourth interval is T2. */
function timerEReachesT2(t1Ms: number, t2Ms: number): number {
  let sum = 0
  for (let interval = t1Ms; interval < t2Ms; interval *= 2) sum += interval
  return sum
}
