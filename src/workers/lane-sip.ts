import { Buffer } from 'node:buffer'
import type { Sources } from '../auth/sources.ts'
import type { Ticker } from '../clock.ts'
import type { Address, ConnectionId, LaneIndex } from '../ids.ts'
import type { Kernel } from '../parser/kernel.ts'
import type { DeliveryOutcome, KeepAnswer, KeepRequest } from '../silo/order.ts'
import type { SipStream } from '../sip/endpoint.ts'
import type { SipListener } from '../sip/identity.ts'
import type { RegisterAnswer } from '../sip/registrar/location.ts'
import type { RegisterRequest } from '../sip/registrar/register-request.ts'
import { SipSender, type Way } from '../sip/sender.ts'
import { SipServer } from '../sip/server.ts'
import type { LocationReader } from '../store/location-store.ts'
import { Asking } from './asking.ts'
import { NumberedBatch } from './batch.ts'
import { type Connections, slotOf } from './connections.ts'
import type { Connector } from './connector.ts'
import { Flows } from './flows.ts'
import type { LaneSetup } from './lane.ts'
import type { Flow, LanePort, SipPrimaryMessage } from './lane-port.ts'
import type { Outbox } from './outbox.ts'
import type { SegmentPool } from './segments.ts'
import { keepColumnsOf, ordersIn, outcomeColumnsOf } from './silo-columns.ts'

/** What SIP is made from in every lane. */
export interface SipSetup {
  readonly listeners: readonly SipListener[]
  /** Seals what our Record-Route values carry. */
  readonly routeKey: Uint8Array
  /** Names this run of the process. */
  readonly epoch: string
}

/** What SIP shares with the rest of its lane. */
export interface LaneSipOptions {
  readonly lane: LaneIndex
  readonly kernel: Kernel
  readonly row: Float64Array
  readonly clock: Ticker
  readonly connections: Connections
  readonly outbox: Outbox
  readonly pool: SegmentPool
  readonly port: LanePort
  readonly sources: Sources
  readonly location: LocationReader
  readonly connector: Connector
  readonly flush: () => void
}

/** The connections of a lane that speak SIP, and what the SIP server asks of the lane and of the primary thread. */
export class LaneSip {
  readonly #options: LaneSipOptions
  readonly #octets: Uint8Array
  readonly #server: SipServer
  readonly #sender: SipSender
  readonly #flows: Flows
  /** By connection slot. */
  readonly #streams: (SipStream | undefined)[] = []
  /** Connections of other lanes that we have sent on: one way each, as what waits for an answer goes by it. */
  readonly #foreign = new Map<ConnectionId, Way>()
  readonly #registering: Asking<RegisterRequest, RegisterAnswer>
  readonly #keeping: Asking<KeepRequest, KeepAnswer>
  readonly #delivered: NumberedBatch<DeliveryOutcome>

