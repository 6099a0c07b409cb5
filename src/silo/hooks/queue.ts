import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { type Database, open, type RootDatabase } from 'lmdb'
import { SilopathError } from '../../errors.ts'
import type { Logger } from '../../log.ts'
import { commitErrorOf, environmentOptions, messageOf, refuseForeignFile } from '../../store/lmdb-environment.ts'

export interface EventQueueOptions {
  /** The configured `data_dir`; the queue lies in an environment of its own, `<data_dir>/hooks`. */
  readonly dataDir: string
  /** Events that it holds; beyond them the oldest are dropped. */
  readonly max: number
  readonly log: Logger
  /** Told how many events have been lost: for want of room, or since the disk failed. */
  readonly dropped: (by: number) => void
  /** Told when there are more events to read. */
  readonly stored: () => void
}

/** Some of the oldest events, as the text of a JSON array. */
export interface EventBatch {
  readonly json: string
  readonly events: number
  /** Number of its last event, for `remove`. */
  readonly last: number
}

/** Raised with every change of what is stored. */
const queueVersion = 1
/** Bound on the events of a turn that are not on disk yet, in characters: some 50,000 of them. */
export const pendingCharsMax = 2 ** 24
/** A longer event is dropped: headers that others write are in it. */
export const eventCharsMax = 2 ** 14
/** Bound on a batch: what a receiver reads at a time. */
export const batchCharsMax = 2 ** 20
/** Bounds on one transaction: about 2 ms, during which this thread serves no socket. */
const transactionEventsMax = 500
const transactionErasuresMax = 2_000

/**
 * Opens the queue. Events of an earlier run are still there.
 * @throws SilopathError STORE_UNAVAILABLE
 */
export async function openEventQueue(options: EventQueueOptions): Promise<EventQueue> {
  const path = join(options.dataDir, 'hooks')
  let environment: RootDatabase | undefined
  try {
    await refuseForeignFile(join(path, 'data.mdb'))
    environment = open({ path, ...environmentOptions })
    const tables = tablesOf(environment)
    const version = tables.facts.get('version')
    if (version === undefined) {
      await tables.facts.batch(() => {
        tables.facts.put('version', queueVersion)
        tables.facts.put('name', randomBytes(6).toString('hex'))
        tables.facts.put('tail', 0)
      })
    } else if (version !== queueVersion) {
      throw new Error(`its records have version ${version}, not ${queueVersion}`)
    }
    return new EventQueue(environment, tables, options)
  } catch (error) {
    const cause = await commitErrorOf(error)
    await environment?.close()
    throw new SilopathError(
      'STORE_UNAVAILABLE',
      `cannot open the queue of silo.hooks in ${path}: ${messageOf(cause)}. Make the folder writable, check that the ` +
        'disk has space, or set data_dir to another place; it holds events that wait to be posted, so it may be ' +
        'deleted while silopath is stopped if they may be lost.',
      { cause },
    )
  }
}

interface Tables {
  /** JSON of events by their number, without gaps. */
  readonly events: Database<string, number>
  /** `version`; `name`, which no other queue has; `tail`, the number of the last event that was stored. */
  readonly facts: Database<string | number, 'version' | 'name' | 'tail'>
}

function tablesOf(environment: RootDatabase): Tables {
  return {
    events: environment.openDB({ name: 'events', encoding: 'string' }),
    facts: environment.openDB({ name: 'facts' }),
  }
}

/**
 * Events in order, on disk. Whoever appends waits for nothing: what one turn of the event loop appends, and what arrives
 * while that is written, is stored together.
 *
 *   1 … erased │ … head │ … tail │ pending
 *     off disk │ done   │ depth  │ not on disk yet
 */
export class EventQueue {
  readonly #environment: RootDatabase
  readonly #tables: Tables
  readonly #options: EventQueueOptions
  readonly #name: string
  #erased: number
  #head: number
  #tail: number
  readonly #pending: string[] = []
  #pendingChars = 0
  #writing: Promise<void> | undefined
  #failing = false
  #closed = false

