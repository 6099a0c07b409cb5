import { TransientMap } from '../../transient-map.ts'
import type { SipChannel } from '../transactions/channel.ts'

interface Waiting {
  /** Where it is in the list of its channel, while it waits. */
  place: number
  /** No answer can come any more by the channel that the request went out by. */
  channelFailed(): void
}

/** Which branches wait for an answer by which connection, so that none waits for one that has closed (S-49, S-71). */
export class WaitingBranches {
  readonly #byChannel = new TransientMap<SipChannel, Waiting[]>()

  /** Connections that are waited for. */
  get channels(): number {
    return this.#byChannel.size
  }

  /** @param branch waits for no other channel */
  add(channel: SipChannel, branch: Waiting): void {
    // Datagrams have no end that anybody would be told of.
    if (!channel.reliable) return
    const waiting = this.#byChannel.get(channel)
    if (waiting === undefined) {
      branch.place = 0
      this.#byChannel.set(channel, [branch])
    } else branch.place = waiting.push(branch) - 1
  }

  delete(channel: SipChannel, branch: Waiting): void {
    const waiting = this.#byChannel.get(channel)
    if (waiting?.[branch.place] !== branch) return
    const last = waiting.pop()!
    if (last !== branch) {
      waiting[branch.place] = last
      last.place = branch.place
    } else if (waiting.length === 0) this.#byChannel.delete(channel)
  }

  failed(channel: SipChannel): void {
    const waiting = this.#byChannel.get(channel)
    this.#byChannel.delete(channel)
    if (waiting !== undefined) for (const branch of waiting) branch.channelFailed()
  }
}
