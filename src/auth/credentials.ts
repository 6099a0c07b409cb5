/** Where the secrets of users come from. */
import { SilopathError } from '../errors.ts'
import { type HashAlgorithm, hashA1 } from './digest.ts'

/**
 * Knows HA1 of users. Synchronous, since a frame that need not wait costs no promise; a source that has to ask over the
 * network belongs in front of this one, as something that fetches before the request is verified.
 */
export interface CredentialSource {
  /**
   * HA1 of a user as lower-case hex (never of a session, see `hashSessionA1`), or null when there is no such user or no
   * HA1 of that hash. Takes as long for users who do not exist as for those who do (D-14).
   */
  ha1(username: string, realm: string, algorithm: HashAlgorithm): string | null
}

/**
 * One user of the config file. HA1 values are hex, made with the realm that users are asked for; a user who has only
 * `ha1_md5` cannot answer a SHA-256 challenge, and the other way round.
 */
export type UserEntry =
  | { readonly username: string; readonly password: string }
  | { readonly username: string; readonly ha1_md5?: string | undefined; readonly ha1_sha256?: string | undefined }

/** The users listed in the config. */
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

  ha1(username: string, realm: string, algorithm: HashAlgorithm): string | null {
    const entry = this.#users.get(username)
    const password = entry !== undefined && 'password' in entry ? entry.password : null
    // One hash a question, whoever is asked about: a cache would answer sooner for those who exist (D-14) and save
    // about a microsecond of an AUTH, of which there is one a session.
    const computed = hashA1(algorithm, username, realm, password ?? '')
    if (entry === undefined) return null
    return 'password' in entry ? computed : storedHa1(entry, algorithm)
  }
}

function storedHa1(entry: Exclude<UserEntry, { password: string }>, algorithm: HashAlgorithm): string | null {
  switch (algorithm) {
    case 'MD5':
      return entry.ha1_md5?.toLowerCase() ?? null
    case 'SHA-256':
      return entry.ha1_sha256?.toLowerCase() ?? null
    case 'SHA-512-256':
      return null
  }
}
