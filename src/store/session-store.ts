/** Version of the record below; raised with every change of its fields, so that a reader can tell. */
export const sessionRecordVersion = 1

/** What an operator may know of one relay session. Soft state: it says what was, and decides nothing. */
export interface SessionRecord {
  readonly version: typeof sessionRecordVersion
  /** First 16 hexadecimal digits (or more) of the session-id's SHA-256; the session-id itself is a bearer secret. */
  readonly id: string
  /** The user that the AUTH named. */
  readonly username: string
  /** Address and port of the client's end of the connection that the session is bound to. */
  readonly connection: string
  /** Index of the lane that holds the session. */
  readonly lane: number
  /** Milliseconds since the Unix epoch. */
  readonly createdAt: number
  /** Milliseconds since the Unix epoch; fixed for the life of the session, as there is no refresh. */
  readonly expiresAt: number
  /** Frames the client sent. */
  readonly framesFrom: number
  /** Frames sent to the client. */
  readonly framesTo: number
  /** Octets the client sent, framing included. */
  readonly octetsFrom: number
  /** Octets sent to the client, framing included. */
  readonly octetsTo: number
}

/** The live sessions of this process, for the eyes of an operator. */
export interface SessionStore {
  /**
   * Adds the record, or replaces the one with the same id. Returns at once; storing happens behind it.
   * False when the store is full and the id is new: such a session lives, but is not listed.
   */
  put(record: SessionRecord): boolean
  /** Forgets the record; an unknown id is no error. */
  remove(id: string): void
  /** At most `limit` records, read one by one as the caller asks for them. What `put` and `remove` did is seen at once. */
  list(options: { readonly limit: number }): Iterable<SessionRecord>
  /**
   * Removes records whose expiry has come (`expiresAt <= nowMs`, R-23), at most `sweepRecordsMax` a call, so that it
   * never holds its thread for long. Returns how many it removed: at `sweepRecordsMax`, call again later.
   */
  sweep(nowMs: number): number
  /** Stores what is still to be stored, if the storage lets it, and frees the store. */
  close(): Promise<void>
}

/** Bound on what one `sweep` removes. */
export const sweepRecordsMax = 1_000
