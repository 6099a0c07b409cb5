import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { describe, expect, test } from 'vitest'
import type { ParseErrorClass } from '../../src/parser/msrp/error-class.ts'
import type { CreateReader, ErrorAction, FrameSnapshot, Limits, ReaderEvent, StartSnapshot } from '../support/events.ts'
import { feedCut } from '../support/generators.ts'
import { badUtf8, details, paths, send, uri } from './details.ts'

/** An expected error: a vector states only what its rules fix. */
interface ExpectedError {
  readonly cls: ParseErrorClass
  readonly action?: ErrorAction
  readonly start?: StartSnapshot
}

interface Vector {
  readonly id: string
  readonly file: string
  readonly title: string
  readonly verdict: 'valid' | 'invalid' | 'either'
  readonly rules: readonly string[]
  readonly octets: number
  readonly sha256: string
  readonly frame?: FrameSnapshot
  readonly error?: ExpectedError
}

interface StreamVector {
  readonly id: string
  readonly file: string
  readonly title: string
  readonly octets: number
  readonly sha256: string
  readonly part_ends: readonly number[]
  readonly splits: 'every-octet' | readonly number[]
  readonly expect: readonly { readonly frame?: FrameSnapshot; readonly error?: ExpectedError }[]
}

interface Example extends Omit<Vector, 'id' | 'title' | 'rules'> {
  readonly rfc: string
  readonly section: string
}

const vectorsFolder = join(import.meta.dirname, '../vectors/msrp')
const index = readJson<{ count: number; vectors: readonly Vector[] }>(join(vectorsFolder, 'index.json'))
const streams = readJson<{ count: number; streams: readonly StreamVector[] }>(join(vectorsFolder, 'streams.json'))

function readJson<Content>(path: string): Content {
  return JSON.parse(readFileSync(path, 'utf8')) as Content
}

/** The octets of a vector, after a check that nothing (an editor, a checkout) has changed them. */
function readVector(
  folder: string,
  { file, octets, sha256 }: { file: string; octets: number; sha256: string },
): Buffer {
  const content = readFileSync(join(folder, file))
  expect(content.length, file).toBe(octets)
  expect(createHash('sha256').update(content).digest('hex'), file).toBe(sha256)
  return content
}

