import { onTestFinished } from 'vitest'
import { formatProblems, parseConfig } from '../../../src/config/load.ts'
import type { Config } from '../../../src/config/schema.ts'
import type { Address, ConnectionId, LaneIndex } from '../../../src/ids.ts'
import { createLogger } from '../../../src/log.ts'
import { C } from '../../../src/metrics/counters.ts'
import { type Listener, Transport } from '../../../src/transport/transport.ts'
import { Connections } from '../../../src/workers/connections.ts'
import { readDatagramHead } from '../../../src/workers/datagram.ts'
import { DATAGRAM_HEAD_OCTETS, type Flow, type LaneFeed } from '../../../src/workers/lane-port.ts'
import { createMemory, mapMemory, memorySizes } from '../../../src/workers/memory.ts'
import { resetSegments, SegmentPool } from '../../../src/workers/segments.ts'
import { newCounters } from '../../support/counters.ts'
import { FakeTicker } from '../../support/fake-ticker.ts'

/** A datagram as a lane got it. */
export interface ReceivedDatagram {
  readonly listener: number
  readonly address: string
  readonly port: number
  readonly text: string
}

/** What a lane was told, in order. */
export class LaneDouble implements LaneFeed {
  readonly #memory: Buffer
  readonly #connections: Connections
  readonly opens: { readonly connection: ConnectionId; readonly flow: Flow }[] = []
  readonly received: { readonly connection: ConnectionId; readonly text: string; readonly whole: boolean }[] = []
  readonly datagrams: ReceivedDatagram[] = []
  readonly closes: ConnectionId[] = []
  /** As many octets it takes: then there is no room on the way to it. */
  room = Number.POSITIVE_INFINITY
  /** It takes, and is never done. */
  stalled = false
  onClosed: (connection: ConnectionId) => void = () => {}

  constructor(memory: Buffer, connections: Connections) {
    this.#memory = memory
    this.#connections = connections
  }

  opened(connection: ConnectionId, flow: Flow): void {
    this.opens.push({ connection, flow })
  }

  data(connection: ConnectionId, address: Address, octets: number): boolean {
    return this.#take(connection, address, octets, false)
  }

  message(connection: ConnectionId, address: Address, octets: number): boolean {
    return this.#take(connection, address, octets, true)
  }

  datagram(listener: number, at: Address, octets: number): boolean {
    if (!this.#hasRoom(octets)) return false
    const text = this.#memory.toString('latin1', at + DATAGRAM_HEAD_OCTETS, at + octets)
    this.datagrams.push({ listener, ...readDatagramHead(this.#memory, at), text })
    return true
  }

  closed(connection: ConnectionId): void {
    this.closes.push(connection)
    this.onClosed(connection)
  }

  handed(): void {}
  drained(): void {}
  answered(): void {}
  told(): void {}
  flush(): void {}

  #take(connection: ConnectionId, address: Address, octets: number, whole: boolean): boolean {
    if (!this.#hasRoom(octets)) return false
    this.received.push({ connection, text: this.#memory.toString('latin1', address, address + octets), whole })
    if (!this.stalled) this.#connections.consume(connection, octets)
    return true
  }

  #hasRoom(octets: number): boolean {
    if (octets > this.room) return false
    this.room -= octets
    return true
  }
}

/** The primary's sockets, with lanes that only note what they are told. */
export interface Primary {
  readonly transport: Transport
  readonly listeners: readonly Listener[]
  readonly lanes: readonly LaneDouble[]
  readonly connections: Connections
  readonly pool: SegmentPool
  readonly memory: Buffer
  readonly clock: FakeTicker
  readonly log: readonly string[]
  count(cell: keyof typeof C): number
  /** A segment that holds these octets. */
  segment(octets: Uint8Array | string): Address
}

export function configOf(keys: object): Config {
  const parsed = parseConfig(JSON.stringify({ memory_mib: 8, max_connections: 64, ...keys }), 'test.yaml')
  if (!parsed.ok) throw new Error(formatProblems(parsed.error))
  return parsed.value
}

/** Opens the listeners of a config, and ends with the test. */
export async function startPrimary(keys: {
  readonly listen: readonly object[]
  readonly [key: string]: unknown
}): Promise<Primary> {
  const config = configOf(keys)
  const map = mapMemory(memorySizes(config))
  const memory = createMemory(map)
  const words = new Int32Array(memory.buffer)
  const octets = Buffer.from(memory.buffer as unknown as ArrayBuffer)
  const connections = new Connections(words, map.connections)
  const { counters } = newCounters(map.lanes)
  const clock = new FakeTicker()
  const log: string[] = []
  const logger = createLogger('trace', 'json', { write: (line) => log.push(line) })
  const [{ segmentControl, segments }] = map.lane as [(typeof map.lane)[0]]
  resetSegments(words, segmentControl >> 2, segments, map.segmentOctets)
  const pool = new SegmentPool(words, segmentControl >> 2, segments, map.segmentOctets)
  const transport = new Transport(config, map, memory, connections, counters.primary, { log: logger, clock })
  const listeners: Listener[] = []
  const lanes = map.lane.map(() => new LaneDouble(octets, connections))
  for (const lane of lanes) lane.onClosed = (connection) => setImmediate(() => transport.released(connection))
  onTestFinished(() => transport.close())
  for (const listener of config.listen) listeners.push(await transport.listen(listener))
  transport.start(lanes)
  return {
    transport,
    listeners,
    lanes,
    connections,
    pool,
    memory: octets,
    clock,
    log,
    count: (cell) => counters.primary[C[cell] as number]!,
    segment(given) {
      const content = Buffer.from(given as string)
      const at = pool.take(content.length)
      if (at === 0) throw new Error('no segment is free')
      octets.set(content, at)
      return at
    },
  }
}

/** The lane that a test with workers speaks of. */
export const lane = (index: number) => index as LaneIndex
