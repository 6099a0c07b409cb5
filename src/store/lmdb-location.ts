import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { type Database, open, type RootDatabase } from 'lmdb'
import { type Result, SilopathError } from '../errors.ts'
import type { ConnectionId, LaneIndex } from '../ids.ts'
import { LruMap } from '../lru.ts'
import { commitErrorOf, environmentOptions, messageOf, refuseForeignFile } from './lmdb-environment.ts'
import {
  type Binding,
  bindingVersion,
  type Change,
  type ConnectionFlow,
  type Flow,
  type LocationFailure,
  type LocationReader,
  type LocationStore,
  type LocationVersions,
  lifelineOf,
  locationVersionsWords,
} from './location-store.ts'

export interface LmdbLocationOptions {
  /** The configured `data_dir`; the bindings lie in their own environment, `<data_dir>/location`. */
  readonly dataDir: string
  /** Bound on the bindings of all AoRs together. */
  readonly maxBindings: number
  /** Told of what changes, for readers in other threads. */
  readonly versions?: LocationVersions
  /** Told once for every transaction that failed (disk full, read-only, broken). Nothing it held has been stored. */
  readonly onError: (error: SilopathError) => void
}

/** Bound on the calls of `change` that wait to be stored. */
export const pendingChangesMax = 10_000

/**
 * Changes of one transaction: reading, deciding and handing one to lmdb takes some 15 µs, during which this thread
 * serves no socket.
 */
const transactionChangesMax = 250
/** Longer AoRs, and those with other than plain characters, are hashed: keys of LMDB are bounded at 1978 octets. */
const plainKey = /^[!-~]{1,200}$/

/**
 * Opens the location store for its one writer, the primary thread. Bindings of an earlier run are still there: UDP
 * contacts work on, and those of its connections are unreachable, as their epoch tells (S-71).
 * @throws SilopathError STORE_UNAVAILABLE
 */
export async function openLmdbLocation(options: LmdbLocationOptions): Promise<LocationStore> {
  const path = join(options.dataDir, 'location')
  let environment: RootDatabase | undefined
  try {
    await refuseForeignFile(join(path, 'data.mdb'))
    environment = open({ path, ...environmentOptions })
    const tables = tablesOf(environment)
    const version = tables.totals.get('version')
    if (version === undefined) await tables.totals.put('version', bindingVersion)
    else if (version !== bindingVersion) throw new Error(`its records have version ${version}, not ${bindingVersion}`)
    return new LmdbLocation(environment, tables, options)
  } catch (error) {
    const cause = await commitErrorOf(error)
    await environment?.close()
    throw unavailable(path, cause)
  }
}

/**
 * Opens what `openLmdbLocation` has opened in this process, for reading in another thread.
 * @throws SilopathError STORE_UNAVAILABLE
 */
export function openLocationReader(dataDir: string, versions?: LocationVersions): LocationReader {
  const path = join(dataDir, 'location')
  let environment: RootDatabase | undefined
  try {
    environment = open({ path, readOnly: true, ...environmentOptions })
    const { rows } = tablesOf(environment)
    return new LmdbReader(environment, rows, versions)
  } catch (error) {
    throw unavailable(path, error)
  }
}

/** The word of its version. */
function versionOf(key: Key): number {
  return crc32(key) & (locationVersionsWords - 1)
}

/** Rows that a reader keeps copies of. */
const copiesMax = 20_000

/** What a row held when `word` of the versions was `version`. */
interface Copy {
  readonly word: number
  readonly version: number
  readonly bindings: readonly Binding[]
}

/** The AoR itself where it makes a short and plain key, else a hash of it. */
type Key = string

/**
 * One row an AoR. Bindings are stored as arrays: decoding two takes 2.3 µs, and 6.7 µs with named fields; every message
 * to a user reads a row.
 */
type Row = readonly [aor: string, bindings: readonly Columns[]]

interface Tables {
  readonly rows: Database<Row, Key>
  /** One row an AoR, at its earliest expiry: a sweep reads the AoRs that have lost a binding and no others. */
  readonly expiries: Database<true, [earliest: number, key: Key]>
  /** Kept with the rows, so that opening need not count them. */
  readonly totals: Database<number, 'version' | 'bindings'>
}

function tablesOf(environment: RootDatabase): Tables {
  return {
    rows: environment.openDB({ name: 'bindings' }),
    expiries: environment.openDB({ name: 'expiries' }),
    totals: environment.openDB({ name: 'totals' }),
  }
}

