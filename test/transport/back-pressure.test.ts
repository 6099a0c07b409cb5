import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { BODY_MAX, Flow, problemsOf } from './support/flow.ts'
import { heldBack, TRICKLE, unsent } from './support/held-back.ts'
import { Peer } from './support/peer.ts'
import { Relay, until } from './support/relay.ts'

const MIB = 2 ** 20

/**
 * Segments that one stalled pair may use: for the receiver 256 KiB, the segment that went over it, and what one read
 * still added; for the sender one segment of the largest class with all that was read of it. Both are counted in whole
 * segments, of which frames of 64 KiB fill two thirds.
 */
const STALLED_PAIR_MAX = 1.5 * MIB
/** How much the server's process may grow while it holds a sender back: the octets in question are far more. */
const GROWTH_MAX = 32 * MIB

const open = (relay: Relay, count: number) => Promise.all(Array.from({ length: count }, () => Peer.open(relay)))

function end(peers: readonly Peer[]): void {
  for (const { socket } of peers) socket.destroy()
}

describe.each([0, 1, 2, 4])('with %i workers', (workers) => {
  let relay: Relay
  beforeAll(async () => {
    relay = await Relay.start({ workers })
  })
  afterAll(() => relay.remove())

  test('a receiver that does not read holds back its sender and nobody else, in bounded memory; nothing is lost (R-57)', async () => {
    const peers = await open(relay, 4)
    const [sender, receiver, other, another] = peers as [Peer, Peer, Peer, Peer]
    const stalled = new Flow(sender, receiver)
    const healthy = new Flow(other, another)
    // Memory that any traffic takes once.
    await healthy.run(500, BODY_MAX, 32)
    const before = await healthy.run(3000, 1000)
    const resident = await relay.residentOctets()

    receiver.socket.pause()
    stalled.send(1000, BODY_MAX)
    const left = await heldBack(relay, [sender])
    expect(left, 'octets that the relay does not take').toBeGreaterThan(GROWTH_MAX)
    expect(await relay.metric('silopath_reads_paused')).toBe(1)
    // The gauges follow within a second.
    await until('segments in use are counted', async () => (await relay.segmentsInUse()) > 0)
    const during = await healthy.run(3000, 1000)
    await sleep(1100)
    expect(await relay.segmentsInUse()).toBeLessThanOrEqual(STALLED_PAIR_MAX)
    expect((await relay.residentOctets()) - resident).toBeLessThan(GROWTH_MAX)
    expect(unsent([sender]), 'octets that the relay still does not take').toBeGreaterThanOrEqual(left - TRICKLE)
    // Other processes compete for the processor too.
    expect(during / before, 'rate of the other pair').toBeGreaterThan(0.2)

    receiver.socket.resume()
    await stalled.done()
    expect(problemsOf(peers, [stalled, healthy])).toEqual([])
    await until('no segment is in use', async () => (await relay.segmentsInUse()) === 0)
    expect(await relay.metric('silopath_reads_paused')).toBe(0)
    end(peers)
  })

  test('a sender that does not read its answers is held back, and nobody else (R-57)', async () => {
    const peers = await open(relay, 4)
    const [sender, receiver, other, another] = peers as [Peer, Peer, Peer, Peer]
    const deaf = new Flow(sender, receiver)
    const healthy = new Flow(other, another)
    sender.socket.pause()
    // The kernel takes some MiB each way, now more and now less: no more is sent than it takes to fill that.
    const left = await heldBack(relay, [sender], () => deaf.send(5000, 10))
    await healthy.run(2000, 1000)
    expect(unsent([sender]), 'octets that the relay still does not take').toBeGreaterThanOrEqual(left - TRICKLE)
    expect(deaf.arrived).toBeLessThan(deaf.sent)
    sender.socket.resume()
    await deaf.done()
    expect(problemsOf(peers, [deaf, healthy])).toEqual([])
    end(peers)
  })

  // The lane in the primary, and lanes in threads: their number makes no difference to this.
  if (workers !== 0 && workers !== 2) return
  test('50 receivers that do not read hold back their 50 senders; another pair goes on, and nothing is lost (R-57)', async () => {
    const senders = await open(relay, 50)
    const receivers = await open(relay, 50)
    const [other, another] = (await open(relay, 2)) as [Peer, Peer]
    const everybody = [...senders, ...receivers, other, another]
    const stalled = senders.map((sender, index) => new Flow(sender, receivers[index]!))
    const healthy = new Flow(other, another)
    for (const { socket } of receivers) socket.pause()
    // The kernel takes some MiB a connection: no more is sent than it takes to fill that.
    const left = await heldBack(relay, senders, (sender) => stalled[senders.indexOf(sender)]!.send(8, BODY_MAX))
    expect(await relay.metric('silopath_reads_paused')).toBe(50)
    await healthy.run(3000, 1000)
    await sleep(1100)
    expect(problemsOf(everybody, [...stalled, healthy])).toEqual([])
    expect(unsent(senders)).toBeGreaterThanOrEqual(left - 50 * TRICKLE)
    expect(await relay.segmentsInUse()).toBeLessThanOrEqual(50 * STALLED_PAIR_MAX)

    for (const { socket } of receivers) socket.resume()
    await Promise.all(stalled.map((flow) => flow.done(20_000)))
    expect(problemsOf(everybody, [...stalled, healthy])).toEqual([])
    await until('no segment is in use', async () => (await relay.segmentsInUse()) === 0)
    expect(await relay.metric('silopath_reads_paused')).toBe(0)
    end(everybody)
  })
})
