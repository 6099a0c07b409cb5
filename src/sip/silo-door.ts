import type { SipRequest } from '../parser/sip/message.ts'
import type { KeepAnswer } from '../silo/order.ts'
import type { Way } from './sender.ts'

/** Where a MESSAGE goes whose reader is away (S-43, SILO-1). */
export interface SiloDoor {
  /** Whether a MESSAGE is kept that its reader has answered so, or that somebody has answered in the reader's stead. */
  keeps(status: number): boolean
  /**
   * Keeps a MESSAGE for an AoR. Resolves when it is safe: only then may it be answered 202 (S-81). Never rejects.
   * @param way how the request came
   * @param sent whether it has gone out to a contact, which may have it without our knowing
   */
  keep(request: SipRequest, aor: string, way: Way, sent: boolean): Promise<KeepAnswer>
}

/** A server without a silo: who is away is not available (480). */
export const closedDoor: SiloDoor = {
  keeps: () => false,
  keep: async () => ({ kept: false, status: 480, reason: 'Temporarily Unavailable', retryAfter: null }),
}
