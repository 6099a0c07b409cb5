/** Digest authentication of requests: MSRP AUTH (RFC 4976 §9.1) and, with `qopRequired: false`, SIP (RFC 8760). */
import assert from 'node:assert/strict'
import type { Result } from '../errors.ts'
import type { CredentialSource } from './credentials.ts'
import {
  type DigestAlgorithm,
  type DigestInput,
  digestResponse,
  digestsEqual,
  hashOf,
  type Protection,
  parseAlgorithm,
  rspauth,
} from './digest.ts'
import {
  type Credentials,
  formatAuthenticationInfo,
  formatChallenge,
  type HeaderError,
  parseCredentials,
} from './header.ts'
import type { NonceCounts, Nonces } from './nonce.ts'

export interface AuthenticatorOptions {
  readonly realm: string
  /** Offered in this order, most preferred first (D-8, D-12); an MSRP relay offers no -sess form (D-10). */
  readonly algorithms: readonly DigestAlgorithm[]
  /** Credentials without qop are malformed (MSRP, D-10) or those of a very old client (SIP, D-9). */
  readonly qopRequired: boolean
  readonly users: CredentialSource
  /** Of the same realm. Outlives this object together with `counts` when the config is reloaded. */
  readonly nonces: Nonces
  readonly counts: NonceCounts
  /** Whether the `uri` of credentials may stand for the one meant: U-4 for MSRP, D-9 for SIP. Default: same text. */
  readonly uriEqual?: (given: string, meant: string) => boolean
}

export interface AuthRequest {
  /** Values of all Authorization headers, in order: those for other realms are for others. */
  readonly authorization: readonly string[]
  readonly method: string
  /** What the digest has to be about: the rightmost URI of an AUTH's To-Path (D-11), or a SIP Request-URI. */
  readonly uri: string
  /** Names the connection, see `Nonces.issue`. */
  readonly binding: number
}

/** Why credentials cannot be judged at all; the answer is 400 (D-6). */
export type MalformedReason = HeaderError | 'missing-qop' | 'bad-qop' | 'missing-nc' | 'missing-cnonce' | 'wrong-uri'

/** Why a challenge goes out; the answer is 401. `stale`, `forged` and `replayed` are about the nonce of right credentials. */
export type ChallengeReason =
  | 'no-credentials'
  | 'other-realm'
  | 'unknown-algorithm'
  | 'wrong-credentials'
  | 'stale'
  | 'forged'
  | 'replayed'

export type AuthOutcome =
  /**
   * `authenticationInfo` is the value of the header that the 200 carries. `username` is a slice of the header it
   * came in: V8 keeps the whole header (up to `headerCharsMax`) for as long as the name is kept.
   */
  | { readonly outcome: 'accepted'; readonly username: string; readonly authenticationInfo: string }
  /** `challenges` are the values of WWW-Authenticate headers, one each, in order (D-8). */
  | {
      readonly outcome: 'challenge'
      readonly reason: ChallengeReason
      readonly stale: boolean
      readonly challenges: readonly string[]
    }
  | { readonly outcome: 'malformed'; readonly reason: MalformedReason }

export class Authenticator {
  readonly #options: AuthenticatorOptions

  constructor(options: AuthenticatorOptions) {
    assert(options.algorithms.length > 0, 'no digest algorithm to offer')
    this.#options = options
  }

