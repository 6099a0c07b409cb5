import { describe, expect, test } from 'vitest'
import { FakeTicker } from '../support/fake-ticker.ts'
import { type MsrpClient, randomTid } from '../support/msrp-client.ts'
import { listenAsPeer } from '../support/peer-listener.ts'
import { clockedSetups, type Endpoint, type Relay, settle, setups, startRelay } from '../support/relay.ts'

/** A relay that would connect to anybody, were it an open one. */
function startConnecting(how: Parameters<typeof startRelay>[0]): Promise<Relay> {
  return startRelay({ ...how, config: { msrp: { plaintext_peers: true } } })
}

/** Headers that make a request of any method well formed. */
function headersFor(method: string): (readonly [string, string])[] {
  if (method === 'REPORT') {
    return [
      ['Message-ID', randomTid()],
      ['Status', '000 200'],
    ]
  }
  return method === 'SEND' ? [['Message-ID', randomTid()]] : []
}

/** A session-id that is one character off. */
function altered(uri: string, index: number): string {
  const start = uri.lastIndexOf('/') + 1
  const at = index < 0 ? uri.indexOf(';') + index : start + index
  return `${uri.slice(0, at)}${uri[at] === 'A' ? 'B' : 'A'}${uri.slice(at + 1)}`
}

/** Whatever else came of it, nobody got a request of it. */
async function expectUntouched(...endpoints: Endpoint[]): Promise<void> {
  for (const endpoint of endpoints) {
    expect((await settle(endpoint)).status).toBe(200)
    expect(endpoint.client.frames.filter(({ kind }) => kind === 'request')).toEqual([])
  }
}

const methods = ['SEND', 'REPORT', 'AUTH', 'NICKNAME']

