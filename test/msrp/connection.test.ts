import { describe, expect, test } from 'vitest'
import { FakeTicker } from '../support/fake-ticker.ts'
import { frameText, type MsrpClient } from '../support/msrp-client.ts'
import { clockedSetups, eventually, laneSetups, type Relay, settle, startRelay } from '../support/relay.ts'

function dropped(relay: Relay, event: 'dropped_idle' | 'dropped_probation'): Promise<number> {
  return relay.metric('silopath_connections_total', { event })
}

/** Whether the connection is still open, once all that is under way has come. */
async function isOpen(client: MsrpClient): Promise<boolean> {
  return Promise.race([
    client.closed.then(() => false),
    new Promise<boolean>((resolve) => setTimeout(() => resolve(true), 100)),
  ])
}

describe.each(clockedSetups)('connection over time ($setup)', ({ how }) => {
  test('R-3: one that says nothing is closed after 30 s', async () => {
    const clock = new FakeTicker()
    const relay = await startRelay({ ...how, clock })
    const client = await relay.connect()
    await eventually(() => relay.metric('silopath_connections')).toBe(1)
    clock.advance(29_000)
    expect(await isOpen(client)).toBe(true)
    clock.advance(1_500)
    await client.closed
    expect(client.frames).toEqual([])
    expect(await dropped(relay, 'dropped_probation')).toBe(1)
    await eventually(() => relay.metric('silopath_connections')).toBe(0)
  })

  test.each<[string, (client: MsrpClient, relay: Relay) => Promise<unknown>]>([
    ['is only challenged', (client, relay) => client.transact({ method: 'AUTH', toPath: relay.uri() })],
    ['asks for unknown sessions', (client, relay) => client.transact({ method: 'SEND', toPath: relay.uri('x') })],
    ['sends half a frame', async (client, relay) => client.send(`MSRP abcd SEND\r\nTo-Path: ${relay.uri()}\r\n`)],
    ['sends empty lines', async (client) => client.send('\r\n\r\n')],
  ])('R-3: one that %s is closed after 30 s', async (_, act) => {
    const clock = new FakeTicker()
    const relay = await startRelay({ ...how, clock })
    const client = await relay.connect()
    await eventually(() => relay.metric('silopath_connections')).toBe(1)
    await act(client, relay)
    clock.advance(25_000)
    await act(client, relay)
    expect(await isOpen(client)).toBe(true)
    clock.advance(5_500)
    await client.closed
    expect(await dropped(relay, 'dropped_probation')).toBe(1)
  })

  test('R-3: one successful request ends the probation', async () => {
    const clock = new FakeTicker()
    const relay = await startRelay({ ...how, clock })
    const bob = await relay.session('bob')
    const stranger = await relay.connect()
    await stranger.transact({ method: 'SEND', toPath: bob.path })
    clock.advance(60_000)
    expect((await stranger.transact({ method: 'SEND', toPath: bob.path })).status).toBe(200)
    expect((await settle(bob)).status).toBe(200)
    expect(await dropped(relay, 'dropped_probation')).toBe(0)
  })

  test('R-6: one that is idle for an hour is closed, and its session with it', async () => {
    const clock = new FakeTicker()
    const relay = await startRelay({ ...how, clock, config: { msrp: { auth_max_expires: 100_000 } } })
    const bob = await relay.session('bob', { expires: 100_000 })
    clock.advance(3_595_000)
    expect((await settle(bob)).status).toBe(200)
    clock.advance(3_595_000)
    expect(await isOpen(bob.client)).toBe(true)
    clock.advance(10_000)
    await bob.client.closed
    expect(await dropped(relay, 'dropped_idle')).toBe(1)
    await eventually(() => relay.metric('silopath_msrp_sessions_total', { event: 'closed' })).toBe(1)
  })

  test('R-6: octets that are sent to a connection keep it as well', async () => {
    const clock = new FakeTicker()
    const config = { msrp: { auth_max_expires: 100_000, idle_timeout: 100 } }
    const relay = await startRelay({ ...how, clock, config })
    const bob = await relay.session('bob', { expires: 100_000 })
    const stranger = await relay.connect()
    for (let i = 0; i < 5; i++) {
      await stranger.transact({ method: 'SEND', toPath: bob.path, headers: [['Success-Report', 'no']] })
      await bob.client.nextRequest('SEND')
      clock.advance(90_000)
    }
    // 450 s in which bob himself said nothing.
    expect(await isOpen(bob.client)).toBe(true)
    expect(await dropped(relay, 'dropped_idle')).toBe(0)
    clock.advance(110_000)
    await bob.client.closed
    await stranger.closed
  })
})

