import { setTimeout as sleep } from 'node:timers/promises'
import { inBatches } from '../batches.ts'
import { requireOpenFiles } from '../limits.ts'
import { type CpuTime, cpuTime, residentAnonymousOctets, residentOctets } from '../process-stat.ts'
import { FIRST_SEQUENCE } from '../sip/messages.ts'
import { Bodies } from './bodies.ts'
import {
  awayName,
  readerName,
  type SiloLoadOptions,
  type SiloLoadReport,
  type SiloLoadResult,
  warmupRounds,
} from './options.ts'
import { Reader } from './reader.ts'
import { Sender } from './sender.ts'
import { SiloTally } from './tally.ts'

const POLL_MS = 5
/** Until reminders are due at least: storing them and registering their readers must be over by then. */
const REMINDER_LEAD_MS = 2000
const REMINDERS_STORED_PER_SECOND = 2000

/**
 * Loads the server with each scenario in turn. `store` comes last, so that the others find as many messages as there
 * were before.
 * @throws Error when what a scenario needs cannot be stored, or its readers cannot register
 */
export const runSiloLoad = async (options: SiloLoadOptions): Promise<SiloLoadReport> => {
  requireOpenFiles(options.connections + options.readers)
  const load = new Load(options)
  load.senders = await inBatches(options.connections, 'senders connected', (index) =>
    Sender.open(index, options.target, { onStray: (what) => load.tally.fault('failed', what) }),
  )
  try {
    const results: SiloLoadResult[] = []
    if (options.scenarios.includes('dump')) results.push(await load.dump())
    if (options.scenarios.includes('reminders')) results.push(await load.remind())
    if (!options.scenarios.includes('store')) return { results, stored: [] }
    const first = load.senders.map(({ sequence }) => sequence + 1)
    for (const window of options.windows) results.push(await load.store(window))
    const stored = load.senders.map(({ index, sequence }) => ({
      sender: index,
      first: first[index]!,
      last: sequence,
      others: load.notStored[index]!,
    }))
    return { results, stored }
  } finally {
    for (const sender of load.senders) sender.close()
  }
}

interface Measurement {
  readonly at: number
  readonly completed: number
  readonly cpu: CpuTime
  readonly ownCpu: NodeJS.CpuUsage
}

class Load {
  senders: readonly Sender[] = []
  tally = new SiloTally()
  /** Of each sender, what `store` has sent and got no 202 for. */
  readonly notStored: number[][]
  readonly #options: SiloLoadOptions
  readonly #bodies: Bodies
  /** Who of those that are away gets the next MESSAGE. */
  #nextUser = 0
  #inFlight = 0
  #isSending = false

  constructor(options: SiloLoadOptions) {
    this.#options = options
    this.#bodies = new Bodies(options.size)
    this.notStored = Array.from({ length: options.connections }, () => [])
  }

  /** MESSAGEs for users who are away, a window's worth in flight, over all connections in turn. */
  async store(window: number): Promise<SiloLoadResult> {
    const { warmup, seconds, connections } = this.#options
    this.tally = new SiloTally()
    this.#isSending = true
    for (let i = 0; i < window; i++) this.#sendNext(this.senders[i % connections]!)
    await sleep(warmup * 1000)
    this.tally.latency.reset()
    const before = this.#measure()
    await sleep(seconds * 1000)
    const after = this.#measure()
    const latency = this.#latencies()
    this.#isSending = false
    await this.#settled(() => this.#inFlight)
    const lost = this.#inFlight
    for (const { index, pending } of this.senders) this.notStored[index]!.push(...pending)
    return this.#result('store', window, before, after, lost, latency)
  }

