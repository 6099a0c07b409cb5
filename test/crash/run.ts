import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Random } from '../support/random.ts'
import { Device } from './device.ts'
import { inspect } from './inspect.ts'
import { Ledger, type LedgerCounts, type LedgerEvent } from './ledger.ts'
import { CrashSender } from './sender.ts'
import { domain, Victim } from './victim.ts'

export interface CrashOptions {
  /** Kills. */
  readonly rounds: number
  /** No further round begins after so long, in ms. */
  readonly withinMs?: number
  /** Chooses what everybody does; what comes of it also depends on the machine. */
  readonly seed: number
  readonly progress?: (line: string) => void
  /** Ends it: it rejects when nothing is left of the server. */
  readonly signal?: AbortSignal
}

export interface CrashResult {
  readonly rounds: number
  readonly counts: LedgerCounts
  /** Dead letters in the end: all of them refused by every device of their owner. */
  readonly dead: number
  /** The first of what should not have happened; nothing else is a success. */
  readonly faults: readonly string[]
}

const senderCount = 8
const ownerCount = 8
const workersMax = 2
/** A round ends so long after the server was ready, or with an event shortly after. */
const roundMs = { least: 200, most: 1_200 }
const settleMs = 150
const eventsMax = 60
/** Some servers die before they are ready … */
const earlyDeathOneIn = 15
const earlyDeathMaxMs = 700
/** … and of many, some live long enough for requests to time out (64*T1). */
const longRoundOneIn = 50
const longRoundMs = 8_000
const drainWithinMs = 60_000
const attendMs = 1_500

/**
 * Kills a server under load and starts it again, over and over, and compares what it has promised with what it has done.
 * @throws Error when it cannot be started
 */
export async function crash({ rounds, withinMs, seed, progress, signal }: CrashOptions): Promise<CrashResult> {
  const folder = await mkdtemp(join(tmpdir(), 'silopath-crash-'))
  const names = Array.from({ length: ownerCount }, (_, index) => `o${index}`)
  const owners = names.map((name) => `sip:${name}@${domain}`)
  // Every second owner has two devices.
  const devicesOf = new Map(
    owners.map((owner, index) => [owner, [`d${index}a`, `d${index}b`].slice(0, 1 + (index % 2))]),
  )
  const ledger = new Ledger(devicesOf)
  const victim = await Victim.create({ folder, owners: names })
  victim.onDeath = (how) => ledger.fault(how)
  let stream = 0
  const random = () => new Random(seed, stream++)
  const devices = [...devicesOf].flatMap(([owner, own]) =>
    own.map((name) => new Device({ name, owner, victim, ledger, random: random() })),
  )
  const senders = Array.from(
    { length: senderCount },
    (_, index) =>
      new CrashSender({
        name: `s${index}`,
        transport: index % 2 === 0 ? 'tcp' : 'udp',
        // Each to every second owner, so that each owner has several senders.
        owners: owners.filter((_, owner) => (owner >> 1) % 2 === (index >> 1) % 2),
        victim,
        ledger,
        random: random(),
      }),
  )
  const own = random()
  const deadline = performance.now() + (withinMs ?? Number.POSITIVE_INFINITY)
  let round = 0
  let dead = 0
  try {
    await introduce(victim, devices, ledger)
    const sending = senders.map((sender) => sender.run())
    const visiting = devices.map((device) => device.run())
    while (round < rounds && performance.now() < deadline && ledger.faults.length === 0) {
      signal?.throwIfAborted()
      round++
      const isLong = rounds >= longRoundOneIn && own.oneIn(longRoundOneIn)
      await oneRound(victim, ledger, own, isLong)
      const remains = await inspect(victim.dataDir, folder)
      for (const fault of remains.faults) ledger.fault(`round ${round}: ${fault}`)
      ledger.compare(remains.waiting, remains.dead, `round ${round}`)
      if (round % 10 === 0) progress?.(`round ${round}: ${summaryOf(ledger)}`)
    }
    for (const sender of senders) sender.stop()
    for (const device of devices) device.stop()
    await Promise.all(visiting)
    await victim.startAlone(own.below(workersMax + 1))
    await drain(victim, devices, sending, ledger)
    await victim.stop()
    const remains = await inspect(victim.dataDir, folder)
    for (const fault of remains.faults) ledger.fault(`in the end: ${fault}`)
    ledger.compare(remains.waiting, remains.dead, 'in the end')
    dead = remains.dead.length
    progress?.(`in the end: ${summaryOf(ledger)}, dead ${dead}`)
  } finally {
    for (const sender of senders) sender.abandon()
    for (const device of devices) device.stop()
    await victim.kill()
    await rm(folder, { recursive: true, force: true })
  }
  return { rounds: round, counts: ledger.counts, dead, faults: ledger.faults }
}

