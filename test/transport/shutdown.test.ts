import { describe, test } from 'vitest'
import { Flow } from './support/flow.ts'
import { heldBack } from './support/held-back.ts'
import { Peer } from './support/peer.ts'
import { Relay, until } from './support/relay.ts'

interface Traffic extends AsyncDisposable {
  readonly relay: Relay
  readonly peers: readonly Peer[]
  readonly flows: readonly Flow[]
}

async function startTraffic(workers: number, pairs: number): Promise<Traffic> {
  const relay = await Relay.start({ workers })
  const peers = await Promise.all(Array.from({ length: 2 * pairs }, () => Peer.open(relay)))
  const flows = peers.slice(0, pairs).map((peer, index) => new Flow(peer, peers[pairs + index]!))
  return { relay, peers, flows, [Symbol.asyncDispose]: () => relay.remove() }
}

// Mostly they wait.
describe.concurrent('closing the server', () => {
  test.for([0, 1, 2])(
    'with traffic in flight and %i workers ends within 6 s, the process too',
    async (workers, { expect }) => {
      await using traffic = await startTraffic(workers, 4)
      const { relay, peers, flows } = traffic
      // More than can arrive before the close; the rest fails with the connection.
      const runs = flows.map((flow) => flow.run(1_000_000, 5000, 50).catch(({ message }: Error) => message))
      await until('all flows are under way', () => flows.every(({ arrived }) => arrived > 100))
      expect(await relay.close()).toBeLessThan(6000)
      await Promise.all(peers.map(({ closed }) => closed))
      expect(await relay.exited(3000)).toBe(0)
      expect(peers.flatMap(({ strays }) => strays)).toEqual([])
      expect(flows.flatMap(({ problems }) => problems)).toEqual([])
      // after the 200 nobody else answers for it.
      expect(flows.filter(({ arrived, accepted }) => arrived < accepted).map((flow) => flow.describe())).toEqual([])
      for (const why of await Promise.all(runs)) expect(why).toMatch(/closed/)
    },
  )

  test.for([0, 2])(
    'with receivers that do not read and %i workers ends within 6 s, the process too',
    async (workers, { expect }) => {
      await using traffic = await startTraffic(workers, 2)
      const { relay, peers, flows } = traffic
      const senders = flows.map(({ from }) => from)
      for (const { to } of flows) to.socket.pause()
      for (const flow of flows) flow.send(300, 60_000)
      await heldBack(relay, senders)
      expect(await relay.close()).toBeLessThan(6000)
      for (const { socket } of peers) socket.resume()
      await Promise.all(peers.map(({ closed }) => closed))
      expect(await relay.exited(3000)).toBe(0)
    },
  )

  test('without traffic is quick', async ({ expect }) => {
    await using traffic = await startTraffic(2, 2)
    const { relay, peers } = traffic
    expect(await relay.close()).toBeLessThan(2000)
    await Promise.all(peers.map(({ closed }) => closed))
    expect(await relay.exited(3000)).toBe(0)
  })
})