class LmdbReader implements LocationReader {
  readonly #environment: RootDatabase
  readonly #rows: Database<Row, Key>
  readonly #versions: LocationVersions | null
  /** Reading and decoding a row takes some 4 µs, and most rows are read far oftener than they change. */
  readonly #copies = new LruMap<Copy>(copiesMax)

  constructor(environment: RootDatabase, rows: Database<Row, Key>, versions: LocationVersions | undefined) {
    this.#environment = environment
    this.#rows = rows
    this.#versions = versions ?? null
  }

  get(aor: string, now: number): readonly Binding[] {
    const key = keyOf(aor)
    if (this.#versions === null) return live(this.stored(key), now)
    const copy = this.#copies.get(key)
    if (copy !== undefined && copy.version === Atomics.load(this.#versions, copy.word)) return live(copy.bindings, now)
    const word = versionOf(key)
    // Before the row is read: a copy that is newer than its version is read once too often, never once too seldom.
    const version = Atomics.load(this.#versions, word)
    const bindings = this.stored(key)
    this.#copies.set(key, { word, version, bindings })
    return live(bindings, now)
  }

  stored(key: Key): readonly Binding[] {
    // lmdb keeps one snapshot for all reads of a turn of the event loop: what another thread has stored since the first
    // of them would stay unseen, though its REGISTER may have been answered already.
    this.#environment.resetReadTxn()
    const row = this.#rows.get(key)
    return row === undefined ? [] : decodeRow(row)
  }

  close(): Promise<void> {
    return this.#environment.close()
  }
}

/** A change that waits for its turn. */
interface PendingChange {
  readonly key: Key
  decide(current: readonly Binding[]): { readonly bindings: readonly Binding[] | null; readonly stored: () => void }
  failed(failure: LocationFailure): void
  /** The decision itself threw, or the row cannot be read. */
  broken(error: unknown): void
}

/** An AoR that the transaction under way changes. */
interface StagedRow {
  readonly before: readonly Binding[]
  after: readonly Binding[]
}

/**
 * Changes wait in one queue and are stored by one transaction after the other. A transaction takes the oldest changes,
 * decides each upon what the ones before it made of its AoR, and stores all or nothing: so no change is ever decided
 * upon something that was not stored in the end, except with it in one transaction.
 */
class LmdbLocation implements LocationStore {
  readonly #environment: RootDatabase
  readonly #tables: Tables
  readonly #reader: LmdbReader
  readonly #options: LmdbLocationOptions
  /** AoRs with reachable bindings, by connection. Those of earlier runs are missing: their connections are gone. */
  readonly #bound = new Map<string, Set<Key>>()
  readonly #queue: PendingChange[] = []
  #changesPending = 0
  #count: number
  #writing: Promise<void> | undefined
  #closed = false

  constructor(environment: RootDatabase, tables: Tables, options: LmdbLocationOptions) {
    this.#environment = environment
    this.#tables = tables
    this.#reader = new LmdbReader(environment, tables.rows, options.versions)
    this.#options = options
    this.#count = tables.totals.get('bindings') ?? 0
  }

  get(aor: string, now: number): readonly Binding[] {
    return this.#reader.get(aor, now)
  }

  async change<Value>(
    aor: string,
    decide: (current: readonly Binding[]) => Change<Value>,
  ): Promise<Result<Value, LocationFailure>> {
    if (this.#changesPending >= pendingChangesMax) return { ok: false, error: 'overloaded' }
    this.#changesPending += 1
    try {
      return await this.#enqueue(keyOf(aor), decide)
    } finally {
      this.#changesPending -= 1
    }
  }

  async sweep(now: number, max: number): Promise<ReadonlyMap<string, number>> {
    this.#environment.resetReadTxn()
    const due = [...this.#tables.expiries.getKeys({ end: [now, '\uffff'], limit: max })]
    const lost = new Map<string, number>()
    await Promise.all(
      due.map(async ([, key]) => {
        const swept = await this.#enqueue(key, (current) => {
          const bindings = live(current, now)
          return { bindings, value: { aor: current[0]?.aor, removed: current.length - bindings.length } }
        })
        if (swept.ok && swept.value.aor !== undefined && swept.value.removed > 0) {
          lost.set(swept.value.aor, swept.value.removed)
        }
      }),
    )
    return lost
  }

  async markUnreachable(connection: ConnectionId, epoch: string): Promise<Result<number, LocationFailure>> {
    const keys = [...(this.#bound.get(boundId({ connection, epoch })) ?? [])]
    const outcomes = await Promise.all(
      keys.map((key) =>
        this.#enqueue(key, (current) => {
          let marked = 0
          const bindings = current.map((binding) => {
            const lifeline = lifelineOf(binding)
            if (binding.unreachable || lifeline?.connection !== connection || lifeline.epoch !== epoch) return binding
            marked += 1
            return { ...binding, unreachable: true }
          })
          return { bindings: marked === 0 ? null : bindings, value: marked }
        }),
      ),
    )
    let marked = 0
    for (const outcome of outcomes) {
      if (!outcome.ok) return outcome
      marked += outcome.value
    }
    return { ok: true, value: marked }
  }

  count(): number {
    return this.#count
  }

  list({ limit, after, now }: { limit: number; after: string | null; now: number }): readonly Binding[] {
    this.#environment.resetReadTxn()
    const listed: Binding[] = []
    let left = limit
    if (left <= 0) return listed
    const start = after === null ? '' : keyOf(after)
    for (const { key, value } of this.#tables.rows.getRange({ start })) {
      if (key === start) continue
      const bindings = live(decodeRow(value), now)
      if (bindings.length === 0) continue
      listed.push(...bindings)
      if (--left === 0) break
    }
    return listed
  }

  async close(): Promise<void> {
    this.#closed = true
    await this.#writing
    await this.#environment.close()
  }

  /** Not bounded: only `change` is called by others, the rest by us for AoRs that are stored. */
  #enqueue<Value>(
    key: Key,
    decide: (current: readonly Binding[]) => Change<Value>,
  ): Promise<Result<Value, LocationFailure>> {
    assert(!this.#closed, 'change after close')
    return new Promise((resolve, reject) => {
      this.#queue.push({
        key,
        decide(current) {
          const { bindings, value } = decide(current)
          return { bindings, stored: () => resolve({ ok: true, value }) }
        },
        failed: (error) => resolve({ ok: false, error }),
        broken: reject,
      })
      this.#writing ??= this.#writeAll()
    })
  }

  async #writeAll(): Promise<void> {
    // Lets what else this turn of the event loop changes join the first transaction.
    await new Promise<void>((resolve) => setImmediate(resolve))
    while (this.#queue.length > 0) await this.#write(this.#queue.splice(0, transactionChangesMax))
    // At once: whoever learns of its change and makes the next one must find that nobody is writing.
    this.#writing = undefined
  }

  async #write(changes: readonly PendingChange[]): Promise<void> {
    const staged = new Map<Key, StagedRow>()
    const decided: { readonly change: PendingChange; readonly stored: () => void }[] = []
    let count = this.#count
    for (const change of changes) {
      const row = staged.get(change.key)
      let current: readonly Binding[]
      let decision: ReturnType<PendingChange['decide']>
      try {
        current = row?.after ?? this.#reader.stored(change.key)
        decision = change.decide(current)
      } catch (error) {
        change.broken(error)
        continue
      }
      const { bindings, stored } = decision
      if (bindings !== null) {
        const grown = bindings.length - current.length
        if (grown > 0 && count + grown > this.#options.maxBindings) {
          change.failed('full')
          continue
        }
        count += grown
        if (row === undefined) staged.set(change.key, { before: current, after: bindings })
        else row.after = bindings
      }
      decided.push({ change, stored })
    }
    const committed = staged.size === 0 || (await this.#commit(staged, count))
    if (committed) {
      this.#count = count
      for (const [key, row] of staged) {
        this.#rebind(key, row)
        if (this.#options.versions) Atomics.add(this.#options.versions, versionOf(key), 1)
      }
    }
    for (const { change, stored } of decided) {
      // What only looked at an AoR that nobody wanted to change has seen the truth.
      if (committed || !staged.has(change.key)) stored()
      else change.failed('unavailable')
    }
  }

  async #commit(staged: ReadonlyMap<Key, StagedRow>, count: number): Promise<boolean> {
    const { rows, expiries, totals } = this.#tables
    try {
      await rows.batch(() => {
        for (const [key, { before, after }] of staged) {
          const earlier = earliestExpiry(before)
          const earliest = earliestExpiry(after)
          if (earlier !== earliest && before.length > 0) expiries.remove([earlier, key])
          if (after.length === 0) rows.remove(key)
          else {
            rows.put(key, encodeRow(after))
            if (earlier !== earliest) expiries.put([earliest, key], true)
          }
        }
        totals.put('bindings', count)
      })
      return true
    } catch (error) {
      const cause = await commitErrorOf(error)
      const message = `cannot store registrations in data_dir: ${messageOf(cause)}. Make room on the disk, or the folder writable.`
      this.#options.onError(new SilopathError('STORE_UNAVAILABLE', message, { cause }))
      return false
    }
  }

  #rebind(key: Key, { before, after }: StagedRow): void {
    // As refreshes do, which are most of all changes.
    if (before.length === after.length && before.every((binding, i) => sameLifeline(binding, after[i]!))) return
    for (const binding of before) {
      const lifeline = lifelineOf(binding)
      if (lifeline === null) continue
      const id = boundId(lifeline)
      const keys = this.#bound.get(id)
      if (keys?.delete(key) && keys.size === 0) this.#bound.delete(id)
    }
    for (const binding of after) {
      const lifeline = lifelineOf(binding)
      if (lifeline === null || binding.unreachable) continue
      const id = boundId(lifeline)
      const keys = this.#bound.get(id)
      if (keys === undefined) this.#bound.set(id, new Set([key]))
      else keys.add(key)
    }
  }
}

/** Whether two bindings hang on the same connection, or on none. */
function sameLifeline(a: Binding, b: Binding): boolean {
  const [left, right] = [lifelineOf(a), lifelineOf(b)]
  if (left === null || right === null) return left === right
  return left.connection === right.connection && left.epoch === right.epoch && a.unreachable === b.unreachable
}

function keyOf(aor: string): Key {
  if (plainKey.test(aor)) return aor
  // No AoR begins with a number sign: it begins with a scheme (S-60).
  return `#${createHash('sha256').update(aor).digest('hex')}`
}

function boundId({ connection, epoch }: Pick<ConnectionFlow, 'connection' | 'epoch'>): string {
  return `${connection} ${epoch}`
}

function live(bindings: readonly Binding[], now: number): readonly Binding[] {
  return bindings.every((binding) => binding.expiresAt > now)
    ? bindings
    : bindings.filter((binding) => binding.expiresAt > now)
}

/** Infinity for no bindings. */
function earliestExpiry(bindings: readonly Binding[]): number {
  let earliest = Number.POSITIVE_INFINITY
  for (const { expiresAt } of bindings) if (expiresAt < earliest) earliest = expiresAt
  return earliest
}

type Columns = readonly [
  contact: string,
  params: readonly string[],
  q: number,
  callId: string,
  cseq: number,
  expiresAt: number,
  path: readonly string[],
  instance: string | null,
  regId: number | null,
  flow: FlowColumns,
  unreachable: boolean,
  received: string,
  userAgent: string | null,
  methods: readonly string[] | null,
  registeredAt: number,
]

type FlowColumns =
  | readonly ['connection', connection: ConnectionId, lane: LaneIndex, epoch: string]
  | readonly ['udp', listener: number, address: string, port: number]

function encodeRow(bindings: readonly Binding[]): Row {
  const [first] = bindings
  assert(first !== undefined, 'an AoR without bindings has no row')
  return [
    first.aor,
    bindings.map((b) => [
      b.contact,
      b.params,
      b.q,
      b.callId,
      b.cseq,
      b.expiresAt,
      b.path,
      b.instance,
      b.regId,
      encodeFlow(b.flow),
      b.unreachable,
      b.received,
      b.userAgent,
      b.methods,
      b.registeredAt,
    ]),
  ]
}

function decodeRow([aor, rows]: Row): readonly Binding[] {
  return rows.map((row) => ({
    version: bindingVersion,
    aor,
    contact: row[0],
    params: row[1],
    q: row[2],
    callId: row[3],
    cseq: row[4],
    expiresAt: row[5],
    path: row[6],
    instance: row[7],
    regId: row[8],
    flow: decodeFlow(row[9]),
    unreachable: row[10],
    received: row[11],
    userAgent: row[12],
    methods: row[13],
    registeredAt: row[14],
  }))
}

function encodeFlow(flow: Flow): FlowColumns {
  return flow.kind === 'connection'
    ? ['connection', flow.connection, flow.lane, flow.epoch]
    : ['udp', flow.listener, flow.address, flow.port]
}

function decodeFlow(flow: FlowColumns): Flow {
  return flow[0] === 'connection'
    ? { kind: 'connection', connection: flow[1], lane: flow[2], epoch: flow[3] }
    : { kind: 'udp', listener: flow[1], address: flow[2], port: flow[3] }
}

function unavailable(path: string, cause: unknown): SilopathError {
  return new SilopathError(
    'STORE_UNAVAILABLE',
    `cannot open the location store in ${path}: ${messageOf(cause)}. Make the folder writable, check that the disk has ` +
      'space, or set data_dir to another place; it holds registrations only, which clients renew, so it may be deleted ' +
      'while silopath is stopped.',
    { cause },
  )
}
