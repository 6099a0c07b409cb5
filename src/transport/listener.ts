import { createServer as createHttpServer, type Server as HttpServer } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'
import { isSecure, type ListenTransport, listenSchemes, type Protocol } from '../config/address.ts'
import type { ListenConfig } from '../config/schema.ts'
import { SilopathError } from '../errors.ts'
import type { Logger } from '../log.ts'
import { C } from '../metrics/counters.ts'
import { READ_OCTETS } from '../workers/memory.ts'
import { type Channel, StreamChannel } from './channel.ts'
import { type Datagrams, openDatagrams } from './datagrams.ts'
import { readCertificates } from './secure.ts'
import { copyInto, type Reading, readInto } from './socket.ts'
import { refuseRequest, WebSocketChannel, WebSocketHandshake } from './websocket.ts'

/** How long a peer may take for the handshakes of TLS, and of WebSocket, milliseconds. */
export const HANDSHAKE_MS = 10_000
/** Free ports that are tried for a listener that needs the same one for TCP and for UDP. */
const PORT_TRIES = 16

/** A listener that accepts. */
export interface Listener {
  readonly config: ListenConfig
  /** The port it really has. */
  readonly port: number
  /** What may be spoken with it. */
  readonly protocols: readonly Protocol[]
  readonly transports: readonly ListenTransport[]
}

/** What listeners share, and where they give what they accept. */
export interface ListenerContext {
  readonly log: Logger
  readonly row: Float64Array
  readonly readBuffer: Uint8Array
  /** Connections of one listener that may be in the middle of a handshake. */
  readonly maxConnections: number
  /** A peer is there, its handshakes are done, and nothing has been read of it yet. */
  readonly accept: (channel: Channel, protocol: Protocol | null) => void
}

/** A listener with the sockets behind it. */
export interface OpenListener extends Listener {
  readonly datagrams: Datagrams | null
  /** Accepts nothing more; connections that are in the middle of a handshake end. */
  close(): void
}

/**
 * Opens a listener.
 * @throws SilopathError LISTEN_FAILED, or CONFIG_INVALID for its certificates
 */
export async function openListener(config: ListenConfig, context: ListenerContext): Promise<OpenListener> {
  const { transports, protocols } = listenSchemes[config.scheme]
  for (let tries = 1; ; tries++) {
    const pending = new Pending(context)
    const server = serverFor(config, context, pending)
    try {
      const { address, port } = await listen(server, config)
      const datagrams = transports.includes('udp') ? await openDatagrams(address, port, context.row) : null
      server.on('error', (err) => context.log.error({ err, url: config.url }, 'a listener failed'))
      const close = () => {
        server.close()
        datagrams?.close()
        pending.destroy()
      }
      return { config, port, protocols, transports, datagrams, close }
    } catch (cause) {
      server.close()
      const { code, message } = cause as NodeJS.ErrnoException
      // The port that TCP got need not be free for UDP.
      if (code === 'EADDRINUSE' && config.port === 0 && tries < PORT_TRIES) continue
      const remedy = code === 'EADDRINUSE' ? 'Remedy: stop what uses the port, or listen on another' : message
      throw new SilopathError('LISTEN_FAILED', `cannot listen on ${config.url}: ${code}. ${remedy}`, { cause })
    }
  }
}

async function listen(server: Server, { host, port }: ListenConfig): Promise<AddressInfo> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  server.once('error', reject)
  server.listen({ host, port, backlog: 4096 }, resolve)
  await promise
  server.off('error', reject)
  return server.address() as AddressInfo
}

/** Connections of a listener that are in the middle of a handshake: those over the limit are closed at once. */
class Pending {
  readonly #context: ListenerContext
  readonly #sockets = new Map<string, Socket>()

  constructor(context: ListenerContext) {
    this.#context = context
  }

