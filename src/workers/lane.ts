import assert from 'node:assert/strict'
import { performance } from 'node:perf_hooks'
import { Authenticator } from '../auth/authenticator.ts'
import { NonceCounts, Nonces } from '../auth/nonce.ts'
import { createSources, type Sources } from '../auth/sources.ts'
import type { Ticker } from '../clock.ts'
import type { Config } from '../config/schema.ts'
import type { Address, ConnectionId, LaneIndex } from '../ids.ts'
import type { Logger } from '../log.ts'
import { C, countHandling } from '../metrics/counters.ts'
import { MsrpConnection } from '../msrp/connection.ts'
import type { LaneServices } from '../msrp/context.ts'
import type { FailedText } from '../msrp/failed-texts.ts'
import { Identity, type ListenerIdentity } from '../msrp/identity.ts'
import { Peers } from '../msrp/peers.ts'
import { Relay } from '../msrp/relay.ts'
import { clearSessions, type Session, SessionTable } from '../msrp/sessions.ts'
import { clearTransactions, type Ending, Transactions, TransactionTable } from '../msrp/transactions.ts'
import {
  L_LANES,
  L_SESSIONS_FIRST,
  L_SESSIONS_MAX,
  L_SESSIONS_STRIDE,
  L_TRANSACTIONS_FIRST,
  L_TRANSACTIONS_MAX,
  L_TRANSACTIONS_STRIDE,
  LIMITS,
  RUN_BODY_MAX,
  RUN_CONNECTIONS,
  RUN_CONTROL,
  RUN_LANE,
  RUN_TEXTS,
} from '../parser/kernel/record.ts'
import { createKernel, type Kernel } from '../parser/kernel.ts'
import { MsrpReader } from '../parser/msrp/reader.ts'
import { uriEqual } from '../parser/msrp/uri.ts'
import type { Routing } from '../routing/routing.ts'
import type { LocationReader } from '../store/location-store.ts'
import { Asking } from './asking.ts'
import { Connections, slotOf } from './connections.ts'
import { Connector } from './connector.ts'
import type { CloseReason, Flow, LaneFeed, LanePort, PrimaryMessage, Protocol } from './lane-port.ts'
import { LaneSip, type SipSetup } from './lane-sip.ts'
import { laneStride, type MemoryMap, transactionPlaces } from './memory.ts'
import { Outbox } from './outbox.ts'
import { giveSegment, resetSegments, SegmentPool } from './segments.ts'

/** How often transactions are looked at, milliseconds: how exact the 30 s of R-45 are. */
const SWEEP_MS = 250
/** How often everything else with a deadline is looked at. */
const HOUSEKEEPING_MS = 1000
/** Receivers with an open segment at which a batch is sent before its end. */
const OPEN_SEGMENTS_MAX = 64
/** How soon a stream that found no memory tries again. */
const RETRY_MS = 5

/** What a lane is made from: plain data, the same for every lane and fit to be sent to a thread. */
export interface LaneSetup {
  readonly map: MemoryMap
  readonly memory: WebAssembly.Memory
  readonly kernel: WebAssembly.Module
  readonly config: Config
  /** By the index of the listener; null for those that MSRP is not spoken at. */
  readonly listeners: readonly (ListenerIdentity | null)[]
  /** Null: no listener speaks SIP. */
  readonly sip: SipSetup | null
  /** Seals nonces; the same in all lanes. */
  readonly nonceKey: Uint8Array
  /** From when seconds and milliseconds in shared memory count. */
  readonly epochMs: number
}

/**
 * Prepares the memory of a lane for a Lane to take over: fresh memory, or, with `held`, that of a lane that has died. Held
 * are those of its segments that sockets still have to send.
 */
export function prepareLane({ map, memory }: LaneSetup, index: LaneIndex, held: readonly Address[] | null): void {
  const words = new Int32Array(memory.buffer)
  const place = map.lane[index]!
  resetSegments(words, place.segmentControl >> 2, place.segments, map.segmentOctets, held ?? [])
  if (held === null) return
  clearSessions(words, place.sessions, map.maxSessions)
  clearTransactions(words, transactionPlaces(map)[index]!)
}

/** What a lane gets from the thread it runs in. */
export interface LaneSurroundings {
  readonly port: LanePort
  readonly log: Logger
  readonly clock: Ticker
  readonly routing: Routing
  /** Reads registered contacts; null without SIP. */
  readonly location: LocationReader | null
}

