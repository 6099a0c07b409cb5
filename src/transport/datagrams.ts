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
import { directSend, type SendDirectly } from './direct-send.ts'

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
  #closed = false

  /** @param socket bound */
  constructor(socket: Socket, row: Float64Array) {
    this.#socket = socket
    this.#row = row
    this.#mapped = isIPv6(socket.address().address)
    this.#send = directSend(socket, this.#mapped ? 6 : 4) ?? ordinarySend(socket)
  }

  /** Begins to read. */
  start(readBuffer: Uint8Array, onDatagram: OnDatagram, log: Logger): void {
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

  /**
   * Sends what lies in a segment, behind its head.
   * @param give takes the segment back once the octets have left, or never will
   */
  send(memory: Buffer, segment: Address, octets: number, give: (segment: Address) => void): void {
    if (octets <= DATAGRAM_HEAD_OCTETS || this.#queued > SEND_QUEUE_MAX) {
      this.#row[C.datagramsDropped]! += 1
      give(segment)
      return
    }
    if (this.#closed) {
      this.#sent(false)
      give(segment)
      return
    }
    const { address, port } = readDatagramHead(memory, segment)
    const to = this.#mapped && !isIPv6(address) ? `::ffff:${address}` : address
    const outcome = this.#send(memory.subarray(segment + DATAGRAM_HEAD_OCTETS, segment + octets), port, to, (left) => {
      this.#queued -= octets
      this.#pending.delete(segment)
      this.#sent(left)
      give(segment)
    })
    if (outcome === 'queued') {
      this.#queued += octets
      this.#pending.add(segment)
      return
    }
    this.#sent(outcome === 'left')
    give(segment)
  }

  /** Segments that wait here. */
  get pending(): Iterable<Address> {
    return this.#pending
  }

  close(): void {
    this.#closed = true
    this.#socket.close()
  }

  /** Nobody there, no route, too large: whoever waits for an answer finds out. */
  #sent(left: boolean): void {
    this.#row[left ? C.datagramsSent : C.datagramsFailed]! += 1
  }
}

/** As `directSend`, where that is not to be had. */
function ordinarySend(socket: Socket): SendDirectly {
  return (octets, port, address, done) => {
    try {
      socket.send(octets, port, address, (error) => done(error === null))
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
