import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'
import { describe, expect, onTestFinished, test } from 'vitest'
import { WebSocket } from 'ws'
import { FakeTicker } from '../support/fake-ticker.ts'
import type { SipAgent } from '../support/sip-agent.ts'
import type { ClientTransaction } from '../support/sip-agent-transaction.ts'
import { connected, eventually, sipDomain, startSip, transports, uriOf } from '../support/sip-server.ts'

/** A transaction whose octets the test sends itself. */
function unsent(agent: SipAgent, octets: Buffer): ClientTransaction {
  return agent.startRaw(octets, { ...agent.flow!, send: () => {} })
}

const ourselves = `sip:${sipDomain}`

describe.each(['tcp', 'tls'] as const)('a stream over %s', (transport) => {
  test.each([0, 2])('is cut by Content-Length, whatever its pieces (S-5; workers: %i)', async (workers) => {
    const bed = await startSip({ workers })
    const alice = await bed.online('alice', transport)
    const bob = await bed.online('bob', transport)
    bob.on('MESSAGE', (request) => request.reply(200))
    const bodies = ['one', '', 'three\r\n\r\nMESSAGE', 'four']
    const requests = bodies.map((body) => alice.compose('MESSAGE', bob.uri, { body }))

    const together = requests.slice(0, 3).map((octets) => unsent(alice, octets))
    alice.send(Buffer.concat(requests.slice(0, 3)))
    for (const transaction of together) expect((await transaction.final()).status).toBe(200)

    const last = unsent(alice, requests[3]!)
    for (const octet of requests[3]!) alice.send(Buffer.of(octet))
    expect((await last.final()).status).toBe(200)
    const texts = bob.received.flatMap(({ message }) => (message.kind === 'request' ? [message.text] : []))
    expect(texts).toEqual(bodies)
  })

  test('one and a half requests, and the other half: both are answered (S-5)', async () => {
    const bed = await startSip()
    const alice = await bed.agent('alice', transport)
    const requests = [1, 2, 3].map(() => alice.compose('OPTIONS', ourselves))
    const transactions = requests.map((octets) => unsent(alice, octets))
    const octets = Buffer.concat(requests)
    const half = requests[0]!.length + Math.floor(requests[1]!.length / 2)
    alice.send(octets.subarray(0, half))
    expect((await transactions[0]!.final()).status).toBe(200)
    alice.send(octets.subarray(half))
    for (const transaction of transactions.slice(1)) expect((await transaction.final()).status).toBe(200)
  })

  test.each<[what: string, from: RegExp, to: string]>([
    ['no Content-Length', /Content-Length: .*\r\n/, ''],
    ['a negative one', /Content-Length: .*/, 'Content-Length: -1'],
    ['one that is no number', /Content-Length: .*/, 'Content-Length: many'],
    ['two that differ', /Content-Length: (.*)/, 'Content-Length: $1\r\nl: 9'],
  ])(
    'with %s: 400, and the connection ends, as nobody knows where the next message begins (S-5)',
    async (_what, from, to) => {
      const bed = await startSip()
      const alice = await bed.agent('alice', transport)
      const bob = await bed.online('bob', 'tcp')
      const octets = alice.compose('MESSAGE', bob.uri, { body: 'x' }).toString().replace(from, to)
      const transaction = alice.startRaw(octets)
      expect((await transaction.final()).status).toBe(400)
      await alice.disconnected
      expect(bob.unclaimed).toEqual([])
      expect((await bob.request('OPTIONS', ourselves)).status).toBe(200)
    },
  )

  test.each([
    ['another protocol', 'GET / HTTP/1.1\r\n\r\n'],
    ['no text', '\0\0\0\0\r\n'],
    ['a CR that begins no CRLF', '\r\n\rX'],
    ['a start line without end', `MESSAGE ${'x'.repeat(70_000)}`],
  ])('that is none of SIP ends, and nobody else notices: %s (S-1)', async (_what, octets) => {
    const bed = await startSip()
    const bob = await bed.agent('bob', transport)
    const eve = await bed.stranger(transport, { isLenient: true })
    eve.send(octets)
    await eve.disconnected
    expect((await bob.request('OPTIONS', ourselves)).status).toBe(200)
  })

  test('that ends inside a request is forgotten (S-5)', async () => {
    const bed = await startSip()
    const bob = await bed.online('bob', transport)
    const eve = await bed.stranger(transport)
    eve.send(eve.compose('MESSAGE', bob.uri, { body: 'never whole' }).subarray(0, -3))
    await eve.close()
    expect((await bob.request('OPTIONS', ourselves)).status).toBe(200)
    expect(bob.unclaimed).toEqual([])
  })
})

