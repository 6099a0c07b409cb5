import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { isIPv4 } from 'node:net'
import { type Admin, startAdmin } from './admin/http.ts'
import { nonceKeyOctetsMin } from './auth/nonce.ts'
import { systemClock, type Ticker } from './clock.ts'
import { formatEndpoint, isSecure, parseEndpoint, sound } from './config/address.ts'
import type { Config } from './config/schema.ts'
import { SilopathError } from './errors.ts'
import type { ConnectionId, LaneIndex } from './ids.ts'
import type { Logger } from './log.ts'
import { C, SharedCounters } from './metrics/counters.ts'
import { createRegistry } from './metrics/exposition.ts'
import { Identity, type ListenerIdentity } from './msrp/identity.ts'
import { compileKernel } from './parser/kernel.ts'
import { defaultRouting } from './routing/default-routing.ts'
import type { Routing } from './routing/routing.ts'
import type { SipListener } from './sip/identity.ts'
import { openSip } from './sip/primary.ts'
import { openLmdbSessions } from './store/lmdb-sessions.ts'
import { locationVersionsWords } from './store/location-store.ts'
import { SessionBook } from './store/session-book.ts'
import { type Listener, Transport } from './transport/transport.ts'
import { version } from './version.ts'
import { Connections } from './workers/connections.ts'
import { Lane, type LaneSetup } from './workers/lane.ts'
import { LaneCalls } from './workers/lane-calls.ts'
import type { LaneFeed, LaneMessage, LanePort, NextHop } from './workers/lane-port.ts'
import { LocalLane } from './workers/local-lane.ts'
import { createMemory, mapMemory, memorySizes } from './workers/memory.ts'
import { LanePool } from './workers/pool.ts'
import type { RingOccupancy } from './workers/ring-feed.ts'

/** How long after a lane's death nobody can be in the middle of one of its transactions any more, milliseconds. */
const GRACE_MS = 100

export interface ServerOptions {
  readonly log: Logger
  /** Time for everything in this thread; with `workers: 0` that is everything. Default: the system's. */
  readonly clock?: Ticker
  /** Decides instead of the default routing; only with `workers: 0` in this version. */
  readonly routing?: Routing
}

/** A running server. */
export interface Server {
  /** URL and port of every listener, in the order of the config. */
  readonly listeners: readonly { readonly url: string; readonly port: number }[]
  readonly adminUrl: string | null
  /** Lets devices answer what the silo has sent, stops accepting, sends what is queued, ends connections, stores what is to be stored. */
  close(): Promise<void>
  /** Resolves once it has closed. */
  readonly closed: Promise<void>
  /** Makes a worker die of an uncaught error, to see that the others do not notice. */
  killWorker(lane: number): void
}

/**
 * Puts a server together and starts it; resolves when every listener accepts.
 * @throws SilopathError for what the operator can mend: LISTEN_FAILED, STORE_UNAVAILABLE, CONFIG_INVALID, KERNEL_MISSING
 */
