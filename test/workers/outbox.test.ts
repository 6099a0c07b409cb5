import { AssertionError } from 'node:assert/strict'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Address, ConnectionId, ConnectionSlot, LaneIndex } from '../../src/ids.ts'
import { Connections, nextConnectionId, QUEUE_MAX } from '../../src/workers/connections.ts'
import { Outbox } from '../../src/workers/outbox.ts'
import { resetSegments, SEGMENT_POOL_WORDS, SegmentPool, segmentSizes } from '../../src/workers/segments.ts'

const SLOTS = 8
const CONNECTIONS = 4096 as Address
const START = 65_536 as Address

/** A lane's sending side, on a pool with `largest` segments of the largest class, and a primary that may write. */
function newLane(largest = 1) {
  const octets = segmentSizes.length * segmentSizes[4] * largest
  const memory = new SharedArrayBuffer(START + octets)
  const words = new Int32Array(memory)
  resetSegments(words, SEGMENT_POOL_WORDS, START, octets)
  const pool = new SegmentPool(words, SEGMENT_POOL_WORDS, START, octets)
  const connections = new Connections(words, CONNECTIONS)
  const sent: { connection: ConnectionId; segment: Address; text: string; capacity: number }[] = []
  const unused = () => expect.fail('the outbox does nothing but write')
  const outbox = new Outbox(
    memory,
    {
      write(connection, segment, length) {
        const text = Buffer.from(memory).toString('latin1', segment, segment + length)
        sent.push({ connection, segment, text, capacity: pool.capacity(segment) })
      },
      datagram: unused,
      hand: unused,
      close: unused,
      resume: unused,
      released: unused,
      post: unused,
      flush: unused,
    },
    pool,
    connections,
    SLOTS,
  )
  const open = (slot: number, previous = 0, framed = false) => {
    const connection = nextConnectionId(slot as ConnectionSlot, previous)
    connections.open(connection, 0 as LaneIndex, framed)
    return connection
  }
  /** As the primary does once the octets have left. */
  const leave = () => {
    for (const { connection, segment, capacity } of sent) {
      connections.written(connection, capacity)
      pool.give(segment)
    }
    return sent.splice(0)
  }
  return { pool, connections, outbox, sent, open, leave, octets: Buffer.from(memory) }
}

