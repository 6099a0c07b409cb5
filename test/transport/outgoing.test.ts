import { once } from 'node:events'
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer, type TLSSocket } from 'node:tls'
import { describe, expect, onTestFinished, test } from 'vitest'
import type { ConnectionId } from '../../src/ids.ts'
import type { NextHop } from '../../src/workers/lane-port.ts'
import { certificates } from '../support/certificates.ts'
import { type Primary, startPrimary } from './support/primary.ts'

const eventually = <T>(probe: () => T) => expect.poll(probe, { timeout: 5000 })

/** A next hop that collects what it gets. */
async function listen<S extends Socket>(server: Server, accepted: S[]): Promise<number> {
  server.on(server.listenerCount('secureConnection') > 0 ? 'secureConnection' : 'connection', (socket: S) => {
    accepted.push(socket)
    socket.on('error', () => {})
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    for (const socket of accepted) socket.destroy()
    server.close()
  })
  return (server.address() as AddressInfo).port
}

async function tlsHop(name = 'relay', options: object = {}) {
  const { cert, key } = await certificates(name)
  const accepted: TLSSocket[] = []
  const server = createTlsServer({ cert, key, ...options })
  server.on('secureConnection', () => {})
  return { port: await listen(server, accepted), accepted }
}

const connect = ({ transport }: Primary, hop: Partial<NextHop>) =>
  new Promise<ConnectionId | 0>((resolve) => {
    transport.connect({ protocol: 'msrp', transport: 'tls', host: '127.0.0.1', port: 1, ...hop }, resolve)
  })

const listener = [{ url: 'msrp://127.0.0.1:0' }]

describe('a connection that we make over TLS', () => {
  test('carries octets both ways, and the lane hears first where it leads (R-5, M-84)', async () => {
    const { certFile } = await certificates()
    const { port, accepted } = await tlsHop()
    const primary = await startPrimary({ listen: listener, workers: 0, tls: { ca: certFile } })
    const id = await connect(primary, { host: 'localhost', port })
    expect(id).not.toBe(0)
    const { opens, received } = primary.lanes[0]!
    expect(opens).toEqual([
      { connection: id, flow: { listener: -1, transport: 'tls', protocol: 'msrp', address: '127.0.0.1', port } },
    ])
    await eventually(() => accepted.length).toBe(1)
    expect(accepted[0]!.servername).toBe('localhost')
    accepted[0]!.write('from the hop')
    await eventually(() => received.map(({ text }) => text)).toEqual(['from the hop'])
    const got = once(accepted[0]!, 'data')
    primary.transport.write(id as ConnectionId, primary.segment('to the hop'), 10)
    expect(String((await got)[0])).toBe('to the hop')
    await eventually(() => primary.pool.free).toBe(primary.pool.total)
  })

  test('is not made to whom shows a certificate of nobody we trust, or of another name (R-5)', async () => {
    const { certFile } = await certificates()
    const trusting = await startPrimary({ listen: listener, workers: 0, tls: { ca: certFile } })
    const foreign = await tlsHop('stranger')
    expect(await connect(trusting, { port: foreign.port })).toBe(0)
    const known = await tlsHop()
    expect(await connect(trusting, { port: known.port, servername: 'relay.example.com' })).toBe(0)
    expect(await connect(trusting, { port: known.port, servername: 'localhost' })).not.toBe(0)
    const wary = await startPrimary({ listen: listener, workers: 0 })
    expect(await connect(wary, { port: known.port })).toBe(0)
    expect(wary.transport.count).toBe(0)
  })

  test('shows the certificate of our listener, by which relays know each other (R-1, R-2)', async () => {
    const { certFile, keyFile, cert } = await certificates()
    const { port, accepted } = await tlsHop('relay', { requestCert: true, rejectUnauthorized: false, ca: cert })
    const secure = [{ url: 'msrps://127.0.0.1:0', cert: certFile, key: keyFile }]
    const primary = await startPrimary({ listen: secure, workers: 0, tls: { ca: certFile } })
    await connect(primary, { port })
    await eventually(() => accepted.map(({ authorized }) => authorized)).toEqual([true])
  })

  test('is given up in time, the handshake included (R-48)', async () => {
    const silent: Socket[] = []
    const port = await listen(createTcpServer(), silent)
    const primary = await startPrimary({ listen: listener, workers: 0, msrp: { peer_connect_timeout: 0.2 } })
    expect(await connect(primary, { port })).toBe(0)
    await eventually(() => silent.length).toBe(1)
    await once(silent[0]!.resume(), 'close')
  })
})

test('M-80: one connection serves a next hop; another transport, port, protocol or name is another next hop', async () => {
  const { certFile } = await certificates()
  const primary = await startPrimary({ listen: listener, workers: 0, tls: { ca: certFile } })
  const tls = await tlsHop()
  const tcpAccepted: Socket[] = []
  const tcp = await listen(createTcpServer(), tcpAccepted)
  const [one, same] = await Promise.all([connect(primary, { port: tls.port }), connect(primary, { port: tls.port })])
  expect(same).toBe(one)
  expect(await connect(primary, { port: tls.port })).toBe(one)
  const others = [
    await connect(primary, { port: tls.port, servername: 'localhost' }),
    await connect(primary, { port: tls.port, protocol: 'sip' }),
    await connect(primary, { port: tcp, transport: 'tcp' }),
  ]
  expect(new Set([0, one, ...others]).size).toBe(5)
  expect(tls.accepted).toHaveLength(3)
  // Once it is gone, it is made anew.
  tcpAccepted[0]!.destroy()
  await eventually(() => primary.transport.count).toBe(3)
  expect(await connect(primary, { port: tcp, transport: 'tcp' })).not.toBe(others[2])
})

test.for(['tcp', 'tls'] as const)(
  'connections that are being made (%s) end with the server, and who waits is told',
  async (transport) => {
    const silent: Socket[] = []
    const port = await listen(createTcpServer(), silent)
    const primary = await startPrimary({ listen: listener, workers: 0, msrp: { peer_connect_timeout: 300 } })
    // TCP to an address that answers nothing; TLS to a hop that takes the connection and says nothing.
    const hop = transport === 'tcp' ? { transport, host: '192.0.2.1', port: 9 } : { transport, port }
    const answer = connect(primary, hop)
    if (transport === 'tls') await eventually(() => silent.length).toBe(1)
    await primary.transport.close()
    expect(await answer).toBe(0)
    if (transport === 'tls') await once(silent[0]!.resume(), 'close')
  },
)
