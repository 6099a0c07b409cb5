import { expect, test } from 'vitest'
import type { Address, ConnectionId, LaneIndex } from '../../src/ids.ts'
import { type LaneSetup, prepareLane } from '../../src/workers/lane.ts'
import type { LaneFeed } from '../../src/workers/lane-port.ts'
import { BATCH_OCTETS, createMemory, INPUT_OCTETS, mapMemory, READ_OCTETS } from '../../src/workers/memory.ts'
import { RingFeed } from '../../src/workers/ring-feed.ts'
import { RingIntake } from '../../src/workers/ring-intake.ts'

test('a lane gives input back, and sends what it has made, a batch at a time', () => {
  const map = mapMemory({ lanes: 1, maxConnections: 16, maxSessions: 16, maxTransactions: 16, segmentOctets: 8 << 20 })
  const memory = createMemory(map)
  const [place] = map.lane as [(typeof map.lane)[0]]
  prepareLane({ map, memory } as LaneSetup, 0 as LaneIndex, null)
  let flushes = 0
  let reads = 0
  const nothing = () => {}
  const lane: LaneFeed = {
    opened: nothing,
    data: () => {
      reads++
      return true
    },
    message: () => true,
    datagram: () => true,
    closed: nothing,
    handed: nothing,
    drained: nothing,
    answered: nothing,
    told: nothing,
    flush: () => void flushes++,
  }
  const intake = new RingIntake(memory, map, place, lane)
  let woken = 0
  const feed = new RingFeed(memory, map, place, { wake: () => void woken++, tell: nothing })
  const read = () => feed.data(1 as ConnectionId, map.readBuffer as Address, READ_OCTETS)
  const perBatch = BATCH_OCTETS / READ_OCTETS

  // Whoever has a batch to work on is woken for it before the turn ends.
  for (let i = 0; i < perBatch; i++) {
    expect([read(), woken]).toEqual([true, 0])
    feed.flush()
  }
  expect(woken).toBe(1)
  let carried = perBatch
  while (read()) carried++
  feed.flush()
  expect(carried).toBeGreaterThanOrEqual(INPUT_OCTETS / READ_OCTETS - 2)

  expect(intake.drain()).toBe(true)
  expect([reads, flushes]).toEqual([perBatch, 1])
  let more = 0
  while (read()) more++
  expect(more).toBeGreaterThanOrEqual(perBatch - 1)
  feed.flush()
  while (intake.drain());
  expect(reads).toBe(carried + more)
  expect(flushes).toBe(Math.ceil(reads / perBatch))
  expect(intake.drain()).toBe(false)
})
