// What our Record-Route URIs carry in their user part: the ways of both sides of a dialog, sealed (RFC 5626 §5.3, S-70). A
// request inside the dialog that brings one back is let through, and finds the other side although its contact, behind
// NAT or in a browser, is no address (S-71).
import { createHmac, timingSafeEqual } from 'node:crypto'
import type { ConnectionId } from '../ids.ts'

const MAC_OCTETS = 12
const shape = /^[A-Za-z0-9_-]{16,400}$/

/** One side of a dialog, as it can be found again. */
export type FlowEnd =
  | {
      readonly kind: 'connection'
      /** -1: we made the connection. */
      readonly listener: number
      readonly connection: ConnectionId
      /** Names the run of the process that has the connection. */
      readonly epoch: string
    }
  | { readonly kind: 'udp'; readonly listener: number; readonly address: string; readonly port: number }

/** The way that a request came, and the one it went. */
export interface DialogFlows {
  readonly from: FlowEnd
  readonly to: FlowEnd
}

export class FlowTokens {
  readonly #key: Uint8Array

  /** @param key secret, the same in all lanes and, for dialogs to outlive a restart, in all runs */
  constructor(key: Uint8Array) {
    this.#key = key
  }

  /** A token for the dialog with this Call-ID, in characters that a URI's user part holds as they are. */
  make(callId: string, { from, to }: DialogFlows): string {
    const body = Buffer.from(JSON.stringify([pack(from), pack(to)]))
    return Buffer.concat([this.#mac(callId, body), body]).toString('base64url')
  }

  /** What a token says; null: it is none of ours, or of another dialog. */
  read(callId: string, token: string): DialogFlows | null {
    if (!shape.test(token)) return null
    const octets = Buffer.from(token, 'base64url')
    const body = octets.subarray(MAC_OCTETS)
    if (!timingSafeEqual(octets.subarray(0, MAC_OCTETS), this.#mac(callId, body))) return null
    const [from, to] = JSON.parse(body.toString()) as [Packed, Packed]
    return { from: unpack(from), to: unpack(to) }
  }

  #mac(callId: string, body: Uint8Array): Buffer {
    return createHmac('sha256', this.#key).update(body).update('\0').update(callId).digest().subarray(0, MAC_OCTETS)
  }
}

/** Connections are never 0. */
type Packed =
  | readonly [connection: number, listener: number, epoch: string]
  | readonly [0, listener: number, address: string, port: number]

function pack(end: FlowEnd): Packed {
  if (end.kind === 'connection') return [end.connection, end.listener, end.epoch]
  return [0, end.listener, end.address, end.port]
}

function unpack(packed: Packed): FlowEnd {
  if (packed.length === 4) return { kind: 'udp', listener: packed[1], address: packed[2], port: packed[3] }
  const [connection, listener, epoch] = packed
  return { kind: 'connection', listener, connection: connection as ConnectionId, epoch }
}
