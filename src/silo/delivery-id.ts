/** What marks repeats of a message as such (SILO-31). */
import { hash } from 'node:crypto'
import type { SipRequest } from '../parser/sip/message.ts'
import type { SiloMessage } from '../store/silo-store.ts'

/** The same for a MESSAGE that is sent once more because its answer was lost, so that it is known as the same later on. */
export function messageIdOf(request: SipRequest, owner: string): string {
  const parts = [owner, request.callId, String(request.cseq?.number ?? ''), request.from?.tag ?? '']
  return shortHash(parts.join('\0'))
}

/** 22 characters, 132 bits, that a token and the user part of a Call-ID may hold. */
export function shortHash(text: string): string {
  return hash('sha256', text, 'base64url').slice(0, 22)
}

/** The Call-ID of every delivery of a message: that which it came with (SILO-11), or one of its own. */
export function callIdOf(message: SiloMessage): string {
  return message.callId === '' ? `${message.messageId}@${hostOf(message)}` : message.callId
}

/** The domain of the user whose message it is. */
export function hostOf({ owner }: SiloMessage): string {
  return owner.slice(owner.lastIndexOf('@') + 1)
}
