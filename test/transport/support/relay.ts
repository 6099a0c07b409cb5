import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

export type RelayOrder = { readonly do: 'kill'; readonly lane: number } | { readonly do: 'measure' | 'close' }
export type RelayAnswer =
  | { readonly did: 'start'; readonly port: number; readonly adminUrl: string }
  | { readonly did: 'kill' }
  | { readonly did: 'measure'; readonly residentOctets: number }
  | { readonly did: 'close'; readonly tookMs: number }
type AnswerTo<Did> = Extract<RelayAnswer, { did: Did }>

export const username = 'alice'
export const password = 'wonderland'

export interface RelayOptions {
  readonly workers: number
  readonly maxConnections?: number
}

/** The server under test: a process of its own, so that its memory is its own and clients do not slow it. */
export class Relay {
  readonly port: number
  /** Lanes in threads of their own. */
  readonly workers: number
  readonly #admin: string
  readonly #child: ChildProcess
  readonly #folder: string
  /** What the process wrote to stderr. */
  readonly #log: string[]

  private constructor(
    child: ChildProcess,
    folder: string,
    log: string[],
    workers: number,
    { port, adminUrl }: AnswerTo<'start'>,
  ) {
    this.#child = child
    this.workers = workers
    this.#folder = folder
    this.#log = log
    this.port = port
    this.#admin = adminUrl
  }

  static async start({ workers, maxConnections = 1024 }: RelayOptions): Promise<Relay> {
    const folder = await mkdtemp(join(tmpdir(), 'silopath-test-'))
    // JSON is YAML.
    const config = JSON.stringify({
      data_dir: folder,
      workers,
      max_connections: maxConnections,
      listen: [{ url: 'msrp://127.0.0.1:0' }],
      auth: { users: [{ username, password }] },
      admin: { listen: '127.0.0.1:0' },
    })
    const file = fileURLToPath(new URL('./relay.process.ts', import.meta.url))
    const child = fork(file, [config], { execArgv: [], stdio: ['ignore', 'inherit', 'pipe', 'ipc'] })
    const log: string[] = []
    child.stderr!.setEncoding('utf8').on('data', (text: string) => log.push(text))
    try {
      return new Relay(child, folder, log, workers, await answerOf(child, log, 'start'))
    } catch (error) {
      await rm(folder, { recursive: true, force: true })
      throw error
    }
  }

  /** Makes a worker throw. */
  async kill(lane: number): Promise<void> {
    await this.#order({ do: 'kill', lane }, 'kill')
  }

  /** Octets of memory that are resident in the server's process. */
  async residentOctets(): Promise<number> {
    return (await this.#order({ do: 'measure' }, 'measure')).residentOctets
  }

  /** The sum of all series of a metric whose labels match. */
  async metric(name: string, labels = /(?:)/): Promise<number> {
    const response = await fetch(new URL('/metrics', this.#admin))
    let sum = Number.NaN
    for (const line of (await response.text()).split('\n')) {
      const [, series, given = '', value] = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line) ?? []
      if (series === name && labels.test(given)) sum = (Number.isNaN(sum) ? 0 : sum) + Number(value)
    }
    return sum
  }

  /** Octets of segments that are in use, in all lanes. */
  async segmentsInUse(): Promise<number> {
    const [capacity, free] = [
      this.metric('silopath_segments_capacity_octets'),
      this.metric('silopath_segments_free_octets'),
    ]
    return (await capacity) - (await free)
  }

  /** Closes the server as SIGTERM does. Resolves when `close` has; see `exited` for the process. */
  async close(): Promise<number> {
    return (await this.#order({ do: 'close' }, 'close')).tookMs
  }

  /** How the process ended: null when it has not `withinMs` from now. */
  async exited(withinMs: number): Promise<number | NodeJS.Signals | null> {
    const ended = () => this.#child.exitCode ?? this.#child.signalCode
    if (ended() === null) await Promise.race([once(this.#child, 'exit'), sleep(withinMs)])
    return ended()
  }

  /** Ends the process, whatever state it is in, and removes its files. */
  async remove(): Promise<void> {
    if ((await this.exited(0)) === null) {
      this.#child.kill('SIGKILL')
      await once(this.#child, 'exit')
    }
    await rm(this.#folder, { recursive: true, force: true })
  }

  async #order<Did extends RelayAnswer['did']>(order: RelayOrder, did: Did): Promise<AnswerTo<Did>> {
    const answer = answerOf(this.#child, this.#log, did)
    this.#child.send(order)
    return answer
  }
}

/** The next such answer of the process; what it wrote to stderr when it ends instead. */
async function answerOf<Did extends RelayAnswer['did']>(
  child: ChildProcess,
  log: readonly string[],
  did: Did,
): Promise<AnswerTo<Did>> {
  return new Promise((resolve, reject) => {
    const settle = () => {
      child.off('message', onMessage)
      child.off('exit', onExit)
    }
    const onExit = (code: number | null, signal: NodeJS.Signals | null) => {
      settle()
      reject(new Error(`the server ended with ${signal ?? `code ${code}`} before '${did}' was done:\n${log.join('')}`))
    }
    const onMessage = (message: RelayAnswer) => {
      if (message.did !== did) return
      settle()
      resolve(message as AnswerTo<Did>)
    }
    child.on('message', onMessage)
    child.once('exit', onExit)
  })
}

/** Polls until a condition holds. */
export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
  patienceMs = 10_000,
): Promise<void> {
  for (const endAt = performance.now() + patienceMs; !(await condition()); ) {
    if (performance.now() > endAt) throw new Error(`not within ${patienceMs} ms: ${what}`)
    await sleep(10)
  }
}