describe('outbox', () => {
  test('frames of a batch to one connection leave together at the flush, in one segment', () => {
    const { outbox, open, sent, connections, leave, pool } = newLane()
    const [a, b] = [open(1), open(2)]
    for (const [to, frame] of [
      [a, 'first'],
      [b, 'other'],
      [a, 'second'],
    ] as const)
      expect(outbox.write(to, frame)).toBe(true)
    expect(sent).toEqual([])
    outbox.flush()
    expect(sent.map(({ connection, text }) => [connection, text])).toEqual([
      [a, 'firstsecond'],
      [b, 'other'],
    ])
    outbox.flush()
    expect(sent).toHaveLength(2)
    expect(connections.waiting(a)).toBe(sent[0]!.capacity)
    leave()
    expect([connections.waiting(a), connections.waiting(b), pool.free]).toEqual([0, 0, pool.total])
  })

  test('what is likely to go out in a batch finds room in one segment, and no more is taken for less', () => {
    const { outbox, open, sent, leave } = newLane(4)
    const [to, from] = [open(1), open(2)]
    // 32 chunks of 505 octets, which grow by some; and their answers.
    outbox.expect(32 * 505)
    for (let i = 0; i < 32; i++) {
      expect(outbox.write(to, 'x'.repeat(515))).toBe(true)
      expect(outbox.ensure(from, 170, outbox.share(170, 505))).toBe(true)
      expect(outbox.write(from, 'y'.repeat(170))).toBe(true)
    }
    outbox.flush()
    expect(sent.map(({ text, capacity }) => [text.length, capacity])).toEqual([
      [32 * 515, 24_544],
      [32 * 170, 8160],
    ])
    leave()
    // However much comes in, no segment of the larger sizes is taken for frames that need none.
    outbox.expect(1_000_000)
    expect(outbox.write(to, 'x')).toBe(true)
    outbox.flush()
    expect(sent.map(({ capacity }) => capacity)).toEqual([24_544])
    leave()
  })

  test('to a WebSocket each frame leaves in a segment of its own, in order, and no room is left behind it (W-3)', () => {
    const { outbox, open, sent, leave, pool } = newLane()
    const [framed, plain] = [open(1, 0, true), open(2)]
    outbox.expect(16_000)
    for (const frame of ['first', 'second', 'third']) {
      for (const to of [framed, plain]) expect(outbox.write(to, frame)).toBe(true)
      // Frames that are relayed in runs find no room for a second one.
      expect(outbox.room(framed)).toBe(0)
    }
    outbox.flush()
    const texts = (to: ConnectionId) => sent.filter(({ connection }) => connection === to).map(({ text }) => text)
    expect(texts(framed)).toEqual(['first', 'second', 'third'])
    expect(texts(plain)).toEqual(['firstsecondthird'])
    leave()
    expect(pool.free).toBe(pool.total)
  })

  test.each([true, false])('two frames written at once leave apart only if they must (WebSocket: %s)', (framed) => {
    const { outbox, open, sent, leave, pool, octets } = newLane()
    const connection = open(1, 0, framed)
    for (const [one, other] of [
      ['the chunk', 'its answer'],
      ['x'.repeat(3000), 'y'.repeat(3000)],
    ] as const) {
      expect(outbox.ensure(connection, one.length + other.length)).toBe(true)
      const at = outbox.at(connection)
      octets.write(one + other, at, 'latin1')
      expect(outbox.commitTwo(connection, at + one.length, at + one.length + other.length)).toBe(true)
      outbox.flush()
      expect(sent.map(({ text }) => text)).toEqual(framed ? [one, other] : [one + other])
      leave()
    }
    expect(pool.free).toBe(pool.total)
  })

  test('any frames arrive whole and in order, in segments of whole frames', () => {
    const frames = fc.array(
      fc.record({
        to: fc.nat(SLOTS - 1),
        octets: fc.oneof(fc.integer({ min: 1, max: 600 }), fc.integer({ min: 1, max: 130_000 })),
        batch: fc.oneof(fc.constant(0), fc.nat(70_000)),
        flush: fc.boolean(),
      }),
      { maxLength: 60 },
    )
    fc.assert(
      fc.property(frames, (given) => {
        const { outbox, open, leave, pool, connections } = newLane(4)
        const ids = Array.from({ length: SLOTS }, (_, slot) => open(slot))
        const expected = ids.map(() => '')
        const arrived = ids.map(() => '')
        const arrive = () => {
          for (const { connection, text, capacity } of leave()) {
            expect(text.length).toBeLessThanOrEqual(capacity)
            expect(text).toMatch(/^(<x*>)+$/)
            arrived[ids.indexOf(connection)] += text
          }
        }
        for (const { to, octets, batch, flush } of given) {
          const frame = `<${'x'.repeat(octets)}>`
          outbox.expect(batch)
          expect(outbox.write(ids[to]!, frame)).toBe(true)
          expected[to] += frame
          if (flush) {
            outbox.flush()
            arrive()
          }
        }
        outbox.flush()
        arrive()
        expect(arrived).toEqual(expected)
        for (const id of ids) expect(connections.waiting(id)).toBe(0)
        expect(pool.free).toBe(pool.total)
      }),
      { numRuns: 50 },
    )
  })

  test('a segment is filled to its last octet, and a frame that is one octet too long begins the next', () => {
    const { outbox, open, sent } = newLane()
    const receiver = open(1)
    for (const octets of [2000, 16, 2000, 17]) expect(outbox.write(receiver, 'x'.repeat(octets))).toBe(true)
    outbox.flush()
    expect(sent.map(({ text, capacity }) => [text.length, capacity])).toEqual([
      [2016, 2016],
      [2000, 2016],
      [17, 2016],
    ])
  })

  test('an exhausted pool refuses a frame, keeps those before it, and works again when segments come back', () => {
    const { outbox, open, leave, pool, sent } = newLane()
    const [a, b] = [open(1), open(2)]
    expect(outbox.write(a, 'kept')).toBe(true)
    const taken: Address[] = []
    for (let segment = pool.take(1); segment !== 0; segment = pool.take(1)) taken.push(segment)
    expect([outbox.write(b, 'refused'), outbox.write(a, 'fits')]).toEqual([false, true])
    expect(outbox.write(a, 'x'.repeat(2016))).toBe(false)
    outbox.flush()
    expect(sent.map(({ text }) => text)).toEqual(['keptfits'])
    leave()
    expect(outbox.write(b, 'now')).toBe(true)
    outbox.flush()
    expect(sent.map(({ text }) => text)).toEqual(['now'])
    leave()
    for (const segment of taken) pool.give(segment)
    expect(pool.free).toBe(pool.total)
  })

  test('a frame for the next connection of a slot never joins those for the last one', () => {
    const { outbox, open, sent, connections, leave, pool } = newLane()
    const old = open(3)
    outbox.write(old, 'for the old one')
    connections.close(old)
    const next = open(3, old)
    outbox.write(next, 'for the new one')
    outbox.flush()
    expect(sent.map(({ connection, text }) => [connection, text])).toEqual([
      [old, 'for the old one'],
      [next, 'for the new one'],
    ])
    leave()
    expect([connections.waiting(next), pool.free]).toEqual([0, pool.total])
  })

  test('a receiver is full at 256 KiB, and earlier while memory is short (R-57)', () => {
    const { outbox, open, connections, pool } = newLane(16)
    const receiver = open(1)
    expect(pool.free >> 3).toBeGreaterThan(QUEUE_MAX)
    connections.queue(receiver, QUEUE_MAX - 1)
    expect(outbox.isFull(receiver)).toBe(false)
    connections.queue(receiver, 1)
    expect(outbox.isFull(receiver)).toBe(true)
    connections.written(receiver, 100_000)
    expect(outbox.isFull(receiver)).toBe(false)
    while (pool.free >> 3 > QUEUE_MAX - 100_000) expect(pool.take(1)).not.toBe(0)
    expect(outbox.isFull(receiver)).toBe(true)
  })

  test('a frame that is larger than the room made for it is a bug of ours and asserts', () => {
    const { outbox, open } = newLane()
    const receiver = open(1)
    expect(outbox.ensure(receiver, 2016)).toBe(true)
    expect(() => outbox.commit(receiver, outbox.at(receiver) + 2017)).toThrow(AssertionError)
  })
})
