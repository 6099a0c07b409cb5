import { createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { frameText, type MsrpClient, type ReceivedRequest, randomTid } from '../support/msrp-client.ts'
import { listenAsPeer } from '../support/peer-listener.ts'
import { type Endpoint, eventually, type Relay, settle, setups, startRelay } from '../support/relay.ts'

interface Parties {
  readonly relay: Relay
  readonly stranger: MsrpClient
  readonly bob: Endpoint
}

/** Somebody without a relay who writes to bob, who has one. */
async function meet(how: Parameters<typeof startRelay>[0]): Promise<Parties> {
  const relay = await startRelay(how)
  return { relay, stranger: await relay.connect(), bob: await relay.session('bob') }
}

/** The head of a frame as it has to look after the relay, given the lines below the paths as they were sent. */
function expectHead(received: ReceivedRequest, { stranger, bob }: Parties, lines: readonly string[]): void {
  const text = received.octets.toString('latin1')
  const head = [
    `MSRP ${received.tid} ${received.method}`,
    `To-Path: ${bob.uri}`,
    `From-Path: ${bob.relayUri} ${stranger.uri}`,
  ]
  expect(text.slice(0, text.indexOf(received.content === null ? '\r\n-------' : '\r\n\r\n'))).toBe(
    [...head, ...lines].join('\r\n'),
  )
}

describe.each(setups)('SEND ($setup)', ({ how }) => {
  test('R-40, M-50: the chunk is answered at once, also if the next hop says nothing', async () => {
    const { stranger, bob } = await meet(how)
    const response = await stranger.transact({ method: 'SEND', toPath: bob.path, body: 'hi' })
    expect(response.status).toBe(200)
    expect(response.toPath).toEqual([stranger.uri])
    expect(response.fromPath).toEqual([bob.relayUri])
    expect(response.headers.map(([name]) => name)).toEqual(['To-Path', 'From-Path'])
  })

  test('R-40, M-50: 200 goes to the previous hop only', async () => {
    const { stranger, bob } = await meet(how)
    const [near, far] = ['msrp://near.test:2855/n;tcp', 'msrp://far.test:2855/f;tcp']
    const response = await stranger.transact({ method: 'SEND', toPath: bob.path, fromPath: [near, far], body: 'hi' })
    expect(response.toPath).toEqual([near])
  })

  test('R-12, M-4: each chunk goes out with a fresh transaction id', async () => {
    const { stranger, bob } = await meet(how)
    const tids = new Set<string>()
    for (let i = 0; i < 50; i++) stranger.request({ method: 'SEND', tid: 'same', toPath: bob.path, body: `${i}` })
    for (let i = 0; i < 50; i++) {
      const { tid, content } = await bob.client.nextRequest('SEND')
      expect(content?.toString()).toBe(String(i))
      expect(tid).toMatch(/^[A-Za-z0-9][A-Za-z0-9.+%=-]{3,31}$/)
      tids.add(tid)
    }
    expect(tids.size).toBe(50)
    expect(tids).not.toContain('same')
  })

  test('R-42, R-16: from client to client both URIs are visited, in both directions', async () => {
    const { relay, bob } = await meet(how)
    const alice = await relay.session('alice')
    for (const [from, to] of [
      [alice, bob],
      [bob, alice],
    ] as const) {
      const tid = from.client.request({ method: 'SEND', toPath: [from.relayUri, ...to.path], body: 'hi' })
      const received = await to.client.nextRequest('SEND')
      expect(received.toPath).toEqual([to.uri])
      expect(received.fromPath).toEqual([to.relayUri, from.relayUri, from.uri])
      const response = await from.client.response(tid)
      expect(response.status).toBe(200)
      expect(response.fromPath).toEqual([from.relayUri])
      // The sender can be answered by turning the path round.
      expect(received.fromPath).toEqual([to.relayUri, ...from.path])
    }
  })

  test('R-16: two sessions of one connection may talk to each other', async () => {
    const { relay, bob } = await meet(how)
    const alice = await relay.session('alice', { client: bob.client })
    bob.client.request({ method: 'SEND', toPath: [bob.relayUri, alice.relayUri, bob.uri], body: 'hi' })
    expect((await bob.client.nextRequest('SEND')).fromPath).toEqual([alice.relayUri, bob.relayUri, bob.uri])
  })

  test('R-42: the rest of both paths is moved octet for octet', async () => {
    const { relay, stranger, bob } = await meet(how)
    const beyond = ['MSRP://Bob%2D@Host.TEST:0999/aB+c/=;TCP;x=y', 'msrps://[2001:DB8::0:1]:2855/~_.;ws;a;b=c']
    const before = ['msrp://[::FFFF:192.0.2.1]:9/q;dc', 'MSRPS://someone@far.example:65535/s-t;tcp;Flag']
    stranger.request({ method: 'SEND', toPath: [bob.relayUri, ...beyond], fromPath: before, body: 'hi' })
    const received = await bob.client.nextRequest('SEND')
    expect(received.toPath).toEqual(beyond)
    expect(received.fromPath).toEqual([bob.relayUri, ...before])
    const alice = await relay.session('alice')
    alice.client.request({ method: 'SEND', toPath: [alice.relayUri, bob.relayUri, ...beyond], fromPath: before })
    const both = await bob.client.nextRequest('SEND')
    expect(both.toPath).toEqual(beyond)
    expect(both.fromPath).toEqual([bob.relayUri, alice.relayUri, ...before])
  })

  test('R-43, M-26: all other headers pass unchanged, octet for octet and in order', async () => {
    const parties = await meet(how)
    const lines = [
      'X-First: one',
      'message-ID:  odd.blanks\t ',
      'X-First:again',
      'x-empty: ',
      'X-none:',
      'X-Utf8: Стоп é 日本語',
      'Byte-Range:\t1-*/0000020 ',
      'FAILURE-REPORT: YES',
      "x!#$%&'*+-.^_`|~9: token",
      'Content-Disposition: render',
      'Content-Type: text/plain; charset="ut\\"f-8"',
    ]
    const { stranger, bob } = parties
    const tid = randomTid()
    const head = [`MSRP ${tid} SEND`, `To-Path: ${bob.path.join(' ')}`, `From-Path: ${stranger.uri}`, ...lines].join(
      '\r\n',
    )
    stranger.send(Buffer.from(`${head}\r\n\r\nhi\r\n-------${tid}$\r\n`))
    const received = await bob.client.nextRequest('SEND')
    expect(received.content?.toString()).toBe('hi')
    expectHead(
      received,
      parties,
      lines.map((line) => Buffer.from(line).toString('latin1')),
    )
  })

  test('M-24, M-27, M-1: odd blanks and letter case around the paths are taken, and written the one right way', async () => {
    const parties = await meet(how)
    const { stranger, bob } = parties
    stranger.send(
      `MSRP oddly.written SEND\r\nTO-PATH:\t ${bob.path.join('   ')} \t\r\nfrom-path:${stranger.uri}\t\r\nMessage-ID: m123\r\n` +
        '-------oddly.written$\r\n',
    )
    const received = await bob.client.nextRequest('SEND')
    expect(received.octets.toString()).not.toMatch(/[ \t]\r|\t| {2}/)
    expect(received.toPath).toEqual([bob.uri])
    expect(received.fromPath).toEqual([bob.relayUri, stranger.uri])
    expect((await stranger.response('oddly.written')).status).toBe(200)
  })

  test.each([
    ['upper case', (uri: string) => uri.replace('msrp:', 'MSRP:').replace(';tcp', ';TCP')],
    ['user info', (uri: string) => uri.replace('//', '//bob@')],
    ['parameters', (uri: string) => `${uri};lr;x=y`],
    ['a leading zero in the port', (uri: string) => uri.replace(/:(\d+)\//, ':0$1/')],
  ])('U-4, U-5: our URI may be spelled with %s, and keeps its spelling', async (_, spell) => {
    const { relay, stranger, bob } = await meet(how)
    const spelled = spell(bob.relayUri)
    const response = await stranger.transact({ method: 'SEND', toPath: [spelled, bob.uri], body: 'hi' })
    expect(response.status).toBe(200)
    expect((await bob.client.nextRequest('SEND')).fromPath).toEqual([spelled, stranger.uri])
    const alice = await relay.session('alice')
    alice.client.request({ method: 'SEND', toPath: [spell(alice.relayUri), spelled, bob.uri], body: 'hi' })
    expect((await bob.client.nextRequest('SEND')).fromPath).toEqual([spelled, spell(alice.relayUri), alice.uri])
  })

  test('U-4: an IPv6 address of ours is ours by value', async () => {
    const relay = await startRelay({ ...how, config: { msrp: { use_path_addr: '[2001:db8::1]:2855' } } })
    const bob = await relay.session('bob')
    expect(bob.relayUri).toMatch(/^msrp:\/\/\[2001:db8::1\]:2855\//)
    const stranger = await relay.connect()
    for (const address of ['2001:DB8::1', '2001:0db8:0:0:0:0:0:0001', '2001:db8::0.0.0.1']) {
      const spelled = bob.relayUri.replace('2001:db8::1', address)
      expect((await stranger.transact({ method: 'SEND', toPath: [spelled, bob.uri], body: 'hi' })).status).toBe(200)
      expect((await bob.client.nextRequest('SEND')).fromPath).toEqual([spelled, stranger.uri])
    }
  })

  test.each(['+', '$', '#'] as const)('M-6, R-54: flag %s is kept, also without a body', async (flag) => {
    const { stranger, bob } = await meet(how)
    for (const body of ['part', '', undefined]) {
      const tid = stranger.request({ method: 'SEND', toPath: bob.path, flag, ...(body !== undefined && { body }) })
      const received = await bob.client.nextRequest('SEND')
      expect([received.flag, received.content?.toString()]).toEqual([flag, body])
      expect((await stranger.response(tid)).status).toBe(200)
    }
  })

  test('M-11: a bodiless SEND stays bodiless', async () => {
    const parties = await meet(how)
    const { stranger, bob } = parties
    stranger.request({ method: 'SEND', toPath: bob.path, headers: [['Message-ID', 'm123']] })
    const received = await bob.client.nextRequest('SEND')
    expect(received.content).toBeNull()
    expectHead(received, parties, ['Message-ID: m123'])
  })

  test('M-11: an empty body without its CRLF is taken, but never sent', async () => {
    const { stranger, bob } = await meet(how)
    const head = `To-Path: ${bob.path.join(' ')}\r\nFrom-Path: ${stranger.uri}\r\nMessage-ID: m123\r\nContent-Type: text/plain\r\n`
    stranger.send(`MSRP lenient1 SEND\r\n${head}\r\n-------lenient1$\r\n`)
    stranger.send(`MSRP strict12 SEND\r\n${head}\r\n\r\n-------strict12$\r\n`)
    for (const tid of ['lenient1', 'strict12']) {
      const received = await bob.client.nextRequest('SEND')
      expect(received.content).toHaveLength(0)
      expect(received.octets.toString()).toMatch(
        new RegExp(`Content-Type: text/plain\r\n\r\n\r\n-------${escaped(received.tid)}\\$\r\n$`),
      )
      expect((await stranger.response(tid)).status).toBe(200)
    }
  })

  test('M-9, M-10: bodies may hold any octets and anything that looks like a frame', async () => {
    const { stranger, bob } = await meet(how)
    const tid = 'a786hjs2'
    const everyOctet = Buffer.from(Array.from({ length: 256 }, (_, value) => value))
    const bodies = [
      everyOctet,
      Buffer.concat([everyOctet, everyOctet.toReversed()]),
      ...[
        `\r\n-------${tid}`,
        `\r\n-------${tid}\r\n`,
        `\r\n-------${tid}*\r\n`,
        `\r\n-------${tid}$\n`,
        `\r\n-------${tid}$\rX`,
        `\r\n--------${tid}$\r\n`,
        `\r\n------${tid}$\r\n`,
        `\n-------${tid}$\r\n`,
        `\r-------${tid}$\r\n`,
        `x-------${tid}$\r\n`,
        `\r\n-------${tid}x$\r\n`,
        `\r\n-------${tid.slice(1)}$\r\n`,
        `\r\n-------${tid.toUpperCase()}$\r\n`,
        `\r\nMSRP other SEND\r\nTo-Path: ${bob.uri}\r\n\r\nx\r\n-------other$\r\n`,
        '\r\n',
        '\r\n\r\n',
        '\r',
        '\r\n-------',
      ].map((text) => Buffer.from(`before${text}`)),
    ]
    for (const body of bodies) {
      stranger.request({ method: 'SEND', tid, toPath: bob.path, body })
      expect((await bob.client.nextRequest('SEND')).content).toEqual(body)
      expect((await stranger.response(tid)).status).toBe(200)
    }
  })

  test('M-40, M-44: bodies up to 64 KiB pass whole', async () => {
    const { stranger, bob } = await meet(how)
    for (const length of [1, 2047, 2048, 2049, 16_000, 16_384, 65_000, 65_535, 65_536]) {
      const body = pseudoRandom(length)
      const tid = stranger.request({ method: 'SEND', toPath: bob.path, body })
      const received = await bob.client.nextRequest('SEND')
      expect(received.content?.length).toBe(length)
      expect(received.content?.equals(body)).toBe(true)
      expect((await stranger.response(tid)).status).toBe(200)
    }
  })

  test.each([65_537, 200_000, 3_000_000])('M-44: a body of %i octets is swallowed and answered 413', async (length) => {
    const { relay, stranger, bob } = await meet(how)
    const body = pseudoRandom(length)
    expect((await stranger.transact({ method: 'SEND', toPath: bob.path, body }, 15_000)).status).toBe(413)
    // The connection is in step, and the receiver saw nothing of it.
    expect((await stranger.transact({ method: 'SEND', toPath: bob.path, body: 'hi' })).status).toBe(200)
    expect((await bob.client.nextRequest('SEND')).content?.toString()).toBe('hi')
    expect(bob.client.frames.filter(({ kind }) => kind === 'request')).toHaveLength(1)
    expect(bob.client.errors).toEqual([])
    await eventually(() => relay.metric('silopath_msrp_deliveries_total', { outcome: 'too_large' })).toBe(1)
  })

  test('M-51: a body too large is not answered where Failure-Report says no', async () => {
    const { stranger, bob } = await meet(how)
    const headers = [['Failure-Report', 'no']] as const
    stranger.request({ method: 'SEND', toPath: bob.path, headers, body: pseudoRandom(100_000) })
    expect((await stranger.transact({ method: 'SEND', toPath: bob.path, body: 'hi' })).status).toBe(200)
    expect(stranger.frames).toHaveLength(1)
    const partial = [['Failure-Report', 'partial']] as const
    const request = { method: 'SEND', toPath: bob.path, headers: partial, body: pseudoRandom(100_000) }
    expect((await stranger.transact(request)).status).toBe(413)
  })

  test('limits.body makes the largest body smaller', async () => {
    const { stranger, bob } = await meet({ ...how, config: { msrp: { limits: { body: 1000 } } } })
    expect((await stranger.transact({ method: 'SEND', toPath: bob.path, body: pseudoRandom(1000) })).status).toBe(200)
    expect((await stranger.transact({ method: 'SEND', toPath: bob.path, body: pseudoRandom(1001) })).status).toBe(413)
    expect((await stranger.transact({ method: 'SEND', toPath: bob.path, body: pseudoRandom(1000) })).status).toBe(200)
  })

  test.each(['no', 'partial'])('M-51, R-40: Failure-Report %s gets no 200', async (wish) => {
    const { stranger, bob } = await meet(how)
    stranger.request({ method: 'SEND', toPath: bob.path, headers: [['Failure-Report', wish]], body: 'hi' })
    const received = await bob.client.nextRequest('SEND')
    expect(received.failureReport).toBe(wish)
    // What comes back after it shows that nothing came for it.
    await stranger.transact({ method: 'SEND', toPath: bob.path, body: 'sync' })
    expect(stranger.frames).toHaveLength(1)
  })

  test('M-51, R-44: errors are told where Failure-Report is partial, and not where it is no', async () => {
    const { relay, stranger } = await meet(how)
    const toPath = [relay.uri('AAAAAAAAAAAAAAAAAAAAAAAAAAA'), 'msrp://bob.test:2855/b;tcp']
    const partial = { method: 'SEND', toPath, headers: [['Failure-Report', 'partial']] as const, body: 'hi' }
    expect((await stranger.transact(partial)).status).toBe(481)
    stranger.request({ ...partial, headers: [['Failure-Report', 'no']] })
    expect((await stranger.transact(partial)).status).toBe(481)
    expect(stranger.frames).toHaveLength(2)
  })

  test('M-58: a body for the relay itself is for no session', async () => {
    const { bob } = await meet(how)
    expect((await bob.client.transact({ method: 'SEND', toPath: bob.relayUri, body: 'hi' })).status).toBe(481)
    expect((await settle(bob)).status).toBe(200)
  })

  test('M-63: frames that arrive together, or octet by octet, all pass in order', async () => {
    const { stranger, bob } = await meet(how)
    const frame = (text: string) =>
      frameText({
        tid: randomTid(),
        method: 'SEND',
        toPath: bob.path,
        fromPath: stranger.uri,
        headers: [['Message-ID', text.replace(' ', '-')]],
        body: text,
      })
    const count = 500
    stranger.send(Buffer.concat(Array.from({ length: count }, (_, i) => frame(`burst ${i}`))))
    for (let i = 0; i < count; i++) {
      expect((await bob.client.nextRequest('SEND')).content?.toString()).toBe(`burst ${i}`)
    }
    for (const octet of frame('slow')) {
      stranger.send(Uint8Array.of(octet))
      await stranger.drained()
    }
    expect((await bob.client.nextRequest('SEND')).content?.toString()).toBe('slow')
    await eventually(() => stranger.frames.length).toBe(count + 1)
    expect(stranger.frames.every((response) => response.kind === 'response' && response.status === 200)).toBe(true)
  })

  test('many clients at once get each what is theirs', async () => {
    const { relay } = await meet(how)
    const endpoints = await Promise.all(Array.from({ length: 12 }, () => relay.session('alice')))
    for (const { client } of endpoints) client.autoAnswer()
    const sent = endpoints.flatMap((from, i) =>
      endpoints.map((to, j) => {
        const toPath = [from.relayUri, ...to.path]
        return from.client.transact({ method: 'SEND', toPath, body: `${i} to ${j} ${'.'.repeat(200 * j)}` })
      }),
    )
    const responses = await Promise.all(sent)
    expect(responses.map(({ status }) => status)).toEqual(sent.map(() => 200))
    for (const [j, { client, relayUri, uri }] of endpoints.entries()) {
      const received = await Promise.all(endpoints.map(() => client.nextRequest('SEND')))
      const texts = received.map(({ content }) => content?.toString().split(' .')[0]?.trim())
      expect(new Set(texts)).toEqual(new Set(endpoints.map((_, i) => `${i} to ${j}`)))
      for (const { toPath, fromPath } of received) {
        expect(toPath).toEqual([uri])
        expect(fromPath[0]).toBe(relayUri)
      }
    }
    const acknowledged = () => relay.metric('silopath_msrp_deliveries_total', { outcome: 'acknowledged' })
    await eventually(acknowledged).toBe(sent.length)
  })

  test('R-41, R-48: a next hop that cannot be reached is a 408, and no REPORT follows', async () => {
    const relay = await startRelay({ ...how, config: { msrp: { plaintext_peers: true } } })
    const alice = await relay.session('alice')
    const { port } = await listenAsPeer()
    const unreachable = [`msrp://peer.invalid:${port}/x;tcp`, 'msrp://127.0.0.1:1/x;tcp']
    for (const uri of unreachable) {
      const request = { method: 'SEND', toPath: [alice.relayUri, uri], body: 'hi' }
      expect((await alice.client.transact(request)).status).toBe(408)
    }
    await settle(alice)
    expect(alice.client.frames.filter(({ kind }) => kind === 'request')).toEqual([])
  })
})

function pseudoRandom(length: number): Buffer {
  const blocks = Array.from({ length: Math.ceil(length / 32) }, (_, i) => createHash('sha256').update(`${i}`).digest())
  return Buffer.concat(blocks).subarray(0, length)
}

function escaped(text: string): string {
  return text.replace(/[.+]/g, '\\$&')
}
