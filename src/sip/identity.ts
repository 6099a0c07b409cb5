import { formatEndpoint } from '../config/address.ts'
import { aorOf, type SipUri } from '../parser/sip/uri.ts'

/** How SIP messages travel. */
export type SipTransport = 'udp' | 'tcp' | 'tls' | 'ws' | 'wss'

/** Whether nobody on the way can read or change what travels there. */
export function isSecureTransport(transport: SipTransport): boolean {
  return transport === 'tls' || transport === 'wss'
}

/** A listener as SIP speaks of it to others. */
export interface SipListener {
  /** Its index in the configuration. */
  readonly index: number
  readonly transports: readonly SipTransport[]
  /** Where it listens; an IPv6 address without brackets. */
  readonly host: string
  readonly port: number
  /** What others are told (Kamailio's `advertise`). */
  readonly advertisedHost: string
  readonly advertisedPort: number
}

const defaultPorts: Readonly<Record<SipTransport, number>> = { udp: 5060, tcp: 5060, tls: 5061, ws: 80, wss: 443 }

/** A name of this server, or of its users. */
interface Name {
  /** One of the domains. */
  isDomain: boolean
  /** One that a listener has, or is advertised with. */
  isHost: boolean
  /** Those that a URI with this host may have to name this server itself; null: none. */
  readonly ports: Set<number | null>
}

/** What names this server: which hosts are its domains, which URIs are itself, and how it signs (S-20, S-23, S-43). */
export class SipIdentity {
  readonly listeners: readonly SipListener[]
  /** The first domain: that of users who are called by one of our addresses. */
  readonly domain: string
  readonly #names = new Map<string, Name>()

  constructor(listeners: readonly SipListener[], domains: readonly string[]) {
    this.listeners = listeners
    this.domain = hostOf(domains[0]!)
    for (const { host, port, advertisedHost, advertisedPort, transports } of listeners) {
      for (const [at, portThere] of [
        [host, port],
        [advertisedHost, advertisedPort],
      ] as const) {
        const name = this.#add(at)
        name.isHost = true
        name.ports.add(portThere)
        // A URI without a port means the default one (S-20).
        if (transports.some((transport) => defaultPorts[transport] === portThere)) name.ports.add(null)
      }
    }
    for (const domain of domains) {
      const name = this.#add(domain)
      name.isDomain = true
      name.ports.add(null)
      for (const { port, advertisedPort } of listeners) name.ports.add(port).add(advertisedPort)
    }
  }

  #add(host: string): Name {
    const key = hostOf(host)
    const name = this.#names.get(key) ?? { isDomain: false, isHost: false, ports: new Set() }
    this.#names.set(key, name)
    return name
  }

  /** Hosts are mostly written in their one form already. */
  #find(host: string): Name | undefined {
    return this.#names.get(host) ?? this.#names.get(hostOf(host))
  }

  /** Whether the users of this host are ours: a domain, or one of our own addresses. */
  serves(uri: SipUri): boolean {
    const name = this.#find(uri.host)
    return name !== undefined && (name.isDomain || (name.isHost && name.ports.has(uri.port)))
  }

  /** The AoR of a user of ours (S-60): who is called by one of our addresses belongs to the first domain. */
  aor(uri: SipUri): string {
    return aorOf(this.#find(uri.host)?.isDomain ? uri : { ...uri, host: this.domain, port: null })
  }

  /** Whether a Via, Route or Request-URI with this host and port names this server itself (S-23, S-42). */
  isSelf({ host, port }: { readonly host: string; readonly port: number | null }): boolean {
    return this.#find(host)?.ports.has(port) ?? false
  }

  /** The listener that speaks for a transport: the one asked for, or the first that has it. */
  listenerFor(transport: SipTransport, index: number): SipListener | null {
    const asked = this.listeners.find((listener) => listener.index === index)
    if (asked?.transports.includes(transport)) return asked
    return this.listeners.find(({ transports }) => transports.includes(transport)) ?? asked ?? this.listeners[0] ?? null
  }

  /** Host and port that stand in Via and Record-Route for what is sent over this transport. */
  sentBy(transport: SipTransport, listener: number): string {
    const { advertisedHost, advertisedPort } = this.listenerFor(transport, listener)!
    return formatEndpoint({ host: advertisedHost, port: advertisedPort })
  }
}

/** As URIs write it, without the dot that a complete name may end with: it is the same name (S-60). */
function hostOf(host: string): string {
  const name = (host.endsWith('.') ? host.slice(0, -1) : host).toLowerCase()
  return name.includes(':') && !name.startsWith('[') ? `[${name}]` : name
}
