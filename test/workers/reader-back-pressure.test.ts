import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Disposition, STALL, TAKEN } from '../../src/parser/msrp/reader.ts'
import { INPUT_WINDOW } from '../../src/workers/connections.ts'
import { READ_OCTETS } from '../../src/workers/memory.ts'
import { generateFrame } from '../support/generators.ts'
import { frameText } from '../support/msrp-client.ts'
import { Random } from '../support/random.ts'
import { CLOSE, newReader, TestStream } from './support/reader.ts'

const seeds = fc.integer({ min: 0, max: 2 ** 31 - 1 })

interface Sent {
  readonly octets: Buffer
  readonly tid: string
  readonly bodyLength: number
}

/** A SEND with a body of so many octets. */
function send(tid: string, body: number): Sent {
  const uri = 'msrp://127.0.0.1:2855/abc;tcp'
  const octets = frameText({
    tid,
    method: 'SEND',
    toPath: uri,
    fromPath: uri,
    headers: [['Message-ID', tid]],
    body: Buffer.alloc(body, tid),
  })
  return { octets, tid, bodyLength: body }
}

function anyFrame(random: Random): Sent {
  if (random.oneIn(6)) return send(random.letters('abcdefgh', 8, 20), random.below(65_536))
  const { octets, frame } = generateFrame(random)
  return { octets, tid: frame.tid, bodyLength: frame.body?.length ?? 0 }
}

/** Cuts a stream into reads: mostly large, some of a few octets. */
function cut(stream: Buffer, random: Random): Buffer[] {
  const pieces: Buffer[] = []
  for (let at = 0; at < stream.length; ) {
    const most = random.pick([3, 100, 2000, 20_000, READ_OCTETS])
    const piece = stream.subarray(at, at + random.between(1, most))
    pieces.push(piece)
    at += piece.length
  }
  return pieces
}

function expectDelivered(stream: TestStream, sent: readonly Sent[], bodyMax = Number.POSITIVE_INFINITY): void {
  expect(stream.delivered.map(({ tid }) => tid)).toEqual(sent.map(({ tid }) => tid))
  for (const [index, { octets, bodyLength }] of stream.delivered.entries()) {
    const frame = sent[index]!
    expect(bodyLength, `body of frame ${index}`).toBe(frame.bodyLength)
    if (octets !== null) expect(octets.equals(frame.octets), `octets of frame ${index}`).toBe(true)
    else expect(frame.bodyLength).toBeGreaterThan(bodyMax)
  }
}

describe('a reader whose frames cannot go on', () => {
  test('stalls anywhere, for any time, with any cuts: every frame comes once, in order and whole (R-57, M-63)', () => {
    fc.assert(
      fc.property(seeds, (seed) => {
        const random = new Random(seed, 0)
        const sent = Array.from({ length: random.between(1, 25) }, () => anyFrame(random))
        const strays = () => (random.oneIn(4) ? '\r\n'.repeat(random.between(1, 8)) : '')
        const octets = Buffer.concat(sent.flatMap((frame) => [Buffer.from(strays()), frame.octets]))
        const bodyMax = random.pick([100, 3000, 65_536])
        const stallsOneIn = random.pick([1, 2, 5])

        const { reader, read, segments } = newReader({ bodyMax })
        const stream = new TestStream()
        const resume = () => {
          stream.verdicts = random.oneIn(3) ? [STALL] : random.oneIn(2) ? [TAKEN, STALL] : []
          reader.resume(stream)
        }
        let owed = 0
        for (const piece of cut(octets, random)) {
          // The primary stops reading a connection that owes too much; the last read may go over.
          while (stream.stalled && owed >= INPUT_WINDOW) resume()
          if (!stream.stalled) {
            owed = 0
            if (random.oneIn(stallsOneIn))
              stream.verdicts = [...Array(random.below(3)).fill(TAKEN), STALL] as Disposition[]
          }
          owed += piece.length
          read(stream, piece)
          while (stream.stalled && random.oneIn(3)) resume()
        }
        while (stream.stalled) resume()

        expectDelivered(stream, sent, bodyMax)
        expect(stream.memoryShort).toBe(0)
        expect(reader.end(stream)).toBe(false)
        expect(segments.free).toBe(segments.total)
      }),
      { numRuns: 600 },
    )
  })

  test('a stream that is closed at some frame gets nothing more and keeps no memory', () => {
    fc.assert(
      fc.property(seeds, (seed) => {
        const random = new Random(seed, 0)
        const sent = Array.from({ length: random.between(1, 12) }, () => anyFrame(random))
        const { reader, read, segments } = newReader()
        const stream = new TestStream()
        const before = random.below(sent.length)
        stream.verdicts = [
          ...Array.from({ length: before }, (): Disposition => TAKEN),
          ...(random.oneIn(2) ? ([STALL] as const) : []),
          CLOSE,
        ]
        for (const piece of cut(Buffer.concat(sent.map(({ octets }) => octets)), random)) {
          read(stream, piece)
          if (stream.stalled && random.oneIn(2)) reader.resume(stream)
        }
        if (stream.stalled) reader.resume(stream)
        expectDelivered(stream, sent.slice(0, before + 1))
        expect([stream.dead, stream.stalled, segments.free]).toEqual([true, false, segments.total])
      }),
      { numRuns: 200 },
    )
  })

  test('a stream that ends or is forgotten in any state keeps no memory', () => {
    fc.assert(
      fc.property(seeds, (seed) => {
        const random = new Random(seed, 0)
        const { reader, read, segments } = newReader({ largest: 8, bodyMax: random.pick([100, 65_536]) })
        for (let streams = 0; streams < 4; streams++) {
          const octets = Buffer.concat(Array.from({ length: 4 }, () => anyFrame(random).octets))
          const stream = new TestStream()
          if (random.oneIn(2)) stream.verdicts = [...Array(random.below(4)).fill(TAKEN), STALL] as Disposition[]
          for (const piece of cut(octets.subarray(0, random.below(octets.length)), random)) read(stream, piece)
          if (random.oneIn(2)) reader.forget(stream)
          else reader.end(stream)
          expect(stream.dead).toBe(true)
          const { length } = stream.delivered
          read(stream, Buffer.from('MSRP abcd SEND\r\n'))
          expect(stream.delivered).toHaveLength(length)
        }
        expect(segments.free).toBe(segments.total)
      }),
      { numRuns: 200 },
    )
  })

  test('the end of a stalled stream cuts frames off', () => {
    const { reader, read } = newReader()
    const stream = new TestStream()
    stream.verdicts = [STALL]
    read(stream, send('abcdefgh', 10).octets)
    expect([stream.stalled, reader.end(stream), stream.delivered]).toEqual([true, true, []])
  })
})

