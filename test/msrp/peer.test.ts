import { describe, expect, test } from 'vitest'
import { FakeTicker } from '../support/fake-ticker.ts'
import { frameText, header, randomTid } from '../support/msrp-client.ts'
import { listenAsPeer } from '../support/peer-listener.ts'
import { clockedSetups, eventually, laneSetups, type RelayOptions, settle, startRelay } from '../support/relay.ts'

const connecting = { msrp: { plaintext_peers: true } }

/** alice at relay A and bob at relay B, which may connect to each other. */
async function twoRelays(how: RelayOptions) {
  const a = await startRelay({ ...how, config: connecting })
  const b = await startRelay({ ...how, config: connecting, own: true })
  const [alice, bob] = [await a.session('alice'), await b.session('bob')]
  return { a, b, alice, bob, toBob: [alice.relayUri, ...bob.path], toAlice: [bob.relayUri, ...alice.path] }
}

describe.each(laneSetups)('relay to relay ($setup)', ({ how }) => {
  test('R-42, R-40: a chunk visits both relays, hop by hop', async () => {
    const { alice, bob, toBob } = await twoRelays(how)
    const response = await alice.client.transact({ method: 'SEND', toPath: toBob, body: 'hello' })
    expect([response.status, ...response.fromPath]).toEqual([200, alice.relayUri])
    const received = await bob.client.nextRequest('SEND')
    expect(received.toPath).toEqual([bob.uri])
    expect(received.fromPath).toEqual([bob.relayUri, alice.relayUri, alice.uri])
    expect(received.content?.toString()).toBe('hello')
  })

  test('R-46: a success REPORT and an answer find the way back', async () => {
    const { alice, bob, toBob, toAlice } = await twoRelays(how)
    const headers = [
      ['Message-ID', 'm123'],
      ['Success-Report', 'yes'],
    ] as const
    await alice.client.transact({ method: 'SEND', toPath: toBob, headers, body: 'hello' })
    const received = await bob.client.nextRequest('SEND')
    const status = [
      ['Message-ID', 'm123'],
      ['Byte-Range', '1-5/5'],
      ['Status', '000 200 OK'],
    ] as const
    bob.client.request({ method: 'REPORT', toPath: received.fromPath, headers: status })
    const report = await alice.client.nextRequest('REPORT')
    expect(report.fromPath).toEqual([alice.relayUri, bob.relayUri, bob.uri])
    expect(report.headers.slice(2)).toEqual(status)
    expect((await bob.client.transact({ method: 'SEND', toPath: toAlice, body: 'back' })).status).toBe(200)
    expect((await alice.client.nextRequest('SEND')).content?.toString()).toBe('back')
  })

  test('R-61, R-41: an error at the far client is reported by its relay, through ours', async () => {
    const { alice, bob, toBob } = await twoRelays(how)
    const headers = [['Message-ID', 'm123']] as const
    await alice.client.transact({ method: 'SEND', toPath: toBob, headers, body: 'hello' })
    bob.client.respond(await bob.client.nextRequest('SEND'), 415)
    const report = await alice.client.nextRequest('REPORT')
    expect(header(report, 'Status')).toMatch(/^000 415/)
    expect(header(report, 'Message-ID')).toBe('m123')
    expect(report.toPath).toEqual([alice.uri])
    expect(report.fromPath).toEqual([alice.relayUri, bob.relayUri])
  })

  test('R-61, R-41: an error at the far relay is reported by ours', async () => {
    const { alice, bob, toBob } = await twoRelays(how)
    await bob.client.close()
    await eventually(async () => {
      await alice.client.transact({ method: 'SEND', toPath: toBob, body: 'hello' })
      const report = await alice.client.nextRequest('REPORT')
      return header(report, 'Status')
    }).toMatch(/^000 481/)
  })

  test('R-29, R-26, R-62: AUTH through our relay yields a path of both', async () => {
    const { a, b, alice } = await twoRelays(how)
    const { first, final, usePath, rspauthOk } = await b.auth(alice.client, 'alice', {
      toPath: [alice.relayUri, b.uri()],
    })
    expect([first.status, final.status]).toEqual([401, 200])
    expect(usePath).toEqual([alice.relayUri, expect.stringContaining(`:${b.port}/`)])
    expect(rspauthOk).toBe(true)
    expect(final.toPath).toEqual([alice.uri])
    expect(final.fromPath).toEqual([alice.relayUri, b.uri()])
    // Use-Path is nearest relay first; what others put in To-Path begins with the farthest.
    const stranger = await b.connect()
    const toPath = [...usePath.toReversed(), alice.uri]
    expect((await stranger.transact({ method: 'SEND', toPath, body: 'hello' })).status).toBe(200)
    const received = await alice.client.nextRequest('SEND')
    expect(received.fromPath).toEqual([...usePath, stranger.uri])
    // it is bound to the connection between the relays.
    await eventually(() => a.metric('silopath_msrp_auth_total', { outcome: 'forwarded' })).toBe(2)
  })

  test('M-80: one connection serves all requests to a relay', async () => {
    const { a, alice, toBob } = await twoRelays(how)
    const second = await a.session('mallory')
    for (let i = 0; i < 5; i++) await alice.client.transact({ method: 'SEND', toPath: toBob, body: `${i}` })
    const sent = Array.from({ length: 20 }, () => alice.client.transact({ method: 'SEND', toPath: toBob, body: 'x' }))
    await Promise.all(sent)
    await second.client.transact({ method: 'SEND', toPath: [second.relayUri, ...toBob.slice(1)], body: 'x' })
    expect(await a.metric('silopath_connections_total', { event: 'connected_out' })).toBe(1)
  })

  test('M-80: requests that come while the connection is being made are sent in order', async () => {
    const { alice, bob, toBob } = await twoRelays(how)
    const sent = Array.from({ length: 50 }, (_, i) =>
      alice.client.transact({ method: 'SEND', toPath: toBob, body: `${i}` }),
    )
    for (let i = 0; i < 50; i++) expect((await bob.client.nextRequest('SEND')).content?.toString()).toBe(String(i))
    expect((await Promise.all(sent)).map(({ status }) => status)).toEqual(sent.map(() => 200))
  })

  test('M-44: a chunk too large to wait for its next hop is a 413 at once, and others are served', async () => {
    const { alice, bob, toBob } = await twoRelays(how)
    const large = alice.client.transact({ method: 'SEND', toPath: toBob, body: 'x'.repeat(70_000) })
    expect((await large).status).toBe(413)
    await alice.client.transact({ method: 'SEND', toPath: toBob, body: 'small' })
    expect((await bob.client.nextRequest('SEND')).content?.toString()).toBe('small')
  })

  test('R-48: a next hop that refuses connections is a 408, and others are served meanwhile', async () => {
    const { alice, a } = await twoRelays({ ...how, own: true })
    const other = await a.session('bob')
    const request = { method: 'SEND', toPath: [alice.relayUri, 'msrp://127.0.0.1:1/x;tcp'], body: 'hello' }
    const refused = alice.client.transact(request)
    expect((await settle(other)).status).toBe(200)
    expect((await refused).status).toBe(408)
    expect((await settle(alice)).status).toBe(200)
    await eventually(() => a.metric('silopath_msrp_deliveries_total', { outcome: 'unreachable' })).toBe(1)
  })

  test('R-48: other methods hear of it too, but a REPORT', async () => {
    const { alice } = await twoRelays(how)
    const toPath = [alice.relayUri, 'msrp://127.0.0.1:1/x;tcp']
    const headers = [
      ['Message-ID', 'm123'],
      ['Status', '000 200'],
    ] as const
    alice.client.request({ method: 'REPORT', toPath, headers })
    expect((await alice.client.transact({ method: 'NICKNAME', toPath })).status).toBe(408)
    const before = alice.client.frames.length
    await settle(alice)
    expect(alice.client.frames).toHaveLength(before + 1)
  })

  test('U-7: .invalid names are never looked up', async () => {
    const { alice, a } = await twoRelays(how)
    for (const host of ['df7jal23ls0d.invalid', 'A.INVALID', 'a.invalid.']) {
      const request = { method: 'SEND', toPath: [alice.relayUri, `msrp://${host}:2855/x;ws`], body: 'hello' }
      expect((await alice.client.transact(request)).status).toBe(408)
    }
    expect(await a.metric('silopath_connections_total', { event: 'connected_out' })).toBe(0)
  })

  test('U-3: a next hop without a port, or that asks for TLS, cannot be connected to', async () => {
    const { alice } = await twoRelays(how)
    for (const uri of ['msrp://127.0.0.1/x;tcp', 'msrps://127.0.0.1:1/x;tcp']) {
      const request = { method: 'SEND', toPath: [alice.relayUri, uri], body: 'hello' }
      expect([403, 408]).toContain((await alice.client.transact(request)).status)
    }
  })

  test('R-1: by default nobody is connected to in the clear', async () => {
    const relay = await startRelay(how)
    const alice = await relay.session('alice')
    const peer = await listenAsPeer()
    const request = { method: 'SEND', toPath: [alice.relayUri, peer.uri], body: 'hello' }
    expect((await alice.client.transact(request)).status).toBe(403)
    expect((await alice.client.transact({ ...request, method: 'NICKNAME' })).status).toBe(403)
    expect(peer.accepted).toEqual([])
  })

  test('M-83: a peer that has gone is connected to anew', async () => {
    const relay = await startRelay({ ...how, config: connecting })
    const alice = await relay.session('alice')
    const peer = await listenAsPeer()
    const request = { method: 'SEND', toPath: [alice.relayUri, peer.uri], body: 'hello' }
    await alice.client.transact(request)
    const first = await peer.connection(0)
    first.respond(await first.nextRequest('SEND'), 200)
    await first.close()
    await eventually(() => relay.metric('silopath_connections')).toBe(1)
    expect((await alice.client.transact(request)).status).toBe(200)
    await (await peer.connection(1)).nextRequest('SEND')
  })

  test('R-13, R-15: what a peer sends on a connection we made is a request like any other', async () => {
    const relay = await startRelay({ ...how, config: connecting })
    const [alice, bob] = [await relay.session('alice'), await relay.session('bob')]
    const peer = await listenAsPeer()
    await alice.client.transact({ method: 'SEND', toPath: [alice.relayUri, peer.uri], body: 'hello' })
    const connection = await peer.connection()
    const send = (toPath: readonly string[]) =>
      connection.transact({ method: 'SEND', toPath, fromPath: peer.uri, body: 'hi' })
    expect((await send(alice.path)).status).toBe(200)
    expect((await alice.client.nextRequest('SEND')).fromPath).toEqual([alice.relayUri, peer.uri])
    expect((await send([alice.relayUri, ...bob.path])).status).toBe(403)
    expect((await send([relay.uri('x'), bob.uri])).status).toBe(481)
    await settle(bob)
    expect(bob.client.frames.filter(({ kind }) => kind === 'request')).toEqual([])
  })

  test('R-46, M-80: what a client answers a peer without relay goes over the connection that the peer made', async () => {
    const relay = await startRelay(how)
    const bob = await relay.session('bob')
    const peer = await relay.connect()
    expect((await peer.transact({ method: 'SEND', toPath: bob.path, body: 'hello' })).status).toBe(200)
    const received = await bob.client.nextRequest('SEND')
    const answer = { method: 'SEND', toPath: received.fromPath, body: 'back' }
    expect((await bob.client.transact(answer)).status).toBe(200)
    const back = await peer.nextRequest('SEND')
    expect(back.toPath).toEqual([peer.uri])
    expect(back.fromPath).toEqual([bob.relayUri, bob.uri])
  })
})