describe.each(setups)('permission to forward ($setup)', ({ how }) => {
  test('R-13 (a), R-15: a stranger may send to our client', async () => {
    const relay = await startConnecting(how)
    const bob = await relay.session('bob')
    const stranger = await relay.connect()
    const tid = stranger.request({ method: 'SEND', toPath: bob.path, body: 'hi' })
    const received = await bob.client.nextRequest('SEND')
    expect(received.content?.toString()).toBe('hi')
    expect((await stranger.response(tid)).status).toBe(200)
  })

  test.each(methods)('R-13 (b): a client may send %s to another client, and a foreign next hop', async (method) => {
    const relay = await startConnecting(how)
    const [alice, bob] = [await relay.session('alice'), await relay.session('bob')]
    const peer = await listenAsPeer()
    const headers = headersFor(method)
    alice.client.request({ method, toPath: [alice.relayUri, ...bob.path], headers })
    expect((await bob.client.nextRequest(method)).fromPath).toEqual([bob.relayUri, alice.relayUri, alice.uri])
    alice.client.request({ method, toPath: [alice.relayUri, peer.uri], headers })
    const received = await (await peer.connection()).nextRequest(method)
    expect(received.toPath).toEqual([peer.uri])
    expect(received.fromPath).toEqual([alice.relayUri, alice.uri])
  })

  describe('R-13, R-44: no session of ours, no forwarding', () => {
    const bogus: [string, (relay: Relay, bob: Endpoint) => string][] = [
      ['an unknown session', (relay) => relay.uri('AAAAAAAAAAAAAAAAAAAAAAAAAAA')],
      ['a short session-id', (relay) => relay.uri('x')],
      ['an over-long session-id', (relay) => relay.uri('x'.repeat(2000))],
      ['no session-id', (relay) => relay.uri()],
      ['a session-id of the wrong secret', (_, bob) => altered(bob.relayUri, -1)],
      ['a session-id with the secret wrong in the middle', (_, bob) => altered(bob.relayUri, 12)],
      ['a session-id that names another slot', (_, bob) => altered(bob.relayUri, 4)],
      ['a session-id that names another lane', (_, bob) => altered(bob.relayUri, 0)],
      ['a longer session-id', (_, bob) => bob.relayUri.replace(';', 'A;')],
      ['a cut session-id', (_, bob) => bob.relayUri.replace(/.;/, ';')],
      ['a session-id in other case', (_, bob) => swapCase(bob.relayUri)],
    ]

    test.each(bogus)('%s', async (_, uriOf) => {
      const relay = await startConnecting(how)
      const bob = await relay.session('bob')
      const peer = await listenAsPeer()
      const stranger = await relay.connect()
      // One request that succeeds, so that those that fail do not end the connection.
      const alice = await relay.session('alice')
      expect((await stranger.transact({ method: 'SEND', toPath: alice.path })).status).toBe(200)
      for (const next of [bob.uri, peer.uri]) {
        const toPath = [uriOf(relay, bob), next]
        expect((await stranger.transact({ method: 'SEND', toPath, body: 'hi' })).status).toBe(481)
        stranger.request({ method: 'REPORT', toPath, headers: headersFor('REPORT') })
        for (const method of ['AUTH', 'NICKNAME']) {
          expect((await stranger.transact({ method, toPath })).status).toBe(481)
        }
        // R-44, M-51
        stranger.request({ method: 'SEND', toPath, headers: [['Failure-Report', 'no']], body: 'hi' })
        expect((await stranger.transact({ method: 'SEND', toPath, body: 'sync' })).status).toBe(481)
      }
      expect(stranger.frames).toHaveLength(1 + 2 * 4)
      await expectUntouched(bob)
      expect(peer.accepted).toEqual([])
    })
  })

  test.each(methods)(
    'R-13, R-15: a stranger cannot reach a foreign next hop by way of a session (%s)',
    async (method) => {
      const relay = await startConnecting(how)
      const bob = await relay.session('bob')
      const peer = await listenAsPeer()
      const stranger = await relay.connect()
      // What a client writes behind its relay's URI is its own affair: it goes to its connection, and nowhere else.
      stranger.request({ method, toPath: [bob.relayUri, peer.uri], headers: headersFor(method) })
      await bob.client.nextRequest(method)
      await settle(bob)
      expect(peer.accepted).toEqual([])
    },
  )

  test.each(methods)(
    "R-13: another client's session is no way out, neither to a foreign hop nor a third client (%s)",
    async (method) => {
      const relay = await startConnecting(how)
      const [alice, bob, mallory] = [
        await relay.session('alice'),
        await relay.session('bob'),
        await relay.session('mallory'),
      ]
      const peer = await listenAsPeer()
      const forbidden = [
        [alice.relayUri, ...bob.path],
        [alice.relayUri, bob.relayUri, peer.uri],
        [alice.relayUri, mallory.relayUri, peer.uri],
        [alice.relayUri, alice.relayUri, peer.uri],
        [mallory.relayUri, alice.relayUri, bob.relayUri, peer.uri],
        [mallory.relayUri, alice.relayUri, mallory.relayUri, peer.uri],
        [mallory.relayUri, mallory.relayUri, mallory.relayUri, peer.uri],
      ]
      for (const toPath of forbidden) {
        const request = { method, toPath, headers: headersFor(method) }
        if (method === 'REPORT') mallory.client.request(request)
        else expect((await mallory.client.transact(request)).status, toPath.join(' ')).toBe(403)
      }
      await expectUntouched(alice, bob, mallory)
      expect(peer.accepted).toEqual([])
    },
  )

  test.each(methods)('R-13: a stranger cannot use two sessions of ours in a row (%s)', async (method) => {
    const relay = await startConnecting(how)
    const [alice, bob] = [await relay.session('alice'), await relay.session('bob')]
    const stranger = await relay.connect()
    const request = { method, toPath: [alice.relayUri, ...bob.path], headers: headersFor(method) }
    if (method === 'REPORT') stranger.request(request)
    else expect((await stranger.transact(request)).status).toBe(403)
    await expectUntouched(alice, bob)
  })

  test('R-13: ours after ours without a session behind it is refused, and does not loop', async () => {
    const relay = await startConnecting(how)
    const [alice, bob] = [await relay.session('alice'), await relay.session('bob')]
    const targets = [relay.uri('AAAAAAAAAAAAAAAAAAAAAAAAAAA'), relay.uri(), altered(bob.relayUri, -1)]
    for (const target of targets) {
      const toPath = [alice.relayUri, target, bob.uri]
      const { status } = await alice.client.transact({ method: 'SEND', toPath, body: 'hi' })
      expect([403, 481]).toContain(status)
    }
    const loop = Array.from({ length: 40 }, () => alice.relayUri)
    expect((await alice.client.transact({ method: 'SEND', toPath: [...loop, bob.uri], body: 'hi' })).status).toBe(403)
    await expectUntouched(alice, bob)
    expect(await relay.metric('silopath_connections_total', { event: 'connected_out' })).toBe(0)
  })

  test.each([
    ['another host', (uri: string) => uri.replace('127.0.0.1', '127.0.0.2')],
    ['another port', (uri: string) => uri.replace(/:(\d+)\//, (_, port) => `:${Number(port) === 1 ? 2 : 1}/`)],
    ['a name', (uri: string) => uri.replace('127.0.0.1', 'relay.invalid')],
  ])('R-10: a request for %s ends the connection without an answer', async (_, foreign) => {
    const relay = await startConnecting(how)
    const bob = await relay.session('bob')
    for (const method of methods) {
      const stranger = await relay.connect()
      stranger.request({ method, toPath: [foreign(bob.relayUri), bob.uri], headers: headersFor(method) })
      await stranger.closed
      expect(stranger.frames).toEqual([])
    }
    await expectUntouched(bob)
  })

  test('R-10: a client that names a foreign next hop first is no exception', async () => {
    const relay = await startConnecting(how)
    const alice = await relay.session('alice')
    const peer = await listenAsPeer()
    alice.client.request({ method: 'SEND', toPath: peer.uri, body: 'hi' })
    await alice.client.closed
    expect(peer.accepted).toEqual([])
  })

  test.each([
    ['msrps is not msrp', (uri: string) => uri.replace('msrp:', 'msrps:')],
    ['no port is not our port', (uri: string) => uri.replace(/:\d+\//, '/')],
    ['ws is not tcp', (uri: string) => uri.replace(';tcp', ';ws')],
  ])('U-4, U-5: %s', async (_, other) => {
    const relay = await startConnecting(how)
    const bob = await relay.session('bob')
    const stranger = await relay.connect()
    const tid = stranger.request({ method: 'SEND', toPath: [other(bob.relayUri), bob.uri], body: 'hi' })
    const answered = stranger.response(tid).then(({ status }) => status)
    expect([481, 'closed']).toContain(await Promise.race([answered, stranger.closed.then(() => 'closed')]))
    await answered.catch(() => 'closed')
    await expectUntouched(bob)
  })

  test('R-17: no address that a client claims is connected to', async () => {
    const relay = await startConnecting(how)
    const peer = await listenAsPeer()
    const client = await relay.connect()
    const bob = await relay.session('bob', { client, fromPath: peer.uri })
    const stranger = await relay.connect()
    expect((await stranger.transact({ method: 'SEND', toPath: [bob.relayUri, peer.uri], body: 'hi' })).status).toBe(200)
    expect((await client.nextRequest('SEND')).toPath).toEqual([peer.uri])
    expect(peer.accepted).toEqual([])
  })

  test('M-58: a path that ends at a session serves its own client only', async () => {
    const relay = await startConnecting(how)
    const [alice, bob] = [await relay.session('alice'), await relay.session('bob')]
    // W-8
    expect((await alice.client.transact({ method: 'SEND', toPath: alice.relayUri })).status).toBe(200)
    const toPath = bob.relayUri
    expect((await alice.client.transact({ method: 'SEND', toPath, body: 'hi' })).status).toBe(481)
    alice.client.request({ method: 'REPORT', toPath, headers: headersFor('REPORT') })
    expect((await alice.client.transact({ method: 'NICKNAME', toPath })).status).toBe(501)
    await expectUntouched(alice, bob)
  })
})

describe.each(clockedSetups)('permission to forward, over time ($setup)', ({ how }) => {
  test.each(methods)('R-23: an expired session serves neither strangers nor its own client (%s)', async (method) => {
    const clock = new FakeTicker()
    const relay = await startRelay({ ...how, clock, config: { msrp: { plaintext_peers: true } } })
    const alice = await relay.session('alice', { expires: 60 })
    const bob = await relay.session('bob')
    const peer = await listenAsPeer()
    clock.advance(61_000)
    const refused = async (client: MsrpClient, toPath: readonly string[]) => {
      const request = { method, toPath, headers: headersFor(method) }
      if (method === 'REPORT') client.request(request)
      else expect((await client.transact(request)).status).toBe(481)
    }
    await refused(await relay.connect(), alice.path)
    await refused(alice.client, [alice.relayUri, ...bob.path])
    await refused(alice.client, [alice.relayUri, peer.uri])
    // nor as the second of two.
    await refused(bob.client, [bob.relayUri, ...alice.path])
    expect((await alice.client.transact({ method: 'SEND', toPath: alice.relayUri })).status).toBe(481)
    await expectUntouched(bob)
    expect(alice.client.frames.filter(({ kind }) => kind === 'request')).toEqual([])
    expect(peer.accepted).toEqual([])
  })
})

/** Letters of the session-id only. */
function swapCase(uri: string): string {
  const at = uri.lastIndexOf('/') + 1
  const swapped = uri
    .slice(at, uri.indexOf(';'))
    .replace(/[a-z]/gi, (letter) => (letter === letter.toLowerCase() ? letter.toUpperCase() : letter.toLowerCase()))
  return `${uri.slice(0, at)}${swapped}${uri.slice(uri.indexOf(';'))}`
}