  constructor(environment: RootDatabase, tables: Tables, options: EventQueueOptions) {
    this.#environment = environment
    this.#tables = tables
    this.#options = options
    const { events, facts } = tables
    this.#name = String(facts.get('name'))
    this.#tail = Number(facts.get('tail'))
    const [first] = events.getKeys({ limit: 1 })
    this.#erased = first === undefined ? this.#tail : first - 1
    this.#head = this.#erased
    // The bound may have been larger in the run before.
    this.#dropOldest()
  }

  /** Events that are stored and neither removed nor dropped. */
  get depth(): number {
    return this.#tail - this.#head
  }

  /** The JSON of an event, an object that is not empty. Never throws. */
  append(json: string): void {
    if (this.#closed || json.length > eventCharsMax || this.#pendingChars + json.length > pendingCharsMax) {
      this.#options.dropped(1)
      return
    }
    this.#pending.push(json)
    this.#pendingChars += json.length
    this.#wake()
  }

  /** At most so many of the oldest events, each with its `event_id`; there is one at least. */
  read(max: number): EventBatch {
    assert(this.depth > 0, 'there is something to read')
    // lmdb keeps one snapshot for all reads of a turn of the event loop.
    this.#environment.resetReadTxn()
    const events: string[] = []
    let last = this.#head
    let chars = 0
    for (const { key, value } of this.#tables.events.getRange({ start: last + 1, end: this.#tail + 1, limit: max })) {
      chars += value.length
      if (events.length > 0 && chars > batchCharsMax) break
      events.push(`{"event_id":"${this.#name}-${key}",${value.slice(1)}`)
      last = key
    }
    assert(last > this.#head, 'numbers of events have no gaps')
    return { json: `[${events.join(',')}]`, events: events.length, last }
  }

  /** Removes the events up to this one; returns how many of them were still there. */
  remove(last: number): number {
    const removed = Math.max(0, last - this.#head)
    this.#head += removed
    if (removed > 0) this.#wake()
    return removed
  }

  /** What has been appended is stored before. */
  async close(): Promise<void> {
    this.#closed = true
    await this.#writing
    await this.#environment.close()
  }

  #dropOldest(): void {
    const dropped = this.remove(this.#tail - this.#options.max)
    if (dropped > 0) this.#options.dropped(dropped)
  }

  #wake(): void {
    this.#writing ??= this.#writeAll()
  }

  async #writeAll(): Promise<void> {
    // Lets what else this turn of the event loop appends join the first transaction.
    await new Promise<void>((resolve) => setImmediate(resolve))
    while (this.#pending.length > 0 || this.#erased < this.#head) {
      const written = await this.#write(this.#pending.splice(0, transactionEventsMax))
      // What is left to erase can wait for the next event: by then there may be room.
      if (!written && this.#pending.length === 0) break
    }
    this.#writing = undefined
  }

  async #write(events: readonly string[]): Promise<boolean> {
    const { events: rows, facts } = this.#tables
    const tail = this.#tail + events.length
    const erased = Math.min(this.#head, this.#erased + transactionErasuresMax)
    for (const json of events) this.#pendingChars -= json.length
    try {
      await rows.batch(() => {
        for (let number = this.#erased + 1; number <= erased; number++) rows.remove(number)
        events.forEach((json, n) => {
          rows.put(this.#tail + 1 + n, json)
        })
        facts.put('tail', tail)
      })
    } catch (error) {
      this.#failed(await commitErrorOf(error), events.length)
      return false
    }
    if (this.#failing) this.#options.log.info({}, 'silo.hooks: events are stored again')
    this.#failing = false
    this.#erased = erased
    this.#tail = tail
    this.#dropOldest()
    if (events.length > 0) this.#options.stored()
    return true
  }

  #failed(cause: unknown, lost: number): void {
    const { log, dropped } = this.#options
    if (!this.#failing) {
      log.error({ reason: messageOf(cause) }, 'silo.hooks: cannot store events in data_dir, they are dropped')
    }
    this.#failing = true
    if (lost > 0) dropped(lost)
  }
}
