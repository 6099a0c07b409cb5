import assert from 'node:assert/strict'
import type { Buffer } from 'node:buffer'
import { Socket, type SocketConstructorOpts } from 'node:net'

/** Who a socket gives to what it has read. */
export interface Reading {
  /** Null: nobody yet, and nothing may be read. */
  reader: {
    /** `octets` octets at the start of the buffer, which are overwritten by the next read. */
    received(octets: number): void
  } | null
}

function give({ reader }: Reading, octets: number): void {
  assert(reader !== null, 'a socket has been read before anybody listened to it')
  reader.received(octets)
}

interface Handle {
  readonly readStop?: () => void
}

/**
 * Makes a socket, just accepted and not yet reading, read straight into `buffer`, which may be shared memory and may be
 * shared with other sockets: a read and its callback are one step. Node offers this for sockets that it opens, not for
 * those it accepts, so the accepted one's handle moves to a new socket. Should a later Node not let go of the handle,
 * octets are copied into the buffer piece by piece.
 */
export function readInto(accepted: Socket, buffer: Uint8Array, reading: Reading): Socket {
  const from = accepted as unknown as { _handle: Handle | null }
  const handle = from._handle
  if (handle !== null && typeof handle === 'object' && typeof handle.readStop === 'function') {
    from._handle = null
    accepted.removeAllListeners()
    const options = { handle, allowHalfOpen: true, ...readOptions(buffer, reading) }
    const socket = new Socket(options as SocketConstructorOpts)
    // A new one reads at once, and while the server starts there is nobody yet to give it to.
    return socket.pause()
  }
  return copyInto(accepted, buffer, reading)
}

/** Makes a socket that cannot read into `buffer`, such as one of TLS, copy what it has read there, piece by piece. */
export function copyInto(socket: Socket, buffer: Uint8Array, reading: Reading): Socket {
  socket.pause()
  socket.on('data', (octets: Buffer) => {
    for (let at = 0; at < octets.length; at += buffer.length) {
      const piece = octets.subarray(at, at + buffer.length)
      buffer.set(piece)
      give(reading, piece.length)
    }
  })
  return socket
}

/** The options of a socket that reads into `buffer`. */
export function readOptions(buffer: Uint8Array, reading: Reading): Pick<SocketConstructorOpts, 'onread'> {
  return {
    onread: {
      buffer,
      callback: (octets) => {
        give(reading, octets)
        return true
      },
    },
  }
}
