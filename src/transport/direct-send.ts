import type { Socket } from 'node:dgram'

/** A handle of Node's for a UDP socket. Both ways to send return less than 0: an error; 0: it is queued; else it has left. */
interface Handle {
  send(request: SendRequest, octets: Uint8Array[], count: 1, port: number, address: string, tell: true): number
  send6(request: SendRequest, octets: Uint8Array[], count: 1, port: number, address: string, tell: true): number
}

interface SendRequest {
  /** `status` below 0: it was not sent. */
  oncomplete: ((status: number) => void) | null
  /** Kept from the garbage collector until it has been sent. */
  octets: Uint8Array | null
}

/** What Node's own sockets use to send; there is no public way past them. */
interface Binding {
  readonly SendWrap: new () => SendRequest
  readonly UDP: new () => Handle
}

/** Null when this Node does not offer it: then all datagrams go through its sockets. */
const binding = findBinding()

function findBinding(): Binding | null {
  const { binding: find } = process as unknown as { binding?: (name: string) => Partial<Binding> }
  if (find === undefined) return null
  try {
    const { SendWrap, UDP } = find('udp_wrap')
    return SendWrap && UDP ? { SendWrap, UDP } : null
  } catch {
    return null
  }
}

/** What has become of a datagram: `left`, the operating system has it; `queued`, `done` tells; `failed`, it cannot be sent. */
export type DirectSend = 'left' | 'queued' | 'failed'

/** Sends a datagram to an IP address of the socket's family. `done` is called if it is queued, with whether it has left. */
export type SendDirectly = (
  octets: Uint8Array,
  port: number,
  address: string,
  done: (left: boolean) => void,
) => DirectSend

/**
 * The way to send past a bound socket's own `send`, which looks at every argument, asks for the address and tells the
 * outcome a tick later: that takes longer than all else that we do with a datagram. Null where there is none.
 */
export function directSend(socket: Socket, family: 4 | 6): SendDirectly | null {
  const handle = handleOf(socket)
  if (binding === null || !(handle instanceof binding.UDP)) return null
  const { SendWrap } = binding
  /** A request that nothing is queued with: nearly all leave at once. */
  let spare: SendRequest | null = null
  const list: Uint8Array[] = []
  return (octets, port, address, done) => {
    const request = spare ?? new SendWrap()
    spare = null
    request.octets = octets
    request.oncomplete = (status) => done(status >= 0)
    list[0] = octets
    const outcome =
      family === 6
        ? handle.send6(request, list, 1, port, address, true)
        : handle.send(request, list, 1, port, address, true)
    if (outcome === 0) return 'queued'
    request.octets = request.oncomplete = null
    spare = request
    return outcome > 0 ? 'left' : 'failed'
  }
}

function handleOf(socket: Socket): unknown {
  const state = Object.getOwnPropertySymbols(socket).find(({ description }) => description === 'state symbol')
  if (state === undefined) return null
  return (socket as unknown as Record<symbol, { readonly handle?: unknown } | undefined>)[state]?.handle
}
