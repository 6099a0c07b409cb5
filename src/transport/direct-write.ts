import type { Socket } from 'node:net'

/** A handle of Node's for a plain TCP socket: what is wrapped around one (TLS) is another class. */
interface Handle {
  writeBuffer(request: WriteRequest, octets: Uint8Array): number
}

/** Who has octets written. */
export interface Writer {
  /** The oldest of them that it had not been told of have left, or never will. */
  written(): void
}

interface WriteRequest {
  /** `status` below 0: the write has failed. */
  oncomplete: ((status: number) => void) | null
  /** Kept from the garbage collector until the write is complete. */
  octets: Uint8Array | null
}

/** What Node's own streams use to write; there is no public way past them. */
interface Binding {
  readonly WriteWrap: new () => WriteRequest
  readonly TCP: new (type: number) => Handle
  /** What the last call has to say, at these indices. */
  readonly streamBaseState: Int32Array
  readonly kLastWriteWasAsync: number
}

/** Null when this Node does not offer it: then all writes go through streams. */
const binding = findBinding()

function findBinding(): Binding | null {
  const { binding: find } = process as unknown as { binding?: (name: string) => Partial<Binding> }
  if (find === undefined) return null
  try {
    const { WriteWrap, streamBaseState, kLastWriteWasAsync } = find('stream_wrap')
    const { TCP } = find('tcp_wrap')
    if (!WriteWrap || !TCP || !streamBaseState || kLastWriteWasAsync === undefined) return null
    return { WriteWrap, TCP, streamBaseState, kLastWriteWasAsync }
  } catch {
    return null
  }
}

/** A request that no write holds: nearly all leave at once and need theirs no longer. */
let spare: WriteRequest | null = null

/**
 * What has become of a write: `left`, the operating system has all octets; `queued`, the callback tells; `failed`, the
 * connection is broken; `ordinary`, nothing was done: write through the stream.
 */
export type DirectWrite = 'left' | 'queued' | 'failed' | 'ordinary'

/**
 * Writes to a socket past its stream, whose bookkeeping costs more than all that a relay does with a short frame. For a
 * socket that is writable and that nothing waits in the stream of. Ending the stream sends what was queued here first.
 * @param writer is told, unless all left at once, when the octets have left or never will
 */
export function writeDirectly(socket: Socket, octets: Uint8Array, writer: Writer): DirectWrite {
  const handle = (socket as unknown as { _handle: unknown })._handle
  if (binding === null || socket.writableLength > 0 || !(handle instanceof binding.TCP)) return 'ordinary'
  const request = spare ?? new binding.WriteWrap()
  spare = null
  request.octets = octets
  if (handle.writeBuffer(request, octets) !== 0) return 'failed'
  if (binding.streamBaseState[binding.kLastWriteWasAsync] !== 0) {
    // Nobody is told before the next turn.
    request.oncomplete = (status) => {
      if (status < 0) socket.destroy()
      writer.written()
    }
    return 'queued'
  }
  request.octets = null
  spare = request
  return 'left'
}
