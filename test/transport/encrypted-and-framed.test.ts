import { describe, expect, onTestFinished, test } from 'vitest'
import { certificates } from '../support/certificates.ts'
import { MsrpClient, type ReceivedRequest } from '../support/msrp-client.ts'
import { type MsrpTransport, openMsrpSocket, WebSocketSocket } from '../support/msrp-socket.ts'
import { type Endpoint, eventually, type Relay, startRelay } from '../support/relay.ts'

const transports: readonly MsrpTransport[] = ['tls', 'ws', 'wss']
const schemes = { tcp: 'msrp', tls: 'msrps', ws: 'ws', wss: 'wss' } as const

/** A relay with a listener of every kind. */
async function start(workers: number): Promise<Relay> {
  const { certFile: cert, keyFile: key } = await certificates()
  const listen = Object.values(schemes).map((scheme) => ({
    url: `${scheme}://127.0.0.1:0`,
    ...((scheme === 'msrps' || scheme === 'wss') && { cert, key }),
  }))
  return startRelay({ workers, config: { listen } })
}

/** A client with a session, and its socket. */
async function join(relay: Relay, transport: MsrpTransport, username: 'alice' | 'bob') {
  const { cert } = await certificates()
  const { port } = relay.server.listeners[Object.keys(schemes).indexOf(transport)]!
  const socket = await openMsrpSocket(transport, port, cert)
  const client = new MsrpClient(socket, transport)
  onTestFinished(() => client.close())
  return { ...(await relay.session(username, { client })), socket }
}

/** Sends so many chunks, and returns what the other side got of them. */
async function deliver(from: Endpoint, to: Endpoint, count: number, octets: number): Promise<readonly string[]> {
  const bodies = Array.from({ length: count }, (_, i) => `${i} `.padEnd(octets, 'x'))
  const tids = bodies.map((body) => from.client.request({ method: 'SEND', toPath: [from.relayUri, ...to.path], body }))
  for (const tid of tids) expect((await from.client.response(tid)).status).toBe(200)
  const got: ReceivedRequest[] = []
  for (const _ of bodies) got.push(await to.client.nextRequest('SEND'))
  expect(got.map(({ content }) => content?.toString())).toEqual(bodies)
  return tids
}

describe.each([0, 2])('with %i workers', (workers) => {
  describe.each(transports)('over %s', (transport) => {
    test('chunks of all sizes are relayed, to and from plain TCP and to each other (W-1, W-2, W-3, W-5)', async () => {
      const relay = await start(workers)
      const alice = await join(relay, transport, 'alice')
      const bob = await join(relay, 'tcp', 'bob')
      const carol = await join(relay, transport, 'bob')
      // W-5: what others put in their paths is an address that everybody reaches.
      const [msrp, msrps] = relay.server.listeners
      const secure = transport !== 'ws'
      expect(alice.relayUri).toMatch(secure ? `msrps://127.0.0.1:${msrps!.port}/` : `msrp://127.0.0.1:${msrp!.port}/`)
      for (const { client } of [alice, bob, carol]) client.autoAnswer()
      for (const octets of [1, 700, 60_000]) {
        await deliver(alice, bob, 20, octets)
        await deliver(bob, alice, 20, octets)
        await deliver(alice, carol, 20, octets)
      }
      await deliver(alice, alice, 5, 100)
      for (const { client } of [alice, bob, carol]) expect(client.errors).toEqual([])
      for (const { socket } of [alice, carol]) {
        if (!(socket instanceof WebSocketSocket)) continue
        expect(socket.messages.length).toBeGreaterThan(60)
        // W-3: each message is one whole chunk. W-2: binary.
        for (const { octets, binary } of socket.messages) {
          const [, tid] = /^MSRP (\S+) /.exec(octets.toString('latin1'))!
          expect(octets.toString('latin1').split(`-------${tid}$\r\n`)).toHaveLength(2)
          expect(octets.toString('latin1').endsWith(`-------${tid}$\r\n`)).toBe(true)
          expect(binary).toBe(true)
        }
      }
    })

    test('a receiver that stops reading holds its sender back, nothing is lost (R-57)', async () => {
      const relay = await start(workers)
      const alice = await join(relay, transport, 'alice')
      const bob = await join(relay, transport, 'bob')
      bob.client.pause()
      const count = 400
      const tids = Array.from({ length: count }, () =>
        alice.client.request({ method: 'SEND', toPath: [alice.relayUri, ...bob.path], body: 'y'.repeat(60_000) }),
      )
      await eventually(() => relay.metric('silopath_reads_paused')).toBe(1)
      const answered = () => alice.client.frames.filter(({ kind }) => kind === 'response').length
      expect(answered()).toBeLessThan(count)
      // Others are served meanwhile.
      const [carol, dave] = [await join(relay, transport, 'alice'), await join(relay, 'tcp', 'bob')]
      for (const { client } of [carol, dave, bob]) client.autoAnswer()
      await deliver(carol, dave, 10, 1000)

      bob.client.resume()
      for (const tid of tids) expect((await alice.client.response(tid)).status).toBe(200)
      await eventually(() => bob.client.frames.filter(({ kind }) => kind === 'request').length).toBe(count)
      await eventually(() => relay.metric('silopath_reads_paused')).toBe(0)
      expect([...alice.client.errors, ...bob.client.errors]).toEqual([])
    })
  })
})
