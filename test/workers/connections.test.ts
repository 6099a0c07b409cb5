import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Address, ConnectionId, ConnectionSlot, LaneIndex } from '../../src/ids.ts'
import { CONNECTION_OCTETS } from '../../src/parser/kernel/record.ts'
import { CONNECTIONS_MAX, Connections, nextConnectionId, slotOf } from '../../src/workers/connections.ts'
import { RingConsumer, RingProducer } from '../../src/workers/ring.ts'
import { Random } from '../support/random.ts'
import {
  FLOW_CONNECTION,
  FLOW_LANE,
  FLOW_MAX,
  FLOW_OCTETS,
  FLOW_RECORDS,
  FLOW_RING,
  flowParts,
} from './support/flow.ts'
import { seeded, startThread } from './support/threads.ts'

const START = 4096 as Address
const SLOTS = 8
const QUEUED_WORD = 1
const WRITTEN_WORD = 2

const lane = (index: number) => index as LaneIndex
const slot = (index: number) => index as ConnectionSlot

/** A table whose counters of queued and written octets stand at `position`. */
function newTable(position = 0) {
  const words = new Int32Array(new SharedArrayBuffer(START + SLOTS * CONNECTION_OCTETS))
  for (let index = 0; index < SLOTS; index++) {
    const at = (START + index * CONNECTION_OCTETS) >> 2
    words[at + QUEUED_WORD] = position
    words[at + WRITTEN_WORD] = position
  }
  return new Connections(words, START)
}

const first = nextConnectionId(slot(3), 0)
const second = nextConnectionId(slot(3), first)

describe('connection ids', () => {
  test('an id is a positive 31-bit integer that names its slot, and 2047 generations of a slot differ', () => {
    for (const index of [0, 1, 4711, CONNECTIONS_MAX - 1]) {
      const seen = new Set<number>()
      let id = 0
      for (let generation = 1; generation <= 2047; generation++) {
        id = nextConnectionId(slot(index), id)
        expect(id > 0 && id < 2 ** 31 && slotOf(id as ConnectionId) === index).toBe(true)
        seen.add(id)
      }
      expect(seen.size).toBe(2047)
      expect(seen).toContain(nextConnectionId(slot(index), id))
    }
  })
})

describe('table of connections', () => {
  test('a connection is open from open to close; the one after it in its slot is another', () => {
    const table = newTable()
    expect(table.isOpen(first)).toBe(false)
    table.open(first, lane(2))
    expect([table.isOpen(first), table.isOpen(second), table.laneOf(first)]).toEqual([true, false, 2])
    table.close(first)
    expect([table.isOpen(first), table.isOpen(second)]).toEqual([false, false])
    table.open(second, lane(1))
    expect([table.isOpen(first), table.isOpen(second), table.laneOf(second)]).toEqual([false, true, 1])
  })

  test('slots do not touch each other', () => {
    const table = newTable()
    const ids = Array.from({ length: SLOTS }, (_, index) => nextConnectionId(slot(index), 0))
    for (const [index, id] of ids.entries()) table.open(id, lane(index))
    const [one, ...others] = [ids[4]!, ...ids.filter((_, index) => index !== 4)]
    table.queue(one, 7)
    table.await(one, lane(1))
    table.consume(one, 9)
    table.hunger(one)
    table.settle(one)
    table.close(one)
    for (const id of others) {
      const state = [table.isOpen(id), table.waiting(id), table.takeWaiters(id), table.owed(id, 0), table.settled(id)]
      expect(state).toEqual([true, 0, 0, 0, 0])
      expect(table.consume(id, 1)).toBe(false)
    }
  })

  test('queued and written go on in the next connection of a slot, since segments of the last may still be on their way', () => {
    const table = newTable()
    table.open(first, lane(0))
    table.queue(first, 1000)
    table.close(first)
    table.open(second, lane(0))
    const position = table.queuedPosition(second)
    table.queue(second, 50)
    expect([position, table.waiting(second), table.hasLeft(second, position)]).toEqual([1000, 1050, false])
    table.written(first, 1000)
    expect([table.waiting(second), table.hasLeft(second, position)]).toEqual([50, true])
  })

  test('waiters, input, hunger and settled requests of the last connection of a slot are forgotten', () => {
    const table = newTable()
    table.open(first, lane(0))
    table.await(first, lane(5))
    table.consume(first, 77)
    table.hunger(first)
    table.settle(first)
    table.close(first)
    table.open(second, lane(0))
    expect([table.takeWaiters(second), table.owed(second, 0), table.settled(second)]).toEqual([0, 0, 0])
    expect(table.consume(second, 1)).toBe(false)
  })

  test('what waits is right wherever the counters stand, also across 2^31 and 2^32', () => {
    const position = fc.oneof(
      fc.constantFrom(0, -1, -500, 0x7fff_ffff, 0x7fff_ff00, -0x8000_0000),
      fc.integer({ min: -0x8000_0000, max: 0x7fff_ffff }),
    )
    const amounts = fc.array(fc.integer({ min: 1, max: 400_000 }), { maxLength: 50 })
    fc.assert(
      fc.property(position, amounts, fc.infiniteStream(fc.boolean()), (start, segments, coin) => {
        const table = newTable(start)
        table.open(first, lane(0))
        const queue: { octets: number; position: number }[] = []
        const left: number[] = []
        const write = () => {
          const segment = queue.shift()
          if (segment === undefined) return
          table.written(first, segment.octets)
          left.push(segment.position)
        }
        const check = () => {
          expect(table.waiting(first)).toBe(queue.reduce((sum, { octets }) => sum + octets, 0))
          for (const waiting of queue) expect(table.hasLeft(first, waiting.position)).toBe(false)
          for (const gone of left) expect(table.hasLeft(first, gone)).toBe(true)
        }
        for (const octets of segments) {
          table.queue(first, octets)
          queue.push({ octets, position: table.queuedPosition(first) })
          if (coin.next().value) write()
          check()
        }
        while (queue.length > 0) write()
        check()
      }),
    )
  })

  test('every lane that asks is told once', () => {
    const table = newTable()
    table.open(first, lane(0))
    expect(table.takeWaiters(first)).toBe(0)
    for (const index of [0, 7, 31, 7]) table.await(first, lane(index))
    expect(table.takeWaiters(first) >>> 0).toBe(2 ** 31 + 2 ** 7 + 1)
    expect(table.takeWaiters(first)).toBe(0)
  })

  test('the primary is told of the first octets consumed after it became hungry, once', () => {
    const table = newTable()
    table.open(first, lane(0))
    expect([table.owed(first, 500), table.consume(first, 100), table.owed(first, 500)]).toEqual([500, false, 400])
    table.hunger(first)
    expect([table.consume(first, 1), table.consume(first, 1), table.owed(first, 500)]).toEqual([true, false, 398])
  })

  test('octets owed are right across 2^32', () => {
    const table = newTable()
    table.open(first, lane(0))
    let delivered = 0
    for (let n = 0; n < 9000; n++) {
      delivered = (delivered + 1_000_003) | 0
      expect(table.owed(first, delivered)).toBe(1_000_003)
      table.consume(first, 1_000_003)
      expect(table.owed(first, delivered)).toBe(0)
    }
  })

  test('settled requests are counted as long as their connection lives', () => {
    const table = newTable()
    table.open(first, lane(0))
    table.settle(first)
    table.settle(first)
    table.settle(first)
    expect(table.settled(first)).toBe(3)
    table.close(first)
    table.open(second, lane(0))
    table.settle(first)
    expect(table.settled(second)).toBe(0)
  })
})