describe('datagrams', () => {
  test('without Content-Length end with the datagram; what is behind a shorter one is dropped (S-5)', async () => {
    const bed = await startSip()
    const alice = await bed.stranger('udp')
    const bob = await bed.online('bob', 'udp')
    bob.on('MESSAGE', (request) => request.reply(200))
    const bodies: [change: (octets: string) => string, text: string][] = [
      [(octets) => octets.replace(/Content-Length: .*\r\n/, ''), 'all of it'],
      [(octets) => octets.replace(/Content-Length: .*/, 'Content-Length: 3'), 'all'],
      [(octets) => `\r\n\r\n${octets}`, 'all of it'],
    ]
    for (const [change] of bodies) {
      const octets = alice.compose('MESSAGE', bob.uri, { body: 'all of it' })
      const transaction = unsent(alice, octets)
      alice.send(change(octets.toString()))
      expect((await transaction.final()).status).toBe(200)
    }
    const texts = bob.received.flatMap(({ message }) => (message.kind === 'request' ? [message.text] : []))
    expect(texts).toEqual(bodies.map(([, text]) => text))
  })

  test('with less than Content-Length says: 400 (S-5)', async () => {
    const bed = await startSip()
    const alice = await bed.stranger('udp')
    const octets = alice.compose('MESSAGE', `sip:bob@${sipDomain}`, { body: 'half' }).subarray(0, -2)
    expect((await alice.startRaw(octets).final()).status).toBe(400)
  })

  test('that are none of SIP get no answer (S-1, S-91)', async () => {
    const bed = await startSip()
    const eve = await bed.stranger('udp')
    for (const octets of ['', '\0', 'x', '\r\n', 'GET / HTTP/1.1\r\n\r\n', 'SIP/2.0', '\x01\x02\x03'.repeat(400)]) {
      eve.send(octets)
    }
    eve.send(Buffer.alloc(20))
    expect((await eve.request('OPTIONS', ourselves)).status).toBe(200)
    expect(eve.received).toHaveLength(1)
  })

  test('are answered at the port of their Via, unless they ask for rport (S-21, S-22)', async () => {
    const bed = await startSip()
    const sender = await bed.stranger('udp')
    const named = await bed.stranger('udp', { isLenient: true })
    const octets = sender.compose('OPTIONS', ourselves).toString()
    const { host, port } = named.local
    sender.send(octets.replace(/(Via: SIP\/2\.0\/UDP ).*;(branch=\w+);rport/, `$1${host}:${port};$2`))
    expect((await named.expectStray(200)).vias[0]!.sentBy).toBe(`${host}:${port}`)
    expect(sender.received).toEqual([])
  })
})

describe('WebSockets', () => {
  test.each(['ws', 'wss'] as const)(
    'over %s: messages as text or binary, each on its own (S-25)',
    async (transport) => {
      const bed = await startSip()
      const alice = await bed.online('alice', transport)
      // Whose stream needs the Content-Length that a WebSocket message may lack (S-44).
      const bob = await bed.online('bob', 'tcp')
      bob.on('MESSAGE', (request) => request.reply(200))
      const octets = () => alice.compose('MESSAGE', bob.uri, { body: 'Grüße' })
      const asText = octets()
      const text = unsent(alice, asText)
      alice.send(asText.toString())
      expect((await text.final()).status).toBe(200)
      const binary = alice.startRaw(octets())
      expect((await binary.final()).status).toBe(200)
      const bare = Buffer.from(
        octets()
          .toString()
          .replace(/Content-Length: .*\r\n/, ''),
      )
      expect((await alice.startRaw(bare).final()).status).toBe(200)
      const texts = bob.received.flatMap(({ message }) => (message.kind === 'request' ? [message.text] : []))
      expect(texts).toEqual(['Grüße', 'Grüße', 'Grüße'])
    },
  )

  test('of another subprotocol, or of none, are refused (S-25)', async () => {
    const bed = await startSip()
    const { host, port } = bed.address('ws')
    for (const protocols of [[], ['chat']]) {
      const socket = new WebSocket(`ws://${host}:${port}/`, protocols)
      const [error] = await once(socket, 'error')
      expect(`${error}`).toMatch(/Unexpected server response: 4\d\d/)
    }
  })

  test('one that says nothing of SIP in a message is not for ever, but harms nobody (S-25)', async () => {
    const bed = await startSip()
    const bob = await bed.agent('bob', 'ws')
    const eve = await bed.stranger('ws')
    eve.send('hello')
    eve.send('GET / HTTP/1.1\r\n\r\n')
    expect((await bob.request('OPTIONS', ourselves)).status).toBe(200)
  })
})

