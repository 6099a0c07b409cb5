/**
 * Nonces that need no memory to be recognised (D-13), and the counts that keep them from being used twice (D-5).
 *
 *   nonce = base64url( time 6 │ random 10 │ seal 16 │ binding seal 8 )    54 characters
 *
 * `seal` = HMAC(key, time, random, realm): we made it. `binding seal` = HMAC(key, seal, binding): for that connection.
 * Two seals, so that the number of a connection never shows and yet our own nonce in the wrong place is told from a
 * forgery.
 */
import assert from 'node:assert/strict'
import { Buffer } from 'node:buffer'
import { createHmac, randomFillSync, timingSafeEqual } from 'node:crypto'
import type { Clock } from '../clock.ts'
import { LruMap } from '../lru.ts'

const timeOctets = 6
const bodyOctets = 16
const sealOctets = 16
const bindingSealOctets = 8
const nonceOctets = bodyOctets + sealOctets + bindingSealOctets

/** Nonces that are remembered as recognised; the others are looked at anew. */
const knownMax = 10_000

/** Octets that a sealing key needs: as many as the hash gives out. */
export const nonceKeyOctetsMin = 32

/**
 * `stale`: ours, but too old or issued on another connection, for which the client cannot be blamed. `forged`: not
 * sealed by us for this realm; also what is left of a nonce after a restart with a new key.
 */
export type NonceState = 'valid' | 'stale' | 'forged'

/** Issues and recognises nonces of one realm. Keeps nothing that has to be kept: every lane may have its own, all with the same key. */
export class Nonces {
  readonly #realm: string
  readonly #key: Uint8Array
  readonly #lifeMs: number
  readonly #clock: Clock
  /** When those were issued that have been recognised already, by binding and nonce: two seals an answer cost more than all else. */
  readonly #known = new LruMap<number>(knownMax)

  /**
   * @param options.key secret random octets, at least `nonceKeyOctetsMin`; the same in all lanes of a process, or
   *   a nonce that arrives at another lane looks forged
   * @param options.lifeSeconds how long a nonce is good (D-13: 300)
   */
  constructor(options: { realm: string; key: Uint8Array; lifeSeconds: number; clock: Clock }) {
    assert(options.key.length >= nonceKeyOctetsMin, 'nonce key too short')
    this.#realm = options.realm
    this.#key = options.key
    this.#lifeMs = options.lifeSeconds * 1000
    this.#clock = options.clock
  }

