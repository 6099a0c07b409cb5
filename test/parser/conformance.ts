import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { describe, expect, test } from 'vitest'
import type { ParseErrorClass } from '../../src/parser/msrp/error-class.ts'
import type { CreateReader, ErrorAction, FrameSnapshot, Limits, ReaderEvent, StartSnapshot } from '../support/events.ts'
import { feedCut } from '../support/generators.ts'

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

const uri = 'msrp://h:1/a;tcp'
const paths = `To-Path: ${uri}\r\nFrom-Path: ${uri}\r\n`

/** A SEND with more header lines; `body` comes with the CRLF after it. */
function send(lines: string, body = '', flag = '$'): string {
  return `MSRP abcd SEND\r\n${paths}Message-ID: m\r\n${lines}${body === '' ? '' : `\r\n${body}`}-------abcd${flag}\r\n`
}

function toPath(value: string): string {
  return `MSRP abcd SEND\r\nTo-Path: ${value}\r\nFrom-Path: ${uri}\r\nMessage-ID: m\r\n-------abcd$\r\n`
}

function frame(start: string, lines: string, flag = '$'): string {
  return `MSRP abcd ${start}\r\n${lines}-------abcd${flag}\r\n`
}

const plain = 'Content-Type: text/plain\r\n'
const ok = 'SEND $ bodiless'

interface Detail {
  readonly rule: string
  readonly stream: string
  readonly gives: readonly string[]
  readonly limits?: Partial<Limits>
}

