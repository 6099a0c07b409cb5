/** The arithmetic of digest authentication (RFC 7616 §3.4, D-1 … D-3, D-7), the same for MSRP and SIP. */
import { Buffer } from 'node:buffer'
import { hash, timingSafeEqual } from 'node:crypto'

const hashNames = { MD5: 'md5', 'SHA-256': 'sha256', 'SHA-512-256': 'sha512-256' } as const

/** A hash of digest authentication, by its IANA name. HA1 is stored per hash (D-14). */
export type HashAlgorithm = keyof typeof hashNames

/** What an `algorithm` parameter names (D-7): a hash, or its session form. */
export type DigestAlgorithm = HashAlgorithm | `${HashAlgorithm}-sess`

const hashAlgorithms = Object.keys(hashNames) as readonly HashAlgorithm[]

const algorithmsByToken: ReadonlyMap<string, DigestAlgorithm> = new Map(
  hashAlgorithms
    .flatMap((name): DigestAlgorithm[] => [name, `${name}-sess`])
    .map((algorithm) => [algorithm.toLowerCase(), algorithm]),
)

/** The algorithm a token names (tokens ignore case), or null for one that is not of D-7. */
export function parseAlgorithm(token: string): DigestAlgorithm | null {
  return algorithmsByToken.get(token.toLowerCase()) ?? null
}

/** The hash behind an algorithm: `MD5-sess` → `MD5`. */
export function hashOf(algorithm: DigestAlgorithm): HashAlgorithm {
  return algorithm.replace(/-sess$/, '') as HashAlgorithm
}

function isSession(algorithm: DigestAlgorithm): boolean {
  return algorithm.endsWith('-sess')
}

function digest(algorithm: DigestAlgorithm, data: string | Uint8Array): string {
  return hash(hashNames[hashOf(algorithm)], data, 'hex')
}

/** HA1 of a user, lower-case hex (D-1): H(username ":" realm ":" password), in UTF-8. This is what may be stored. */
export function hashA1(algorithm: HashAlgorithm, username: string, realm: string, password: string): string {
  return digest(algorithm, `${username}:${realm}:${password}`)
}

/** HA1 of a session (D-1, the -sess algorithms): H(HA1 of the user ":" nonce ":" cnonce), lower-case hex. */
export function hashSessionA1(algorithm: HashAlgorithm, ha1: string, nonce: string, cnonce: string): string {
  return digest(algorithm, `${ha1}:${nonce}:${cnonce}`)
}

/** What a response covers: the method and URI only (`auth`), the body too (`auth-int`), or as before RFC 2617 (null). */
export type Protection =
  | { readonly qop: null }
  | { readonly qop: 'auth'; readonly nc: string; readonly cnonce: string }
  | { readonly qop: 'auth-int'; readonly nc: string; readonly cnonce: string; readonly body: string | Uint8Array }

export type DigestInput = {
  readonly algorithm: DigestAlgorithm
  /** HA1 of the user, from `hashA1`; the -sess algorithms take it further by themselves. */
  readonly ha1: string
  readonly method: string
  /** The digest URI exactly as the client wrote it. */
  readonly uri: string
  readonly nonce: string
} & Protection

/** The `response` parameter of credentials, lower-case hex (D-1; without qop D-2). */
export function digestResponse(input: DigestInput): string {
  const { algorithm, method, uri, nonce } = input
  // A session has a cnonce, and a cnonce comes with a qop only (RFC 7616 §3.4).
  const session = isSession(algorithm) && input.qop !== null
  const ha1 = session ? hashSessionA1(hashOf(algorithm), input.ha1, nonce, input.cnonce) : input.ha1
  const a2 = input.qop === 'auth-int' ? `${method}:${uri}:${digest(algorithm, input.body)}` : `${method}:${uri}`
  const ha2 = digest(algorithm, a2)
  if (input.qop === null) return digest(algorithm, `${ha1}:${nonce}:${ha2}`) // D-2
  return digest(algorithm, `${ha1}:${nonce}:${input.nc}:${input.cnonce}:${input.qop}:${ha2}`) // D-1
}

/**
 * The `rspauth` parameter of Authentication-Info (D-3): as the response, with an empty method; with `auth-int` the body
 * is that of the response it is sent in.
 */
export function rspauth(input: Omit<DigestInput, 'method'> & Protection): string {
  return digestResponse({ ...input, method: '' })
}

/** Equality of two hex digests in a time that does not tell where they differ (D-14); upper-case digits are equal. */
export function digestsEqual(left: string, right: string): boolean {
  const a = Buffer.from(left.toLowerCase())
  const b = Buffer.from(right.toLowerCase())
  return a.length === b.length && timingSafeEqual(a, b)
}
