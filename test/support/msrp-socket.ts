import { once } from 'node:events'
import { connect as connectTcp, type Socket } from 'node:net'
import { Duplex } from 'node:stream'
import { connect as connectTls } from 'node:tls'
import { WebSocket } from 'ws'

/** What an MsrpClient needs of its connection. */
export interface MsrpSocket extends Duplex {
  readonly localAddress?: string | undefined
  readonly localPort?: number | undefined
  readonly remoteAddress?: string | undefined
  readonly remotePort?: number | undefined
  resetAndDestroy(): unknown
}

export type MsrpTransport = 'tcp' | 'tls' | 'ws' | 'wss'

/** Opens a connection. `ca` is what TLS trusts. */
export async function openMsrpSocket(transport: MsrpTransport, port: number, ca?: string): Promise<MsrpSocket> {
  const host = '127.0.0.1'
  switch (transport) {
    case 'tcp': {
      const socket = connectTcp({ port, host, noDelay: true })
      await once(socket, 'connect')
      return socket
    }
    case 'tls': {
      const socket = connectTls({ port, host, ...(ca !== undefined && { ca }) })
      await once(socket, 'secureConnect')
      return socket
    }
    default: {
      const url = `${transport}://${host}:${port}`
      const webSocket = new WebSocket(url, ['msrp'], { perMessageDeflate: false, ...(ca !== undefined && { ca }) })
      const [[{ socket }]] = await Promise.all([
        once(webSocket, 'upgrade') as Promise<[{ socket: Socket }]>,
        once(webSocket, 'open'),
      ])
      return new WebSocketSocket(webSocket, socket)
    }
  }
}

/** A WebSocket as a stream: what is written at once becomes a message (W-3). */
export class WebSocketSocket extends Duplex {
  readonly webSocket: WebSocket
  /** Every message that has come in, and whether it was binary. */
  readonly messages: { readonly octets: Buffer; readonly binary: boolean }[] = []
  /** Of the close frame; null before. */
  closeCode: number | null = null
  readonly #underneath: Socket

  constructor(webSocket: WebSocket, underneath: Socket) {
    super({ allowHalfOpen: false })
    this.webSocket = webSocket
    this.#underneath = underneath
    webSocket.on('message', (octets: Buffer, binary: boolean) => {
      this.messages.push({ octets, binary })
      if (!this.push(octets)) webSocket.pause()
    })
    webSocket.on('error', (error) => this.destroy(error))
    webSocket.on('close', (code) => {
      this.closeCode = code
      this.destroy()
    })
  }

  get localAddress(): string | undefined {
    return this.#underneath.localAddress
  }
  get localPort(): number | undefined {
    return this.#underneath.localPort
  }
  get remoteAddress(): string | undefined {
    return this.#underneath.remoteAddress
  }
  get remotePort(): number | undefined {
    return this.#underneath.remotePort
  }

  resetAndDestroy(): void {
    this.#underneath.resetAndDestroy()
  }

  override _read(): void {
    if (this.webSocket.isPaused) this.webSocket.resume()
  }

  override _write(octets: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    this.webSocket.send(octets, { binary: true }, done)
  }

  override _final(done: () => void): void {
    this.webSocket.close()
    done()
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.webSocket.terminate()
    done(error)
  }
}
