import type { MessagePort } from 'node:worker_threads'
import { systemClock } from '../clock.ts'
import type { Address, ConnectionId, LaneIndex } from '../ids.ts'
import type { Logger } from '../log.ts'
import { defaultRouting } from '../routing/default-routing.ts'
import { openLocationReader } from '../store/lmdb-location.ts'
import { locationVersionsWords } from '../store/location-store.ts'
import { Flows } from './flows.ts'
import { Lane, type LaneSetup } from './lane.ts'
import type { LaneFeed, LanePort, PrimaryMessage } from './lane-port.ts'
import { CONTROL_BELL, CONTROL_HANDED, CONTROL_INPUT_READ } from './memory.ts'
import { Doorbell, RingConsumer } from './ring.ts'
import {
  IN_ANSWERED,
  IN_CLOSED,
  IN_DATA,
  IN_DATAGRAM,
  IN_DRAINED,
  IN_HANDED,
  IN_MESSAGE,
  IN_OPENED,
  IN_STOP,
} from './ring-feed.ts'
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
  const inputRead = (place.control >> 2) + CONTROL_INPUT_READ
  const handedSeen = (place.control >> 2) + CONTROL_HANDED
  const flows = new Flows(memory.buffer, map.flows)
  const ring = new RingConsumer(words, place.ringIn, map.ringInRecords)
  const bell = new Doorbell(words, (place.control >> 2) + CONTROL_BELL)
  const lane = make(new RingPort(memory, map, place, messages))

  // Waiting for the bell keeps no thread alive; an open port does.
  messages.on('message', (order: PrimaryMessage | 'crash') => {
    if (order === 'crash') setImmediate(() => crash())
    else {
      lane.told(order)
      lane.flush()
    }
  })
  messages.postMessage('ready')

  let stopped = false
  let read = 0
  const take = (kind: number, connection: number, address: number, length: number) => {
    switch (kind) {
      case IN_DATA:
        lane.data(connection as ConnectionId, address as Address, length)
        read = address + length
        break
      case IN_MESSAGE:
        lane.message(connection as ConnectionId, address as Address, length)
        read = address + length
        break
      case IN_DATAGRAM:
        lane.datagram(connection, address as Address, length)
        read = address + length
        break
      case IN_HANDED:
        try {
          lane.handed(address as Address, length)
        } finally {
          Atomics.add(words, handedSeen, 1)
        }
        break
      case IN_OPENED:
        lane.opened(connection as ConnectionId, flows.get(connection as ConnectionId))
        break
      case IN_CLOSED:
        lane.closed(connection as ConnectionId)
        break
      case IN_DRAINED:
        lane.drained(connection as ConnectionId)
        break
      case IN_ANSWERED:
        lane.answered(address, connection as ConnectionId | 0)
        break
      case IN_STOP:
        stopped = true
        break
    }
  }
  while (!stopped) {
    bell.lower()
    if (ring.drain(take) === 0) {
      await bell.wait()
      continue
    }
    if (read !== 0) Atomics.store(words, inputRead, read)
    lane.flush()
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
