/** Why a REGISTER changes nothing, and what it is answered. */
export const refusals = {
  /** The message itself is faulty. */
  malformed: { status: 400, phrase: 'Bad Request' },
  /** To is no sip or sips URI (S-60). */
  'bad-to': { status: 400, phrase: 'Bad To' },
  'bad-contact': { status: 400, phrase: 'Bad Contact' },
  /** A contact without TLS for a sips AoR (S-72). */
  'insecure-contact': { status: 400, phrase: 'Contact Is Not Secure' },
  /** `*` without Expires 0 (S-61). */
  'bad-wildcard': { status: 400, phrase: 'Contact * Without Expires 0' },
  /** Several contacts to register, one of them for a flow (S-69). */
  'several-flows': { status: 400, phrase: 'One Contact Only With reg-id' },
  'too-large': { status: 513, phrase: 'Message Too Large' },
  'too-many-contacts': { status: 403, phrase: 'Too Many Contacts' },
  'interval-too-brief': { status: 423, phrase: 'Interval Too Brief' },
  'lacks-outbound': { status: 439, phrase: 'First Hop Lacks Outbound Support' },
  /** Older than what it would change, or just as old (S-61, S-63). */
  'out-of-order': { status: 500, phrase: 'CSeq Out Of Order' },
  /** The store has no room for more bindings. */
  full: { status: 503, phrase: 'Service Unavailable' },
  /** Too many REGISTERs wait to be stored. */
  overloaded: { status: 503, phrase: 'Service Unavailable' },
  /** Storing failed (S-64). */
  unavailable: { status: 500, phrase: 'Server Internal Error' },
} as const satisfies Record<string, { status: number; phrase: string }>

export type RefusalReason = keyof typeof refusals

/** Plain data: it crosses threads. */
export interface RegisterRefusal {
  readonly reason: RefusalReason
  readonly status: number
  readonly phrase: string
}

export interface Refused {
  readonly ok: false
  readonly error: RegisterRefusal
}

/** The refusal for this reason; `answer` says more exactly what is wrong than the reason does. */
export function refusal(reason: RefusalReason, answer?: { readonly status: number; readonly reason: string }): Refused {
  const { status, phrase } = refusals[reason]
  return { ok: false, error: { reason, status: answer?.status ?? status, phrase: answer?.reason ?? phrase } }
}
