import assert from 'node:assert/strict'
import { createConnection, createServer, type Server, type Socket } from 'node:net'
import type { Ticker } from '../clock.ts'
import { formatEndpoint } from '../config/address.ts'
import type { Config, ListenConfig } from '../config/schema.ts'
import { SilopathError } from '../errors.ts'
import type { Address, ConnectionId, ConnectionSlot, LaneIndex } from '../ids.ts'
import type { Logger } from '../log.ts'
import { C, type CounterKey } from '../metrics/counters.ts'
import { type Connections, INPUT_WINDOW, nextConnectionId, QUEUE_MAX, slotOf } from '../workers/connections.ts'
import type { CloseReason, LaneFeed } from '../workers/lane-port.ts'
import { type MemoryMap, READ_OCTETS } from '../workers/memory.ts'
import { giveSegment, segmentCapacity } from '../workers/segments.ts'
import { Connection } from './connection.ts'
import { type OnRead, readInto, readOptions } from './socket.ts'

/** How long a closing connection may take to send what is left, milliseconds. */
const LINGER_MS = 5000
/** Below this, lanes that wait for a receiver are told to go on. */
const QUEUE_LOW = QUEUE_MAX / 2

const dropCounters: Readonly<Record<CloseReason, CounterKey | null>> = {
  malformed: 'connectionsDroppedMalformed',
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

/** A listener that accepts. */
export interface Listener {
  readonly config: ListenConfig
  /** The port it really has. */
  readonly port: number
}

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
  readonly #buffer: SharedArrayBuffer
  readonly #readBuffer: Uint8Array
  readonly #readAddress: Address
  /** Octets that a lane may owe for a connection that is still read. */
  readonly #window: number
  readonly #servers: Server[] = []
  /** Sockets accepted before the lanes were there. */
  #early: { socket: Socket; listener: number }[] | null = []
  #feeds: readonly LaneFeed[] = []
  // By slot: the connection, and the id the slot had last.
  readonly #slots: (Connection | undefined)[]
  readonly #ids: Int32Array
  readonly #freeSlots: ConnectionSlot[] = []
  #freshSlot = 0
  #count = 0
  #nextLane = 0
  readonly #suspended = new Set<LaneIndex>()
  /** Connections we made, by host and port, to be used again (M-80). */
  readonly #outgoing = new Map<string, ConnectionId | { readonly waiting: ((id: ConnectionId | 0) => void)[] }>()
  /** Connections that are being made. */
  readonly #connecting = new Set<Socket>()
  readonly #drained = new Map<LaneIndex, Set<ConnectionId>>()
  #telling = false
  readonly #stopTicking: () => void
  /** Milliseconds since the Unix epoch, to the second: when a connection was last used. */
  #now: number
  #onIdle: (() => void) | null = null

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
    this.#buffer = memory.buffer
    this.#words = new Int32Array(memory.buffer)
    this.#readAddress = map.readBuffer
    this.#readBuffer = new Uint8Array(memory.buffer, map.readBuffer, READ_OCTETS)
    this.#window = config.workers === 0 ? 1 : INPUT_WINDOW
    this.#slots = new Array(map.maxConnections)
    this.#ids = new Int32Array(map.maxConnections)
    this.#now = clock.now()
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

  /** Opens a listener. Connections wait until `start`. */
  async listen(config: ListenConfig): Promise<Listener> {
    const listener = this.#servers.length
    const server = createServer({ pauseOnConnect: true, allowHalfOpen: true, noDelay: true }, (socket) => {
      if (this.#early !== null) this.#early.push({ socket, listener })
      else this.#accept(socket, listener)
    })
    this.#servers.push(server)
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    server.once('error', reject)
    server.listen({ host: config.host, port: config.port, backlog: 4096 }, resolve)
    try {
      await promise
    } catch (cause) {
      const { code, message } = cause as NodeJS.ErrnoException
      const remedy = code === 'EADDRINUSE' ? 'Remedy: stop what uses the port, or listen on another' : message
      throw new SilopathError('LISTEN_FAILED', `cannot listen on ${config.url}: ${code}. ${remedy}`, { cause })
    }
    server.off('error', reject)
    server.on('error', (err) => this.#log.error({ err, url: config.url }, 'a listener failed'))
    return { config, port: (server.address() as { port: number }).port }
  }

  /** The lanes are there: connections are given to them from now on. */
  start(feeds: readonly LaneFeed[]): void {
    this.#feeds = feeds
    const early = this.#early ?? []
    this.#early = null
    for (const { socket, listener } of early) this.#accept(socket, listener)
  }

  /** Stops accepting, sends what is queued, and closes everything, within LINGER_MS. */
  async close(): Promise<void> {
    this.#stopTicking()
    for (const { socket } of this.#early ?? []) socket.destroy()
    this.#early = null
    for (const server of this.#servers) server.close()
    for (const socket of this.#connecting) socket.destroy(new Error('the server is closing'))
    for (const connection of this.#slots) if (connection !== undefined) this.#finish(connection)
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
    connection.write(Buffer.from(this.#buffer as unknown as ArrayBuffer, segment, octets), segment)
  }

  closeConnection(id: ConnectionId, reason: CloseReason): void {
    const connection = this.#connection(id)
    if (connection === null) return
    const counter = dropCounters[reason]
    if (counter !== null) this.#row[C[counter]]! += 1
    if (reason !== 'routing') this.#log.info({ peer: connection.peer, reason }, 'connection dropped')
    this.#finish(connection)
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
    else this.#finish(connection)
  }

  /** Connects to a next hop, or finds the connection that is there. `answer` gets 0 when there is none. */
  connect(host: string, port: number, answer: (id: ConnectionId | 0) => void): void {
    const key = formatEndpoint({ host, port })
    const known = this.#outgoing.get(key)
    if (typeof known === 'number' && this.#connection(known)?.writable) {
      answer(known)
      return
    }
    if (typeof known === 'object') {
      known.waiting.push(answer)
      return
    }
    const waiting = [answer]
    this.#outgoing.set(key, { waiting })
    const reader: { onRead: OnRead } = { onRead: () => {} }
    const socket = createConnection({
      host,
      port,
      noDelay: true,
      allowHalfOpen: true,
      ...readOptions(this.#readBuffer, (octets) => reader.onRead(octets)),
    })
    this.#connecting.add(socket)
    socket.once('close', () => this.#connecting.delete(socket))
    const settle = (id: ConnectionId | 0) => {
      clearTimeout(timer)
      this.#connecting.delete(socket)
      if (id === 0) {
        this.#outgoing.delete(key)
        socket.destroy()
      } else this.#outgoing.set(key, id)
      for (const one of waiting) one(id)
    }
    const timer = setTimeout(() => settle(0), this.#config.msrp.peer_connect_timeout * 1000)
    const failed = (err: Error) => {
      this.#log.info({ peer: key, err: err.message }, 'next hop unreachable')
      settle(0)
    }
    socket.once('error', failed)
    socket.once('connect', () => {
      socket.off('error', failed)
      this.#row[C.connectionsConnectedOut]! += 1
      const connection = this.#adopt(socket, -1)
      if (connection === null) {
        settle(0)
        return
      }
      connection.outgoingKey = key
      reader.onRead = (octets) => this.#received(connection, octets)
      settle(connection.id)
    })
  }

  /** A lane has died: all its connections end, nothing more is expected from it, and others get the new ones. */
  suspendLane(lane: LaneIndex): void {
    this.#suspended.add(lane)
    for (const connection of this.#slots) {
      if (connection?.lane !== lane) continue
      connection.closing = true
      connection.closedToLane = true
      connection.released = true
      if (connection.gone) this.#freeSlot(connection)
      else connection.socket.destroy()
    }
  }

  /** A new worker runs the lane. */
  resumeLane(lane: LaneIndex, feed: LaneFeed): void {
    this.#feeds = this.#feeds.with(lane, feed)
    this.#suspended.delete(lane)
  }

  /** Segments between two addresses whose octets have not left. */
  heldSegments(from: Address, to: Address): Address[] {
    const held = this.#slots.flatMap((connection) => connection?.pending ?? [])
    return held.filter((segment) => segment >= from && segment < to)
  }

  #connection(id: ConnectionId): Connection | null {
    const connection = this.#slots[slotOf(id)]
    return connection !== undefined && connection.id === id ? connection : null
  }

  #accept(accepted: Socket, listener: number): void {
    const reader: { onRead: OnRead } = { onRead: () => {} }
    const socket = readInto(accepted, this.#readBuffer, (octets) => reader.onRead(octets))
    const connection = this.#adopt(socket, listener)
    if (connection === null) {
      this.#row[C.connectionsRefused]! += 1
      socket.destroy()
      return
    }
    this.#row[C.connectionsAccepted]! += 1
    reader.onRead = (octets) => this.#received(connection, octets)
    // Begins to read, and goes on reading.
    socket.resume()
  }

  /** Gives a socket a slot and a lane; null when there is none. */
  #adopt(socket: Socket, listener: number): Connection | null {
    const lane = this.#pickLane()
    if (lane === null) return null
    const slot =
      this.#freeSlots.pop() ?? (this.#freshSlot < this.#slots.length ? (this.#freshSlot++ as ConnectionSlot) : null)
    if (slot === null) return null
    const id = nextConnectionId(slot, this.#ids[slot]!)
    this.#ids[slot] = id
    const connection = new Connection(id, lane, socket, this.#now, (segment) => this.#release(id, segment))
    this.#slots[slot] = connection
    this.#count++
    this.#row[C.connectionsOpen] = this.#count
    this.#connections.open(id, lane)
    const feed = this.#feeds[lane]!
    feed.opened(id, listener)
    feed.flush()
    socket.on('end', () => this.#peerEnded(connection))
    socket.on('error', (err) => this.#log.debug({ peer: connection.peer, err: err.message }, 'connection failed'))
    socket.on('close', () => this.#gone(connection))
    if (listener < 0) socket.resume()
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

  #received(connection: Connection, octets: number): void {
    connection.usedAt = this.#now
    this.#row[READS]! += 1
    this.#row[READ_OCTETS_TOTAL]! += octets
    this.#deliver(connection, this.#readAddress, octets)
  }

  /** Gives octets to the connection's lane, and stops reading when the lane owes too much. */
  #deliver(connection: Connection, address: Address, octets: number): void {
    const feed = this.#feeds[connection.lane]!
    const { id } = connection
    if (connection.closing || connection.closedToLane) return
    if (!feed.data(id, address, octets)) {
      // No room on the way to the lane: what has been read is kept, and nothing more is read until it is taken.
      connection.held = Buffer.from(this.#readBuffer.subarray(0, octets))
      this.#pause(connection)
      setTimeout(() => this.#deliverHeld(connection), 1)
      return
    }
    feed.flush()
    connection.delivered = (connection.delivered + octets) | 0
    if (this.#connections.owed(id, connection.delivered) < this.#window) return
    this.#pause(connection)
    this.#connections.hunger(id)
    // It may have been worked off before the lane saw that we wait.
    if (this.#connections.owed(id, connection.delivered) < this.#window) this.#unpause(connection)
  }

  #deliverHeld(connection: Connection): void {
    const held = connection.held
    if (held === null || connection.gone) return
    connection.held = null
    this.#unpause(connection)
    this.#readBuffer.set(held)
    this.#deliver(connection, this.#readAddress, held.length)
  }

  #pause(connection: Connection): void {
    if (connection.paused) return
    connection.paused = true
    connection.socket.pause()
    this.#row[C.readsPaused]! += 1
  }

  #unpause(connection: Connection): void {
    if (!connection.paused || connection.held !== null) return
    connection.paused = false
    connection.socket.resume()
    this.#row[C.readsPaused]! -= 1
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
    if (connection.held !== null) {
      setTimeout(() => this.#peerEnded(connection), 1)
      return
    }
    this.#closeToLane(connection)
  }

  #closeToLane(connection: Connection): void {
    if (connection.closedToLane) return
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
  #finish(connection: Connection): void {
    if (connection.closing) return
    connection.closing = true
    connection.held = null
    if (connection.socket.destroyed) return
    this.#unpause(connection)
    connection.socket.end()
    connection.linger = setTimeout(() => connection.socket.destroy(), LINGER_MS)
  }

  /** The socket is gone. */
  #gone(connection: Connection): void {
    const { id } = connection
    connection.gone = true
    if (connection.linger !== null) clearTimeout(connection.linger)
    if (connection.paused) this.#row[C.readsPaused]! -= 1
    this.#row[C.connectionsClosed]! += 1
    if (connection.outgoingKey !== null && this.#outgoing.get(connection.outgoingKey) === id) {
      this.#outgoing.delete(connection.outgoingKey)
    }
    this.#connections.close(id)
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
    for (const connection of this.#slots) {
      if (connection === undefined || connection.closing) continue
      const limit = connection.outgoingKey === null ? idle_timeout : peer_idle_timeout
      if (this.#now - connection.usedAt < limit * 1000) continue
      this.#row[C.connectionsDroppedIdle]! += 1
      this.#finish(connection)
    }
  }
}