/** A connection whose first octets have yet to tell what is spoken on it. */
interface Undecided {
  readonly connection: ConnectionId
  readonly flow: Flow
  readonly openedAt: number
  /** It has sent an M, which both protocols can begin with, and nothing else. */
  letterM: boolean
}

/** The first octet of MSRP, and of MESSAGE; the second tells them apart. */
const LETTER_M = 77
const LETTER_S = 83

/**
 * What a worker runs: parser and relay for the connections it is given. A lane is not a thread: it is fed octets and
 * asks its port to send some, and does not know what lies behind.
 */
export class Lane implements LaneFeed {
  readonly #index: LaneIndex
  readonly #port: LanePort
  readonly #clock: Ticker
  readonly #config: Config
  readonly #row: Float64Array
  readonly #connections: Connections
  readonly #pool: SegmentPool
  readonly #outbox: Outbox
  readonly #reader: MsrpReader<MsrpConnection>
  readonly #relay: Relay
  readonly #sessions: SessionTable
  readonly #table: TransactionTable
  readonly #sources: Sources
  readonly #connector: Connector
  readonly #keepingTexts: Asking<FailedText, boolean>
  readonly #sip: LaneSip | null
  readonly #words: Int32Array
  readonly #octets: Uint8Array
  readonly #work: Address
  // By connection slot.
  readonly #streams: (MsrpConnection | undefined)[] = []
  readonly #undecided: (Undecided | undefined)[] = []
  /** Stalled streams by the receiver they wait for. */
  readonly #waiting = new Map<ConnectionId, Set<MsrpConnection>>()
  /** Stalled streams that try again shortly. */
  readonly #soon = new Set<MsrpConnection>()
  #retry: NodeJS.Timeout | null = null
  readonly #stops: (() => void)[]
  #lastTick: number

  /** @param held as given to `prepareLane` */
  constructor(
    index: LaneIndex,
    setup: LaneSetup,
    { port, log, clock, routing, location }: LaneSurroundings,
    held: readonly Address[] = [],
  ) {
    const { map, memory, config, epochMs } = setup
    const place = map.lane[index]!
    this.#index = index
    this.#port = port
    this.#clock = clock
    this.#config = config
    this.#row = new Float64Array(memory.buffer, place.counters, C_CELLS)
    const kernel = laneKernel(index, setup)
    const words = kernel.words
    this.#words = words
    this.#connections = new Connections(words, map.connections)
    this.#pool = new SegmentPool(words, place.segmentControl >> 2, place.segments, map.segmentOctets, held)
    this.#outbox = new Outbox(memory.buffer, port, this.#pool, this.#connections, map.maxConnections)
    this.#sessions = new SessionTable(words, place.sessions, index, map.maxSessions, epochMs)
    const tables = transactionPlaces(map)
    this.#table = new TransactionTable(index, kernel, tables[index]!, this.#connections, this.#pool, epochMs)
    this.#connector = new Connector(port)
    this.#keepingTexts = new Asking((requests) => port.post({ type: 'keep-text', requests }))
    const identity = new Identity(setup.listeners, config.domains)
    identity.teach(kernel)
    const { realm } = config.msrp
    this.#sources = createSources(config.auth, clock, log)
    this.#relay = new Relay({
      lane: index,
      config,
      log,
      clock,
      kernel,
      row: this.#row,
      connections: this.#connections,
      outbox: this.#outbox,
      port,
      services: this.#services(),
      identity,
      sessions: this.#sessions,
      transactions: new Transactions(words, tables, this.#connections),
      table: this.#table,
      peers: new Peers(this.#connector, this.#connections, clock),
      authenticator: new Authenticator({
        realm,
        algorithms: config.auth.algorithms,
        qopRequired: true, // D-10
        users: this.#sources.users,
        tokens: this.#sources.tokens,
        nonces: new Nonces({ realm, key: setup.nonceKey, lifeSeconds: config.auth.nonce_lifetime, clock }),
        counts: new NonceCounts(),
        uriEqual: (given, meant) => given === meant || uriEqual(given, meant) === true,
      }),
      routing,
      keepText: config.msrp.store_failed ? (text) => this.#keepingTexts.ask(text) : null,
      epochMs,
    })
    this.#reader = new MsrpReader(kernel, this.#pool, this.#relay, config.msrp.limits.body, place.work)
    this.#octets = kernel.octets
    this.#work = place.work
    this.#sip =
      setup.sip === null || location === null
        ? null
        : new LaneSip(setup.sip, setup, {
            lane: index,
            kernel,
            row: this.#row,
            clock,
            connections: this.#connections,
            outbox: this.#outbox,
            pool: this.#pool,
            port,
            sources: this.#sources,
            location,
            connector: this.#connector,
            flush: () => this.flush(),
          })
    this.#lastTick = performance.now()
    this.#stops = [clock.every(SWEEP_MS, () => this.#sweep()), clock.every(HOUSEKEEPING_MS, () => this.#keepHouse())]
  }

