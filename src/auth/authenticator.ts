/**
 * Authentication of requests, by digest or token: MSRP AUTH (RFC 4976 §9.1) and, with `qopRequired: false`, SIP (RFC 8760,
 * RFC 8898).
 */
import assert from 'node:assert/strict'
import type { Result } from '../errors.ts'
import type { CredentialSource, Lookup, Secret } from './credentials.ts'
import {
  type DigestAlgorithm,
  type DigestInput,
  digestResponse,
  digestsEqual,
  hashA1,
  hashOf,
  type Protection,
  parseAlgorithm,
  rspauth,
} from './digest.ts'
import {
  type Credentials,
  formatAuthenticationInfo,
  formatBearerChallenge,
  formatChallenge,
  type HeaderError,
  parseBearer,
  parseCredentials,
} from './header.ts'
import type { TokenVerdict, TokenVerifier } from './jwt.ts'
import type { NonceCounts, Nonces } from './nonce.ts'

export interface AuthenticatorOptions {
  readonly realm: string
  /** Offered in this order, most preferred first (D-8, D-12); an MSRP relay offers no -sess form (D-10). */
  readonly algorithms: readonly DigestAlgorithm[]
  /** Credentials without qop are malformed (MSRP, D-10) or those of a very old client (SIP, D-9). */
  readonly qopRequired: boolean
  /** Nobody asks us to prove that we know the user too: there is no Authentication-Info. */
  readonly oneWay?: boolean
  readonly users: CredentialSource
  /** Null, or left out: tokens are no credentials, and not asked for. */
  readonly tokens?: TokenVerifier | null
  /** Of the same realm. Outlives this object together with `counts` when the config is reloaded. */
  readonly nonces: Nonces
  readonly counts: NonceCounts
  /** Whether the `uri` of credentials may stand for the one meant: U-4 for MSRP, D-9 for SIP. Default: same text. */
  readonly uriEqual?: (given: string, meant: string) => boolean
}

export interface AuthRequest {
  /** Values of all Authorization (or Proxy-Authorization) headers, in order: those for other realms are for others. */
  readonly authorization: readonly string[]
  readonly method: string
  /** What the digest has to be about: the rightmost URI of an AUTH's To-Path (D-11), or a SIP Request-URI. */
  readonly uri: string
  /** Names the connection, see `Nonces.issue`. */
  readonly binding: number
}

/** Why credentials cannot be judged at all; the answer is 400 (D-6). */
export type MalformedReason = HeaderError | 'missing-qop' | 'bad-qop' | 'missing-nc' | 'missing-cnonce' | 'wrong-uri'

/**
 * Why a challenge goes out; the answer is 401 (or 407). `stale`, `forged` and `replayed` are about the nonce of right
 * credentials.
 */
export type ChallengeReason =
  | 'no-credentials'
  | 'other-realm'
  | 'unknown-algorithm'
  | 'wrong-credentials'
  | 'wrong-token'
  | 'expired-token'
  | 'stale'
  | 'forged'
  | 'replayed'

export type AuthOutcome =
  /**
   * `authenticationInfo` is the value of the header that the 200 carries; null where none is made, and after a token,
   * which leaves nothing to prove. `username` may be a slice of the header it came in: V8 keeps the whole header (up to `headerCharsMax`) for as
   * long as the name is kept.
   */
  | { readonly outcome: 'accepted'; readonly username: string; readonly authenticationInfo: string | null }
  /** `challenges` are the values of WWW-Authenticate (or Proxy-Authenticate) headers, one each, in order (D-8). */
  | {
      readonly outcome: 'challenge'
      readonly reason: ChallengeReason
      readonly stale: boolean
      readonly challenges: readonly string[]
    }
  | { readonly outcome: 'malformed'; readonly reason: MalformedReason }
  /** What knows the user cannot be asked now, so nothing is said about the credentials: 408 in MSRP, 503 in SIP. */
  | { readonly outcome: 'unavailable' }

const unavailable: AuthOutcome = { outcome: 'unavailable' }

export class Authenticator {
  readonly #options: AuthenticatorOptions

  constructor(options: AuthenticatorOptions) {
    assert(options.algorithms.length > 0, 'no digest algorithm to offer')
    this.#options = options
  }

