import assert, { AssertionError } from 'node:assert/strict'
import type { Buffer } from 'node:buffer'
import { join } from 'node:path'
import { open, type RootDatabase } from 'lmdb'
import { type Result, SilopathError } from '../errors.ts'
import type { MessageId } from '../ids.ts'
import { LruMap } from '../lru.ts'
import { commitErrorOf, environmentOptions, messageOf, refuseForeignFile } from './lmdb-environment.ts'
import { type HeldClaim, SiloClaims } from './silo-claims.ts'
import { refuseTruncatedFile } from './silo-file.ts'
import { Put, type PutDesk } from './silo-put.ts'
import { decodeRecord, isRecordOf } from './silo-record.ts'
import {
  type Claim,
  type ClaimedMessage,
  deviceDayMs,
  devicesMax,
  type FencingToken,
  type NewMessage,
  type PutFailure,
  type Settled,
  type SettleFailure,
  type Settlement,
  type SiloCounts,
  type SiloListing,
  type SiloMessage,
  type SiloQuota,
  type SiloStore,
  type StoredMessage,
} from './silo-store.ts'
import {
  type DeadLetter,
  type Device,
  type Entry,
  entryOf,
  type Located,
  ownerHashOf,
  SiloTables,
  siloVersion,
  type Waiting,
} from './silo-tables.ts'
import { Tallies } from './silo-tallies.ts'
import type { SiloTransaction } from './silo-transaction.ts'
import { SiloWriter } from './silo-writer.ts'

export interface LmdbSiloOptions {
  /** The configured `data_dir`; the messages lie in their own environment, `<data_dir>/silo`. */
  readonly dataDir: string
  readonly quota: SiloQuota
  /** Bound on the dead letters; at the bound the oldest go. */
  readonly deadMax: number
  /** Told of every transaction that failed (disk full, read-only, broken), and of what cannot be read. */
  readonly onError: (error: SilopathError) => void
  /** Time by which quotas count: milliseconds since the Unix epoch. */
  readonly now?: () => number
  /** Bound on messages whose inboxes are written later, with others. Opening reads up to three times as many. */
  readonly arrivalsMax?: number
}

/** Bounds on what waits to be stored; with more, `put` is `overloaded` and `seen` fails. */
export const pendingPutsMax = 10_000
export const pendingOctetsMax = 64 * 1024 * 1024

/**
 * With five million messages stored, a page of the inboxes is then written for two or three at a time; the process takes some
 * 15 MiB for it, and up to a second to start.
 */
const defaultArrivalsMax = 65_536
/** Owners remembered to have nothing. */
const emptyMax = 100_000
/** Owners whose devices are kept at hand. */
const devicesKnownMax = 20_000
/** Messages that one transaction sweeps, removes, revives or demotes for one call. */
const sliceMax = 500
/** A device that has not been seen for so long is forgotten. */
const deviceMemoryMs = 400 * deviceDayMs
/** Owners whose devices are looked at for that in one sweep. */
const deviceRowsMax = 100

/**
 * Opens the silo for its one writer, the primary thread. Messages of an earlier run are there, and nobody has a claim.
 * @throws SilopathError STORE_UNAVAILABLE
 */
export async function openLmdbSilo(options: LmdbSiloOptions): Promise<SiloStore> {
  const path = join(options.dataDir, 'silo')
  let environment: RootDatabase | undefined
  try {
    await refuseForeignFile(join(path, 'data.mdb'))
    await refuseTruncatedFile(join(path, 'data.mdb'))
    environment = open({ path, ...environmentOptions })
    const tables = new SiloTables(environment)
    const before = tables.totals() ?? newTotals
    if (before.version !== siloVersion) throw new Error(`its tables have version ${before.version}, not ${siloVersion}`)
    tables.findArrivals(before.filedTo, options.arrivalsMax ?? defaultArrivalsMax)
    const claims = new SiloClaims(before.tokensEnd)
    const totals = { ...before, tokensEnd: claims.reserve(before.tokensEnd) }
    await tables.batch(() => tables.putTotals(totals))
    return new LmdbSilo(options, { tables, claims, totals })
  } catch (error) {
    const cause = await commitErrorOf(error)
    await environment?.close()
    throw new SilopathError(
      'STORE_UNAVAILABLE',
      `cannot open the silo in ${path}: ${messageOf(cause)}. Make the folder writable, check that the disk has space, or ` +
        'set data_dir to another place; it holds messages that wait for their recipients: if it is broken, put a copy of ' +
        'it back, or move it away to begin with an empty one.',
      { cause },
    )
  }
}

