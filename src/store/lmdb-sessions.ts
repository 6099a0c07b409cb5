import assert from 'node:assert/strict'
import { join } from 'node:path'
import { type Database, open, type RootDatabase } from 'lmdb'
import { SilopathError } from '../errors.ts'
import { commitErrorOf, environmentOptions, messageOf, refuseForeignFile } from './lmdb-environment.ts'
import { type SessionRecord, type SessionStore, sweepRecordsMax } from './session-store.ts'

export interface LmdbSessionsOptions {
  /** The configured `data_dir`; the soft state lies in its own environment, `<data_dir>/soft`. */
  readonly dataDir: string
  /** Bound on the live records. */
  readonly recordsMax: number
  /** Told once for every transaction that failed (disk full, read-only, broken). What it held is tried again. */
  readonly onError: (error: SilopathError) => void
}

/** Expiry first: the order of the keys is the order of death, so a sweep reads the expired rows and no others. */
type Row = [expiresAt: number, id: string]

type Write =
  | { readonly kind: 'put'; readonly record: SessionRecord }
  | { readonly kind: 'remove'; readonly expiresAt: number }

interface LiveSession {
  readonly expiresAt: number
  /** Whether a transaction has taken it up: if so, removing it needs a write of its own. */
  sent: boolean
}

/** Rows of one transaction: handing them to lmdb takes some 5 µs each, during which this thread serves no socket. */
const transactionRowsMax = 1_000
const retryDelayMs = 1_000
/** Never a session-id in clear, and a bounded key. */
const sessionHash = /^[0-9a-f]{16,64}$/

/**
 * Opens the session store in `<data_dir>/soft`. Sessions are bound to TCP connections, so those of an earlier run
 * are dead: they are swept here, and `swept` says how many there were.
 * @throws SilopathError STORE_UNAVAILABLE
 */
export async function openLmdbSessions(options: LmdbSessionsOptions): Promise<{ store: SessionStore; swept: number }> {
  const path = join(options.dataDir, 'soft')
  let environment: RootDatabase<SessionRecord, Row> | undefined
  try {
    await refuseForeignFile(join(path, 'data.mdb'))
    environment = open({ path, ...environmentOptions })
    const rows = environment.openDB<SessionRecord, Row>({ name: 'sessions' })
    const swept = rows.getKeysCount()
    if (swept > 0) await rows.clearAsync()
    return { store: new LmdbSessions(environment, rows, options), swept }
  } catch (error) {
    const cause = await commitErrorOf(error)
    await environment?.close()
    throw new SilopathError(
      'STORE_UNAVAILABLE',
      `cannot open the session store in ${path}: ${messageOf(cause)}. Make the folder writable, check that the disk has ` +
        'space, or set data_dir to another place; it holds soft state only, so it may be deleted while silopath is stopped.',
      { cause },
    )
  }
}

/**
 * Writes go to a table in memory first, one entry a session (the latest wins), and from there to LMDB in one transaction
 * after the other. So a slow disk delays rows instead of queueing them without bound: the table holds at most one entry
 * for each of `recordsMax` live sessions and for each row not yet removed. `list` lays the table over the rows.
 */
class LmdbSessions implements SessionStore {
  readonly #environment: RootDatabase<SessionRecord, Row>
  readonly #rows: Database<SessionRecord, Row>
  readonly #options: LmdbSessionsOptions
  readonly #live = new Map<string, LiveSession>()
  readonly #unwritten = new Map<string, Write>()
  #writing: Promise<void> | undefined
  #retry: NodeJS.Timeout | undefined
  #closed = false

  constructor(
    environment: RootDatabase<SessionRecord, Row>,
    rows: Database<SessionRecord, Row>,
    options: LmdbSessionsOptions,
  ) {
    this.#environment = environment
    this.#rows = rows
    this.#options = options
  }

