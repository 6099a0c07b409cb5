import type { Result } from '../../../src/errors.ts'
import type { MessageId } from '../../../src/ids.ts'
import { decodeRecord } from '../../../src/store/silo-record.ts'
import {
  type Claim,
  devicesMax,
  type FencingToken,
  type NewMessage,
  type PutFailure,
  type Settled,
  type SettleFailure,
  type Settlement,
  type SiloCounts,
  type SiloListing,
  type SiloStore,
  type StoredMessage,
} from '../../../src/store/silo-store.ts'

interface Row {
  readonly id: MessageId
  readonly message: NewMessage
  sndTime: number
  attempts: number
  dead: string | null
  readonly delivered: Set<string>
  readonly refused: Set<string>
}

interface Holder {
  readonly owner: string
  readonly device: string
  until: number
}

/**
 * The plainest silo store: for tests that have no disk in their story. `crash` leaves what a process that was killed would
 * find at its next start: what is on disk, and no claims. What is being written as it crashes is never written.
 */
export class MemorySilo implements SiloStore {
  /** What puts fail with, and whether anything else can be written. */
  putFailure: PutFailure | null = null
  broken = false
  claims = 0
  #rows = new Map<MessageId, Row>()
  #devices = new Map<string, Map<string, number>>()
  #lastId = 0
  #lastToken = 0
  readonly #holders = new Map<FencingToken, Holder>()
  #isDead = false

  /** Whether it is on disk that the device has the message, or that this is over. */
  hasTaken(id: MessageId, device: string): boolean {
    const row = this.#rows.get(id)
    return row === undefined || row.delivered.has(device)
  }

  /**
   * The process is killed: what this run has begun is never finished, and nobody hears from it any more. The store that
   * the next run opens.
   */
  crash(): MemorySilo {
    const next = new MemorySilo()
    next.#rows = this.#rows
    next.#devices = this.#devices
    next.#lastId = this.#lastId
    next.#lastToken = this.#lastToken
    this.#rows = new Map()
    this.#devices = new Map()
    this.#holders.clear()
    this.#isDead = true
    return next
  }

