import type { ConnectionId, LaneIndex } from '../ids.ts'
import { LruMap } from '../lru.ts'
import type { SessionOpened, SessionProgress } from '../workers/lane-port.ts'
import { type SessionRecord, type SessionStore, sessionRecordVersion } from './session-store.ts'

/** Sessions whose users are remembered after their end: the latest. */
const endedMax = 100_000

/** What the book asks about the connection of a session. */
export interface SessionSurroundings {
  peer(connection: ConnectionId): string
  lane(connection: ConnectionId): LaneIndex
  /** A session could not be listed, as the store is full. */
  full(): void
}

/** Keeps the session store in step with what lanes tell of their sessions. */
export class SessionBook {
  readonly #store: SessionStore
  readonly #surroundings: SessionSurroundings
  /** The latest record of each live session. */
  readonly #records = new Map<string, SessionRecord>()

  /** Users of sessions that have ended. */
  readonly #ended = new LruMap<string>(endedMax)

  constructor(store: SessionStore, surroundings: SessionSurroundings) {
    this.#store = store
    this.#surroundings = surroundings
  }

  opened({ id, connection, username, createdAt, expiresAt }: SessionOpened): void {
    this.#put({
      version: sessionRecordVersion,
      id,
      username,
      connection: this.#surroundings.peer(connection),
      lane: this.#surroundings.lane(connection),
      createdAt,
      expiresAt,
      framesFrom: 0,
      framesTo: 0,
      octetsFrom: 0,
      octetsTo: 0,
    })
  }

  progressed(sessions: readonly SessionProgress[]): void {
    for (const { closed, ...counts } of sessions) {
      const record = this.#records.get(counts.id)
      if (record === undefined) continue
      if (closed) this.#remove(counts.id)
      else this.#put({ ...record, ...counts })
    }
  }

  /** The sessions of a lane that has died are over. */
  laneDied(lane: LaneIndex): void {
    for (const record of this.#records.values()) if (record.lane === lane) this.#remove(record.id)
  }

  /** Forgets records past their expiry that no lane has spoken for. */
  sweep(now: number): void {
    this.#store.sweep(now)
  }

  /** The user of a session, also of one that has ended not long ago; null: not known. */
  userOf(id: string): string | null {
    return this.#records.get(id)?.username ?? this.#ended.get(id) ?? null
  }

  #put(record: SessionRecord): void {
    this.#records.set(record.id, record)
    if (!this.#store.put(record)) this.#surroundings.full()
  }

  #remove(id: string): void {
    const record = this.#records.get(id)
    if (record !== undefined) this.#ended.set(id, record.username)
    this.#records.delete(id)
    this.#store.remove(id)
  }
}
