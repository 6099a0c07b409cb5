import type { Result } from '../errors.ts'
import type { MessageId } from '../ids.ts'

/** What is kept of a MESSAGE (SILO-4, SILO-51). Times are milliseconds since the Unix epoch. */
export interface SiloMessage {
  /** AoR in whose inbox it lies, canonical (S-60, SILO-2). */
  readonly owner: string
  /** URI of From, as it was written. */
  readonly srcAddr: string
  /** URI of To, as it was written. */
  readonly dstAddr: string
  /** Whole value, parameters included. */
  readonly contentType: string
  readonly body: Uint8Array
  readonly incTime: number
  /** It is not delivered from that moment on (SILO-30). */
  readonly expTime: number
  /** When to send it as a reminder; 0: an offline message (SILO-9). */
  readonly sndTime: number
  /** Header lines that go with it, each ending in CRLF (SILO-6). */
  readonly extraHeaders: string
  /** Call-ID that it is delivered with; empty: one made of `messageId` (SILO-11). */
  readonly callId: string
  /**
   * The same for every copy of one MESSAGE, and in every delivery of it, which is how a repeat is known as one (SILO-31):
   * 22 characters of base64url.
   */
  readonly messageId: string
}

/** A message that is to be stored. Encoded where it was read: the writer only looks at the rest. */
export interface NewMessage {
  /** See `encodeRecord`. */
  readonly record: Uint8Array
  readonly owner: string
  readonly srcAddr: string
  readonly expTime: number
  readonly sndTime: number
  /** Octets of the body: what quotas count. */
  readonly octets: number
}

/** Bounds on what waits for one owner; 0: none. What has expired does not count, and neither do dead letters. */
export interface SiloQuota {
  readonly messages: number
  readonly octets: number
  /** Messages of one sender. */
  readonly perSender: number
}

/**
 * Why a message was not stored: its owner, or its sender at this owner, has as much as is allowed; too many wait to be
 * written; the disk failed, and nothing has changed.
 */
export type PutFailure = 'over-messages' | 'over-octets' | 'over-share' | 'overloaded' | 'unavailable'

/** Names a claim. Grows with every claim, in later runs as well: what an older holder still says is refused. */
export type FencingToken = number

/** Messages of one owner that one device is to get, for whoever holds the token. */
export interface Claim {
  readonly token: FencingToken
  readonly owner: string
  readonly device: string
  /** Oldest first (SILO-24): offline messages, and reminders that are due. */
  readonly messages: readonly ClaimedMessage[]
}

export interface ClaimedMessage {
  readonly id: MessageId
  readonly record: Uint8Array
  readonly expTime: number
  /** Not 0: a reminder. It may differ from that of the record (SILO-42). */
  readonly sndTime: number
  /** Earlier attempts that were answered, but not with 2xx. */
  readonly attempts: number
}

/** What became of a delivery to the device of a claim. */
export type Settlement =
  /** 2xx. The message is removed when all `devices` have it or have refused it. */
  | { readonly kind: 'delivered'; readonly devices: readonly string[] }
  /** Refused for good (SILO-32). When all `devices` have refused it and nobody has it, it goes to the dead letters. */
  | { readonly kind: 'refused'; readonly devices: readonly string[]; readonly reason: string }
  /** To be tried again. `attempted`: it was answered, which counts. A reminder becomes an offline message (SILO-42). */
  | { readonly kind: 'later'; readonly attempted: boolean }
  /** Tried often enough (SILO-32): to the dead letters, whatever other devices may say. */
  | { readonly kind: 'dead'; readonly reason: string }

/** What the message is now: still waiting; gone, perhaps already when it was settled; a dead letter. */
export type Settled = 'kept' | 'removed' | 'dead'

/** Why a settlement was refused: the claim is over, or another one has been made since; or the disk failed. */
export type SettleFailure = 'fenced' | 'unavailable'

/** A stored message, for those who look at the silo. */
export interface StoredMessage {
  readonly id: MessageId
  /**
   * Its `sndTime` is 0 when it has become an offline message (SILO-42). Of a message that cannot be read the owner is empty,
   * and the body what is stored.
   */
  readonly message: SiloMessage
  readonly attempts: number
  /** One of the owner's devices has it. */
  readonly delivered: boolean
  /** K-30: 0 queued, 1 in flight, 3 failed for good. */
  readonly status: 0 | 1 | 3
  /** Why it lies among the dead letters. */
  readonly reason: string | null
}