  /**
   * Readers come back, all of a round at once; what they take was stored before, which is not measured. Nor are the rounds
   * of the warm-up.
   */
  async dump(): Promise<SiloLoadResult> {
    const { readers, messages } = this.#options
    const unmeasured = warmupRounds(this.#options)
    const rounds = unmeasured + this.#options.rounds
    this.tally = new SiloTally()
    const spans: { readonly before: Measurement; readonly after: Measurement }[] = []
    let lost = 0
    for (let round = 0; round < rounds; round++) {
      if (round === unmeasured) this.tally.latency.reset()
      const indices = Array.from({ length: readers }, (_, i) => round * readers + i)
      await this.#storeFor(
        indices.map((index) => readerName('dump', index)),
        indices,
        '',
      )
      const crowd = await this.#crowd('dump', indices, null)
      const before = this.#measure()
      await Promise.all(crowd.readers.map((reader) => reader.register()))
      await this.#completed(crowd, readers * messages)
      if (round >= unmeasured) spans.push({ before, after: this.#measure() })
      lost += crowd.missing()
      crowd.close()
    }
    const { before, after } = together(spans)
    return this.#result('dump', readers, before, after, lost, this.#latencies())
  }

  /** Readers are there when what was stored for them before becomes due, all of it in the same second. */
  async remind(): Promise<SiloLoadResult> {
    const { readers, messages } = this.#options
    this.tally = new SiloTally()
    const indices = Array.from({ length: readers }, (_, i) => i)
    const count = readers * messages
    // Whole seconds are all that the header can say.
    const leadMs = REMINDER_LEAD_MS + (count / REMINDERS_STORED_PER_SECOND) * 1000
    const due = Math.ceil((Date.now() + leadMs) / 1000) * 1000
    const dueAt = performance.now() + due - Date.now()
    const time = new Date(due).toISOString().replace(/[-:T]|\..*/g, '')
    await this.#storeFor(
      indices.map((index) => readerName('reminders', index)),
      indices,
      `X-Send-At: ${time}\r\n`,
    )
    const crowd = await this.#crowd('reminders', indices, dueAt)
    await Promise.all(crowd.readers.map((reader) => reader.register()))
    if (performance.now() > dueAt) throw new Error('reminders were due before their readers were registered')
    await sleep(dueAt - performance.now())
    const start = this.#measure()
    // Reminders are looked for once a second: what is waited for that is no work of the server's.
    while (this.tally.completed === 0 && performance.now() - dueAt < this.#options.drainMs) await sleep(1)
    const before = { ...start, at: performance.now() }
    await this.#completed(crowd, count)
    const after = this.#measure()
    const lost = crowd.missing()
    crowd.close()
    return this.#result('reminders', readers, before, after, lost, this.#latencies())
  }

  #sendNext(sender: Sender): void {
    const { users } = this.#options
    const user = awayName(this.#nextUser)
    this.#nextUser = (this.#nextUser + 1) % users
    const { tally } = this
    const at = performance.now()
    this.#inFlight++
    sender.send(
      user,
      '',
      (sequence) => this.#bodies.text(sender.index, sequence),
      (status, sequence) => {
        this.#inFlight--
        if (status === 202) {
          tally.completed++
          tally.latency.record(performance.now() - at)
        } else {
          this.notStored[sender.index]!.push(sequence)
          tally.fault('failed', `a MESSAGE for a user who is away was answered ${status}`)
        }
        if (this.#isSending) this.#sendNext(sender)
      },
    )
  }

  /** Stores the messages of every reader, one of each reader at a time (S-83). */
  async #storeFor(names: readonly string[], indices: readonly number[], headers: string): Promise<void> {
    const { messages, connections } = this.#options
    let left = names.length * messages
    let refused: number | null = null
    const store = (position: number, number: number): void => {
      const sender = this.senders[position % connections]!
      const text = this.#bodies.text(indices[position]!, FIRST_SEQUENCE + number)
      sender.send(
        names[position]!,
        headers,
        () => text,
        (status) => {
          left--
          if (status !== 202) refused = status
          if (number < messages) store(position, number + 1)
        },
      )
    }
    for (const position of names.keys()) store(position, 1)
    await this.#settled(() => left)
    if (refused !== null) throw new Error(`a MESSAGE that was to be stored was answered ${refused}`)
    if (left > 0) throw new Error(`${left} MESSAGEs that were to be stored were not answered`)
  }

  async #crowd(scenario: 'dump' | 'reminders', indices: readonly number[], dueAt: number | null): Promise<Crowd> {
    const { target, messages } = this.#options
    const crowd = new Crowd()
    crowd.readers = indices.map(
      (index) =>
        new Reader({
          index,
          name: readerName(scenario, index),
          expected: messages,
          target,
          bodies: this.#bodies,
          tally: this.tally,
          dueAt,
          onComplete: () => crowd.oneComplete(),
        }),
    )
    await Promise.all(crowd.readers.map((reader) => reader.connect()))
    return crowd
  }

  /** At once when the last message has come; else when nothing more comes. */
  async #completed(crowd: Crowd, count: number): Promise<void> {
    const before = this.tally.completed
    const stalled = this.#settled(() => count - (this.tally.completed - before), crowd.signal)
    await Promise.race([crowd.complete, stalled])
    crowd.end()
  }

