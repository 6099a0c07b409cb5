import { Buffer } from 'node:buffer'
import type { Protocol } from '../config/address.ts'
import type { Address, ConnectionId } from '../ids.ts'
import { slotOf } from './connections.ts'
import type { Flow, StreamTransport } from './lane-port.ts'

/** Octets of a flow: listener, transport, protocol, length of the address, port, address. */
export const FLOW_OCTETS = 64

const TRANSPORT = 2
const PROTOCOL = 3
const LENGTH = 4
const PORT = 6
const ADDRESS = 8

const transports: readonly StreamTransport[] = ['tcp', 'tls', 'ws', 'wss']
const protocols: readonly (Protocol | null)[] = [null, 'msrp', 'sip']

/**
 * Where connections lead, by slot. The primary writes it before it tells the lane of the connection, so a ring's record
 * has room for it and its memory can never run out. It stays as it is until the lane has forgotten the connection.
 */
export class Flows {
  readonly #octets: Buffer
  readonly #first: Address

  constructor(buffer: ArrayBufferLike, start: Address) {
    this.#octets = Buffer.from(buffer as ArrayBuffer)
    this.#first = start
  }

  #at(connection: ConnectionId): number {
    return this.#first + slotOf(connection) * FLOW_OCTETS
  }

  set(connection: ConnectionId, { listener, transport, protocol, address, port }: Flow): void {
    const octets = this.#octets
    const at = this.#at(connection)
    octets.writeInt16LE(listener, at)
    octets[at + TRANSPORT] = transports.indexOf(transport)
    octets[at + PROTOCOL] = protocols.indexOf(protocol)
    octets[at + LENGTH] = octets.write(address, at + ADDRESS, FLOW_OCTETS - ADDRESS, 'latin1')
    octets.writeUInt16LE(port, at + PORT)
  }

  get(connection: ConnectionId): Flow {
    const octets = this.#octets
    const at = this.#at(connection)
    return {
      listener: octets.readInt16LE(at),
      transport: transports[octets[at + TRANSPORT]!]!,
      protocol: protocols[octets[at + PROTOCOL]!]!,
      address: octets.toString('latin1', at + ADDRESS, at + ADDRESS + octets[at + LENGTH]!),
      port: octets.readUInt16LE(at + PORT),
    }
  }
}
