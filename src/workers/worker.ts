import type { MessagePort } from 'node:worker_threads'
import { systemClock } from '../clock.ts'
import type { Address, LaneIndex } from '../ids.ts'
import type { Logger } from '../log.ts'
import { defaultRouting } from '../routing/default-routing.ts'
import { openLocationReader } from '../store/lmdb-location.ts'
import { locationVersionsWords } from '../store/location-store.ts'
import { Lane, type LaneSetup } from './lane.ts'
import type { LaneFeed, LanePort, PrimaryMessage } from './lane-port.ts'
import { CONTROL_BELL } from './memory.ts'
import { Doorbell } from './ring.ts'
import { RingIntake } from './ring-intake.ts'
import { RingPort } from './ring-port.ts'

/** What the pool hands to the thread of a lane. */
export interface LaneTask {
  readonly lane: LaneIndex
  readonly setup: LaneSetup
  /** Segments of the lane before it that sockets still hold. */
  readonly held: readonly Address[]
  /** To the primary: LaneMessages, and `ready` once. From it: PrimaryMessages, and `crash`, for tests of our own. */
  readonly messages: MessagePort
}

/** The one task of a pool thread: it runs a lane until it is told to stop. */
export default async function runLane(task: LaneTask): Promise<void> {
  const { lane: index, setup, held, messages } = task
  const { map, memory } = setup
  const versions = new Int32Array(memory.buffer, map.locationVersions, locationVersionsWords)
  const location = setup.sip === null ? null : openLocationReader(setup.config.data_dir, versions)
  const log = logThrough(messages)
  const rest = { log, clock: systemClock, routing: defaultRouting, location }
  await serveLane(task, (port) => new Lane(index, setup, { port, ...rest }, held))
  await location?.close()
}

/** Feeds a lane what comes through its ring and its messages, until it is told to stop. */
export async function serveLane(
  { lane: index, setup, messages }: LaneTask,
  make: (port: LanePort) => LaneFeed & { stop(): void },
): Promise<void> {
  const { map, memory } = setup
  const place = map.lane[index]!
  const words = new Int32Array(memory.buffer)
  const bell = new Doorbell(words, (place.control >> 2) + CONTROL_BELL)
  const toPrimary = new Doorbell(words, (map.primaryControl >> 2) + CONTROL_BELL)
  const port = new RingPort(memory, map, place, {
    wake: () => toPrimary.ring(),
    post: (message) => messages.postMessage(message),
  })
  const lane = make(port)
  const intake = new RingIntake(memory, map, place, lane)

  // Waiting for the bell keeps no thread alive; an open port does.
  messages.on('message', (order: PrimaryMessage | 'crash') => {
    if (order === 'crash') setImmediate(() => crash())
    else {
      lane.told(order)
      lane.flush()
    }
  })
  messages.postMessage('ready')

  while (!intake.stopped) {
    bell.lower()
    if (!intake.drain()) await bell.wait()
  }
  lane.stop()
  messages.close()
}

function logThrough(messages: MessagePort): Logger {
  const method = (level: keyof Logger) => (fields: object, message: string) =>
    messages.postMessage({ type: 'log', level, fields, message })
  return { debug: method('debug'), info: method('info'), warn: method('warn'), error: method('error') }
}

function crash(): never {
  throw new Error('told to crash')
}
