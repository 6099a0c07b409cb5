import assert from 'node:assert/strict'
import { setTimeout } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { MessageChannel, type MessagePort } from 'node:worker_threads'
import { Piscina } from 'piscina'
import type { Address, LaneIndex } from '../ids.ts'
import type { Logger } from '../log.ts'
import { type LaneSetup, prepareLane } from './lane.ts'
import type { LaneMessage, LanePort } from './lane-port.ts'
import { CONTROL_BELL } from './memory.ts'
import { Doorbell, RingConsumer } from './ring.ts'
import { RingFeed, type RingOccupancy } from './ring-feed.ts'
import { doneBy } from './ring-port.ts'
import { giveSegment } from './segments.ts'
import type { LaneTask } from './worker.ts'

/** What the pool tells the one who composed it. */
export interface PoolEvents {
  /** The thread of a lane has died of an uncaught error. Restart it when nobody uses its memory any more. */
  laneDied(lane: LaneIndex): void
}

interface Thread {
  readonly feed: RingFeed
  readonly ring: RingConsumer
  readonly messages: MessagePort
}

// Compiled or not, the worker stands next to this file.
const workerFile = new URL(import.meta.url.endsWith('.ts') ? './worker.ts' : './worker.js', import.meta.url).href

/** V8's young generation takes three of them. */
const semiSpaces = 3
/** As in the primary: little is allocated for frames, and that not for long. */
const msrpSemiSpaceMb = 4
/**
 * A SIP request is objects, as long as it is under way, hundreds of them wait for the disk or for an answer at a time: in a
 * smaller space every collection would find most of them in use, and copy them.
 */
const sipSemiSpaceMb = 8

/** The piscina threads, each with one never-ending task: a lane. */
export class LanePool {
  readonly #setup: LaneSetup
  readonly #ports: readonly LanePort[]
  readonly #log: Logger
  readonly #events: PoolEvents
  readonly #piscina: Piscina<LaneTask, void>
  readonly #threads: (Thread | null)[]
  readonly #take: ReturnType<typeof doneBy>
  readonly #tasks: Promise<void>[] = []
  readonly #bell: Doorbell
  readonly #words: Int32Array
  /** Lanes that something has been handed to and that have not been woken, a bit each. */
  #handedTo = 0
  #stopping = false

