import { describe, expect, test } from 'vitest'
import { answerOf, sipProblems } from '../../../src/parser/sip/problem.ts'
import { parseNameAddr, parseVia, quote } from '../../../src/parser/sip/values.ts'
import { parseSip, parseSipRequest } from '../../support/sip-parser.ts'
import { snapshotOf } from '../../support/sip-snapshot.ts'

const lines = [
  'MESSAGE sip:bob@b.test SIP/2.0',
  'Via: SIP/2.0/UDP a.test;branch=z9hG4bK1',
  'From: "Alice" <sip:alice@a.test>;tag=1',
  'To: <sip:bob@b.test>',
  'Call-ID: c',
  'CSeq: 1 MESSAGE',
]

function build(more: readonly string[] = [], body = ''): string {
  return `${[...lines, ...more].join('\r\n')}\r\n\r\n${body}`
}

describe('headers', () => {
  const message = parseSip(build(['s: one', 'SUBJECT: two', 'x-Other: a', 'X-OTHER: b, c', 'Allow: A, B', 'allow: C']))

  test('are found in any case, and known ones by either name (S-2, S-4)', () => {
    for (const name of ['Subject', 'subject', 'SUBJECT', 's', 'S']) {
      expect(message.headers(name)).toEqual(['one', 'two'])
      expect(message.header(name)).toBe('one')
    }
    expect(message.headers('X-Other')).toEqual(['a', 'b, c'])
    expect([message.header('X-Missing'), message.headers('Expires')]).toEqual([null, []])
  })

  test('are lists where commas part them, and whole where not (S-2, S-3)', () => {
    expect(message.list('Allow')).toEqual(['A', 'B', 'C'])
    expect(message.list('x-other')).toEqual(['a', 'b, c'])
    expect(message.list('Supported')).toEqual([])
  })

  test('a name that an object has of itself is no header', () => {
    expect([message.header('constructor'), message.header('__proto__')]).toEqual([null, null])
  })

  test('values that are not ASCII are read as UTF-8, and do not move those beside them', () => {
    const odd = parseSip(build(['Subject: Grüße, 你好', 'X: y']))
    expect([odd.header('Subject'), odd.header('X'), odd.problem]).toEqual(['Grüße, 你好', 'y', null])
    const latin1 = parseSip(Buffer.from(build(['Subject: \xe9', 'X: y']), 'latin1'))
    expect([latin1.header('Subject'), latin1.header('X'), latin1.problem]).toEqual(['\ufffd', 'y', null])
  })
})

describe('a message is its own', () => {
  test('it keeps a copy of its octets, and of no more than its own', () => {
    const octets = Buffer.from(build(['Content-Length: 2'], 'hi, and more'))
    const message = parseSip(octets)
    octets.fill(0)
    parseSip('something else')
    expect(message.body.toString()).toBe('hi')
    expect(message.octets.toString()).toBe(build(['Content-Length: 2'], 'hi'))
    expect(message.body.buffer).toBe(message.octets.buffer)
    expect(message.from?.tag).toBe('1')
  })

  test('values are read once, and kept', () => {
    const message = parseSipRequest(build(['Contact: <sip:a@a.test>', 'Route: <sip:p.test;lr>']))
    expect(message.uri).toBe(message.uri)
    expect(message.from).toBe(message.from)
    expect(message.from?.uri).toBe(message.from?.uri)
    expect(message.vias).toBe(message.vias)
    expect(message.contacts).toBe(message.contacts)
    expect(message.routes).toBe(message.routes)
    expect(message.topVia).toBe(message.vias[0])
  })
})

