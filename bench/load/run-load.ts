import { setTimeout as sleep } from 'node:timers/promises'
import { authenticate } from './authenticate.ts'
import { inBatches } from './batches.ts'
import { Connection } from './connection.ts'
import { Inbox } from './frame-reader.ts'
import { requireOpenFiles } from './limits.ts'
import type { LoadOptions, LoadResult } from './options.ts'
import { Outbox } from './outbox.ts'
import { Payload } from './payload.ts'
import { type CpuTime, cpuTime, residentOctets } from './process-stat.ts'
import { Receiver } from './receiver.ts'
import { Sender } from './sender.ts'
import { FRAME_OVERHEAD_MAX, type Schedule, Session, type Shared } from './session.ts'
import { Tally } from './tally.ts'
import { ANSWERED, DELIVERED } from './window.ts'

/** A timer is only trusted to wake up this many ms late; nearer due times are waited for by polling. */
const TIMER_SLACK_MS = 2
const DRAIN_POLL_MS = 10

interface Pair {
  readonly session: Session
  readonly sender: Sender
}

/**
 * Opens the pairs, loads the relay for the warm-up and the measured seconds, drains, and says what was seen.
 * @throws Error when the pairs cannot be set up
 */
export const runLoad = async (options: LoadOptions): Promise<LoadResult> => {
  requireOpenFiles(2 * options.pairs)
  const schedule: Schedule = {
    running: true,
    pairs: options.pairs,
    intervalMs: options.rate === 0 ? 0 : 1000 / options.rate,
    startedAt: 0,
  }
  const shared: Shared = {
    inbox: new Inbox(),
    outbox: new Outbox(options.size + FRAME_OVERHEAD_MAX),
    payload: new Payload(options.size),
    tally: new Tally(),
    schedule,
  }
  const pairs = await inBatches(options.pairs, 'pairs set up', (index) => openPair(index, options, shared))
  const connections = pairs.flatMap(({ session }) => [session.sender, session.receiver])
  for (const { socket } of connections) {
    socket.once('close', () => shared.tally.closed('the relay closed a connection'))
  }

  start(pairs, schedule)
  await sleep(options.warmup * 1000)
  shared.tally.latency.reset()
  const before = measure(options, shared.tally)
  await sleep(options.seconds * 1000)
  const after = measure(options, shared.tally)
  const { latency } = shared.tally
  const latencyMs = {
    p50: round(latency.percentile(50), 3),
    p99: round(latency.percentile(99), 3),
    p99_9: round(latency.percentile(99.9), 3),
    max: round(latency.maxMs, 3),
  }
  const backlog = schedule.intervalMs === 0 ? 0 : backlogOf(pairs, schedule)
  schedule.running = false
  await drain(pairs, options.drainMs)

  for (const { socket } of connections) {
    socket.removeAllListeners('close')
    socket.destroy()
  }
  return { ...resultOf(options, shared.tally, before, after), latency_ms: latencyMs, backlog, ...missing(pairs) }
}

const openPair = async (index: number, options: LoadOptions, shared: Shared): Promise<Pair> => {
  const { target, topology, window, size } = options
  const receiver = await Connection.open(target, shared.inbox)
  const hops = [await authenticate(receiver, target)]
  const sender = await Connection.open(target, shared.inbox)
  // One hop: the sender is a stranger without a relay of its own, whom the receiver's URI lets in (R-13a, R-15).
  if (topology === 'two-hop') hops.unshift(await authenticate(sender, target))
  const session = new Session(index, sender, receiver, hops, window, size)
  const sending = new Sender(session, shared)
  sender.handOver(sending)
  receiver.handOver(new Receiver(session, sending, shared))
  return { session, sender: sending }
}

