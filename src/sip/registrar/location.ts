import type { Ticker } from '../../clock.ts'
import type { ConnectionId } from '../../ids.ts'
import type { LocationStore } from '../../store/location-store.ts'
import {
  type BindingChanges,
  contactHeaderValues,
  type Registered,
  type RegisterOptions,
  register,
} from './bindings.ts'
import { type RefusalReason, type RegisterRefusal, refusal, refusals } from './refusal.ts'
import type { RegisterRequest } from './register-request.ts'

export interface LocationOptions extends RegisterOptions {
  /** Whether the connection is open at this moment. */
  readonly isOpen: (connection: ConnectionId) => boolean
}

/** What a REGISTER is answered. Plain data: it crosses threads. */
export interface RegisterAnswer {
  readonly status: number
  readonly reason: string
  /** In order; Contact, Path and their like once a value. */
  readonly headers: readonly (readonly [name: string, value: string])[]
  /** What has changed; null: nothing, as it was refused. */
  readonly changes: BindingChanges | null
  readonly refused: RefusalReason | null
}

/** What has happened since the start. */
export interface LocationCounts extends Readonly<Record<keyof BindingChanges, number>> {
  /** Bindings marked as their connection closed (S-71). */
  readonly unreachable: number
  /** REGISTERs that only asked (S-65). */
  readonly fetched: number
  readonly refused: Readonly<Record<RefusalReason, number>>
}

const tickMs = 1_000
/** AoRs of one sweep. */
export const sweepAorsMax = 1_000
/** Seconds until a client shall try again when there is no room. */
const retryAfterSeconds = { full: 60, overloaded: 5 } as const

/**
 * The location service: all REGISTERs of all lanes come here, in the one thread that writes the store, so that those of
 * one AoR are processed in the order of their arrival (S-65), and are stored before they are answered (S-64).
 */
export class Location {
  readonly #store: LocationStore
  readonly #options: LocationOptions
  readonly #ticker: Ticker
  readonly #counts = {
    added: 0,
    refreshed: 0,
    removed: 0,
    displaced: 0,
    expired: 0,
    unreachable: 0,
    fetched: 0,
    refused: Object.fromEntries(Object.keys(refusals).map((reason) => [reason, 0])) as Record<RefusalReason, number>,
  }
  /** Connections whose bindings have yet to be marked. Each stays only while storing fails, and is tried at every tick. */
  readonly #unmarked = new Set<ConnectionId>()
  readonly #stopTicking: () => void
  #sweeping: Promise<void> | undefined
  #closed = false

  constructor(store: LocationStore, options: LocationOptions, ticker: Ticker) {
    this.#store = store
    this.#options = options
    this.#ticker = ticker
    this.#stopTicking = ticker.every(tickMs, () => this.#tick())
  }

  async register(request: RegisterRequest): Promise<RegisterAnswer> {
    const stored = await this.#store.change(request.aor, (current) => {
      const now = this.#ticker.now()
      const decided = register(current, request, this.#options, now)
      const bindings = decided.ok && decided.value.changed ? decided.value.bindings : null
      return { bindings, value: { decided, now } }
    })
    if (!stored.ok) return this.#refused(refusal(stored.error).error)
    const { decided, now } = stored.value
    if (!decided.ok) return this.#refused(decided.error)
    const { changed, changes } = decided.value
    if (request.contacts.length === 0) this.#counts.fetched += 1
    for (const kind of ['added', 'refreshed', 'removed', 'displaced', 'expired'] as const) {
      this.#counts[kind] += changes[kind]
    }
    const { flow } = request.source
    // S-71: it may have closed before its REGISTER came here, or while that was stored.
    if (changed && flow.kind === 'connection' && !this.#options.isOpen(flow.connection)) {
      this.connectionClosed(flow.connection)
    }
    return { status: 200, reason: 'OK', headers: headersOf(request, decided.value, now), changes, refused: null }
  }

  /** S-71: what is bound to the connection is unreachable from now on. To be called for every connection that closes. */
  connectionClosed(connection: ConnectionId): void {
    // At the end all connections close: their epoch says so.
    if (this.#closed) return
    this.#unmarked.add(connection)
    void this.#mark(connection)
  }

  /** Bindings stored at this moment, for all AoRs. */
  registrations(): number {
    return this.#store.count()
  }

  counts(): LocationCounts {
    return this.#counts
  }

  /** Ends what goes on by itself; the store may be closed afterwards. */
  async close(): Promise<void> {
    this.#closed = true
    this.#stopTicking()
    await this.#sweeping
  }

  #tick(): void {
    this.#sweeping ??= this.#sweep().finally(() => {
      this.#sweeping = undefined
    })
    for (const connection of this.#unmarked) void this.#mark(connection)
  }

  async #sweep(): Promise<void> {
    let swept: number
    do {
      const lost = await this.#store.sweep(this.#ticker.now(), sweepAorsMax)
      for (const bindings of lost.values()) this.#counts.expired += bindings
      swept = lost.size
    } while (swept === sweepAorsMax && !this.#closed)
  }

  async #mark(connection: ConnectionId): Promise<void> {
    const marked = await this.#store.markUnreachable(connection, this.#options.epoch)
    if (!marked.ok) return
    this.#unmarked.delete(connection)
    this.#counts.unreachable += marked.value
  }

  #refused({ reason, status, phrase }: RegisterRefusal): RegisterAnswer {
    this.#counts.refused[reason] += 1
    const headers: [string, string][] = []
    if (reason === 'interval-too-brief') headers.push(['Min-Expires', String(this.#options.minExpires)])
    if (reason === 'full' || reason === 'overloaded') headers.push(['Retry-After', String(retryAfterSeconds[reason])])
    return { status, reason: phrase, headers, changes: null, refused: reason }
  }
}

/** S-64, S-68, S-69 */
function headersOf(request: RegisterRequest, registered: Registered, now: number): [string, string][] {
  const headers: [string, string][] = []
  for (const contact of contactHeaderValues(registered.bindings, now)) headers.push(['Contact', contact])
  for (const path of request.path) headers.push(['Path', path])
  if (registered.outbound) headers.push(['Require', 'outbound'])
  headers.push(['Date', new Date(now).toUTCString()])
  return headers
}