  /**
   * @param portOf what does the things that a lane asks for
   * @param filename URL of the module whose default export is what a thread does with its LaneTask
   */
  constructor(
    setup: LaneSetup,
    portOf: (lane: LaneIndex) => LanePort,
    log: Logger,
    events: PoolEvents,
    filename = workerFile,
  ) {
    this.#setup = setup
    this.#ports = setup.map.lane.map((_, lane) => portOf(lane as LaneIndex))
    // What goes through a ring is the same for every lane; only messages are answered.
    this.#take = doneBy({ ...this.#ports[0]!, hand: (lane, segment, octets) => this.#hand(lane, segment, octets) })
    this.#log = log
    this.#events = events
    const { lanes } = setup.map
    const semiSpaceMb = setup.sip === null ? msrpSemiSpaceMb : sipSemiSpaceMb
    // The flag that the primary was started with (cli/main.ts) would hold for threads, whatever their limits are.
    setFlagsFromString(`--max-semi-space-size=${semiSpaceMb}`)
    this.#piscina = new Piscina({
      filename,
      minThreads: lanes,
      maxThreads: lanes,
      idleTimeout: Number.POSITIVE_INFINITY,
      // Its own tasks never end: piscina's waiting would only block the thread's event loop.
      atomics: 'disabled',
      resourceLimits: { maxYoungGenerationSizeMb: semiSpaces * semiSpaceMb },
    })
    // A thread's death is told by the rejection of its task.
    this.#piscina.on('error', () => {})
    this.#threads = new Array<Thread | null>(lanes).fill(null)
    this.#words = new Int32Array(setup.memory.buffer)
    this.#bell = new Doorbell(this.#words, (setup.map.primaryControl >> 2) + CONTROL_BELL)
  }

  /** Starts all lanes and resolves when they take input. */
  async start(): Promise<void> {
    const lanes = Array.from({ length: this.#setup.map.lanes }, (_, lane) => this.startLane(lane as LaneIndex, null))
    await Promise.all(lanes)
    void this.#listen()
  }

  /**
   * Starts a lane with empty rings and tables: for the first time, or anew after its thread has died.
   * Nothing of it may be on the way to other lanes: `handsSeen`.
   * @param held see prepareLane
   */
  async startLane(lane: LaneIndex, held: readonly Address[] | null): Promise<void> {
    const { map, memory } = this.#setup
    const place = map.lane[lane]!
    const words = this.#words
    assert(!this.#isHandedOut(lane), 'nobody gives segments back while their pool is reset')
    prepareLane(this.#setup, lane, held)
    for (const start of [place.ringIn, place.ringOut]) words.fill(0, start >> 2, (start >> 2) + 32)
    const { port1, port2 } = new MessageChannel()
    const bell = new Doorbell(words, (place.control >> 2) + CONTROL_BELL)
    const feed = new RingFeed(memory, map, place, {
      wake: () => bell.ring(),
      tell: (message) => port1.postMessage(message),
    })
    const ring = new RingConsumer(words, place.ringOut, map.ringOutRecords)
    const ready = Promise.withResolvers<void>()
    port1.on('message', (message: LaneMessage | 'ready') => {
      if (message === 'ready') ready.resolve()
      else this.#ports[lane]!.post(message)
    })
    // piscina's type for the list is taken from a signature of postMessage that newer Node types no longer have first.
    const task: LaneTask = { lane, setup: this.#setup, held: held ?? [], messages: port2 }
    this.#tasks[lane] = this.#piscina.run(task, { transferList: [port2] as never }).then(
      () => port1.close(),
      (err: unknown) => {
        port1.close()
        ready.reject(err)
        if (this.#stopping) return
        this.#log.error({ lane, err }, 'a lane died')
        this.#bury(lane)
        this.#events.laneDied(lane)
      },
    )
    await ready.promise
    this.#threads[lane] = { feed, ring, messages: port1 }
  }

  /**
   * Resolves when other lanes have seen, and given back, all that a lane that has died had handed to them: at their next
   * turn, or at their death.
   */
  async handsSeen(lane: LaneIndex): Promise<void> {
    while (this.#isHandedOut(lane)) await setTimeout(1)
  }

  /** The way to a lane; null while it is dead. */
  feed(lane: LaneIndex): RingFeed | null {
    return this.#threads[lane]?.feed ?? null
  }

  /** Makes the thread of a lane die of an uncaught error: for our own tests. */
  crash(lane: LaneIndex): void {
    this.#threads[lane]?.messages.postMessage('crash')
  }

  /** Lets every lane finish what it has, then ends the threads. */
  async stop(): Promise<void> {
    this.#stopping = true
    for (const thread of this.#threads) thread?.feed.stop()
    await Promise.all(this.#tasks)
    while (this.#drain() > 0);
    this.#bell.ring()
    await this.#piscina.destroy()
  }

  /** Records waiting in the rings of a lane, and how many fit. */
  occupancy(lane: LaneIndex): RingOccupancy | null {
    const thread = this.#threads[lane]
    if (!thread) return null
    const { waiting, capacity } = thread.feed.occupancy
    return { in: waiting, inCapacity: capacity, out: thread.ring.waiting, outCapacity: this.#setup.map.ringOutRecords }
  }

  async #listen(): Promise<void> {
    while (!this.#stopping) {
      this.#bell.lower()
      if (this.#drain() === 0) await this.#bell.wait()
    }
  }

  #drain(): number {
    let count = 0
    for (const thread of this.#threads) if (thread !== null) count += thread.ring.drain(this.#take)
    if (this.#handedTo !== 0) this.#wakeHanded()
    return count
  }

  /** A lane is dead: what it had finished still leaves, and what it has not seen goes back to the lanes that sent it. */
  #bury(lane: LaneIndex): void {
    const thread = this.#threads[lane]
    if (!thread) return
    this.#threads[lane] = null
    while (thread.ring.drain(this.#take) > 0);
    this.#wakeHanded()
    for (const segment of thread.feed.unseen) giveSegment(this.#words, segment)
  }

  /** Whether another lane still has a segment of this one. */
  #isHandedOut(lane: LaneIndex): boolean {
    const { segments } = this.#setup.map.lane[lane]!
    const end = segments + this.#setup.map.segmentOctets
    return this.#threads.some((thread) => thread?.feed.unseen.some((segment) => segment >= segments && segment < end))
  }

  #hand(lane: LaneIndex, segment: Address, octets: number): void {
    const feed = this.#threads[lane]?.feed
    if (feed === undefined) {
      // Its sessions and transactions are gone: it would find nothing that this belongs to.
      giveSegment(this.#words, segment)
      return
    }
    feed.handed(segment, octets)
    this.#handedTo |= 1 << lane
  }

  #wakeHanded(): void {
    for (const [lane, thread] of this.#threads.entries()) if (this.#handedTo & (1 << lane)) thread?.feed.flush()
    this.#handedTo = 0
  }
}
