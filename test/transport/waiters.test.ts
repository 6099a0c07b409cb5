import { queryObjects } from 'node:v8'
import { expect, onTestFinished, test } from 'vitest'
import type { LaneIndex } from '../../src/ids.ts'
import { C } from '../../src/metrics/counters.ts'
import { MsrpConnection } from '../../src/msrp/connection.ts'
import { compileKernel } from '../../src/parser/kernel.ts'
import { defaultRouting } from '../../src/routing/default-routing.ts'
import { Transport } from '../../src/transport/transport.ts'
import { Connections } from '../../src/workers/connections.ts'
import { Lane, type LaneSetup, prepareLane } from '../../src/workers/lane.ts'
import type { LanePort } from '../../src/workers/lane-port.ts'
import { createMemory, mapMemory, memorySizes } from '../../src/workers/memory.ts'
import { newCounters } from '../support/counters.ts'
import { FakeTicker } from '../support/fake-ticker.ts'
import { connect, type MsrpClient } from '../support/msrp-client.ts'
import { configOf } from './support/primary.ts'

const eventually = <T>(probe: () => T) => expect.poll(probe, { timeout: 5000 })
const silent = () => {}
const log = { debug: silent, info: silent, warn: silent, error: silent }

/** A lane in this thread, whose peers are read on while they wait, as those of a lane in another thread are. */
async function start() {
  const users = ['alice', 'bob'].map((username) => ({ username, password: 'secret' }))
  const config = configOf({ workers: 1, listen: [{ url: 'msrp://127.0.0.1:0' }], auth: { users } })
  const map = mapMemory(memorySizes(config))
  const memory = createMemory(map)
  const { counters } = newCounters(1)
  const clock = new FakeTicker()
  const connections = new Connections(new Int32Array(memory.buffer), map.connections)
  const transport = new Transport(config, map, memory, connections, counters.primary, { log, clock })
  const { port } = await transport.listen(config.listen[0]!)
  const setup: LaneSetup = {
    map,
    memory,
    kernel: compileKernel(),
    config,
    listeners: [
      { scheme: 'msrp', host: '127.0.0.1', port, usePathHost: '127.0.0.1', usePathPort: port, authAllowed: true },
    ],
    sip: null,
    nonceKey: Buffer.alloc(32, 7),
    epochMs: clock.now(),
  }
  prepareLane(setup, 0 as LaneIndex, null)
  const lanePort: LanePort = {
    write: (connection, segment, octets) => transport.write(connection, segment, octets),
    datagram: silent,
    hand: silent,
    close: (connection, reason) => transport.closeConnection(connection, reason),
    resume: (connection) => transport.resume(connection),
    released: (connection) => transport.released(connection),
    post: silent,
    flush: silent,
  }
  const surroundings = { port: lanePort, log, clock, routing: defaultRouting, location: null }
  const lane = new Lane(0 as LaneIndex, setup, surroundings)
  transport.start([lane])
  onTestFinished(async () => {
    await transport.close()
    lane.stop()
  })
  const row = new Float64Array(memory.buffer, map.lane[0]!.counters)
  return { port, transport, stalls: () => row[C.stalledReceiver]! }
}

async function session(port: number, username: string) {
  const client: MsrpClient = await connect(port)
  onTestFinished(() => client.close())
  const { usePath } = await client.auth({ username, password: 'secret' })
  return { client, relayUri: usePath[0]!, path: [...usePath, client.uri] }
}

test('who waits for a receiver and goes away is forgotten, though the receiver stays (R-57)', async () => {
  const { port, transport, stalls } = await start()
  const bob = await session(port, 'bob')
  bob.client.pause()
  const flood = await session(port, 'alice')
  const send = ({ client, relayUri }: typeof flood, octets: number) =>
    client.request({ method: 'SEND', toPath: [relayUri, ...bob.path], body: 'x'.repeat(octets) })
  // Some may well stay with the flood's own kernel, held back: that they have all left is nothing to wait for.
  while (stalls() === 0) {
    const answered = flood.client.frames.length
    for (let i = 0; i < 20; i++) send(flood, 60_000)
    await eventually(() => flood.client.frames.length > answered || stalls() > 0).toBe(true)
  }

  const alive = transport.count
  for (let i = 0; i < 10; i++) {
    const before = stalls()
    const waiter = await session(port, 'alice')
    send(waiter, 100)
    await eventually(stalls).toBeGreaterThan(before)
    await waiter.client.close()
    await eventually(() => transport.count).toBe(alive)
  }
  // The relay may still know the one that it looked at last.
  expect(queryObjects(MsrpConnection, { format: 'count' })).toBeLessThanOrEqual(alive + 1)
})
