/**
 * Credentials that carry their own proof, as those of TURN servers do: whoever shares a secret with us hands out the
 * username `expiry:name` and the password base64(HMAC(secret, username)), and we need not know the user.
 */
import { createHmac } from 'node:crypto'
import type { Clock } from '../clock.ts'
import { type CredentialSource, type Lookup, unknown } from './credentials.ts'

const hmacs = { 'SHA-256': 'sha256', 'SHA-1': 'sha1' } as const

export interface EphemeralOptions {
  /** All are good: the next one is added before the last one goes. */
  readonly secrets: readonly string[]
  readonly hmac: keyof typeof hmacs
}

export class EphemeralUsers implements CredentialSource {
  readonly #options: EphemeralOptions
  readonly #clock: Clock

  constructor(options: EphemeralOptions, clock: Clock) {
    this.#options = options
    this.#clock = clock
  }

  lookup(username: string): Lookup {
    const [, expiry, name] = /^(\d{1,12}):([^:\x00-\x1f\x7f]{1,128})$/.exec(username) ?? []
    if (name === undefined) return unknown
    if (this.#clock.now() >= Number(expiry) * 1000) return { outcome: 'known', username: name, secrets: [] }
    const { secrets, hmac } = this.#options
    const passwords = secrets.map((secret) => createHmac(hmacs[hmac], secret).update(username).digest('base64'))
    return { outcome: 'known', username: name, secrets: passwords.map((password) => ({ password })) }
  }

  close(): void {}
}
