import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, onTestFinished, test } from 'vitest'
import { BODY_MAX, Flow, problemsOf } from './support/flow.ts'
import { heldBack } from './support/held-back.ts'
import { Peer } from './support/peer.ts'
import { Relay, until } from './support/relay.ts'

/** Connections of each lane at least. */
const PEERS = 4

let probes = 0

/** Status of the answer to a SEND for a peer, from somebody who only has its URI (R-13a). */
async function statusOfSend(from: Peer, to: Peer): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<number>()
  const { onResponse } = from
  const tid = `probe${probes++}`
  from.onResponse = (frame) => (frame.tid === tid ? resolve(frame.status!) : onResponse(frame))
  from.socket.write(
    `MSRP ${tid} SEND\r\nTo-Path: ${to.usePath} ${to.uri}\r\nFrom-Path: ${from.uri}\r\nMessage-ID: ${tid}\r\n-------${tid}$\r\n`,
  )
  return promise
}

/** The peers by their lane. */
const byLane = (peers: readonly Peer[]) => Map.groupBy(peers, ({ laneMark }) => laneMark)

/** Opens connections until every lane has enough. A lane that is being replaced must take some again. */
async function fill(relay: Relay, workers: number, peers: readonly Peer[]): Promise<readonly Peer[]> {
  const all = [...peers]
  await until('every lane takes connections', async () => {
    const lanes = [...byLane(all).values()]
    if (lanes.length === workers && lanes.every(({ length }) => length >= PEERS)) return true
    if (all.length >= workers * PEERS) await sleep(50)
    const peer = await Peer.open(relay).catch((error: Error) => error)
    if (peer instanceof Peer) all.push(peer)
    // Where there are other lanes, one of them takes the connection.
    else if (workers > 1) throw peer
    return false
  })
  return all
}

/** One flow from every peer to the next. */
const circle = (peers: readonly Peer[]) =>
  peers.map((peer, index) => new Flow(peer, peers[(index + 1) % peers.length]!))

const isReplaced = (relay: Relay, times: number) =>
  until('the lane is replaced', async () => (await relay.metric('silopath_lane_replaced_total')) === times)

describe.each([1, 2, 4])('with %i workers', (workers) => {
  test('a lane that dies takes its connections and sessions with it, and is replaced; the others go on (R-14)', async () => {
    const relay = await Relay.start({ workers })
    onTestFinished(() => relay.remove())
    let peers: readonly Peer[] = []

    for (let round = 1; round <= 3; round++) {
      peers = await fill(relay, workers, peers)
      await Promise.all(circle(peers).map((flow) => flow.run(20, 2000)))

      // Each lane's peers among themselves: a lane's death is none of the others' business.
      const flows = [...byLane(peers).values()].flatMap(circle)
      const running = flows.map((flow) => ({
        flow,
        run: flow.run(1500, 500).then(
          () => null,
          (error: Error) => error.message,
        ),
      }))
      await until('all flows are under way', () => flows.every(({ arrived }) => arrived > 50))
      await relay.kill(round % workers)
      await isReplaced(relay, round)
      await until('connections are closed', () => peers.some(({ isClosed }) => isClosed))

      const mark = peers.find(({ isClosed }) => isClosed)!.laneMark
      const dead = peers.filter(({ laneMark }) => laneMark === mark)
      peers = peers.filter(({ laneMark }) => laneMark !== mark)
      await until('all connections of the lane are closed', () => dead.every(({ isClosed }) => isClosed))
      const survivors = running.filter(({ flow }) => flow.from.laneMark !== mark)
      expect((await Promise.all(survivors.map(({ run }) => run))).filter((error) => error !== null)).toEqual([])
      const survivingFlows = survivors.map(({ flow }) => flow)
      expect(problemsOf(peers, survivingFlows)).toEqual([])

      // the session is gone with its connection.
      peers = await fill(relay, workers, peers)
      for (const peer of [peers[0]!, peers.at(-1)!]) expect(await statusOfSend(peer, dead[0]!)).toBe(481)
    }

    const flows = peers.flatMap((from) => peers.map((to) => new Flow(from, to)))
    await Promise.all(flows.map((flow) => flow.run(10, 2000)))
    expect(problemsOf(peers, flows)).toEqual([])
    expect(await relay.metric('silopath_lane_replaced_total')).toBe(3)
    for (const { socket } of peers) socket.destroy()
  })
})

describe('a lane that dies while receivers do not read', () => {
  /** Peers of two lanes, each sending to one of the other lane that does not read. */
  async function startStalled() {
    const relay = await Relay.start({ workers: 2 })
    onTestFinished(() => relay.remove())
    const peers = await fill(relay, 2, [])
    const [ours, theirs] = [...byLane(peers).values()].map((lane) => lane.slice(0, PEERS)) as [Peer[], Peer[]]
    const flows = [
      ...ours.map((peer, index) => new Flow(peer, theirs[index]!)),
      ...theirs.map((peer, index) => new Flow(peer, ours[index]!)),
    ]
    for (const { to } of flows) to.socket.pause()
    await heldBack(relay, [...ours, ...theirs], (peer) => flows.find(({ from }) => from === peer)!.send(20, BODY_MAX))
    return { relay, peers, flows }
  }

  test('lets go the senders that wait for its receivers (R-57, R-44)', async () => {
    const { relay, peers, flows } = await startStalled()
    await relay.kill(0)
    await isReplaced(relay, 1)
    // A paused socket does not notice its end.
    for (const { socket } of peers) socket.resume()
    await until('connections are closed', () => flows.filter(({ from }) => from.isClosed).length === PEERS)
    const left = flows.filter(({ from }) => !from.isClosed)
    await until('everything that was sent is answered', () =>
      left.every(({ sent, accepted, refused }) => accepted + (refused.get(481) ?? 0) === sent),
    ).catch((error: Error) => expect.fail(`${error.message}\n${left.map((flow) => flow.describe()).join('\n')}`))

    const survivors = left.map(({ from }) => from)
    const again = circle(survivors)
    await Promise.all(again.map((flow) => flow.run(100, 1000)))
    expect(survivors.flatMap(({ strays }) => strays)).toEqual([])
    await until('no segment is in use', async () => (await relay.segmentsInUse()) === 0)
    for (const { socket } of peers) socket.destroy()
  })

  test('is replaced although receivers of other lanes still hold what it sent', async () => {
    const { relay, peers } = await startStalled()
    await relay.kill(0)
    await isReplaced(relay, 1)
    await sleep(200)
    const others = await fill(relay, 2, [])
    const flows = circle(others)
    await Promise.all(flows.map((flow) => flow.run(100, 1000)))
    expect(problemsOf(others, flows)).toEqual([])
    for (const { socket } of [...peers, ...others]) socket.destroy()
  })
})
