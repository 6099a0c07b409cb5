import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { createSecureContext, TLSSocket } from 'node:tls'
import { expect, onTestFinished, test } from 'vitest'
import { certificates } from '../support/certificates.ts'
import { eventually, startRelay } from '../support/relay.ts'

/** A next hop that takes connections and says nothing. */
async function silentHop() {
  const accepted: Socket[] = []
  const server = createServer((socket) => {
    socket.on('error', () => {})
    accepted.push(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    for (const socket of accepted) socket.destroy()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  return { accepted, uri: `msrps://127.0.0.1:${port}/peer;tcp` }
}

test("a lane's successor never gets the answers to what its dead predecessor asked for (M-80, R-48)", async () => {
  const { certFile, cert, key } = await certificates()
  const relay = await startRelay({
    workers: 1,
    own: true,
    config: { tls: { ca: certFile }, msrp: { peer_connect_timeout: 300 } },
  })
  const [first, second] = [await silentHop(), await silentHop()]
  const alice = await relay.session('alice')
  alice.client.request({ method: 'SEND', toPath: [alice.relayUri, first.uri], body: 'never sent' })
  await eventually(() => first.accepted.length).toBe(1)

  relay.server.killWorker(0)
  await alice.client.closed
  await eventually(() => relay.metric('silopath_lane_replaced_total')).toBe(1)
  await eventually(() => relay.log.some((line) => line.includes('a new worker runs the lane'))).toBe(true)
  const bob = await relay.session('bob')
  const tid = bob.client.request({ method: 'SEND', toPath: [bob.relayUri, second.uri], body: 'sent' })
  await eventually(() => second.accepted.length).toBe(1)

  // The dead lane's hop fails while that of its successor is still connecting: both requests have the same number.
  first.accepted[0]!.destroy()
  await eventually(() => relay.log.some((line) => line.includes('next hop unreachable'))).toBe(true)
  const hop = new TLSSocket(second.accepted[0]!, {
    isServer: true,
    secureContext: createSecureContext({ cert, key }),
  })
  hop.on('error', () => {})
  const [octets] = (await once(hop, 'data')) as [Buffer]
  expect(octets.toString()).toContain('\r\n\r\nsent\r\n')
  expect((await bob.client.response(tid)).status).toBe(200)
})
