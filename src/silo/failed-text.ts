import { createHash } from 'node:crypto'
import type { FailedText } from '../msrp/failed-texts.ts'
import { encodeRecord } from '../store/silo-record.ts'
import { ownerUri } from './addresses.ts'
import type { KeepRequest } from './order.ts'

export interface FailedTextContext {
  /** User whom the session belonged to. */
  readonly user: string
  /** Domain of both users. */
  readonly domain: string
  /** Milliseconds since the Unix epoch. */
  readonly now: number
  /** Seconds. */
  readonly expireTime: number
}

/** What is stored of a text that has come over MSRP: its reader gets it as a MESSAGE from the sender (`msrp.store_failed`). */
export function keepRequestOfText(
  { sender, contentType, body, messageId }: FailedText,
  { user, domain, now, expireTime }: FailedTextContext,
): KeepRequest {
  const owner = `sip:${user}@${domain}`
  const srcAddr = ownerUri(`sip:${sender}@${domain}`)
  const expTime = now + expireTime * 1000
  const record = encodeRecord({
    owner,
    srcAddr,
    dstAddr: ownerUri(owner),
    contentType,
    body,
    incTime: now,
    expTime,
    sndTime: 0,
    extraHeaders: '',
    callId: '',
    // A client that sends a message once more does so under the same id (SILO-31).
    messageId: createHash('sha256').update([owner, sender, messageId].join('\0')).digest('base64url').slice(0, 22),
  })
  // The REPORT is all that the sender is told.
  return {
    message: { record, owner, srcAddr, expTime, sndTime: 0, octets: body.length },
    notice: null,
    noticeKey: '',
    imdn: null,
  }
}
