import type { SipChannel } from '../transactions/channel.ts'

interface Waiting {
  /** No answer can come any more by the channel that the request went out by. */
  channelFailed(): void
}

/** Which branches wait for an answer by which connection, so that none waits for one that has closed (S-49, S-71). */
export class WaitingBranches {
  readonly #byChannel = new Map<SipChannel, Set<Waiting>>()

  /** Connections that are waited for. */
  get channels(): number {
    return this.#byChannel.size
  }

  add(channel: SipChannel, branch: Waiting): void {
    // Datagrams have no end that anybody would be told of.
    if (!channel.reliable) return
    const waiting = this.#byChannel.get(channel)
    if (waiting === undefined) this.#byChannel.set(channel, new Set([branch]))
    else waiting.add(branch)
  }

  delete(channel: SipChannel, branch: Waiting): void {
    const waiting = this.#byChannel.get(channel)
    waiting?.delete(branch)
    if (waiting?.size === 0) this.#byChannel.delete(channel)
  }

  failed(channel: SipChannel): void {
    const waiting = this.#byChannel.get(channel)
    this.#byChannel.delete(channel)
    if (waiting !== undefined) for (const branch of waiting) branch.channelFailed()
  }
}
