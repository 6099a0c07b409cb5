/** Tells an HTTP endpoint what happens in the silo (docs/hooks.md): in order, at least once, and nobody waits for it. */
import type { Ticker } from '../clock.ts'
import type { Config } from '../config/schema.ts'
import type { Logger } from '../log.ts'
import { messageOf } from '../store/lmdb-environment.ts'
import type { SiloEvent, SiloEvents, SiloEventType } from './events.ts'
import { type EventBatch, type EventQueue, openEventQueue } from './hooks/queue.ts'
import { type PostOutcome, Receiver } from './hooks/receiver.ts'

/**
 * What is counted. Events: `posted`; `refused` by the receiver; `dropped`, for want of room, since the disk failed, or
 * since the receiver failed at them too often. Posts: `failed`. And how often the receiver was found to be down: `opened`.
 */
export type HookCount = 'posted' | 'refused' | 'dropped' | 'failed' | 'opened'

export interface HooksOptions {
  /** The configured `data_dir`; events that wait lie in `<data_dir>/hooks`. */
  readonly dataDir: string
  readonly config: Omit<NonNullable<Config['silo']['hooks']>, 'push'>
  readonly clock: Ticker
  readonly log: Logger
  readonly count: (what: HookCount, by: number) => void
}

export interface Hooks extends SiloEvents {
  /** Events that wait on disk. */
  depth(): number
  /** What waits stays on disk for the next run. A post under way is cut off, and made again then. */
  close(): Promise<void>
}

/** Failed posts in a row after which the receiver is down: it is tried with one event at a time (the circuit is open). */
export const failuresMax = 5
/** Times that the receiver may fail at one event: then others have their turn. About an hour. */
export const faultsMax = 60
/** Pause after the first failed post; each further one doubles it. */
export const backOffMinMs = 1_000
export const backOffMaxMs = 60_000

/**
 * Opens the queue and begins to post what an earlier run left in it.
 * @throws SilopathError STORE_UNAVAILABLE
 */
export async function openHooks(options: HooksOptions): Promise<Hooks> {
  const { dataDir, config, log, count } = options
  // Nothing is stored before the queue is open, so there are hooks to tell.
  let hooks: QueuedHooks | undefined
  const queue = await openEventQueue({
    dataDir,
    max: config.queue_max,
    log,
    dropped: (by) => count('dropped', by),
    stored: () => hooks?.wake(),
  })
  hooks = new QueuedHooks(queue, options)
  hooks.wake()
  return hooks
}

/** Nothing is sent meanwhile. Once there are enough events for a post, nobody waits for more. */
interface Rest {
  readonly kind: 'gathering' | 'backing-off'
  readonly stop: () => void
}

class QueuedHooks implements Hooks {
  readonly #queue: EventQueue
  readonly #receiver: Receiver
  readonly #options: HooksOptions
  readonly #wanted: ReadonlySet<SiloEventType>
  /** Events of the next post: fewer than configured after one that was too large, or while the receiver is down. */
  #size: number
  /** Failed posts in a row. */
  #failures = 0
  /** How often the receiver has failed at the oldest event. */
  #faults = 0
  #refusing = false
  #rest: Rest | null = null
  #posting: Promise<void> | null = null
  #closed = false

  constructor(queue: EventQueue, options: HooksOptions) {
    const { config, clock } = options
    this.#queue = queue
    this.#options = options
    const { url, secret, timeout } = config
    this.#receiver = new Receiver({ url, secret, timeoutMs: timeout * 1000, clock })
    this.#wanted = new Set(config.events)
    this.#size = config.batch_max
  }

  emit(event: SiloEvent): void {
    if (this.#wanted.has(event.type)) this.#queue.append(JSON.stringify(event))
  }

  depth(): number {
    return this.#queue.depth
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#rest?.stop()
    this.#receiver.close()
    await this.#posting
    await this.#queue.close()
  }

  /** Posts what waits: at once when it fills a post, else when others have had time to join it. */
  wake(): void {
    const { depth } = this.#queue
    if (this.#closed || this.#posting !== null || this.#rest?.kind === 'backing-off' || depth === 0) return
    const waitMs = this.#options.config.batch_wait * 1000
    if (depth >= this.#size || waitMs === 0) this.#start()
    else if (this.#rest === null) this.#take('gathering', waitMs)
  }

  #take(kind: Rest['kind'], milliseconds: number): void {
    this.#rest = { kind, stop: this.#options.clock.every(milliseconds, () => this.#start()) }
  }

  #start(): void {
    this.#rest?.stop()
    this.#rest = null
    this.#posting = this.#post().finally(() => {
      this.#posting = null
      this.wake()
    })
  }

  async #post(): Promise<void> {
    const batch = this.#read()
    if (batch === null) return
    const outcome = await this.#receiver.post(`{"events":${batch.json}}`)
    if (outcome.kind !== 'failed') this.#answered(outcome, batch)
    // Cut off at the end, it may have arrived: the next run posts it again, and each event_id tells.
    else if (!this.#closed) {
      this.#failed(outcome.reason, outcome.retryAfterMs)
      if (outcome.atFault) this.#atFault(outcome.reason, batch)
    }
  }

  #read(): EventBatch | null {
    try {
      return this.#queue.read(this.#size)
    } catch (error) {
      this.#failed(`cannot read the queue: ${messageOf(error)}`, 0)
      return null
    }
  }

  #answered(outcome: Exclude<PostOutcome, { kind: 'failed' }>, { events, last }: EventBatch): void {
    const { config, log, count } = this.#options
    if (this.#failures >= failuresMax) log.info({}, 'silo.hooks: the receiver answers again')
    this.#failures = 0
    this.#faults = 0
    if (outcome.kind === 'refused' && outcome.status === 413 && events > 1) {
      this.#size = Math.ceil(events / 2)
      return
    }
    this.#size = Math.min(config.batch_max, this.#size * 2)
    const taken = outcome.kind === 'accepted'
    count(taken ? 'posted' : 'refused', this.#queue.remove(last))
    if (taken && this.#refusing) log.info({}, 'silo.hooks: the receiver takes events again')
    // Of refusals in a row the first is told, the rest are counted.
    if (!taken && !this.#refusing) {
      log.warn({ status: outcome.status }, 'silo.hooks: the receiver refuses events, they are dropped')
    }
    this.#refusing = !taken
  }

  #failed(reason: string, retryAfterMs: number): void {
    const { log, count } = this.#options
    count('failed', 1)
    this.#failures++
    if (this.#failures === 1) log.warn({ reason }, 'silo.hooks: a post failed, it is made again')
    if (this.#failures === failuresMax) {
      log.error({ reason }, 'silo.hooks: the receiver is down, it is tried now and then')
      count('opened', 1)
    }
    if (this.#failures >= failuresMax) this.#size = 1
    const backOffMs = Math.min(backOffMaxMs, backOffMinMs * 2 ** (this.#failures - 1))
    // Receivers that fail together are not all asked again together.
    this.#take('backing-off', Math.max(retryAfterMs, backOffMs * (0.5 + Math.random() / 2)))
  }

  /** An event that makes the receiver fail must not keep all others from it for ever. By now it is posted alone. */
  #atFault(reason: string, { last }: EventBatch): void {
    if (++this.#faults < faultsMax) return
    this.#faults = 0
    this.#options.log.error({ reason }, 'silo.hooks: the receiver fails at an event again and again, it is dropped')
    this.#options.count('dropped', this.#queue.remove(last))
  }
}