export interface SiloListing {
  /** All owners when it is null. */
  readonly owner: string | null
  /** Dead letters instead of those that wait. */
  readonly dead: boolean
  /** Those with larger ids only. */
  readonly after: MessageId | null
  readonly limit: number
}

/** What there is, expired messages included until they are swept. */
export interface SiloCounts {
  /** Those that wait. */
  readonly messages: number
  /** Of their bodies. */
  readonly octets: number
  readonly dead: number
}

/**
 * Messages for users who are away. One writer; what it resolves is on disk. Delivery is at least once: claim, deliver,
 * settle. A claim ends with its lease, its release, or the process.
 */
export interface SiloStore {
  /** Resolves when the message is safe (S-81). Messages of one owner get their ids in the order of these calls. */
  put(message: NewMessage): Promise<Result<MessageId, PutFailure>>

  /** Whether the owner has anything that could be delivered now. Cheap: asked at every REGISTER. */
  hasMessages(owner: string, now: number): boolean
  /**
   * Takes the oldest messages that the device has not had yet, and that it has not refused. Null: there are none. `busy`:
   * somebody holds a claim for this owner and device, or as many are held as there is room for. A claim whose lease has
   * ended by `now` is over. Messages that cannot be read are set aside among the dead letters, and told (`onError`).
   */
  claim(
    owner: string,
    device: string,
    options: { readonly now: number; readonly leaseMs: number; readonly max: number },
  ): Promise<Claim | 'busy' | null>
  /** Its lease ends at `now + leaseMs`. False: the claim is over. */
  extend(token: FencingToken, now: number, leaseMs: number): boolean
  /**
   * Resolves when it is on disk. To be called for messages of the claim. A lease that has ended fences only when somebody
   * has noticed: another claim, or `extend`.
   */
  settle(token: FencingToken, id: MessageId, settlement: Settlement): Promise<Result<Settled, SettleFailure>>
  /** Takes effect when what has been settled is on disk. */
  release(token: FencingToken): void

  /** Remembers that the owner has this device (`silo.deliver: each`). Writes only when that is news of the last 24 hours. */
  seen(owner: string, device: string, now: number): Promise<Result<void, 'unavailable'>>
  /** Devices seen since, or less than 24 hours before; at most `devicesMax`, the latest. */
  devices(owner: string, since: number): readonly string[]

  /** Reminders due (`sndTime <= now`) that have not expired, oldest sndTime first (SILO-40). In flight or not. */
  due(now: number, limit: number): readonly { readonly id: MessageId; readonly owner: string }[]
  /** SILO-42: reminders become offline messages. */
  demote(ids: readonly MessageId[]): Promise<Result<void, 'unavailable'>>
  /**
   * Removes at most `max` messages that have expired, dead letters too, soonest first (SILO-29). Resolves with those removed;
   * with `max`, call again.
   */
  sweep(now: number, max: number): Promise<Result<readonly StoredMessage[], 'unavailable'>>

  get(id: MessageId): StoredMessage | null
  /**
   * By id.
   * @throws SilopathError STORE_UNAVAILABLE
   */
  list(listing: SiloListing): readonly StoredMessage[]
  /** Removes; resolves with how many there were. Those in flight are removed as well. */
  remove(ids: readonly MessageId[]): Promise<Result<number, 'unavailable'>>
  /**
   * Brings dead letters back among those that wait, under their ids and without attempts; devices that have one are not to
   * get it again. Resolves with how many there were. What cannot be read stays dead.
   */
  revive(ids: readonly MessageId[]): Promise<Result<number, 'unavailable'>>
  counts(): SiloCounts
  /** Stores what waits to be. From then on nothing can be stored, and nothing is found. */
  close(): Promise<void>
}

/** Devices that are remembered of one owner. */
export const devicesMax = 20
/** When a device was last seen is known to the day: writing it at every REGISTER would be too much. */
export const deviceDayMs = 24 * 3_600_000
