import { describe, expect, test } from 'vitest'
import type { ParseErrorClass } from '../../src/parser/msrp/error-class.ts'
import { FakeTicker } from '../support/fake-ticker.ts'
import {
  clockedSetups,
  type Endpoint,
  eventually,
  laneSetups,
  type Relay,
  settle,
  startRelay,
} from '../support/relay.ts'

/** The lines of a frame: what makes them well formed, and what is wrong instead. */
interface Parts {
  readonly start?: string
  readonly toPath?: string | null
  readonly fromPath?: string | null
  readonly lines?: readonly string[]
  /** Content-Type included, if any. */
  readonly end?: string
}

const tid = 'malformed1'

/** A SEND from alice to bob, well formed but for the parts given. */
function frameOf(alice: Endpoint, bob: Endpoint, parts: Parts): string {
  const {
    start = `MSRP ${tid} SEND`,
    toPath = `To-Path: ${alice.relayUri} ${bob.path.join(' ')}`,
    fromPath = `From-Path: ${alice.uri}`,
    lines = ['Message-ID: m123'],
    end = `-------${tid}$`,
  } = parts
  return `${[start, toPath, fromPath, ...lines, end].filter((line) => line !== null).join('\r\n')}\r\n`
}

const body = `Content-Type: text/plain\r\n\r\nhello\r\n-------${tid}$`
const report = `MSRP ${tid} REPORT`

const answered: [ParseErrorClass, string, Parts][] = [
  ['bad-header-line', 'a line without colon', { lines: ['Message-ID: m123', 'nonsense'] }],
  ['bad-header-line', 'a folded line (M-12)', { lines: ['Message-ID: m123', ' folded: x'] }],
  ['bad-header-line', 'a control character', { lines: ['Message-ID: m123', 'X-Bell: \x07'] }],
  ['missing-to-path', 'no To-Path', { toPath: null }],
  [
    'path-order',
    'another header between the paths',
    { fromPath: null, lines: ['X: y', 'From-Path: msrp://a.test:1/b;tcp'] },
  ],
  ['duplicate-header', 'Message-ID twice', { lines: ['Message-ID: m123', 'message-id: m123'] }],
  ['bad-uri', 'a To-Path that is no URI', { toPath: 'To-Path: nonsense' }],
  ['bad-uri', 'an IPv6 address without brackets (U-9)', { toPath: 'To-Path: msrp://::1:2855/a;tcp' }],
  ['missing-message-id', 'no Message-ID', { lines: [] }],
  ['bad-message-id', 'a blank in Message-ID', { lines: ['Message-ID: m 123'] }],
  ['bad-byte-range', 'start 0', { lines: ['Message-ID: m123', 'Byte-Range: 0-5/5'] }],
  ['bad-report-value', 'Success-Report of another value', { lines: ['Message-ID: m123', 'Success-Report: maybe'] }],
  ['bad-report-value', 'Failure-Report of another value', { lines: ['Message-ID: m123', 'Failure-Report: never'] }],
  ['bad-status', 'a bad Status', { lines: ['Message-ID: m123', 'Status: 200'] }],
  ['bad-expires', 'Expires in words', { start: `MSRP ${tid} AUTH`, lines: ['Expires: soon'] }],
  [
    'content-type-not-last',
    'a header after Content-Type',
    { lines: ['Message-ID: m123', 'Content-Type: a/b', 'X: y'], end: `\r\nhello\r\n-------${tid}$` },
  ],
  [
    'bad-content-type',
    'a Content-Type without slash',
    { lines: ['Message-ID: m123', 'Content-Type: text'], end: `\r\nhello\r\n-------${tid}$` },
  ],
  ['body-without-content-type', 'a body without Content-Type', { end: `\r\nhello\r\n-------${tid}$` }],
  ['mime-header-without-body', 'Content-Type without a body', { lines: ['Message-ID: m123', 'Content-Type: a/b'] }],
  ['bad-flag', 'an AUTH that is to go on (M-7)', { start: `MSRP ${tid} AUTH`, end: `-------${tid}+` }],
]

const dropped: [ParseErrorClass, string, Parts][] = [
  ['missing-from-path', 'no From-Path', { fromPath: null }],
  ['bad-uri', 'a From-Path that is no URI', { fromPath: 'From-Path: nonsense' }],
  ['missing-status', 'a REPORT without Status', { start: report }],
  ['bad-status', 'a REPORT with a bad Status', { start: report, lines: ['Message-ID: m123', 'Status: 200'] }],
  [
    'forbidden-header',
    'a REPORT that wants reports',
    { start: report, lines: ['Message-ID: m123', 'Status: 000 200', 'Failure-Report: yes'] },
  ],
  ['body-in-response', 'a response with a body', { start: `MSRP ${tid} 200 OK`, lines: [], end: body }],
  ['bad-flag', 'a response that is to go on', { start: `MSRP ${tid} 200 OK`, lines: [], end: `-------${tid}+` }],
  [
    'missing-to-path',
    'a SEND whose Failure-Report is no (M-51)',
    { toPath: null, lines: ['Message-ID: m123', 'Failure-Report: no'] },
  ],
]