  opened(connection: ConnectionId, flow: Flow): void {
    if (flow.protocol === null) {
      this.#undecided[slotOf(connection)] = { connection, flow, openedAt: this.#clock.now(), letterM: false }
    } else this.#begin(connection, flow, flow.protocol)
  }

  data(connection: ConnectionId, address: Address, octets: number): boolean {
    const stream = this.#stream(connection)
    if (stream === null || stream.closing) {
      if (stream === null) this.#dataOfOthers(connection, address, octets)
      if (this.#connections.consume(connection, octets)) this.#port.resume(connection)
      return true
    }
    const began = performance.now()
    this.#relay.setTime(this.#clock.now())
    stream.unconsumed += octets
    this.#outbox.expect(octets)
    const before = this.#relay.handled
    this.#reader.read(stream, address, address + octets)
    this.#relay.settle()
    const frames = this.#relay.handled - before
    if (frames > 0) countHandling(this.#row, (performance.now() - began) / 1000 / frames, frames)
    this.#acknowledge(stream)
    // A long batch must not keep the segments of all its receivers to its end.
    if (this.#outbox.openSegments >= OPEN_SEGMENTS_MAX) this.flush()
    return true
  }

  message(connection: ConnectionId, address: Address, octets: number): boolean {
    if (this.#sip?.message(connection, address, octets)) {
      if (this.#connections.consume(connection, octets)) this.#port.resume(connection)
      return true
    }
    const stream = this.#stream(connection)
    if (stream !== null && !stream.closing) {
      const found = this.#reader.wholeness(address, address + octets)
      if (found !== 'whole') {
        // M-64: a chunk is a message, and a message a chunk; what else it holds does not matter any more.
        this.#row[found === 'foreign' ? C['parseError:bad-start-line'] : C['parseError:truncated']]! += 1
        this.#close(stream, found)
        this.#reader.forget(stream)
      }
    }
    return this.data(connection, address, octets)
  }

  datagram(listener: number, address: Address, octets: number): boolean {
    this.#sip?.datagram(listener, address, octets)
    return true
  }

  handed(segment: Address, octets: number): void {
    try {
      this.#sip?.handed(segment, octets)
    } finally {
      giveSegment(this.#words, segment)
    }
  }

  closed(connection: ConnectionId): void {
    const slot = slotOf(connection)
    const undecided = this.#undecided[slot]?.connection === connection
    if (undecided) this.#undecided[slot] = undefined
    const release = () => {
      this.#outbox.flush()
      this.#port.released(connection)
    }
    if (undecided) {
      release()
      return
    }
    if (this.#sip?.closed(connection, release)) return
    const stream = this.#stream(connection)
    if (stream === null) return
    if (this.#reader.end(stream)) this.#row[C['parseError:truncated']]! += 1
    // What the peer sent before it went is answered; its sessions are over.
    for (const session of stream.sessions) this.#endSession(session, 'sessionsClosed')
    this.#soon.delete(stream)
    if (stream.waitsFor !== 0) this.#waiting.get(stream.waitsFor)?.delete(stream)
    this.#streams[slot] = undefined
    this.#outbox.flush()
    this.#port.released(connection)
  }

  drained(connection: ConnectionId): void {
    const streams = this.#waiting.get(connection)
    if (streams === undefined) return
    this.#waiting.delete(connection)
    for (const stream of streams) this.#resume(stream)
  }

  answered(request: number, connection: ConnectionId | 0): void {
    this.#connector.answered(request, connection)
  }

  told(message: PrimaryMessage): void {
    if (message.type === 'text-kept') this.#keepingTexts.answered(message.answers)
    else this.#sip?.told(message)
  }

  flush(): void {
    this.#outbox.flush()
    this.#port.flush()
  }

  /** Stops the lane's timers. What it has made so far is flushed. */
  stop(): void {
    for (const stop of this.#stops) stop()
    if (this.#retry !== null) clearTimeout(this.#retry)
    this.#sources.close()
    this.#sip?.stop()
    this.#sessions.each((session) => this.#endSession(session, 'sessionsClosed'))
    this.flush()
  }

  #stream(connection: ConnectionId): MsrpConnection | null {
    const stream = this.#streams[slotOf(connection)]
    return stream !== undefined && stream.id === connection ? stream : null
  }

  #begin(connection: ConnectionId, flow: Flow, protocol: Protocol): void {
    const slot = slotOf(connection)
    if (protocol === 'msrp') this.#streams[slot] = new MsrpConnection(connection, flow.listener, this.#clock.now())
    else this.#sip?.opened(connection, flow)
  }

  /** Octets of SIP, or the first ones of a connection that may speak either. */
  #dataOfOthers(connection: ConnectionId, address: Address, octets: number): void {
    if (this.#sip?.data(connection, address, octets)) return
    const slot = slotOf(connection)
    const undecided = this.#undecided[slot]
    if (undecided?.connection !== connection) return
    if (octets === 0) return
    const second = undecided.letterM ? address : address + 1
    if (!undecided.letterM && this.#octets[address] === LETTER_M && octets === 1) {
      undecided.letterM = true
      return
    }
    const isMsrp = (undecided.letterM || this.#octets[address] === LETTER_M) && this.#octets[second] === LETTER_S
    this.#undecided[slot] = undefined
    this.#begin(connection, undecided.flow, isMsrp ? 'msrp' : 'sip')
    if (undecided.letterM) {
      this.#octets[this.#work] = LETTER_M
      this.#dispatch(connection, this.#work, 1)
    }
    this.#dispatch(connection, address, octets)
  }

  /** The first octets of a connection whose protocol is known by now. */
  #dispatch(connection: ConnectionId, address: Address, octets: number): void {
    const stream = this.#stream(connection)
    if (stream === null) this.#dataOfOthers(connection, address, octets)
    else {
      this.#relay.setTime(this.#clock.now())
      this.#outbox.expect(octets)
      this.#reader.read(stream, address, address + octets)
      this.#relay.settle()
    }
  }

  /** Tells the primary that the stream's octets have been worked off, unless it is stalled. */
  #acknowledge(stream: MsrpConnection): void {
    if (stream.stalled) return
    const octets = stream.unconsumed
    stream.unconsumed = 0
    if (this.#connections.consume(stream.id, octets)) this.#port.resume(stream.id)
  }

  #resume(stream: MsrpConnection): void {
    if (!stream.stalled || stream.closing || stream.deciding || this.#stream(stream.id) !== stream) return
    this.#relay.setTime(this.#clock.now())
    this.#outbox.expect(stream.backlogLength)
    this.#reader.resume(stream)
    this.#relay.settle()
    this.#acknowledge(stream)
  }

  #services(): LaneServices {
    return {
      resumeWhenDrained: (stream, receiver) => {
        const streams = this.#waiting.get(receiver)
        if (streams === undefined) this.#waiting.set(receiver, new Set([stream]))
        else streams.add(stream)
        stream.waitsFor = receiver
        this.#connections.await(receiver, this.#index)
        // It may have drained, or gone, before the primary saw that we wait.
        if (this.#connections.waitingNow(receiver) <= 0 || !this.#connections.isOpen(receiver)) this.#tryAgain(stream)
      },
      resumeSoon: (stream) => this.#tryAgain(stream),
      resume: (stream) => {
        this.#resume(stream)
        this.flush()
      },
      close: (stream, reason) => this.#close(stream, reason),
    }
  }

  #close(stream: MsrpConnection, reason: CloseReason): void {
    if (stream.closing) return
    stream.closing = true
    this.#outbox.flush()
    this.#port.close(stream.id, reason)
  }

  #tryAgain(stream: MsrpConnection): void {
    this.#soon.add(stream)
    this.#retry ??= setTimeout(() => {
      this.#retry = null
      const streams = [...this.#soon]
      this.#soon.clear()
      for (const one of streams) this.#resume(one)
      this.flush()
    }, RETRY_MS)
  }

  #sweep(): void {
    const end = (transaction: Address, why: Ending) => this.#relay.ended(transaction, why)
    this.#table.sweep(this.#clock.now(), this.#config.msrp.response_timeout * 1000, end)
    this.flush()
  }

  #keepHouse(): void {
    const now = this.#clock.now()
    this.#endProbations(now)
    const progress: Session[] = []
    this.#sessions.each((session) => {
      if (now >= session.expiresAt) {
        // the URI dies, the connection may go on.
        this.#stream(session.connection)?.unbind(session)
        this.#endSession(session, 'sessionsExpired')
      } else if (this.#sessions.refresh(session)) progress.push(session)
    })
    if (progress.length > 0) {
      this.#port.post({ type: 'session-progress', sessions: progress.map((session) => progressOf(session, false)) })
    }
    this.#gauges()
    this.flush()
  }

  /** a peer that has had no request accepted in time is sent away. */
  #endProbations(now: number): void {
    const limit = this.#config.msrp.first_request_timeout * 1000
    // By index, see Transport: this looks at everybody every second.
    for (let slot = 0; slot < this.#streams.length; slot++) {
      const stream = this.#streams[slot]
      if (stream === undefined || stream.trusted || stream.closing || stream.listener < 0) continue
      if (now - stream.openedAt >= limit) {
        this.#close(stream, 'probation')
        this.#reader.forget(stream)
      }
    }
    this.#sip?.endProbations(now, limit)
    this.#sip?.forgetClosed()
    for (let slot = 0; slot < this.#undecided.length; slot++) {
      const undecided = this.#undecided[slot]
      if (undecided === undefined || now - undecided.openedAt < limit) continue
      // It goes on as one that has broken the protocol: what still comes is nobody's.
      this.#undecided[slot] = { ...undecided, openedAt: Number.POSITIVE_INFINITY }
      this.#port.close(undecided.connection, 'probation')
    }
  }

