import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { connect } from 'node:net'
import type { SipTarget, SipTransport } from './options.ts'

/** A user's socket: UDP, connected to the server, or a TCP connection. */
export interface Line {
  readonly port: number
  /** @param text a whole message, latin1 */
  send(text: string): void
  close(): void
}

export interface LineEvents {
  /** A whole message; its octets stay as they are. */
  onMessage(octets: Buffer): void
  onClose(why: string): void
}

const HEAD_END = Buffer.from('\r\n\r\n')

export const openLine = (transport: SipTransport, target: SipTarget, events: LineEvents): Promise<Line> =>
  transport === 'udp' ? openUdp(target, events) : openTcp(target, events)

const openUdp = async ({ host, port }: SipTarget, events: LineEvents): Promise<Line> => {
  const socket = createSocket('udp4')
  socket.connect(port, host)
  await once(socket, 'connect')
  socket.on('message', events.onMessage)
  socket.on('error', ({ message }) => events.onClose(message))
  return {
    port: socket.address().port,
    send: (text) => socket.send(Buffer.from(text, 'latin1')),
    close: () => socket.close(),
  }
}

const openTcp = async ({ host, port }: SipTarget, events: LineEvents): Promise<Line> => {
  const socket = connect({ host, port, noDelay: true })
  await once(socket, 'connect')
  let rest: Buffer | null = null
  socket.on('data', (read: Buffer) => {
    rest = cutMessages(rest === null ? read : Buffer.concat([rest, read]), events)
  })
  let why = 'the server closed a connection'
  socket.on('error', ({ message }) => (why = message))
  socket.once('close', () => events.onClose(why))
  return {
    port: socket.localPort ?? 0,
    send: (text) => void socket.write(text, 'latin1'),
    close: () => {
      socket.removeAllListeners('close')
      socket.destroy()
    },
  }
}

/** Delivers every whole message, and returns what is left of the stream. */
const cutMessages = (octets: Buffer, events: LineEvents): Buffer | null => {
  let at = 0
  while (at < octets.length) {
    const headEnd = octets.indexOf(HEAD_END, at)
    if (headEnd < 0) break
    const length = /\r\n(?:Content-Length|l)[ \t]*:[ \t]*(\d+)/i.exec(octets.toString('latin1', at, headEnd))?.[1]
    if (length === undefined) {
      events.onClose('a message without Content-Length on a stream (S-5)')
      return null
    }
    const end = headEnd + HEAD_END.length + Number(length)
    if (end > octets.length) break
    events.onMessage(octets.subarray(at, end))
    at = end
  }
  return at === octets.length ? null : octets.subarray(at)
}
