import { Buffer } from 'node:buffer'
import { hash as digest } from 'node:crypto'
import type { Database, RootDatabase } from 'lmdb'
import type { MessageId } from '../ids.ts'
import { Arrivals } from './silo-arrivals.ts'
import { decodeRecord } from './silo-record.ts'
import type { NewMessage } from './silo-store.ts'

/** Version of the tables below and of what is in them; raised with every change. */
export const siloVersion = 3

declare const brand: unique symbol

/**
 * Stands for an owner in keys, which are bounded, as AoRs are not: 8 octets of SHA-256, a character each. Two owners may
 * have the same; whose a message is, its record says.
 */
export type OwnerHash = string & { readonly [brand]: 'OwnerHash' }
/** Stands for a sender among those of one owner: 4 octets in the same way. */
export type SenderHash = string & { readonly [brand]: 'SenderHash' }

/** What the index knows of a message, so that its record need not be read. Times as in SiloMessage, up to `timeMax`. */
export interface Entry {
  readonly expTime: number
  readonly sndTime: number
  /** Of the body. */
  readonly octets: number
  readonly sender: SenderHash
}

/** How a message that waits has fared; most have nothing to tell. */
export interface DeliveryState {
  readonly attempts: number
  /** Devices that have the message, and those that have refused it. */
  readonly delivered: readonly string[]
  readonly refused: readonly string[]
}

export const noState: DeliveryState = { attempts: 0, delivered: [], refused: [] }

/** What it takes to find a message. */
export interface Located {
  readonly id: MessageId
  readonly owner: OwnerHash
}

/** A message that waits to be delivered. */
export interface Waiting extends Located {
  readonly entry: Entry
  readonly state: DeliveryState
}

/** A message that is not delivered any more. */
export interface DeadLetter extends Located {
  readonly entry: Entry
  readonly attempts: number
  readonly delivered: readonly string[]
  readonly reason: string
}

export interface Device {
  readonly device: string
  /** When that was written. */
  readonly seenAt: number
}

/** Kept with the messages, so that opening need not count them; and what must not begin anew. */
export interface Totals {
  readonly nextId: number
  /** No token was ever as large. */
  readonly tokensEnd: number
  /** Of those that wait; `octets` of their bodies. */
  readonly messages: number
  readonly octets: number
  readonly dead: number
}

/** Ids and times take 6 octets in keys; it lies 8,900 years ahead. */
export const timeMax = 2 ** 48 - 1

const idOctets = 6
const hashOctets = 8
const senderOctets = 4
const noOctets = Buffer.alloc(0)
/** In the value of an entry. */
const sndTimeAt = 14
const sndTimeEnd = 20

/**
 * The tables of the silo, and how keys and values are laid out in them. Ids and times are big-endian, so that keys are in
 * their order. Changes belong into `batch`.
 *
 *   rows       id 6, owner 8       → record           in order of arrival, so that records are written side by side
 *   inbox      owner 8, id 6       → entry, state     those that wait: what is looked through for an owner; see Arrivals
 *   expiries   expTime 6, id 6     → owner 8          of dead letters too
 *   reminders  sndTime 6, id 6     → owner 8
 *   dead       id                  → DeadLetter
 *   devices    SHA-256 of owner    → pairs of device and seenAt
 *   totals     'totals'            → version, Totals, and filedTo of Arrivals
 *
 * An entry: expTime 6, octets 4, sender 4. Behind it sndTime 6, where that is not 0 or there is a state, which is JSON.
 */
export class SiloTables {
  readonly #environment: RootDatabase
  readonly #rows: Database<Buffer, Buffer>
  readonly #inbox: Database<Buffer, Buffer>
  readonly #expiries: Database<Buffer, Buffer>
  readonly #reminders: Database<Buffer, Buffer>
  readonly #dead: Database<DeadColumns, MessageId>
  readonly #devices: Database<readonly (readonly [string, number])[], string>
  readonly #totals: Database<readonly number[], 'totals'>
  /** Keys are copied when they are used. */
  readonly #key = Buffer.alloc(hashOctets + idOctets)
  readonly #shortKey = Buffer.alloc(idOctets + idOctets)
  #arrivals = new Arrivals(0, 0)
  /** Of the batch: what joins the arrivals, and what leaves them but by filing a bin. */
  #arriving: Waiting[] = []
  readonly #leaving = new Map<MessageId, Located>()

