import { Buffer } from 'node:buffer'
import { createSocket, type Socket } from 'node:dgram'
import { isIPv6 } from 'node:net'
import type { Address } from '../ids.ts'
import type { Logger } from '../log.ts'
import { C } from '../metrics/counters.ts'
import { readDatagramHead, writeDatagramHead } from '../workers/datagram.ts'
import { DATAGRAM_HEAD_OCTETS } from '../workers/lane-port.ts'
import { READ_OCTETS } from '../workers/memory.ts'
import { bareAddress } from './channel.ts'
import { directSend, type OnSent, type SendDirectly } from './direct-send.ts'

/** What the operating system is asked to keep for us in each direction, octets. It may give less. */
const SOCKET_BUFFER_OCTETS = 4 << 20
/** Octets that may wait for the operating system to take them; beyond, datagrams are dropped, as the network would. */
export const SEND_QUEUE_MAX = 1 << 20

/** Takes a datagram: head and octets at the start of the read buffer. */
export type OnDatagram = (octets: number, address: string, port: number) => void

/** The UDP socket of a listener. */
export class Datagrams {
  readonly #socket: Socket
  readonly #row: Float64Array
  /** Whether addresses of IPv4 have to be written as IPv6 knows them. */
  readonly #mapped: boolean
  readonly #send: SendDirectly
  /** Octets that wait for the operating system to take them. */
  #queued = 0
  readonly #pending = new Set<Address>()
  #give: (segment: Address) => void = () => {}
  #closed = false

  /** @param socket bound */
  constructor(socket: Socket, row: Float64Array) {
    this.#socket = socket
    this.#row = row
    this.#mapped = isIPv6(socket.address().address)
    const onSent: OnSent = (segment, octets, left) => this.#left(segment, octets, left)
    this.#send = directSend(socket, this.#mapped ? 6 : 4, onSent) ?? ordinarySend(socket, onSent)
  }

  /**
   * Begins to read.
   * @param give takes segments back whose octets have left, or never will
   */
  start(readBuffer: Uint8Array, onDatagram: OnDatagram, give: (segment: Address) => void, log: Logger): void {
    this.#give = give
    const head = Buffer.from(readBuffer.buffer as ArrayBuffer)
    const at = readBuffer.byteOffset as Address
    this.#socket.on('message', (octets, { address, port }) => {
      if (octets.length === 0) return
      this.#row[C.datagramsReceived]! += 1
      const length = DATAGRAM_HEAD_OCTETS + octets.length
      if (length > READ_OCTETS) {
        this.#row[C.datagramsDropped]! += 1
        return
      }
      const source = bareAddress(address)
      writeDatagramHead(head, at, source, port)
      readBuffer.set(octets, DATAGRAM_HEAD_OCTETS)
      onDatagram(length, source, port)
    })
    this.#socket.on('error', (error) => log.info({ err: error.message }, 'a UDP socket failed'))
  }

  /** Sends what lies in a segment, behind its head. */
  send(memory: Buffer, segment: Address, octets: number): void {
    if (octets <= DATAGRAM_HEAD_OCTETS || this.#queued > SEND_QUEUE_MAX) {
      this.#row[C.datagramsDropped]! += 1
      this.#give(segment)
      return
    }
    if (this.#closed) {
      this.#sent(false)
      this.#give(segment)
      return
    }
    const { address, port } = readDatagramHead(memory, segment)
    const to = this.#mapped && !isIPv6(address) ? `::ffff:${address}` : address
    const datagram = memory.subarray(segment + DATAGRAM_HEAD_OCTETS, segment + octets)
    const outcome = this.#send(datagram, port, to, segment)
    if (outcome === 'queued') {
      this.#queued += datagram.length
      this.#pending.add(segment)
      return
    }
    this.#sent(outcome === 'left')
    this.#give(segment)
  }

  /** Segments that wait here. */
  get pending(): Iterable<Address> {
    return this.#pending
  }

  close(): void {
    this.#closed = true
    this.#socket.close()
  }

  #left(segment: Address, octets: number, left: boolean): void {
    this.#queued -= octets
    this.#pending.delete(segment)
    this.#sent(left)
    this.#give(segment)
  }

  /** Nobody there, no route, too large: whoever waits for an answer finds out. */
  #sent(left: boolean): void {
    this.#row[left ? C.datagramsSent : C.datagramsFailed]! += 1
  }
}

/** As `directSend`, where that is not to be had. */
function ordinarySend(socket: Socket, onSent: OnSent): SendDirectly {
  return (octets, port, address, segment) => {
    try {
      socket.send(octets, port, address, (error) => onSent(segment, octets.length, error === null))
      return 'queued'
    } catch {
      return 'failed'
    }
  }
}

/** Opens a UDP socket on an IP address and port. What comes in before `start` is lost, as the network would lose it. */
export async function openDatagrams(address: string, port: number, row: Float64Array): Promise<Datagrams> {
  const family = isIPv6(address) ? 6 : 4
  const socket = createSocket({
    type: family === 6 ? 'udp6' : 'udp4',
    // Addresses are numbers already, of the socket's family: asking the resolver for each datagram would cost more than
    // sending it.
    lookup: (host, _options, found) => found(null, host, family),
  })
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  socket.once('error', reject)
  socket.bind({ address, port }, resolve)
  await promise
  socket.off('error', reject)
  for (const enlarge of ['setRecvBufferSize', 'setSendBufferSize'] as const) {
    try {
      socket[enlarge](SOCKET_BUFFER_OCTETS)
    } catch {
      // Where the system refuses so much instead of giving less, its own size has to do.
    }
  }
  return new Datagrams(socket, row)
}