describe('problems', () => {
  test('every problem has an answer: a code that we generate (S-93), or silence', () => {
    const answers = Object.fromEntries(sipProblems.map((problem) => [problem, answerOf(problem)]))
    const codes = new Set(Object.values(answers).map((answer) => (answer === 'drop' ? 0 : answer.status)))
    expect([...codes].sort((a, b) => a - b)).toEqual([0, 400, 413, 416, 501, 505, 513])
    expect(sipProblems.filter((problem) => answers[problem] === 'drop')).toEqual(['not-sip', 'bad-status'])
    expect(answers['body-too-large']).toMatchObject({ status: 413 })
    for (const problem of ['start-line-too-long', 'header-too-long', 'head-too-large', 'too-many-headers'] as const) {
      expect(answers[problem]).toMatchObject({ status: 513 })
    }
  })

  test.each([
    ['start-line-too-long', { startLine: 29 }, ''],
    ['header-too-long', { headerLine: 38 }, ''],
    ['head-too-large', { head: 150 }, ''],
    ['too-many-headers', { headers: 4 }, ''],
    ['body-too-large', { body: 3 }, 'four'],
  ] as const)('%s: a datagram over the limit, whose headers are still known', (problem, limits, body) => {
    const message = parseSip(build([], body), limits)
    expect([message.problem, message.topVia?.host, message.body.length]).toEqual([problem, 'a.test', 0])
    expect(parseSip(build([], body)).problem).toBeNull()
  })

  test('octets that are no message at all are a request of no method', () => {
    const message = parseSip(Buffer.from([0xff, 0, 13, 10, 13, 10]))
    expect([message.kind, message.problem, message.octets.length]).toEqual(['request', 'not-sip', 0])
    expect([message.callId, message.cseq, message.vias, message.contacts, message.body.length]).toEqual([
      '',
      null,
      [],
      null,
      0,
    ])
  })

  test('a datagram larger than the parser has room for is over a limit, not a failure', () => {
    expect(parseSip(build([], 'x'.repeat(500_000))).problem).toBe('body-too-large')
    expect(parseSip(build([`X: ${'x'.repeat(500_000)}`])).problem).toBe('head-too-large')
    expect(parseSip('x'.repeat(500_000)).problem).toBe('not-sip')
  })

  test('values as long as a line may be are read in no time, whatever they hold (S-13)', () => {
    const before = process.cpuUsage().user
    for (const odd of [
      '<',
      '"',
      '\\',
      ' ',
      '\t',
      'a',
      ';',
      '; ',
      ';a',
      ',',
      '"\\',
      '%',
      'a ',
      ';a="',
      '<>',
      '=',
      ':',
      '@',
    ]) {
      const value = odd.repeat(Math.floor(16_000 / odd.length))
      for (const text of [
        value,
        `<sip:a@b>${value}`,
        `"${value}`,
        `sip:a${value}`,
        `SIP/2.0/UDP ${value}`,
        `${value}<sip:a@b>`,
      ]) {
        parseNameAddr(text)
        parseVia(text)
        const message = parseSip(build([`Contact: ${text}`, `Route: x\r\n ${text.slice(0, 8_000)}`]))
        expect(typeof message.problem).toBe(message.problem === null ? 'object' : 'string')
      }
    }
    expect((process.cpuUsage().user - before) / 1e6).toBeLessThan(5)
  })
})

test('a text is quoted so that it is read as it was', () => {
  for (const text of ['', 'a', 'a "b" \\c', ',;<>', '\u0000']) {
    expect(parseNameAddr(`${quote(text)} <sip:a@b.test>`)?.displayName).toBe(text)
  }
})

test('a request that has forgotten what was decoded of it says the same again, and what was noted (S-21)', () => {
  const text = build(
    ['Contact: <sip:alice@192.0.2.1>', 'Route: <sip:p.test;lr>', 'Date: Sun, 22 Nov 2026 10:00:00 GMT'],
    'hällo',
  )
  const request = parseSipRequest(text)
  request.noteReceived({ address: '192.0.2.7', port: null })
  const { from, topVia } = request
  const before = snapshotOf(request)
  request.forget()
  expect(snapshotOf(request)).toEqual(before)
  expect(request.received).toEqual({ address: '192.0.2.7', port: null })
  expect([request.from === from, request.topVia === topVia]).toEqual([false, false])
})
