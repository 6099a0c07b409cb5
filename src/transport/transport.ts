import assert from 'node:assert/strict'
import { Buffer } from 'node:buffer'
import type { Ticker } from '../clock.ts'
import type { Protocol } from '../config/address.ts'
import type { Config, ListenConfig } from '../config/schema.ts'
import type { Address, ConnectionId, ConnectionSlot, LaneIndex } from '../ids.ts'
import type { Logger } from '../log.ts'
import { C, type CounterKey } from '../metrics/counters.ts'
import { type Connections, INPUT_WINDOW, nextConnectionId, QUEUE_MAX, slotOf } from '../workers/connections.ts'
import { sourceHash } from '../workers/datagram.ts'
import type { CloseReason, LaneFeed, NextHop } from '../workers/lane-port.ts'
import { type MemoryMap, READ_OCTETS } from '../workers/memory.ts'
import { giveSegment, segmentCapacity } from '../workers/segments.ts'
import type { Channel, EndReason } from './channel.ts'
import { Connection, type ConnectionKeeper } from './connection.ts'
import { type Listener, type OpenListener, openListener } from './listener.ts'
import { type OnConnected, Outgoing } from './outgoing.ts'
import { readClientContext } from './secure.ts'

export type { Listener }

/** How long a closing connection may take to send what is left, milliseconds. */
const LINGER_MS = 5000
/** How long after a lane had no room for octets they are offered once more, milliseconds: far less than it needs for a full ring. */
const RETRY_MS = 1
/** Below this, lanes that wait for a receiver are told to go on. */
const QUEUE_LOW = QUEUE_MAX / 2

const dropCounters: Readonly<Record<CloseReason, CounterKey | null>> = {
  malformed: 'connectionsDroppedMalformed',
  foreign: 'connectionsDroppedMalformed',
  probation: 'connectionsDroppedProbation',
  misdirected: 'connectionsDroppedMalformed',
  pressure: 'connectionsDroppedPressure',
  routing: null,
}

// Cells of the frame path: a constant is cheaper than looking it up in the table of all cells each time.
const READS = C.reads
const READ_OCTETS_TOTAL = C.readOctets
const WRITES = C.writes
const WRITTEN_OCTETS = C.writtenOctets

/**
 * All sockets of the process. Octets that come in go to the lane of their connection; what lanes send goes out; neither
 * is ever looked at here.
 */
