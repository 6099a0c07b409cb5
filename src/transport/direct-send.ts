import type { Socket } from 'node:dgram'
import type { Address } from '../ids.ts'

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

/** What has become of a datagram: `left`, the operating system has it; `queued`, it will be told; `failed`, it cannot be sent. */
export type DirectSend = 'left' | 'queued' | 'failed'

/** Told of a datagram that was queued: the segment it lies in, its octets, and whether it has left or never will. */
export type OnSent = (segment: Address, octets: number, left: boolean) => void

/** Sends a datagram, which lies in a segment, to an IP address of the socket's family. */
export type SendDirectly = (octets: Uint8Array, port: number, address: string, segment: Address) => DirectSend

/**
 * The way to send past a bound socket's own `send`, which looks at every argument, asks for the address and tells the
 * outcome a tick later: that takes longer than all else that we do with a datagram. Null where there is none.
 */
export function directSend(socket: Socket, family: 4 | 6, onSent: OnSent): SendDirectly | null {
  const handle = handleOf(socket)
  if (binding === null || !(handle instanceof binding.UDP)) return null
  const { SendWrap } = binding
  /** A request that nothing is queued with: nearly all leave at once. */
  let spare: SendRequest | null = null
  const list: Uint8Array[] = []
  return (octets, port, address, segment) => {
    const request = spare ?? new SendWrap()
    spare = null
    request.octets = octets
    list[0] = octets
    const outcome =
      family === 6
        ? handle.send6(request, list, 1, port, address, true)
        : handle.send(request, list, 1, port, address, true)
    if (outcome === 0) {
      // Nobody is told before the next turn.
      request.oncomplete = (status) => onSent(segment, octets.length, status >= 0)
      return 'queued'
    }
    request.octets = null
    spare = request
    return outcome > 0 ? 'left' : 'failed'
  }
}

function handleOf(socket: Socket): unknown {
  const state = Object.getOwnPropertySymbols(socket).find(({ description }) => description === 'state symbol')
  if (state === undefined) return null
  return (socket as unknown as Record<symbol, { readonly handle?: unknown } | undefined>)[state]?.handle
}
