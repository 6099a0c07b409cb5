import { createConnection, isIP, type Socket } from 'node:net'
import { checkServerIdentity, connect as connectTls, type PeerCertificate, type SecureContextOptions } from 'node:tls'
import { formatEndpoint } from '../config/address.ts'
import type { ConnectionId } from '../ids.ts'
import type { Logger } from '../log.ts'
import type { NextHop } from '../workers/lane-port.ts'
import { type Channel, StreamChannel } from './channel.ts'
import { copyInto, type Reading, readOptions } from './socket.ts'

/** Gets the connection to a next hop; 0 when there is none. */
export type OnConnected = (id: ConnectionId | 0) => void

export interface OutgoingOptions {
  readonly log: Logger
  readonly readBuffer: Uint8Array
  /** How long connecting may take, with the handshake of TLS. */
  readonly timeoutMs: number
  readonly secure: SecureContextOptions
  /** Makes a connection of a channel; 0 when there is no room for it. */
  readonly adopt: (channel: Channel, hop: NextHop, key: string) => ConnectionId | 0
  /** Whether a connection can still be used. */
  readonly isWritable: (id: ConnectionId) => boolean
}

/** Connections that we make, each to be used again (M-80). */
export class Outgoing {
  readonly #options: OutgoingOptions
  readonly #hops = new Map<string, ConnectionId | { readonly waiting: OnConnected[] }>()
  /** Connections that are being made. */
  readonly #connecting = new Set<Socket>()

  constructor(options: OutgoingOptions) {
    this.#options = options
  }

  /** Connects to a next hop, or finds the connection that is there. */
  connect(hop: NextHop, answer: OnConnected): void {
    const key = hopKey(hop)
    const known = this.#hops.get(key)
    if (typeof known === 'number' && this.#options.isWritable(known)) {
      answer(known)
      return
    }
    if (typeof known === 'object') {
      known.waiting.push(answer)
      return
    }
    const waiting = [answer]
    this.#hops.set(key, { waiting })
    this.#dial(hop, key, (id) => {
      if (id === 0) this.#hops.delete(key)
      else this.#hops.set(key, id)
      for (const one of waiting) one(id)
    })
  }

  /** A connection that was made is gone. */
  gone(key: string, id: ConnectionId): void {
    if (this.#hops.get(key) === id) this.#hops.delete(key)
  }

  close(): void {
    for (const socket of this.#connecting) socket.destroy(new Error('the server is closing'))
  }

  #dial(hop: NextHop, key: string, done: OnConnected): void {
    const { log, timeoutMs, adopt } = this.#options
    const reading: Reading = { reader: null }
    const socket = hop.transport === 'tls' ? this.#openTls(hop, reading) : this.#openTcp(hop, reading)
    this.#connecting.add(socket)
    const settle = (id: ConnectionId | 0) => {
      clearTimeout(timer)
      this.#connecting.delete(socket)
      done(id)
    }
    const fail = (why: string) => {
      log.info({ peer: key, err: why }, 'next hop unreachable')
      socket.off('error', failed)
      // It may fail a second time on its way out.
      socket.on('error', () => {})
      socket.destroy()
      settle(0)
    }
    const failed = (error: Error) => fail(error.message)
    const timer = setTimeout(() => fail('no connection in time'), timeoutMs)
    socket.once('error', failed)
    socket.once(hop.transport === 'tls' ? 'secureConnect' : 'connect', () => {
      socket.off('error', failed)
      const channel = new StreamChannel(hop.transport, socket, reading)
      const id = adopt(channel, hop, key)
      if (id === 0) socket.destroy()
      settle(id)
    })
  }

  #openTcp({ host, port }: NextHop, reading: Reading): Socket {
    const read = readOptions(this.#options.readBuffer, reading)
    return createConnection({ host, port, noDelay: true, allowHalfOpen: true, ...read })
  }

  /** R-5, M-84: the certificate must be for the name that was asked for, and of a CA that is trusted. */
  #openTls({ host, port, servername = host }: NextHop, reading: Reading): Socket {
    const options = {
      ...this.#options.secure,
      host,
      port,
      allowHalfOpen: true,
      rejectUnauthorized: true,
      checkServerIdentity: (_: string, certificate: PeerCertificate) => checkServerIdentity(servername, certificate),
      // RFC 6066: an address is no name to ask for.
      ...(isIP(servername) === 0 && { servername }),
    }
    const socket = connectTls(options)
    socket.setNoDelay(true)
    return copyInto(socket, this.#options.readBuffer, reading)
  }
}

/** What two next hops have in common if one connection serves both. */
function hopKey({ protocol, transport, host, port, servername = host }: NextHop): string {
  const name = servername === host ? '' : ` (${servername})`
  return `${protocol}/${transport}:${formatEndpoint({ host, port })}${name}`
}
