import assert from 'node:assert/strict'
import { Buffer } from 'node:buffer'
import { createHash, randomBytes } from 'node:crypto'
import type { Address, ConnectionId, LaneIndex } from '../ids.ts'
import {
  S_CONNECTION,
  S_EXPIRES,
  S_FRAMES_FROM,
  S_FRAMES_TO,
  S_OCTETS_FROM,
  S_OCTETS_TO,
  S_PEER,
  S_STATE,
  SESSION_ID,
  SESSION_ID_OCTETS,
  SESSION_OCTETS,
} from '../parser/kernel/record.ts'

/** The alphabet of ids that name a table slot: fit for session-ids (U-1) and transaction ids (M-3). */
export const idAlphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-+'

/** The part of an id that names lane and slot: 1 and 4 characters. */
export function slotName(lane: number, slot: number): string {
  let name = idAlphabet[lane]!
  for (let shift = 18; shift >= 0; shift -= 6) name += idAlphabet[(slot >> shift) & 63]
  return name
}

/** What a session is called in public: see Session. */
export function publicIdOf(sessionId: string): string {
  return createHash('sha256').update(sessionId).digest('hex').slice(0, 16)
}

/** A session as the lane that made it knows it. */
export interface Session {
  readonly entry: Address
  readonly sessionId: string
  readonly connection: ConnectionId
  readonly username: string
  /** Public name: prefix of a hash, fit for logs and the admin API. */
  readonly publicId: string
  /** Milliseconds since the Unix epoch. */
  readonly createdAt: number
  readonly expiresAt: number
  /** Counts of frames and octets so far; the shared entry counts modulo 2^32 between two looks. */
  framesFrom: number
  framesTo: number
  octetsFrom: number
  octetsTo: number
}

/**
 * The sessions of one lane. Entries lie in shared memory, so that any lane finds the connection of any
 * session: the session-id names lane and slot, and 132 random bits after that are its secret (U-8). Only the owning lane
 * makes and ends them.
 */
export class SessionTable {
  readonly #words: Int32Array
  readonly #octets: Uint8Array
  readonly #first: number
  readonly #lane: LaneIndex
  readonly #max: number
  readonly #epochMs: number
  readonly #live = new Map<Address, Session>()
  /** Not in shared memory: another lane may still be writing to an entry that has just ended. */
  readonly #free: Address[] = []
  #fresh = 0

  /** @param epochMs the time from which expiry seconds in shared memory are counted */
  constructor(words: Int32Array, first: Address, lane: LaneIndex, max: number, epochMs: number) {
    this.#words = words
    this.#octets = new Uint8Array(words.buffer)
    this.#first = first
    this.#lane = lane
    this.#max = max
    this.#epochMs = epochMs
  }

  get size(): number {
    return this.#live.size
  }

  /** Makes a session; null when the table is full. */
  open(connection: ConnectionId, username: string, now: number, expiresAt: number): Session | null {
    const slot = this.#take()
    if (slot < 0) return null
    const entry = (this.#first + slot * SESSION_OCTETS) as Address
    let sessionId = slotName(this.#lane, slot)
    for (const octet of randomBytes(SESSION_ID_OCTETS - sessionId.length)) sessionId += idAlphabet[octet & 63]
    const words = this.#words
    const at = entry >> 2
    this.#octets.set(Buffer.from(sessionId, 'latin1'), entry + SESSION_ID)
    words[at + S_CONNECTION] = connection
    words[at + S_EXPIRES] = Math.ceil((expiresAt - this.#epochMs) / 1000)
    words[at + S_PEER] = 0
    for (const count of [S_FRAMES_FROM, S_FRAMES_TO, S_OCTETS_FROM, S_OCTETS_TO]) Atomics.store(words, at + count, 0)
    // Odd: live. From here on every lane sees it.
    Atomics.store(words, at + S_STATE, words[at + S_STATE]! | 1)
    const session: Session = {
      entry,
      sessionId,
      connection,
      // A copy: what the header's text was cut from need not live as long as the session.
      username: Buffer.from(username).toString(),
      publicId: publicIdOf(sessionId),
      createdAt: now,
      expiresAt,
      framesFrom: 0,
      framesTo: 0,
      octetsFrom: 0,
      octetsTo: 0,
    }
    this.#live.set(entry, session)
    return session
  }

  /** Ends a session: its URI is dead at once. */
  close(session: Session): void {
    assert(this.#live.delete(session.entry), 'a session ends once')
    this.refresh(session)
    const at = session.entry >> 2
    Atomics.store(this.#words, at + S_STATE, (this.#words[at + S_STATE]! + 1) & 0x7ffffffe)
    this.#octets.fill(0, session.entry + SESSION_ID, session.entry + SESSION_ID + SESSION_ID_OCTETS)
    this.#free.push(session.entry)
  }

  /** Takes over what lanes have counted since the last look. True if there was anything. */
  refresh(session: Session): boolean {
    const words = this.#words
    const at = session.entry >> 2
    // Nearly all are idle, and are looked at every second: that makes no garbage.
    const isIdle =
      Atomics.load(words, at + S_FRAMES_FROM) === 0 &&
      Atomics.load(words, at + S_FRAMES_TO) === 0 &&
      Atomics.load(words, at + S_OCTETS_FROM) === 0 &&
      Atomics.load(words, at + S_OCTETS_TO) === 0
    return !isIdle && this.#takeOver(session)
  }

  /** Calls back for each session that is live; it may be closed meanwhile. */
  each(visit: (session: Session) => void): void {
    this.#live.forEach(visit)
  }

  #takeOver(session: Session): boolean {
    const at = session.entry >> 2
    const since = (word: number) => Atomics.exchange(this.#words, at + word, 0) >>> 0
    const from = since(S_FRAMES_FROM)
    const to = since(S_FRAMES_TO)
    session.framesFrom += from
    session.framesTo += to
    session.octetsFrom += since(S_OCTETS_FROM)
    session.octetsTo += since(S_OCTETS_TO)
    return from + to > 0
  }

  #take(): number {
    const entry = this.#free.pop()
    if (entry !== undefined) return (entry - this.#first) / SESSION_OCTETS
    return this.#fresh < this.#max ? this.#fresh++ : -1
  }
}

/** Ends all sessions of a lane that has died. Nobody else may be using the table's owner side. */
export function clearSessions(words: Int32Array, first: Address, max: number): void {
  for (let at = first >> 2, i = 0; i < max; i++, at += SESSION_OCTETS >> 2) {
    const state = Atomics.load(words, at + S_STATE)
    if ((state & 1) === 1) Atomics.store(words, at + S_STATE, (state + 1) & 0x7ffffffe)
  }
}