describe.each(clockedSetups)('connection to a peer, over time ($setup)', ({ how }) => {
  test('R-6: it is closed after five idle minutes, that of the client stays', async () => {
    const clock = new FakeTicker()
    const relay = await startRelay({ ...how, clock, config: connecting })
    const alice = await relay.session('alice')
    const peer = await listenAsPeer()
    const request = { method: 'SEND', toPath: [alice.relayUri, peer.uri], body: 'hello' }
    await alice.client.transact(request)
    const connection = await peer.connection()
    connection.autoAnswer()
    clock.advance(200_000)
    await alice.client.transact(request)
    await eventually(() => connection.frames.length).toBe(2)
    clock.advance(290_000)
    expect((await alice.client.transact(request)).status).toBe(200)
    await eventually(() => connection.frames.length).toBe(3)
    clock.advance(301_000)
    await connection.closed
    expect((await settle(alice)).status).toBe(200)
    expect(await relay.metric('silopath_connections_total', { event: 'dropped_idle' })).toBe(1)
  })

  test('R-3: a connection that we made is on no probation', async () => {
    const clock = new FakeTicker()
    const relay = await startRelay({ ...how, clock, config: connecting })
    const alice = await relay.session('alice')
    const peer = await listenAsPeer()
    await alice.client.transact({ method: 'SEND', toPath: [alice.relayUri, peer.uri], body: 'hello' })
    const connection = await peer.connection()
    connection.respond(await connection.nextRequest('SEND'), 200)
    clock.advance(60_000)
    await alice.client.transact({ method: 'SEND', toPath: [alice.relayUri, peer.uri], body: 'again' })
    expect((await connection.nextRequest('SEND')).content?.toString()).toBe('again')
  })

  test('R-45: a peer that does not answer is a 408 after 30 s', async () => {
    const clock = new FakeTicker()
    const relay = await startRelay({ ...how, clock, config: connecting })
    const alice = await relay.session('alice')
    const peer = await listenAsPeer()
    await alice.client.transact({ method: 'SEND', toPath: [alice.relayUri, peer.uri], body: 'hello' })
    await (await peer.connection()).nextRequest('SEND')
    clock.advance(31_000)
    expect(header(await alice.client.nextRequest('REPORT'), 'Status')).toMatch(/^000 408/)
  })
})

test('R-10: a relay does not take frames for another relay that stands before it', async () => {
  const a = await startRelay({ config: connecting })
  const b = await startRelay({ config: connecting, own: true })
  const bob = await b.session('bob')
  const stranger = await a.connect()
  const frame = { method: 'SEND', tid: randomTid(), toPath: bob.path, fromPath: stranger.uri }
  stranger.send(frameText({ ...frame, headers: [['Message-ID', 'm123']], body: 'hello' }))
  await stranger.closed
  await settle(bob)
  expect(bob.client.frames.filter(({ kind }) => kind === 'request')).toEqual([])
})