export async function startServer(config: Config, options: ServerOptions): Promise<Server> {
  const { log, clock = systemClock, routing = defaultRouting } = options
  if (config.workers > 0 && options.routing !== undefined) {
    throw new SilopathError('CONFIG_INVALID', 'a routing of your own needs workers: 0 in this version')
  }
  const undo: (() => Promise<void> | void)[] = []
  try {
    return await start()
  } catch (error) {
    for (const step of undo.reverse()) await step()
    throw error
  }

  async function start(): Promise<Server> {
    const map = mapMemory(memorySizes(config))
    const kernel = compileKernel()
    const memory = createMemory(map)
    const rows = [...map.lane.map((lane) => lane.counters), map.primaryCounters].map(
      (address) =>
        new Float64Array(memory.buffer, address, SharedCounters.octetsPerRow / Float64Array.BYTES_PER_ELEMENT),
    )
    const counters = new SharedCounters(rows)
    const row = counters.primary
    const connections = new Connections(new Int32Array(memory.buffer), map.connections)

    const transport = new Transport(config, map, memory, connections, row, { log, clock })
    undo.push(() => transport.close())
    const listeners: Listener[] = []
    for (const listener of config.listen) listeners.push(await transport.listen(listener))

    // After listening: a second process with the same config has failed by now, and cannot sweep the first one's sessions.
    const { store, swept } = await openLmdbSessions({
      dataDir: config.data_dir,
      recordsMax: map.lanes * map.maxSessions,
      onError: (err) => {
        row[C.storeWriteFailures]! += 1
        log.error({ err }, 'the session store could not write; it tries again')
      },
    })
    undo.push(() => store.close())
    if (swept > 0) log.info({ sessions: swept }, 'sessions of an earlier run are over')

    const identities = listeners.map((listener) => identityOf(listener, listeners, config))
    // Each lane has its own; what is wrong with it is better said here.
    new Identity(identities, config.domains)
    const sipListeners = listeners.flatMap((listener, index) =>
      listener.protocols.includes('sip') ? [sipListenerOf(listener, index)] : [],
    )
    const isOpen = (connection: ConnectionId) => connections.isOpen(connection)
    const versions = new Int32Array(memory.buffer, map.locationVersions, locationVersionsWords)
    let feeds: LaneFeed[] = []
    const calls = new LaneCalls(
      map.lanes,
      (lane, message) => {
        feeds[lane]?.told(message)
        feeds[lane]?.flush()
      },
      {
        register: (register) => sip!.register(register),
        keep: (request) => sip!.silo!.keep(request),
        keepText: (text) => sip!.silo!.keepText(text, book.userOf(text.session)),
      },
    )
    const { lanes } = map
    const sip =
      sipListeners.length > 0
        ? await openSip(config, sipListeners, { clock, log, row, versions, isOpen, lanes, out: calls })
        : null
    if (sip !== null) {
      undo.push(() => sip.close())
      transport.onClosed = (connection) => sip.connectionClosed(connection)
    }
    const setup: LaneSetup = {
      map,
      memory,
      kernel,
      config,
      listeners: identities,
      sip: sip?.setup ?? null,
      nonceKey: randomBytes(nonceKeyOctetsMin),
      epochMs: clock.now(),
    }
    const book = new SessionBook(store, {
      peer: (connection) => transport.peer(connection),
      lane: (connection) => connections.laneOf(connection),
      full: () => {
        row[C.storeFull]! += 1
      },
    })
    const stopSweeping = clock.every(1000, () => book.sweep(clock.now()))
    undo.push(stopSweeping)

    /** How often each lane has died. */
    const deaths = map.lane.map(() => 0)
    const portOf = (lane: LaneIndex): LanePort => ({
      write: (connection, segment, octets) => transport.write(connection, segment, octets),
      datagram: (listener, segment, octets) => transport.datagram(listener, segment, octets),
      // Between workers it is the pool that carries; a lane alone has nobody to hand to.
      hand: () => assert.fail('a lane hands nothing to itself'),
      close: (connection, reason) => transport.closeConnection(connection, reason),
      resume: (connection) => transport.resume(connection),
      released: (connection) => transport.released(connection),
      post: (message) => receive(message, lane),
      flush: () => {},
    })
    const receive = (message: LaneMessage, lane: LaneIndex) => {
      switch (message.type) {
        case 'connect':
          connectFor(lane, message.request, message.hop)
          break
        case 'register':
        case 'keep':
        case 'keep-text':
        case 'delivered':
          calls.receive(lane, message)
          break
        case 'session-opened':
          book.opened(message)
          break
        case 'session-progress':
          book.progressed(message.sessions)
          break
        case 'log':
          log[message.level](message.fields, message.message)
      }
    }
    const connectFor = (lane: LaneIndex, request: number, hop: NextHop) => {
      const asked = deaths[lane]
      transport.connect(hop, (connection: ConnectionId | 0) => {
        // The lane that asked may have died: its successor has made requests of its own by the same numbers.
        if (deaths[lane] !== asked) return
        feeds[lane]?.answered(request, connection)
        feeds[lane]?.flush()
      })
    }

    let stopLanes: () => Promise<void> | void
    let occupancyOf: (lane: LaneIndex) => RingOccupancy | null
    let pool: LanePool | null = null
    if (config.workers === 0) {
      const lane = 0 as LaneIndex
      const location = sip?.location ?? null
      const started = new LocalLane(
        setup,
        portOf(lane),
        (port) => new Lane(lane, setup, { port, log, clock, routing, location }),
      )
      feeds = [started.feed]
      occupancyOf = () => started.occupancy
      stopLanes = () => started.stop()
    } else {
      const started = new LanePool(setup, portOf, log, { laneDied: (lane) => void replaceLane(started, lane) })
      pool = started
      stopLanes = () => started.stop()
      undo.push(stopLanes)
      await started.start()
      occupancyOf = (lane) => started.occupancy(lane)
      feeds = Array.from({ length: map.lanes }, (_, lane) => started.feed(lane as LaneIndex)!)
    }

    /** Who closes whom when a lane dies: docs/architecture.md. */
    async function replaceLane(threads: LanePool, lane: LaneIndex): Promise<void> {
      const { segments } = map.lane[lane]!
      row[C.lanesReplaced]! += 1
      deaths[lane]! += 1
      transport.suspendLane(lane)
      book.laneDied(lane)
      calls.died(lane)
      await new Promise((resolve) => setTimeout(resolve, GRACE_MS))
      await threads.handsSeen(lane)
      await threads.startLane(lane, transport.heldSegments(segments, (segments + map.segmentOctets) as typeof segments))
      feeds[lane] = threads.feed(lane)!
      transport.resumeLane(lane, feeds[lane])
      calls.replaced(lane)
      log.info({ lane }, 'a new worker runs the lane')
    }

    let readiness: 'starting' | 'ready' | 'draining' = 'starting'
    const startedAt = clock.now()
    let admin: Admin | null = null
    if (config.admin !== false) {
      admin = await startAdmin({
        listen: config.admin,
        registry: createRegistry(counters, { version }),
        sessions: store,
        silo: sip?.silo?.admin ?? null,
        readiness: () => readiness,
        status: () => ({
          version,
          uptime_seconds: Math.floor((clock.now() - startedAt) / 1000),
          lanes: config.workers,
          connections: transport.count,
          listeners: listeners.map(urlOf),
        }),
        log,
      })
      const started = admin
      undo.push(() => started.close())
    }
    const stopMeasuring = clock.every(1000, () => {
      sip?.measure()
      for (let lane = 0; lane < map.lanes; lane++) {
        const occupancy = occupancyOf(lane as LaneIndex)
        if (occupancy === null) continue
        const laneRow = counters.row(lane)
        laneRow[C.ringRecordsIn] = occupancy.in
        laneRow[C.ringCapacityIn] = occupancy.inCapacity
        laneRow[C.ringRecordsOut] = occupancy.out
        laneRow[C.ringCapacityOut] = occupancy.outCapacity
      }
    })
    undo.push(stopMeasuring)
    transport.start(feeds)
    readiness = 'ready'

    const closed = Promise.withResolvers<void>()
    let closing: Promise<void> | null = null
    const close = async () => {
      readiness = 'draining'
      stopMeasuring()
      stopSweeping()
      // What is waited for below need not keep a process alive, least of all what never comes.
      const alive = setInterval(() => {}, 60_000)
      await sip?.settle()
      await transport.close()
      await stopLanes()
      await admin?.close()
      await sip?.close()
      await store.close()
      clearInterval(alive)
      closed.resolve()
    }
    return {
      listeners: listeners.map((listener) => ({ url: urlOf(listener), port: listener.port })),
      adminUrl: admin?.url ?? null,
      close: () => (closing ??= close()),
      closed: closed.promise,
      killWorker: (lane) => pool?.crash(lane as LaneIndex),
    }
  }
}

