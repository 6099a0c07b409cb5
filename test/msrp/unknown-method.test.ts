import { describe, expect, test } from 'vitest'
import { laneSetups, settle, startRelay } from '../support/relay.ts'

describe.each(laneSetups)('unknown method ($setup)', ({ how }) => {
  test('R-46, R-42: it is forwarded as it is, under a fresh transaction id', async () => {
    const relay = await startRelay(how)
    const [alice, bob] = [await relay.session('alice'), await relay.session('bob')]
    const headers = [
      ['Use-Nickname', '"Alice the great"'],
      ['x-more', 'kept'],
    ] as const
    const toPath = [alice.relayUri, ...bob.path]
    const tid = alice.client.request({ method: 'NICKNAME', toPath, headers })
    const received = await bob.client.nextRequest('NICKNAME')
    expect(received.tid).not.toBe(tid)
    expect(received.toPath).toEqual([bob.uri])
    expect(received.fromPath).toEqual([bob.relayUri, alice.relayUri, alice.uri])
    expect(received.headers.slice(2)).toEqual(headers)
    expect(received.content).toBeNull()
    await settle(alice)
    // Only SENDs are answered by us.
    expect(alice.client.frames.some((frame) => frame.kind === 'response' && frame.tid === tid)).toBe(false)
  })

  test('R-46: any capital letters are a method', async () => {
    const relay = await startRelay(how)
    const bob = await relay.session('bob')
    const stranger = await relay.connect()
    for (const method of ['X', 'SENDS', 'SEN', 'AUTHS', 'REPORTED', 'ABCDEFGHIJKLMNOPQRSTUVWXYZ'.repeat(4)]) {
      const response = stranger.transact({ method, toPath: bob.path, body: `of ${method}` })
      const received = await bob.client.nextRequest(method)
      expect(received.content?.toString()).toBe(`of ${method}`)
      bob.client.respond(received, 200)
      expect((await response).status).toBe(200)
    }
  })

  test('M-43: a body of up to 10240 octets passes, a larger one gets 413', async () => {
    const relay = await startRelay(how)
    const bob = await relay.session('bob')
    const stranger = await relay.connect()
    stranger.request({ method: 'NICKNAME', toPath: bob.path, body: 'x'.repeat(10_240) })
    expect((await bob.client.nextRequest('NICKNAME')).content).toHaveLength(10_240)
    for (const length of [10_241, 300_000]) {
      const request = { method: 'NICKNAME', toPath: bob.path, body: 'x'.repeat(length) }
      expect((await stranger.transact(request)).status).toBe(413)
    }
    await settle(bob)
    expect(bob.client.frames.filter(({ kind }) => kind === 'request')).toHaveLength(1)
  })

  test('M-58: one that ends at the relay gets 501', async () => {
    const relay = await startRelay(how)
    const alice = await relay.session('alice')
    expect((await alice.client.transact({ method: 'NICKNAME', toPath: alice.relayUri })).status).toBe(501)
    expect((await settle(alice)).status).toBe(200)
  })

  test('R-46: unknown_methods: refuse answers 501 and forwards nothing', async () => {
    const relay = await startRelay({ ...how, config: { msrp: { unknown_methods: 'refuse' } } })
    const [alice, bob] = [await relay.session('alice'), await relay.session('bob')]
    const toPath = [alice.relayUri, ...bob.path]
    expect((await alice.client.transact({ method: 'NICKNAME', toPath })).status).toBe(501)
    // The methods of the RFCs are not unknown.
    alice.client.request({ method: 'SEND', toPath, body: 'hi' })
    alice.client.request({ method: 'AUTH', toPath })
    await bob.client.nextRequest('SEND')
    await bob.client.nextRequest('AUTH')
    expect(bob.client.frames.some((frame) => frame.kind === 'request' && frame.method === 'NICKNAME')).toBe(false)
  })
})
