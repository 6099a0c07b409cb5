import { describe, expect, test } from 'vitest'
import { connected, sipDomain, startSip } from '../support/sip-server.ts'

describe.each([0, 2])('with %i workers', (workers) => {
  test.each(connected)(
    'CRLFCRLF over %s is answered with CRLF, as often as it comes (S-12, S-90, S-92)',
    async (name) => {
      const bed = await startSip({ workers })
      const alice = await bed.agent('alice', name)
      await alice.ping()
      await Promise.all([alice.ping(), alice.ping(), alice.ping()])
      expect((await alice.register()).status).toBe(200)
      await alice.ping()
    },
  )

  test('UDP: STUN tells the address that we see (S-91)', async () => {
    const bed = await startSip({ workers })
    const alice = await bed.agent('alice', 'udp')
    expect(await alice.stun()).toEqual({ host: '127.0.0.1', port: alice.local.port })
    expect((await alice.register()).status).toBe(200)
    expect(await alice.stun()).toEqual({ host: '127.0.0.1', port: alice.local.port })
  })
})

test('CRLFCRLF inside a message is not one, wherever the message is cut (S-92)', async () => {
  const bed = await startSip()
  const alice = await bed.online('alice', 'tcp')
  const bob = await bed.online('bob', 'tcp')
  bob.on('MESSAGE', (request) => request.reply(200))
  const body = '\r\n\r\n\r\n\r\n'
  for (const cut of [-2, 0, 2, 4, 6, 8]) {
    const octets = alice.compose('MESSAGE', bob.uri, { body })
    // The transaction is there; its octets are sent by hand.
    const transaction = alice.startRaw(octets, { ...alice.flow!, send: () => {} })
    const at = octets.indexOf('\r\n\r\n') + cut
    alice.send(octets.subarray(0, at))
    await bob.ping()
    alice.send(octets.subarray(at))
    expect((await transaction.final()).status).toBe(200)
  }
  const bodies = bob.received.filter(({ message }) => message.kind === 'request').map(({ message }) => message.text)
  expect(bodies).toEqual(Array(6).fill(body))
})

test('CRLFs before and between messages are none of them (S-12)', async () => {
  const bed = await startSip()
  const alice = await bed.agent('alice', 'tcp')
  const options = alice.compose('OPTIONS', `sip:${sipDomain}`)
  alice.send('\r\n')
  const transaction = alice.startRaw(options)
  expect((await transaction.final()).status).toBe(200)
  await alice.ping()
})

test('UDP: CRLFs get no answer, and harm nobody (S-12)', async () => {
  const bed = await startSip()
  const alice = await bed.agent('alice', 'udp')
  alice.send('\r\n\r\n')
  alice.send('\r\n')
  expect((await alice.request('OPTIONS', `sip:${sipDomain}`)).status).toBe(200)
})
