import type { LaneIndex } from '../ids.ts'
import { type Lane, type LaneSetup, prepareLane } from './lane.ts'
import type { LanePort } from './lane-port.ts'
import { RingConsumer } from './ring.ts'
import { RingFeed, type RingOccupancy } from './ring-feed.ts'
import { RingIntake } from './ring-intake.ts'
import { doneBy, RingPort } from './ring-port.ts'

/**
 * The lane of `workers: 0`, in the thread with the sockets. What comes and what goes waits in rings there too: so a turn
 * of the event loop reads all sockets that have something, then the lane works all of it off, then all that it makes is
 * written. Read, worked off and written one by one, each would find the processor's caches full of the others' code.
 */
export class LocalLane {
  readonly feed: RingFeed
  readonly #lane: Lane
  readonly #intake: RingIntake
  readonly #out: RingConsumer
  readonly #outCapacity: number
  readonly #take: ReturnType<typeof doneBy>
  #working = false
  #writing = false

  constructor(setup: LaneSetup, port: LanePort, make: (port: LanePort) => Lane) {
    const { map, memory } = setup
    const place = map.lane[0]!
    prepareLane(setup, 0 as LaneIndex, null)
    this.#outCapacity = map.ringOutRecords
    this.#out = new RingConsumer(new Int32Array(memory.buffer), place.ringOut, map.ringOutRecords)
    this.#take = doneBy(port)
    this.#lane = make(
      new RingPort(memory, map, place, { wake: () => this.#write(), post: (message) => port.post(message) }),
    )
    this.#intake = new RingIntake(memory, map, place, this.#lane)
    this.feed = new RingFeed(memory, map, place, {
      wake: () => this.#work(),
      tell: (message) => {
        this.#lane.told(message)
        this.#lane.flush()
      },
    })
  }

  /** Records waiting in the rings, and how many fit. */
  get occupancy(): RingOccupancy {
    const { waiting, capacity } = this.feed.occupancy
    return { in: waiting, inCapacity: capacity, out: this.#out.waiting, outCapacity: this.#outCapacity }
  }

  /** Lets the lane finish what it has. */
  stop(): void {
    this.#work()
    this.#lane.stop()
  }

  /** What comes while the lane works is worked off after it. */
  #work(): void {
    if (this.#working) return
    this.#working = true
    while (this.#intake.drain());
    this.#working = false
  }

  #write(): void {
    if (this.#writing) return
    this.#writing = true
    while (this.#out.drain(this.#take) > 0);
    this.#writing = false
  }
}
