import type { MessageId } from '../ids.ts'
import type { FencingToken } from './silo-store.ts'
import type { OwnerHash } from './silo-tables.ts'

/** Bound on the claims held at a time. */
export const claimsMax = 100_000

/** Tokens that are marked on disk as given out before they are, so that a claim writes nothing. */
const tokensAhead = 2 ** 32

/** What somebody delivers at the moment. */
export interface HeldClaim {
  readonly token: FencingToken
  readonly key: string
  readonly owner: OwnerHash
  readonly device: string
  readonly messages: ReadonlySet<MessageId>
  /** Of its messages, those that are not settled. */
  readonly unsettled: Set<MessageId>
  leaseEnd: number
  /** Settlements that are being written: until they are, another claim would see less than is known. */
  settling: number
  /** It goes when what is being written is. */
  released: boolean
}

/** Who delivers to which device: one at a time. Ends with the process, which is why it is nowhere else. */
export class SiloClaims {
  readonly #byToken = new Map<FencingToken, HeldClaim>()
  readonly #byKey = new Map<string, HeldClaim>()
  /** How many claims a message is in flight in. */
  readonly #inFlight = new Map<MessageId, number>()
  #nextToken: number

  /** @param firstToken larger than that of any earlier run */
  constructor(firstToken: number) {
    this.#nextToken = firstToken
  }

  /** The number that tokens stay below, for the disk; `stored` is what it has. */
  reserve(stored: number): number {
    return this.#nextToken + tokensAhead / 2 > stored ? this.#nextToken + tokensAhead : stored
  }

  /** Whether somebody delivers to the device, or nobody more can deliver to anyone. */
  isBusy(owner: OwnerHash, device: string, now: number): boolean {
    const held = this.#byKey.get(keyOf(owner, device))
    if (held !== undefined) return held.settling > 0 || held.leaseEnd > now
    if (this.#byToken.size < claimsMax) return false
    for (const claim of this.#byToken.values()) if (claim.settling === 0 && claim.leaseEnd <= now) this.#end(claim)
    return this.#byToken.size >= claimsMax
  }

  /** Fences whoever had the device before. */
  take(owner: OwnerHash, device: string, leaseEnd: number, ids: readonly MessageId[]): FencingToken {
    const key = keyOf(owner, device)
    const before = this.#byKey.get(key)
    if (before !== undefined) this.#end(before)
    const token = this.#nextToken as FencingToken
    this.#nextToken += 1
    const messages = new Set(ids)
    const unsettled = new Set(ids)
    const claim = { token, key, owner, device, messages, unsettled, leaseEnd, settling: 0, released: false }
    this.#byToken.set(token, claim)
    this.#byKey.set(key, claim)
    for (const id of messages) this.#inFlight.set(id, (this.#inFlight.get(id) ?? 0) + 1)
    return token
  }

  /** Null: it is over. */
  held(token: FencingToken): HeldClaim | null {
    const claim = this.#byToken.get(token)
    return claim === undefined || claim.released ? null : claim
  }

  extend(token: FencingToken, now: number, leaseMs: number): boolean {
    const claim = this.held(token)
    if (claim === null) return false
    if (claim.leaseEnd <= now) {
      this.release(token)
      return false
    }
    claim.leaseEnd = now + leaseMs
    return true
  }

  release(token: FencingToken): void {
    const claim = this.held(token)
    if (claim === null) return
    claim.released = true
    if (claim.settling === 0) this.#end(claim)
  }

  /** To be followed by `settled`. */
  settling(claim: HeldClaim): void {
    claim.settling += 1
  }

  settled(claim: HeldClaim, id: MessageId, stored: boolean): void {
    claim.settling -= 1
    if (stored && claim.unsettled.delete(id)) this.#landed(id)
    if (claim.released && claim.settling === 0) this.#end(claim)
  }

  isInFlight(id: MessageId): boolean {
    return this.#inFlight.has(id)
  }

  #end(claim: HeldClaim): void {
    this.#byToken.delete(claim.token)
    this.#byKey.delete(claim.key)
    for (const id of claim.unsettled) this.#landed(id)
    claim.unsettled.clear()
  }

  #landed(id: MessageId): void {
    const claims = this.#inFlight.get(id) ?? 0
    if (claims > 1) this.#inFlight.set(id, claims - 1)
    else this.#inFlight.delete(id)
  }
}

/** Two owners with the same hash wait for each other: nothing worse. */
function keyOf(owner: OwnerHash, device: string): string {
  return owner + device
}
