import { Buffer } from 'node:buffer'
import type { Address, ConnectionId, LaneIndex } from '../ids.ts'
import { C, type CounterKey } from '../metrics/counters.ts'
import type { Kernel } from '../parser/kernel.ts'
import { response } from '../parser/sip/encoder.ts'
import type { SipMessage, SipRequest, SipResponse } from '../parser/sip/message.ts'
import type { SipLimits, SipParser } from '../parser/sip/parse.ts'
import { answerOf, type SipProblem } from '../parser/sip/problem.ts'
import { type SipHandler, SipReader, SipStreamState } from '../parser/sip/reader.ts'
import type { Via } from '../parser/sip/values.ts'
import { readDatagramHead } from '../workers/datagram.ts'
import { DATAGRAM_HEAD_OCTETS, type Flow } from '../workers/lane-port.ts'
import type { SipIdentity } from './identity.ts'
import type { Hop, HopTransport } from './locate.ts'
import { laneOfBranch } from './proxy/branch.ts'
import { requestCell, responseCell, type SipSender, type Way } from './sender.ts'
import { isStun, stunAnswer } from './stun.ts'
import type { TransactionLayer } from './transactions/transaction-layer.ts'

/** AoRs that one connection may act for, as it has registered them: more are challenged each time. */
const AORS_MAX = 64

/** What SIP knows of one connection, or, for a moment, of the source of a datagram. */
export class SipStream extends SipStreamState {
  readonly way: Way
  /** AoRs that were registered on this connection by somebody who proved to be allowed to. */
  readonly aors = new Set<string>()
  readonly openedAt: number
  /** It has sent something that is SIP. */
  trusted = false
  /** The peer sends no more; it may still read (S-22). */
  ended = false
  /** Called once nothing is left to be answered here, when the peer sends no more. */
  onQuiet: (() => void) | null = null
  #answering = 0

  constructor(way: Way, now: number) {
    super()
    this.way = way
    this.openedAt = now
  }

  /** Whether something that came here has yet to be answered. */
  get answering(): boolean {
    return this.#answering > 0
  }

  hold(): void {
    this.#answering++
  }

  release(): void {
    this.#answering--
    if (this.#answering === 0) this.onQuiet?.()
  }

  /** The connection may act for this AoR from now on. */
  prove(aor: string): void {
    if (this.way.connection !== 0 && this.aors.size < AORS_MAX) this.aors.add(aor)
  }
}

/** Who is given new requests by the transactions, which do not know of streams. */
export interface RequestReceiver {
  /** Whatever the transactions give it until the next call has come in on this stream. */
  receiving(stream: SipStream): void
}

export interface EndpointOptions {
  readonly lane: LaneIndex
  readonly lanes: number
  readonly kernel: Kernel
  /** Where messages are read: SIP_WORK_OCTETS octets. */
  readonly work: Address
  /** Reads messages that come from another lane. */
  readonly parser: SipParser
  readonly limits: SipLimits
  readonly row: Float64Array
  readonly identity: SipIdentity
  readonly sender: SipSender
  readonly layer: TransactionLayer
  readonly receiver: RequestReceiver
  /** Gives a message to the lane that it belongs to; false when there is no memory for it. */
  readonly hand: (lane: LaneIndex, octets: Uint8Array) => boolean
  readonly close: (connection: ConnectionId) => void
  /** A way to a next hop; null: there is none. */
  readonly open: (hop: Hop) => Way | null | Promise<Way | null>
  readonly now: () => number
}

/**
 * Where SIP messages of one lane come in: it reads streams and datagrams, notes where requests came from (S-21), drops
 * what is not for us (S-23), and gives responses to the lane whose transaction waits for them.
 */
export class SipEndpoint implements SipHandler<SipStream> {
  readonly #options: EndpointOptions
  readonly #reader: SipReader<SipStream>
  readonly #text: Buffer

  constructor(options: EndpointOptions) {
    this.#options = options
    const { kernel, limits, work } = options
    this.#reader = new SipReader<SipStream>(kernel, this, limits, work)
    this.#text = Buffer.from(kernel.octets.buffer as ArrayBuffer)
  }

  opened(connection: ConnectionId, flow: Flow): SipStream {
    const { sender, now } = this.#options
    return new SipStream(sender.connection(flow.transport, connection, flow.listener, flow.address, flow.port), now())
  }

  data(stream: SipStream, address: Address, octets: number): void {
    this.#reader.read(stream, address, address + octets)
  }

  /** One WebSocket message. */
  whole(stream: SipStream, address: Address, octets: number): void {
    this.#reader.whole(stream, address, address + octets)
  }

