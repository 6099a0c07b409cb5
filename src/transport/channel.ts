import type { Buffer } from 'node:buffer'
import type { Socket } from 'node:net'
import type { CloseReason, StreamTransport } from '../workers/lane-port.ts'
import { type Writer, writeDirectly } from './direct-write.ts'
import type { Reading } from './socket.ts'

/** Why a connection is ended by us: because its lane says so, or for one of these. */
export type EndReason = CloseReason | 'done' | 'idle' | 'shutdown'

/** What a channel tells the one who uses it. */
export interface ChannelEvents {
  /** Octets have come in, at the start of the read buffer: until this returns, or a whole message if the channel is framed. */
  received(octets: number): void
  /** The peer sends no more. */
  ended(): void
  failed(error: Error): void
  /** Nothing comes after this. */
  closed(): void
}

/** One socket, whatever octets travel in. */
export interface Channel {
  readonly transport: StreamTransport
  /** The peer's IP address and port, as in Flow. */
  readonly address: string
  readonly port: number
  /** Octets come and go in whole messages. */
  readonly framed: boolean
  readonly writable: boolean
  readonly destroyed: boolean
  /** Begins to read. Nothing is read before, nor told. */
  start(events: ChannelEvents): void
  /**
   * Sends octets, which must stay as they are until the writer has been told that they are written, or this has returned
   * true: then nothing waits here, neither these octets nor any before them.
   */
  write(octets: Buffer, writer: Writer): boolean
  pause(): void
  resume(): void
  /** Ends our side after everything that has been written. */
  end(reason: EndReason): void
  destroy(): void
  /** Called about once a second while it is read: looks whether the peer is still there. */
  beat(now: number): void
}

/** Where a socket finds who listens to it. */
const listening = Symbol('who listens')

type HeardSocket = Socket & { [listening]: ChannelEvents }

// Shared by all sockets: closures of its own would stay for as long as a socket does.
function ended(this: HeardSocket): void {
  this[listening].ended()
}

function failed(this: HeardSocket, error: Error): void {
  this[listening].failed(error)
}

function closed(this: HeardSocket): void {
  this[listening].closed()
}

/** TCP, or TLS on it. */
export class StreamChannel implements Channel {
  readonly transport: 'tcp' | 'tls'
  readonly address: string
  readonly port: number
  readonly framed = false
  readonly #socket: Socket
  readonly #reading: Reading

  /** @param reading through which the socket says what it has read */
  constructor(transport: 'tcp' | 'tls', socket: Socket, reading: Reading) {
    this.transport = transport
    this.address = bareAddress(socket.remoteAddress)
    this.port = socket.remotePort ?? 0
    this.#socket = socket
    this.#reading = reading
  }

  get writable(): boolean {
    return this.#socket.writable
  }

  get destroyed(): boolean {
    return this.#socket.destroyed
  }

  start(events: ChannelEvents): void {
    const socket = this.#socket as HeardSocket
    this.#reading.reader = events
    socket[listening] = events
    socket.on('end', ended)
    socket.on('error', failed)
    socket.on('close', closed)
    socket.resume()
  }

  write(octets: Buffer, writer: Writer): boolean {
    const socket = this.#socket
    switch (writeDirectly(socket, octets, writer)) {
      case 'left':
        // Told by writeDirectly is only what did not leave at once.
        writer.written()
        return true
      case 'queued':
        return false
      case 'failed':
        socket.destroy()
        return false
      case 'ordinary':
        socket.write(octets, () => writer.written())
        return socket.writableLength === 0
    }
  }

  pause(): void {
    this.#socket.pause()
  }

  resume(): void {
    this.#socket.resume()
  }

  end(): void {
    this.#socket.end()
  }

  destroy(): void {
    this.#socket.destroy()
  }

  /** whether such a peer is there shows when it is idle for long. */
  beat(): void {}
}

/** An IP address as lanes know it: an IPv4 address is one also where an IPv6 socket has it. */
export function bareAddress(address: string | undefined): string {
  // A socket that is gone already has none.
  if (address === undefined) return '0.0.0.0'
  return address.startsWith('::ffff:') && address.includes('.') ? address.slice('::ffff:'.length) : address
}
