import assert from 'node:assert/strict'
import type { NaptrRecord, SrvRecord } from 'node:dns'
import { Resolver } from 'node:dns/promises'
import { isIPv4, isIPv6 } from 'node:net'
import type { Clock } from '../clock.ts'
import type { SipUri } from '../parser/sip/uri.ts'
import { type TimerOwner, type TimerWheel, WheelTimer } from './timer-wheel.ts'

export type HopTransport = 'udp' | 'tcp' | 'tls'

/** Where a request can be sent to. */
export interface Hop {
  readonly transport: HopTransport
  /** An IP address, IPv6 without brackets. */
  readonly address: string
  readonly port: number
  /** What a TLS certificate has to name: the host of the URI that was located, never what DNS has made of it. */
  readonly servername: string
}

/** What the locator asks DNS; `Resolver` of node:dns/promises is one. */
export interface DnsClient {
  resolveNaptr(name: string): Promise<NaptrRecord[]>
  resolveSrv(name: string): Promise<SrvRecord[]>
  resolve4(name: string, options: { readonly ttl: true }): Promise<AddressRecord[]>
  resolve6(name: string, options: { readonly ttl: true }): Promise<AddressRecord[]>
}

export interface AddressRecord {
  readonly address: string
  /** Seconds. */
  readonly ttl: number
}

export interface LocatorOptions {
  readonly clock: Clock
  readonly wheel: TimerWheel
  readonly dns?: DnsClient
  /** 0 ≤ value < 1; for the choice by weight. */
  readonly random?: () => number
  /** How long one question may take, ms. */
  readonly timeoutMs?: number
  /** How long answers are kept that come without a TTL: node gives none for SRV and NAPTR, s. */
  readonly ttlSeconds?: number
  /** How long it is kept that there is no such name or record, s. */
  readonly negativeTtlSeconds?: number
  /** How long it is kept that DNS did not answer, or could not, s. */
  readonly failureTtlSeconds?: number
  /** Answers kept; the oldest goes for a new one. */
  readonly maxCached?: number
  /** Questions under way at once … */
  readonly maxQueries?: number
  /** … and waiting for their turn; what is over that has no answer. */
  readonly maxWaiting?: number
  /** Hops that one URI leads to; what is over that is left out. */
  readonly maxHops?: number
}

interface Service {
  readonly transport: HopTransport
  readonly srvName: string
}

type RecordsOf = {
  readonly NAPTR: NaptrRecord
  readonly SRV: SrvRecord
  readonly A: AddressRecord
  readonly AAAA: AddressRecord
}
type RecordType = keyof RecordsOf

interface Cached {
  readonly records: readonly RecordsOf[RecordType][]
  readonly expiresAt: number
}

const defaultPorts: Readonly<Record<HopTransport, number>> = { udp: 5060, tcp: 5060, tls: 5061 }
const naptrServices: ReadonlyMap<string, HopTransport> = new Map([
  ['SIP+D2U', 'udp'],
  ['SIP+D2T', 'tcp'],
  ['SIPS+D2T', 'tls'],
])
const srvPrefixes: Readonly<Record<HopTransport, string>> = { udp: '_sip._udp', tcp: '_sip._tcp', tls: '_sips._tcp' }
/** Longest time that an answer is kept, whatever its TTL says, s. */
const ttlMaxSeconds = 86_400
const none: readonly Hop[] = []

/** Finds the next hops of URIs (S-53, RFC 3263), in the order in which they are to be tried (S-49). */
export class Locator {
  readonly #clock: Clock
  readonly #wheel: TimerWheel
  readonly #dns: DnsClient
  readonly #random: () => number
  readonly #timeoutMs: number
  readonly #ttlSeconds: number
  readonly #negativeTtlSeconds: number
  readonly #failureTtlSeconds: number
  readonly #maxCached: number
  readonly #maxQueries: number
  readonly #maxWaiting: number
  readonly #maxHops: number
  readonly #cache = new Map<string, Cached>()
  /** Questions that wait for their answer or their turn, by what they ask: who asks the same waits along. */
  readonly #asked = new Map<string, Promise<readonly RecordsOf[RecordType][]>>()
  #queries = 0
  readonly #waiting: (() => void)[] = []