  put(record: SessionRecord): boolean {
    assert(!this.#closed, 'put after close')
    assert(sessionHash.test(record.id), 'a session is known by a hash of its session-id (R-90)')
    const live = this.#live.get(record.id)
    if (live === undefined) {
      if (this.#live.size >= this.#options.recordsMax) return false
      this.#live.set(record.id, { expiresAt: record.expiresAt, sent: false })
    } else assert.equal(record.expiresAt, live.expiresAt, 'the expiry of a session never changes (R-23)')
    this.#unwritten.set(record.id, { kind: 'put', record })
    this.#write()
    return true
  }

  remove(id: string): void {
    assert(!this.#closed, 'remove after close')
    const live = this.#live.get(id)
    if (live === undefined) return
    this.#live.delete(id)
    if (live.sent) this.#unwritten.set(id, { kind: 'remove', expiresAt: live.expiresAt })
    else this.#unwritten.delete(id)
    this.#write()
  }

  *list({ limit }: { readonly limit: number }): Iterable<SessionRecord> {
    // A record listed from memory may reach its row while the caller pauses, and must not be listed again.
    const listed = new Set<string>()
    for (const [id, write] of this.#unwritten) {
      if (listed.size >= limit) return
      if (write.kind === 'remove') continue
      listed.add(id)
      yield write.record
    }
    let left = limit - listed.size
    if (left === 0) return
    for (const { key, value } of this.#rows.getRange()) {
      const id = key[1]
      if (listed.has(id) || !this.#live.has(id)) continue
      yield value
      if (--left === 0) return
    }
  }

  sweep(nowMs: number): number {
    let removed = 0
    for (const [id, write] of this.#unwritten) {
      if (removed === sweepRecordsMax) return removed
      if (write.kind === 'remove' || write.record.expiresAt > nowMs) continue
      this.remove(id)
      removed += 1
    }
    for (const [expiresAt, id] of this.#rows.getKeys({ end: [nowMs, '\uffff'] })) {
      if (removed === sweepRecordsMax) return removed
      // Rows whose removal is still unwritten are no longer live.
      if (this.#live.get(id)?.expiresAt !== expiresAt) continue
      this.remove(id)
      removed += 1
    }
    return removed
  }

  async close(): Promise<void> {
    this.#closed = true
    clearTimeout(this.#retry)
    this.#retry = undefined
    this.#write()
    await this.#writing
    await this.#environment.close()
  }

  /** Sees to it that what is unwritten gets written: now, or when the running transaction or the pause is over. */
  #write(): void {
    if (this.#writing !== undefined || this.#retry !== undefined || this.#unwritten.size === 0) return
    this.#writing = this.#writeAll().finally(() => {
      this.#writing = undefined
    })
  }

  async #writeAll(): Promise<void> {
    // Lets what else this turn of the event loop stores join the first transaction.
    await new Promise<void>((resolve) => setImmediate(resolve))
    while (this.#unwritten.size > 0) {
      const taken = this.#take()
      try {
        await this.#rows.batch(() => {
          for (const [id, write] of taken) this.#apply(id, write)
        })
      } catch (error) {
        const cause = await commitErrorOf(error)
        this.#options.onError(
          new SilopathError('STORE_UNAVAILABLE', `cannot store sessions in data_dir: ${messageOf(cause)}`, { cause }),
        )
        if (!this.#closed) this.#pause()
        return
      }
      for (const [id, write] of taken) if (this.#unwritten.get(id) === write) this.#unwritten.delete(id)
    }
  }

  /** The writes of the next transaction, oldest first. They stay in the table, visible to `list`, until committed. */
  #take(): [id: string, write: Write][] {
    const taken: [id: string, write: Write][] = []
    for (const entry of this.#unwritten) {
      if (taken.length === transactionRowsMax) break
      taken.push(entry)
      const live = this.#live.get(entry[0])
      if (live !== undefined) live.sent = true
    }
    return taken
  }

  #apply(id: string, write: Write): void {
    if (write.kind === 'put') this.#rows.put([write.record.expiresAt, id], write.record)
    else this.#rows.remove([write.expiresAt, id])
  }

  #pause(): void {
    this.#retry = setTimeout(() => {
      this.#retry = undefined
      this.#write()
    }, retryDelayMs)
    this.#retry.unref()
  }
}
