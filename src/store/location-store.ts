import type { Result } from '../errors.ts'
import type { ConnectionId, LaneIndex } from '../ids.ts'

/** Version of the record below; raised with every change of its fields, so that a reader can tell. */
export const bindingVersion = 1

/** Where a REGISTER came from, and so where requests for what it registered go (S-70, S-71). */
export type Flow = ConnectionFlow | UdpFlow

export interface ConnectionFlow {
  readonly kind: 'connection'
  readonly connection: ConnectionId
  /** The lane that reads the connection. */
  readonly lane: LaneIndex
  /** Names the run of the process that has the connection: no connection outlives its run. */
  readonly epoch: string
}

export interface UdpFlow {
  readonly kind: 'udp'
  /** Index of the listener in the configuration. */
  readonly listener: number
  /** Address and port that the datagram came from. */
  readonly address: string
  readonly port: number
}

/** One contact of one address-of-record: what a REGISTER said, and where it came from. */
export interface Binding {
  readonly version: typeof bindingVersion
  /** Canonical, see `aorOf` (S-60). */
  readonly aor: string
  /** The contact URI as it was written, without angle brackets. Its escaped headers and push parameters are in it. */
  readonly contact: string
  /** Header parameters of the contact as they were written, in order, without `expires` (S-67). */
  readonly params: readonly string[]
  /** Preference in thousandths: 0 … 1000 (S-66). */
  readonly q: number
  readonly callId: string
  readonly cseq: number
  /** Milliseconds since the Unix epoch; the binding is gone from that moment on. */
  readonly expiresAt: number
  /** Values of Path, topmost first (S-68). */
  readonly path: readonly string[]
  /** Value of `+sip.instance`, without quotes. */
  readonly instance: string | null
  /** Set when (AoR, instance, reg-id) is the key of the binding instead of its URI (S-69). */
  readonly regId: number | null
  readonly flow: Flow
  /** The connection of its flow has closed (S-71). That of another run has as well, without being marked. */
  readonly unreachable: boolean
  /** Address and port that the REGISTER came from. */
  readonly received: string
  readonly userAgent: string | null
  /** Methods the contact takes, upper case: of its `methods` parameter, else of Allow. Null: it did not say. */
  readonly methods: readonly string[] | null
  /** When it was last added or refreshed: milliseconds since the Unix epoch. */
  readonly registeredAt: number
}

/**
 * Why a change was not stored: `full`, there is no room for more bindings; `overloaded`, too many changes wait to be
 * stored; `unavailable`, storing failed, and nothing has changed.
 */
export type LocationFailure = 'full' | 'overloaded' | 'unavailable'

/** What a change makes of the bindings of an AoR, and what it has to tell whoever asked for it. */
export interface Change<Value> {
  /** All bindings the AoR has from now on; null leaves them as they are. */
  readonly bindings: readonly Binding[] | null
  readonly value: Value
}

/** Reads what is stored, in any thread. */
export interface LocationReader {
  /** Live bindings of the AoR, the latest that any thread has stored. */
  get(aor: string, now: number): readonly Binding[]
  close(): Promise<void>
}

/** The bindings of all AoRs. There is one writer; `get` sees at once what has been stored. */
export interface LocationStore extends LocationReader {
  /**
   * Changes the bindings of one AoR, all or nothing (S-64). `decide` gets what is there, expired bindings included;
   * decisions about one AoR are taken one after the other, in the order of these calls (S-65), each upon the outcome
   * of the one before. Resolves when the change is durable and every reader sees it.
   */
  change<Value>(
    aor: string,
    decide: (current: readonly Binding[]) => Change<Value>,
  ): Promise<Result<Value, LocationFailure>>
  /**
   * Removes bindings that have expired (`expiresAt <= now`) from at most `max` AoRs. Resolves with how many each lost:
   * with `max` AoRs, call again.
   */
  sweep(now: number, max: number): Promise<ReadonlyMap<string, number>>
  /**
   * Marks what is bound to a connection that has closed, unless it has a Path to be reached by (S-71, S-68). Resolves
   * with how many bindings were marked. A call after one that failed makes up for it.
   */
  markUnreachable(connection: ConnectionId, epoch: string): Promise<Result<number, LocationFailure>>
  /** Bindings stored, expired ones included until they are swept. */
  count(): number
  /** Live bindings of at most `limit` AoRs in the order of their keys, beginning behind the AoR `after`. */
  list(options: { readonly limit: number; readonly after: string | null; readonly now: number }): readonly Binding[]
}

/**
 * The connection whose closing makes the binding unreachable (S-71). None for a contact behind a proxy that left a Path:
 * the proxy can be connected to (S-68).
 */
export function lifelineOf({ flow, path }: Binding): ConnectionFlow | null {
  return flow.kind === 'connection' && path.length === 0 ? flow : null
}

/** Words of a LocationVersions: a power of two. */
export const locationVersionsWords = 65_536

/**
 * A word of shared memory for each of so many groups of AoRs, which the writer raises when it has stored a change of one of
 * them. A reader whose copy of a row is as old as the word need not read the row again.
 */
export type LocationVersions = Int32Array
