import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type LaunchedServer, launchServer } from '../../bench/load/server-process.ts'
import { freePort } from '../../bench/load/sip/sip-server.ts'

export const host = '127.0.0.1'
export const domain = 'crash.test'

/** How long what has been ended by SIGTERM may take. */
const stoppedWithinMs = 10_000

export interface VictimOptions {
  readonly folder: string
  /** Those who are known there. */
  readonly owners: readonly string[]
}

/** The server that is killed and started again, always on the same port and the same data. */
export class Victim {
  readonly port: number
  readonly dataDir: string
  /** Counts how often it was started. */
  run = 0
  /** It ended, and nobody had killed it; or it was told to, and did not end well. */
  onDeath: (how: string) => void = () => {}
  readonly #options: VictimOptions
  #server: LaunchedServer | null = null
  #isWanted = false
  #isUp = false
  #up = Promise.withResolvers<void>()
  #admin = ''

  static async create(options: VictimOptions): Promise<Victim> {
    return new Victim(options, await freePort())
  }

  private constructor(options: VictimOptions, port: number) {
    this.#options = options
    this.port = port
    this.dataDir = join(options.folder, 'data')
  }

  /** Resolves when the server accepts; at once while it does. */
  get up(): Promise<void> {
    return this.#up.promise
  }

  async start(workers: number): Promise<void> {
    await this.startAlone(workers)
    this.admit()
  }

  /** Starts it, and tells nobody yet. */
  async startAlone(workers: number): Promise<void> {
    const ready = await (await this.#launch(workers)).ready
    this.#admin = / admin (\S+)/.exec(ready)?.[1] ?? ''
  }

  /** Tells those who wait for it. */
  admit(): void {
    this.#isUp = true
    this.#up.resolve()
  }

  /** Launches it, and kills it so long afterwards, ready or not. */
  async startAndKill(workers: number, afterMs: number): Promise<void> {
    const { ready } = await this.#launch(workers)
    ready.catch(() => 'it was killed before')
    await sleep(afterMs)
    await this.kill()
  }

  async #launch(workers: number): Promise<LaunchedServer> {
    const config = await this.#writeConfig(workers)
    this.run++
    // It starts hundreds of times: what it reads is compiled once.
    const server = launchServer(config, { NODE_COMPILE_CACHE: join(this.#options.folder, 'compiled') })
    this.#server = server
    this.#isWanted = true
    void server.exited.then(([code, signal]) => {
      if (this.#isWanted && this.#server === server) this.onDeath(`the server ended by itself with ${signal ?? code}`)
    })
    return server
  }

  /** SIGKILL, this very moment. Resolves when nothing is left of the process. */
  async kill(): Promise<void> {
    this.#isWanted = false
    this.#server?.child.kill('SIGKILL')
    await this.#gone()
  }

  /** SIGTERM. */
  async stop(): Promise<void> {
    this.#isWanted = false
    this.#server?.child.kill('SIGTERM')
    const timer = setTimeout(() => this.#server?.child.kill('SIGKILL'), stoppedWithinMs)
    const [code, signal] = (await this.#server?.exited) ?? [0, null]
    clearTimeout(timer)
    await this.#gone()
    if (code !== 0) this.onDeath(`the server was told to stop, and ended with ${signal ?? code}`)
  }

  /** Messages that wait. */
  async waiting(): Promise<number> {
    const text = await (await fetch(new URL('/metrics', this.#admin))).text()
    return Number(/^silopath_silo_messages\{state="waiting"\} (\d+)$/m.exec(text)?.[1] ?? Number.NaN)
  }

  async #gone(): Promise<void> {
    await this.#server?.exited
    this.#server = null
    // Who waits for one that was never up waits for the next.
    if (this.#isUp) this.#up = Promise.withResolvers<void>()
    this.#isUp = false
  }

  async #writeConfig(workers: number): Promise<string> {
    const { folder, owners } = this.#options
    await mkdir(folder, { recursive: true })
    const path = join(folder, 'silopath.yaml')
    const config = {
      data_dir: this.dataDir,
      workers,
      memory_mib: 8,
      listen: [{ url: `sip://${host}:${this.port}` }],
      domains: [domain],
      // They are known; who asks is a peer, and needs no password.
      auth: { users: owners.map((username) => ({ username, password: 'crash-only' })) },
      sip: { peers: [host], timer_t1: 0.1 },
      // use_mode 1: what comes from its sender has the same Call-ID as what comes from the silo.
      silo: { add_date: 0, use_mode: 1, check_time: 1, clean_period: 1 },
      admin: { listen: `${host}:0` },
      log: { level: 'error' },
    }
    await writeFile(path, JSON.stringify(config))
    return path
  }
}
