import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { type Primary, startPrimary } from './support/primary.ts'

// What peers send while there is no room on the way to their lane waits with the primary, a read of each at the most.

const eventually = <T>(probe: () => T) => expect.poll(probe, { timeout: 5000 })

async function start(workers: number, peers: number): Promise<{ primary: Primary; sockets: readonly Socket[] }> {
  const primary = await startPrimary({ listen: [{ url: 'msrp://127.0.0.1:0' }], workers })
  const sockets: Socket[] = []
  for (let i = 0; i < peers; i++) {
    const socket = connect(primary.listeners[0]!.port, '127.0.0.1')
    onTestFinished(() => void socket.destroy())
    await once(socket, 'connect')
    // Slots are given out in this order too.
    await eventually(() => primary.transport.count).toBe(i + 1)
    sockets.push(socket)
  }
  return { primary, sockets }
}

/** What came from each connection, one after the other. */
function textsOf({ lanes }: Primary): string[] {
  const texts = new Map<number, string>()
  for (const { received } of lanes) {
    for (const { connection, text } of received) texts.set(connection, (texts.get(connection) ?? '') + text)
  }
  return [...texts.values()].sort()
}

test('every peer is paused once, and all it sends arrives in order when there is room again', async () => {
  const { primary, sockets } = await start(0, 20)
  const [lane] = primary.lanes as [(typeof primary.lanes)[0]]
  lane.room = 0
  for (const [i, socket] of sockets.entries()) socket.write(`${String(i).padStart(2, '0')}: first`)
  await eventually(() => primary.count('readsPaused')).toBe(20)
  for (const socket of sockets) socket.write(', second')
  expect(lane.received).toEqual([])

  // Room for three of them, and no more: nobody else's octets are lost over it.
  lane.room = 3 * '00: first'.length
  await eventually(() => lane.received.length).toBe(3)
  expect(new Set(lane.received.map(({ connection }) => connection)).size).toBe(3)
  expect(primary.count('readsPaused')).toBeGreaterThanOrEqual(17)

  lane.room = Number.POSITIVE_INFINITY
  const whole = sockets.map((_, i) => `${String(i).padStart(2, '0')}: first, second`)
  await eventually(() => textsOf(primary)).toEqual(whole)
  expect(primary.count('readsPaused')).toBe(0)
})

test('those that have waited longest come first', async () => {
  const { primary, sockets } = await start(0, 5)
  const [lane] = primary.lanes as [(typeof primary.lanes)[0]]
  lane.room = 0
  for (const [i, socket] of sockets.toReversed().entries()) {
    socket.write(`${i}`)
    await eventually(() => primary.count('readsPaused')).toBe(i + 1)
  }
  for (let i = 1; i <= 5; i++) {
    lane.room = 1
    await eventually(() => lane.received.length).toBe(i)
  }
  expect(lane.received.map(({ text }) => text)).toEqual(['0', '1', '2', '3', '4'])
})

test('a lane without room holds back nobody of another lane', async () => {
  const { primary, sockets } = await start(2, 6)
  const [full, free] = primary.lanes as [(typeof primary.lanes)[0], (typeof primary.lanes)[0]]
  full.room = 0
  for (const socket of sockets) socket.write('hello')
  await eventually(() => [primary.count('readsPaused'), free.received.length]).toEqual([3, 3])
  for (const socket of sockets) socket.write(' again')
  await eventually(() => textsOf(primary)).toEqual(['hello again', 'hello again', 'hello again'])
  full.room = Number.POSITIVE_INFINITY
  await eventually(() => textsOf(primary)).toEqual(new Array(6).fill('hello again'))
})

test('who goes away while waiting is let go, with or without what it had sent; the others are served', async () => {
  const { primary, sockets } = await start(0, 3)
  const [lane] = primary.lanes as [(typeof primary.lanes)[0]]
  lane.room = 0
  for (const socket of sockets) socket.write('x')
  await eventually(() => primary.count('readsPaused')).toBe(3)
  // Dropped by its lane, and reset by its peer.
  const [first, second, third] = lane.opens.map(({ connection }) => connection)
  primary.transport.closeConnection(first!, 'malformed')
  sockets[1]!.resetAndDestroy()
  await eventually(() => primary.transport.peer(first!)).toBe('gone')
  lane.room = Number.POSITIVE_INFINITY
  await eventually(() => lane.received.some(({ connection }) => connection === third)).toBe(true)
  expect(lane.received.some(({ connection }) => connection === first)).toBe(false)
  await eventually(() => primary.transport.peer(second!)).toBe('gone')
  await eventually(() => [primary.count('readsPaused'), primary.transport.count]).toEqual([0, 1])
})
