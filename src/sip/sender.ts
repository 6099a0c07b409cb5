import type { Buffer } from 'node:buffer'
import type { ConnectionId } from '../ids.ts'
import { C, type CounterKey } from '../metrics/counters.ts'
import { sipCodes, sipMethods, sipTransports } from '../metrics/families/sip.ts'
import type { Connections } from '../workers/connections.ts'
import { writeDatagramHead } from '../workers/datagram.ts'
import { DATAGRAM_HEAD_OCTETS, type LanePort } from '../workers/lane-port.ts'
import type { Outbox } from '../workers/outbox.ts'
import type { SegmentPool } from '../workers/segments.ts'
import type { SipTransport } from './identity.ts'
import type { SipChannel } from './transactions/channel.ts'

/** Largest datagram that IP carries, less the head that tells where it goes. */
const DATAGRAM_MAX = 65_507

/** Where a message came from or goes to, as a channel. Two channels with the same `key` are the same way. */
export interface Way extends SipChannel {
  readonly transport: SipTransport
  /** Index of the listener that it was accepted at or is sent from; -1 for a connection that we made. */
  readonly listener: number
  readonly address: string
  readonly port: number
  /** The connection; 0 for a UDP source. */
  readonly connection: ConnectionId | 0
}

/** Sends whole SIP messages: on connections, and as datagrams. */
export class SipSender {
  readonly #connections: Connections
  readonly #outbox: Outbox
  readonly #pool: SegmentPool
  readonly #port: LanePort
  readonly #octets: Buffer
  readonly #row: Float64Array
  readonly #flush: () => void
  #flushing = false

  /** @param flush sends on what is in the outbox */
  constructor(options: {
    readonly connections: Connections
    readonly outbox: Outbox
    readonly pool: SegmentPool
    readonly port: LanePort
    readonly octets: Buffer
    readonly row: Float64Array
    readonly flush: () => void
  }) {
    this.#connections = options.connections
    this.#outbox = options.outbox
    this.#pool = options.pool
    this.#port = options.port
    this.#octets = options.octets
    this.#row = options.row
    this.#flush = options.flush
  }

  connection(transport: SipTransport, connection: ConnectionId, listener: number, address: string, port: number): Way {
    const send = (octets: Uint8Array) => this.#toConnection(transport, connection, octets)
    return { reliable: true, transport, listener, address, port, connection, send }
  }

  datagrams(listener: number, address: string, port: number): Way {
    return new DatagramWay(this, listener, address, port)
  }

  isOpen(connection: ConnectionId): boolean {
    return this.#connections.isOpen(connection)
  }

  #toConnection(transport: SipTransport, connection: ConnectionId, octets: Uint8Array): boolean {
    // A peer that does not read must not take our memory: to it, as to one that is gone, nothing can be sent.
    if (!this.#connections.isOpen(connection) || this.#outbox.isFull(connection)) return false
    if (!this.#outbox.writeOctets(connection, octets)) return false
    this.#sent(transport, octets)
    return true
  }

  /** Sends one datagram from the socket of this listener; false when that cannot be. */
  toSource(listener: number, address: string, port: number, octets: Uint8Array): boolean {
    const length = DATAGRAM_HEAD_OCTETS + octets.length
    if (octets.length > DATAGRAM_MAX) return false
    const segment = this.#pool.take(length)
    if (segment === 0) {
      this.#row[C['sipDropped:no_room']]! += 1
      return false
    }
    writeDatagramHead(this.#octets, segment, address, port)
    this.#octets.set(octets, segment + DATAGRAM_HEAD_OCTETS)
    this.#port.datagram(listener, segment, length)
    this.#sent('udp', octets)
    return true
  }

  /** What timers and answers from afar have made is sent when they are done, all at once. */
  #sent(transport: SipTransport, octets: Uint8Array): void {
    this.#row[sentCell(transport, octets)]! += 1
    if (this.#flushing) return
    this.#flushing = true
    queueMicrotask(() => {
      this.#flushing = false
      this.#flush()
    })
  }
}

/** There is one for each request over UDP, kept as long as its transaction is remembered. */
class DatagramWay implements Way {
  readonly #sender: SipSender
  readonly listener: number
  readonly address: string
  readonly port: number

  constructor(sender: SipSender, listener: number, address: string, port: number) {
    this.#sender = sender
    this.listener = listener
    this.address = address
    this.port = port
  }

  get reliable(): boolean {
    return false
  }

  get transport(): SipTransport {
    return 'udp'
  }

  get connection(): 0 {
    return 0
  }

  send(octets: Uint8Array): boolean {
    return this.#sender.toSource(this.listener, this.address, this.port, octets)
  }
}

type Direction = 'received' | 'sent'

type Cells = Readonly<Record<Direction, Readonly<Record<SipTransport, ReadonlyMap<number, number>>>>>

/** Cells by transport and by what `keyOf` makes of each value: small numbers, so that no text is cut out to be looked up. */
function cellsBy<Value extends string | number>(
  prefix: string,
  values: readonly Value[],
  keyOf: (value: Value) => number,
): Cells {
  const table = (direction: Direction, transport: SipTransport) =>
    new Map(values.map((value) => [keyOf(value), C[`${prefix}:${direction}:${transport}:${value}` as CounterKey]]))
  const both = (direction: Direction) =>
    Object.fromEntries(
      sipTransports.map((transport) => [transport, table(direction, transport)] as const),
    ) as unknown as Record<SipTransport, ReadonlyMap<number, number>>
  return { received: both('received'), sent: both('sent') }
}

const OTHER = 0
const SP = 32
const ZERO = 48

/** No two of the methods that are counted by name have the same length and first three letters. */
function methodKey(first: number, second: number, third: number, length: number): number {
  return (length << 24) | (first << 16) | (second << 8) | third
}

function keyOfMethod(method: string): number {
  return methodKey(method.charCodeAt(0), method.charCodeAt(1), method.charCodeAt(2), method.length)
}

const methodCells = cellsBy('sipRequests', [...sipMethods, 'OTHER'], (method) =>
  method === 'OTHER' ? OTHER : keyOfMethod(method),
)
const codeCells = cellsBy('sipResponses', [...sipCodes, '1xx', '2xx', '3xx', '4xx', '5xx', '6xx'], (code) =>
  typeof code === 'number' ? code : Number(code[0]),
)

/** The cell that counts a request. */
export function requestCell(direction: Direction, transport: SipTransport, method: string): number {
  const key = usual.get(method) ?? OTHER
  return methodCells[direction][transport].get(key)!
}

const usual: ReadonlyMap<string, number> = new Map(sipMethods.map((method) => [method, keyOfMethod(method)]))

/** The cell that counts a response. */
export function responseCell(direction: Direction, transport: SipTransport, code: number): number {
  const cells = codeCells[direction][transport]
  return cells.get(code) ?? cells.get(Math.trunc(code / 100)) ?? cells.get(6)!
}

/** By the start line of what we send, where a method that only looks like one of ours may count as that: "SIP/2.0 200 OK", or "MESSAGE sip:…". */
function sentCell(transport: SipTransport, octets: Uint8Array): number {
  if (octets[3] === 0x2f && octets[0] === 0x53) {
    return responseCell('sent', transport, octets[8]! * 100 + octets[9]! * 10 + octets[10]! - 111 * ZERO)
  }
  const length = octets.indexOf(SP)
  const cells = methodCells.sent[transport]
  return cells.get(methodKey(octets[0]!, octets[1]!, octets[2]!, length)) ?? cells.get(OTHER)!
}
