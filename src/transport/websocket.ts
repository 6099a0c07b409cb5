import { type Buffer, isUtf8 } from 'node:buffer'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { type WebSocket, WebSocketServer } from 'ws'
import type { Protocol } from '../config/address.ts'
import { bareAddress, type Channel, type ChannelEvents, type EndReason } from './channel.ts'
import type { Writer } from './direct-write.ts'

/** After so long without a sign of life a peer is pinged, and after as long again it is given up (W-8), milliseconds. */
export const PING_MS = 30_000

const text = { binary: false } as const
const binary = { binary: true } as const

/** W-6, RFC 6455 §7.4.1. */
const closeCodes: Readonly<Record<EndReason, number>> = {
  malformed: 1002,
  foreign: 1003,
  probation: 1008,
  misdirected: 1008,
  pressure: 1013,
  routing: 1000,
  done: 1000,
  idle: 1000,
  shutdown: 1001,
}

/** One WebSocket, already open: a message in is a frame, a frame out is a message (W-3). */
export class WebSocketChannel implements Channel {
  readonly transport: 'ws' | 'wss'
  readonly address: string
  readonly port: number
  readonly framed = true
  readonly #socket: WebSocket
  readonly #readBuffer: Uint8Array
  readonly #protocol: Protocol
  /** Something has come in since the last look; when that was, and whether we have asked since. */
  #heard = true
  #heardAt = 0
  #pinged = false

  /** @param underneath the connection that the WebSocket was opened on */
  constructor(
    transport: 'ws' | 'wss',
    protocol: Protocol,
    socket: WebSocket,
    underneath: Socket,
    readBuffer: Uint8Array,
  ) {
    this.transport = transport
    this.address = bareAddress(underneath.remoteAddress)
    this.port = underneath.remotePort ?? 0
    this.#socket = socket
    this.#readBuffer = readBuffer
    this.#protocol = protocol
    socket.pause()
  }

  get writable(): boolean {
    return this.#socket.readyState === this.#socket.OPEN
  }

  get destroyed(): boolean {
    return this.#socket.readyState === this.#socket.CLOSED
  }

  start(events: ChannelEvents): void {
    const socket = this.#socket
    socket.on('message', (octets: Buffer) => {
      this.#heard = true
      if (octets.length === 0) return
      // The server's maxPayload is what the buffer takes.
      this.#readBuffer.set(octets)
      events.received(octets.length)
    })
    socket.on('ping', () => this.#hear())
    socket.on('pong', () => this.#hear())
    socket.on('error', (error) => events.failed(error))
    socket.on('close', () => events.closed())
    socket.resume()
  }

  write(octets: Buffer, writer: Writer): boolean {
    // W-2: MSRP is binary. SIP may be either (S-25), and browsers expect text, which must be UTF-8.
    this.#socket.send(octets, this.#protocol === 'sip' && isUtf8(octets) ? text : binary, () => writer.written())
    return this.#socket.bufferedAmount === 0
  }

  pause(): void {
    this.#socket.pause()
  }

  resume(): void {
    this.#socket.resume()
    // While it was paused, its pongs were not read either.
    this.#hear()
  }

  end(reason: EndReason): void {
    this.#socket.close(closeCodes[reason])
  }

  destroy(): void {
    this.#socket.terminate()
  }

  beat(now: number): void {
    if (this.#heard) {
      this.#heard = false
      this.#pinged = false
      this.#heardAt = now
    } else if (now - this.#heardAt >= PING_MS) {
      if (this.#pinged) this.#socket.terminate()
      else if (this.writable) this.#socket.ping()
      this.#pinged = true
      this.#heardAt = now
    }
  }

  #hear(): void {
    this.#heard = true
  }
}

/** What an HTTP request that wants no WebSocket is told. */
export function refuseRequest(_request: IncomingMessage, response: ServerResponse): void {
  response.writeHead(426, { Upgrade: 'websocket', Connection: 'Upgrade, close', 'Content-Type': 'text/plain' })
  response.end('This is a WebSocket server.\n')
}

/** Takes a WebSocket that has been opened, with the subprotocol that was chosen. */
export type OnOpen = (socket: WebSocket, protocol: Protocol, underneath: Socket) => void

/** Answers requests for a WebSocket with one of `protocols`; `refused` is called for those that get none. */
export class WebSocketHandshake {
  readonly #server: WebSocketServer
  readonly #protocols: readonly string[]
  readonly #refused: (why: string) => void

  /** @param messageMax octets of a message; a larger one closes the connection with 1009 (W-6) */
  constructor(protocols: readonly Protocol[], messageMax: number, refused: (why: string) => void) {
    this.#protocols = protocols
    this.#refused = refused
    this.#server = new WebSocketServer({
      noServer: true,
      clientTracking: false,
      perMessageDeflate: false,
      maxPayload: messageMax,
      // W-1, S-25: the client's order is its preference.
      handleProtocols: (offered) => this.#choose(offered) ?? false,
    })
    this.#server.on('headers', (headers, { headers: { origin } }) => {
      if (origin !== undefined) headers.push(`Access-Control-Allow-Origin: ${origin}`) // W-9
    })
    this.#server.on('wsClientError', (error, socket) => {
      refused(error.message)
      refuseUpgrade(socket, '400 Bad Request')
    })
  }

  upgrade(request: IncomingMessage, underneath: Duplex, head: Buffer, onOpen: OnOpen): void {
    // A socket that fails before it is a WebSocket has nobody else to hear of it.
    underneath.on('error', ignore)
    const offered = (request.headers['sec-websocket-protocol'] ?? '').split(',').map((token) => token.trim())
    const protocol = this.#choose(offered)
    if (protocol === undefined) {
      this.#refused('no subprotocol that is served here')
      refuseUpgrade(underneath, '400 Bad Request')
      return
    }
    this.#server.handleUpgrade(request, underneath, head, (socket) => {
      underneath.off('error', ignore)
      onOpen(socket, protocol as Protocol, underneath as Socket)
    })
  }

  #choose(offered: Iterable<string>): string | undefined {
    return [...offered].find((token) => this.#protocols.includes(token))
  }
}

function ignore(): void {}

function refuseUpgrade(socket: Duplex, status: string): void {
  // Whoever does not close its side must not keep the socket.
  socket.once('finish', () => socket.destroy())
  socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`)
}