  #endSession(session: Session, event: 'sessionsClosed' | 'sessionsExpired'): void {
    this.#sessions.close(session)
    this.#row[C[event]]! += 1
    this.#port.post({ type: 'session-progress', sessions: [progressOf(session, true)] })
  }

  #gauges(): void {
    const row = this.#row
    row[C.sessionsOpen] = this.#sessions.size
    row[C.transactionsOpen] = this.#table.open
    this.#sip?.measure()
    this.#pool.measure((index, free, capacity) => {
      row[C.segmentsFree2k + index] = free
      row[C.segmentsCapacity2k + index] = capacity
    })
    const now = performance.now()
    // How much later than asked this ran: what a frame may have waited for the thread.
    row[C.loopDelaySeconds] = Math.max(0, (now - this.#lastTick - HOUSEKEEPING_MS) / 1000)
    this.#lastTick = now
  }
}

function progressOf(session: Session, closed: boolean) {
  const { publicId: id, framesFrom, framesTo, octetsFrom, octetsTo } = session
  return { id, framesFrom, framesTo, octetsFrom, octetsTo, closed }
}

const C_CELLS = Object.keys(C).length

/** The kernel of a lane, which knows the tables of all lanes. */
function laneKernel(index: LaneIndex, { map, memory, kernel: module, config }: LaneSetup): Kernel {
  const { limits } = config.msrp
  const place = map.lane[index]!
  const kernel = createKernel(module, memory, place.scratch, {
    startLine: limits.start_line,
    headerLine: limits.header_line,
    head: limits.head,
    headers: limits.headers,
    pathUris: limits.path_uris,
    body: limits.body,
  })
  const first = map.lane[0]!
  const stride = laneStride(map)
  for (const [i, lane] of map.lane.entries()) {
    assert(lane.sessions === first.sessions + i * stride && lane.transactions === first.transactions + i * stride)
  }
  const words = new Int32Array(memory.buffer, place.scratch + LIMITS, 16)
  words[L_LANES] = map.lanes
  words[L_SESSIONS_FIRST] = first.sessions
  words[L_SESSIONS_STRIDE] = stride
  words[L_SESSIONS_MAX] = map.maxSessions
  words[L_TRANSACTIONS_FIRST] = first.transactions
  words[L_TRANSACTIONS_STRIDE] = stride
  words[L_TRANSACTIONS_MAX] = map.maxTransactions
  kernel.run[RUN_LANE] = index
  kernel.run[RUN_CONNECTIONS] = map.connections
  kernel.run[RUN_CONTROL] = transactionPlaces(map)[0]!.control * 4
  kernel.run[RUN_TEXTS] = first.texts
  kernel.run[RUN_BODY_MAX] = limits.body
  return kernel
}
