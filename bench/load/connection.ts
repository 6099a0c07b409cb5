import { connect, type Socket } from 'node:net'
import { type FrameHandler, FrameReader, type Head, type Inbox } from './frame-reader.ts'
import type { Target } from './options.ts'
import { randomIdent } from './sequence.ts'

/** Until a connection is given its part, nothing may arrive on it but the answer to an exchange. */
const discard: FrameHandler = {
  whole: () => 0,
  head: () => undefined,
  body: () => undefined,
  end: () => undefined,
  broken: () => undefined,
  drained: () => undefined,
}

/** One connection to the relay and the MSRP URI of the client at its near end. */
export class Connection {
  readonly socket: Socket
  readonly uri: string
  readonly #reader: FrameReader

  private constructor(socket: Socket, reader: FrameReader) {
    this.socket = socket
    this.#reader = reader
    this.uri = `msrp://${socket.localAddress}:${socket.localPort}/${randomIdent(20)};tcp`
  }

  static open(target: Target, inbox: Inbox): Promise<Connection> {
    return new Promise((resolve, reject) => {
      const reader = new FrameReader(inbox, discard)
      const socket: Socket = connect({
        host: target.host,
        port: target.port,
        noDelay: true,
        onread: {
          buffer: inbox.readArea,
          callback: (octets) => {
            reader.read(octets)
            return true
          },
        },
      })
      socket.once('error', reject)
      socket.once('connect', () => {
        socket.off('error', reject)
        // Whatever ends a connection ends in 'close', which its user listens for.
        socket.on('error', () => undefined)
        resolve(new Connection(socket, reader))
      })
    })
  }

  /** From now on frames go to this handler. */
  handOver(handler: FrameHandler): void {
    this.#reader.handler = handler
  }

  /** Sends one request while nothing else goes on, and waits for the head of the one frame that answers it. */
  exchange(request: string): Promise<Head> {
    return new Promise((resolve, reject) => {
      const fail = (why: string): void => reject(new Error(`the relay's answer cannot be used: ${why}`))
      const closed = (): void => fail('it closed the connection')
      this.socket.once('close', closed)
      let answer: Head | undefined
      this.handOver({
        ...discard,
        head: (head) => {
          answer = head
        },
        end: () => {
          this.socket.off('close', closed)
          this.handOver(discard)
          if (answer !== undefined) resolve(answer)
        },
        broken: fail,
      })
      this.socket.write(request, 'latin1')
    })
  }
}
