import { createSocket, type Socket } from 'node:dgram'
import { isIPv6 } from 'node:net'
import type { Address } from '../ids.ts'
import type { Logger } from '../log.ts'
import { C } from '../metrics/counters.ts'
import { readDatagramHead, writeDatagramHead } from '../workers/datagram.ts'
import { DATAGRAM_HEAD_OCTETS } from '../workers/lane-port.ts'
import { READ_OCTETS } from '../workers/memory.ts'
import { bareAddress } from './channel.ts'

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
  readonly #onSent: (error: Error | null) => void

  /** @param socket bound */
  constructor(socket: Socket, row: Float64Array) {
    this.#socket = socket
    this.#row = row
    this.#mapped = isIPv6(socket.address().address)
    this.#onSent = (error) => {
      // Nobody there, no route, too large: whoever waits for an answer finds out.
      if (error) row[C.datagramsFailed]! += 1
      else row[C.datagramsSent]! += 1
    }
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

  /** Sends what lies at `at`, behind its head. The octets are copied: they may be reused when this returns. */
  send(memory: Buffer, at: Address, octets: number): void {
    try {
      if (octets <= DATAGRAM_HEAD_OCTETS || this.#socket.getSendQueueSize() > SEND_QUEUE_MAX) {
        this.#row[C.datagramsDropped]! += 1
        return
      }
      const { address, port } = readDatagramHead(memory, at)
      const to = this.#mapped && !isIPv6(address) ? `::ffff:${address}` : address
      this.#socket.send(Buffer.from(memory.subarray(at + DATAGRAM_HEAD_OCTETS, at + octets)), port, to, this.#onSent)
    } catch {
      // Port 0, or a socket that is closed.
      this.#row[C.datagramsFailed]! += 1
    }
  }

  close(): void {
    this.#socket.close()
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
