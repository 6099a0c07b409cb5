import { setImmediate as nextTurn } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Random } from '../support/random.ts'
import { seeded } from '../workers/support/threads.ts'
import { BODY_MAX, Flow, problemsOf } from './support/flow.ts'
import { Peer } from './support/peer.ts'
import { Relay, until } from './support/relay.ts'

const PEERS = 8
const ROUNDS = 8

/** Writes all of it, cut at random places, as fast as the socket takes it. */
async function writeCut(peer: Peer, octets: Buffer, random: Random): Promise<void> {
  const { socket } = peer
  for (let at = 0; at < octets.length; ) {
    const most = random.oneIn(3) ? 200 : 100_000
    const piece = octets.subarray(at, at + random.between(1, most))
    at += piece.length
    if (socket.write(piece)) await nextTurn()
    else await new Promise((resolve) => socket.write('', resolve))
  }
}

describe.each([0, 1, 2, 4])('with %i workers', (workers) => {
  let relay: Relay
  beforeAll(async () => {
    relay = await Relay.start({ workers })
  })
  afterAll(() => relay.remove())

  test('8 senders to each of 8 receivers: every SEND arrives whole, in its sender’s order, and is answered once (R-16, R-40, R-42)', async () => {
    const senders = await Promise.all(Array.from({ length: PEERS }, () => Peer.open(relay)))
    const receivers = await Promise.all(Array.from({ length: PEERS }, () => Peer.open(relay)))
    // Peers of every lane are among them, so that frames cross lanes.
    expect(new Set([...senders, ...receivers].map(({ laneMark }) => laneMark)).size).toBe(Math.max(1, workers))
    const flows = senders.map((sender) => receivers.map((receiver) => new Flow(sender, receiver)))

    await seeded((seed) =>
      Promise.all(
        senders.map((sender, index) => {
          const random = new Random(seed, index)
          const size = () => random.pick([0, 1, BODY_MAX, random.below(3000), random.below(BODY_MAX + 1)])
          const order = random.shuffle(Array.from({ length: PEERS * ROUNDS }, (_, n) => n % PEERS))
          const frames = order.flatMap((receiver) => flows[index]![receiver]!.compose(size()))
          return writeCut(sender, Buffer.concat(frames), random)
        }),
      ),
    )
    await Promise.all(flows.flat().map((flow) => flow.done()))

    expect(problemsOf([...senders, ...receivers], flows.flat())).toEqual([])
    await until('no segment is in use', async () => (await relay.segmentsInUse()) === 0)
    expect(await relay.metric('silopath_reads_paused')).toBe(0)
    for (const { socket } of [...senders, ...receivers]) socket.destroy()
  })

  test('two peers that send to each other without pause do not block each other (R-57)', async () => {
    const [one, other] = await Promise.all([Peer.open(relay), Peer.open(relay)])
    const flows = [new Flow(one, other), new Flow(other, one)]
    await Promise.all(flows.map((flow) => flow.run(400, 30_000, 200)))
    expect(problemsOf([one, other], flows)).toEqual([])
    for (const { socket } of [one, other]) socket.destroy()
  })

  test('a peer that sends to itself gets its own SENDs (R-16)', async () => {
    const peer = await Peer.open(relay)
    const flow = new Flow(peer, peer)
    await flow.run(500, 5000, 50)
    expect(problemsOf([peer], [flow])).toEqual([])
    peer.socket.destroy()
  })
})
