/** Where the secrets of users come from: what every source answers, and the users of the config. */
import { SilopathError } from '../errors.ts'
import type { HashAlgorithm } from './digest.ts'

/** What a user proves to know. HA1 is lower-case hex, of the hash that was asked about, never of a session. */
export type Secret = { readonly password: string } | { readonly ha1: string }

/** What a source says about a username. */
export type Lookup =
  | {
      readonly outcome: 'known'
      /** What the user is called from here on: not always the name they authenticate with. */
      readonly username: string
      /** Any of these is right. None: there is no HA1 of that hash, or the credentials have expired. */
      readonly secrets: readonly Secret[]
    }
  | { readonly outcome: 'unknown' }
  /** The source cannot say now, so neither can we: the user may exist (outage). */
  | { readonly outcome: 'unavailable' }

export const unknown: Lookup = { outcome: 'unknown' }
export const unavailable: Lookup = { outcome: 'unavailable' }

/**
 * Knows secrets of users, for all protocols. Answers at once what need not wait: that costs no promise. A promise is
 * never rejected: an outage is an answer.
 */
export interface CredentialSource {
  /**
   * Local sources take as long for users who do not exist as for those who do (D-14): they only look up, hashing is done
   * once by who asks.
   */
  lookup(username: string, realm: string, algorithm: HashAlgorithm): Lookup | Promise<Lookup>
  /** Gives back watchers and connections; nothing is asked any more. */
  close(): void
}

/**
 * One user of the config file. HA1 values are hex, made with the realm that users are asked for; a user who has only
 * `ha1_md5` cannot answer a SHA-256 challenge, and the other way round.
 */
export interface UserEntry {
  readonly username: string
  readonly password?: string
  readonly ha1_md5?: string
  readonly ha1_sha256?: string
}

/** A fixed set of users. */
export class StaticUsers implements CredentialSource {
  readonly #users = new Map<string, UserEntry>()

  /** @throws SilopathError CONFIG_INVALID when a username is listed twice */
  constructor(entries: readonly UserEntry[]) {
    for (const entry of entries) {
      if (this.#users.has(entry.username)) {
        throw new SilopathError('CONFIG_INVALID', `user ${entry.username} is listed twice: remove one of the entries`)
      }
      this.#users.set(entry.username, entry)
    }
  }

  lookup(username: string, _realm: string, algorithm: HashAlgorithm): Lookup {
    const entry = this.#users.get(username)
    if (entry === undefined) return unknown
    return { outcome: 'known', username: entry.username, secrets: secretsOf(entry, algorithm) }
  }

  close(): void {}
}

function secretsOf({ password, ha1_md5, ha1_sha256 }: UserEntry, algorithm: HashAlgorithm): readonly Secret[] {
  if (password !== undefined) return [{ password }]
  const ha1 = { MD5: ha1_md5, 'SHA-256': ha1_sha256, 'SHA-512-256': undefined }[algorithm]
  return ha1 === undefined ? [] : [{ ha1: ha1.toLowerCase() }]
}

/** Several sources, asked in order: the first that knows the user decides. */
export class SourceChain implements CredentialSource {
  readonly #sources: readonly CredentialSource[]

  constructor(sources: readonly CredentialSource[]) {
    this.#sources = sources
  }

  lookup(username: string, realm: string, algorithm: HashAlgorithm): Lookup | Promise<Lookup> {
    return this.#ask(0, username, realm, algorithm)
  }

  close(): void {
    for (const source of this.#sources) source.close()
  }

  /** What is unavailable might have known the user otherwise than the sources behind it: those must not be asked. */
  #ask(from: number, username: string, realm: string, algorithm: HashAlgorithm): Lookup | Promise<Lookup> {
    for (let index = from; index < this.#sources.length; index++) {
      const lookup = this.#sources[index]!.lookup(username, realm, algorithm)
      if (lookup instanceof Promise) {
        return lookup.then((answer) =>
          answer.outcome === 'unknown' ? this.#ask(index + 1, username, realm, algorithm) : answer,
        )
      }
      if (lookup.outcome !== 'unknown') return lookup
    }
    return unknown
  }
}