  /** Judges one request. Reasons name rules, never values: they may be logged and counted (D-14). */
  verify({ authorization, method, uri, binding }: AuthRequest): AuthOutcome {
    const { algorithms, users, nonces, counts, qopRequired, uriEqual = sameText } = this.#options

    const shown = this.#select(authorization)
    if (!shown.ok) return { outcome: 'malformed', reason: shown.error }
    if (typeof shown.value === 'string') return this.#challenge(shown.value, binding)
    const credentials = shown.value

    const protection = protectionOf(credentials, qopRequired)
    if (!protection.ok) return { outcome: 'malformed', reason: protection.error }
    // D-11: the uri may be missing; if present, its text is what the client hashed.
    if (credentials.uri !== null && !uriEqual(credentials.uri, uri)) {
      return { outcome: 'malformed', reason: 'wrong-uri' }
    }

    const algorithm = parseAlgorithm(credentials.algorithm)
    if (algorithm === null || !algorithms.includes(algorithm)) return this.#challenge('unknown-algorithm', binding)

    const ha1 = users.ha1(credentials.username, credentials.realm, hashOf(algorithm))
    const input: DigestInput = {
      algorithm,
      ha1: ha1 ?? standInHa1(algorithm),
      method,
      uri: credentials.uri ?? uri,
      nonce: credentials.nonce,
      ...protection.value,
    }
    const matches = digestsEqual(digestResponse(input), credentials.response)
    if (!matches || ha1 === null) return this.#challenge('wrong-credentials', binding)

    // the nonce is judged last, since `stale` must say that all the rest was right.
    const state = nonces.check(credentials.nonce, binding)
    if (state !== 'valid') return this.#challenge(state, binding)
    // D-5. Without qop nothing counts the requests: such a nonce is good for one.
    const nc = protection.value.qop === null ? 1 : Number.parseInt(protection.value.nc, 16)
    const use = counts.use(credentials.nonce, nc)
    if (use !== 'counted') return this.#challenge(use, binding)

    return {
      outcome: 'accepted',
      username: credentials.username,
      authenticationInfo: formatAuthenticationInfo({
        rspauth: rspauth(input),
        protection: protection.value.qop === null ? null : protection.value,
      }),
    }
  }

  /** The first credentials for our realm, or why there are none. */
  #select(authorization: readonly string[]): Result<Credentials | 'no-credentials' | 'other-realm', HeaderError> {
    let none: Result<'no-credentials' | 'other-realm', HeaderError> = { ok: true, value: 'no-credentials' }
    for (const value of authorization) {
      const parsed = parseCredentials(value)
      if (parsed.ok && parsed.value.realm === this.#options.realm) return parsed
      if (!none.ok) continue
      // What cannot be read may have been meant for us, so it outweighs what was meant for others; Basic and its like
      // are no credentials here (D-9, D-10).
      if (parsed.ok) none = { ok: true, value: 'other-realm' }
      else if (parsed.error !== 'not-digest') none = parsed
    }
    return none
  }

  /**
   * Every challenge brings a fresh nonce (R-20, D-5). RFC 7616 §3.3: without `stale` a client has to take its password
   * for wrong and ask the user, so `stale` is set whenever only the nonce stood in the way: too old, used up, or sealed
   * before we were restarted.
   */
  #challenge(reason: ChallengeReason, binding: number): AuthOutcome {
    const { realm, algorithms, nonces } = this.#options
    const stale = reason === 'stale' || reason === 'forged' || reason === 'replayed'
    const nonce = nonces.issue(binding)
    const challenges = algorithms.map((algorithm) => formatChallenge({ realm, nonce, algorithm, qop: ['auth'], stale }))
    return { outcome: 'challenge', reason, stale, challenges }
  }
}

function sameText(given: string, meant: string): boolean {
  return given === meant
}

/** As long as a real HA1, so that a user we do not know costs the same hashing as one we know (D-14). */
function standInHa1(algorithm: DigestAlgorithm): string {
  return '0'.repeat(hashOf(algorithm) === 'MD5' ? 32 : 64)
}

/** What we offered is `auth`, and with it come nc and cnonce (D-10). */
function protectionOf(
  { qop, nc, cnonce }: Credentials,
  qopRequired: boolean,
): Result<Exclude<Protection, { qop: 'auth-int' }>, MalformedReason> {
  if (qop === null) return qopRequired ? { ok: false, error: 'missing-qop' } : { ok: true, value: { qop: null } }
  if (qop !== 'auth') return { ok: false, error: 'bad-qop' }
  if (nc === null) return { ok: false, error: 'missing-nc' }
  if (cnonce === null) return { ok: false, error: 'missing-cnonce' }
  return { ok: true, value: { qop: 'auth', nc, cnonce } }
}