  datagram(listener: number, address: Address, octets: number): void {
    const source = readDatagramHead(this.#text, address)
    const way = this.#options.sender.datagrams(listener, source.address, source.port)
    const start = address + DATAGRAM_HEAD_OCTETS
    const end = address + octets
    if (isStun(this.#text, start, end)) {
      // S-91
      way.send(stunAnswer(this.#text.subarray(start, end), source.address, source.port))
      return
    }
    this.#reader.whole(new SipStream(way, 0), start, end)
  }

  /** A response that another lane has read. */
  handed(address: Address, octets: number): void {
    const message = this.#options.parser.parseDatagram(this.#text.subarray(address, address + octets))
    if (message.kind === 'response') this.#options.layer.receive(message, nowhere)
  }

  /** The connection is gone, or sends no more. */
  closed(stream: SipStream): void {
    this.#reader.end(stream)
  }

  message(stream: SipStream, message: SipMessage): void {
    if (message.kind === 'response') this.#response(stream, message)
    else this.#request(stream, message)
  }

  keepAlive(stream: SipStream): void {
    if (stream.way.reliable) stream.way.send(crlf) // S-92
  }

  broken(stream: SipStream, problem: SipProblem, message: SipRequest | null): void {
    const { close } = this.#options
    this.#count(`sipProblem:${problem}`)
    const answer = answerOf(problem)
    if (message !== null && message.method !== 'ACK' && answer !== 'drop') {
      noteSource(message, message.topVia!, stream.way)
      stream.way.send(response(message, answer.status, answer.reason, { toTag: 'broken' }))
    }
    if (stream.way.connection !== 0) close(stream.way.connection)
  }

  #request(stream: SipStream, request: SipRequest): void {
    const { row, layer, receiver } = this.#options
    row[requestCell('received', stream.way.transport, request.method)]! += 1
    const via = request.topVia
    if (via === null) {
      // Nobody knows where an answer would go.
      if (request.problem !== null) this.#count(`sipProblem:${request.problem}`)
      this.#count('sipDropped:malformed')
      return
    }
    noteSource(request, via, stream.way)
    if (request.problem === null) stream.trusted = true
    else this.#count(`sipProblem:${request.problem}`)
    receiver.receiving(stream)
    layer.receive(request, answersTo(request, stream, this.#options))
  }

  #response(stream: SipStream, message: SipResponse): void {
    const { row, identity, layer, lane, lanes, hand } = this.#options
    row[responseCell('received', stream.way.transport, message.status)]! += 1
    const { topVia } = message
    if (message.problem !== null || topVia === null) {
      if (message.problem !== null) this.#count(`sipProblem:${message.problem}`)
      this.#count('sipDropped:malformed')
      return
    }
    if (!identity.isSelf(topVia)) {
      this.#count('sipDropped:not_ours') // S-23
      return
    }
    const owner = topVia.branch === null ? null : laneOfBranch(topVia.branch)
    if (owner === null || owner === lane || owner >= lanes) layer.receive(message, stream.way)
    else if (hand(owner as LaneIndex, message.octets)) this.#count('sipEvents:handed_over')
    else this.#count('sipDropped:no_room')
  }

  #count(key: CounterKey): void {
    this.#options.row[C[key]]! += 1
  }
}

const crlf = Buffer.from('\r\n')

/** The way of a response that another lane has read: nothing is sent on it. */
const nowhere = { reliable: true, send: () => false }

/** Notes where a request has come from, where S-21 wants its Via to say so. */
function noteSource(request: SipRequest, via: Via, { address, port, transport }: Way): void {
  // S-21: with rport always; WebSocket clients have no address of their own to differ from.
  if (via.rport === 'asked') request.noteReceived({ address, port })
  else if (transport !== 'ws' && transport !== 'wss') {
    const host = via.host.startsWith('[') ? via.host.slice(1, -1) : via.host
    if (host !== address) request.noteReceived({ address, port: null })
  }
}

/** The way back for the answers to a request (S-22). */
function answersTo(request: SipRequest, stream: SipStream, options: EndpointOptions): Way {
  const { way } = stream
  const via = request.topVia!
  if (way.reliable) {
    const { transport } = way
    // S-25: a browser cannot be connected to.
    return transport === 'tcp' || transport === 'tls' ? new WayBack(stream, transport, via, options) : way
  }
  const { sender } = options
  const { maddr } = via
  // S-26: an answer must never be multiplied.
  if (maddr !== null && isSingleHost(maddr)) return sender.datagrams(way.listener, maddr, via.port ?? 5060)
  return via.rport !== null ? way : sender.datagrams(way.listener, way.address, via.port ?? 5060)
}

/** Back on the connection that a request came by, or, once that is gone, to where its Via says (S-22). */
class WayBack implements Way {
  readonly transport: HopTransport
  readonly #stream: SipStream
  readonly #host: string
  readonly #port: number
  readonly #options: EndpointOptions

  constructor(stream: SipStream, transport: HopTransport, { host, port }: Via, options: EndpointOptions) {
    this.transport = transport
    this.#stream = stream
    this.#host = host
    this.#port = port ?? (transport === 'tls' ? 5061 : 5060)
    this.#options = options
  }

  get reliable(): boolean {
    return true
  }

  get listener(): number {
    return this.#stream.way.listener
  }

  get address(): string {
    return this.#stream.way.address
  }

  get port(): number {
    return this.#stream.way.port
  }

  get connection(): ConnectionId | 0 {
    return this.#stream.way.connection
  }

  hold(): void {
    this.#stream.hold()
  }

  release(): void {
    this.#stream.release()
  }

  send(octets: Uint8Array): boolean {
    const stream = this.#stream
    const { way } = stream
    // Who sends no more has mostly gone altogether: nothing tells that from one that only has nothing more to say.
    const isOpen = way.connection !== 0 && !stream.ended && this.#options.sender.isOpen(way.connection)
    return isOpen ? way.send(octets) : this.#sendAnew(octets)
  }

  #sendAnew(octets: Uint8Array): boolean {
    const stream = this.#stream
    const { way } = stream
    const { transport } = this
    const opened = this.#options.open({ transport, address: way.address, port: this.#port, servername: this.#host })
    if (!(opened instanceof Promise)) return (opened ?? way).send(octets)
    stream.hold()
    void opened.then((other) => {
      // Who has ended its side, and cannot be connected to, may be reading still.
      ;(other ?? way).send(octets)
      stream.release()
    })
    return true
  }
}

/** An IPv4 address that names one host: no name, no multicast, no broadcast. */
function isSingleHost(host: string): boolean {
  const match = /^(\d{1,3})\.\d{1,3}\.\d{1,3}\.(\d{1,3})$/.exec(host)
  return match !== null && Number(match[1]) < 224 && Number(match[1]) > 0 && match[2] !== '255'
}