  /**
   * A new nonce for whom `binding` names; shown with another binding it is stale.
   *
   * The contract that keeps a nonce from being used twice (D-5): all that is received with one binding is received by one
   * lane, since counts are a lane's own. A connection has one lane for its whole life, so its id is a binding. SIP over
   * UDP has no connections: there the binding is a hash of the source address by which datagrams are also dealt out to
   * lanes, so that two sources with one hash share a binding and a lane. A nonce that comes to another lane with its
   * binding changed is refused there, whoever sealed it.
   *
   * @param binding an integer, 0 … 2^32 - 1
   */
  issue(binding: number): string {
    const body = Buffer.alloc(bodyOctets)
    body.writeUIntBE(this.#clock.now(), 0, timeOctets)
    randomFillSync(body, timeOctets)
    const seal = this.#seal(body)
    return Buffer.concat([body, seal, this.#bindingSeal(seal, binding)]).toString('base64url')
  }

  /** Whether a nonce may be used on the connection that `binding` names. Whether it was used is for `NonceCounts`. */
  check(nonce: string, binding: number): NonceState {
    const key = `${binding} ${nonce}`
    const known = this.#known.get(key)
    if (known !== undefined) return this.#isYoung(known) ? 'valid' : 'stale'
    const octets = Buffer.from(nonce, 'base64url')
    // The decoder skips what it does not know. Two spellings of one nonce would be counted apart, so only ours counts.
    if (octets.length !== nonceOctets || octets.toString('base64url') !== nonce) return 'forged'
    const body = octets.subarray(0, bodyOctets)
    const seal = octets.subarray(bodyOctets, bodyOctets + sealOctets)
    if (!timingSafeEqual(seal, this.#seal(body))) return 'forged'
    const bindingSeal = octets.subarray(bodyOctets + sealOctets)
    if (!timingSafeEqual(bindingSeal, this.#bindingSeal(seal, binding))) return 'stale'
    const issued = body.readUIntBE(0, timeOctets)
    if (!this.#isYoung(issued)) return 'stale'
    this.#known.set(key, issued)
    return 'valid'
  }

  #isYoung(issued: number): boolean {
    const ageMs = this.#clock.now() - issued
    // Below zero after the clock was set back: an age that cannot be known is not let live for as long as it was set.
    return ageMs >= 0 && ageMs <= this.#lifeMs
  }

  #seal(body: Uint8Array): Buffer {
    return createHmac('sha256', this.#key).update(body).update(this.#realm).digest().subarray(0, sealOctets)
  }

  #bindingSeal(seal: Uint8Array, binding: number): Buffer {
    const number = Buffer.alloc(4)
    number.writeUInt32BE(binding)
    return createHmac('sha256', this.#key).update(seal).update(number).digest().subarray(0, bindingSealOctets)
  }
}

/**
 * Time and random of a nonce that `Nonces.check` has found valid, one octet a character. A fresh string: the nonce itself
 * is a slice of its header, which as a key it would keep in memory.
 */
function nonceId(nonce: string): string {
  return Buffer.from(nonce, 'base64url').toString('latin1', 0, bodyOctets)
}

/** When the nonce of an id was issued, ms since the epoch. */
function issuedAt(id: string): number {
  return Buffer.from(id, 'latin1').readUIntBE(0, timeOctets)
}

/**
 * The last nc seen of each nonce in use (D-5), one table a lane.
 *
 * nc must rise from one request to the next. RFC 7616 only forbids repeats, for HTTP clients that use several
 * connections at once; a nonce of ours is good on one connection, which delivers in order, so a lower nc is a replay
 * as surely as an equal one, and one number a nonce is all there is to remember. Gaps are fine.
 *
 * The bound: beyond `capacity` nonces the one first used longest ago is forgotten, and from then on a nonce that is
 * not in the table and was issued no later than any forgotten one counts as stale. So a forgotten nonce is never
 * accepted again, and an innocent one of the same age costs its client one more round trip. Forgetting also is how
 * expired nonces leave: no timer.
 */
export class NonceCounts {
  readonly #lastCounts = new Map<string, number>()
  readonly #capacity: number
  #forgottenUntilMs = -1

  /** @param capacity nonces remembered; at 65 536 (some 4 MB) 218 new ones a second live out their 300 s */
  constructor(capacity = 65_536) {
    assert(capacity > 0, 'no room to count nonces')
    this.#capacity = capacity
  }

  /** Counts one request whose nonce is valid and whose digest is right: others must not get here, or they fill it. */
  use(nonce: string, nc: number): 'counted' | 'replayed' | 'stale' {
    const id = nonceId(nonce)
    const last = this.#lastCounts.get(id)
    if (last !== undefined && nc <= last) return 'replayed'
    if (last === undefined) {
      if (issuedAt(id) <= this.#forgottenUntilMs) return 'stale'
      if (this.#lastCounts.size === this.#capacity) this.#forgetFirst()
    }
    this.#lastCounts.set(id, nc)
    return 'counted'
  }

  #forgetFirst(): void {
    const [first] = this.#lastCounts.keys() // a Map hands out its keys in the order they were first set
    if (first === undefined) return
    this.#lastCounts.delete(first)
    this.#forgottenUntilMs = Math.max(this.#forgottenUntilMs, issuedAt(first))
  }
}