  constructor(sip: SipSetup, { map, config, nonceKey }: LaneSetup, options: LaneSipOptions) {
    this.#options = options
    const { lane, kernel, connections, outbox, pool, port, row, connector, flush } = options
    const place = map.lane[lane]!
    this.#octets = kernel.octets
    const octets = Buffer.from(kernel.octets.buffer as ArrayBuffer)
    this.#sender = new SipSender({ connections, outbox, pool, port, octets, row, flush })
    this.#flows = new Flows(kernel.octets.buffer, map.flows)
    this.#registering = new Asking((requests) => port.post({ type: 'register', requests }))
    this.#keeping = new Asking(({ numbers, values }) =>
      port.post({ type: 'keep', numbers, requests: keepColumnsOf(values) }),
    )
    this.#delivered = new NumberedBatch(({ numbers, values }) =>
      port.post({ type: 'delivered', numbers, outcomes: outcomeColumnsOf(values) }),
    )
    this.#server = new SipServer({
      ...options,
      ...sip,
      lanes: map.lanes,
      config,
      work: place.sipWork,
      ownWork: place.sipOwnWork,
      sender: this.#sender,
      wayOf: (connection) => this.#way(connection),
      nonceKey,
      commit: (register) => this.#registering.ask(register),
      keep: (request) => this.#keeping.ask(request),
      connect: (hop, answer) => connector.connect(hop, answer),
      hand: (to, message) => this.#hand(to, message),
      close: (connection) => {
        outbox.flush()
        port.close(connection, 'malformed')
      },
    })
  }

  /** The way along a connection, whichever lane reads it; null: it is gone. */
  #way(connection: ConnectionId): Way | null {
    const { connections, lane } = this.#options
    if (!connections.isOpen(connection)) return null
    if (connections.laneOf(connection) === lane) {
      const stream = this.#stream(connection)
      return stream === null || stream.ended ? null : stream.way
    }
    const known = this.#foreign.get(connection)
    if (known !== undefined) return known
    const { transport, listener, address, port } = this.#flows.get(connection)
    const way = this.#sender.connection(transport, connection, listener, address, port)
    this.#foreign.set(connection, way)
    return way
  }

  opened(connection: ConnectionId, flow: Flow): void {
    this.#streams[slotOf(connection)] = this.#server.opened(connection, flow)
  }

  /** Octets of a stream; false: it is none of SIP. */
  data(connection: ConnectionId, address: Address, octets: number): boolean {
    const stream = this.#stream(connection)
    if (stream !== null) this.#server.data(stream, address, octets)
    return stream !== null
  }

  /** One WebSocket message; false: of something else than SIP. */
  message(connection: ConnectionId, address: Address, octets: number): boolean {
    const stream = this.#stream(connection)
    if (stream !== null) this.#server.message(stream, address, octets)
    return stream !== null
  }

  datagram(listener: number, address: Address, octets: number): void {
    this.#server.datagram(listener, address, octets)
  }

  handed(address: Address, octets: number): void {
    this.#server.handed(address, octets)
  }

  /**
   * The connection is gone, or sends no more, one after the other perhaps; false: it is none of SIP.
   * @param forgotten called once: when nothing is left to be answered on it, or it is gone
   */
  closed(connection: ConnectionId, forgotten: () => void): boolean {
    const stream = this.#stream(connection)
    if (stream === null) return false
    if (!stream.ended) {
      stream.ended = true
      this.#server.closed(stream)
      this.#server.failed(stream.way)
    }
    const forget = () => {
      stream.onQuiet = null
      this.#streams[slotOf(connection)] = undefined
      forgotten()
    }
    if (!stream.answering || !this.#options.connections.isOpen(connection)) forget()
    // Not before the answer has been composed, which may be what is going on.
    else stream.onQuiet = () => queueMicrotask(() => this.#forgetQuiet(stream, forget))
    return true
  }

  #forgetQuiet(stream: SipStream, forget: () => void): void {
    if (stream.answering || stream.onQuiet === null) return
    forget()
  }

  told(message: SipPrimaryMessage): void {
    switch (message.type) {
      case 'registered':
        this.#registering.answered(message.answers)
        break
      case 'kept':
        this.#keeping.answered(message.answers)
        break
      case 'deliver':
        for (const [index, order] of ordersIn(message.orders).entries()) {
          const number = message.numbers[index]!
          void this.#server.deliver(order).then((outcome) => this.#delivered.add(number, outcome))
        }
        break
      case 'send':
        for (const outgoing of message.messages) this.#server.send(outgoing)
    }
  }

  /** Sends those away who have sent nothing that is SIP for `limitMs`. */
  endProbations(now: number, limitMs: number): void {
    // By index, see Transport: this looks at everybody every second.
    for (let slot = 0; slot < this.#streams.length; slot++) {
      const stream = this.#streams[slot]
      if (stream === undefined || stream.trusted || stream.dead || stream.way.listener < 0) continue
      if (now - stream.openedAt < limitMs) continue
      stream.dead = true
      this.#options.port.close(stream.way.connection as ConnectionId, 'probation')
    }
  }

  measure(): void {
    this.#server.measure()
  }

  /** Other lanes' connections close without a word to us: what waits for an answer on them must not wait in vain. */
  forgetClosed(): void {
    for (const [connection, way] of this.#foreign) {
      if (this.#options.connections.isOpen(connection)) continue
      this.#foreign.delete(connection)
      this.#server.failed(way)
    }
  }

  stop(): void {
    this.#server.stop()
  }

  #stream(connection: ConnectionId): SipStream | null {
    const stream = this.#streams[slotOf(connection)]
    return stream !== undefined && stream.way.connection === connection ? stream : null
  }

  #hand(lane: LaneIndex, octets: Uint8Array): boolean {
    const { pool, port } = this.#options
    const segment = pool.take(octets.length)
    if (segment === 0) return false
    this.#octets.set(octets, segment)
    port.hand(lane, segment, octets.length)
    return true
  }
}
