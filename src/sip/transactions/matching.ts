import type { Buffer } from 'node:buffer'
import type { SipRequest } from '../../parser/sip/message.ts'
import type { Via } from '../../parser/sip/values.ts'

/** What every branch begins with whose maker knows RFC 3261. */
const cookie = 'z9hG4bK'

/** Whether the branch alone tells transactions apart; nothing but the cookie is as good as no branch (S-30). */
export function hasCookie(via: Via): boolean {
  return via.branch?.startsWith(cookie) === true && via.branch.length > cookie.length
}

/**
 * The key of the server transaction that `method` with this top Via belongs to (S-30). No part contains a space, and a
 * key by RFC 2543 begins with one.
 */
export function serverKey(via: Via, method: string): string {
  return `${via.branch} ${via.host}:${via.port ?? ''} ${method}`
}

/** As `serverKey`, for clients of RFC 2543, whose branch says nothing (S-30). */
export function legacyServerKey(request: SipRequest, via: Via, method: string, toTag: string): string {
  const { requestUri, callId, cseq, from } = request
  return ` ${method} ${requestUri} ${callId} ${cseq?.number} ${from?.tag ?? ''} ${toTag} ${via.text}`
}

/** What requests share that reached us over several ways from one sender (S-38); null inside a dialog. */
export function mergeKey(request: SipRequest): string | null {
  if (request.to?.tag !== null) return null
  return `${request.callId} ${request.cseq?.number} ${request.cseq?.method} ${request.from?.tag ?? ''}`
}

const toLine = /^(?:To|t)[ \t]*:((?:[^\r\n]|\r\n[ \t])*)/im
const tagParameter = /;\s*tag\s*=\s*([^\s;]+)/i

/** The To tag of a response that we have sent: ACKs of RFC 2543 are matched by it (S-30). */
export function toTagOf(response: Buffer): string | null {
  const to = toLine.exec(response.toString('latin1'))?.[1] ?? ''
  // What is in front of the URI's end may be a display name that looks like a parameter.
  return tagParameter.exec(to.slice(to.lastIndexOf('>') + 1))?.[1] ?? null
}
