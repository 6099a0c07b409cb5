import { describe, expect, test } from 'vitest'
import { FakeTicker } from '../support/fake-ticker.ts'
import { header, type MsrpClient, randomTid } from '../support/msrp-client.ts'
import { listenAsPeer } from '../support/peer-listener.ts'
import {
  clockedSetups,
  type Endpoint,
  eventually,
  type Relay,
  type RelayOptions,
  settle,
  setups,
  startRelay,
} from '../support/relay.ts'

type Headers = readonly (readonly [string, string])[]

/** Alice and bob of one relay, and a frame of hers that he has got. */
async function sendToBob(
  how: RelayOptions,
  headers: Headers = [],
  body: string | null = 'hello',
  flag: '$' | '+' | '#' = '$',
) {
  const relay = await startRelay(how)
  const [alice, bob] = [await relay.session('alice'), await relay.session('bob')]
  const messageId = randomTid()
  alice.client.request({
    method: 'SEND',
    toPath: [alice.relayUri, ...bob.path],
    headers: [['Message-ID', messageId], ...headers],
    flag,
    ...(body !== null && { body }),
  })
  const received = await bob.client.nextRequest('SEND')
  return { relay, alice, bob, received, messageId }
}

/** Everything the relay has sent to an endpoint on its own account, once all that was sent to it is dealt with. */
async function reportsTo(...parties: Endpoint[]) {
  // The other side first: what it sent may still be on its way to a report.
  for (const party of parties.toReversed()) await settle(party)
  return parties[0]!.client.frames.filter((frame) => frame.kind === 'request' && frame.method === 'REPORT')
}

describe.each(setups)('REPORT passing by ($setup)', ({ how }) => {
  test('R-46, R-42: it is forwarded with everything it holds, and never answered', async () => {
    const { alice, bob, messageId } = await sendToBob(how, [['Success-Report', 'yes']])
    const tid = bob.client.request({
      method: 'REPORT',
      toPath: [bob.relayUri, ...alice.path],
      headers: [
        ['Message-ID', messageId],
        ['Byte-Range', '1-5/5'],
        ['Status', '000 200 OK  indeed'],
        ['X-More', 'kept'],
      ],
    })
    const report = await alice.client.nextRequest('REPORT')
    expect(report.toPath).toEqual([alice.uri])
    expect(report.fromPath).toEqual([alice.relayUri, bob.relayUri, bob.uri])
    expect(report.headers.slice(2)).toEqual([
      ['Message-ID', messageId],
      ['Byte-Range', '1-5/5'],
      ['Status', '000 200 OK  indeed'],
      ['X-More', 'kept'],
    ])
    expect([report.flag, report.content]).toEqual(['$', null])
    //
    expect(report.tid).not.toBe(tid)
    await settle(bob)
    // M-52: only the AUTHs and the keep-alive were answered, and what alice sent.
    expect(bob.client.frames.some((frame) => frame.kind === 'response' && frame.tid === tid)).toBe(false)
  })

  test('R-13 (a): a stranger may report to our client', async () => {
    const relay = await startRelay(how)
    const bob = await relay.session('bob')
    const stranger = await relay.connect()
    const headers = [
      ['Message-ID', 'm123'],
      ['Status', '000 413'],
    ] as const
    stranger.request({ method: 'REPORT', toPath: bob.path, headers })
    const report = await bob.client.nextRequest('REPORT')
    expect(report.fromPath).toEqual([bob.relayUri, stranger.uri])
    expect(header(report, 'Status')).toBe('000 413')
  })

  test('M-43: a body of up to 10240 octets passes, a larger one is dropped', async () => {
    const { alice, bob } = await sendToBob(how)
    const report = (length: number) =>
      bob.client.request({
        method: 'REPORT',
        toPath: [bob.relayUri, ...alice.path],
        headers: [
          ['Message-ID', `m${length}`],
          ['Status', '000 200'],
        ],
        body: 'r'.repeat(length),
      })
    for (const length of [10_241, 100_000, 10_240]) report(length)
    const received = await alice.client.nextRequest('REPORT')
    expect([header(received, 'Message-ID'), received.content?.length]).toEqual(['m10240', 10_240])
    expect(await reportsTo(alice, bob)).toHaveLength(1)
  })

  test('M-52: one for nobody is dropped silently', async () => {
    const { relay, bob } = await sendToBob(how)
    const headers = [
      ['Message-ID', 'm123'],
      ['Status', '000 200'],
    ] as const
    for (const toPath of [
      relay.uri(),
      relay.uri('x'),
      bob.relayUri,
      [bob.relayUri, relay.uri('x'), 'msrp://a.test:1/b;tcp'],
    ]) {
      const before = bob.client.frames.length
      bob.client.request({ method: 'REPORT', toPath, headers })
      await settle(bob)
      expect(bob.client.frames.length - before).toBe(1)
    }
  })
})

