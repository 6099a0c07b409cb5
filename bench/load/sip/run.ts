import { setTimeout as sleep } from 'node:timers/promises'
import { inBatches } from '../batches.ts'
import { requireOpenFiles } from '../limits.ts'
import { Payload } from '../payload.ts'
import { type CpuTime, cpuTime, residentOctets } from '../process-stat.ts'
import { openLine } from './lines.ts'
import type { Scenario, SipLoadOptions, SipLoadResult } from './options.ts'
import { SipTally } from './tally.ts'
import { BODY_HEAD, type Operation, type SipShared, User } from './user.ts'

const POLL_MS = 10
const TICK_MS = 50

/**
 * Registers the users, loads the server with each scenario in turn, unregisters them, and says what was seen.
 * @throws Error when users cannot be registered or unregistered
 */
export const runSipLoad = async (options: SipLoadOptions): Promise<SipLoadResult[]> => {
  requireOpenFiles(options.users)
  const crowd = new Crowd(options)
  await inBatches(options.users, 'users connected', (index) => crowd.add(index))
  const retransmitting = options.transport === 'udp' ? setInterval(() => crowd.tick(), TICK_MS) : undefined
  try {
    await crowd.once('register')
    const results: SipLoadResult[] = []
    for (const scenario of options.scenarios) results.push(await loadWith(crowd, scenario, options))
    await crowd.once('unregister')
    return results
  } finally {
    clearInterval(retransmitting)
    crowd.close()
  }
}

/** All users, of whom at most a window's worth are busy; the others wait in line. */
class Crowd implements SipShared {
  readonly options: SipLoadOptions
  readonly users: User[] = []
  readonly payload: Payload
  tally = new SipTally()
  /** A ring: user at `#head` begins next. */
  readonly #waiting: User[]
  #head = 0
  #waitingCount = 0
  #busy = 0
  #operation: Operation = 'register'
  /** Operations that may still begin. */
  #allowed = 0

  constructor(options: SipLoadOptions) {
    this.options = options
    this.payload = new Payload(options.size - BODY_HEAD)
    this.#waiting = new Array<User>(options.users)
  }

  get busy(): number {
    return this.#busy
  }

  async add(index: number): Promise<void> {
    const user = new User(index, this)
    this.users[index] = user
    const line = await openLine(this.options.transport, this.options.target, {
      onMessage: (octets) => user.receive(octets),
      onClose: (why) => this.tally.fail(why),
    })
    user.attach(line)
    this.idle(user)
  }

  idle(user: User): void {
    this.#waiting[(this.#head + this.#waitingCount++) % this.#waiting.length] = user
  }

  finished(): void {
    this.#busy--
    this.#pump()
  }

  /** Every user does this once. */
  async once(operation: Operation): Promise<void> {
    this.start(operation, this.users.length)
    await this.drained()
    const { completed, first } = this.tally
    if (completed === this.users.length) return
    const missing = this.users.length - completed
    throw new Error(`${operation} failed for ${missing} of ${this.users.length} users: ${first ?? 'no answer'}`)
  }

  /** Begins a new tally. */
  start(operation: Operation, operations = Number.POSITIVE_INFINITY): void {
    this.tally = new SipTally()
    this.#operation = operation
    this.#allowed = operations
    this.#pump()
  }

  /** Lets nothing new begin. */
  stop(): void {
    this.#allowed = 0
  }

  /** Waits until nobody is busy and nothing may begin, or until nothing has happened for `drainMs`. */
  async drained(): Promise<void> {
    let movedAt = performance.now()
    let before = -1
    while (this.#busy > 0 && performance.now() - movedAt < this.options.drainMs) {
      const { completed, failed, challenges } = this.tally
      const moved = completed + failed + challenges
      if (moved !== before) movedAt = performance.now()
      before = moved
      await sleep(POLL_MS)
    }
  }

  /** Gives up what is still under way, and says of how many. */
  abandon(): number {
    const lost = this.users.filter(({ isBusy }) => isBusy)
    for (const user of lost) {
      user.abandon()
      this.idle(user)
    }
    this.#busy = 0
    return lost.length
  }

  tick(): void {
    const now = performance.now()
    for (const user of this.users) user.tick(now)
  }

  close(): void {
    for (const user of this.users) user.close()
  }

  #pump(): void {
    while (this.#allowed > 0 && this.#busy < this.options.window && this.#waitingCount > 0) {
      const user = this.#waiting[this.#head]!
      this.#head = (this.#head + 1) % this.#waiting.length
      this.#waitingCount--
      this.#allowed--
      this.#busy++
      user.begin(this.#operation)
    }
  }
}

interface Measurement {
  readonly at: number
  readonly completed: number
  readonly challenges: number
  readonly cpu: CpuTime | null
  readonly rss: number | null
  readonly ownCpu: NodeJS.CpuUsage
}

const measure = ({ target: { pid } }: SipLoadOptions, { completed, challenges }: SipTally): Measurement => ({
  at: performance.now(),
  completed,
  challenges,
  cpu: pid === null ? null : cpuTime(pid),
  rss: pid === null ? null : residentOctets(pid),
  ownCpu: process.cpuUsage(),
})

const loadWith = async (crowd: Crowd, scenario: Scenario, options: SipLoadOptions): Promise<SipLoadResult> => {
  crowd.start(scenario)
  const { tally } = crowd
  await sleep(options.warmup * 1000)
  tally.latency.reset()
  const before = measure(options, tally)
  await sleep(options.seconds * 1000)
  const after = measure(options, tally)
  const { latency } = tally
  const latencyMs = {
    p50: round(latency.percentile(50)),
    p99: round(latency.percentile(99)),
    p99_9: round(latency.percentile(99.9)),
    max: round(latency.maxMs),
  }
  crowd.stop()
  await crowd.drained()
  const lost = crowd.abandon()

  const { transport, digest, users, window, size } = options
  const seconds = (after.at - before.at) / 1000
  const completed = after.completed - before.completed
  const each = (microseconds: number): number => (completed === 0 ? 0 : round(microseconds / completed))
  const userUs = before.cpu && after.cpu && after.cpu.userUs - before.cpu.userUs
  const sysUs = before.cpu && after.cpu && after.cpu.sysUs - before.cpu.sysUs
  const ownUs = after.ownCpu.user + after.ownCpu.system - before.ownCpu.user - before.ownCpu.system
  return {
    scenario,
    transport,
    digest,
    users,
    window,
    size,
    seconds: round(seconds),
    completed,
    completed_per_second: Math.round(completed / seconds),
    challenges: after.challenges - before.challenges,
    cpu_us_per_operation: userUs === null || sysUs === null ? null : each(userUs + sysUs),
    cpu_user_us_per_operation: userUs === null ? null : each(userUs),
    cpu_sys_us_per_operation: sysUs === null ? null : each(sysUs),
    latency_ms: latencyMs,
    lost,
    duplicate: tally.duplicate,
    failed: tally.failed,
    retransmissions: tally.retransmissions,
    first_fault: tally.first,
    rss_mib: after.rss === null ? null : round(after.rss / 2 ** 20),
    generator_cpu_us_per_operation: each(ownUs),
  }
}

const round = (value: number): number => Number(value.toFixed(3))