describe('back-pressure between threads', () => {
  const file = new URL('./support/flow.worker.ts', import.meta.url)

  test('a primary that is hungry is always told when its lane has consumed (R-57)', async () => {
    const memory = new SharedArrayBuffer(FLOW_OCTETS)
    const { words, connections, primaryBell, laneBell } = flowParts(memory)
    connections.open(FLOW_CONNECTION, FLOW_LANE)
    const ring = new RingProducer(words, FLOW_RING, FLOW_RECORDS)
    const total = 10_000_000

    const deliver = async (seed: number) => {
      const random = new Random(seed, 0)
      let waits = 0
      for (let delivered = 0; delivered < total; ) {
        if (connections.owed(FLOW_CONNECTION, delivered | 0) >= FLOW_MAX) {
          primaryBell.lower()
          connections.hunger(FLOW_CONNECTION)
          if (connections.owed(FLOW_CONNECTION, delivered | 0) >= FLOW_MAX) {
            waits++
            await primaryBell.wait()
          }
          continue
        }
        const octets = Math.min(random.between(1, 600), total - delivered)
        ring.push(1, FLOW_CONNECTION, 0, octets)
        ring.publish()
        laneBell.ring()
        delivered += octets
      }
      return waits
    }

    const [waits, told] = await seeded((seed) =>
      Promise.all([deliver(seed), startThread<number>(file, { memory, direction: 'input', seed, total })]),
    )
    expect(waits).toBeGreaterThan(1000)
    expect(told).toBeGreaterThanOrEqual(waits)
    expect(connections.owed(FLOW_CONNECTION, total)).toBe(0)
  })

  test('a lane that waits for a receiver is always told when its queue has drained (R-57)', async () => {
    const memory = new SharedArrayBuffer(FLOW_OCTETS)
    const { words, connections, primaryBell, laneBell } = flowParts(memory)
    connections.open(FLOW_CONNECTION, FLOW_LANE)
    const ring = new RingConsumer(words, FLOW_RING, FLOW_RECORDS)
    const total = 10_000_000

    const write = async () => {
      let told = 0
      for (let done = 0; done < total; ) {
        primaryBell.lower()
        const drained = ring.drain((_kind, connection, _address, octets) => {
          connections.written(connection as ConnectionId, octets)
          done += octets
          if (connections.waiting(connection as ConnectionId) >= FLOW_MAX) return
          const waiters = connections.takeWaiters(connection as ConnectionId)
          if (waiters === 0) return
          expect(waiters).toBe(1 << FLOW_LANE)
          told++
          laneBell.ring()
        })
        if (drained === 0 && done < total) await primaryBell.wait()
      }
      return told
    }

    const [told, waits] = await seeded((seed) =>
      Promise.all([write(), startThread<number>(file, { memory, direction: 'output', seed, total })]),
    )
    expect(waits).toBeGreaterThan(1000)
    expect(told).toBeGreaterThanOrEqual(waits)
    expect(connections.waiting(FLOW_CONNECTION)).toBe(0)
  })
})
