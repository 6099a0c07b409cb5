// What our Record-Route URIs carry in their user part: the ways of both sides of a dialog, sealed (RFC 5626 §5.3, S-70). A
// request inside the dialog that brings one back is let through, and finds the other side although its contact, behind
// NAT or in a browser, is no address (S-71). The seal covers who calls whom: whoever gets to know a token can use it
// neither to reach anybody else nor in anybody else's name (S-54).
import { Buffer } from 'node:buffer'
import { createHmac, timingSafeEqual } from 'node:crypto'
import type { ConnectionId } from '../ids.ts'
import type { SipRequest } from '../parser/sip/message.ts'
import { aorOf } from '../parser/sip/uri.ts'
import type { NameAddr } from '../parser/sip/values.ts'

const SEAL_OCTETS = 12
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

/** The way that the request came which began a dialog, and the one it went. */
export interface DialogFlows {
  readonly caller: FlowEnd
  readonly callee: FlowEnd
}

export class FlowTokens {
  readonly #key: Uint8Array

  /** @param key secret, the same in all lanes and, for dialogs to outlive a restart, in all runs */
  constructor(key: Uint8Array) {
    this.#key = key
  }

  /** A token for the dialog that a request begins, in characters that a URI's user part holds as they are. */
  make({ callId, from, to }: SipRequest, { caller, callee }: DialogFlows): string {
    const body = Buffer.from(JSON.stringify([pack(caller), pack(callee)]))
    return Buffer.concat([this.#seal(body, callId, from, to), body]).toString('base64url')
  }

  /** The side that a request inside the dialog goes to; null: the token is none of ours, or of another dialog. */
  read({ callId, from, to }: SipRequest, token: string): FlowEnd | null {
    if (!shape.test(token)) return null
    const octets = Buffer.from(token, 'base64url')
    const seal = octets.subarray(0, SEAL_OCTETS)
    const body = octets.subarray(SEAL_OCTETS)
    const byCaller = timingSafeEqual(seal, this.#seal(body, callId, from, to))
    if (!byCaller && !timingSafeEqual(seal, this.#seal(body, callId, to, from))) return null
    const [caller, callee] = JSON.parse(body.toString()) as [Packed, Packed]
    return unpack(byCaller ? callee : caller)
  }

  #seal(body: Uint8Array, callId: string, caller: NameAddr | null, callee: NameAddr | null): Buffer {
    const dialog = JSON.stringify([callId, caller?.tag, nameOf(caller), nameOf(callee)])
    return createHmac('sha256', this.#key).update(body).update('\0').update(dialog).digest().subarray(0, SEAL_OCTETS)
  }
}

/** Who a From or To means, however it is written. */
function nameOf(party: NameAddr | null): string | null {
  if (party === null) return null
  return party.uri === null ? party.uriText : aorOf(party.uri)
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
