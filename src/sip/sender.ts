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

function tables<Value extends string | number>(prefix: string, values: readonly Value[]) {
  const table = (direction: Direction, transport: SipTransport) =>
    new Map(values.map((value) => [value, C[`${prefix}:${direction}:${transport}:${value}` as CounterKey]]))
  const both = (direction: Direction) =>
    Object.fromEntries(
      sipTransports.map((transport) => [transport, table(direction, transport)] as const),
    ) as unknown as Record<SipTransport, ReadonlyMap<Value, number>>
  return { received: both('received'), sent: both('sent') }
}

const requestCells = tables<string>('sipRequests', [...sipMethods, 'OTHER'])
const responseCells = tables<string>('sipResponses', [
  ...sipCodes.map(String),
  '1xx',
  '2xx',
  '3xx',
  '4xx',
  '5xx',
  '6xx',
])

/** The cell that counts a request. */
export function requestCell(direction: Direction, transport: SipTransport, method: string): number {
  const cells = requestCells[direction][transport]
  return cells.get(method) ?? cells.get('OTHER')!
}

/** The cell that counts a response; `code` is three digits. */
export function responseCell(direction: Direction, transport: SipTransport, code: string): number {
  const cells = responseCells[direction][transport]
  return cells.get(code) ?? cells.get(`${code[0]}xx`) ?? cells.get('6xx')!
}

const SP = 32
const SIP_VERSION_OCTETS = 'SIP/2.0 '.length
const METHOD_MAX = 16

/** By the start line: "SIP/2.0 200 OK", or "MESSAGE sip:…". */
function sentCell(transport: SipTransport, octets: Uint8Array): number {
  const text = Buffer.from(octets.buffer, octets.byteOffset, Math.min(octets.length, METHOD_MAX))
  if (text[3] === 0x2f && text[0] === 0x53) {
    return responseCell('sent', transport, text.toString('latin1', SIP_VERSION_OCTETS, SIP_VERSION_OCTETS + 3))
  }
  const end = text.indexOf(SP)
  return requestCell('sent', transport, end < 0 ? 'OTHER' : text.toString('latin1', 0, end))
}