  constructor(options: LocatorOptions) {
    this.#clock = options.clock
    this.#wheel = options.wheel
    this.#timeoutMs = options.timeoutMs ?? 5_000
    this.#dns = options.dns ?? new Resolver({ timeout: 2_000, tries: 2 })
    this.#random = options.random ?? Math.random
    this.#ttlSeconds = options.ttlSeconds ?? 60
    this.#negativeTtlSeconds = options.negativeTtlSeconds ?? 30
    this.#failureTtlSeconds = options.failureTtlSeconds ?? 5
    this.#maxCached = options.maxCached ?? 10_000
    this.#maxQueries = options.maxQueries ?? 64
    this.#maxWaiting = options.maxWaiting ?? 1_024
    this.#maxHops = options.maxHops ?? 16
    assert(this.#maxCached > 0 && this.#maxQueries > 0 && this.#maxHops > 0)
  }

  /** Answers kept. */
  get cached(): number {
    return this.#cache.size
  }

  /** Questions under way, and those that wait. */
  get pending(): number {
    return this.#asked.size
  }

  /**
   * The hops that a URI leads to; at once when it takes no question to know. None: nothing by this name, or a transport
   * that is not ours to open. Never fails.
   */
  locate(uri: SipUri): readonly Hop[] | Promise<readonly Hop[]> {
    const host = uri.params.get('maddr')?.toLowerCase() ?? uri.host
    const asked = transportAsked(uri)
    // S-25, S-71: what is behind such a name is reached by its connection or not at all.
    if (asked === null || isInvalid(host)) return none
    const servername = bare(uri.host)
    const address = bare(host)
    if (isIPv4(address) || isIPv6(address)) {
      const transport = asked ?? plainTransport(uri)
      return [{ transport, address, port: uri.port ?? defaultPorts[transport], servername }]
    }
    return this.#locateName(uri, host, asked, servername)
  }

  async #locateName(
    uri: SipUri,
    host: string,
    asked: HopTransport | undefined,
    servername: string,
  ): Promise<readonly Hop[]> {
    if (uri.port !== null) {
      const transport = asked ?? plainTransport(uri)
      return this.#addressHops(host, uri.port, transport, servername)
    }
    const services = asked === undefined ? await this.#servicesOf(uri, host) : [serviceOf(asked, host)]
    const hops: Hop[] = []
    let found = false
    for (const { transport, srvName } of services) {
      const records = await this.#ask('SRV', srvName)
      found ||= records.length > 0
      for (const { name, port } of byWeight(records, this.#random)) {
        if (hops.length >= this.#maxHops) break
        // RFC 2782: the root stands for a service that is decidedly not there.
        if (name !== '' && name !== '.') hops.push(...(await this.#addressHops(name, port, transport, servername)))
      }
    }
    if (found) return hops.slice(0, this.#maxHops)
    // Neither NAPTR nor SRV records: the host itself, by the transport that everybody has.
    const transport = asked ?? plainTransport(uri)
    return this.#addressHops(host, defaultPorts[transport], transport, servername)
  }

  /** The services of a domain: by its own preference if it has NAPTR records, else all that we have. */
  async #servicesOf(uri: SipUri, host: string): Promise<readonly Service[]> {
    const records = await this.#ask('NAPTR', host)
    const services: (Service & { order: number; preference: number })[] = []
    for (const { flags, service, replacement, order, preference } of records) {
      const transport = naptrServices.get(service.toUpperCase())
      if (transport === undefined || flags.toLowerCase() !== 's' || replacement === '') continue
      if (uri.scheme === 'sips' && transport !== 'tls') continue
      services.push({ transport, srvName: replacement, order, preference })
    }
    if (services.length > 0) return services.sort((a, b) => a.order - b.order || a.preference - b.preference)
    const transports: readonly HopTransport[] = uri.scheme === 'sips' ? ['tls'] : ['udp', 'tcp', 'tls']
    return transports.map((transport) => serviceOf(transport, host))
  }

  async #addressHops(host: string, port: number, transport: HopTransport, servername: string): Promise<readonly Hop[]> {
    const addresses = await this.#addressesOf(host)
    return addresses.slice(0, this.#maxHops).map((address) => ({ transport, address, port, servername }))
  }

  async #addressesOf(host: string): Promise<readonly string[]> {
    if (isLocalhost(host)) return ['127.0.0.1', '::1']
    const [four, six] = await Promise.all([this.#ask('A', host), this.#ask('AAAA', host)])
    return [...four, ...six].map(({ address }) => address)
  }

  async #ask<Type extends RecordType>(type: Type, name: string): Promise<readonly RecordsOf[Type][]> {
    const key = `${type} ${name.toLowerCase()}`
    const cached = this.#cache.get(key)
    // One key holds records of one type.
    if (cached !== undefined && cached.expiresAt > this.#clock.now())
      return cached.records as readonly RecordsOf[Type][]
    let asked = this.#asked.get(key)
    if (asked === undefined) {
      if (this.#queries >= this.#maxQueries && this.#waiting.length >= this.#maxWaiting) return []
      asked = this.#query(type, name, key).finally(() => this.#asked.delete(key))
      this.#asked.set(key, asked)
    }
    return (await asked) as readonly RecordsOf[Type][]
  }

  async #query(type: RecordType, name: string, key: string): Promise<readonly RecordsOf[RecordType][]> {
    if (this.#queries >= this.#maxQueries) await new Promise<void>((resolve) => this.#waiting.push(resolve))
    else this.#queries++
    try {
      const records = await new Deadline(this.#wheel, this.#timeoutMs).of(this.#send(type, name))
      this.#keep(key, records, records.length > 0 ? this.#ttlOf(records) : this.#negativeTtlSeconds)
      return records
    } catch (error) {
      // Whatever has gone wrong, the name leads nowhere now; only how long that is believed differs.
      this.#keep(key, [], isNegative(error) ? this.#negativeTtlSeconds : this.#failureTtlSeconds)
      return []
    } finally {
      // Whoever waits takes over the place.
      const next = this.#waiting.shift()
      if (next === undefined) this.#queries--
      else next()
    }
  }

  #send(type: RecordType, name: string): Promise<readonly RecordsOf[RecordType][]> {
    switch (type) {
      case 'NAPTR':
        return this.#dns.resolveNaptr(name)
      case 'SRV':
        return this.#dns.resolveSrv(name)
      case 'A':
        return this.#dns.resolve4(name, { ttl: true })
      case 'AAAA':
        return this.#dns.resolve6(name, { ttl: true })
    }
  }

  #ttlOf(records: readonly RecordsOf[RecordType][]): number {
    const ttls = records.map((record) => ('ttl' in record ? record.ttl : this.#ttlSeconds))
    return Math.min(...ttls, ttlMaxSeconds)
  }

  #keep(key: string, records: Cached['records'], ttlSeconds: number): void {
    this.#cache.delete(key)
    if (this.#cache.size >= this.#maxCached) this.#cache.delete(this.#cache.keys().next().value!)
    this.#cache.set(key, { records, expiresAt: this.#clock.now() + ttlSeconds * 1_000 })
  }
}

/** Fails when something takes too long. */
class Deadline implements TimerOwner {
  readonly #wheel: TimerWheel
  readonly #timer = new WheelTimer(this)
  readonly #passed: Promise<never>
  #fail: (error: Error) => void = () => {}

  constructor(wheel: TimerWheel, milliseconds: number) {
    this.#wheel = wheel
    this.#passed = new Promise((_resolve, reject) => {
      this.#fail = reject
    })
    wheel.start(this.#timer, milliseconds)
  }

  of<Value>(promise: Promise<Value>): Promise<Value> {
    return Promise.race([promise, this.#passed]).finally(() => this.#wheel.cancel(this.#timer))
  }

  expired(): void {
    this.#fail(new Error('DNS has not answered in time'))
  }
}

/** The transport that a URI asks for; undefined: it leaves the choice; null: one that we do not open connections of. */
function transportAsked(uri: SipUri): HopTransport | undefined | null {
  const asked = uri.params.get('transport')?.toLowerCase()
  switch (asked) {
    case undefined:
      return undefined
    case 'tls':
      return 'tls'
    case 'tcp':
      return uri.scheme === 'sips' ? 'tls' : 'tcp'
    case 'udp':
      // sips is never sent in the clear.
      return uri.scheme === 'sips' ? null : 'udp'
    default:
      return null
  }
}

function plainTransport(uri: SipUri): HopTransport {
  return uri.scheme === 'sips' ? 'tls' : 'udp'
}

function serviceOf(transport: HopTransport, host: string): Service {
  return { transport, srvName: `${srvPrefixes[transport]}.${host}` }
}

/** Without the brackets of IPv6. */
function bare(host: string): string {
  return host.startsWith('[') ? host.slice(1, -1) : host
}

function isInvalid(host: string): boolean {
  return /(?:^|\.)invalid\.?$/.test(host)
}

/** A name that is never asked for in DNS (RFC 6761). */
function isLocalhost(host: string): boolean {
  return /(?:^|\.)localhost\.?$/i.test(host)
}

/** Whether DNS has said that there is no such thing, as against not answering. */
function isNegative(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'ENOTFOUND' || error.code === 'ENODATA')
}

/** By priority; among those of one, drawn by weight (RFC 2782). */
export function byWeight(records: readonly SrvRecord[], random: () => number): SrvRecord[] {
  // Those of weight 0 come first in a draw, which gives them their small chance.
  const left = [...records].sort((a, b) => a.priority - b.priority || a.weight - b.weight)
  const ordered: SrvRecord[] = []
  while (left.length > 0) {
    const { priority } = left[0]!
    const end = left.findIndex((record) => record.priority !== priority)
    const group = end < 0 ? left.length : end
    let total = 0
    for (let i = 0; i < group; i++) total += left[i]!.weight
    let drawn = Math.floor(random() * (total + 1))
    let at = 0
    while (at < group - 1 && drawn > left[at]!.weight) drawn -= left[at++]!.weight
    ordered.push(...left.splice(at, 1))
  }
  return ordered
}
