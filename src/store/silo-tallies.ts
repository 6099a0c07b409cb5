import { LruMap } from '../lru.ts'
import type { PutFailure, SiloQuota } from './silo-store.ts'
import type { Entry, OwnerHash, SenderHash, SiloTables } from './silo-tables.ts'

/** Bound on the tallies kept; far more than two for each message of a transaction, so that none it has changed is forgotten. */
const talliesMax = 20_000

/** What was stored of an owner, or of one sender at that owner, and had not expired, when it was counted. */
interface Tally {
  messages: number
  octets: number
  /** When the first of what was counted expires. */
  soonest: number
}

type Key = OwnerHash | `${OwnerHash}${SenderHash}`

/** Says whether there is room for a message under the quotas. Counts the stored ones of an owner when it first has to. */
export class Tallies {
  readonly #tables: SiloTables
  readonly #quota: SiloQuota
  readonly #tallies = new LruMap<Tally>(talliesMax)
  /** Whether there are quotas at all. */
  readonly counting: boolean

  constructor(tables: SiloTables, quota: SiloQuota) {
    this.#tables = tables
    this.#quota = quota
    this.counting = quota.messages > 0 || quota.octets > 0 || quota.perSender > 0
  }

  /**
   * Null: there is room, and the message has been counted. `recount`: perhaps there is, since something has expired, but
   * messages of the owner that have been counted are not stored yet.
   */
  admit(
    owner: OwnerHash,
    { sender, octets, expTime }: Entry,
    { now, isGrowing }: { readonly now: number; readonly isGrowing: boolean },
  ): PutFailure | 'recount' | null {
    const { messages, octets: octetsMax, perSender } = this.#quota
    const tallies: Tally[] = []
    const judge = (): PutFailure | null => {
      tallies.length = 0
      if (messages > 0 || octetsMax > 0) {
        const inbox = this.#tallyOf(owner, null, now)
        tallies.push(inbox)
        if (messages > 0 && inbox.messages >= messages) return 'over-messages'
        if (octetsMax > 0 && inbox.octets + octets > octetsMax) return 'over-octets'
      }
      if (perSender > 0) {
        const share = this.#tallyOf(owner, sender, now)
        tallies.push(share)
        if (share.messages >= perSender) return 'over-share'
      }
      return null
    }
    let failure = judge()
    if (failure !== null && tallies.some(({ soonest }) => soonest <= now)) {
      if (isGrowing) return 'recount'
      this.forget(owner, sender)
      failure = judge()
    }
    if (failure !== null) return failure
    for (const tally of tallies) {
      tally.messages += 1
      tally.octets += octets
      tally.soonest = Math.min(tally.soonest, expTime)
    }
    return null
  }

  /** They have changed in another way than by `admit`, or what that has counted was not stored. */
  forget(owner: OwnerHash, sender: SenderHash): void {
    if (!this.counting) return
    this.#tallies.delete(keyOf(owner, sender))
    this.#tallies.delete(owner)
  }

  #tallyOf(owner: OwnerHash, sender: SenderHash | null, now: number): Tally {
    const key = keyOf(owner, sender)
    const known = this.#tallies.get(key)
    if (known !== undefined) return known
    const tally: Tally = { messages: 0, octets: 0, soonest: Number.POSITIVE_INFINITY }
    for (const { entry } of this.#tables.inbox(owner)) {
      if (entry.expTime <= now || (sender !== null && entry.sender !== sender)) continue
      tally.messages += 1
      tally.octets += entry.octets
      tally.soonest = Math.min(tally.soonest, entry.expTime)
    }
    this.#tallies.set(key, tally)
    return tally
  }
}

function keyOf(owner: OwnerHash, sender: SenderHash | null): Key {
  return sender === null ? owner : `${owner}${sender}`
}
