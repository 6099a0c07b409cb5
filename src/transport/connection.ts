import type { Buffer } from 'node:buffer'
import { formatEndpoint } from '../config/address.ts'
import type { Address, ConnectionId, LaneIndex } from '../ids.ts'
import type { Channel, ChannelEvents } from './channel.ts'
import type { Writer } from './direct-write.ts'

/** What a connection tells the one who keeps it: one for all of them, so that each takes no memory for it. */
export interface ConnectionKeeper {
  received(connection: Connection, octets: number): void
  peerEnded(connection: Connection): void
  failed(connection: Connection, error: Error): void
  gone(connection: Connection): void
  /** A segment's octets have left, or never will. */
  release(connection: Connection, segment: Address): void
}

/** What all connections hold that hold nothing. */
const none = Object.freeze([] as never[]) as never[]

/**
 * One channel and what is on its way through it. It ends in steps, each with its flag: `closing`, nothing more is read;
 * `closedToLane`, the lane has been told; `gone`, the socket is closed; `released`, the lane has forgotten it. Only a
 * connection that is gone and released gives its slot back.
 */
export class Connection implements ChannelEvents, Writer {
  readonly id: ConnectionId
  readonly lane: LaneIndex
  readonly channel: Channel
  readonly peer: string
  /** When octets last went in or out, milliseconds since the Unix epoch. */
  usedAt: number
  /** Octets given to the lane, modulo 2^32. */
  delivered = 0
  paused = false
  /**
   * What has been read and not given to the lane, oldest first: what found no room on the way, and messages that a
   * WebSocket had read already when it was paused. Together less than two reads.
   */
  held: Buffer[] = none
  /** It will try again soon to give away what it holds. */
  retrying = false
  closing = false
  closedToLane = false
  gone = false
  released = false
  linger: NodeJS.Timeout | null = null
  /** Where it leads, if we made the connection; see hopKey. */
  outgoingKey: string | null = null
  readonly #keeper: ConnectionKeeper
  /** Segments whose octets have not left yet: the oldest (0: none), which mostly is alone, and those after it. */
  #oldest: Address | 0 = 0
  #younger: Address[] = none
  /** Callbacks still to come for writes whose segments have been given back. */
  #settled = 0

  constructor(id: ConnectionId, lane: LaneIndex, channel: Channel, now: number, keeper: ConnectionKeeper) {
    this.id = id
    this.lane = lane
    this.channel = channel
    this.peer = formatEndpoint({ host: channel.address, port: channel.port })
    this.usedAt = now
    this.#keeper = keeper
  }

  get writable(): boolean {
    return !this.closing && !this.gone && this.channel.writable
  }

  hold(octets: Buffer): void {
    if (this.held.length === 0) this.held = [octets]
    else this.held.push(octets)
  }

  putBack(octets: Buffer): void {
    if (this.held.length === 0) this.held = [octets]
    else this.held.unshift(octets)
  }

  /** Sends octets that lie in a segment. Nearly always they have left when this returns. */
  write(octets: Buffer, segment: Address): void {
    if (this.#oldest === 0) this.#oldest = segment
    else if (this.#younger.length === 0) this.#younger = [segment]
    else this.#younger.push(segment)
    if (this.channel.write(octets, this)) this.#settled += this.releaseAll()
  }

  /** Gives all segments back: their octets have left, or never will. Returns how many there were. */
  releaseAll(): number {
    let count = 0
    for (let segment = this.#takeOldest(); segment !== 0; segment = this.#takeOldest()) {
      this.#keeper.release(this, segment)
      count++
    }
    return count
  }

  /** Segments that wait here. */
  get pending(): readonly Address[] {
    return this.#oldest === 0 ? [] : [this.#oldest, ...this.#younger]
  }

  #takeOldest(): Address | 0 {
    const segment = this.#oldest
    this.#oldest = this.#younger.length === 0 ? 0 : this.#younger.shift()!
    return segment
  }

  received(octets: number): void {
    this.#keeper.received(this, octets)
  }

  ended(): void {
    this.#keeper.peerEnded(this)
  }

  failed(error: Error): void {
    this.#keeper.failed(this, error)
  }

  closed(): void {
    this.#keeper.gone(this)
  }

  written(): void {
    if (this.#settled > 0) {
      this.#settled--
      return
    }
    const segment = this.#takeOldest()
    if (segment !== 0) this.#keeper.release(this, segment)
  }
}
