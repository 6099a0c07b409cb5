import type { Buffer } from 'node:buffer'
import { response, rewrite } from '../../parser/sip/encoder.ts'
import type { SipRequest, SipResponse } from '../../parser/sip/message.ts'
import { randomToken } from './branch.ts'
import { type LocalStatus, reasonOf } from './refusal.ts'

/** How a branch has failed, and all of them in the end: by an answer, or by what stands for there being none. */
export type Failure = AnswerFailure | LocalFailure

interface AnswerFailure extends FailureCause {
  readonly status: number
  readonly response: SipResponse
}

interface LocalFailure extends FailureCause {
  readonly status: LocalStatus
  readonly response: null
}

interface FailureCause {
  /** Nobody has answered in time. */
  readonly timedOut: boolean
  /** There was no way to send the request (S-49). */
  readonly unreachable: boolean
}

/** Said of a non-INVITE, 408 is as good as no answer (S-36). */
export function answered(response: SipResponse, isInvite: boolean): Failure {
  const { status } = response
  return { status, response, timedOut: status === 408 && !isInvite, unreachable: false }
}

function local(status: LocalStatus, cause: Partial<FailureCause> = {}): LocalFailure {
  return { status, response: null, timedOut: false, unreachable: false, ...cause }
}

export const timeout = local(408, { timedOut: true })
export const unreachable = local(503, { unreachable: true })
/** The flow that the request names is gone (S-70). */
export const flowFailed = local(430, { unreachable: true })
/** The CANCEL got no other answer (S-50). */
export const terminated = local(487)
/** What came cannot be forwarded (S-23). */
export const unusable = local(500)
/** It may not travel as a datagram (S-82). */
export const tooLarge = local(513, { unreachable: true })

/** Those of 4xx that tell the client how to ask again (S-46). */
const helpful = new Set([401, 407, 415, 420, 484])
const worst = 100

/** Less is better (S-46, RFC 3261 16.7 step 6). */
function rank({ status, response }: Failure, isInvite: boolean): number {
  // S-36: it cannot be sent, so anything else is better.
  if (status === 408 && !isInvite) return worst
  const own = response === null
  switch (Math.trunc(status / 100)) {
    case 6:
      return 0
    case 4:
      return helpful.has(status) ? 40 : own || status === 430 ? 42 : 41
    case 5:
      // S-47: of a 503 nothing but a 500 is left.
      return status === 503 ? 52 : 51
    default:
      return Math.trunc(status / 100) * 10
  }
}

/** The better of two failures, the earlier of equals. */
export function better(earlier: Failure | null, later: Failure, isInvite: boolean): Failure {
  return earlier !== null && rank(earlier, isInvite) <= rank(later, isInvite) ? earlier : later
}

/** A response of our own, with a tag of ours. */
export function localResponse(request: SipRequest, status: LocalStatus): Buffer {
  return response(request, status, reasonOf(status), { toTag: randomToken() })
}

/** A response as it goes on upstream: without our Via (RFC 3261 16.7 step 3). */
export function upstream(from: SipResponse): Buffer {
  return rewrite(from, { removeTopVia: true })
}

const challengeHeaders = ['WWW-Authenticate', 'Proxy-Authenticate'] as const

/** A 401 or 407 as it goes on upstream, with the challenges of all the others (S-46). */
export function mergedChallenge(from: SipResponse, challenges: readonly SipResponse[]): Buffer {
  const append: [string, string][] = []
  for (const other of challenges) {
    if (other === from) continue
    for (const name of challengeHeaders) for (const value of other.headers(name)) append.push([name, value])
  }
  return rewrite(from, { removeTopVia: true, append })
}