describe.each(setups)('REPORT made by the relay ($setup)', ({ how }) => {
  test.each([400, 403, 408, 413, 415, 481, 501, 506, 302, 600, 999])(
    'R-61, R-49: %i from the next hop',
    async (status) => {
      const { relay, alice, bob, received, messageId } = await sendToBob(how)
      bob.client.respond(received, status, 'for a reason')
      const report = await alice.client.nextRequest('REPORT')
      expect(report.toPath).toEqual([alice.uri])
      expect(report.fromPath[0]).toBe(alice.relayUri)
      expect(report.fromPath).not.toContain(bob.uri)
      expect(header(report, 'Message-ID')).toBe(messageId)
      expect(header(report, 'Status')).toMatch(new RegExp(`^000 ${status}( |$)`))
      expect(report.byteRange).toEqual({ start: 1, end: 5, total: '*' })
      expect(report.headers.map(([name]) => name).toSorted()).toEqual([
        'Byte-Range',
        'From-Path',
        'Message-ID',
        'Status',
        'To-Path',
      ])
      expect([report.flag, report.content]).toEqual(['$', null])
      expect(await reportsTo(alice, bob)).toHaveLength(1)
      expect(alice.client.errors).toEqual([])
      await eventually(() => relay.metric('silopath_msrp_reports_made_total')).toBe(1)
    },
  )

  test('R-49: it takes the whole way back to a sender behind relays', async () => {
    const relay = await startRelay(how)
    const bob = await relay.session('bob')
    const inner = await relay.connect()
    const fromPath = [
      'msrp://inner.test:2855/i;tcp',
      'msrps://innermost.test:2855/j;tcp',
      'msrp://Alice.test:1/a;ws;p=q',
    ]
    const headers = [['Message-ID', 'long.'.repeat(50)]] as const
    inner.request({ method: 'SEND', toPath: bob.path, fromPath, headers, body: 'hello' })
    bob.client.respond(await bob.client.nextRequest('SEND'), 415)
    const report = await inner.nextRequest('REPORT')
    expect(report.toPath).toEqual(fromPath)
    expect(report.fromPath).toEqual([bob.relayUri])
    expect(header(report, 'Message-ID')).toBe('long.'.repeat(50))
  })

  test('R-49: a way back and a Message-ID of any length are kept', async () => {
    const relay = await startRelay(how)
    const bob = await relay.session('bob')
    const inner = await relay.connect()
    const fromPath = Array.from({ length: 60 }, (_, i) => `msrp://relay${i}.test:2855/${'s'.repeat(180)};tcp`)
    const headers = [['Message-ID', 'm'.repeat(256)]] as const
    inner.request({ method: 'SEND', toPath: bob.path, fromPath, headers, body: 'hello' })
    bob.client.respond(await bob.client.nextRequest('SEND'), 415)
    const report = await inner.nextRequest('REPORT')
    expect(report.toPath).toEqual(fromPath)
    expect(header(report, 'Message-ID')).toBe('m'.repeat(256))
  })

  test.each<[string, Headers, string | null, string]>([
    ['without a range', [], 'hello', '1-5/*'],
    ['without a range and body', [], null, '1-0/*'],
    ['with an empty body', [['Byte-Range', '1-0/0']], '', '1-0/0'],
    ['with all known', [['Byte-Range', '1-5/5']], 'hello', '1-5/5'],
    ['with an open end', [['Byte-Range', '1-*/5']], 'hello', '1-5/5'],
    ['in the middle', [['Byte-Range', '2049-*/10000']], 'hello', '2049-2053/10000'],
    ['with an unknown total', [['Byte-Range', '101-*/*']], 'hello', '101-105/*'],
    ['with an end that is wrong (M-33)', [['Byte-Range', '1-25/30']], 'hello', '1-5/30'],
    [
      'beyond 32 bits',
      [['Byte-Range', '4294967297-*/9007199254740991']],
      'hello',
      '4294967297-4294967301/9007199254740991',
    ],
    ['with leading zeros', [['Byte-Range', '0011-*/0100']], 'hello', '11-15/100'],
  ])('M-54, R-49: Byte-Range of a chunk %s', async (_, headers, body, range) => {
    const { alice, bob, received } = await sendToBob(how, headers, body, '+')
    bob.client.respond(received, 413)
    const report = await alice.client.nextRequest('REPORT')
    expect(header(report, 'Byte-Range')).toBe(range)
  })

  test.each([200, 202, 299])('R-61, M-70: %i is success and makes none', async (status) => {
    const { relay, alice, bob, received } = await sendToBob(how)
    bob.client.respond(received, status)
    await eventually(() => relay.metric('silopath_msrp_deliveries_total', { outcome: 'acknowledged' })).toBe(1)
    expect(await reportsTo(alice, bob)).toEqual([])
  })

  test('R-47, R-61: Failure-Report partial hears of errors', async () => {
    const { alice, bob, received } = await sendToBob(how, [['Failure-Report', 'partial']])
    bob.client.respond(received, 500)
    expect(header(await alice.client.nextRequest('REPORT'), 'Status')).toMatch(/^000 500/)
    expect(await reportsTo(alice, bob)).toHaveLength(1)
  })

  test('R-49, M-51: Failure-Report no hears of nothing', async () => {
    const { relay, alice, bob, received } = await sendToBob(how, [['Failure-Report', 'no']])
    bob.client.respond(received, 500)
    await eventually(() => relay.metric('silopath_msrp_frames_dropped_total', { reason: 'stray_response' })).toBe(1)
    await bob.client.close()
    expect(await reportsTo(alice)).toEqual([])
    expect(await relay.metric('silopath_msrp_reports_made_total')).toBe(0)
  })

  test('R-48: the leg to our client goes with the chunk unanswered: 481, once', async () => {
    const { alice, bob, messageId } = await sendToBob(how)
    await bob.client.close()
    const report = await alice.client.nextRequest('REPORT')
    expect(header(report, 'Status')).toMatch(/^000 481/)
    expect(header(report, 'Message-ID')).toBe(messageId)
    expect(report.byteRange).toEqual({ start: 1, end: 5, total: '*' })
    expect(await reportsTo(alice)).toHaveLength(1)
  })

  test('R-47: the leg goes by a reset, and Failure-Report is partial', async () => {
    const { alice, bob } = await sendToBob(how, [['Failure-Report', 'partial']])
    await bob.client.reset()
    expect(header(await alice.client.nextRequest('REPORT'), 'Status')).toMatch(/^000 481/)
  })

  test('R-48: many chunks unanswered as the leg goes get one REPORT each', async () => {
    const { alice, bob } = await sendToBob(how)
    const toPath = [alice.relayUri, ...bob.path]
    const sent = Array.from({ length: 200 }, (_, i) => `many.${i}`)
    for (const id of sent) alice.client.request({ method: 'SEND', toPath, headers: [['Message-ID', id]], body: id })
    for (const _ of sent) await bob.client.nextRequest('SEND')
    await bob.client.close()
    const failed = new Set<string | undefined>()
    for (let i = 0; i < sent.length + 1; i++) failed.add(header(await alice.client.nextRequest('REPORT'), 'Message-ID'))
    expect([...failed]).toEqual(expect.arrayContaining(sent))
    expect(await reportsTo(alice)).toHaveLength(sent.length + 1)
  })

  test('R-41: a chunk that was answered with an error gets no REPORT as well', async () => {
    const relay = await startRelay({ ...how, config: { msrp: { plaintext_peers: true, limits: { body: 1000 } } } })
    const [alice, bob] = [await relay.session('alice'), await relay.session('bob')]
    const failures: [number, readonly string[], string][] = [
      [481, [alice.relayUri, relay.uri('x'), bob.uri], 'hi'],
      [403, [bob.relayUri, alice.relayUri, alice.uri], 'hi'],
      [408, [alice.relayUri, 'msrp://peer.invalid:2855/x;tcp'], 'hi'],
      [413, [alice.relayUri, ...bob.path], 'x'.repeat(1001)],
    ]
    for (const [status, toPath, body] of failures) {
      for (const wish of ['yes', 'partial']) {
        const request = { method: 'SEND', toPath, headers: [['Failure-Report', wish]] as const, body }
        expect((await alice.client.transact(request)).status).toBe(status)
      }
    }
    expect(await reportsTo(alice, bob)).toEqual([])
    expect(await relay.metric('silopath_msrp_reports_made_total')).toBe(0)
  })

  test('R-62: with its sender gone there is nobody to tell, and nothing breaks', async () => {
    const { relay, alice, bob, received } = await sendToBob(how)
    await alice.client.close()
    await eventually(() => relay.metric('silopath_msrp_sessions')).toBe(1)
    bob.client.respond(received, 500)
    await settle(bob)
    await eventually(() => relay.metric('silopath_msrp_deliveries_total', { outcome: 'rejected' })).toBe(1)
    // Not even to one who comes later, in the same place.
    const again = await relay.session('alice')
    await settle(bob)
    expect(await reportsTo(again, bob)).toEqual([])
  })

  test('R-45, in real time: 408 when the next hop says nothing within response_timeout', async () => {
    const { alice, received } = await sendToBob({ ...how, config: { msrp: { response_timeout: 0.5 } } })
    expect(received.content?.toString()).toBe('hello')
    const start = performance.now()
    expect(header(await alice.client.nextRequest('REPORT'), 'Status')).toMatch(/^000 408/)
    expect(performance.now() - start).toBeGreaterThan(400)
  })
})