const newTotals = {
  version: siloVersion,
  nextId: 1,
  tokensEnd: 1,
  messages: 0,
  octets: 0,
  dead: 0,
  filedTo: 0,
}

/** Unreadable: why. */
type Readable = { readonly message: SiloMessage } | { readonly unreadable: string }

class LmdbSilo implements SiloStore {
  readonly #tables: SiloTables
  readonly #claims: SiloClaims
  readonly #writer: SiloWriter
  readonly #onError: (error: SilopathError) => void
  readonly #now: () => number
  /** Owners who have nothing: asked about at each REGISTER, most of which are refreshes. */
  readonly #empty = new LruMap<true>(emptyMax)
  /** Asked about with each message that is delivered. What changes them lets go of them when it is stored, or has failed. */
  readonly #devices = new LruMap<readonly Device[]>(devicesKnownMax)
  #puts = 0
  #putOctets = 0
  readonly #desk: PutDesk = {
    now: () => this.#now(),
    done: (owner, record) => {
      this.#puts -= 1
      this.#putOctets -= record.length
      // Not before it is stored: who looks meanwhile finds nothing.
      this.#empty.delete(owner)
    },
  }
  /** Where the next sweep looks for devices to forget. */
  #devicesAfter = ''
  #closed = false

  constructor(
    { quota, deadMax, onError, now = Date.now }: LmdbSiloOptions,
    { tables, claims, totals }: { tables: SiloTables; claims: SiloClaims; totals: SiloWriter['totals'] },
  ) {
    this.#tables = tables
    this.#claims = claims
    this.#onError = onError
    this.#now = now
    this.#writer = new SiloWriter({
      tables,
      claims,
      totals,
      deadMax,
      tallies: new Tallies(tables, quota),
      failed: (error) => this.#failed(error),
    })
  }

  put({ record, owner, srcAddr, expTime, sndTime, octets }: NewMessage): Promise<Result<MessageId, PutFailure>> {
    if (this.#closed) return Promise.resolve(unavailable)
    if (this.#isFull(record.length)) return Promise.resolve(overloaded)
    assert(expTime >= 0 && sndTime >= 0 && octets >= 0, 'times and octets are not negative')
    const entry = entryOf({ srcAddr, expTime, sndTime, octets })
    this.#puts += 1
    this.#putOctets += record.length
    return new Promise((resolve, reject) => {
      this.#writer.add(new Put(owner, record, entry, this.#desk, resolve, reject))
    })
  }

  hasMessages(owner: string, now: number): boolean {
    if (this.#empty.get(owner) === true) return false
    return this.#read(false, () => {
      let isEmpty = true
      for (const { entry } of this.#tables.inbox(ownerHashOf(owner))) {
        if (isDeliverable(entry, now)) return true
        isEmpty = false
      }
      if (isEmpty) this.#empty.set(owner, true)
      return false
    })
  }

  async claim(
    owner: string,
    device: string,
    { now, leaseMs, max }: { readonly now: number; readonly leaseMs: number; readonly max: number },
  ): Promise<Claim | 'busy' | null> {
    const hash = ownerHashOf(owner)
    if (this.#claims.isBusy(hash, device, now)) return 'busy'
    const broken: (Located & { readonly why: string })[] = []
    const messages = this.#read<ClaimedMessage[]>([], () => {
      const found: ClaimedMessage[] = []
      for (const { id, entry, state } of this.#tables.inbox(hash)) {
        if (found.length === max) break
        if (!isDeliverable(entry, now)) continue
        const { attempts, delivered, refused } = state
        if (delivered.includes(device) || refused.includes(device)) continue
        const record = this.#tables.record(id, hash)
        try {
          if (!isRecordOf(record, owner)) continue
        } catch (error) {
          broken.push({ id, owner: hash, why: messageOf(error) })
          continue
        }
        found.push({ id, record, expTime: entry.expTime, sndTime: entry.sndTime, attempts })
      }
      return found
    })
    const ids = messages.map(({ id }) => id)
    const token = messages.length === 0 ? null : this.#claims.take(hash, device, now + leaseMs, ids)
    await Promise.all(broken.map((located) => this.#setAside(located, located.why)))
    return token === null ? null : { token, owner, device, messages }
  }

  extend(token: FencingToken, now: number, leaseMs: number): boolean {
    return this.#claims.extend(token, now, leaseMs)
  }

  async settle(token: FencingToken, id: MessageId, settlement: Settlement): Promise<Result<Settled, SettleFailure>> {
    const claim = this.#claims.held(token)
    if (claim === null) return { ok: false, error: 'fenced' }
    assert(claim.messages.has(id), 'the message belongs to the claim')
    if (this.#closed) return unavailable
    this.#claims.settling(claim)
    const settled = await this.#writer.change<Settled>((transaction) => {
      if (!transaction.touch(id)) return 'later'
      const waiting = this.#tables.waiting(claim.owner, id)
      if (waiting === null) return { value: this.#tables.dead(id) === null ? 'removed' : 'dead' }
      return planSettlement(transaction, waiting, claim, settlement)
    })
    this.#claims.settled(claim, id, settled !== null)
    return settled === null ? unavailable : { ok: true, value: settled }
  }

  release(token: FencingToken): void {
    this.#claims.release(token)
  }

  async seen(owner: string, device: string, now: number): Promise<Result<void, 'unavailable'>> {
    const isNews = () => {
      const known = this.#devicesOf(owner).find((other) => other.device === device)
      return known === undefined || now - known.seenAt >= deviceDayMs
    }
    if (!this.#read(true, isNews)) return done
    if (this.#closed || this.#isFull(0)) return unavailable
    this.#puts += 1
    const stored = await this.#writer.change((transaction) => {
      if (!transaction.touch(owner)) return 'later'
      this.#devices.delete(owner)
      if (isNews()) {
        const others = this.#devicesOf(owner).filter((other) => other.device !== device)
        const latest = [{ device, seenAt: now }, ...others].sort((a, b) => b.seenAt - a.seenAt)
        transaction.putDevices(owner, latest.slice(0, devicesMax))
      }
      return { value: true }
    })
    this.#puts -= 1
    this.#devices.delete(owner)
    return stored === null ? unavailable : done
  }

  devices(owner: string, since: number): readonly string[] {
    return this.#read([], () =>
      this.#devicesOf(owner)
        .filter(({ seenAt }) => seenAt + deviceDayMs > since)
        .map(({ device }) => device),
    )
  }

  /** As they are stored. */
  #devicesOf(owner: string): readonly Device[] {
    const known = this.#devices.get(owner)
    if (known !== undefined) return known
    const devices = this.#tables.devices(owner)
    this.#devices.set(owner, devices)
    return devices
  }

  due(now: number, limit: number): readonly { readonly id: MessageId; readonly owner: string }[] {
    return this.#read([], () => {
      const due: { readonly id: MessageId; readonly owner: string }[] = []
      for (const { id, owner } of this.#tables.due(now)) {
        if (due.length >= limit) break
        const read = readRecord(this.#tables.record(id, owner))
        // Told by itself; nobody waits for it.
        if ('unreadable' in read) void this.#setAside({ id, owner }, read.unreadable)
        else if (read.message.expTime > now) due.push({ id, owner: read.message.owner })
      }
      return due
    })
  }

  async demote(ids: readonly MessageId[]): Promise<Result<void, 'unavailable'>> {
    const demoted = await this.#changeEach(ids, (transaction, id) => {
      const waiting = this.#find(id)
      if (waiting === null || 'reason' in waiting || waiting.entry.sndTime === 0) return 0
      transaction.demote(waiting)
      return 1
    })
    return demoted === null ? unavailable : done
  }

  async sweep(now: number, max: number): Promise<Result<readonly StoredMessage[], 'unavailable'>> {
    if (!(await this.#forgetDevices(now))) return unavailable
    const swept: StoredMessage[] = []
    while (swept.length < max && !this.#closed) {
      const limit = Math.min(max - swept.length, sliceMax)
      const slice = await this.#writer.change((transaction) => this.#planSweep(transaction, now, limit))
      if (slice === null) return swept.length === 0 ? unavailable : { ok: true, value: swept }
      for (const message of slice) swept.push(message)
      if (slice.length < limit) break
    }
    return { ok: true, value: swept }
  }

  get(id: MessageId): StoredMessage | null {
    return this.#read(null, () => {
      const found = this.#find(id)
      return found === null ? null : this.#stored(found)
    })
  }

  list({ owner, dead, after, limit }: SiloListing): readonly StoredMessage[] {
    // Nothing would look like the end of what there is.
    const failed = new SilopathError('STORE_UNAVAILABLE', 'the silo cannot be read; its log says why')
    const listed = this.#read<readonly StoredMessage[] | null>(null, () => {
      const hash = owner === null ? null : ownerHashOf(owner)
      const listed: StoredMessage[] = []
      const candidates = dead
        ? this.#tables.deadLetters(after ?? 0)
        : hash === null
          ? this.#allWaiting(after ?? 0)
          : this.#tables.inbox(hash, after ?? 0)
      for (const candidate of candidates) {
        if (listed.length >= limit) break
        if (hash !== null && candidate.owner !== hash) continue
        const stored = this.#stored(candidate)
        if (owner !== null && stored.message.owner !== owner && stored.message.owner !== '') continue
        listed.push(stored)
      }
      return listed
    })
    if (listed === null) throw failed
    return listed
  }

  async remove(ids: readonly MessageId[]): Promise<Result<number, 'unavailable'>> {
    const removed = await this.#changeEach(ids, (transaction, id) => {
      const found = this.#find(id)
      if (found === null) return 0
      if ('reason' in found) transaction.removeDead(found)
      else transaction.remove(found)
      return 1
    })
    return removed === null ? unavailable : { ok: true, value: removed }
  }

  async revive(ids: readonly MessageId[]): Promise<Result<number, 'unavailable'>> {
    const revived = await this.#changeEach(ids, (transaction, id) => {
      const letter = this.#tables.dead(id)
      // What cannot be read cannot be delivered: it would be back at once.
      if (letter === null || 'unreadable' in readRecord(this.#tables.record(id, letter.owner))) return 0
      transaction.revive(letter)
      return 1
    })
    this.#empty.clear()
    return revived === null ? unavailable : { ok: true, value: revived }
  }

  counts(): SiloCounts {
    const { messages, octets, dead } = this.#writer.totals
    return { messages, octets, dead }
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await this.#writer.idle()
    await this.#tables.close()
  }

  #isFull(octets: number): boolean {
    return this.#puts >= pendingPutsMax || this.#putOctets + octets > pendingOctetsMax
  }

  /** Resolves with the sum of what `plan` returns for each, which may not read after it has planned; null: unavailable. */
  async #changeEach(
    ids: readonly MessageId[],
    plan: (transaction: SiloTransaction, id: MessageId) => number,
  ): Promise<number | null> {
    const distinct = [...new Set(ids)]
    let sum = 0
    for (let at = 0; at < distinct.length; at += sliceMax) {
      if (this.#closed) return null
      const slice = distinct.slice(at, at + sliceMax)
      const changed = await this.#writer.change((transaction) => {
        if (!slice.every((id) => transaction.touch(id))) return 'later'
        return { value: slice.reduce((count, id) => count + plan(transaction, id), 0) }
      })
      if (changed === null) return null
      sum += changed
    }
    return sum
  }

  #planSweep(
    transaction: SiloTransaction,
    now: number,
    limit: number,
  ): { readonly value: readonly StoredMessage[] } | 'later' {
    const found: (Waiting | DeadLetter)[] = []
    for (const { id, owner } of this.#tables.expired(now)) {
      if (found.length >= limit) break
      if (!transaction.touch(id)) return 'later'
      const expired = this.#tables.waiting(owner, id) ?? this.#tables.dead(id)
      assert(expired !== null, 'what expires waits or is dead')
      found.push(expired)
    }
    const value = found.map((expired) => this.#stored(expired))
    for (const expired of found) {
      if ('reason' in expired) transaction.removeDead(expired)
      else transaction.remove(expired)
    }
    return { value }
  }

  /** Looks at some owners at a time, so that those who are gone for good leave nothing behind. */
  async #forgetDevices(now: number): Promise<boolean> {
    const rows = this.#read([], () => this.#tables.allDevices(this.#devicesAfter, deviceRowsMax))
    this.#devicesAfter = rows.length < deviceRowsMax ? '' : (rows.at(-1)?.key ?? '')
    const gone = rows.filter(({ devices }) => devices.every(({ seenAt }) => seenAt + deviceMemoryMs <= now))
    if (gone.length === 0) return true
    const forgotten = await this.#writer.change((transaction) => {
      for (const { key } of gone) transaction.removeDevices(key)
      return { value: true }
    })
    // Only their keys are known, and there is not much to read anew.
    this.#devices.clear()
    return forgotten !== null
  }

  /** A message that cannot be read goes to the dead letters, with its octets. */
  async #setAside({ id, owner }: Located, why: string): Promise<void> {
    if (this.#closed) return
    const isAside = await this.#writer.change((transaction) => {
      if (!transaction.touch(id)) return 'later'
      const waiting = this.#tables.waiting(owner, id)
      if (waiting === null) return { value: false }
      return transaction.bury(waiting, `cannot be read: ${why}`) ? { value: true } : 'later'
    })
    if (!isAside) return
    const message = `message ${id} of the silo cannot be read: ${why}. It is kept among the dead letters; check the disk.`
    this.#onError(new SilopathError('STORE_UNAVAILABLE', message))
  }

  #find(id: MessageId): Waiting | DeadLetter | null {
    const letter = this.#tables.dead(id)
    if (letter !== null) return letter
    const owner = this.#tables.ownerOf(id)
    return owner === null ? null : this.#tables.waiting(owner, id)
  }

  *#allWaiting(after: number): Generator<Waiting> {
    for (const { id, owner } of this.#tables.ids(after)) {
      const waiting = this.#tables.waiting(owner, id)
      if (waiting !== null) yield waiting
    }
  }

  #stored(found: Waiting | DeadLetter): StoredMessage {
    const { id, owner, entry } = found
    const record = this.#tables.record(id, owner)
    const read = readRecord(record)
    const message: SiloMessage =
      'unreadable' in read ? unreadableMessage(record, entry) : { ...read.message, sndTime: entry.sndTime }
    if ('reason' in found)
      return {
        id,
        message,
        attempts: found.attempts,
        delivered: found.delivered.length > 0,
        status: 3,
        reason: found.reason,
      }
    const status = this.#claims.isInFlight(id) ? 1 : 0
    const { attempts, delivered } = found.state
    return { id, message, attempts, delivered: delivered.length > 0, status, reason: null }
  }

  /** What `read` reads, or `otherwise` when that fails, which is told. */
  #read<Value>(otherwise: Value, read: () => Value): Value {
    // A closed environment must not be touched.
    if (this.#closed) return otherwise
    try {
      return read()
    } catch (error) {
      if (error instanceof AssertionError) throw error
      this.#failed(error)
      return otherwise
    }
  }

  #failed(cause: unknown): void {
    const message = `cannot read or store messages in data_dir: ${messageOf(cause)}. Make room on the disk, or the folder writable.`
    this.#onError(new SilopathError('STORE_UNAVAILABLE', message, { cause }))
  }
}

