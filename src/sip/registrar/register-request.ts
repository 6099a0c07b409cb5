import type { Result } from '../../errors.ts'
import type { SipRequest } from '../../parser/sip/message.ts'
import { answerOf } from '../../parser/sip/problem.ts'
import { aorOf, type SipUri } from '../../parser/sip/uri.ts'
import { type NameAddr, paramSpans, quotedEnd, trimBlanks } from '../../parser/sip/values.ts'
import type { Flow } from '../../store/location-store.ts'
import { type RegisterRefusal, refusal } from './refusal.ts'

/** Where a REGISTER came from. */
export interface RegisterSource {
  readonly flow: Flow
  /** The flow is TLS. */
  readonly secure: boolean
  /** Address and port it came from, for the eyes of operators. */
  readonly received: string
}

/** What a REGISTER says to the registrar, as plain data: it crosses threads. */
export interface RegisterRequest {
  /** Canonical (S-60). */
  readonly aor: string
  readonly callId: string
  readonly cseq: number
  /** None: fetch only (S-65). */
  readonly contacts: readonly RegisterContact[] | '*'
  /** The Expires header in seconds; null: none, garbled or overlarge (S-62). */
  readonly expires: number | null
  /** Values of Path, topmost first (S-68). */
  readonly path: readonly string[]
  /** A proxy on the way declares by `ob` in its Path that it keeps flows (S-69). */
  readonly pathKeepsFlows: boolean
  /** Nobody is between the user agent and us. */
  readonly firstHop: boolean
  /** Supported lists `outbound`. */
  readonly supportsOutbound: boolean
  readonly userAgent: string | null
  readonly source: RegisterSource
}

/** One Contact of a REGISTER. */
export interface RegisterContact {
  /** As written, without angle brackets. */
  readonly uri: string
  /** As written, in order, without `expires` (S-67). */
  readonly params: readonly string[]
  /** Thousandths (S-66). */
  readonly q: number
  /** Seconds asked for, 0 to remove; null: the registrar's default (S-62). */
  readonly expires: number | null
  /** In lower case, as URNs of devices are compared. */
  readonly instance: string | null
  readonly regId: number | null
  readonly methods: readonly string[] | null
}

/** Bound on the text that one binding keeps: contact, parameters, Path, Call-ID, methods. */
export const bindingCharsMax = 8_192
/** The rest of a longer User-Agent is not kept. */
const userAgentCharsMax = 256

/**
 * Reads a REGISTER whose domain is ours and whose sender may register for the AoR in To.
 * @param canonical the AoR that a URI of ours stands for
 */
export function registerRequestOf(
  request: SipRequest,
  source: RegisterSource,
  canonical: (uri: SipUri) => string = aorOf,
): Result<RegisterRequest, RegisterRefusal> {
  if (request.problem !== null) {
    const answer = answerOf(request.problem)
    return refusal('malformed', answer === 'drop' ? undefined : answer)
  }
  const { to, cseq } = request
  // S-60: an AoR is a sip or sips URI.
  if (to === null || to.uri === null) return refusal('bad-to')
  if (cseq === null) return refusal('malformed')
  const contacts: RegisterContact[] | '*' = request.contacts === '*' ? '*' : []
  if (contacts !== '*' && request.contacts !== null && request.contacts !== '*') {
    const allowed = methodsOf(request.headers('Allow'))
    for (const contact of request.contacts) {
      // A contact that no SIP request could ever be sent to.
      if (contact.uri === null) return refusal('bad-contact')
      const read = contactOf(contact, request.expires, allowed)
      const insecure = to.uri.scheme === 'sips' && contact.uri.scheme !== 'sips' && !source.secure
      // S-72; who takes one away puts nobody at risk.
      if (insecure && read.expires !== 0) return refusal('insecure-contact')
      contacts.push(read)
    }
  }
  const path = request.paths.map(({ text }) => text)
  const read: RegisterRequest = {
    aor: canonical(to.uri),
    callId: request.callId,
    cseq: cseq.number,
    contacts,
    expires: request.expires,
    path,
    pathKeepsFlows: request.paths.some(({ uri }) => uri?.params.has('ob')),
    firstHop: request.viaCount === 1,
    supportsOutbound: request.list('Supported').some((tag) => tag.toLowerCase() === 'outbound'),
    userAgent: request.header('User-Agent')?.slice(0, userAgentCharsMax) ?? null,
    source,
  }
  return isTooLarge(read) ? refusal('too-large') : { ok: true, value: read }
}

function contactOf(contact: NameAddr, expires: number | null, allowed: readonly string[] | null): RegisterContact {
  const { params } = contact
  const methods = params.get('methods')
  return {
    uri: contact.uriText,
    params: paramsAsWritten(contact),
    q: thousandths(params.get('q')),
    expires: params.has('expires') ? seconds(params.get('expires')) : expires,
    instance: params.get('+sip.instance')?.toLowerCase() || null,
    regId: regId(params.get('reg-id')),
    methods: methods ? methodsOf([methods]) : allowed,
  }
}

/** Names and quotes included, as the user agent may look for either. */
function paramsAsWritten({ text, uriText }: NameAddr): string[] {
  // A display name without quotes holds no colon, so it cannot be taken for the URI.
  const displayEnd = text.startsWith('"') ? quotedEnd(text, 0) : 0
  const start = text.indexOf(uriText, displayEnd) + uriText.length
  return paramSpans(text, start, text.length)
    .filter(({ name }) => name !== 'expires')
    .map((span) => trimBlanks(text.slice(span.start + 1, span.end)))
}

/** S-66: no q, or one that is none, counts as 1. */
function thousandths(q: string | null | undefined): number {
  return q && /^(?:0(?:\.\d{0,3})?|1(?:\.0{0,3})?)$/.test(q) ? Math.round(Number(q) * 1_000) : 1_000
}

/** S-62: what is garbled or overlarge asks for the default. */
function seconds(expires: string | null | undefined): number | null {
  if (!expires || !/^\d+$/.test(expires)) return null
  const value = Number(expires)
  return value < 2 ** 32 ? value : null
}

/** 1 … 2^31 - 1 (S-69). */
function regId(value: string | null | undefined): number | null {
  if (!value || !/^\d+$/.test(value)) return null
  const id = Number(value)
  return id >= 1 && id < 2 ** 31 ? id : null
}

/** Null when no list is given; a list that is given and empty allows nothing. */
function methodsOf(lists: readonly string[]): readonly string[] | null {
  if (lists.length === 0) return null
  return lists
    .join(',')
    .split(',')
    .map((method) => trimBlanks(method).toUpperCase())
    .filter(Boolean)
}

function isTooLarge({ contacts, path, callId }: RegisterRequest): boolean {
  if (contacts === '*') return false
  const shared = callId.length + charsOf(path)
  return contacts.some(
    ({ uri, params, methods }) => shared + uri.length + charsOf(params) + charsOf(methods ?? []) > bindingCharsMax,
  )
}

function charsOf(texts: readonly string[]): number {
  return texts.reduce((sum, text) => sum + text.length, 0)
}