describe.each(clockedSetups)('timer of a chunk ($setup)', ({ how }) => {
  async function sendClocked(headers: Headers = []) {
    const clock = new FakeTicker()
    const sent = await sendToBob({ ...how, clock }, headers)
    await settle(sent.alice)
    return { ...sent, clock }
  }

  test('R-45, M-55: no response in 30 s makes a REPORT of 408, once', async () => {
    const { relay, alice, bob, clock, messageId } = await sendClocked()
    clock.advance(29_900)
    expect(await reportsTo(alice, bob)).toEqual([])
    clock.advance(700)
    const report = await alice.client.nextRequest('REPORT')
    expect(header(report, 'Status')).toMatch(/^000 408/)
    expect(header(report, 'Message-ID')).toBe(messageId)
    expect(report.toPath).toEqual([alice.uri])
    expect(report.fromPath[0]).toBe(alice.relayUri)
    expect(report.byteRange).toEqual({ start: 1, end: 5, total: '*' })
    clock.advance(120_000)
    expect(await reportsTo(alice, bob)).toHaveLength(1)
    expect(await relay.metric('silopath_msrp_deliveries_total', { outcome: 'timed_out' })).toBe(1)
    expect(await relay.metric('silopath_msrp_reports_made_total', { code: '408' })).toBe(1)
    expect(await relay.metric('silopath_msrp_transactions_open')).toBe(0)
  })

  test.each([200, 500])('R-60: a response that comes after the 30 s (%i) changes nothing', async (status) => {
    const { relay, alice, bob, clock, received } = await sendClocked()
    clock.advance(31_000)
    await alice.client.nextRequest('REPORT')
    bob.client.respond(received, status)
    expect(await reportsTo(alice, bob)).toHaveLength(1)
    expect(await relay.metric('silopath_msrp_frames_dropped_total', { reason: 'stray_response' })).toBe(1)
  })

  test.each([200, 500])('R-45: any response in time stops the timer (%i)', async (status) => {
    const { alice, bob, clock, received } = await sendClocked()
    clock.advance(29_500)
    bob.client.respond(received, status)
    await settle(bob)
    clock.advance(60_000)
    expect(await reportsTo(alice, bob)).toHaveLength(status === 200 ? 0 : 1)
  })

  test.each(['partial', 'no'])('R-45: there is no timer with Failure-Report %s', async (wish) => {
    const { relay, alice, bob, clock } = await sendClocked([['Failure-Report', wish]])
    clock.advance(120_000)
    expect(await reportsTo(alice, bob)).toEqual([])
    expect(await relay.metric('silopath_msrp_transactions_open')).toBe(0)
  })

  test('R-45: every chunk has a timer of its own', async () => {
    const { alice, bob, clock, messageId } = await sendClocked()
    clock.advance(20_000)
    const toPath = [alice.relayUri, ...bob.path]
    await alice.client.transact({ method: 'SEND', toPath, headers: [['Message-ID', 'second']], body: 'x' })
    await bob.client.nextRequest('SEND')
    clock.advance(11_000)
    expect(header(await alice.client.nextRequest('REPORT'), 'Message-ID')).toBe(messageId)
    expect(await reportsTo(alice, bob)).toHaveLength(1)
    clock.advance(20_000)
    expect(header(await alice.client.nextRequest('REPORT'), 'Message-ID')).toBe('second')
  })

  test('R-45: the timer starts when the last octet has left, not when it came', async () => {
    const clock = new FakeTicker()
    const relay = await startRelay({ ...how, clock })
    const [alice, bob] = [await relay.session('alice'), await relay.session('bob')]
    bob.client.pause()
    const stalled = await fill(relay, alice, bob)
    clock.advance(29_000)
    await settleFrames(alice.client)
    // What bob has not been given cannot be late: only chunks that fit the kernel's buffers may be reported.
    clock.advance(10_000)
    await settleFrames(alice.client)
    const reported = alice.client.frames.filter((frame) => frame.kind === 'request').length
    expect(reported).toBeLessThan(stalled)
    bob.client.autoAnswer()
    bob.client.resume()
    const seen = () => bob.client.frames.filter(({ kind }) => kind === 'request').length
    await eventually(seen).toBe(stalled)
    await eventually(() => {
      clock.advance(1_000)
      return relay.metric('silopath_msrp_transactions_open')
    }).toBe(0)
    clock.advance(60_000)
    await settleFrames(alice.client)
    expect(alice.client.frames.filter((frame) => frame.kind === 'request')).toHaveLength(reported)
  })
})