const details: readonly Detail[] = [
  // Between frames
  { rule: 'an empty stream holds nothing', stream: '', gives: [] },
  {
    rule: '8 CRLF pairs between frames are skipped (M-13)',
    stream: send('') + '\r\n'.repeat(8) + send(''),
    gives: [ok, ok],
  },
  {
    rule: 'a 9th CRLF pair is no start line (M-13)',
    stream: send('') + '\r\n'.repeat(9) + send(''),
    gives: [ok, 'bad-start-line close'],
  },
  {
    rule: 'a CR after 8 pairs cannot begin anything',
    stream: `${'\r\n'.repeat(8)}\r`,
    gives: ['bad-start-line close'],
  },
  { rule: 'skipped CRLFs at the end of the stream are no loss', stream: `${send('')}\r\n\r\n`, gives: [ok] },
  {
    rule: 'a lone CR at the end of the stream is truncated',
    stream: `${send('')}\r`,
    gives: [ok, 'truncated discard'],
  },
  {
    rule: 'a lone LF between frames is no start line (M-13)',
    stream: `${send('')}\n${send('')}`,
    gives: [ok, 'bad-start-line close'],
  },
  // Start lines
  {
    rule: 'a start line that ends with the stream is truncated',
    stream: 'MSRP abcd SEN',
    gives: ['truncated discard'],
  },
  {
    rule: 'what can become no start line is refused before its line ends',
    stream: 'GET',
    gives: ['bad-start-line close'],
  },
  {
    rule: 'a transaction id begins with a letter or digit (M-3)',
    stream: 'MSRP .bcd',
    gives: ['bad-start-line close'],
  },
  {
    rule: 'a trailing SP after a status code is an empty comment (M-2)',
    stream: frame('200 ', paths),
    gives: ['200 $ bodiless'],
  },
  { rule: 'a status code has three digits (M-2)', stream: frame('2000', paths), gives: ['bad-start-line close'] },
  {
    rule: 'a method is not followed by a comment (M-2)',
    stream: frame('SEND now', paths),
    gives: ['bad-start-line close'],
  },
  {
    rule: 'a control character in a comment is refused (M-2)',
    stream: frame('200 O\u0001K', paths),
    gives: ['bad-start-line close'],
  },
  {
    rule: 'a bare CR in a comment is refused (M-13)',
    stream: frame('200 O\rK', paths),
    gives: ['bad-start-line close'],
  },
  {
    rule: 'nothing is read after a bad start line (M-60)',
    stream: `MSRP\r\n${send('')}`,
    gives: ['bad-start-line close'],
  },
  // Ends of frames
  {
    rule: 'flags + and # on a SEND (M-6)',
    stream: send('', '', '+') + send('', '', '#'),
    gives: ['SEND + bodiless', 'SEND # bodiless'],
  },
  {
    rule: "another frame's end-line among the headers is a bad header line (M-60)",
    stream: send('-------abce$\r\n'),
    gives: ['bad-header-line respond-400'],
  },
  {
    rule: 'an end-line with a bad flag among the headers is a bad header line (M-10)',
    stream: send('-------abcd!\r\n'),
    gives: ['bad-header-line respond-400'],
  },
  {
    rule: 'the CRLF before the end-line may be the empty line only once (M-11)',
    stream: send(plain, '\r\n'),
    gives: ['SEND $ 0'],
  },
  {
    rule: 'a body may begin with its own end-line text if more follows (M-10)',
    stream: send(plain, '-------abcd$\r\r\n'),
    gives: ['SEND $ 13'],
  },
  {
    rule: 'a body may end in its own end-line text without the CRLF (M-10)',
    stream: send(plain, 'x\r\n-------abcd\r\n'),
    gives: ['SEND $ 14'],
  },
  {
    rule: 'the stream ends inside a malformed frame: truncated',
    stream: 'MSRP abcd SEND\r\nbad\r\n',
    gives: ['truncated discard'],
  },
  // Header lines
  { rule: 'an empty value passes in an unknown header (M-24)', stream: send('X:\r\nY: \t\r\n'), gives: [ok] },
  { rule: 'a nameless header line (M-25)', stream: send(': x\r\n'), gives: ['bad-header-line respond-400'] },
  {
    rule: 'a header name begins with a letter (M-25)',
    stream: send('1x: x\r\n'),
    gives: ['bad-header-line respond-400'],
  },
  { rule: 'DEL in a value (M-12)', stream: send('X: \u007f\r\n'), gives: ['bad-header-line respond-400'] },
  {
    rule: 'a CR before the CRLF of a header (M-13)',
    stream: send('X: x\r\r\n'),
    gives: ['bad-header-line respond-400'],
  },
  {
    rule: 'sync is kept over a bad header (M-62)',
    stream: send('bad\r\n') + send(''),
    gives: ['bad-header-line respond-400', ok],
  },
  // Which problem
  { rule: 'no header at all: To-Path is missing (M-20)', stream: frame('SEND', ''), gives: ['missing-to-path drop'] },
  {
    rule: 'a malformed first line comes before the missing To-Path',
    stream: frame('SEND', 'bad\r\n'),
    gives: ['bad-header-line drop'],
  },
  {
    rule: 'a missing From-Path comes before a malformed second line',
    stream: frame('SEND', `To-Path: ${uri}\r\nbad\r\n`),
    gives: ['missing-from-path drop'],
  },
  {
    rule: 'the path order comes before a bad URI in the first line',
    stream: frame('SEND', `To-Path: x\r\nX: y\r\nFrom-Path: ${uri}\r\n`),
    gives: ['path-order respond-400'],
  },
  {
    rule: 'a second To-Path is a repeat, also where From-Path should stand (M-39)',
    stream: frame('SEND', `To-Path: ${uri}\r\nTo-Path: ${uri}\r\nX: y\r\nFrom-Path: ${uri}\r\n`),
    gives: ['duplicate-header respond-400'],
  },
  {
    rule: 'two To-Paths and no From-Path: From-Path is missing (M-20)',
    stream: frame('SEND', `To-Path: ${uri}\r\nTo-Path: ${uri}\r\n`),
    gives: ['missing-from-path drop'],
  },
  {
    rule: 'the shortest start lines (M-2, M-3)',
    stream: frame('A', paths) + frame('000', paths),
    gives: ['A $ bodiless', '0 $ bodiless'],
  },
  {
    rule: 'the first bad line is reported',
    stream: send(`Byte-Range: 0\r\nStatus: x\r\n`),
    gives: ['bad-byte-range respond-400'],
  },
  {
    rule: 'a repeat is reported before its bad value',
    stream: send('Message-ID: a b\r\n'),
    gives: ['duplicate-header respond-400'],
  },
  {
    rule: 'a bad value is reported before its place after Content-Type',
    stream: send(`${plain}Expires: x\r\n`, 'x\r\n'),
    gives: ['bad-expires respond-400'],
  },
  {
    rule: 'a missing Message-ID comes before a missing Status (M-52)',
    stream: frame('REPORT', paths),
    gives: ['missing-message-id drop'],
  },
  {
    rule: 'a missing Status comes before a forbidden header (M-52)',
    stream: frame('REPORT', `${paths}Message-ID: m\r\nSuccess-Report: no\r\n`),
    gives: ['missing-status drop'],
  },
  {
    rule: 'a body in a response comes before a bad flag (M-61)',
    stream: frame('200', `${paths}\r\n\r\n`, '+'),
    gives: ['body-in-response drop'],
  },
  {
    rule: 'a MIME header without a body comes before a bad flag (M-22)',
    stream: frame('AUTH', `${paths}Content-ID: x\r\n`, '#'),
    gives: ['mime-header-without-body respond-400'],
  },
  ...['Content-', 'content-X', 'Content-ID', 'Content-Disposition', 'CONTENT-WHATEVER-ELSE'].map((name) => ({
    rule: `${name} is a MIME header (M-21, M-22)`,
    stream: send(`${name}: x\r\n`),
    gives: ['mime-header-without-body respond-400'],
  })),
  { rule: 'Contents is no MIME header (M-22)', stream: send('Contents: x\r\n'), gives: [ok] },
  {
    rule: 'a MIME header in a response (M-22)',
    stream: frame('200', `${paths}Content-Language: x\r\n`),
    gives: ['mime-header-without-body drop'],
  },
  // Repeats
  ...[
    'Byte-Range: 1-1/1',
    'Success-Report: no',
    'Failure-Report: yes',
    'Status: 000 200',
    'Expires: 1',
    'Min-Expires: 1',
    'Max-Expires: 1',
    `Use-Path: ${uri}`,
    'Authentication-Info: a',
    'Use-Nickname: a',
  ].map((line) => ({
    rule: `a second ${line.slice(0, line.indexOf(':'))} is refused (M-39)`,
    stream: send(`${line}\r\n${line}\r\n`),
    gives: ['duplicate-header respond-400'],
  })),
  ...['WWW-Authenticate: Digest a=b', 'Authorization: Digest a=b', 'X: y'].map((line) => ({
    rule: `${line.slice(0, line.indexOf(':'))} may repeat (M-39)`,
    stream: send(`${line}\r\n${line}\r\n`),
    gives: [ok],
  })),
  // Answers
  {
    rule: 'a malformed SEND with Failure-Report no is not answered (M-51)',
    stream: send('Failure-Report: NO\r\nbad\r\n'),
    gives: ['bad-header-line drop'],
  },
  {
    rule: 'the first valid Failure-Report counts (M-51)',
    stream: send('Failure-Report: maybe\r\nFailure-Report: no\r\nFailure-Report: yes\r\n'),
    gives: ['bad-report-value drop'],
  },
  {
    rule: 'Failure-Report no means nothing in an AUTH (M-51)',
    stream: frame('AUTH', `${paths}Failure-Report: no\r\nbad\r\n`),
    gives: ['bad-header-line respond-400'],
  },
  {
    rule: 'without a parsable From-Path there is no answer (M-61)',
    stream: frame('SEND', `To-Path: ${uri}\r\nFrom-Path: ${uri} x\r\n`),
    gives: ['bad-uri drop'],
  },
  // Values
  ...[
    '1-1/1',
    '1-0/0',
    '01-01/01',
    '1-*/*',
    '9007199254740991-*/*',
    '10-*/5',
    '00000000000000000001-*/9007199254740991',
  ].map((value) => ({
    rule: `Byte-Range ${value} is good (M-31, M-34)`,
    stream: send(`Byte-Range: ${value}\r\n`),
    gives: [ok],
  })),
  ...[
    '',
    '0-1/1',
    '1-1',
    '1-/1',
    '-1/1',
    '1 - 1/1',
    '+1-1/1',
    '1-1/0x1',
    '*-1/1',
    '3-1/9',
    '1-5/4',
    '9007199254740992-*/*',
    '1-9007199254740992/*',
    '1-1/9007199254740992',
    '000000000000000000001-1/1',
    '1-1/1;a',
  ].map((value) => ({
    rule: `Byte-Range "${value}" is bad (M-34)`,
    stream: send(`Byte-Range: ${value}\r\n`),
    gives: ['bad-byte-range respond-400'],
  })),
  ...['000 200', '000 200 ', '999 999 a  b', '000 200 Стоп'].map((value) => ({
    rule: `Status "${value}" is good (M-35)`,
    stream: send(`Status: ${value}\r\n`),
    gives: [ok],
  })),
  ...['', '000', '000  200', '000\t200', '00 200', '000 20', '000 2000', '000 200OK'].map((value) => ({
    rule: `Status "${value}" is bad (M-35)`,
    stream: send(`Status: ${value}\r\n`),
    gives: ['bad-status respond-400'],
  })),
  ...['0', '4294967295', '0000000001'].map((value) => ({
    rule: `Expires ${value} is good (M-38)`,
    stream: send(`Expires: ${value}\r\n`),
    gives: [ok],
  })),
  ...['', '-1', '1 2', '4294967296', '9999999999', '00000000001', '1s'].map((value) => ({
    rule: `Max-Expires "${value}" is bad (M-38)`,
    stream: send(`Max-Expires: ${value}\r\n`),
    gives: ['bad-expires respond-400'],
  })),
  ...['a/b', 'a/b;c', 'a/b ; c=d\t;e="f;\\"g"', 'a/b;c="é\\\\"', '!/~'].map((value) => ({
    rule: `Content-Type ${value} is good (M-37)`,
    stream: send(`Content-Type: ${value}\r\n`, 'x\r\n'),
    gives: ['SEND $ 1'],
  })),
  ...[
    '',
    'a',
    'a/',
    '/b',
    'a /b',
    'a/b/c',
    'a/b;',
    'a/b;c=',
    'a/b;c = d',
    'a/b;"c"',
    'a/b;c="d',
    'a/b;c="d\\"',
    'a/b;c="d"e',
    'a/b c',
    'a/é',
  ].map((value) => ({
    rule: `Content-Type "${value}" is bad (M-37)`,
    stream: send(`Content-Type: ${value}\r\n`, 'x\r\n'),
    gives: ['bad-content-type respond-400'],
  })),
  {
    rule: 'a Message-ID of 256 octets is good (M-28)',
    stream: frame('SEND', `${paths}Message-ID: ${'x'.repeat(256)}\r\n`),
    gives: [ok],
  },
  ...['', 'x'.repeat(257), 'a b', 'é'].map((value) => ({
    rule: `a Message-ID of ${value.length} octets "${value.slice(0, 3)}" is bad (M-28)`,
    stream: frame('SEND', `${paths}Message-ID: ${value}\r\n`),
    gives: ['bad-message-id respond-400'],
  })),
  // URIs
  ...[
    'msrp://h;tcp',
    'MSRPS://h:0000002855/a;TCP',
    'msrp://@h;tcp',
    "msrp://a:b%41~!$&'()*+,=@h%6F.x;tcp",
    'msrp://[::]:1;tcp',
    'msrp://[1:2:3:4:5:6:1.2.3.4]:1/a;tcp',
    'msrp://h//;tcp',
    'msrp://h/a/b;x9;a;b=c',
    `${uri}  ${uri}`,
  ].map((value) => ({ rule: `path ${value} is good (U-1, M-27)`, stream: toPath(value), gives: [ok] })),
  ...[
    '',
    'msrp:',
    'msrp://',
    'msrp://;tcp',
    'sip://h;tcp',
    'msrp://h',
    'msrp://h;',
    'msrp://h;t-p',
    'msrp://h:;tcp',
    'msrp://h:0;tcp',
    'msrp://h:65536;tcp',
    'msrp://h:00000000001;tcp',
    'msrp://h:1a;tcp',
    'msrp://h/;tcp',
    'msrp://h/a%41;tcp',
    'msrp://h/a;tcp;',
    'msrp://h/a;tcp;a=',
    'msrp://h/a;tcp;a=b=c',
    'msrp://h%4;tcp',
    'msrp://a@b@h;tcp',
    'msrp://2001:db8::1:2855/a;tcp',
    'msrp://[::1;tcp',
    'msrp://[]:1;tcp',
    'msrp://[::1]a;tcp',
    'msrp://[fe80::1%1]:1;tcp',
    'msrp://[::1.2.3]:1;tcp',
    'msrp://[1:2:3:4:5:6:7]:1;tcp',
    'msrp://[1::2::3]:1;tcp',
    'msrp://é;tcp',
    `${uri}\t${uri}`,
    `${uri},${uri}`,
  ].map((value) => ({
    rule: `path "${value}" is bad (U-1, U-9)`,
    stream: toPath(value),
    gives: ['bad-uri respond-400'],
  })),
  // Limits
  {
    rule: 'start line limit: the last octet allowed (M-44)',
    stream: send(''),
    limits: { startLineOctets: 14 },
    gives: [ok],
  },
  {
    rule: 'start line limit: one octet over (M-44)',
    stream: send(''),
    limits: { startLineOctets: 13 },
    gives: ['bad-start-line close'],
  },
  {
    rule: 'header line limit: the last octet allowed (M-44)',
    stream: send('X: 4567890123456789012345678901\r\n'),
    limits: { headerLineOctets: 31 },
    gives: [ok],
  },
  {
    rule: 'header line limit: one octet over (M-44)',
    stream: send('X: 45678901234567890123456789012\r\n'),
    limits: { headerLineOctets: 31 },
    gives: ['header-limit respond-400-and-close'],
  },
  {
    rule: 'header line limit: a CR after the last octet allowed needs its LF (M-44)',
    stream: send('X: 4567890123456789012345678901\r?\r\n'),
    limits: { headerLineOctets: 31 },
    gives: ['header-limit respond-400-and-close'],
  },
  {
    rule: 'head limit: the last octet allowed (M-44)',
    stream: send(''),
    limits: { headOctets: send('').length },
    gives: [ok],
  },
  {
    rule: 'head limit: one octet over (M-44)',
    stream: send(''),
    limits: { headOctets: send('').length - 1 },
    gives: ['header-limit respond-400-and-close'],
  },
  {
    rule: 'head limit: the body does not count (M-44)',
    stream: send(plain, `${'x'.repeat(100)}\r\n`),
    limits: { headOctets: send(plain).length - 11 },
    gives: ['SEND $ 100'],
  },
  {
    rule: 'header lines limit: the end-line is no header line (M-44)',
    stream: send(''),
    limits: { headerLines: 3 },
    gives: [ok],
  },
  {
    rule: 'header lines limit: malformed lines count (M-44)',
    stream: send('bad\r\n'),
    limits: { headerLines: 3 },
    gives: ['header-limit respond-400-and-close'],
  },
  {
    rule: 'header lines limit: a line that has not ended does not count yet',
    stream: send('').slice(0, -15),
    limits: { headerLines: 2 },
    gives: ['truncated discard'],
  },
  {
    rule: 'header lines limit: passed before the stream ends inside the next line (M-44)',
    stream: send('').slice(0, -10),
    limits: { headerLines: 2 },
    gives: ['header-limit respond-400-and-close'],
  },
  {
    rule: 'path limit: as many URIs as allowed (M-44)',
    stream: toPath(`${uri} ${uri}`),
    limits: { pathUris: 2 },
    gives: [ok],
  },
  {
    rule: 'path limit: no From-Path is known yet, so no answer (M-60)',
    stream: toPath(`${uri} ${uri} ${uri}`),
    limits: { pathUris: 2 },
    gives: ['header-limit close'],
  },
  {
    rule: 'a limit ends a response without an answer (M-61)',
    stream: frame('200', `${paths}X: y\r\n`),
    limits: { headerLines: 2 },
    gives: ['header-limit close'],
  },
]

/** Octets that are not UTF-8, as latin1 text. */
const badUtf8: readonly (readonly [rule: string, stream: string, gives: readonly string[]])[] = [
  ...[
    '\u0080',
    '\u00c0\u0080',
    '\u00e0\u0080\u0080',
    '\u00ed\u00a0\u0080',
    '\u00f4\u0090\u0080\u0080',
    '\u00f8',
    '\u00e2\u0082',
  ].map((bad) => {
    const octets = Buffer.from(bad, 'latin1').toString('hex')
    return [`octets ${octets} in a value (M-12)`, send(`X: ${bad}\r\n`), ['bad-header-line respond-400']] as const
  }),
  ['invalid UTF-8 in a comment (M-12)', frame('200 \u00e0\u0080', paths), ['bad-start-line close']],
  [
    'a comment that ends with the stream inside a UTF-8 sequence is truncated',
    'MSRP abcd 200 \u00e2\u0082',
    ['truncated discard'],
  ],
  ['a comment that can become no UTF-8 is refused at once', 'MSRP abcd 200 \u00e0\u0080', ['bad-start-line close']],
]