async function meet(how: Parameters<typeof startRelay>[0]) {
  const relay = await startRelay(how)
  return { relay, alice: await relay.session('alice'), bob: await relay.session('bob') }
}

async function expectCounted(relay: Relay, cls: ParseErrorClass, count = 1): Promise<void> {
  await eventually(() => relay.metric('silopath_msrp_parse_errors_total', { class: cls })).toBe(count)
}

describe.each(laneSetups)('malformed frame ($setup)', ({ how }) => {
  test.each(answered)('M-60: %s (%s) is answered 400, and costs the frame alone', async (cls, _, parts) => {
    const { relay, alice, bob } = await meet(how)
    alice.client.send(frameOf(alice, bob, parts))
    const response = await alice.client.response(tid)
    expect(response.status).toBe(400)
    expect(response.toPath[0]).toBe(parts.fromPath === null ? 'msrp://a.test:1/b;tcp' : alice.uri)
    await expectStillWorks(alice, bob)
    await expectCounted(relay, cls)
  })

  test.each(dropped)('M-61: %s (%s) is dropped without an answer', async (cls, _, parts) => {
    const { relay, alice, bob } = await meet(how)
    const before = alice.client.frames.length
    alice.client.send(frameOf(alice, bob, parts))
    await settle(alice)
    expect(alice.client.frames).toHaveLength(before + 1)
    await expectStillWorks(alice, bob)
    await expectCounted(relay, cls)
  })

  test.each<[string, string]>([
    ['other octets', 'GET / HTTP/1.1\r\n\r\n'],
    ['a lower-case protocol', 'msrp abcd SEND\r\n'],
    ['a short transaction id', 'MSRP abc SEND\r\n'],
    ['a long transaction id', `MSRP ${'a'.repeat(33)} SEND\r\n`],
    ['a lower-case method', 'MSRP abcd Send\r\n'],
    ['a code of two digits', 'MSRP abcd 20 OK\r\n'],
    ['two blanks', 'MSRP  abcd SEND\r\n'],
    ['a line feed alone', 'MSRP abcd SEND\nTo-Path: x\n'],
    ['no end of the line', `MSRP abcd 200 ${'x'.repeat(1200)}`],
    ['nine empty lines', '\r\n'.repeat(9)],
    ['zeros', '\0\0\0\0'],
  ])('M-60: bad-start-line (%s) ends the connection without an answer', async (_, octets) => {
    const { relay, alice, bob } = await meet(how)
    const before = alice.client.frames.length
    alice.client.send(octets)
    await alice.client.closed
    expect(alice.client.frames).toHaveLength(before)
    expect(bob.client.frames.filter(({ kind }) => kind === 'request')).toEqual([])
    await expectCounted(relay, 'bad-start-line')
    await eventually(() => relay.metric('silopath_connections_total', { event: 'dropped_malformed' })).toBe(1)
  })

  test('M-13: up to eight empty lines between frames are skipped', async () => {
    const { alice, bob } = await meet(how)
    alice.client.send('\r\n'.repeat(8))
    await expectStillWorks(alice, bob)
    alice.client.send('\r\n')
    await expectStillWorks(alice, bob)
  })

  test('M-60: what came before the octets that lost the frame still counts', async () => {
    const { alice, bob } = await meet(how)
    alice.client.request({ method: 'SEND', toPath: [alice.relayUri, ...bob.path], body: 'before' })
    alice.client.send('nonsense\r\n')
    await alice.client.closed
    expect((await bob.client.nextRequest('SEND')).content?.toString()).toBe('before')
    expect(alice.client.frames.at(-1)).toMatchObject({ kind: 'response', status: 200 })
  })

  test.each<[string, string, object, readonly string[]]>([
    ['a header line too long', 'm', { header_line: 300 }, [`X-Long: ${'x'.repeat(300)}`]],
    ['a head too long', 'm', { head: 1000 }, Array.from({ length: 20 }, (_, i) => `X-${i}: ${'x'.repeat(60)}`)],
    ['too many headers', 'm', { headers: 10 }, Array.from({ length: 20 }, (_, i) => `X-${i}: x`)],
  ])('M-60, M-44: header-limit (%s) is answered 400, then the connection ends', async (_, id, limits, lines) => {
    const { relay, alice, bob } = await meet({ ...how, config: { msrp: { limits } } })
    alice.client.send(frameOf(alice, bob, { lines: [`Message-ID: ${id}`, ...lines] }))
    expect((await alice.client.response(tid)).status).toBe(400)
    await alice.client.closed
    await expectCounted(relay, 'header-limit')
    expect(bob.client.frames.filter(({ kind }) => kind === 'request')).toEqual([])
  })

  test('M-44: too many URIs in a path are a header-limit too', async () => {
    const { alice, bob } = await meet({ ...how, config: { msrp: { limits: { path_uris: 3 } } } })
    await expectStillWorks(alice, bob)
    const path = Array.from({ length: 4 }, () => alice.uri).join(' ')
    alice.client.send(frameOf(alice, bob, { fromPath: `From-Path: ${path}` }))
    await alice.client.closed
  })

  test('M-44: a head at the default limits passes', async () => {
    const { alice, bob } = await meet(how)
    const lines = Array.from({ length: 4 }, (_, i) => `X-${i}: ${'x'.repeat(15_000)}`)
    alice.client.send(frameOf(alice, bob, { lines: ['Message-ID: m123', ...lines] }))
    expect((await alice.client.response(tid)).status).toBe(200)
    expect((await bob.client.nextRequest('SEND')).headers).toHaveLength(7)
    expect(bob.client.errors).toEqual([])
  })

  test.each([100_000, 2_000_000])(
    'M-62: a malformed frame with a body of %i octets is read to its end',
    async (length) => {
      const { alice, bob } = await meet(how)
      const end = `Content-Type: text/plain\r\n\r\n${'x'.repeat(length)}\r\n-------${tid}$`
      alice.client.send(frameOf(alice, bob, { lines: ['Message-ID: m 123'], end }))
      expect((await alice.client.response(tid, 10_000)).status).toBe(400)
      await expectStillWorks(alice, bob)
    },
  )

  test('M-60: three malformed frames in a row end the connection', async () => {
    const { alice, bob } = await meet(how)
    const bad = frameOf(alice, bob, { lines: [] })
    alice.client.send(bad + bad)
    await expectStillWorks(alice, bob)
    alice.client.send(bad + bad)
    await expectStillWorks(alice, bob)
    alice.client.send(bad + bad + bad)
    await alice.client.closed
    expect(alice.client.frames.filter((frame) => frame.tid === tid).length).toBeGreaterThanOrEqual(6)
  })

  test('M-60: malformed frames that get no answer count as well', async () => {
    const { alice, bob } = await meet(how)
    const bad = frameOf(alice, bob, { start: report, lines: [] })
    alice.client.send(bad + bad + bad)
    await alice.client.closed
  })

  test('R-55, M-60: a frame that is cut off by the end of its connection is nobody else’s business', async () => {
    const { relay, alice, bob } = await meet(how)
    const whole = frameOf(alice, bob, { end: body })
    alice.client.send(whole.slice(0, -20))
    await settleAlone(bob)
    await alice.client.close()
    await expectCounted(relay, 'truncated')
    expect((await settle(bob)).status).toBe(200)
    expect(bob.client.frames.filter(({ kind }) => kind === 'request')).toEqual([])
  })
})

describe.each(clockedSetups)('malformed frames over time ($setup)', ({ how }) => {
  test('M-60: ten within a minute end the connection, nine do not', async () => {
    const clock = new FakeTicker()
    const { alice, bob } = await meet({ ...how, clock })
    const bad = async () => {
      alice.client.send(frameOf(alice, bob, { lines: [] }))
      await alice.client.response(tid)
    }
    for (let i = 0; i < 9; i++) {
      await bad()
      await settle(alice)
    }
    clock.advance(61_000)
    for (let i = 0; i < 9; i++) {
      await bad()
      await settle(alice)
      clock.advance(6_000)
    }
    await bad()
    await alice.client.closed
  })
})

async function expectStillWorks(alice: Endpoint, bob: Endpoint): Promise<void> {
  const toPath = [alice.relayUri, ...bob.path]
  expect((await alice.client.transact({ method: 'SEND', toPath, body: 'works' })).status).toBe(200)
  const received = await bob.client.nextRequest('SEND')
  expect(received.content?.toString()).toBe('works')
  bob.client.respond(received, 200)
}

/** Time for what is under way on another connection to arrive. */
async function settleAlone(endpoint: Endpoint): Promise<void> {
  for (let i = 0; i < 3; i++) await settle(endpoint)
}