/** Sends until the relay holds the sender back; returns how many chunks that took. */
async function fill(relay: Relay, alice: Endpoint, bob: Endpoint): Promise<number> {
  const body = Buffer.alloc(60_000, 'x')
  let sent = 0
  while ((await relay.metric('silopath_reads_paused')) === 0) {
    alice.client.request({ method: 'SEND', toPath: [alice.relayUri, ...bob.path], body })
    sent += 1
    expect(sent).toBeLessThan(2000)
  }
  return sent
}

/** Lets frames under way arrive, on a connection that is not being read. */
async function settleFrames(client: MsrpClient): Promise<void> {
  let before: number
  do {
    before = client.frames.length
    await new Promise((resolve) => setTimeout(resolve, 50))
  } while (client.frames.length !== before)
}

test('R-48: a foreign next hop goes with the chunk unanswered: 481', async () => {
  const relay = await startRelay({ config: { msrp: { plaintext_peers: true } } })
  const alice = await relay.session('alice')
  const peer = await listenAsPeer()
  const toPath = [alice.relayUri, peer.uri]
  expect((await alice.client.transact({ method: 'SEND', toPath, body: 'hello' })).status).toBe(200)
  const connection = await peer.connection()
  await connection.nextRequest('SEND')
  await connection.close()
  const report = await alice.client.nextRequest('REPORT')
  expect(header(report, 'Status')).toMatch(/^000 481/)
  expect(report.fromPath).toEqual([alice.relayUri])
})
