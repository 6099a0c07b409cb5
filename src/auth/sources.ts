/** The sources that the config names, put together. */
import type { Ticker } from '../clock.ts'
import type { Config } from '../config/schema.ts'
import type { Logger } from '../log.ts'
import { type CredentialSource, SourceChain, StaticUsers } from './credentials.ts'
import { EphemeralUsers } from './ephemeral.ts'
import { HttpUsers } from './http-users.ts'
import { JwtVerifier, type TokenVerifier } from './jwt.ts'
import { UsersFile } from './users-file.ts'

/** What a lane's authenticators ask, of whatever protocol and realm. */
export interface Sources {
  readonly users: CredentialSource
  /** Null: tokens are no credentials. */
  readonly tokens: TokenVerifier | null
  close(): void
}

/** Starts what has to be watched or read; `close` ends it. */
export function createSources(auth: Config['auth'], clock: Ticker, log: Logger): Sources {
  const { users_file: path, ephemeral, http, jwt, algorithms } = auth
  // Those first that cannot be unavailable, the one that is far away last.
  const sources: CredentialSource[] = [new StaticUsers(auth.users)]
  if (ephemeral !== undefined) sources.push(new EphemeralUsers(ephemeral, clock))
  if (path !== undefined) sources.push(new UsersFile({ path, algorithms, log, clock }))
  if (http !== undefined) sources.push(new HttpUsers(http, clock, log))
  const users = sources.length === 1 ? sources[0]! : new SourceChain(sources)
  const tokens = jwt === undefined ? null : new JwtVerifier(jwt, clock, log)
  return {
    users,
    tokens,
    close: () => {
      users.close()
      tokens?.close()
    },
  }
}
