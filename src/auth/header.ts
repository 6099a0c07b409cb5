/**
 * The header values of digest authentication (RFC 7616 §3.3 - §3.5): WWW-Authenticate, Authorization and
 * Authentication-Info (M-38), and those of tokens (RFC 6750, RFC 8898). Proxy-Authenticate and its like have the same
 * values. Values come in as text decoded from UTF-8, without the header's name and line end.
 */
import { Buffer, isUtf8 } from 'node:buffer'
import type { Result } from '../errors.ts'

/** Longer values are refused unread: some ten times what real clients send. */
export const headerCharsMax = 4096
/** Longer tokens are refused unread: those of large issuers have some two thousand characters. */
export const tokenCharsMax = 8192
/** More parameters are refused: RFC 7616 knows 13. */
export const parametersMax = 32

/** Why a header value cannot be used. Never holds anything of the value: parts of it are secret (D-14). */
export type HeaderError =
  | 'too-long'
  | 'too-many-parameters'
  | 'not-digest'
  | 'syntax'
  | 'duplicate-parameter'
  | 'missing-parameter'
  | 'two-usernames'
  | 'bad-username'
  | 'bad-response'
  | 'bad-nc'

/** What a client shows to prove that it knows a password (Authorization). */
export interface Credentials {
  readonly username: string
  readonly realm: string
  readonly nonce: string
  /** 32 or 64 hex digits. */
  readonly response: string
  /** The token as written, `MD5` when absent; it need not be an algorithm that we know. */
  readonly algorithm: string
  /** Null when absent: RFC 4976 has no such parameter (D-11). */
  readonly uri: string | null
  readonly qop: string | null
  /** Eight hex digits, as written (they are hashed as written). */
  readonly nc: string | null
  readonly cnonce: string | null
}

/** What a server asks for instead of a digest: a token (RFC 6750 §3, RFC 8898 §4). */
export interface BearerChallenge {
  readonly realm: string
  /** Where to get tokens, an https URL; null: the client has to know. */
  readonly authzServer: string | null
  /** The token shown is not a good one. Without: none was shown. */
  readonly invalid: boolean
}

/** What a server asks for (WWW-Authenticate). */
export interface Challenge {
  readonly realm: string
  readonly nonce: string
  /** The token as written, `MD5` when absent. */
  readonly algorithm: string
  /** The choices in the server's order, lower-case; empty from servers older than RFC 2617. */
  readonly qop: readonly string[]
  /** The credentials were right but for their nonce: answer again without asking the user. */
  readonly stale: boolean
}

/** What a server proves in turn (Authentication-Info). Without qop (D-2) there is nothing to count or echo. */
export interface AuthenticationInfo {
  readonly rspauth: string
  readonly protection: { readonly qop: string; readonly nc: string; readonly cnonce: string } | null
}

type Parameters = ReadonlyMap<string, string>

function failure(error: HeaderError): { readonly ok: false; readonly error: HeaderError } {
  return { ok: false, error }
}

