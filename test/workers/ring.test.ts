import { AssertionError } from 'node:assert/strict'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Address } from '../../src/ids.ts'
import {
  Doorbell,
  OctetRing,
  RING_CONTROL_OCTETS,
  RING_RECORD_OCTETS,
  RingConsumer,
  RingProducer,
} from '../../src/workers/ring.ts'
import { newPumpMemory, type PumpOptions, pump } from './support/pump.ts'
import { seeded, startThread } from './support/threads.ts'

const START = 4096 as Address
const TAIL_OCTETS = 64

type Entry = readonly [kind: number, connection: number, address: number, length: number]

/** A ring whose counters have come as far as `counter`. */
function newRing(capacity: number, counter = 0) {
  const words = new Int32Array(new SharedArrayBuffer(START + RING_CONTROL_OCTETS + capacity * RING_RECORD_OCTETS))
  words[START >> 2] = counter
  words[(START + TAIL_OCTETS) >> 2] = counter
  const producer = new RingProducer(words, START, capacity)
  const consumer = new RingConsumer(words, START, capacity)
  const drain = () => {
    const taken: Entry[] = []
    const count = consumer.drain((...record) => taken.push(record))
    expect(count).toBe(taken.length)
    return taken
  }
  return { words, producer, consumer, drain }
}

const entry = (n: number): Entry => [n & 7, n, n * 64, 1000 + n]

describe('ring of records', () => {
  test('records come out in the order in which they went in, and not before they are published', () => {
    const { producer, consumer, drain } = newRing(8)
    for (let n = 0; n < 5; n++) producer.push(...entry(n))
    expect([consumer.empty, drain(), producer.room, producer.waiting]).toEqual([true, [], 3, 5])
    expect(producer.publish()).toBe(true)
    expect(consumer.empty).toBe(false)
    expect(drain()).toEqual([0, 1, 2, 3, 4].map(entry))
    expect([consumer.empty, producer.room, producer.waiting, producer.publish()]).toEqual([true, 8, 0, false])
  })

  test('room comes back when the consumer has taken the whole batch, not while it is at it', () => {
    const { producer, consumer } = newRing(4)
    for (let n = 0; n < 4; n++) producer.push(...entry(n))
    producer.publish()
    const rooms: number[] = []
    consumer.drain(() => rooms.push(producer.room))
    expect([...rooms, producer.room]).toEqual([0, 0, 0, 0, 4])
  })

  test('a batch ends with the record after which the consumer has enough; the rest waits, and its room stays taken', () => {
    const { producer, consumer, drain } = newRing(8)
    for (let n = 0; n < 6; n++) producer.push(...entry(n))
    producer.publish()
    const taken: Entry[] = []
    const count = consumer.drain(
      (...record) => taken.push(record),
      () => taken.length === 2,
    )
    expect([count, taken, producer.room]).toEqual([2, [0, 1].map(entry), 4])
    expect(drain()).toEqual([2, 3, 4, 5].map(entry))
    expect(producer.room).toBe(8)
  })

  test('a ring that is overrun is a bug of ours and asserts', () => {
    const { producer, drain } = newRing(4)
    for (let n = 0; n < 4; n++) producer.push(...entry(n))
    producer.publish()
    producer.push(...entry(4))
    expect(() => producer.publish()).toThrow(AssertionError)
    expect(drain()).toHaveLength(4)
  })

  test('a capacity that is no power of two asserts', () => {
    const words = new Int32Array(new SharedArrayBuffer(65_536))
    expect(() => new RingProducer(words, START, 6)).toThrow(AssertionError)
  })

  test('ends that are made anew go on where the old ones stopped', () => {
    const { words, producer, drain } = newRing(8)
    for (let n = 0; n < 6; n++) producer.push(...entry(n))
    producer.publish()
    drain()
    producer.push(...entry(6))
    producer.publish()
    const newProducer = new RingProducer(words, START, 8)
    const newConsumer = new RingConsumer(words, START, 8)
    newProducer.push(...entry(7))
    newProducer.publish()
    const taken: Entry[] = []
    newConsumer.drain((...record) => taken.push(record))
    expect(taken).toEqual([6, 7].map(entry))
    expect(newProducer.room).toBe(8)
  })

  test('any order of pushes, publications and drains agrees with a list, also across 2^31 and 2^32', () => {
    const operation = fc.oneof(
      fc.record({ do: fc.constant('push' as const), count: fc.integer({ min: 1, max: 9 }) }),
      fc.record({ do: fc.constant('publish' as const) }),
      fc.record({ do: fc.constant('drain' as const) }),
    )
    const counter = fc.oneof(
      fc.constantFrom(0, -1, -8, -20, 0x7fff_ffff, 0x7fff_fff0, -0x8000_0000),
      fc.integer({ min: -0x8000_0000, max: 0x7fff_ffff }),
    )
    fc.assert(
      fc.property(
        counter,
        fc.constantFrom(1, 2, 8, 32),
        fc.array(operation, { maxLength: 200 }),
        (first, capacity, operations) => {
          const { producer, consumer, drain } = newRing(capacity, first)
          const published: number[] = []
          const pushed: number[] = []
          let next = 0
          for (const step of operations) {
            if (step.do === 'push') {
              for (let i = 0; i < step.count && producer.room > 0; i++) {
                producer.push(...entry(next))
                pushed.push(next++)
              }
            } else if (step.do === 'publish') {
              expect(producer.publish()).toBe(pushed.length > 0)
              published.push(...pushed.splice(0))
            } else {
              expect(consumer.empty).toBe(published.length === 0)
              expect(drain()).toEqual(published.splice(0).map(entry))
            }
            expect(producer.room).toBe(capacity - published.length - pushed.length)
            expect(producer.waiting).toBe(published.length + pushed.length)
          }
        },
      ),
    )
  })
})

