import { createSocket, type Socket as UdpSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer as createHttpServer } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import { type AddressInfo, connect as connectTcp, createServer, type Server, type Socket } from 'node:net'
import { connect as connectTls, createServer as createTlsServer } from 'node:tls'
import { WebSocket, WebSocketServer } from 'ws'

export type Transport = 'udp' | 'tcp' | 'tls' | 'ws' | 'wss'

export interface Address {
  readonly host: string
  readonly port: number
}

/** PEM texts. `ca` to verify the server by, `cert` and `key` to listen with or to show to the server. */
export interface TlsFiles {
  readonly ca?: string
  readonly cert?: string
  readonly key?: string
  /** The name the server's certificate must have; its address unless given. */
  readonly servername?: string
}

/** A connection, or what is sent to and received from one UDP address. */
export interface Flow {
  readonly remote: Address
  /** The local port the peer sees. */
  readonly localPort: number
  /** Keep-alives that have not been answered. */
  pings: number
  send(octets: Uint8Array | string): void
  /** Closes at once; nothing on UDP. */
  close(): void
}

export interface ChannelEvents {
  /** A whole message: what one datagram or one WebSocket message held, or what was cut from a stream. */
  onMessage(octets: Buffer, flow: Flow): void
  onPong(flow: Flow): void
  onStun(octets: Buffer): void
  /** Something no correct peer sends. */
  onFault(what: string, octets: Buffer): void
  onClose(flow: Flow, why: string): void
}

export interface ChannelOptions {
  readonly transport: Transport
  /** Null: only listens. */
  readonly server: Address | null
  readonly isListening: boolean
  readonly tls: TlsFiles
  /** Where to bind or listen. */
  readonly host: string
}

export interface Channel {
  /** Where the channel is reached: the listening address, or the local end of its connection. */
  readonly local: Address
  /** To the server. */
  readonly flow: Flow | null
  close(): Promise<void>
}

const crlf = '\r\n'

/** Opens what the options ask for, and resolves when it is connected and listening. */
export function openChannel(options: ChannelOptions, events: ChannelEvents): Promise<Channel> {
  if (options.transport === 'udp') return openUdp(options, events)
  return openConnections(options, events)
}

async function openUdp({ server, host }: ChannelOptions, events: ChannelEvents): Promise<Channel> {
  const socket: UdpSocket = createSocket('udp4')
  socket.bind(0, host)
  await once(socket, 'listening')
  const local: Address = { host, port: socket.address().port }
  const flows = new Map<string, Flow>()
  const flowTo = (remote: Address): Flow => {
    const key = `${remote.host}:${remote.port}`
    const send = (octets: Uint8Array | string) => socket.send(octets, remote.port, remote.host)
    const flow = flows.get(key) ?? { remote, localPort: local.port, pings: 0, send, close: () => {} }
    flows.set(key, flow)
    return flow
  }
  socket.on('error', (error) => events.onFault(`the socket failed: ${error.message}`, Buffer.alloc(0)))
  socket.on('message', (octets, { address, port }) => {
    // STUN begins with two zero bits, SIP with a letter (S-91).
    if ((octets[0] ?? 0xff) < 4) events.onStun(octets)
    else events.onMessage(octets, flowTo({ host: address, port }))
  })
  const close = async () => {
    const closed = once(socket, 'close')
    socket.close()
    await closed
  }
  return { local, flow: server && flowTo(server), close }
}

async function openConnections(options: ChannelOptions, events: ChannelEvents): Promise<Channel> {
  const flows = new Set<Flow>()
  const noted: ChannelEvents = {
    ...events,
    onClose(flow, why) {
      flows.delete(flow)
      events.onClose(flow, why)
    },
  }
  const isWebSocket = options.transport === 'ws' || options.transport === 'wss'
  const add = (flow: Flow): Flow => {
    flows.add(flow)
    return flow
  }
  const listener = options.isListening
    ? await (isWebSocket ? listenWebSocket : listenStream)(options, (open) => add(open(noted)))
    : null
  const flow =
    options.server && add(await (isWebSocket ? connectWebSocket : connectStream)(options, options.server, noted))
  const port = listener === null ? (flow?.localPort ?? 0) : (listener.address() as AddressInfo).port
  const close = async () => {
    for (const open of flows) open.close()
    if (listener === null) return
    const closed = once(listener, 'close')
    listener.close()
    await closed
  }
  return { local: { host: options.host, port }, flow, close }
}

type Accept = (open: (events: ChannelEvents) => Flow) => void

async function listening(server: Server, host: string): Promise<Server> {
  server.listen(0, host)
  await once(server, 'listening')
  return server
}

function listenStream({ transport, tls, host }: ChannelOptions, accept: Accept): Promise<Server> {
  const onSocket = (socket: Socket) => accept((events) => streamFlow(socket, events))
  const server =
    transport === 'tls' ? createTlsServer({ cert: tls.cert, key: tls.key }, onSocket) : createServer(onSocket)
  return listening(server, host)
}

