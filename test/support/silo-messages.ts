import { encodeRecord } from '../../src/store/silo-record.ts'
import type { NewMessage, SiloMessage } from '../../src/store/silo-store.ts'

export const noon = Date.UTC(2026, 0, 1, 12)
export const bob = 'sip:bob@example.org'

/** A message from alice to bob whose body is `text`, with a day to live from noon on. */
export function siloMessage(text: string, changes: Partial<SiloMessage> = {}): SiloMessage {
  return {
    owner: bob,
    srcAddr: 'sip:alice@example.org',
    dstAddr: 'sip:bob@example.org',
    contentType: 'text/plain;charset=utf-8',
    body: Buffer.from(text),
    incTime: noon,
    expTime: noon + 24 * 3_600_000,
    sndTime: 0,
    extraHeaders: 'Subject: news\r\n',
    callId: '',
    messageId: Buffer.from(text.padEnd(16)).toString('base64url').slice(0, 22),
    ...changes,
  }
}

export function asNew(message: SiloMessage): NewMessage {
  const { owner, srcAddr, expTime, sndTime, body } = message
  return { record: encodeRecord(message), owner, srcAddr, expTime, sndTime, octets: body.length }
}

export function newMessage(text: string, changes: Partial<SiloMessage> = {}): NewMessage {
  return asNew(siloMessage(text, changes))
}