  /** Waits until `left` is 0, or has not changed for `drainMs`. */
  async #settled(left: () => number, signal?: AbortSignal): Promise<void> {
    let movedAt = performance.now()
    let before = -1
    while (left() > 0 && performance.now() - movedAt < this.#options.drainMs && signal?.aborted !== true) {
      if (left() !== before) movedAt = performance.now()
      before = left()
      await sleep(POLL_MS)
    }
  }

  #measure(): Measurement {
    const { pid } = this.#options.target
    if (pid === null) throw new Error('the server runs on another machine')
    return {
      at: performance.now(),
      completed: this.tally.completed,
      cpu: cpuTime(pid),
      ownCpu: process.cpuUsage(),
    }
  }

  #latencies(): SiloLoadResult['latency_ms'] {
    const { latency } = this.tally
    return {
      p50: round(latency.percentile(50)),
      p99: round(latency.percentile(99)),
      p99_9: round(latency.percentile(99.9)),
      max: round(latency.maxMs),
    }
  }

  #result(
    scenario: SiloLoadResult['scenario'],
    window: number,
    before: Measurement,
    after: Measurement,
    lost: number,
    latencyMs: SiloLoadResult['latency_ms'],
  ): SiloLoadResult {
    const { tally } = this
    const seconds = (after.at - before.at) / 1000
    const completed = after.completed - before.completed
    const each = (microseconds: number): number => (completed === 0 ? 0 : round(microseconds / completed))
    const userUs = after.cpu.userUs - before.cpu.userUs
    const sysUs = after.cpu.sysUs - before.cpu.sysUs
    const ownUs = after.ownCpu.user + after.ownCpu.system - before.ownCpu.user - before.ownCpu.system
    return {
      scenario,
      window,
      size: this.#options.size,
      seconds: round(seconds),
      completed,
      completed_per_second: Math.round(completed / seconds),
      cpu_us_per_operation: each(userUs + sysUs),
      cpu_user_us_per_operation: each(userUs),
      cpu_sys_us_per_operation: each(sysUs),
      latency_ms: latencyMs,
      lost,
      duplicate: tally.duplicate,
      reordered: tally.reordered,
      failed: tally.failed,
      first_fault: tally.first,
      rss_mib: round(residentOctets(this.#options.target.pid!) / 2 ** 20),
      rss_anon_mib: round(residentAnonymousOctets(this.#options.target.pid!) / 2 ** 20),
      generator_cpu_us_per_operation: each(ownUs),
    }
  }
}

/** Readers who are there at the same time. */
class Crowd {
  readers: readonly Reader[] = []
  readonly #ending = new AbortController()
  readonly #complete = Promise.withResolvers<void>()
  #completeCount = 0

  /** Resolves when all have all of theirs. */
  get complete(): Promise<void> {
    return this.#complete.promise
  }

  get signal(): AbortSignal {
    return this.#ending.signal
  }

  oneComplete(): void {
    if (++this.#completeCount === this.readers.length) this.#complete.resolve()
  }

  end(): void {
    this.#ending.abort()
  }

  missing(): number {
    return this.readers.reduce((sum, { missing }) => sum + missing, 0)
  }

  close(): void {
    for (const reader of this.readers) reader.close()
  }
}

/** One span as long as all, in which happened what happened in them. */
const together = (spans: readonly { readonly before: Measurement; readonly after: Measurement }[]) => {
  const sum = (of: (measurement: Measurement) => number): number =>
    spans.reduce((total, { before, after }) => total + of(after) - of(before), 0)
  const zero = { at: 0, completed: 0, cpu: { userUs: 0, sysUs: 0 }, ownCpu: { user: 0, system: 0 } }
  const after: Measurement = {
    at: sum(({ at }) => at),
    completed: sum(({ completed }) => completed),
    cpu: { userUs: sum(({ cpu }) => cpu.userUs), sysUs: sum(({ cpu }) => cpu.sysUs) },
    ownCpu: { user: sum(({ ownCpu }) => ownCpu.user), system: sum(({ ownCpu }) => ownCpu.system) },
  }
  return { before: zero, after }
}

const round = (value: number): number => Number(value.toFixed(3))
