import type { Socket } from 'node:net'

const BATCH_OCTETS = 65_536

/** Where frames are composed before one write takes them all; shared by every connection, one at a time. */
export class Outbox {
  readonly #capacity: number
  bytes: Buffer
  length = 0

  /** @param frameMax octets of the longest frame */
  constructor(frameMax: number) {
    this.#capacity = Math.max(BATCH_OCTETS, frameMax)
    this.bytes = Buffer.allocUnsafeSlow(this.#capacity)
  }

  /** Makes room for one frame of `octets` for this socket and returns where it goes. */
  reserve(octets: number, socket: Socket): number {
    if (this.length + octets > this.#capacity) this.flush(socket)
    const at = this.length
    this.length = at + octets
    return at
  }

  flush(socket: Socket): void {
    if (this.length === 0) return
    const batch = this.bytes.subarray(0, this.length)
    this.length = 0
    if (socket.destroyed) return
    socket.write(batch)
    // What the kernel has not taken yet still lies in the buffer, so the socket keeps it and we take a new one.
    if (socket.writableLength > 0) this.bytes = Buffer.allocUnsafeSlow(this.#capacity)
  }
}