/** Has the server know every device, and stops it, whereupon that is on disk. */
async function introduce(victim: Victim, devices: readonly Device[], ledger: Ledger): Promise<void> {
  await victim.start(1)
  const registered = await Promise.all(devices.map((device) => device.attend(settleMs)))
  if (registered.includes(false)) ledger.fault('a device could not register')
  await victim.stop()
}

/** From one kill to the next. */
async function oneRound(victim: Victim, ledger: Ledger, random: Random, isLong: boolean): Promise<void> {
  const workers = random.below(workersMax + 1)
  if (random.oneIn(earlyDeathOneIn)) {
    await victim.startAndKill(workers, random.below(earlyDeathMaxMs))
    return
  }
  await victim.start(workers)
  const lifeMs = isLong ? longRoundMs : random.between(roundMs.least, roundMs.most)
  const kind = random.pick<LedgerEvent | 'time'>(['time', 'accepted', 'delivered', 'answered'])
  const { promise: killed, resolve } = Promise.withResolvers<void>()
  if (kind === 'time') await sleep(lifeMs)
  else {
    // At once when it happens: that is when what was promised may not be on disk yet.
    await sleep(Math.min(settleMs, lifeMs))
    let left = random.between(1, eventsMax)
    ledger.onEvent = (event) => {
      if (event !== kind || --left > 0) return
      ledger.onEvent = () => {}
      resolve(victim.kill())
    }
    await Promise.race([killed, sleep(lifeMs)])
    ledger.onEvent = () => {}
  }
  await victim.kill()
}

/** All devices are there and take everything, until nothing is left. */
async function drain(
  victim: Victim,
  devices: readonly Device[],
  sending: readonly Promise<void>[],
  ledger: Ledger,
): Promise<void> {
  const deadline = performance.now() + drainWithinMs
  let areSent = false
  const sent = Promise.all(sending).then(() => {
    areSent = true
  })
  for (;;) {
    // On new lines each time: whoever has failed rests, until there is another way to it.
    const attending = devices.map((device) => device.attend(attendMs))
    // Senders come when the devices are there: where they were before, answers would be waited for in vain (64*T1).
    await sleep(settleMs)
    victim.admit()
    let isDone = false
    const until = performance.now() + attendMs
    while (!isDone && performance.now() < until) {
      await sleep(100)
      isDone = areSent && (await victim.waiting()) === 0
    }
    for (const device of devices) device.stop()
    const registered = await Promise.all(attending)
    if (isDone) break
    if (performance.now() < deadline) continue
    const waiting = await victim.waiting()
    ledger.fault(
      `after ${drainWithinMs / 1000} s with every device there ${waiting} messages wait, senders ` +
        `${areSent ? 'are answered' : 'are not'}, devices ${registered.includes(false) ? 'cannot register' : 'are registered'}`,
    )
    return
  }
  await sent
}

function summaryOf({ counts, owed }: Ledger): string {
  const { sent, accepted, direct, otherwise, delivered, repeats, refused, expired } = counts
  return (
    `${sent} sent, ${accepted} answered 202, ${direct} taken at once, ${otherwise} answered otherwise; from the silo ` +
    `${delivered} delivered, ${repeats} once more and marked as such, ${refused} refused, ${expired} expired, ${owed} waiting`
  )
}
