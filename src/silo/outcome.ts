import type { Settlement } from '../store/silo-store.ts'
import type { DeliveryOutcome } from './order.ts'

/** What an outcome says about the message and the device. */
export type Judgement =
  | { readonly kind: 'delivered' }
  /** The device is not there, or not now: the message waits, however often. */
  | { readonly kind: 'away' }
  /** It was answered; later, or by another device, the answer may be another one. It is not asked for ever (SILO-32). */
  | { readonly kind: 'failed'; readonly reason: string }
  /** It would always be answered so. `everywhere`: the owner has refused it, whatever the device (S-46). */
  | { readonly kind: 'refused'; readonly reason: string; readonly everywhere: boolean }

/**
 * The device cannot be reached, or its user is not at it: nothing is wrong with the message, so none of these counts as
 * an attempt. 486 is a device in use; 504 is 408 in the words of a gateway.
 */
const awayStatuses: ReadonlySet<number> = new Set([408, 430, 480, 486, 503, 504])

/**
 * The message itself is refused, and it does not change: malformed (400), forbidden (403, "SHOULD NOT be repeated"), too
 * large (413, 513), not acceptable in type, encoding, encryption or content (406, 415, 488, 493), of a scheme, extension or
 * version that is not spoken (416, 420, 421, 505).
 *
 * Not among them: 404 and 410 are about the contact, 405 and 501 about the device, which takes no MESSAGE at all: messages
 * are also kept because of such answers, for the device that the owner uses next (SILO-1). 401 and 407 ask for what we do
 * not have, until its operator changes that. All these count as attempts.
 */
const refusedStatuses: ReadonlySet<number> = new Set([400, 403, 406, 413, 415, 416, 420, 421, 488, 493, 505, 513])

/** Of a peer's reason phrase that much is kept with a dead letter. */
const reasonMax = 100

const away: Judgement = { kind: 'away' }
const delivered: Judgement = { kind: 'delivered' }

export function judge(outcome: DeliveryOutcome): Judgement {
  // A message that was timed out may have been delivered: the next attempt is marked as a repeat of it (SILO-31).
  if (outcome.kind !== 'answered') return away
  const { status } = outcome
  if (status >= 200 && status < 300) return delivered // SILO-28
  if (awayStatuses.has(status)) return away
  const reason = `${status} ${outcome.reason.slice(0, reasonMax)}`
  // S-81: with 6xx the message has come to its reader, who does not want it.
  if (status >= 600) return { kind: 'refused', reason, everywhere: true }
  return refusedStatuses.has(status) ? { kind: 'refused', reason, everywhere: false } : { kind: 'failed', reason }
}

/** How much hope a judgement leaves. */
const hope = { refused: 0, failed: 1, away: 2, delivered: 3 } as const

/** What two devices, any of which would do, make of a message together: there is as much hope as with the better one. */
export function together(earlier: Judgement | null, later: Judgement): Judgement {
  if (earlier === null || (later.kind === 'refused' && later.everywhere)) return later
  return hope[later.kind] > hope[earlier.kind] ? later : earlier
}

/** `attempts`: earlier ones that were counted. */
export interface Attempts {
  readonly attempts: number
  readonly attemptsMax: number
}

/** Whether the message is to be tried again. */
export function isForLater(judgement: Judgement, { attempts, attemptsMax }: Attempts): boolean {
  return judgement.kind === 'away' || (judgement.kind === 'failed' && attempts + 1 < attemptsMax)
}

/** @param devices all that are to get the message */
export function settlementOf(judgement: Judgement, attempts: Attempts, devices: readonly string[]): Settlement {
  if (judgement.kind === 'delivered') return { kind: 'delivered', devices }
  if (judgement.kind === 'away') return { kind: 'later', attempted: false }
  if (isForLater(judgement, attempts)) return { kind: 'later', attempted: true }
  // SILO-32: given up for this device, not for others, which may have it, or get it yet.
  return { kind: 'refused', devices, reason: judgement.reason }
}
