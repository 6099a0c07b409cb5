import assert from 'node:assert/strict'
import type { SipMessage, SipRequest } from '../../src/parser/sip/message.ts'
import { parseSipUri, type SipUri } from '../../src/parser/sip/uri.ts'
import type { Hop } from '../../src/sip/locate.ts'
import type { ProxyIdentity } from '../../src/sip/proxy/identity.ts'
import { type ForwardOptions, ProxyCore, type ProxySettings } from '../../src/sip/proxy/proxy.ts'
import { preprocess, type Routed } from '../../src/sip/proxy/route.ts'
import type { Destination, Target } from '../../src/sip/proxy/target.ts'
import { TimerWheel } from '../../src/sip/timer-wheel.ts'
import type { SipChannel } from '../../src/sip/transactions/channel.ts'
import type { ServerTransaction } from '../../src/sip/transactions/transaction.ts'
import { TransactionLayer } from '../../src/sip/transactions/transaction-layer.ts'
import { answered, FakeChannel, nameOf, parse } from '../sip/transactions/support.ts'
import { FakeTicker } from './fake-ticker.ts'

/** Host of the proxy under test; `backup.test` is not one of its names. */
export const self = 'relay.test'

/** Somebody whom the proxy sends to: the far end of a channel, answering what the test wants answered. */
export class Device extends FakeChannel {
  readonly name: string
  readonly #bed: ProxyBed
  /** Every message it ever got, copies included. */
  readonly got: SipMessage[] = []

  constructor(name: string, reliable: boolean, bed: ProxyBed) {
    super(reliable, bed.clock)
    this.name = name
    this.#bed = bed
  }

  override send(octets: Uint8Array): boolean {
    const sent = super.send(octets)
    if (sent) this.got.push(parse(octets))
    return sent
  }

  /** What it has got so far, by name: `MESSAGE`, `CANCEL`. */
  get heard(): string[] {
    return this.got.map(nameOf)
  }

  /** The last request of a method, by default of any but CANCEL and ACK. */
  last(method?: string): SipRequest {
    const found = this.got.findLast(
      (message): message is SipRequest =>
        message.kind === 'request' &&
        (method === undefined ? message.method !== 'CANCEL' && message.method !== 'ACK' : message.method === method),
    )
    assert(found !== undefined, `${this.name} has got no ${method ?? 'request'}`)
    return found
  }

  /** Answers the last request; with header lines of its own. */
  answer(status: number, headers: readonly string[] = [], method?: string): void {
    const plain = answered(this.last(method), status, this.name)
    const text = plain.octets.toString().replace('Content-Length', [...headers, 'Content-Length'].join('\r\n'))
    this.#bed.layer.receive(parse(text), this)
  }
}

/** A proxy core on a clock of its own, with a client before it and devices behind it. */
export class ProxyBed {
  readonly clock = new FakeTicker()
  readonly wheel = new TimerWheel(this.clock)
  readonly layer: TransactionLayer
  readonly core: ProxyCore
  readonly client: Device
  readonly servers: ServerTransaction[] = []
  /** Flow tokens: where each leads. */
  readonly tokens = new Map<string, Destination>()
  /** Where hosts lead; those that are not here lead nowhere. */
  readonly hosts = new Map<string, readonly Hop[] | Promise<readonly Hop[]>>()
  /** Channels by `transport address`; those that are not here cannot be opened. */
  readonly channels = new Map<string, SipChannel | Promise<SipChannel | null>>()
  /** Channels to those who are trusted to say who others are. */
  readonly trusted = new Set<SipChannel>()
  /** Hops that the proxy wanted opened, in order. */
  readonly opened: string[] = []
  readonly identity: ProxyIdentity = {
    isSelf: ({ host, port }) => host === self && (port === null || port === 5060),
    flowOf: (token) => this.tokens.get(token) ?? null,
  }

