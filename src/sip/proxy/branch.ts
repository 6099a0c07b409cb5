import assert from 'node:assert/strict'
import { Buffer } from 'node:buffer'
import { randomFillSync } from 'node:crypto'
import type { SipRequest } from '../../parser/sip/message.ts'
import type { Via } from '../../parser/sip/values.ts'

// A branch of ours:
//
//   z9hG4bK B 4fVx0Qm-_sT1 . qk3x9z
//   │       │ │              └ loop hash (S-45)
//   │       │ └ random: nobody else can make a response to it, and no two are the same
//   │       └ the lane whose transaction waits for the responses
//   └ the cookie (S-20)

const cookie = 'z9hG4bK'
const laneAt = cookie.length
/** Lanes by their character: a prefix of the alphabet that transaction ids of the relay are written in. */
const lanes = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef'
const randomOctets = 9
const randomLength = 12
const hashAt = laneAt + 1 + randomLength + 1

/** Of a number as text. */
const digits = `${lanes}ghijklmnopqrstuvwxyz0123456789-_`

/** Random octets are drawn in advance: a call for each branch would cost more than the branch. */
const pool = Buffer.alloc(randomOctets * 512)
let drawn = pool.length

/** 72 random bits, as characters that any token may hold. */
export function randomToken(): string {
  if (drawn === pool.length) {
    randomFillSync(pool)
    drawn = 0
  }
  drawn += randomOctets
  return pool.toString('base64url', drawn - randomOctets, drawn)
}

/** A branch that nobody has used (S-20). */
export function makeBranch(lane: number, loopHash: string): string {
  assert(lane >= 0 && lane < lanes.length, 'a lane without a character')
  return `${cookie}${lanes[lane]}${randomToken()}.${loopHash}`
}

function isOurs(branch: string): boolean {
  return branch.charCodeAt(hashAt - 1) === 0x2e && branch.startsWith(cookie)
}

/** The lane that has made a branch; null: it cannot be one of ours. */
export function laneOfBranch(branch: string): number | null {
  if (!isOurs(branch)) return null
  const lane = lanes.indexOf(branch[laneAt]!)
  return lane < 0 ? null : lane
}

/** The loop hash in a branch; null: it cannot be one of ours. */
export function loopHashOf(branch: string): string | null {
  return isOurs(branch) ? branch.slice(hashAt) : null
}

/**
 * What stays the same when a request comes back with nothing changed that routing goes by: a loop. In a spiral the
 * Request-URI or the Route has changed (S-45). Method and Vias do not count: those of each turn differ. A client that
 * provokes a collision gets its own request refused, so 32 bits do.
 */
export function loopHash(request: SipRequest): string {
  const { requestUri, from, to, callId, cseq } = request
  let hash = hashed(requestUri, cseq?.number ?? 0)
  hash = hashed(to?.tag ?? '', hash)
  hash = hashed(from?.tag ?? '', hash)
  hash = hashed(callId ?? '', hash)
  for (const route of request.routes) hash = hashed(route.text, hash)
  for (const name of ['Proxy-Require', 'Proxy-Authorization'] as const) {
    for (const value of request.headers(name)) hash = hashed(value, hashed(name, hash))
  }
  let text = ''
  for (let bits = 0; bits < 32; bits += 6) text += digits[(hash >>> bits) & 63]
  return text
}

/** In the branch of a request that we have made. Should it come back, it is forwarded with a hash, and known by it after that. */
export const originHash = 'own'

/** FNV-1a of a part and its end, after `before`. */
function hashed(part: string, before: number): number {
  let hash = before
  for (let i = 0; i < part.length; i++) hash = Math.imul(hash ^ part.charCodeAt(i), 0x0100_0193)
  // Of 16 bits, and no character: where one part ends and the next begins matters.
  return Math.imul(hash ^ 0x1_0000, 0x0100_0193)
}

/** Whether one of our Vias in a request says that it has been here before (S-45). */
export function isLoop(ownVias: readonly Via[], hash: string): boolean {
  return ownVias.some(({ branch }) => branch !== null && loopHashOf(branch) === hash)
}