const unavailable = { ok: false, error: 'unavailable' } as const
const overloaded = { ok: false, error: 'overloaded' } as const
const done = { ok: true, value: undefined } as const

function planSettlement(
  transaction: SiloTransaction,
  waiting: Waiting,
  { device }: HeldClaim,
  settlement: Settlement,
): { readonly value: Settled } | 'later' {
  const { attempts, delivered, refused } = waiting.state
  switch (settlement.kind) {
    case 'delivered':
    case 'refused': {
      const isDelivered = settlement.kind === 'delivered'
      const nowDelivered = isDelivered ? withOne(delivered, device) : delivered
      const nowRefused = isDelivered ? refused : withOne(refused, device)
      if (!settlement.devices.every((other) => nowDelivered.includes(other) || nowRefused.includes(other))) {
        transaction.keep({ ...waiting, state: { attempts, delivered: nowDelivered, refused: nowRefused } })
        return { value: 'kept' }
      }
      if (settlement.kind === 'refused' && nowDelivered.length === 0) {
        return transaction.bury(waiting, settlement.reason) ? { value: 'dead' } : 'later'
      }
      transaction.remove(waiting)
      return { value: 'removed' }
    }
    case 'later': {
      const state = settlement.attempted ? { attempts: attempts + 1, delivered, refused } : waiting.state
      if (waiting.entry.sndTime !== 0) transaction.demote({ ...waiting, state })
      else if (settlement.attempted) transaction.keep({ ...waiting, state })
      return { value: 'kept' }
    }
    case 'dead':
      return transaction.bury(waiting, settlement.reason) ? { value: 'dead' } : 'later'
  }
}

function withOne(devices: readonly string[], device: string): readonly string[] {
  return devices.includes(device) ? devices : [...devices, device]
}

/** SILO-30, and reminders not before their time (SILO-40). */
function isDeliverable({ expTime, sndTime }: Entry, now: number): boolean {
  return expTime > now && sndTime <= now
}

function readRecord(record: Buffer): Readable {
  try {
    return { message: decodeRecord(record) }
  } catch (error) {
    return { unreadable: messageOf(error) }
  }
}

/** What there is to show of it. */
function unreadableMessage(record: Buffer, { expTime, sndTime }: Entry): SiloMessage {
  return {
    owner: '',
    srcAddr: '',
    dstAddr: '',
    contentType: 'application/octet-stream',
    body: record,
    incTime: 0,
    expTime,
    sndTime,
    extraHeaders: '',
    callId: '',
    messageId: '',
  }
}