  constructor(options: { readonly settings?: Partial<ProxySettings>; readonly clientReliable?: boolean } = {}) {
    this.layer = new TransactionLayer({
      wheel: this.wheel,
      maxTransactions: 100_000,
      user: {
        request: (_request, server) => this.servers.push(server),
        ack: () => assert.fail('no ACK was expected'),
        cancel: (_request, server, invite) => this.core.cancel(server, invite),
      },
    })
    this.core = new ProxyCore({
      lane: 3,
      layer: this.layer,
      wheel: this.wheel,
      clock: this.clock,
      locator: { locate: (uri: SipUri) => this.hosts.get(uri.host) ?? [] },
      hops: {
        open: ({ transport, address }) => {
          this.opened.push(`${transport} ${address}`)
          return this.channels.get(`${transport} ${address}`) ?? null
        },
        isTrusted: (channel) => this.trusted.has(channel),
        viaFor: (channel) => `SIP/2.0/${channel.reliable ? 'TCP' : 'UDP'} ${self}`,
        recordRouteFor: (_request, incoming, outgoing) =>
          incoming.reliable === outgoing.reliable
            ? `<sip:${self};lr>`
            : `<sip:${self};transport=${outgoing.reliable ? 'tcp' : 'udp'};lr>, <sip:${self};lr>`,
      },
      parse,
      ...(options.settings ? { settings: options.settings } : {}),
    })
    this.client = new Device('client', options.clientReliable ?? false, this)
  }

  device(name: string, reliable = false): Device {
    return new Device(name, reliable, this)
  }

  /** A hop to a device: by address, under a host name. */
  host(name: string, hops: readonly { readonly device: Device | null; readonly transport: Hop['transport'] }[]): void {
    this.hosts.set(
      name,
      hops.map(({ device, transport }, i) => {
        const address = `192.0.2.${i + 1}`
        if (device !== null) this.channels.set(`${transport} ${address}`, device)
        return { transport, address, port: 5060, servername: name }
      }),
    )
  }

  /** Receives a request from the client, as the transactions see it. */
  receive(message: SipRequest): ServerTransaction {
    const before = this.servers.length
    this.layer.receive(message, this.client)
    const server = this.servers[before]
    assert(server !== undefined, 'not a new request')
    return server
  }

  routed(message: SipRequest): Routed {
    const routed = preprocess(message, this.identity)
    assert(routed.kind === 'routed')
    return routed
  }

  /** Receives a request, and forwards it to these groups of targets. */
  forward(message: SipRequest, groups: readonly (readonly Target[])[], options?: ForwardOptions): ServerTransaction {
    const server = this.receive(message)
    this.core.forward(server, this.routed(message), groups, options)
    return server
  }

  /** The client cancels what it has sent. */
  cancel(invite: SipRequest): void {
    const text = invite.octets
      .toString()
      .replace(/^INVITE /, 'CANCEL ')
      .replace('1 INVITE', '1 CANCEL')
    this.layer.receive(parse(text), this.client)
  }

  /** What upstream was answered to a method, without copies and 100s. */
  answers(method: string): number[] {
    const statuses = this.client.got.flatMap((message) =>
      message.kind === 'response' && message.cseq?.method === method && message.status > 100 ? [message.status] : [],
    )
    return statuses.filter((status, i) => status !== statuses[i - 1])
  }

  /** Whether nothing is left of anything, once the time of every transaction has passed. */
  get empty(): boolean {
    return this.layer.size === 0 && this.wheel.size === 0 && this.core.open === 0 && this.core.channels === 0
  }
}

/** A target at the end of a flow. */
export function flowTo(channel: SipChannel | null, more: Partial<Target> = {}): Target {
  return { requestUri: 'sip:bob@198.51.100.7:5070', route: [], destination: { kind: 'flow', channel }, ...more }
}

/** A target that has to be located. */
export function located(requestUri: string, more: Partial<Target> = {}): Target {
  assert(parseSipUri(requestUri) !== null)
  return { requestUri, route: [], destination: { kind: 'locate' }, ...more }
}
