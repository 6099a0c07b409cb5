import { once } from 'node:events'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { expect, onTestFinished, test } from 'vitest'
import { WebSocket } from 'ws'
import { PING_MS } from '../../src/transport/websocket.ts'
import { INPUT_WINDOW } from '../../src/workers/connections.ts'
import type { CloseReason } from '../../src/workers/lane-port.ts'
import { READ_OCTETS } from '../../src/workers/memory.ts'
import { startRelay } from '../support/relay.ts'
import { type Primary, startPrimary } from './support/primary.ts'

const eventually = <T>(probe: () => T) => expect.poll(probe, { timeout: 5000 })

const start = (keys: object = {}) => startPrimary({ listen: [{ url: 'ws://127.0.0.1:0' }], workers: 0, ...keys })

async function open(port: number, protocols: readonly string[] = ['msrp']): Promise<WebSocket> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}`, [...protocols], { perMessageDeflate: false })
  onTestFinished(() => socket.terminate())
  await once(socket, 'open')
  return socket
}

/** The code of the close frame that the server sends. */
async function closeCode(socket: WebSocket): Promise<number> {
  const [code] = (await once(socket, 'close')) as [number]
  return code
}

/** What the server answers to octets. */
async function answerTo(port: number, request: string): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  socket.write(request)
  return text(socket)
}

const upgrade = (...lines: readonly string[]) =>
  ['GET / HTTP/1.1', 'Host: relay', 'Connection: Upgrade', 'Upgrade: websocket', ...lines, '', ''].join('\r\n')
const key = 'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=='

test('W-1, S-25: the subprotocol is the first the client names that is served, and says what is spoken', async () => {
  const { listeners, lanes } = await start()
  const { port } = listeners[0]!
  for (const [offered, chosen] of [
    [['msrp'], 'msrp'],
    [['sip'], 'sip'],
    [['chat', 'sip', 'msrp'], 'sip'],
  ] as const) {
    const socket = await open(port, offered)
    expect(socket.protocol).toBe(chosen)
    expect(lanes[0]!.opens.at(-1)!.flow).toMatchObject({
      listener: 0,
      transport: 'ws',
      protocol: chosen,
      address: '127.0.0.1',
    })
  }
})

test('W-1: without a subprotocol that is served there is no WebSocket, and no connection', async () => {
  const primary = await start()
  const { port } = primary.listeners[0]!
  const version = 'Sec-WebSocket-Version: 13'
  for (const request of [
    upgrade(version, key),
    upgrade(version, key, 'Sec-WebSocket-Protocol: chat, MSRP'),
    upgrade('Sec-WebSocket-Version: 99', key, 'Sec-WebSocket-Protocol: msrp'),
    upgrade(version, 'Sec-WebSocket-Key: short', 'Sec-WebSocket-Protocol: msrp'),
  ]) {
    expect(await answerTo(port, request)).toMatch(/^HTTP\/1\.1 400 /)
  }
  expect(primary.count('handshakesFailedWebSocket')).toBe(4)
  expect(await answerTo(port, 'GET /chat HTTP/1.1\r\nHost: relay\r\n\r\n')).toMatch(
    /^HTTP\/1\.1 426 .*Upgrade: websocket/s,
  )
  expect(await answerTo(port, 'rubbish\r\n\r\n')).toMatch(/^HTTP\/1\.1 400 /)
  expect(primary.transport.count).toBe(0)
})

test('W-9: whoever names an Origin hears that it may', async () => {
  const { listeners } = await start()
  const socket = connect(listeners[0]!.port, '127.0.0.1')
  socket.write(
    upgrade('Sec-WebSocket-Version: 13', key, 'Sec-WebSocket-Protocol: msrp', 'Origin: https://chat.example.com'),
  )
  const [head] = await once(socket, 'data')
  expect(String(head)).toMatch(/^HTTP\/1\.1 101 /)
  expect(String(head)).toMatch(/^Access-Control-Allow-Origin: https:\/\/chat\.example\.com\r$/m)
  socket.destroy()
})

test('W-2, W-3: a message is whole however it is cut, text or binary; an empty one is nothing', async () => {
  const { listeners, lanes } = await start()
  const socket = await open(listeners[0]!.port)
  socket.send('text ', { fin: false })
  socket.send('in ', { fin: false })
  socket.send('pieces', { fin: true })
  socket.send('')
  socket.send(Buffer.from([0, 255]), { binary: true })
  await eventually(() => lanes[0]!.received.map(({ text, whole }) => [text, whole])).toEqual([
    ['text in pieces', true],
    ['\x00\xff', true],
  ])
})

test('W-2, S-25: MSRP leaves in binary messages, SIP in text unless that would not be UTF-8', async () => {
  const primary = await start()
  for (const [protocol, octets, binary] of [
    ['msrp', Buffer.from('whole'), true],
    ['sip', Buffer.from('gänzlich'), false],
    ['sip', Buffer.from([0x61, 0xff]), true],
  ] as const) {
    const socket = await open(primary.listeners[0]!.port, [protocol])
    const { connection } = primary.lanes[0]!.opens.at(-1)!
    const message = once(socket, 'message')
    primary.transport.write(connection, primary.segment(octets), octets.length)
    expect(await message).toEqual([octets, binary])
  }
})

test('W-6: what breaks the WebSocket protocol closes it, each with its code', async () => {
  const primary = await start()
  const { port } = primary.listeners[0]!
  const tooLarge = await open(port)
  tooLarge.send(Buffer.alloc(READ_OCTETS + 1))
  expect(await closeCode(tooLarge)).toBe(1009)
  const notText = await open(port)
  notText.send(Buffer.from([0xff, 0xfe]), { binary: false })
  expect(await closeCode(notText)).toBe(1007)
  const fits = await open(port)
  fits.send(Buffer.alloc(READ_OCTETS, 'f'))
  await eventually(() => primary.lanes[0]!.received.map(({ text }) => text.length)).toEqual([READ_OCTETS])
  await eventually(() => primary.transport.count).toBe(1)
})

test.for<[CloseReason, number]>([
  ['malformed', 1002],
  ['foreign', 1003],
  ['probation', 1008],
  ['pressure', 1013],
  ['routing', 1000],
])('W-6: a lane that closes for %s closes with %i, after what was sent', async ([reason, code]) => {
  const primary = await start()
  const socket = await open(primary.listeners[0]!.port)
  const { connection } = primary.lanes[0]!.opens[0]!
  const messages: string[] = []
  socket.on('message', (octets) => messages.push(String(octets)))
  primary.transport.write(connection, primary.segment('last words'), 10)
  primary.transport.closeConnection(connection, reason)
  expect(await closeCode(socket)).toBe(code)
  expect(messages).toEqual(['last words'])
  await eventually(() => primary.transport.count).toBe(0)
})

test('a server that closes says that it goes away', async () => {
  const primary = await start()
  const socket = await open(primary.listeners[0]!.port)
  const code = closeCode(socket)
  await primary.transport.close()
  expect(await code).toBe(1001)
})

test('W-8: a silent peer is pinged after 30 s; one that answers stays, one that does not is gone after 30 s more', async () => {
  const primary = await start()
  const { port } = primary.listeners[0]!
  const alive = await open(port)
  const dead = await open(port)
  // It does not read, so it does not answer.
  dead.pause()
  const pinged = once(alive, 'ping')
  primary.clock.advance(PING_MS + 2000)
  await pinged
  expect(primary.transport.count).toBe(2)
  // The pong has come in when what was sent after it has.
  alive.send('after the pong')
  await eventually(() => primary.lanes[0]!.received.length).toBe(1)
  primary.clock.advance(PING_MS + 1000)
  await eventually(() => primary.transport.count).toBe(1)
  expect(alive.readyState).toBe(WebSocket.OPEN)
})

test('messages that were read before a pause wait in order, and none is lost', async () => {
  const primary = await start()
  const [lane] = primary.lanes as [(typeof primary.lanes)[0]]
  const socket = await open(primary.listeners[0]!.port)
  const sent = Array.from({ length: 500 }, (_, i) => `${i}`)
  lane.room = 0
  for (const one of sent) socket.send(one)
  await eventually(() => primary.count('readsPaused')).toBe(1)
  expect(lane.received).toEqual([])
  lane.room = Number.POSITIVE_INFINITY
  await eventually(() => lane.received.map(({ text }) => text)).toEqual(sent)
  expect(primary.count('readsPaused')).toBe(0)

  // A lane that owes what it may gets nothing more until it says so.
  lane.stalled = true
  const long = sent.map((one) => one.padEnd(INPUT_WINDOW / 8))
  for (const one of long) socket.send(one)
  await eventually(() => primary.count('readsPaused')).toBe(1)
  expect(lane.received.length).toBe(sent.length + 8)
  lane.stalled = false
  const { connection } = lane.opens[0]!
  primary.connections.consume(connection, INPUT_WINDOW)
  primary.transport.resume(connection)
  await eventually(() => lane.received.length).toBe(2 * sent.length)
  expect(lane.received.slice(sent.length).map(({ text }) => text)).toEqual(long)
})

test('connections beyond max_connections are refused, and those in a handshake count by themselves', async () => {
  const primary: Primary = await start({ max_connections: 16 })
  const { port } = primary.listeners[0]!
  const silent = Array.from({ length: 17 }, () => connect(port, '127.0.0.1'))
  onTestFinished(() => {
    for (const socket of silent) socket.destroy()
  })
  await eventually(() => primary.count('connectionsRefused')).toBe(1)
  for (const socket of silent) socket.destroy()
  // The server sees that a moment later.
  const opens = () =>
    open(port).then(
      (socket) => {
        socket.terminate()
        return true
      },
      () => false,
    )
  await eventually(opens).toBe(true)
  await eventually(() => primary.transport.count).toBe(0)
  const refused = primary.count('connectionsRefused')
  for (let i = 0; i < 16; i++) await open(port)
  const over = new WebSocket(`ws://127.0.0.1:${port}`, ['msrp'])
  over.on('error', () => {})
  await once(over, 'close')
  expect(primary.count('connectionsRefused')).toBe(refused + 1)
  expect(primary.transport.count).toBe(16)
})

test.for([0, 2])(
  'M-64, W-6: a message that is not one whole chunk closes the WebSocket (%i workers)',
  async (workers) => {
    const relay = await startRelay({ workers, config: { listen: [{ url: 'ws://127.0.0.1:0' }] } })
    const { port } = relay
    const frame = `MSRP abcd SEND\r\nTo-Path: msrp://127.0.0.1:${port}/x;tcp\r\nFrom-Path: msrp://a.invalid/y;ws\r\nMessage-ID: 1\r\n-------abcd$\r\n`
    for (const [what, octets, code] of [
      ['no end-line', frame.slice(0, -12), 1002],
      ['octets after the end-line', `${frame}\r\n`, 1002],
      ['two chunks', frame + frame, 1002],
      ['no MSRP at all', 'REGISTER sip:example.com SIP/2.0\r\n\r\n', 1003],
    ] as const) {
      const socket = await open(port)
      socket.send(octets)
      expect([what, await closeCode(socket)]).toEqual([what, code])
    }
    const socket = await open(port)
    const answer = once(socket, 'message')
    socket.send(frame)
    expect(String((await answer)[0])).toMatch(/^MSRP abcd \d{3} /)
    socket.close()
  },
)
