/** JSON Web Tokens as credentials (RFC 7519, RFC 8898): signed by somebody we trust, they name their user. */
import { createSecretKey, type KeyObject } from 'node:crypto'
import type { JWTPayload } from 'jose'
import type { Clock } from '../clock.ts'
import { algorithmsOf, readPublicKey, type TokenAlgorithm } from '../config/public-key.ts'
import type { Config } from '../config/schema.ts'
import type { Logger } from '../log.ts'
import { HttpEndpoint } from './http-endpoint.ts'
import { type KeySet, PublishedKeys } from './published-keys.ts'

/** Tokens being verified at the same time, in one lane; more are answered `unavailable`. */
export const VERIFYING_MAX = 1024
/** How often a key that cannot be used is logged: who sends tokens chooses which key is tried. */
const LOG_EVERY_MS = 60_000

export type TokenVerdict =
  | { readonly outcome: 'accepted'; readonly username: string }
  | { readonly outcome: 'refused'; readonly reason: 'wrong-token' | 'expired-token' }
  /** Its key is not at hand now. */
  | { readonly outcome: 'unavailable' }

/** Judges tokens, whoever they are of. */
export interface TokenVerifier {
  /** Where clients get tokens; null: they have to know. */
  readonly authzServer: string | null
  /** Never rejects. */
  verify(token: string): Promise<TokenVerdict>
  close(): void
}

export type JwtOptions = NonNullable<Config['auth']['jwt']>

const unavailable: TokenVerdict = { outcome: 'unavailable' }
const wrong: TokenVerdict = { outcome: 'refused', reason: 'wrong-token' }

type Jose = typeof import('jose')

export class JwtVerifier implements TokenVerifier {
  readonly authzServer: string | null
  readonly #options: JwtOptions
  readonly #clock: Clock
  readonly #log: Logger
  readonly #algorithms: readonly TokenAlgorithm[]
  /** Null: the key file cannot be used. */
  readonly #keys: KeyObject | PublishedKeys | null
  #verifying = 0
  #loggedAt = Number.NEGATIVE_INFINITY

  constructor(options: JwtOptions, clock: Clock, log: Logger) {
    this.authzServer = options.authz_server ?? null
    this.#options = options
    this.#clock = clock
    this.#log = log
    const algorithms = algorithmsOf(options)
    if (options.public_key === undefined) {
      this.#algorithms = algorithms
      this.#keys = options.secret === undefined ? this.#published() : createSecretKey(options.secret, 'utf8')
    } else {
      const read = readPublicKey(options.public_key, algorithms)
      if (!read.ok) log.error({ file: options.public_key }, `${read.error}; no token is taken until the next start`)
      this.#algorithms = read.ok ? read.value.algorithms : []
      this.#keys = read.ok ? read.value.key : null
    }
  }

  async verify(token: string): Promise<TokenVerdict> {
    if (this.#keys === null || this.#verifying >= VERIFYING_MAX) return unavailable
    this.#verifying++
    try {
      // Loaded where there are tokens only: it takes memory of each thread.
      return await this.#judge(token, await import('jose'))
    } catch (error) {
      // Neither a bad token nor an outage: a key that is none, such as an RSA key that is too short.
      this.#logUnusable((error as Error).name)
      return unavailable
    } finally {
      this.#verifying--
    }
  }

  close(): void {
    if (this.#keys instanceof PublishedKeys) this.#keys.close()
  }

  async #judge(token: string, jose: Jose): Promise<TokenVerdict> {
    const keys = this.#keys
    try {
      if (!(keys instanceof PublishedKeys)) return this.#accept(await this.#verified(token, jose, keys!))
      const set = await keys.current()
      if (set === null) return unavailable
      try {
        return this.#accept(await this.#verified(token, jose, set))
      } catch (error) {
        if (!(error instanceof jose.errors.JWKSNoMatchingKey)) throw error
        // The issuer may have begun to sign with a new key.
        const renewed = await keys.renew()
        if (renewed === null) return unavailable
        if (renewed === 'renewed already') return wrong
        return this.#accept(await this.#verified(token, jose, renewed))
      }
    } catch (error) {
      if (error instanceof jose.errors.JWTExpired) return { outcome: 'refused', reason: 'expired-token' }
      if (error instanceof jose.errors.JOSEError) return wrong
      throw error
    }
  }

  async #verified(token: string, { jwtVerify }: Jose, key: KeyObject | KeySet): Promise<JWTPayload> {
    const { issuer, audience, clock_skew } = this.#options
    const options = {
      algorithms: [...this.#algorithms],
      currentDate: new Date(this.#clock.now()),
      clockTolerance: clock_skew,
      // A token that is good for ever cannot be taken back.
      requiredClaims: ['exp'],
      ...(issuer !== undefined && { issuer }),
      ...(audience !== undefined && { audience }),
    }
    const { payload } =
      typeof key === 'function' ? await jwtVerify(token, key, options) : await jwtVerify(token, key, options)
    return payload
  }

  #accept(payload: JWTPayload): TokenVerdict {
    const { username_claim } = this.#options
    const username = Object.hasOwn(payload, username_claim) ? payload[username_claim] : undefined
    // As usernames of the config are.
    if (typeof username !== 'string' || !/^[^:\x00-\x1f\x7f]{1,128}$/.test(username)) return wrong
    return { outcome: 'accepted', username }
  }

  #published(): PublishedKeys {
    const { jwks_url, timeout, cache_ttl, cooldown, stale_ttl } = this.#options
    const clock = this.#clock
    const endpoint = new HttpEndpoint({
      name: 'auth.jwt.jwks_url',
      url: jwks_url!,
      headers: {},
      timeoutMs: timeout * 1000,
      // Questions are all the same, so no more than one is out at a time.
      concurrency: 1,
      queueMax: 0,
      retryAfterMs: cooldown * 1000,
      clock,
      log: this.#log,
    })
    return new PublishedKeys(endpoint, { cache_ttl, cooldown, stale_ttl }, clock)
  }

  #logUnusable(reason: string): void {
    const now = this.#clock.now()
    if (now - this.#loggedAt < LOG_EVERY_MS) return
    this.#loggedAt = now
    this.#log.warn({ reason }, 'auth.jwt: a key cannot be used')
  }
}
