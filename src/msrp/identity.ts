import assert from 'node:assert/strict'
import { Buffer } from 'node:buffer'
import { formatEndpoint } from '../config/address.ts'
import { SilopathError } from '../errors.ts'
import type { Address } from '../ids.ts'
import {
  NAME_OCTETS,
  NAMES,
  NAMES_MAX,
  PREFIX_OCTETS,
  PREFIXES,
  PREFIXES_MAX,
  SESSION_ID_OCTETS,
  TEXT,
} from '../parser/kernel/record.ts'
import type { Kernel } from '../parser/kernel.ts'
import { canonicalHost, type MsrpUri } from '../parser/msrp/uri.ts'

/** A listener as the relay speaks of it to its peers. */
export interface ListenerIdentity {
  readonly scheme: 'msrp' | 'msrps'
  /** Where it listens. */
  readonly host: string
  readonly port: number
  /** Host and port that its Use-Path URIs hold. */
  readonly usePathHost: string
  readonly usePathPort: number
  /** Whether AUTH is answered on it although it is not TLS. */
  readonly authAllowed: boolean
}

/** What names this relay: which URIs are ours, and how we write them. */
export class Identity {
  /** By index; null for those that MSRP is not spoken at. */
  readonly #listeners: readonly (ListenerIdentity | null)[]
  readonly #domains: ReadonlySet<string>
  /** `scheme host:port` of everything that is us. */
  readonly #addresses = new Set<string>()
  readonly #hosts = new Set<string>()

  /** @throws SilopathError CONFIG_INVALID when there are more names than the kernel has room for */
  constructor(listeners: readonly (ListenerIdentity | null)[], domains: readonly string[]) {
    this.#listeners = listeners
    this.#domains = new Set(domains.map(canonicalHost))
    for (const { scheme, host, port, usePathHost, usePathPort } of listeners.filter((listener) => listener !== null)) {
      this.#addresses.add(`${scheme} ${canonicalHost(host)}:${port}`)
      this.#addresses.add(`${scheme} ${canonicalHost(usePathHost)}:${usePathPort}`)
      this.#hosts.add(`${scheme} ${canonicalHost(host)}`)
      this.#hosts.add(`${scheme} ${canonicalHost(usePathHost)}`)
      for (const domain of this.#domains) {
        this.#addresses.add(`${scheme} ${domain}:${usePathPort}`)
        this.#hosts.add(`${scheme} ${domain}`)
      }
    }
    if (this.#addresses.size > NAMES_MAX) {
      throw new SilopathError(
        'CONFIG_INVALID',
        `listeners and domains make ${this.#addresses.size} names, more than ${NAMES_MAX}. Remedy: fewer of them`,
      )
    }
  }

  listener(index: number): ListenerIdentity {
    // A connection of our own making belongs to the first listener that speaks MSRP.
    const listener = this.#listeners[index] ?? this.#listeners.find((other) => other !== null)
    assert(listener !== undefined, 'without a listener for MSRP there is nobody to speak it with')
    return listener
  }

  /** What stands before the session-id in the URIs of a listener. */
  prefix(index: number): string {
    const { scheme, usePathHost, usePathPort } = this.listener(index)
    return `${scheme}://${formatEndpoint({ host: usePathHost, port: usePathPort })}/`
  }

  /** Whether the URI names this relay (U-4); only the To-Path of an AUTH may leave the port out (U-3). */
  isOurs(uri: MsrpUri, portOptional = false): boolean {
    const host = canonicalHost(uri.host)
    if (uri.port === null) return portOptional && this.#hosts.has(`${uri.scheme} ${host}`)
    return this.#addresses.has(`${uri.scheme} ${host}:${uri.port}`)
  }

  /** Tells a kernel how our URIs begin. */
  teach(kernel: Kernel): void {
    const prefixes = [
      ...new Set(this.#listeners.flatMap((listener, index) => (listener === null ? [] : [this.prefix(index)]))),
    ].slice(0, PREFIXES_MAX)
    for (const [i, prefix] of prefixes.entries()) {
      const at = kernel.scratch + PREFIXES + i * PREFIX_OCTETS
      const octets = Buffer.from(prefix, 'latin1').subarray(0, PREFIX_OCTETS - 4)
      kernel.words[at >> 2] = octets.length
      kernel.octets.set(octets, at + 4)
    }
    const names = new Set([...this.#addresses].map((address) => address.slice(address.indexOf(' ') + 1)))
    for (const [i, name] of [...names].entries()) {
      const at = kernel.scratch + NAMES + i * NAME_OCTETS
      const octets = Buffer.from(name, 'latin1')
      assert(octets.length <= NAME_OCTETS - 4, 'a host name has 253 octets at the most')
      kernel.words[at >> 2] = octets.length
      kernel.octets.set(octets, at + 4)
    }
  }

  /**
   * Address of the session entry that a URI of ours names in whatever spelling; 0 when no live session has that id,
   * null when the URI is not ours.
   */
  sessionOf(kernel: Kernel, uri: MsrpUri): Address | 0 | null {
    if (!this.isOurs(uri)) return null
    // U-4: the transport is part of what a URI names, and ours is always tcp (W-5).
    if (uri.transport.toLowerCase() !== 'tcp' || uri.sessionId?.length !== SESSION_ID_OCTETS) return 0
    const text = kernel.scratch + TEXT
    kernel.octets.set(Buffer.from(uri.sessionId, 'latin1'), text)
    return kernel.sessionById(text) as Address | 0
  }
}
