import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { connect } from 'node:net'
import { expect, onTestFinished, test, vi } from 'vitest'
import type { Address } from '../../src/ids.ts'
import { createLogger } from '../../src/log.ts'
import { C, SharedCounters } from '../../src/metrics/counters.ts'
import { openDatagrams } from '../../src/transport/datagrams.ts'
import { writeDatagramHead } from '../../src/workers/datagram.ts'
import { DATAGRAM_HEAD_OCTETS } from '../../src/workers/lane-port.ts'
import { lane, type Primary, startPrimary } from './support/primary.ts'

const eventually = <T>(probe: () => T) => expect.poll(probe, { timeout: 5000 })

async function openSocket(address = '127.0.0.1'): Promise<Socket> {
  const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4')
  socket.bind(0, address)
  await once(socket, 'listening')
  onTestFinished(() => {
    socket.close()
  })
  return socket
}

function outgoing({ pool, memory }: Primary, address: string, port: number, text: string): [Address, number] {
  const octets = DATAGRAM_HEAD_OCTETS + text.length
  const segment = pool.take(octets)
  if (segment === 0) throw new Error('no segment is free')
  writeDatagramHead(memory, segment, address, port)
  memory.write(text, segment + DATAGRAM_HEAD_OCTETS, 'latin1')
  return [segment, octets]
}

test('S-24: a sip listener has UDP and TCP on one port, also on a free one', async () => {
  const { listeners, lanes } = await startPrimary({ listen: [{ url: 'sip://127.0.0.1:0' }], workers: 0 })
  const [{ port, transports, protocols }] = listeners as [(typeof listeners)[0]]
  expect([transports, protocols]).toEqual([['tcp', 'udp'], ['sip']])
  const socket = await openSocket()
  socket.send('by datagram', port, '127.0.0.1')
  const stream = connect(port, '127.0.0.1')
  stream.write('by stream')
  await eventually(() => lanes[0]!.datagrams.map(({ text }) => text)).toEqual(['by datagram'])
  await eventually(() => lanes[0]!.received.map(({ text }) => text)).toEqual(['by stream'])
  expect(lanes[0]!.opens[0]!.flow).toEqual({
    listener: 0,
    transport: 'tcp',
    protocol: 'sip',
    address: '127.0.0.1',
    port: stream.localPort,
  })
  stream.destroy()
})

test.for(['127.0.0.1', '::1'])(
  'S-21, S-22: a datagram comes with its source, and the answer goes there (%s)',
  async (host) => {
    const url = host.includes(':') ? `sip://[${host}]:0` : `sip://${host}:0`
    const primary = await startPrimary({ listen: [{ url: 'msrp://127.0.0.1:0' }, { url }], workers: 0 })
    const { transport, listeners, lanes, pool } = primary
    const socket = await openSocket(host)
    const { port } = socket.address()
    const sizes = [1, 500, 1500, 60_000]
    for (const size of sizes) {
      socket.send('q'.repeat(size), listeners[1]!.port, host)
      await eventually(() => lanes[0]!.datagrams.at(-1)?.text.length).toBe(size)
      expect(lanes[0]!.datagrams.at(-1)).toMatchObject({ listener: 1, address: host, port })
      const answer = once(socket, 'message')
      transport.datagram(1, ...outgoing(primary, host, port, 'a'.repeat(size)))
      const [octets, { port: from }] = (await answer) as [Buffer, { port: number }]
      expect([octets.toString(), from]).toEqual(['a'.repeat(size), listeners[1]!.port])
    }
    expect(pool.free).toBe(pool.total)
    await eventually(() => primary.count('datagramsSent')).toBe(sizes.length)
    expect(primary.count('datagramsReceived')).toBe(sizes.length)
  },
)

test('a listener of both IP versions shows IPv4 sources as what they are, and answers them', async () => {
  const primary = await startPrimary({ listen: [{ url: 'sip://[::]:0' }], workers: 0 })
  const socket = await openSocket()
  const { port } = socket.address()
  socket.send('hello', primary.listeners[0]!.port, '127.0.0.1')
  await eventually(() => primary.lanes[0]!.datagrams).toEqual([
    { listener: 0, address: '127.0.0.1', port, text: 'hello' },
  ])
  const answer = once(socket, 'message')
  primary.transport.datagram(0, ...outgoing(primary, '127.0.0.1', port, 'hello yourself'))
  expect(String((await answer)[0])).toBe('hello yourself')
})

test('datagrams of one source all go to one lane, those of many to all; when a lane is dead, to another', async () => {
  const { transport, listeners, lanes } = await startPrimary({ listen: [{ url: 'sip://127.0.0.1:0' }], workers: 4 })
  const sockets = await Promise.all(Array.from({ length: 24 }, () => openSocket()))
  const sendAll = async (text: string) => {
    for (const socket of sockets) for (let i = 0; i < 3; i++) socket.send(text, listeners[0]!.port, '127.0.0.1')
    const came = () => lanes.flatMap(({ datagrams }) => datagrams).filter((datagram) => datagram.text === text)
    await eventually(() => came().length).toBe(3 * sockets.length)
    return new Map(
      sockets.map((socket) => {
        const { port } = socket.address()
        const has = lanes.flatMap(({ datagrams }, index) =>
          datagrams.some((datagram) => datagram.port === port && datagram.text === text) ? [index] : [],
        )
        expect(has).toHaveLength(1)
        return [port, has[0]!]
      }),
    )
  }
  const first = await sendAll('first')
  expect(new Set(first.values())).toEqual(new Set([0, 1, 2, 3]))
  transport.suspendLane(lane(2))
  const during = await sendAll('during')
  for (const [port, index] of during) {
    if (first.get(port) === 2) expect(index).not.toBe(2)
    else expect(index).toBe(first.get(port))
  }
  transport.resumeLane(lane(2), lanes[2]!)
  expect(await sendAll('after')).toEqual(first)
})