  constructor(environment: RootDatabase) {
    const octets = { encoding: 'binary', keyEncoding: 'binary' } as const
    this.#environment = environment
    this.#rows = environment.openDB({ name: 'rows', ...octets })
    this.#inbox = environment.openDB({ name: 'inbox', ...octets })
    this.#expiries = environment.openDB({ name: 'expiries', ...octets })
    this.#reminders = environment.openDB({ name: 'reminders', ...octets })
    this.#dead = environment.openDB({ name: 'dead' })
    this.#devices = environment.openDB({ name: 'devices' })
    this.#totals = environment.openDB({ name: 'totals' })
  }

  /**
   * To be called before anything is read or written.
   * @param max of messages whose inboxes are not written yet
   */
  findArrivals(filedTo: number, max: number): void {
    this.#arrivals = new Arrivals(max, filedTo)
    for (const { id, owner } of this.ids(filedTo)) {
      if (this.#dead.get(id) !== undefined || this.#inbox.get(this.#inboxKey(owner, id)) !== undefined) continue
      this.#arrivals.add({ id, owner, entry: this.#entryOfRow(id, owner), state: noState })
    }
  }

  /** Resolves when what `write` has changed is on disk, all of it; rejects when none of it is. One at a time. */
  async batch(write: () => void): Promise<void> {
    const arrivals = this.#arrivals
    const filing = arrivals.toFile()
    this.#arriving = []
    this.#leaving.clear()
    await this.#rows.batch(() => {
      write()
      for (const bin of filing.bins) {
        for (const waiting of arrivals.in(bin)) if (!this.#leaving.has(waiting.id)) this.#putInbox(waiting)
      }
    })
    // Reads of this turn of the event loop are to see it.
    this.#environment.resetReadTxn()
    for (const left of this.#leaving.values()) arrivals.delete(left)
    arrivals.filed(filing)
    for (const arrived of this.#arriving) arrivals.add(arrived)
  }

  /** Null: the environment is new. */
  totals(): (Totals & { readonly version: number; readonly filedTo: number }) | null {
    const columns = this.#totals.get('totals')
    if (columns === undefined) return null
    const [version = 0, nextId = 0, tokensEnd = 0, messages = 0, octets = 0, dead = 0, filedTo = 0] = columns
    return { version, nextId, tokensEnd, messages, octets, dead, filedTo }
  }

  putTotals({ nextId, tokensEnd, messages, octets, dead }: Totals): void {
    // What this batch files counts from the next one on: it may look at some rows too many.
    this.#totals.put('totals', [siloVersion, nextId, tokensEnd, messages, octets, dead, this.#arrivals.filedTo])
  }

  /** Without octets where there is none. */
  record(id: MessageId, owner: OwnerHash): Buffer {
    return this.#rows.get(this.#rowKey(id, owner)) ?? noOctets
  }

  /** Owner of the record with the id; null: there is none. */
  ownerOf(id: MessageId): OwnerHash | null {
    const [key] = this.#rows.getKeys({ start: rowsFrom(id), end: rowsFrom(id + 1), limit: 1 })
    return key === undefined ? null : ownerIn(key, idOctets)
  }

  /** Ids larger than `after`. */
  *ids(after: number): Generator<Located> {
    for (const key of this.#rows.getKeys({ start: rowsFrom(after + 1) })) {
      yield { id: idIn(key, 0), owner: ownerIn(key, idOctets) }
    }
  }

  waiting(owner: OwnerHash, id: MessageId): Waiting | null {
    const arrived = this.#arrivals.get(owner, id)
    if (arrived !== null) return arrived
    const value = this.#inbox.get(this.#inboxKey(owner, id))
    return value === undefined ? null : { id, owner, entry: entryIn(value), state: stateIn(value) }
  }

  /** What waits for the owner, by id, with ids larger than `after`. */
  *inbox(owner: OwnerHash, after = 0): Generator<Waiting> {
    const arrived = this.#arrivals.of(owner, after)
    let next = 0
    const start = Buffer.from(this.#inboxKey(owner, after + 1))
    const end = Buffer.from(this.#inboxKey(owner, timeMax))
    for (const { key, value } of this.#inbox.getRange({ start, end })) {
      const id = idIn(key, hashOctets)
      while (next < arrived.length && arrived[next]!.id < id) yield arrived[next++]!
      // Filed by a batch of which we have not heard.
      if (arrived[next]?.id === id) next += 1
      yield { id, owner, entry: entryIn(value), state: stateIn(value) }
    }
    while (next < arrived.length) yield arrived[next++]!
  }

  /** What has expired, soonest first. */
  expired(now: number): Generator<Located> {
    return until(this.#expiries, now)
  }

  /** Reminders that are due, soonest first. */
  due(now: number): Generator<Located> {
    return until(this.#reminders, now)
  }

  dead(id: MessageId): DeadLetter | null {
    const columns = this.#dead.get(id)
    return columns === undefined ? null : deadOf(id, columns)
  }

  /** By id, with ids larger than `after`. */
  *deadLetters(after: number): Generator<DeadLetter> {
    for (const { key, value } of this.#dead.getRange({ start: (after + 1) as MessageId })) yield deadOf(key, value)
  }

  devices(owner: string): readonly Device[] {
    return devicesOf(this.#devices.get(devicesKey(owner)) ?? [])
  }

  /** Devices of one owner after the other, whose keys they tell, beginning behind `after`. */
  allDevices(after: string, limit: number): { readonly key: string; readonly devices: readonly Device[] }[] {
    const rows = this.#devices.getRange({ start: `${after}!`, limit })
    return [...rows].map(({ key, value }) => ({ key, devices: devicesOf(value) }))
  }

  putMessage(id: MessageId, owner: OwnerHash, record: Uint8Array, entry: Entry): void {
    this.#rows.put(this.#rowKey(id, owner), asBuffer(record))
    this.#expiries.put(this.#timeKeyOf(entry.expTime, id), octetsOf(owner))
    this.#putReminder({ id, owner, entry })
    this.#arriving.push({ id, owner, entry, state: noState })
  }

  /** Into its owner's inbox, and among the reminders if it is one. */
  putEntry(waiting: Waiting): void {
    this.#putInbox(waiting)
    this.#putReminder(waiting)
    this.#leaving.set(waiting.id, waiting)
  }

  /** Out of its owner's inbox; its record and its expiry stay. */
  removeEntry({ id, owner, entry }: Located & { readonly entry: Entry }): void {
    if (this.#arrivals.get(owner, id) === null) this.#inbox.remove(this.#inboxKey(owner, id))
    this.#leaving.set(id, { id, owner })
    if (entry.sndTime !== 0) this.#reminders.remove(this.#timeKeyOf(entry.sndTime, id))
  }

  /** What is left when the message is neither in an inbox nor a dead letter. */
  removeRecord({ id, owner, entry }: Located & { readonly entry: Entry }): void {
    this.#rows.remove(this.#rowKey(id, owner))
    this.#expiries.remove(this.#timeKeyOf(entry.expTime, id))
  }

  putDead({ id, owner, entry, attempts, delivered, reason }: DeadLetter): void {
    const { expTime, sndTime, octets, sender } = entry
    this.#dead.put(id, [owner, expTime, sndTime, octets, sender, attempts, delivered, reason])
  }

  removeDead(id: MessageId): void {
    this.#dead.remove(id)
  }

  putDevices(owner: string, devices: readonly Device[]): void {
    const columns = devices.map(({ device, seenAt }) => [device, seenAt] as const)
    this.#devices.put(devicesKey(owner), columns)
  }

  removeDevices(key: string): void {
    this.#devices.remove(key)
  }

  close(): Promise<void> {
    return this.#environment.close()
  }

  #putInbox({ id, owner, entry, state }: Waiting): void {
    this.#inbox.put(this.#inboxKey(owner, id), octetsOfEntry(entry, state))
  }

  #putReminder({ id, owner, entry: { sndTime } }: Located & { readonly entry: Entry }): void {
    if (sndTime !== 0) this.#reminders.put(this.#timeKeyOf(sndTime, id), octetsOf(owner))
  }

  /** Of a message that is not filed, whose record tells. */
  #entryOfRow(id: MessageId, owner: OwnerHash): Entry {
    const record = this.record(id, owner)
    try {
      const { expTime, sndTime, srcAddr, body } = decodeRecord(record)
      return entryOf({ expTime, sndTime, srcAddr, octets: body.length })
    } catch {
      // For whom delivers it to find. How large its body was is lost.
      const timeIn = (table: Database<Buffer, Buffer>): number => {
        for (const key of table.getKeys()) if (idIn(key, idOctets) === id) return key.readUIntBE(0, idOctets)
        return 0
      }
      return { expTime: timeIn(this.#expiries), sndTime: timeIn(this.#reminders), octets: 0, sender: senderHashOf('') }
    }
  }

  #rowKey(id: number, owner: OwnerHash): Buffer {
    this.#key.writeUIntBE(id, 0, idOctets)
    this.#key.write(owner, idOctets, 'latin1')
    return this.#key
  }

  #inboxKey(owner: OwnerHash, id: number): Buffer {
    this.#key.write(owner, 0, 'latin1')
    this.#key.writeUIntBE(id, hashOctets, idOctets)
    return this.#key
  }

  #timeKeyOf(time: number, id: number): Buffer {
    this.#shortKey.writeUIntBE(time, 0, idOctets)
    this.#shortKey.writeUIntBE(id, idOctets, idOctets)
    return this.#shortKey
  }
}

export function entryOf({
  expTime,
  sndTime,
  octets,
  srcAddr,
}: Pick<NewMessage, 'expTime' | 'sndTime' | 'octets' | 'srcAddr'>): Entry {
  return {
    expTime: Math.min(expTime, timeMax),
    sndTime: Math.min(sndTime, timeMax),
    octets,
    sender: senderHashOf(srcAddr),
  }
}

export function ownerHashOf(owner: string): OwnerHash {
  return digestOf(owner).slice(0, hashOctets) as OwnerHash
}

export function senderHashOf(sender: string): SenderHash {
  return digestOf(sender).slice(0, senderOctets) as SenderHash
}

/** A character for each octet. */
function digestOf(text: string): string {
  return digest('sha256', text, 'latin1')
}

function devicesKey(owner: string): string {
  return digest('sha256', owner, 'hex')
}

function* until(table: Database<Buffer, Buffer>, time: number): Generator<Located> {
  const end = Buffer.alloc(idOctets)
  end.writeUIntBE(Math.min(time + 1, timeMax), 0, idOctets)
  for (const { key, value } of table.getRange({ end })) yield { id: idIn(key, idOctets), owner: ownerIn(value, 0) }
}

function rowsFrom(id: number): Buffer {
  const key = Buffer.alloc(idOctets)
  key.writeUIntBE(id, 0, idOctets)
  return key
}

function idIn(octets: Buffer, at: number): MessageId {
  return octets.readUIntBE(at, idOctets) as MessageId
}

function ownerIn(octets: Buffer, at: number): OwnerHash {
  return octets.toString('latin1', at, at + hashOctets) as OwnerHash
}

function octetsOf(owner: OwnerHash): Buffer {
  return Buffer.from(owner, 'latin1')
}

/** Without a copy. */
function asBuffer(octets: Uint8Array): Buffer {
  return Buffer.isBuffer(octets) ? octets : Buffer.from(octets.buffer, octets.byteOffset, octets.byteLength)
}

function octetsOfEntry({ expTime, sndTime, octets, sender }: Entry, state: DeliveryState): Buffer {
  const told = jsonOf(state)
  const stateAt = sndTime === 0 && told === '' ? sndTimeAt : sndTimeEnd
  const value = Buffer.allocUnsafe(stateAt + Buffer.byteLength(told))
  value.writeUIntBE(expTime, 0, 6)
  value.writeUInt32BE(octets, 6)
  value.write(sender, 10, 'latin1')
  if (stateAt === sndTimeEnd) value.writeUIntBE(sndTime, sndTimeAt, 6)
  value.write(told, stateAt)
  return value
}

/** Empty where there is nothing to tell. */
function jsonOf(state: DeliveryState): string {
  const { attempts, delivered, refused } = state
  if (state === noState || (attempts === 0 && delivered.length === 0 && refused.length === 0)) return ''
  return JSON.stringify([attempts, delivered, refused])
}

function entryIn(value: Buffer): Entry {
  return {
    expTime: value.readUIntBE(0, 6),
    sndTime: value.length > sndTimeAt ? value.readUIntBE(sndTimeAt, 6) : 0,
    octets: value.readUInt32BE(6),
    sender: value.toString('latin1', 10, sndTimeAt) as SenderHash,
  }
}

function stateIn(value: Buffer): DeliveryState {
  if (value.length <= sndTimeEnd) return noState
  const [attempts, delivered, refused] = JSON.parse(value.toString('utf8', sndTimeEnd))
  return { attempts, delivered, refused }
}

type DeadColumns = readonly [
  owner: OwnerHash,
  expTime: number,
  sndTime: number,
  octets: number,
  sender: SenderHash,
  attempts: number,
  delivered: readonly string[],
  reason: string,
]

function deadOf(id: MessageId, columns: DeadColumns): DeadLetter {
  const [owner, expTime, sndTime, octets, sender, attempts, delivered, reason] = columns
  return { id, owner, entry: { expTime, sndTime, octets, sender }, attempts, delivered, reason }
}

function devicesOf(columns: readonly (readonly [string, number])[]): readonly Device[] {
  return columns.map(([device, seenAt]) => ({ device, seenAt }))
}