  put(message: NewMessage): Promise<Result<MessageId, PutFailure>> {
    if (this.putFailure !== null) return Promise.resolve({ ok: false, error: this.putFailure })
    const id = ++this.#lastId as MessageId
    return this.#written(() => {
      const { sndTime } = message
      this.#rows.set(id, { id, message, sndTime, attempts: 0, dead: null, delivered: new Set(), refused: new Set() })
      return id
    })
  }

  hasMessages(owner: string, now: number): boolean {
    return this.#waiting(owner, now).length > 0
  }

  async claim(
    owner: string,
    device: string,
    { now, leaseMs, max }: { now: number; leaseMs: number; max: number },
  ): Promise<Claim | 'busy' | null> {
    this.claims++
    for (const holder of this.#holders.values()) {
      if (holder.owner === owner && holder.device === device && holder.until > now) return 'busy'
    }
    const rows = this.#waiting(owner, now)
      .filter(({ delivered, refused }) => !delivered.has(device) && !refused.has(device))
      .slice(0, max)
    if (rows.length === 0) return null
    const token = ++this.#lastToken
    this.#holders.set(token, { owner, device, until: now + leaseMs })
    const messages = rows.map(({ id, message: { record, expTime }, sndTime, attempts }) => {
      return { id, record, expTime, sndTime, attempts }
    })
    return { token, owner, device, messages }
  }

  extend(token: FencingToken, now: number, leaseMs: number): boolean {
    const holder = this.#holders.get(token)
    if (holder === undefined || holder.until <= now) return false
    holder.until = now + leaseMs
    return true
  }

  settle(token: FencingToken, id: MessageId, settlement: Settlement): Promise<Result<Settled, SettleFailure>> {
    const holder = this.#holders.get(token)
    if (holder === undefined) return Promise.resolve({ ok: false, error: 'fenced' })
    return this.#written(() => this.#settle(this.#rows.get(id), holder.device, settlement))
  }

  #settle(row: Row | undefined, device: string, settlement: Settlement): Settled {
    if (row === undefined) return 'removed'
    switch (settlement.kind) {
      case 'later':
        row.sndTime = 0
        if (settlement.attempted) row.attempts++
        return 'kept'
      case 'dead':
        row.dead = settlement.reason
        return 'dead'
      case 'delivered':
        row.delivered.add(device)
        break
      case 'refused':
        row.refused.add(device)
    }
    if (!settlement.devices.every((each) => row.delivered.has(each) || row.refused.has(each))) return 'kept'
    if (row.delivered.size > 0) {
      this.#rows.delete(row.id)
      return 'removed'
    }
    row.dead = settlement.kind === 'refused' ? settlement.reason : 'refused'
    return 'dead'
  }

  release(token: FencingToken): void {
    this.#holders.delete(token)
  }

  seen(owner: string, device: string, now: number): Promise<Result<void, 'unavailable'>> {
    return this.#written(() => {
      const devices = this.#devices.get(owner) ?? new Map<string, number>()
      devices.set(device, now)
      this.#devices.set(owner, devices)
    })
  }

  devices(owner: string, since: number): readonly string[] {
    return [...(this.#devices.get(owner) ?? [])]
      .filter(([, seen]) => seen >= since)
      .sort(([, a], [, b]) => b - a)
      .slice(0, devicesMax)
      .map(([device]) => device)
  }

  due(now: number, limit: number): readonly { readonly id: MessageId; readonly owner: string }[] {
    return [...this.#rows.values()]
      .filter(({ sndTime, dead }) => sndTime !== 0 && sndTime <= now && dead === null)
      .sort((a, b) => a.sndTime - b.sndTime)
      .slice(0, limit)
      .map(({ id, message }) => ({ id, owner: message.owner }))
  }

  demote(ids: readonly MessageId[]): Promise<Result<void, 'unavailable'>> {
    return this.#written(() => {
      for (const id of ids) {
        const row = this.#rows.get(id)
        if (row !== undefined) row.sndTime = 0
      }
    })
  }

  sweep(now: number, max: number): Promise<Result<readonly StoredMessage[], 'unavailable'>> {
    return this.#written(() => {
      const expired = [...this.#rows.values()].filter(({ message }) => message.expTime <= now).slice(0, max)
      for (const { id } of expired) this.#rows.delete(id)
      return expired.map(stored)
    })
  }

  get(id: MessageId): StoredMessage | null {
    const row = this.#rows.get(id)
    return row === undefined ? null : stored(row)
  }

  list({ owner, dead, after, limit }: SiloListing): readonly StoredMessage[] {
    return [...this.#rows.values()]
      .filter((row) => (owner === null || row.message.owner === owner) && (row.dead !== null) === dead)
      .filter(({ id }) => after === null || id > after)
      .slice(0, limit)
      .map(stored)
  }

  remove(ids: readonly MessageId[]): Promise<Result<number, 'unavailable'>> {
    return this.#written(() => ids.filter((id) => this.#rows.delete(id)).length)
  }

  revive(ids: readonly MessageId[]): Promise<Result<number, 'unavailable'>> {
    return this.#written(() => {
      const rows = ids.flatMap((id) => this.#rows.get(id) ?? []).filter(({ dead }) => dead !== null)
      for (const row of rows) {
        row.dead = null
        row.attempts = 0
        row.refused.clear()
      }
      return rows.length
    })
  }

  counts(): SiloCounts {
    const rows = [...this.#rows.values()]
    const octets = rows.reduce((sum, { message }) => sum + message.octets, 0)
    const dead = rows.filter((row) => row.dead !== null).length
    return { messages: rows.length - dead, octets, dead }
  }

  async close(): Promise<void> {}

  #waiting(owner: string, now: number): Row[] {
    return [...this.#rows.values()]
      .filter(({ message, dead }) => message.owner === owner && dead === null)
      .filter(({ message, sndTime }) => message.expTime > now && sndTime <= now)
      .sort((a, b) => a.id - b.id)
  }

  /** Writes in the next turn of the event loop, as a disk does, in order. */
  #written<Value>(write: () => Value): Promise<{ ok: true; value: Value } | { ok: false; error: 'unavailable' }> {
    const { promise, resolve } = Promise.withResolvers<
      { ok: true; value: Value } | { ok: false; error: 'unavailable' }
    >()
    setImmediate(() => {
      if (this.#isDead) return
      resolve(this.broken ? { ok: false, error: 'unavailable' } : { ok: true, value: write() })
    })
    return promise
  }
}

function stored({ id, message, attempts, delivered, dead }: Row): StoredMessage {
  return {
    id,
    message: decodeRecord(message.record),
    attempts,
    delivered: delivered.size > 0,
    status: dead === null ? 0 : 3,
    reason: dead,
  }
}