describe('addresses', () => {
  test('UDP and TCP have the same port (S-24)', async () => {
    const bed = await startSip()
    expect(bed.address('udp')).toEqual(bed.address('tcp'))
    for (const transport of transports) {
      const agent = await bed.stranger(transport)
      expect((await agent.request('OPTIONS', ourselves)).status).toBe(200)
    }
  })

  test.each(transports)('over %s, received and rport say where a request came from (S-21)', async (transport) => {
    const bed = await startSip()
    const eve = await bed.stranger(transport)
    const bob = await bed.online('bob', 'tcp')
    const asking = eve.message(bob.uri, 'x')
    const request = await bob.expect('MESSAGE')
    const via = request.message.vias[1]!
    expect(via.params.get('rport')).toBe(`${eve.flow!.localPort}`)
    expect(via.params.get('received')).toBe('127.0.0.1')
    request.reply(200)
    expect((await asking).status).toBe(200)
  })

  test('a name in Via gets received, without being asked (S-21)', async () => {
    const bed = await startSip()
    const eve = await bed.stranger('tcp')
    const octets = eve
      .compose('OPTIONS', ourselves)
      .toString()
      .replace(/(TCP )\S+?;(.*);rport/, '$1eve.test;$2')
    const response = await eve.startRaw(octets).final()
    expect(response.vias[0]!.params.get('received')).toBe('127.0.0.1')
    expect(response.vias[0]!.params.has('rport')).toBe(false)
  })
})

test('a large request for a UDP address goes over TCP, which every UDP server has (S-24, S-82)', async () => {
  const bed = await startSip()
  const frank = await bed.foreign('tcp')
  const alice = await bed.online('alice', 'tcp')
  frank.on('MESSAGE', (request) => request.reply(200))
  const uri = uriOf(frank).replace(';transport=tcp', '')
  const body = 'x'.repeat(2_000)
  expect((await alice.message(uri, body)).status).toBe(200)
  expect(frank.received.map(({ message }) => message.text)).toEqual([body])
})

test.each(connected)(
  'over %s, who is connected and says nothing of SIP is sent away in time (R-3)',
  async (transport) => {
    const clock = new FakeTicker()
    const bed = await startSip({ clock })
    const eve = await bed.stranger(transport)
    const alice = await bed.online('alice', transport)
    await eve.ping()
    clock.advance(29_000)
    await eve.ping()
    clock.advance(2_000)
    await eve.disconnected
    expect((await alice.request('OPTIONS', ourselves)).status).toBe(200)
  },
)

test('a peer that does not read is not sent to any more, and takes nothing from others', async () => {
  const bed = await startSip({ own: true })
  const alice = await bed.online('alice', 'tcp')
  const socket = connect(bed.address('tcp'))
  await once(socket, 'connect')
  socket.on('error', () => {})
  const bob = await bed.online('bob', 'tcp')
  bob.on('MESSAGE', (request) => request.reply(200))
  socket.pause()
  const eve = await bed.stranger('tcp')
  // Each answer is as long as what was asked: until the window is full, and then as much as we keep for it.
  const padding = [['From-Path', 'x'.repeat(8_000)]] as const
  for (let i = 0; i < 2_000; i++) {
    if (socket.destroyed) break
    socket.write(eve.compose('OPTIONS', ourselves, { headers: padding, branch: `z9hG4bK${'b'.repeat(3_000)}${i}` }))
  }
  for (let i = 0; i < 5; i++) expect((await alice.message(bob.uri, 'go on')).status).toBe(200)
  socket.destroy()
  await eventually(() => bed.metric('silopath_connections')).toBe(3)
  expect((await alice.message(bob.uri, 'go on')).status).toBe(200)
})

test('S-22: the answer finds its way when the connection of the request is gone: to where sent-by says, at its source', async () => {
  const bed = await startSip({ own: true })
  const bob = await bed.online('bob', 'tcp')
  const answers: string[] = []
  const listener = createServer((socket) => socket.on('data', (octets) => answers.push(octets.toString())))
  listener.listen(0, '127.0.0.1')
  await once(listener, 'listening')
  onTestFinished(() => void listener.close())
  const { port } = listener.address() as AddressInfo
  const { host, port: serverPort } = bed.address('tcp')
  const client = connect({ host, port: serverPort })
  await once(client, 'connect')
  const lines = [
    `MESSAGE ${bob.uri} SIP/2.0`,
    `Via: SIP/2.0/TCP 127.0.0.1:${port};branch=z9hG4bKgone`,
    'From: <sip:stranger@far.test>;tag=1',
    `To: <${bob.uri}>`,
    'Call-ID: gone@far.test',
    'CSeq: 1 MESSAGE',
    'Max-Forwards: 70',
    'Content-Length: 0',
  ]
  client.write(`${lines.join('\r\n')}\r\n\r\n`)
  const received = await bob.expect('MESSAGE')
  client.resetAndDestroy()
  await eventually(() => bed.metric('silopath_connections_total', { event: 'closed' })).toBe(1)
  received.reply(200)
  await eventually(() => answers.join('')).toMatch(/^SIP\/2\.0 200 .*branch=z9hG4bKgone/s)
})