export class Transport {
  readonly #config: Config
  readonly #log: Logger
  readonly #clock: Ticker
  readonly #connections: Connections
  readonly #row: Float64Array
  readonly #words: Int32Array
  readonly #memory: Buffer
  readonly #give = (segment: Address) => giveSegment(this.#words, segment)
  readonly #readBuffer: Uint8Array
  readonly #readAddress: Address
  readonly #listeners: OpenListener[] = []
  /** What was accepted before the lanes were there. */
  #early: (() => void)[] | null = []
  #feeds: readonly LaneFeed[] = []
  readonly #maxConnections: number
  // By slot, of which there are as many as connections were open at a time: the connection, and the id the slot had last.
  readonly #slots: (Connection | undefined)[] = []
  readonly #ids: Int32Array
  readonly #freeSlots: ConnectionSlot[] = []
  #count = 0
  #nextLane = 0
  readonly #suspended = new Set<LaneIndex>()
  readonly #outgoing: Outgoing
  /** What they have read found no room on the way to their lanes; the first have waited longest. */
  #stalled: Connection[] = []
  #retryTimer: NodeJS.Timeout | null = null
  readonly #drained = new Map<LaneIndex, Set<ConnectionId>>()
  #telling = false
  #closed = false
  readonly #stopTicking: () => void
  /** Milliseconds since the Unix epoch, to the second: when a connection was last used. */
  #now: number
  #onIdle: (() => void) | null = null
  readonly #keeper: ConnectionKeeper = {
    received: (connection, octets) => this.#received(connection, octets),
    peerEnded: (connection) => this.#peerEnded(connection),
    failed: ({ peer }, { message }) => this.#log.debug({ peer, err: message }, 'connection failed'),
    gone: (connection) => this.#gone(connection),
    release: ({ id }, segment) => this.#release(id, segment),
  }
  /** Told of every connection that has closed. */
  onClosed: ((connection: ConnectionId) => void) | null = null

  /** @throws SilopathError CONFIG_INVALID for the certificates of connections that we make */
  constructor(
    config: Config,
    map: MemoryMap,
    memory: WebAssembly.Memory,
    connections: Connections,
    row: Float64Array,
    { log, clock }: { log: Logger; clock: Ticker },
  ) {
    this.#config = config
    this.#log = log
    this.#clock = clock
    this.#connections = connections
    this.#row = row
    this.#memory = Buffer.from(memory.buffer as unknown as ArrayBuffer)
    this.#words = new Int32Array(memory.buffer)
    this.#readAddress = map.readBuffer
    this.#readBuffer = new Uint8Array(memory.buffer, map.readBuffer, READ_OCTETS)
    this.#maxConnections = map.maxConnections
    this.#ids = new Int32Array(map.maxConnections)
    this.#now = clock.now()
    this.#outgoing = new Outgoing({
      log,
      readBuffer: this.#readBuffer,
      timeoutMs: config.msrp.peer_connect_timeout * 1000,
      secure: readClientContext(config),
      adopt: (channel, { protocol }, key) => this.#connected(channel, protocol, key),
      isWritable: (id) => this.#connection(id)?.writable ?? false,
    })
    this.#stopTicking = clock.every(1000, () => this.#tick())
  }

  /** Connections that are open or being closed. */
  get count(): number {
    return this.#count
  }

  /** Address and port of the peer, for logs and session records. */
  peer(connection: ConnectionId): string {
    return this.#connection(connection)?.peer ?? 'gone'
  }

  /**
   * Opens a listener. Connections wait until `start`.
   * @throws SilopathError LISTEN_FAILED, or CONFIG_INVALID for its certificates
   */
  async listen(config: ListenConfig): Promise<Listener> {
    const index = this.#listeners.length
    const listener = await openListener(config, {
      log: this.#log,
      row: this.#row,
      readBuffer: this.#readBuffer,
      maxConnections: this.#maxConnections,
      accept: (channel, protocol) => {
        if (this.#early === null) this.#accept(channel, index, protocol)
        else if (this.#early.length < this.#maxConnections)
          this.#early.push(() => this.#accept(channel, index, protocol))
        else channel.destroy()
      },
    })
    this.#listeners.push(listener)
    return listener
  }

  /** The lanes are there: connections are given to them from now on. */
  start(feeds: readonly LaneFeed[]): void {
    this.#feeds = feeds
    const early = this.#early ?? []
    this.#early = null
    for (const accept of early) accept()
    for (const [index, { datagrams }] of this.#listeners.entries()) {
      datagrams?.start(
        this.#readBuffer,
        (octets, address, port) => this.#receivedDatagram(index, octets, address, port),
        this.#give,
        this.#log,
      )
    }
  }

  /** Stops accepting, sends what is queued, and closes everything, within LINGER_MS. */
  async close(): Promise<void> {
    this.#stopTicking()
    this.#closed = true
    // Nobody reads them: what was accepted early is closed.
    for (const accept of this.#early ?? []) accept()
    this.#early = null
    for (const listener of this.#listeners) listener.close()
    this.#outgoing.close()
    for (const connection of this.#slots) if (connection !== undefined) this.#finish(connection, 'shutdown')
    if (this.#count === 0) return
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#onIdle = resolve
    await promise
  }

  // What lanes ask for (LanePort), from whichever thread it comes.

  write(id: ConnectionId, segment: Address, octets: number): void {
    const connection = this.#connection(id)
    if (connection === null || !connection.writable) {
      if (octets > 0) this.#row[C.droppedClosedConnection]! += 1
      this.#release(id, segment)
      return
    }
    connection.usedAt = this.#now
    this.#row[WRITES]! += 1
    this.#row[WRITTEN_OCTETS]! += octets
    connection.write(this.#memory.subarray(segment, segment + octets), segment)
  }

  closeConnection(id: ConnectionId, reason: CloseReason): void {
    const connection = this.#connection(id)
    if (connection === null) return
    const counter = dropCounters[reason]
    if (counter !== null) this.#row[C[counter]]! += 1
    if (reason !== 'routing') this.#log.info({ peer: connection.peer, reason }, 'connection dropped')
    this.#finish(connection, reason)
  }

  resume(id: ConnectionId): void {
    const connection = this.#connection(id)
    if (connection?.paused) this.#unpause(connection)
  }

  /** The lane has forgotten the connection. */
  released(id: ConnectionId): void {
    const connection = this.#connection(id)
    if (connection === null) return
    connection.released = true
    if (connection.gone) this.#freeSlot(connection)
    // The peer had ended its side: everything it asked for has been answered.
    else this.#finish(connection, 'done')
  }

  /** Sends a datagram from a listener's socket and gives the segment back. */
  datagram(listener: number, segment: Address, octets: number): void {
    const datagrams = this.#listeners[listener]?.datagrams
    if (datagrams) datagrams.send(this.#memory, segment, octets)
    else this.#give(segment)
  }

  /** Connects to a next hop, or finds the connection that is there. `answer` gets 0 when there is none. */
  connect(hop: NextHop, answer: OnConnected): void {
    this.#outgoing.connect(hop, answer)
  }

  /** A lane has died: all its connections end, nothing more is expected from it, and others get the new ones. */
  suspendLane(lane: LaneIndex): void {
    this.#suspended.add(lane)
    for (const connection of this.#slots) {
      if (connection?.lane !== lane) continue
      connection.closing = true
      connection.closedToLane = true
      connection.released = true
      connection.held = []
      if (connection.gone) this.#freeSlot(connection)
      else connection.channel.destroy()
    }
  }

  /** A new worker runs the lane. */
  resumeLane(lane: LaneIndex, feed: LaneFeed): void {
    this.#feeds = this.#feeds.with(lane, feed)
    this.#suspended.delete(lane)
  }

  /** Segments between two addresses whose octets have not left. */
  heldSegments(from: Address, to: Address): Address[] {
    const held = [
      ...this.#slots.flatMap((connection) => connection?.pending ?? []),
      ...this.#listeners.flatMap(({ datagrams }) => [...(datagrams?.pending ?? [])]),
    ]
    return held.filter((segment) => segment >= from && segment < to)
  }

  #connection(id: ConnectionId): Connection | null {
    const connection = this.#slots[slotOf(id)]
    return connection !== undefined && connection.id === id ? connection : null
  }

  #accept(channel: Channel, listener: number, protocol: Protocol | null): void {
    const connection = this.#closed ? null : this.#adopt(channel, listener, protocol)
    this.#row[connection === null ? C.connectionsRefused : C.connectionsAccepted]! += 1
    if (connection === null) channel.destroy()
  }

  /** A connection that we have made. */
  #connected(channel: Channel, protocol: Protocol, key: string): ConnectionId | 0 {
    this.#row[C.connectionsConnectedOut]! += 1
    const connection = this.#adopt(channel, -1, protocol)
    if (connection === null) return 0
    connection.outgoingKey = key
    return connection.id
  }

  /** Gives a channel a slot and a lane, and begins to read it; null when there is none. */
  #adopt(channel: Channel, listener: number, protocol: Protocol | null): Connection | null {
    const lane = this.#pickLane()
    if (lane === null) return null
    const slot =
      this.#freeSlots.pop() ??
      (this.#slots.length < this.#maxConnections ? (this.#slots.length as ConnectionSlot) : null)
    if (slot === null) return null
    const id = nextConnectionId(slot, this.#ids[slot]!)
    this.#ids[slot] = id
    const connection = new Connection(id, lane, channel, this.#now, this.#keeper)
    this.#slots[slot] = connection
    this.#count++
    this.#row[C.connectionsOpen] = this.#count
    this.#connections.open(id, lane, channel.framed)
    const feed = this.#feeds[lane]!
    const { transport, address, port } = channel
    feed.opened(id, { listener, transport, protocol, address, port })
    feed.flush()
    channel.start(connection)
    return connection
  }

  /** Lanes take turns; null when none runs. */
  #pickLane(): LaneIndex | null {
    const lanes = this.#feeds.length
    for (let i = 0; i < lanes; i++) {
      const lane = (this.#nextLane++ % lanes) as LaneIndex
      if (!this.#suspended.has(lane)) return lane
    }
    return null
  }

  /** Datagrams of one source all go to one lane, while it runs (S-22). */
  #receivedDatagram(listener: number, octets: number, address: string, port: number): void {
    const lane = this.#laneOf(address, port)
    if (lane === null || !this.#feeds[lane]!.datagram(listener, this.#readAddress, octets)) {
      this.#row[C.datagramsDropped]! += 1
      return
    }
    this.#feeds[lane]!.flush()
  }

  #laneOf(address: string, port: number): LaneIndex | null {
    const lanes = this.#feeds.length
    const hash = sourceHash(address, port)
    for (let i = 0; i < lanes; i++) {
      const lane = ((hash + i) % lanes) as LaneIndex
      if (!this.#suspended.has(lane)) return lane
    }
    return null
  }

  #received(connection: Connection, octets: number): void {
    connection.usedAt = this.#now
    this.#row[READS]! += 1
    this.#row[READ_OCTETS_TOTAL]! += octets
    if (connection.closing || connection.closedToLane) return
    // A WebSocket that is paused still tells the messages it had read.
    if (connection.paused) connection.hold(Buffer.from(this.#readBuffer.subarray(0, octets)))
    else this.#deliver(connection, octets)
  }

  /** Gives what lies in the read buffer to the connection's lane, and stops reading when the lane owes too much. */
  #deliver(connection: Connection, octets: number): void {
    const feed = this.#feeds[connection.lane]!
    const { id, channel } = connection
    const address = this.#readAddress
    if (!(channel.framed ? feed.message(id, address, octets) : feed.data(id, address, octets))) {
      // No room on the way to the lane: what has been read is kept, and nothing more is read until it is taken.
      connection.putBack(Buffer.from(this.#readBuffer.subarray(0, octets)))
      this.#pause(connection)
      connection.retrying = true
      this.#stalled.push(connection)
      this.#retryTimer ??= setTimeout(this.#retry, RETRY_MS)
      return
    }
    feed.flush()
    connection.delivered = (connection.delivered + octets) | 0
    if (this.#connections.owed(id, connection.delivered) < INPUT_WINDOW) return
    this.#pause(connection)
    this.#connections.hunger(id)
    // It may have been worked off before the lane saw that we wait.
    if (this.#connections.owed(id, connection.delivered) < INPUT_WINDOW) this.#unpause(connection)
  }

  /** Tries once more to give away what found no room, of each lane until there is none again. */
  readonly #retry = (): void => {
    this.#retryTimer = null
    const stalled = this.#stalled
    this.#stalled = []
    let full = 0
    for (const connection of stalled) {
      if (!connection.retrying || connection.gone) continue
      if ((full & (1 << connection.lane)) === 0) {
        connection.retrying = false
        this.#unpause(connection)
        // It has gone to the end of those that wait.
        if (connection.retrying) full |= 1 << connection.lane
      } else this.#stalled.push(connection)
    }
    if (this.#stalled.length > 0) this.#retryTimer ??= setTimeout(this.#retry, RETRY_MS)
  }

  #pause(connection: Connection): void {
    if (connection.paused) return
    connection.paused = true
    connection.channel.pause()
    this.#row[C.readsPaused]! += 1
  }

  /** Gives the lane what is held, then reads on, unless that was too much for it again. */
  #unpause(connection: Connection): void {
    if (!connection.paused || connection.retrying) return
    connection.paused = false
    this.#row[C.readsPaused]! -= 1
    while (connection.held.length > 0 && !connection.paused) {
      const octets = connection.held.shift()!
      this.#readBuffer.set(octets)
      this.#deliver(connection, octets.length)
    }
    if (!connection.paused) connection.channel.resume()
  }

  /** A segment's octets have left, or never will. */
  #release(id: ConnectionId, segment: Address): void {
    this.#connections.written(id, segmentCapacity(this.#words, segment))
    giveSegment(this.#words, segment)
    const waiters = this.#connections.waiting(id) <= QUEUE_LOW ? this.#connections.takeWaiters(id) : 0
    if (waiters !== 0) this.#tellDrained(id, waiters)
  }

  /** Tells lanes that a receiver has drained, once the caller, which may be such a lane, has returned. */
  #tellDrained(id: ConnectionId, waiters: number): void {
    for (let lane = 0; lane < this.#feeds.length; lane++) {
      if ((waiters & (1 << lane)) === 0) continue
      const set = this.#drained.get(lane as LaneIndex)
      if (set === undefined) this.#drained.set(lane as LaneIndex, new Set([id]))
      else set.add(id)
    }
    if (this.#telling) return
    this.#telling = true
    setImmediate(() => {
      this.#telling = false
      const drained = [...this.#drained]
      this.#drained.clear()
      for (const [lane, ids] of drained) {
        if (this.#suspended.has(lane)) continue
        const feed = this.#feeds[lane]!
        for (const one of ids) feed.drained(one)
        feed.flush()
      }
    })
  }

  /** The peer sends no more: its lane answers what is left, then the connection ends. */
  #peerEnded(connection: Connection): void {
    if (connection.closedToLane) return
    if (connection.held.length > 0) {
      setTimeout(() => this.#peerEnded(connection), 1)
      return
    }
    this.#closeToLane(connection)
  }

  #closeToLane(connection: Connection): void {
    // A lane that goes on answering who only sends no more hears once again when the connection is gone.
    if (connection.closedToLane && (!connection.gone || connection.released)) return
    connection.closedToLane = true
    if (this.#suspended.has(connection.lane)) return
    const feed = this.#feeds[connection.lane]!
    feed.closed(connection.id)
    feed.flush()
  }

  /**
   * Sends what is queued, then ends the connection. What still comes is read and thrown away until the peer ends its
   * side: closing with octets unread would make the kernel reset the connection, and the peer lose what it had not read.
   */
  #finish(connection: Connection, reason: EndReason): void {
    if (connection.closing) return
    const { channel } = connection
    connection.closing = true
    connection.held = []
    connection.retrying = false
    if (channel.destroyed) return
    this.#unpause(connection)
    channel.end(reason)
    connection.linger = setTimeout(() => channel.destroy(), LINGER_MS)
  }

  /** The socket is gone. */
  #gone(connection: Connection): void {
    const { id } = connection
    connection.gone = true
    if (connection.linger !== null) clearTimeout(connection.linger)
    if (connection.paused) this.#row[C.readsPaused]! -= 1
    this.#row[C.connectionsClosed]! += 1
    if (connection.outgoingKey !== null) this.#outgoing.gone(connection.outgoingKey, id)
    this.#connections.close(id)
    this.onClosed?.(id)
    connection.releaseAll()
    const waiters = this.#connections.takeWaiters(id)
    if (waiters !== 0) this.#tellDrained(id, waiters)
    this.#closeToLane(connection)
    if (connection.released) this.#freeSlot(connection)
  }

  /** Gone, and forgotten by its lane: the slot may be used again. */
  #freeSlot(connection: Connection): void {
    const slot = slotOf(connection.id)
    if (this.#slots[slot] !== connection) return
    assert(connection.gone && connection.released)
    this.#slots[slot] = undefined
    this.#freeSlots.push(slot)
    this.#count--
    this.#row[C.connectionsOpen] = this.#count
    if (this.#count === 0) this.#onIdle?.()
  }

  /** connections that nobody uses are closed, ours to foreign next hops sooner. */
  #tick(): void {
    this.#now = this.#clock.now()
    const { idle_timeout, peer_idle_timeout } = this.#config.msrp
    // By index, since an iterator makes an object of each: with many connections that would be garbage enough to keep an
    // idle process from ever giving memory back.
    for (let slot = 0; slot < this.#slots.length; slot++) {
      const connection = this.#slots[slot]
      if (connection === undefined || connection.closing) continue
      if (!connection.paused) connection.channel.beat(this.#now)
      const limit = connection.outgoingKey === null ? idle_timeout : peer_idle_timeout
      if (this.#now - connection.usedAt < limit * 1000) continue
      this.#row[C.connectionsDroppedIdle]! += 1
      this.#finish(connection, 'idle')
    }
  }
}
