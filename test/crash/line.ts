import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { type Line, type LineEvents, openLine } from '../../bench/load/sip/lines.ts'
import type { SipTransport } from '../../bench/load/sip/options.ts'
import { domain, host, type Victim } from './victim.ts'

/** A line to the server. One over UDP outlives it, and never closes. @throws Error when the server is not there */
export function openLineTo({ port }: Victim, transport: SipTransport, events: LineEvents): Promise<Line> {
  if (transport === 'udp') return openUdp(port, events)
  return openLine('tcp', { host, port, pid: null, domain, password: '' }, events)
}

/** Ports of lines over UDP. Nobody gets one that another device may still be registered with. */
const usedPorts = new Set<number>()

/** A socket on a port that no line has had. */
async function bindNew(): Promise<Socket> {
  for (;;) {
    const socket = createSocket('udp4')
    socket.bind(0, host)
    await once(socket, 'listening')
    const { port } = socket.address()
    if (!usedPorts.has(port)) {
      usedPorts.add(port)
      return socket
    }
    socket.close()
  }
}

/** Not connected: such a socket fails for good when there is nobody at the other end for a while. */
async function openUdp(serverPort: number, events: LineEvents): Promise<Line> {
  const socket = await bindNew()
  socket.on('message', events.onMessage)
  let isClosed = false
  return {
    port: socket.address().port,
    send: (text) => {
      if (!isClosed) socket.send(Buffer.from(text, 'latin1'), serverPort, host)
    },
    close: () => {
      isClosed = true
      socket.close()
    },
  }
}