// One list element with the empty ones before it, or the blanks at the end of the list. The alternatives of every
// repetition start with different characters, so matching takes time in proportion to the length.
const parameter =
  /[ \t,]*(?:([!#-'*+\-.0-9A-Z^-~]+)[ \t]*=[ \t]*(?:"((?:[^"\\\x00-\x08\x0a-\x1f\x7f]|\\[^\x00-\x08\x0a-\x1f\x7f])*)"|([^",\x00-\x20\x7f]+))[ \t]*(?=,|$)|$)/y

/**
 * The parameters of a comma-separated list, by lower-case name. Every value may be quoted or not (D-4), whatever the
 * grammar of that parameter says; blanks may stand around `=` and `,`.
 */
export function parseParameters(list: string): Result<Parameters, HeaderError> {
  if (list.length > headerCharsMax) return failure('too-long')
  const parameters = new Map<string, string>()
  let at = 0
  while (at < list.length) {
    parameter.lastIndex = at
    const match = parameter.exec(list)
    if (match === null) return failure('syntax')
    at += match[0].length
    const [, name, quoted, unquoted] = match
    if (name === undefined) continue // the end
    if (parameters.has(name.toLowerCase())) return failure('duplicate-parameter')
    if (parameters.size === parametersMax) return failure('too-many-parameters')
    parameters.set(name.toLowerCase(), unquoted ?? quoted!.replace(/\\(.)/g, '$1'))
  }
  return { ok: true, value: parameters }
}

function parseDigest(value: string): Result<Parameters, HeaderError> {
  if (value.length > headerCharsMax) return failure('too-long')
  const scheme = /^[ \t]*digest(?=[ \t]|$)/i.exec(value)
  if (scheme === null) return failure('not-digest') // Basic, above all: D-9, D-10
  return parseParameters(value.slice(scheme[0].length))
}

// RFC 5987 §3.2: charset ' [language] ' attr-char and %XX. Only UTF-8 is allowed by RFC 7616 §3.4.
const extendedValue = /^utf-8'[A-Za-z0-9-]*'((?:[!#$&+\-.^_`|~0-9A-Za-z]|%[0-9A-Fa-f]{2})*)$/i

/** The text of an RFC 5987 value (`username*`), or null. */
function decodeExtended(value: string): string | null {
  const encoded = extendedValue.exec(value)?.[1]
  if (encoded === undefined) return null
  const octets = Buffer.from(
    encoded.replace(/%(..)/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))),
    'latin1',
  )
  if (!isUtf8(octets)) return null
  const text = octets.toString()
  return /[\x00-\x1f\x7f]/.test(text) ? null : text // as little welcome here as inside quotes
}

function parseUsername(parameters: Parameters): Result<string, HeaderError> {
  const plain = parameters.get('username')
  const extended = parameters.get('username*')
  if (plain !== undefined && extended !== undefined) return failure('two-usernames') // D-6
  if (plain !== undefined) return { ok: true, value: plain }
  if (extended === undefined) return failure('missing-parameter')
  const decoded = decodeExtended(extended)
  return decoded === null ? failure('bad-username') : { ok: true, value: decoded }
}

/** The value of an Authorization header (D-4, D-6). Unknown parameters, `domain` among them (D-10), are ignored. */
export function parseCredentials(value: string): Result<Credentials, HeaderError> {
  const parsed = parseDigest(value)
  if (!parsed.ok) return parsed
  const parameters = parsed.value
  const username = parseUsername(parameters)
  if (!username.ok) return username
  const realm = parameters.get('realm')
  const nonce = parameters.get('nonce')
  const response = parameters.get('response')
  if (realm === undefined || nonce === undefined || response === undefined) return failure('missing-parameter')
  if (!/^(?:[0-9a-f]{32}|[0-9a-f]{64})$/i.test(response)) return failure('bad-response') // D-7
  const nc = parameters.get('nc') ?? null
  if (nc !== null && !/^(?!0{8})[0-9a-f]{8}$/i.test(nc)) return failure('bad-nc') // D-5: counting starts at 1
  return {
    ok: true,
    value: {
      username: username.value,
      realm,
      nonce,
      response,
      algorithm: parameters.get('algorithm') ?? 'MD5',
      uri: parameters.get('uri') ?? null,
      qop: parameters.get('qop') ?? null,
      nc,
      cnonce: parameters.get('cnonce') ?? null,
    },
  }
}

/** The token of an Authorization header (RFC 6750 §2.1). Its text is not looked at beyond its characters. */
export function parseBearer(value: string): Result<string, 'not-bearer' | 'too-long' | 'syntax'> {
  const scheme = /^[ \t]*bearer(?=[ \t]|$)/i.exec(value)
  if (scheme === null) return { ok: false, error: 'not-bearer' }
  if (value.length > tokenCharsMax) return { ok: false, error: 'too-long' }
  const token = value.slice(scheme[0].length).trim()
  return /^[A-Za-z0-9\-._~+/]+=*$/.test(token) ? { ok: true, value: token } : { ok: false, error: 'syntax' }
}

/** The value of a WWW-Authenticate header, which holds one challenge (S-3, D-8). Unknown parameters are ignored. */
export function parseChallenge(value: string): Result<Challenge, HeaderError> {
  const parsed = parseDigest(value)
  if (!parsed.ok) return parsed
  const parameters = parsed.value
  const realm = parameters.get('realm')
  const nonce = parameters.get('nonce')
  if (realm === undefined || nonce === undefined) return failure('missing-parameter')
  const qop = (parameters.get('qop') ?? '').split(',').map((choice) => choice.trim().toLowerCase())
  return {
    ok: true,
    value: {
      realm,
      nonce,
      algorithm: parameters.get('algorithm') ?? 'MD5',
      qop: qop.filter((choice) => choice !== ''),
      stale: parameters.get('stale')?.toLowerCase() === 'true',
    },
  }
}

function quote(text: string): string {
  return `"${text.replace(/["\\]/g, '\\$&')}"`
}

/** The value of a WWW-Authenticate header, quoted as D-4 says. `stale` is written only when true. */
export function formatChallenge({ realm, nonce, algorithm, qop, stale }: Challenge): string {
  const asked = `Digest realm=${quote(realm)}, nonce=${quote(nonce)}, algorithm=${algorithm}`
  const choices = qop.length === 0 ? '' : `, qop=${quote(qop.join(','))}`
  return asked + choices + (stale ? ', stale=true' : '')
}

/** The value of a WWW-Authenticate header that asks for a token. */
export function formatBearerChallenge({ realm, authzServer, invalid }: BearerChallenge): string {
  const asked = `Bearer realm=${quote(realm)}`
  const server = authzServer === null ? '' : `, authz_server=${quote(authzServer)}`
  return asked + server + (invalid ? ', error="invalid_token"' : '')
}

/** The value of an Authentication-Info header (R-22). */
export function formatAuthenticationInfo({ rspauth, protection }: AuthenticationInfo): string {
  const proof = `rspauth=${quote(rspauth)}`
  if (protection === null) return proof
  return `${proof}, cnonce=${quote(protection.cnonce)}, nc=${protection.nc}, qop=${protection.qop}`
}
