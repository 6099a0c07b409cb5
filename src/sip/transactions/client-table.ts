import assert from 'node:assert/strict'
import type { PlacedClient } from './transaction.ts'

const chainsMin = 256
/** What every branch begins with that means anything here: the cookie and a lane. */
const headLength = 8

/**
 * Client transactions by branch and method (S-31). Branches are our own, and random: a few characters of one choose its
 * chain as evenly as a hash of all of it would, and nobody else can make chains long.
 *
 *   chains   0    1                      2    …
 *            ─    INVITE ─▶ its CANCEL   MESSAGE
 */
export class ClientTable {
  #chains: (PlacedClient | null)[] = emptyChains(chainsMin)
  #size = 0

  get size(): number {
    return this.#size
  }

  find(branch: string, method: string): PlacedClient | null {
    let client: PlacedClient | null = this.#chains[chainOf(branch, this.#chains.length)]!
    while (client !== null && (client.branch !== branch || client.method !== method)) client = client.next
    return client
  }

  add(client: PlacedClient): void {
    assert(this.find(client.branch, client.method) === null, 'a branch is good for one transaction')
    if (this.#size === this.#chains.length) this.#resize(this.#size * 2)
    this.#size++
    this.#link(client)
  }

  delete(client: PlacedClient): void {
    const at = chainOf(client.branch, this.#chains.length)
    const first = this.#chains[at]!
    if (first === client) this.#chains[at] = client.next
    else {
      let before: PlacedClient | null = first
      while (before !== null && before.next !== client) before = before.next
      assert(before !== null, 'a transaction ends once')
      before.next = client.next
    }
    client.next = null
    this.#size--
    // Of a rush that is over no room is kept.
    if (this.#size === 0 && this.#chains.length > chainsMin) this.#chains = emptyChains(chainsMin)
  }

  #link(client: PlacedClient): void {
    const at = chainOf(client.branch, this.#chains.length)
    client.next = this.#chains[at]!
    this.#chains[at] = client
  }

  #resize(length: number): void {
    const chains = this.#chains
    this.#chains = emptyChains(length)
    for (const first of chains) {
      for (let client = first; client !== null; ) {
        const { next } = client
        this.#link(client)
        client = next
      }
    }
  }
}

function emptyChains(length: number): (PlacedClient | null)[] {
  return new Array<PlacedClient | null>(length).fill(null)
}

/** @param chains a power of two */
function chainOf(branch: string, chains: number): number {
  let hash = 0
  for (let i = headLength; i < headLength + 4; i++) hash = Math.imul(hash, 61) ^ branch.charCodeAt(i)
  return hash & (chains - 1)
}