describe('a reader whose pool is exhausted', () => {
  test('the stream that finds no memory stalls; the others read on, and then it does too (R-57)', () => {
    const { reader, read, segments } = newReader({ largest: 1 })
    const frame = send('abcdefgh', 60_000)
    const half = 40_000
    const streams: TestStream[] = []
    for (;;) {
      const stream = new TestStream()
      streams.push(stream)
      read(stream, frame.octets.subarray(0, half))
      if (stream.stalled) break
    }
    // Four of the third class and one of the largest.
    expect(streams).toHaveLength(6)
    expect(streams.map(({ memoryShort }) => memoryShort)).toEqual([0, 0, 0, 0, 0, 1])
    reader.resume(streams[5]!)
    expect([streams[5]!.stalled, streams[5]!.memoryShort]).toEqual([true, 2])
    for (const stream of streams) read(stream, frame.octets.subarray(half))
    reader.resume(streams[5]!)
    for (const stream of streams) expectDelivered(stream, [frame])
    for (const stream of streams) expect(reader.end(stream)).toBe(false)
    expect(segments.free).toBe(segments.total)
  })

  test('a stream whose carry cannot grow gives back what it had and stalls (R-57)', () => {
    const { reader, read, segments } = newReader({ largest: 1 })
    const stream = new TestStream()
    const frame = send('abcdefgh', 60_000)
    read(stream, frame.octets.subarray(0, 1500))
    const taken = []
    for (let segment = segments.take(1); segment !== 0; segment = segments.take(1)) taken.push(segment)
    read(stream, frame.octets.subarray(1500, 3500))
    expect([stream.stalled, stream.memoryShort]).toEqual([true, 1])
    reader.resume(stream)
    expect([stream.stalled, stream.memoryShort]).toEqual([true, 2])
    for (const segment of taken) segments.give(segment)
    reader.resume(stream)
    read(stream, frame.octets.subarray(3500))
    expectDelivered(stream, [frame])
    expect(segments.free).toBe(segments.total)
  })

  test('a stream with an over-long body and no memory for its head loses none of it (R-57, M-44)', () => {
    const { reader, read, segments } = newReader({ largest: 1, bodyMax: 100 })
    const frames = [send('abcdefgh', 5000), send('bcdefghi', 10)]
    const octets = Buffer.concat(frames.map((frame) => frame.octets))
    const stream = new TestStream()
    const taken = []
    for (let segment = segments.take(1); segment !== 0; segment = segments.take(1)) taken.push(segment)
    read(stream, octets.subarray(0, 1000))
    expect([stream.stalled, stream.memoryShort]).toEqual([true, 1])
    for (const segment of taken) segments.give(segment)
    reader.resume(stream)
    read(stream, octets.subarray(1000))
    expectDelivered(stream, frames, 100)
    expect(segments.free).toBe(segments.total)
  })

  test('a stalled stream that is resumed and stalled again needs no memory it does not have (R-57)', () => {
    const { reader, read, segments } = newReader({ largest: 1 })
    const frames = ['abcdefgh', 'bcdefghi', 'cdefghij'].map((tid) => send(tid, 40_000))
    const stream = new TestStream()
    stream.verdicts = [STALL]
    for (const { octets } of frames) read(stream, octets)
    const taken = []
    for (let segment = segments.take(1); segment !== 0; segment = segments.take(1)) taken.push(segment)
    stream.verdicts = [STALL]
    reader.resume(stream)
    expect([stream.memoryShort, stream.stalled]).toEqual([0, true])
    stream.verdicts = [TAKEN, STALL]
    reader.resume(stream)
    expect([stream.memoryShort, stream.stalled]).toEqual([0, true])
    reader.resume(stream)
    expectDelivered(stream, frames)
    for (const segment of taken) segments.give(segment)
    expect(segments.free).toBe(segments.total)
  })
})