function listenWebSocket({ transport, tls, host }: ChannelOptions, accept: Accept): Promise<Server> {
  const server = transport === 'wss' ? createHttpsServer({ cert: tls.cert, key: tls.key }) : createHttpServer()
  const sockets = new WebSocketServer({ server, handleProtocols: (offered) => offered.has('sip') && 'sip' })
  sockets.on('connection', (socket, request) => accept((events) => webSocketFlow(socket, request.socket, events)))
  return listening(server, host)
}

async function connectStream(
  { transport, tls }: ChannelOptions,
  server: Address,
  events: ChannelEvents,
): Promise<Flow> {
  const socket = transport === 'tls' ? connectTls({ ...server, ...tls }) : connectTcp({ ...server, noDelay: true })
  await once(socket, transport === 'tls' ? 'secureConnect' : 'connect')
  return streamFlow(socket, events)
}

async function connectWebSocket(
  { transport, tls }: ChannelOptions,
  { host, port }: Address,
  events: ChannelEvents,
): Promise<Flow> {
  const socket = new WebSocket(`${transport}://${host}:${port}/`, 'sip', tls)
  const [response] = await Promise.all([once(socket, 'upgrade'), once(socket, 'open')])
  if (socket.protocol !== 'sip') throw new Error(`the server chose the subprotocol "${socket.protocol}" (S-25)`)
  return webSocketFlow(socket, response[0].socket, events)
}

function endsOf(socket: Socket): { remote: Address; localPort: number } {
  return {
    remote: { host: socket.remoteAddress ?? '', port: socket.remotePort ?? 0 },
    localPort: socket.localPort ?? 0,
  }
}

function streamFlow(socket: Socket, events: ChannelEvents): Flow {
  const flow: Flow = {
    ...endsOf(socket),
    pings: 0,
    send: (octets) => void socket.write(octets),
    close: () => void socket.destroy(),
  }
  let rest: Buffer = Buffer.alloc(0)
  let why = 'closed'
  socket.on('data', (octets: Buffer) => {
    rest = cutStream(Buffer.concat([rest, octets]), flow, events)
  })
  // A reset is one of the ways a connection ends: 'close' follows, and says what happened.
  socket.on('error', (error) => (why = `failed (${error.message})`))
  socket.once('close', () => {
    if (rest.length > 0) events.onFault('the connection ended inside a message', rest)
    events.onClose(flow, why)
  })
  return flow
}

/** Delivers every whole message and keep-alive, and returns the octets of what is not whole yet. */
function cutStream(octets: Buffer, flow: Flow, events: ChannelEvents): Buffer {
  let rest = octets
  while (rest.length > 0) {
    if (rest[0] === 13) {
      const length = keepAlive(rest, flow, events)
      if (length === 0) return rest
      rest = rest.subarray(length)
      continue
    }
    const headEnd = rest.indexOf('\r\n\r\n')
    if (headEnd < 0) return rest
    const lengths = [...rest.toString('latin1', 0, headEnd).matchAll(/\r\n(?:content-length|l)[ \t]*:[ \t]*(\d+)/gi)]
    // Without one the framing is lost (S-5): the message is taken as bodiless, and reported when it is checked.
    const end = headEnd + 4 + Number(lengths[0]?.[1] ?? 0)
    if (rest.length < end) return rest
    events.onMessage(rest.subarray(0, end), flow)
    rest = rest.subarray(end)
  }
  return rest
}

/** Octets of the keep-alive at the start (S-12, S-92); 0 when more are needed to tell. */
function keepAlive(octets: Buffer, flow: Flow, events: ChannelEvents): number {
  const text = octets.toString('latin1', 0, 4)
  if (flow.pings > 0 && text.startsWith(crlf)) {
    flow.pings--
    events.onPong(flow)
    return 2
  }
  if (text === crlf + crlf) {
    flow.send(crlf)
    return 4
  }
  if ((crlf + crlf).startsWith(text)) return 0
  events.onFault('a CR that begins neither the answer to a keep-alive nor a keep-alive', octets)
  return octets.length
}

function webSocketFlow(socket: WebSocket, underneath: Socket, events: ChannelEvents): Flow {
  const flow: Flow = {
    ...endsOf(underneath),
    pings: 0,
    send: (octets) => socket.send(octets),
    close: () => socket.terminate(),
  }
  let why = 'closed'
  socket.on('message', (data: Buffer) => {
    // One SIP message or keep-alive a WebSocket message (S-25).
    if (data[0] !== 13) events.onMessage(data, flow)
    else if (keepAlive(data, flow, events) !== data.length) events.onFault('not one keep-alive in a message', data)
  })
  socket.on('error', (error) => (why = `failed (${error.message})`))
  socket.once('close', () => events.onClose(flow, why))
  return flow
}