  /**
   * Judges one request. At once where the sources can: that costs no promise. Reasons name rules, never values: they may
   * be logged and counted (D-14).
   */
  verify(request: AuthRequest): AuthOutcome | Promise<AuthOutcome> {
    const { algorithms, users, tokens, qopRequired, uriEqual = sameText } = this.#options
    const { authorization, uri, binding } = request

    const shown = this.#select(authorization)
    if (!shown.ok) return { outcome: 'malformed', reason: shown.error }
    if (typeof shown.value === 'string') return this.#challenge(shown.value, binding)
    if ('token' in shown.value) {
      return tokens!.verify(shown.value.token).then((verdict) => this.#judgeToken(verdict, binding))
    }
    const credentials = shown.value

    const protection = protectionOf(credentials, qopRequired)
    if (!protection.ok) return { outcome: 'malformed', reason: protection.error }
    // D-11: the uri may be missing; if present, its text is what the client hashed.
    if (credentials.uri !== null && !uriEqual(credentials.uri, uri)) {
      return { outcome: 'malformed', reason: 'wrong-uri' }
    }

    const algorithm = parseAlgorithm(credentials.algorithm)
    if (algorithm === null || !algorithms.includes(algorithm)) return this.#challenge('unknown-algorithm', binding)

    const lookup = users.lookup(credentials.username, credentials.realm, hashOf(algorithm))
    return lookup instanceof Promise
      ? lookup.then((answer) => this.#judge(answer, credentials, algorithm, protection.value, request))
      : this.#judge(lookup, credentials, algorithm, protection.value, request)
  }

  #judge(
    lookup: Lookup,
    credentials: Credentials,
    algorithm: DigestAlgorithm,
    protection: OfferedProtection,
    { method, uri, binding }: AuthRequest,
  ): AuthOutcome {
    if (lookup.outcome === 'unavailable') return unavailable
    const { nonces, counts } = this.#options
    const { username, realm, nonce, response } = credentials
    const inputOf = (secret: Secret): DigestInput => {
      // One hash a secret, whoever is asked about: skipping it where HA1 is stored would tell how users are kept (D-14).
      const computed = hashA1(hashOf(algorithm), username, realm, 'password' in secret ? secret.password : '')
      const ha1 = 'password' in secret ? computed : secret.ha1
      return { algorithm, ha1, method, uri: credentials.uri ?? uri, nonce, ...protection }
    }
    const secrets = lookup.outcome === 'known' ? lookup.secrets : []
    // A user who does not exist costs the same hashing as one who does, and never matches (D-14).
    const inputs = (secrets.length === 0 ? standIn : secrets).map(inputOf)
    const matching = inputs.find((input) => digestsEqual(digestResponse(input), response))
    if (lookup.outcome !== 'known' || secrets.length === 0 || matching === undefined) {
      return this.#challenge('wrong-credentials', binding)
    }

    // the nonce is judged last, since `stale` must say that all the rest was right.
    const state = nonces.check(nonce, binding)
    if (state !== 'valid') return this.#challenge(state, binding)
    // D-5. Without qop nothing counts the requests: such a nonce is good for one.
    const nc = protection.qop === null ? 1 : Number.parseInt(protection.nc, 16)
    const use = counts.use(nonce, nc)
    if (use !== 'counted') return this.#challenge(use, binding)

    return {
      outcome: 'accepted',
      username: lookup.username,
      authenticationInfo: this.#options.oneWay
        ? null
        : formatAuthenticationInfo({
            rspauth: rspauth(matching),
            protection: protection.qop === null ? null : protection,
          }),
    }
  }

  #judgeToken(verdict: TokenVerdict, binding: number): AuthOutcome {
    switch (verdict.outcome) {
      case 'accepted':
        return { ...verdict, authenticationInfo: null }
      case 'refused':
        return this.#challenge(verdict.reason, binding)
      case 'unavailable':
        return unavailable
    }
  }

  /** The first credentials for our realm, or why there are none. */
  #select(
    authorization: readonly string[],
  ): Result<Credentials | { readonly token: string } | 'no-credentials' | 'other-realm', HeaderError> {
    let none: Result<'no-credentials' | 'other-realm', HeaderError> = { ok: true, value: 'no-credentials' }
    const { tokens = null } = this.#options
    for (const value of authorization) {
      const token = tokens === null ? null : parseBearer(value)
      if (token?.ok) return { ok: true, value: { token: token.value } }
      const parsed = parseCredentials(value)
      if (parsed.ok && parsed.value.realm === this.#options.realm) return parsed
      if (!none.ok) continue
      // What cannot be read may have been meant for us, so it outweighs what was meant for others; Basic and its like
      // are no credentials here (D-9, D-10).
      if (parsed.ok) none = { ok: true, value: 'other-realm' }
      else if (token !== null && token.error !== 'not-bearer') none = { ok: false, error: token.error }
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
    const { realm, algorithms, nonces, tokens = null } = this.#options
    const stale = reason === 'stale' || reason === 'forged' || reason === 'replayed'
    const nonce = nonces.issue(binding)
    const challenges = algorithms.map((algorithm) => formatChallenge({ realm, nonce, algorithm, qop: ['auth'], stale }))
    if (tokens !== null) {
      const invalid = reason === 'wrong-token' || reason === 'expired-token'
      challenges.push(formatBearerChallenge({ realm, authzServer: tokens.authzServer, invalid }))
    }
    return { outcome: 'challenge', reason, stale, challenges }
  }
}

function sameText(given: string, meant: string): boolean {
  return given === meant
}

/** What is hashed for users who have no secret; that it matches says nothing. */
const standIn: readonly Secret[] = [{ password: '' }]

type OfferedProtection = Exclude<Protection, { qop: 'auth-int' }>

/** What we offered is `auth`, and with it come nc and cnonce (D-10). */
function protectionOf(
  { qop, nc, cnonce }: Credentials,
  qopRequired: boolean,
): Result<OfferedProtection, MalformedReason> {
  if (qop === null) return qopRequired ? { ok: false, error: 'missing-qop' } : { ok: true, value: { qop: null } }
  if (qop !== 'auth') return { ok: false, error: 'bad-qop' }
  if (nc === null) return { ok: false, error: 'missing-nc' }
  if (cnonce === null) return { ok: false, error: 'missing-cnonce' }
  return { ok: true, value: { qop: 'auth', nc, cnonce } }
}