describe('ring of octets', () => {
  const OCTETS = 1000
  const END = START + OCTETS

  function newOctets() {
    const words = new Int32Array(new SharedArrayBuffer(8192))
    return { ring: new OctetRing(words, 0, START, OCTETS), giveBackTo: (end: number) => Atomics.store(words, 0, end) }
  }

  test('pieces follow each other and begin again at the start when one does not fit before the end', () => {
    const { ring, giveBackTo } = newOctets()
    expect([ring.place(400), ring.place(500), ring.place(200)]).toEqual([START, START + 400, 0])
    giveBackTo(START + 400)
    expect([ring.place(200), ring.place(150), ring.place(1)]).toEqual([START, START + 200, START + 350])
    giveBackTo(START + 900)
    expect([ring.place(600), ring.place(548), ring.place(1)]).toEqual([0, START + 351, 0])
  })

  test('a piece may end at the very end', () => {
    const { ring, giveBackTo } = newOctets()
    expect([ring.place(500), ring.place(500), ring.place(1)]).toEqual([START, START + 500, 0])
    giveBackTo(START + 500)
    expect([ring.place(500), ring.place(499)]).toEqual([0, START])
    giveBackTo(END)
    giveBackTo(START + 499)
    expect(ring.place(501)).toBe(START)
  })

  test('an empty ring begins again at the start, and takes any piece that fits at all', () => {
    const { ring, giveBackTo } = newOctets()
    for (let octets = 1; octets <= OCTETS; octets++) {
      expect(ring.place(octets)).toBe(START)
      giveBackTo(START + octets)
    }
    // While something is on its way the next piece goes behind it.
    expect([ring.place(1), ring.place(1)]).toEqual([START, START + 1])
    giveBackTo(START + 1)
    expect(ring.place(1)).toBe(START + 2)
  })

  test('any order of placing and giving back agrees with a list: whole pieces that never overlap', () => {
    const operation = fc.oneof(
      fc.record({ do: fc.constant('place' as const), octets: fc.integer({ min: 1, max: 400 }) }),
      fc.record({ do: fc.constant('release' as const), count: fc.integer({ min: 1, max: 4 }) }),
    )
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 300 }), (operations) => {
        const { ring, giveBackTo } = newOctets()
        const used: { start: number; end: number }[] = []
        let read: number = START
        let write: number = START
        for (const step of operations) {
          if (step.do === 'release') {
            const last = used.splice(0, step.count).at(-1)
            if (last !== undefined) giveBackTo((read = last.end))
            continue
          }
          const start = ring.place(step.octets)
          if (used.length === 0) read = write = START
          if (start === 0) {
            // Refused only when there is no gap for it, less the octet that keeps full and empty apart.
            const gaps = write >= read ? [END - write, read - START - 1] : [read - write - 1]
            expect(Math.max(...gaps)).toBeLessThan(step.octets)
            continue
          }
          const end = start + step.octets
          expect(start >= START && end <= END).toBe(true)
          for (const piece of used) expect(end <= piece.start || start >= piece.end).toBe(true)
          used.push({ start, end })
          write = end
        }
      }),
      { numRuns: 300 },
    )
  })
})

describe('doorbell', () => {
  test('a bell rung before the sleeper waits keeps it awake; one rung later wakes it', async () => {
    const words = new Int32Array(new SharedArrayBuffer(64))
    const bell = new Doorbell(words, 3)
    bell.lower()
    bell.ring()
    await bell.wait()
    bell.lower()
    let awake = false
    const waiting = bell.wait().then(() => (awake = true))
    await new Promise((resolve) => setTimeout(resolve, 10))
    expect(awake).toBe(false)
    bell.ring()
    await waiting
  })
})

describe('two threads', () => {
  test('250 000 records and their octets go each way at once: none lost, mixed up or changed, no wake-up missed', async () => {
    const sleeps = await seeded((seed) => {
      const options: Omit<PumpOptions, 'side'> = { memory: newPumpMemory(), seed, count: 250_000 }
      const there = startThread<number>(new URL('./support/pump.worker.ts', import.meta.url), { ...options, side: 1 })
      return Promise.all([pump({ ...options, side: 0 }), there])
    })
    // Otherwise waking was not tested.
    expect(Math.min(...sleeps), 'sleeps of the side that slept less').toBeGreaterThan(20)
  })
})