test('empty datagrams are ignored; what finds no room is dropped and counted', async () => {
  const primary = await startPrimary({ listen: [{ url: 'sip://127.0.0.1:0' }], workers: 0 })
  const { listeners, lanes } = primary
  const socket = await openSocket()
  const send = (text: string) => socket.send(text, listeners[0]!.port, '127.0.0.1')
  send('')
  send('kept')
  await eventually(() => lanes[0]!.datagrams.length).toBe(1)
  lanes[0]!.room = 0
  send('dropped')
  await eventually(() => primary.count('datagramsDropped')).toBe(1)
  // The largest that IP carries has no room behind its head.
  send('x'.repeat(65_507))
  await eventually(() => primary.count('datagramsDropped')).toBe(2)
  lanes[0]!.room = Number.POSITIVE_INFINITY
  send('kept too')
  await eventually(() => lanes[0]!.datagrams.map(({ text }) => text)).toEqual(['kept', 'kept too'])
  expect(primary.count('datagramsReceived')).toBe(4)
})

test('what cannot be sent is counted, and its segment comes back', async () => {
  const primary = await startPrimary({
    listen: [{ url: 'sip://127.0.0.1:0' }, { url: 'msrp://127.0.0.1:0' }],
    workers: 0,
  })
  const { transport, pool } = primary
  const impossible = [
    ['127.0.0.1', 5060, 'x'.repeat(65_530)], // too large
    ['::1', 5060, 'x'], // not of this socket's IP version
    ['proxy.example.com', 5060, 'x'], // names are not looked up
    ['127.0.0.1', 0, 'x'],
  ] as const
  for (const [address, port, text] of impossible) transport.datagram(0, ...outgoing(primary, address, port, text))
  await eventually(() => primary.count('datagramsFailed')).toBe(impossible.length)
  expect(primary.count('datagramsSent')).toBe(0)
  // Of a listener without UDP, or that does not exist, nothing can be sent.
  transport.datagram(1, ...outgoing(primary, '127.0.0.1', 5060, 'x'))
  transport.datagram(7, ...outgoing(primary, '127.0.0.1', 5060, 'x'))
  expect(pool.free).toBe(pool.total)
})

/** Arguments of `start` for who only wants to know which segments come back. */
function ignoring(given: Address[]): Parameters<Awaited<ReturnType<typeof openDatagrams>>['start']> {
  const log = createLogger('silent', 'json', { write: () => {} })
  return [new Uint8Array(65_536), () => {}, (segment) => given.push(segment), log]
}

test('what a lane still sends when the listener is closed is counted as failed', async () => {
  const row = new Float64Array(SharedCounters.octetsPerRow / Float64Array.BYTES_PER_ELEMENT)
  const datagrams = await openDatagrams('127.0.0.1', 0, row)
  const given: Address[] = []
  datagrams.start(...ignoring(given))
  datagrams.close()
  const memory = Buffer.alloc(DATAGRAM_HEAD_OCTETS + 1)
  writeDatagramHead(memory, 0 as Address, '127.0.0.1', 5060)
  datagrams.send(memory, 0 as Address, memory.length)
  expect(row[C.datagramsFailed]).toBe(1)
  expect(given).toEqual([0])
})

test('where Node offers no way past its sockets, datagrams go through them, and segments come back as well', async () => {
  const { binding } = process as unknown as { binding: unknown }
  onTestFinished(() => {
    Object.assign(process, { binding })
    vi.resetModules()
  })
  Object.assign(process, { binding: undefined })
  vi.resetModules()
  const { openDatagrams: openOrdinary } = await import('../../src/transport/datagrams.ts')
  const row = new Float64Array(SharedCounters.octetsPerRow / Float64Array.BYTES_PER_ELEMENT)
  const datagrams = await openOrdinary('127.0.0.1', 0, row)
  onTestFinished(() => datagrams.close())
  const socket = await openSocket()
  const heard: string[] = []
  socket.on('message', (octets) => heard.push(octets.toString()))
  const text = 'by the ordinary way'
  const memory = Buffer.alloc(DATAGRAM_HEAD_OCTETS + text.length)
  writeDatagramHead(memory, 0 as Address, '127.0.0.1', socket.address().port)
  memory.write(text, DATAGRAM_HEAD_OCTETS)
  const given: Address[] = []
  datagrams.start(...ignoring(given))
  datagrams.send(memory, 0 as Address, memory.length)
  expect([...datagrams.pending]).toEqual([0])
  await eventually(() => heard).toEqual([text])
  await eventually(() => given).toEqual([0])
  expect([[...datagrams.pending], row[C.datagramsSent]]).toEqual([[], 1])
})