const start = (pairs: readonly Pair[], schedule: Schedule): void => {
  schedule.startedAt = performance.now()
  if (schedule.intervalMs === 0) {
    for (const { sender } of pairs) sender.pump(performance.now())
    return
  }
  let frame = 0
  const tick = (): void => {
    if (!schedule.running) return
    const now = performance.now()
    for (; schedule.startedAt + frame * schedule.intervalMs <= now; frame++)
      pairs[frame % pairs.length]!.sender.pump(now)
    const wait = schedule.startedAt + frame * schedule.intervalMs - now
    if (wait > TIMER_SLACK_MS) setTimeout(tick, wait - TIMER_SLACK_MS)
    else setImmediate(tick)
  }
  tick()
}

interface Measurement {
  readonly at: number
  readonly frames: number
  readonly cpu: CpuTime | null
  readonly rss: number | null
  readonly ownCpu: NodeJS.CpuUsage
}

const measure = ({ target: { pid } }: LoadOptions, { frames }: Tally): Measurement => ({
  at: performance.now(),
  frames,
  cpu: pid === null ? null : cpuTime(pid),
  rss: pid === null ? null : residentOctets(pid),
  ownCpu: process.cpuUsage(),
})

/** Waits until nothing is in flight, or until nothing has moved for `quietMs`. */
const drain = async (pairs: readonly Pair[], quietMs: number): Promise<void> => {
  let movedAt = performance.now()
  let before = -1
  while (performance.now() - movedAt < quietMs) {
    const { lost, unanswered } = missing(pairs)
    if (lost + unanswered === 0) return
    if (lost + unanswered !== before) movedAt = performance.now()
    before = lost + unanswered
    await sleep(DRAIN_POLL_MS)
  }
}

const missing = (pairs: readonly Pair[]): Pick<LoadResult, 'lost' | 'unanswered'> => {
  const sum = (half: typeof ANSWERED | typeof DELIVERED): number =>
    pairs.reduce((total, { session }) => total + session.window.missing(half), 0)
  return { lost: sum(DELIVERED), unanswered: sum(ANSWERED) }
}

const backlogOf = (pairs: readonly Pair[], schedule: Schedule): number => {
  const due = Math.floor((performance.now() - schedule.startedAt) / schedule.intervalMs) + 1
  return due - pairs.reduce((sent, { session }) => sent + session.window.next, 0)
}

const resultOf = (
  options: LoadOptions,
  tally: Tally,
  before: Measurement,
  after: Measurement,
): Omit<LoadResult, 'latency_ms' | 'backlog' | 'lost' | 'unanswered'> => {
  const { pairs, window, size, topology, rate } = options
  const seconds = (after.at - before.at) / 1000
  const frames = after.frames - before.frames
  const perFrame = (microseconds: number): number => (frames === 0 ? 0 : round(microseconds / frames, 3))
  const userUs = before.cpu && after.cpu && after.cpu.userUs - before.cpu.userUs
  const sysUs = before.cpu && after.cpu && after.cpu.sysUs - before.cpu.sysUs
  const ownUs = after.ownCpu.user + after.ownCpu.system - before.ownCpu.user - before.ownCpu.system
  return {
    pairs,
    window,
    size,
    topology,
    rate,
    seconds: round(seconds, 3),
    frames,
    frames_per_second: Math.round(frames / seconds),
    mb_per_second: round((frames * size) / seconds / 1e6, 3),
    cpu_us_per_frame: userUs === null || sysUs === null ? null : perFrame(userUs + sysUs),
    cpu_user_us_per_frame: userUs === null ? null : perFrame(userUs),
    cpu_sys_us_per_frame: sysUs === null ? null : perFrame(sysUs),
    corrupt: tally.corrupt,
    corrupt_by: tally.faults,
    reordered: tally.reordered,
    reports: tally.reports,
    bad_responses: tally.badResponses,
    closed_connections: tally.closedConnections,
    first_fault: tally.first,
    rss_mib: after.rss === null ? null : round(after.rss / 2 ** 20, 1),
    generator_cpu_us_per_frame: perFrame(ownUs),
  }
}

const round = (value: number, digits: number): number => Number(value.toFixed(digits))