  begin(socket: Socket): void {
    if (this.#sockets.size >= this.#context.maxConnections) {
      this.#context.row[C.connectionsRefused]! += 1
      socket.destroy()
      return
    }
    const key = nameOf(socket)
    this.#sockets.set(key, socket)
    socket.once('close', () => {
      if (this.#sockets.get(key) === socket) this.#sockets.delete(key)
    })
  }

  /** @param socket the one that began, or the one of TLS on it */
  end(socket: Socket): void {
    this.#sockets.delete(nameOf(socket))
  }

  destroy(): void {
    for (const socket of this.#sockets.values()) socket.destroy()
  }
}

function nameOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`
}

function serverFor(config: ListenConfig, context: ListenerContext, pending: Pending): Server {
  const secure = isSecure(config.scheme)
  switch (config.scheme) {
    case 'ws':
    case 'wss':
      return webSocketServer(config, context, pending)
    default:
      return secure ? tlsServer(config, context, pending) : tcpServer(config, context)
  }
}

/** The one protocol of a listener, if there is one. */
function onlyProtocol({ scheme }: ListenConfig): Protocol | null {
  const { protocols } = listenSchemes[scheme]
  return protocols.length === 1 ? protocols[0]! : null
}

function tcpServer(config: ListenConfig, { readBuffer, accept }: ListenerContext): Server {
  const protocol = onlyProtocol(config)
  return createServer({ pauseOnConnect: true, allowHalfOpen: true, noDelay: true }, (accepted) => {
    const reading: Reading = { reader: null }
    const socket = readInto(accepted, readBuffer, reading)
    accept(new StreamChannel('tcp', socket, reading), protocol)
  })
}

function tlsServer(config: ListenConfig, context: ListenerContext, pending: Pending): Server {
  const protocol = onlyProtocol(config)
  const options = { ...readCertificates(config), allowHalfOpen: true, noDelay: true, handshakeTimeout: HANDSHAKE_MS }
  const server = createTlsServer(options, (accepted) => {
    pending.end(accepted)
    const reading: Reading = { reader: null }
    const socket = copyInto(accepted, context.readBuffer, reading)
    context.accept(new StreamChannel('tls', socket, reading), protocol)
  })
  tellTlsErrors(server, context)
  return server.on('connection', (socket: Socket) => pending.begin(socket))
}

function webSocketServer(config: ListenConfig, context: ListenerContext, pending: Pending): Server {
  const { log, row, readBuffer, accept } = context
  const transport = isSecure(config.scheme) ? 'wss' : 'ws'
  const { protocols } = listenSchemes[config.scheme]
  const handshake = new WebSocketHandshake(protocols, READ_OCTETS, (why) => {
    row[C.handshakesFailedWebSocket]! += 1
    log.info({ url: config.url, why }, 'WebSocket refused')
  })
  const options = {
    noDelay: true,
    headersTimeout: HANDSHAKE_MS,
    requestTimeout: HANDSHAKE_MS,
    connectionsCheckingInterval: HANDSHAKE_MS / 10,
    keepAliveTimeout: 1,
  }
  let server: HttpServer
  if (transport === 'ws') server = createHttpServer(options, refuseRequest)
  else {
    server = createHttpsServer(
      { ...options, ...readCertificates(config), handshakeTimeout: HANDSHAKE_MS },
      refuseRequest,
    )
    tellTlsErrors(server, context)
  }
  server.on('upgrade', (request, socket, head) =>
    handshake.upgrade(request, socket, head, (webSocket, protocol, underneath) => {
      pending.end(underneath)
      accept(new WebSocketChannel(transport, protocol, webSocket, underneath, readBuffer), protocol)
    }),
  )
  return server.on('connection', (socket: Socket) => pending.begin(socket))
}

function tellTlsErrors(server: Server, { log, row }: ListenerContext): void {
  server.on('tlsClientError', (error: NodeJS.ErrnoException, socket: Socket) => {
    row[C.handshakesFailedTls]! += 1
    log.info({ peer: socket.remoteAddress, why: error.code ?? error.message }, 'TLS handshake failed')
    socket.destroy()
  })
}
