/** Users that an HTTP endpoint knows. */
import type { Clock } from '../clock.ts'
import type { Config } from '../config/schema.ts'
import type { Logger } from '../log.ts'
import { LruMap } from '../lru.ts'
import { type CredentialSource, type Lookup, unavailable, unknown } from './credentials.ts'
import { type HashAlgorithm, hashA1 } from './digest.ts'
import { HttpEndpoint } from './http-endpoint.ts'

/** Nobody has a longer name: it would be kept in the cache, and is what others chose to send. */
const USERNAME_CHARS_MAX = 256
const PASSWORD_CHARS_MAX = 1024

export type HttpUsersOptions = NonNullable<Config['auth']['http']>

interface Known {
  readonly ha1: string
  readonly askedAt: number
}

/**
 * Asks `{ username, realm, algorithm }` and takes `{ ha1 }`, `{ password }`, or 404. Of a password only the HA1 is kept
 * (D-14). The same question is out once at a time. What is remembered of users that do not exist has room of its own, so
 * that guessing names pushes nobody out. One lane's own, as every cache of a lane.
 */
export class HttpUsers implements CredentialSource {
  readonly #options: HttpUsersOptions
  readonly #clock: Clock
  readonly #endpoint: HttpEndpoint
  readonly #known: LruMap<Known>
  /** When it was said that there is no such user. */
  readonly #denied: LruMap<number>
  readonly #asking = new Map<string, Promise<Lookup>>()

  constructor(options: HttpUsersOptions, clock: Clock, log: Logger) {
    this.#options = options
    this.#clock = clock
    this.#known = new LruMap(options.cache_size)
    this.#denied = new LruMap(options.cache_size)
    const headers = Object.fromEntries(options.headers.map(({ name, value }) => [name, value]))
    if (options.bearer_token !== undefined) headers.authorization = `Bearer ${options.bearer_token}`
    this.#endpoint = new HttpEndpoint({
      name: 'auth.http',
      url: options.url,
      headers,
      timeoutMs: options.timeout * 1000,
      concurrency: options.max_concurrent,
      queueMax: options.max_queue,
      retryAfterMs: options.retry_after * 1000,
      clock,
      log,
    })
  }

  lookup(username: string, realm: string, algorithm: HashAlgorithm): Lookup | Promise<Lookup> {
    if (username.length > USERNAME_CHARS_MAX) return unknown
    const { positive_ttl, negative_ttl } = this.#options
    const key = `${algorithm}\0${realm}\0${username}`
    const known = this.#known.get(key)
    if (known !== undefined && this.#younger(known.askedAt, positive_ttl)) return found(username, known)
    const deniedAt = this.#denied.get(key)
    if (deniedAt !== undefined && this.#younger(deniedAt, negative_ttl)) return unknown
    const asking = this.#asking.get(key) ?? this.#ask(key, username, realm, algorithm)
    this.#asking.set(key, asking)
    return asking
  }

  close(): void {
    this.#endpoint.close()
  }

  async #ask(key: string, username: string, realm: string, algorithm: HashAlgorithm): Promise<Lookup> {
    const askedAt = this.#clock.now()
    const answer = await this.#endpoint.ask({ username, realm, algorithm }, (status, text) =>
      readAnswer(status, text, username, realm, algorithm),
    )
    this.#asking.delete(key)
    if (answer === null) {
      const known = this.#known.get(key)
      return known !== undefined && this.#younger(known.askedAt, this.#options.stale_ttl)
        ? found(username, known)
        : unavailable
    }
    if (answer === 'unknown') {
      this.#known.delete(key)
      this.#denied.set(key, askedAt)
      return unknown
    }
    this.#denied.delete(key)
    const known = { ha1: answer, askedAt }
    this.#known.set(key, known)
    return found(username, known)
  }

  /** An age below zero, after the clock was set back, is nobody's. */
  #younger(since: number, seconds: number): boolean {
    const age = this.#clock.now() - since
    return age >= 0 && age < seconds * 1000
  }
}

function found(username: string, { ha1 }: Known): Lookup {
  return { outcome: 'known', username, secrets: [{ ha1 }] }
}

/** The HA1 that was asked for; null when the answer is not one of the three. */
function readAnswer(
  status: number,
  text: string,
  username: string,
  realm: string,
  algorithm: HashAlgorithm,
): string | 'unknown' | null {
  if (status === 404) return 'unknown'
  if (status !== 200) return null
  const answer: unknown = JSON.parse(text)
  if (typeof answer !== 'object' || answer === null) return null
  if ('ha1' in answer) {
    const { ha1 } = answer
    const digits = algorithm === 'MD5' ? 32 : 64
    return typeof ha1 === 'string' && ha1.length === digits && /^[0-9a-f]+$/i.test(ha1) ? ha1.toLowerCase() : null
  }
  if (!('password' in answer)) return null
  const { password } = answer
  if (typeof password !== 'string' || password === '' || password.length > PASSWORD_CHARS_MAX) return null
  return hashA1(algorithm, username, realm, password)
}
