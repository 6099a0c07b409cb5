/** The public keys of an issuer, from the JSON Web Key Set that it publishes (RFC 7517). */
import type { createLocalJWKSet, JSONWebKeySet } from 'jose'
import type { Clock } from '../clock.ts'
import type { HttpEndpoint } from './http-endpoint.ts'

/** Finds the key that a token names. */
export type KeySet = ReturnType<typeof createLocalJWKSet>

/** See the keys of the same names in docs/config.md; seconds. */
export interface PublishedKeysOptions {
  readonly cache_ttl: number
  readonly cooldown: number
  readonly stale_ttl: number
}

export class PublishedKeys {
  readonly #endpoint: HttpEndpoint
  readonly #options: PublishedKeysOptions
  readonly #clock: Clock
  #set: KeySet | null = null
  #fetchedAt = 0
  #fetching: Promise<KeySet | null> | null = null

  constructor(endpoint: HttpEndpoint, options: PublishedKeysOptions, clock: Clock) {
    this.#endpoint = endpoint
    this.#options = options
    this.#clock = clock
  }

  /** The keys, fetched if they are too old; null: there are none. While they cannot be fetched old ones do. */
  async current(): Promise<KeySet | null> {
    const { cache_ttl, stale_ttl } = this.#options
    if (this.#younger(cache_ttl)) return this.#set
    return (await this.#fetch()) ?? (this.#younger(stale_ttl) ? this.#set : null)
  }

  /** The keys anew; null: they cannot be fetched. Not right after they were: a token can name any key. */
  async renew(): Promise<KeySet | 'renewed already' | null> {
    return this.#younger(this.#options.cooldown) ? 'renewed already' : this.#fetch()
  }

  close(): void {
    this.#endpoint.close()
  }

  #younger(seconds: number): boolean {
    const age = this.#clock.now() - this.#fetchedAt
    return this.#set !== null && age >= 0 && age < seconds * 1000
  }

  #fetch(): Promise<KeySet | null> {
    this.#fetching ??= this.#fetchOnce().finally(() => {
      this.#fetching = null
    })
    return this.#fetching
  }

  async #fetchOnce(): Promise<KeySet | null> {
    const { createLocalJWKSet } = await import('jose')
    const fetchedAt = this.#clock.now()
    const set = await this.#endpoint.ask(null, (status, text) =>
      status === 200 ? createLocalJWKSet(JSON.parse(text) as JSONWebKeySet) : null,
    )
    if (set === null) return null
    this.#set = set
    this.#fetchedAt = fetchedAt
    return set
  }
}