describe.each(laneSetups)('connection ($setup)', ({ how }) => {
  test('R-3: five requests that fail, and none that succeeds, end it', async () => {
    const relay = await startRelay(how)
    const client = await relay.connect()
    for (let i = 0; i < 5; i++) {
      expect((await client.transact({ method: 'SEND', toPath: relay.uri('x') })).status).toBe(481)
    }
    await client.closed
    await eventually(() => dropped(relay, 'dropped_probation')).toBe(1)
  })

  test('R-3: failures do not count once a request has succeeded', async () => {
    const relay = await startRelay(how)
    const bob = await relay.session('bob')
    const stranger = await relay.connect()
    expect((await stranger.transact({ method: 'SEND', toPath: bob.path })).status).toBe(200)
    for (let i = 0; i < 20; i++) {
      expect((await stranger.transact({ method: 'SEND', toPath: relay.uri('x') })).status).toBe(481)
    }
    expect((await stranger.transact({ method: 'SEND', toPath: bob.path })).status).toBe(200)
  })

  test('M-82: a request for no session is answered 481 on a connection that stays', async () => {
    const relay = await startRelay(how)
    const bob = await relay.session('bob')
    const stranger = await relay.connect()
    expect((await stranger.transact({ method: 'SEND', toPath: [relay.uri('x'), bob.uri] })).status).toBe(481)
    expect((await stranger.transact({ method: 'SEND', toPath: bob.path })).status).toBe(200)
  })

  test('M-83, R-14: sessions fail with their connection, those of others do not', async () => {
    const relay = await startRelay(how)
    const [alice, bob] = [await relay.session('alice'), await relay.session('bob')]
    const second = await relay.session('bob', { client: bob.client })
    await bob.client.reset()
    await eventually(() => relay.metric('silopath_msrp_sessions')).toBe(1)
    for (const { path } of [bob, second]) {
      const request = { method: 'SEND', toPath: [alice.relayUri, ...path], body: 'hi' }
      expect((await alice.client.transact(request)).status).toBe(481)
    }
    expect((await settle(alice)).status).toBe(200)
    await eventually(() => relay.metric('silopath_connections')).toBe(1)
  })

  test('M-81: a bodiless SEND is enough to be known', async () => {
    const relay = await startRelay(how)
    const bob = await relay.session('bob')
    const stranger = await relay.connect()
    expect((await stranger.transact({ method: 'SEND', toPath: bob.path })).status).toBe(200)
    expect((await bob.client.nextRequest('SEND')).content).toBeNull()
  })

  test('a client that ends its side is heard to the end', async () => {
    const relay = await startRelay(how)
    const bob = await relay.session('bob')
    const stranger = await relay.connect()
    for (let i = 0; i < 20; i++) {
      stranger.request({ method: 'SEND', toPath: bob.path, headers: [['Failure-Report', 'no']], body: `${i}` })
    }
    stranger.halfClose()
    for (let i = 0; i < 20; i++) {
      expect((await bob.client.nextRequest('SEND')).content?.toString()).toBe(String(i))
    }
    await stranger.closed
    await eventually(() => relay.metric('silopath_connections')).toBe(1)
  })

  test('M-63: a whole exchange octet by octet', async () => {
    const relay = await startRelay(how)
    const bob = await relay.session('bob')
    const stranger = await relay.connect()
    const frame = (tid: string, body?: string) =>
      frameText({
        method: 'SEND',
        tid,
        toPath: bob.path,
        fromPath: stranger.uri,
        headers: [['Message-ID', tid]],
        ...(body !== undefined && { body }),
      })
    const octets = Buffer.concat([frame('first1', '\r\n-------first1'), frame('second'), frame('third3', '')])
    for (const octet of octets) {
      stranger.send(Uint8Array.of(octet))
      await new Promise(setImmediate)
    }
    for (const body of ['\r\n-------first1', undefined, '']) {
      expect((await bob.client.nextRequest('SEND')).content?.toString()).toBe(body)
    }
    for (const tid of ['first1', 'second', 'third3']) expect((await stranger.response(tid)).status).toBe(200)
  })

  test('R-57: a receiver that does not read holds its sender back, and loses nothing', async () => {
    const relay = await startRelay(how)
    const [alice, bob, carol] = [
      await relay.session('alice'),
      await relay.session('bob'),
      await relay.session('mallory'),
    ]
    bob.client.pause()
    const body = (i: number) => `${i}${'.'.repeat(50_000)}`
    let sent = 0
    while ((await relay.metric('silopath_reads_paused')) === 0) {
      const headers = [['Failure-Report', 'no']] as const
      alice.client.request({ method: 'SEND', toPath: [alice.relayUri, ...bob.path], headers, body: body(sent) })
      sent += 1
      expect(sent).toBeLessThan(2_000)
    }
    // Others are not held back.
    const stranger = await relay.connect()
    expect((await stranger.transact({ method: 'SEND', toPath: carol.path, body: 'hi' })).status).toBe(200)
    bob.client.resume()
    for (let i = 0; i < sent; i++) {
      const { content } = await bob.client.nextRequest('SEND')
      expect(content?.length).toBe(body(i).length)
      expect(content?.toString('latin1', 0, 10)).toBe(body(i).slice(0, 10))
    }
    await eventually(() => relay.metric('silopath_reads_paused')).toBe(0)
    expect((await settle(alice)).status).toBe(200)
  })

  test('more connections than max_connections are closed at once', async () => {
    const relay = await startRelay({ ...how, config: { max_connections: 16 } })
    const clients = await Promise.all(Array.from({ length: 16 }, () => relay.connect()))
    await eventually(() => relay.metric('silopath_connections')).toBe(16)
    const refused = await relay.connect()
    await refused.closed
    expect(await relay.metric('silopath_connections_total', { event: 'refused' })).toBe(1)
    await clients[0]!.close()
    await eventually(() => relay.metric('silopath_connections')).toBe(15)
    await relay.session('alice')
  })

  test('a relay that closes ends its connections', async () => {
    const relay = await startRelay({ ...how, own: true })
    const bob = await relay.session('bob')
    const stranger = await relay.connect()
    await relay.server.close()
    await relay.server.closed
    await bob.client.closed
    await stranger.closed
    await expect(relay.connect()).rejects.toThrow(/ECONNREFUSED/)
  })
})