/** Everything the protocol rules and vectors demand of an MSRP reader. */
export function describeConformance(name: string, createReader: CreateReader): void {
  function read(octets: Uint8Array, cuts: readonly number[] = [], limits?: Partial<Limits>): readonly ReaderEvent[] {
    const reader = createReader(limits === undefined ? undefined : { limits })
    feedCut(reader, octets, cuts)
    return reader.events
  }

  /** M-63: the whole, one octet at a time, and cut once at every offset all give the same events, which are returned. */
  function readEveryWay(octets: Buffer, limits?: Partial<Limits>): readonly ReaderEvent[] {
    const whole = read(octets, [], limits)
    const differing: { cuts: string; events: readonly ReaderEvent[] }[] = []
    const compare = (cuts: string, events: readonly ReaderEvent[]) => {
      if (!isDeepStrictEqual(events, whole) && differing.length < 3) differing.push({ cuts, events })
    }
    const everyCut = Array.from({ length: octets.length - 1 }, (_, before) => before + 1)
    for (const cut of everyCut) compare(`at ${cut}`, read(octets, [cut], limits))
    compare('octet by octet', read(octets, everyCut, limits))
    // A WebSocket message may be empty, so a read may be.
    compare(
      'octet by octet with empty reads',
      read(
        octets,
        everyCut.flatMap((cut) => [cut, cut]),
        limits,
      ),
    )
    expect(differing, `splits that differ from ${JSON.stringify(whole)}`).toEqual([])
    return whole
  }

  function expectEvent(
    event: ReaderEvent | undefined,
    expected: { frame?: FrameSnapshot; error?: ExpectedError },
  ): void {
    if (expected.frame !== undefined) {
      expect(event).toStrictEqual({ type: 'frame', frame: expected.frame })
      return
    }
    const { cls, action, start } = expected.error as ExpectedError
    expect(event).toMatchObject({ type: 'error', cls, ...(action === undefined ? {} : { respond: action }) })
    const hasStart = cls !== 'bad-start-line' && cls !== 'truncated'
    expect(event !== undefined && 'start' in event, 'start line known').toBe(hasStart)
    if (start !== undefined) expect(event).toHaveProperty('start', start)
  }

  /** What must be known as soon as the octets are there, before the stream ends: a reader never waits for more. */
  function expectPrompt(octets: Buffer, events: readonly ReaderEvent[]): void {
    const reader = createReader()
    reader.feed(octets)
    expect(reader.events).toStrictEqual(events.filter((event) => event.type === 'frame' || event.cls !== 'truncated'))
  }

  describe(`${name}: single frames of the vectors`, () => {
    for (const vector of index.vectors) {
      test(`${vector.id} ${vector.title} (${vector.rules.join(', ')})`, () => {
        const octets = readVector(vectorsFolder, vector)
        const events = readEveryWay(octets)
        expect(events).toHaveLength(1)
        expectEvent(events[0], vector)
        expectPrompt(octets, events)
      }, 240_000)
    }
  })

  describe(`${name}: streams of the vectors`, () => {
    for (const vector of streams.streams) {
      test(`${vector.id} ${vector.title} (M-62, M-63)`, () => {
        const octets = readVector(vectorsFolder, vector)
        const events = readEveryWay(octets)
        expect(events).toHaveLength(vector.expect.length)
        for (const [at, expected] of vector.expect.entries()) expectEvent(events[at], expected)
        expectPrompt(octets, events)
        expect(read(octets, vector.part_ends)).toStrictEqual(events)
        if (vector.splits !== 'every-octet') expect(read(octets, vector.splits)).toStrictEqual(events)
      })
    }
  })

  describeExamples(name, (folder, example) => {
    const octets = readVector(folder, example)
    const events = readEveryWay(octets)
    expect(events).toHaveLength(1)
    expectEvent(events[0], example)
    expectPrompt(octets, events)
  })

  describe(`${name}: details`, () => {
    for (const { rule, stream, gives, limits } of details) {
      test(rule, () => {
        const events = readEveryWay(Buffer.from(stream, 'utf8'), limits)
        expect(events.map(summary)).toEqual(gives)
      })
    }

    for (const [rule, bad, gives] of badUtf8) {
      test(rule, () => {
        expect(readEveryWay(Buffer.from(bad, 'latin1')).map(summary)).toEqual(gives)
      })
    }

    test('default limits: a 1024-octet start line and a 16384-octet header line pass, one octet more does not (M-44)', () => {
      const response = (comment: number) => `MSRP abcd 200 ${'c'.repeat(comment)}\r\n${paths}-------abcd$\r\n`
      expect(read(Buffer.from(response(1024 - 14))).map(summary)).toEqual(['200 $ bodiless'])
      expect(read(Buffer.from(response(1024 - 13))).map(summary)).toEqual(['bad-start-line close'])
      const request = (octets: number) => send(`X: ${'v'.repeat(octets - 3)}\r\n`)
      expect(read(Buffer.from(request(16_384))).map(summary)).toEqual(['SEND $ bodiless'])
      expect(read(Buffer.from(request(16_385))).map(summary)).toEqual(['header-limit respond-400-and-close'])
    })

    test('default limits: a 64 KiB head, 1024 header lines and 64 URIs pass, one more does not (M-44)', () => {
      const filler = `X: ${'v'.repeat(12_995)}\r\n`.repeat(4)
      const head = (octets: number) => {
        const last = octets - send('').length - filler.length - 'X: \r\n'.length
        return send(`${filler}X: ${'v'.repeat(last)}\r\n`)
      }
      expect(head(65_536)).toHaveLength(65_536)
      expect(read(Buffer.from(head(65_536))).map(summary)).toEqual(['SEND $ bodiless'])
      expect(read(Buffer.from(head(65_537))).map(summary)).toEqual(['header-limit respond-400-and-close'])
      expect(read(Buffer.from(send('X:\r\n'.repeat(1021)))).map(summary)).toEqual(['SEND $ bodiless'])
      expect(read(Buffer.from(send('X:\r\n'.repeat(1022)))).map(summary)).toEqual([
        'header-limit respond-400-and-close',
      ])
      const usePath = (count: number) => send(`Use-Path: ${Array.from({ length: count }, () => uri).join(' ')}\r\n`)
      expect(read(Buffer.from(usePath(64))).map(summary)).toEqual(['SEND $ bodiless'])
      expect(read(Buffer.from(usePath(65))).map(summary)).toEqual(['header-limit respond-400-and-close'])
    })
  })
}

/** The examples printed in the RFCs are not part of this repository: SILOPATH_VECTORS names the folder with them. */
function describeExamples(name: string, check: (folder: string, example: Example) => void): void {
  const given = process.env.SILOPATH_VECTORS
  if (given === undefined) {
    describe.skip(`${name}: RFC examples, skipped because SILOPATH_VECTORS names no folder`, () => {
      test('39 example frames of RFC 4975, 4976 and 7977', () => {})
    })
    return
  }
  describe(`${name}: RFC examples`, () => {
    const folder = join(given, 'msrp/rfc-examples')
    test('all 39 examples are there', () => {
      expect(existsSync(folder), `SILOPATH_VECTORS=${given} holds msrp/rfc-examples`).toBe(true)
      expect(examples).toHaveLength(39)
    })
    const examples = existsSync(folder)
      ? readJson<{ examples: readonly Example[] }>(join(folder, 'index.json')).examples
      : []
    for (const example of examples) {
      test(`${example.file} (RFC ${example.rfc} section ${example.section}, M-63)`, () => check(folder, example))
    }
  })
}

/** Fails when vectors have gone missing, so that none can be skipped unnoticed. */
export function describeVectorCounts(): void {
  test('there are 86 frame vectors and 4 stream vectors', () => {
    expect([index.count, index.vectors.length, streams.count, streams.streams.length]).toEqual([86, 86, 4, 4])
  })
}

/** One event in a line: what it is, its flag and body, or its error class and what is done about it. */
function summary(event: ReaderEvent): string {
  if (event.type === 'error') return `${event.cls} ${event.respond}`
  const { frame } = event
  const what = frame.kind === 'request' ? frame.method : `${frame.status}`
  return `${what} ${frame.flag} ${frame.body === null ? 'bodiless' : frame.body.length}`
}
