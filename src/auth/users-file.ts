/** Users of a file that is read again whenever it changes. */
import { type FSWatcher, watch } from 'node:fs'
import { stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Ticker } from '../clock.ts'
import type { Config } from '../config/schema.ts'
import type { Logger } from '../log.ts'
import { type CredentialSource, type Lookup, StaticUsers, unavailable } from './credentials.ts'
import type { HashAlgorithm } from './digest.ts'

/** How long after a change in its folder the file is looked at: changes come in groups. */
const DEBOUNCE_MS = 100
/** How often the file is looked at where nobody tells that it has changed (network file systems, lost watches). */
export const POLL_MS = 5000

export interface UsersFileOptions {
  readonly path: string
  readonly algorithms: Config['auth']['algorithms']
  readonly log: Logger
  readonly clock: Ticker
}

/**
 * Every lane has one: a lane's heap is its own. A bad file changes nothing: the users read before stay, and the log says
 * what is wrong. Before a first good file the source is unavailable, so that nobody is told their password is wrong.
 */
export class UsersFile implements CredentialSource {
  readonly #options: UsersFileOptions
  readonly #stopPolling: () => void
  readonly #watcher: FSWatcher | null
  #users: StaticUsers | null = null
  /** What the file was when it was last read; see `fingerprint`. */
  #seen = ''
  /** The reading that is under way. */
  #reading: Promise<void> | null
  #debounce: NodeJS.Timeout | null = null
  #closed = false

  constructor(options: UsersFileOptions) {
    this.#options = options
    this.#reading = this.#read()
    this.#stopPolling = options.clock.every(POLL_MS, () => this.#look())
    this.#watcher = this.#watch()
  }

  lookup(username: string, realm: string, algorithm: HashAlgorithm): Lookup | Promise<Lookup> {
    if (this.#users !== null) return this.#users.lookup(username, realm, algorithm)
    // At the start only: those who come before the file is read wait for it.
    if (this.#reading === null) return unavailable
    return this.#reading.then(() => this.#users?.lookup(username, realm, algorithm) ?? unavailable)
  }

  close(): void {
    this.#closed = true
    this.#stopPolling()
    this.#watcher?.close()
    if (this.#debounce !== null) clearTimeout(this.#debounce)
  }

  /** Watches the folder: a file that is replaced by renaming is not the one that was watched. */
  #watch(): FSWatcher | null {
    const { path, log } = this.#options
    const failed = (err: unknown) => log.warn({ file: path, err }, 'users file: cannot be watched, so it is polled')
    try {
      const watcher = watch(dirname(path), { persistent: false }, () => this.#changed())
      watcher.on('error', (err) => {
        watcher.close()
        failed(err)
      })
      return watcher
    } catch (err) {
      failed(err)
      return null
    }
  }

  #changed(): void {
    this.#debounce ??= setTimeout(() => {
      this.#debounce = null
      this.#look()
    }, DEBOUNCE_MS).unref()
  }

  #look(): void {
    if (this.#closed) return
    if (this.#reading === null) this.#reading = this.#read()
    else this.#changed()
  }

  /** Reads the file if it is another one than last time. Never rejects. */
  async #read(): Promise<void> {
    const { path, algorithms, log } = this.#options
    const seen = await fingerprint(path)
    if (seen !== this.#seen && !this.#closed) {
      // Loaded where there is a users file only: the schema takes more memory than the rest of a lane's code.
      const [{ readUsersFile }, { formatProblems }] = await Promise.all([
        import('../config/auth-files.ts'),
        import('../config/load.ts'),
      ])
      const read = await readUsersFile(path, algorithms)
      this.#seen = seen
      if ((await fingerprint(path)) !== seen) {
        // It changed while it was read: what has been read may be half of each.
        this.#changed()
      } else if (read.ok) {
        this.#users = new StaticUsers(read.value)
        log.info({ file: path, users: read.value.length }, 'users file: read')
      } else {
        const kept = this.#users === null ? 'there are none yet' : 'those read before stay'
        log.error({ problems: formatProblems(read.error) }, `users file: not taken over, ${kept}`)
      }
    }
    this.#reading = null
  }
}

/** Changes with the file; empty never. A file that cannot be looked at is told by why. */
async function fingerprint(path: string): Promise<string> {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true })
    return [dev, ino, size, mtimeNs, ctimeNs].join(' ')
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? 'unreadable'
  }
}
