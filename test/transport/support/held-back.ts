import { Flow } from './flow.ts'
import { Peer } from './peer.ts'
import { type Relay, until } from './relay.ts'

/** Octets that the kernel may still take of what is held back, when it packs its buffers anew. */
export const TRICKLE = 65_536

/** Octets that these peers have written and the kernel has not taken. */
export const unsent = (peers: readonly Peer[]): number =>
  peers.reduce((sum, { socket }) => sum + socket.writableLength, 0)

const quietMs = 400
const roundsMin = 8

/**
 * Waits until the relay takes no more of what each of these peers writes, although every lane works: meanwhile each has
 * passed on what others sent, time after time. Answers how many octets are left in all. `more` may write while a peer has
 * nothing left.
 */
export async function heldBack(
  relay: Relay,
  peers: readonly Peer[],
  more: (peer: Peer) => void = () => {},
): Promise<number> {
  const witnesses = await oneOfEachLane(relay)
  const flows = witnesses.map((peer) => new Flow(peer, peer))
  let left = -1
  let since = performance.now()
  let rounds = 0
  await until('the senders are held back', async () => {
    const closed = peers.filter(({ isClosed }) => isClosed)
    if (closed.length > 0) throw new Error(`${closed.length} of ${peers.length} senders were closed, not held back`)
    for (const peer of peers) if (peer.socket.writableLength === 0) more(peer)
    const now = unsent(peers)
    if (Math.abs(now - left) > TRICKLE) {
      left = now
      since = performance.now()
      rounds = 0
    }
    await Promise.all(flows.map((flow) => flow.run(1, 10)))
    rounds++
    const isQuiet = rounds >= roundsMin && performance.now() - since > quietMs
    return isQuiet && peers.every(({ socket }) => socket.writableLength > 0)
  })
  for (const { socket } of witnesses) socket.destroy()
  return left
}

async function oneOfEachLane(relay: Relay): Promise<readonly Peer[]> {
  const lanes = Math.max(relay.workers, 1)
  const found = new Map<string, Peer>()
  for (let tries = 0; found.size < lanes && tries < 4 * lanes; tries++) {
    const peer = await Peer.open(relay)
    if (found.has(peer.laneMark)) peer.socket.destroy()
    else found.set(peer.laneMark, peer)
  }
  if (found.size < lanes) throw new Error(`connections are given to ${found.size} of ${lanes} lanes`)
  return [...found.values()]
}
