import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { MsrpClient } from '../../support/msrp-client.ts'
import { password, type Relay, username } from './relay.ts'

/** A frame as it came: cheap to make, for volumes that MsrpClient is too careful for. */
export interface Frame {
  readonly tid: string
  /** SEND, REPORT …; a response has a status instead. */
  readonly method: string | null
  readonly status: number | null
  readonly toPath: string
  readonly fromPath: string
  readonly messageId: string
  /** null: bodiless. Good until the handler returns. */
  readonly body: Buffer | null
}

/** An authenticated client on a raw socket. Frames go to whoever set `onRequest` and `onResponse`. */
export class Peer {
  readonly socket: Socket
  readonly uri: string
  /** Where this peer is reached: the relay's URI for its session. */
  readonly usePath: string
  /** Frames that are not for this peer, or are none at all: always a bug. */
  readonly strays: string[] = []
  readonly reports: Frame[] = []
  readonly closed: Promise<void>
  isClosed = false
  onRequest: (frame: Frame) => void = () => {}
  onResponse: (frame: Frame) => void = () => {}
  #unread: Buffer = Buffer.alloc(0)

  private constructor(socket: Socket, uri: string, usePath: string) {
    this.socket = socket
    this.uri = uri
    this.usePath = usePath
    socket.on('data', (octets: Buffer) => {
      // What the handlers write leaves at once.
      socket.cork()
      this.#read(octets)
      socket.uncork()
    })
    this.closed = new Promise((resolve) => {
      socket.once('close', () => {
        this.isClosed = true
        resolve()
      })
    })
  }

  static async open(relay: Relay): Promise<Peer> {
    const socket = await openSocket(relay)
    const client = new MsrpClient(socket)
    const { final, usePath } = await client.auth({ username, password })
    const [session] = usePath
    if (session === undefined) throw new Error(`AUTH was answered ${final.status}`)
    socket.removeAllListeners('data')
    return new Peer(socket, client.uri, session)
  }

  /** Peers of one lane have the same: a session-id begins with the lane that made it. */
  get laneMark(): string {
    return /\/(.)[^/]*$/.exec(this.usePath)?.[1] ?? ''
  }

  /** 200 OK to a SEND. */
  accept({ tid, toPath, fromPath }: Frame): void {
    if (!this.socket.writable) return
    const back = fromPath.split(' ', 1)[0]
    this.socket.write(`MSRP ${tid} 200 OK\r\nTo-Path: ${back}\r\nFrom-Path: ${toPath}\r\n-------${tid}$\r\n`, 'latin1')
  }

  #read(octets: Buffer): void {
    const all = this.#unread.length === 0 ? octets : Buffer.concat([this.#unread, octets])
    let at = 0
    for (let end = this.#frame(all, at); end > 0; end = this.#frame(all, at)) at = end
    this.#unread = all.subarray(at)
  }

  /** Takes the frame that begins at `start`. Where the next one begins, 0 when it is not there as a whole. */
  #frame(octets: Buffer, start: number): number {
    const lineEnd = octets.indexOf('\r\n', start)
    if (lineEnd < 0) return 0
    const [name, tid = '', what = ''] = octets.toString('latin1', start, lineEnd).split(' ')
    const endLine = octets.indexOf(`\r\n-------${tid}`, lineEnd, 'latin1')
    const end = endLine + 9 + tid.length + 3
    if (endLine < 0 || end > octets.length) return 0
    const headEnd = octets.indexOf('\r\n\r\n', lineEnd, 'latin1')
    const hasBody = headEnd >= 0 && headEnd < endLine
    const head = octets.toString('latin1', lineEnd, hasBody ? headEnd : endLine)
    const header = (wanted: string) => {
      const at = head.indexOf(`\r\n${wanted}: `)
      if (at < 0) return ''
      const valueAt = at + wanted.length + 4
      const valueEnd = head.indexOf('\r\n', valueAt)
      return head.slice(valueAt, valueEnd < 0 ? undefined : valueEnd)
    }
    const isResponse = /^\d{3}$/.test(what)
    const frame: Frame = {
      tid,
      method: isResponse ? null : what,
      status: isResponse ? Number(what) : null,
      toPath: header('To-Path'),
      fromPath: header('From-Path'),
      messageId: header('Message-ID'),
      body: hasBody ? octets.subarray(headEnd + 4, endLine) : null,
    }
    if (name !== 'MSRP' || frame.toPath !== this.uri) this.strays.push(octets.toString('latin1', start, start + 300))
    if (frame.method === 'REPORT') this.reports.push(frame)
    else if (isResponse) this.onResponse(frame)
    else this.onRequest(frame)
    return end
  }
}

/** A connection that is up. Whatever ends it ends in 'close'. */
export async function openSocket(relay: Relay): Promise<Socket> {
  const socket = connect({ host: '127.0.0.1', port: relay.port, noDelay: true })
  await once(socket, 'connect')
  socket.on('error', () => {})
  return socket
}
