import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, onTestFinished, test } from 'vitest'
import { Random } from '../support/random.ts'
import { seeded } from '../workers/support/threads.ts'
import { Flow, problemsOf } from './support/flow.ts'
import { openSocket, Peer } from './support/peer.ts'
import { Relay, until } from './support/relay.ts'

const CONNECTIONS = 500
const AT_ONCE = 30
/** Fewer than all, so that slots are used again and again. */
const SLOTS = 80

describe.each([0, 2, 4])('with %i workers', (workers) => {
  test('500 connections that come and go while others are used: no frame reaches a wrong one (R-14)', async () => {
    const relay = await Relay.start({ workers, maxConnections: SLOTS })
    onTestFinished(() => relay.remove())
    const stable = await Promise.all(Array.from({ length: 8 }, () => Peer.open(relay)))
    const flows = stable.map((peer, index) => new Flow(peer, stable[(index + 3) % stable.length]!))
    let churning = true
    const steady = flows.map(async (flow) => {
      while (churning) await flow.run(200, 700, 8)
    })

    const guests: Peer[] = []
    const live = new Set<Peer>()
    let opened = 0
    await seeded(async (seed) => {
      const random = new Random(seed, 0)
      const come = async () => {
        while (opened < CONNECTIONS) {
          opened++
          const what = random.below(4)
          if (what < 2) {
            const socket = await openSocket(relay)
            // Half a frame, or nothing.
            if (what === 1) socket.write('MSRP abcdefgh SEND\r\nTo-Path: msrp://127.0.0.1')
            if (random.oneIn(2)) await sleep(random.below(5))
            if (random.oneIn(2)) socket.resetAndDestroy()
            else socket.destroy()
            continue
          }
          const guest = await Peer.open(relay)
          guests.push(guest)
          live.add(guest)
          // To those who are there, and to some who are just leaving or have left.
          const others = [...stable, ...live, ...guests.slice(-5)]
          for (let n = 0; n < 6; n++)
            new Flow(guest, random.pick(others)).send(random.between(1, 5), random.below(3000))
          new Flow(random.pick(stable), guest).send(random.between(1, 20), random.below(3000))
          await sleep(random.below(30))
          live.delete(guest)
          if (random.oneIn(3)) guest.socket.end()
          if (random.oneIn(2)) guest.socket.destroy()
          else guest.socket.resetAndDestroy()
        }
      }
      await Promise.all(Array.from({ length: AT_ONCE }, come))
    })
    churning = false
    await Promise.all(steady)

    // Frames to guests that were gone are answered 481 or reported; nothing else may go wrong.
    expect(flows.flatMap(({ problems }) => problems)).toEqual([])
    expect([...stable, ...guests].flatMap(({ strays }) => strays)).toEqual([])
    expect(stable.map(({ isClosed }) => isClosed)).toEqual(stable.map(() => false))
    await until('only the others are left', async () => (await relay.metric('silopath_connections')) === stable.length)
    expect(await relay.metric('silopath_connections_total', /event="refused"/)).toBe(0)
    await until(
      'no transaction is left open',
      async () => (await relay.metric('silopath_msrp_transactions_open')) === 0,
    )
    await until('no segment is in use', async () => (await relay.segmentsInUse()) === 0)
    await Promise.all(flows.map((flow) => flow.run(50, 700)))
    expect(problemsOf([], flows)).toEqual([])
    for (const { socket } of stable) socket.destroy()
  })
})