function urlOf({ config: { scheme, host }, port }: Listener): string {
  return `${scheme}://${formatEndpoint({ host, port })}`
}

/**
 * How a listener is spoken of to MSRP peers, at an address they can use; null when MSRP is not spoken there. A WebSocket's
 * clients get URIs of a listener that everybody reaches (W-5), if there is one.
 */
function identityOf(listener: Listener, all: readonly Listener[], config: Config): ListenerIdentity | null {
  if (!listener.protocols.includes('msrp')) return null
  const { scheme, host } = listener.config
  const { use_path_addr, allow_plaintext_auth } = config.msrp
  const secure = isSecure(scheme)
  const told = isWebSocket(listener)
    ? (all.find(
        (other) => !isWebSocket(other) && other.protocols.includes('msrp') && isSecure(other.config.scheme) === secure,
      ) ?? listener)
    : listener
  const { config: wanted, port } = told
  const usePath =
    wanted.advertise ??
    (use_path_addr === undefined ? { host: wanted.host, port } : sound(parseEndpoint(use_path_addr)))
  if (usePath.host === '0.0.0.0' || usePath.host === '::') {
    throw new SilopathError(
      'CONFIG_INVALID',
      `${wanted.url} listens on every address, so clients cannot be told where to find it. Remedy: set its advertise, or msrp.use_path_addr, to the host:port they reach`,
    )
  }
  const loopback = host === 'localhost' || host === '::1' || (isIPv4(host) && host.startsWith('127.'))
  return {
    scheme: secure ? 'msrps' : 'msrp',
    host,
    port: listener.port,
    usePathHost: usePath.host,
    // The port of a listener that took any port is the one it got.
    usePathPort: usePath.port === 0 || usePath.port === wanted.port ? port : usePath.port,
    authAllowed: secure || (allow_plaintext_auth ?? loopback),
  }
}

/** How a listener is spoken of to SIP peers. */
function sipListenerOf({ config, port, transports }: Listener, index: number): SipListener {
  const { host, advertise } = config
  const any = host === '0.0.0.0' || host === '::'
  if (any && advertise === undefined) {
    throw new SilopathError(
      'CONFIG_INVALID',
      `${config.url} listens on every address, so peers cannot be told where to find it. Remedy: set its advertise to the host:port they reach`,
    )
  }
  return {
    index,
    transports,
    host,
    port,
    advertisedHost: advertise?.host ?? host,
    advertisedPort: advertise === undefined || advertise.port === 0 ? port : advertise.port,
  }
}

function isWebSocket({ transports: [transport] }: Listener): boolean {
  return transport === 'ws' || transport === 'wss'
}
