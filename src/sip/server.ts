import { Authenticator } from '../auth/authenticator.ts'
import { NonceCounts, Nonces } from '../auth/nonce.ts'
import type { Sources } from '../auth/sources.ts'
import type { Ticker } from '../clock.ts'
import type { Config } from '../config/schema.ts'
import { networksOf } from '../config/sip-keys.ts'
import type { Address, ConnectionId, LaneIndex } from '../ids.ts'
import { C } from '../metrics/counters.ts'
import type { Kernel } from '../parser/kernel.ts'
import type { SipRequest } from '../parser/sip/message.ts'
import { createSipParser, sipLimits } from '../parser/sip/parse.ts'
import { parseSipUri } from '../parser/sip/uri.ts'
import { LaneSilo } from '../silo/lane-silo.ts'
import type { DeliveryOrder, DeliveryOutcome, KeepAnswer, KeepRequest, OutgoingMessage } from '../silo/order.ts'
import type { LocationReader } from '../store/location-store.ts'
import type { Flow, NextHop } from '../workers/lane-port.ts'
import { Contacts } from './contacts.ts'
import { SipEndpoint, type SipStream } from './endpoint.ts'
import { FlowTokens } from './flow-token.ts'
import { Hops } from './hops.ts'
import { SipIdentity, type SipListener } from './identity.ts'
import { Locator } from './locate.ts'
import { ProxyCore } from './proxy/proxy.ts'
import type { RegisterAnswer } from './registrar/location.ts'
import type { RegisterRequest } from './registrar/register-request.ts'
import { Registrar } from './registrar/registrar.ts'
import { RequestRoute } from './request-route.ts'
import type { SipSender, Way } from './sender.ts'
import { SenderProof } from './sender-proof.ts'
import { closedDoor } from './silo-door.ts'
import { TimerWheel } from './timer-wheel.ts'
import type { TransactionCounters } from './transactions/transaction.ts'
import { TransactionLayer } from './transactions/transaction-layer.ts'
import { UserAgentClient } from './user-agent-client.ts'

/** All that SIP needs of the lane it runs in. */
export interface SipServerOptions {
  readonly lane: LaneIndex
  readonly lanes: number
  readonly config: Config
  readonly listeners: readonly SipListener[]
  readonly kernel: Kernel
  /** Two areas of SIP_WORK_OCTETS octets each: where messages are read, and where our own are read again. */
  readonly work: Address
  readonly ownWork: Address
  readonly row: Float64Array
  readonly clock: Ticker
  readonly sources: Sources
  readonly sender: SipSender
  readonly location: LocationReader
  /** Seals nonces; the same in all lanes. */
  readonly nonceKey: Uint8Array
  /** Seals what our Record-Route values carry; the same in all lanes and runs. */
  readonly routeKey: Uint8Array
  /** Names this run of the process. */
  readonly epoch: string
  /** The way along a connection, whichever lane reads it; null: it is gone. */
  readonly wayOf: (connection: ConnectionId) => Way | null
  readonly commit: (request: RegisterRequest) => Promise<RegisterAnswer>
  readonly keep: (request: KeepRequest) => Promise<KeepAnswer>
  readonly connect: (hop: NextHop, answer: (connection: ConnectionId | 0) => void) => void
  readonly hand: (lane: LaneIndex, octets: Uint8Array) => boolean
  readonly close: (connection: ConnectionId) => void
}

/** SIP in one lane: what comes in, its transactions, the registrar and the proxy, put together. */
export class SipServer {
  readonly #wheel: TimerWheel
  readonly #layer: TransactionLayer
  readonly #proxy: ProxyCore
  readonly #endpoint: SipEndpoint
  readonly #agent: UserAgentClient
  /** Null: there is no silo. */
  readonly #silo: LaneSilo | null
  readonly #row: Float64Array
  /** What the cells already held when this lane began: it may be the successor of one that died. */
  readonly #earlier: readonly number[]
  readonly #earlierAccepted: number

  constructor(options: SipServerOptions) {
    const { config, kernel, clock, row, sources, sender, lane, lanes, epoch, hand, close } = options
    const { sip, domains, auth } = config
    this.#row = row
    this.#earlier = eventCells.map((cell) => row[cell]!)
    this.#earlierAccepted = row[ACCEPTED]!
    const now = () => clock.now()
    const identity = new SipIdentity(options.listeners, domains)
    const aor = identity.aor.bind(identity)
    const parser = createSipParser(kernel, options.ownWork)
    this.#wheel = new TimerWheel(clock)
    const hops = new Hops({
      epoch,
      identity,
      sender,
      wayOf: options.wayOf,
      tokens: new FlowTokens(options.routeKey),
      isPeer: (way): boolean => proof.isPeer(way),
      connect: options.connect,
    })
    const contacts = new Contacts({ location: options.location, hops, epoch, now })
    const { realm } = config.registrar
    const authenticator = new Authenticator({
      realm,
      algorithms: auth.algorithms,
      qopRequired: false, // D-9
      oneWay: true,
      users: sources.users,
      tokens: sources.tokens,
      nonces: new Nonces({ realm, key: options.nonceKey, lifeSeconds: auth.nonce_lifetime, clock }),
      counts: new NonceCounts(),
      // D-9: it need not be the Request-URI, but has to be something that is ours.
      uriEqual: (given, meant) => {
        const uri = given === meant ? null : parseSipUri(given)
        return given === meant || (uri !== null && identity.serves(uri))
      },
    })
    const proof = new SenderProof({
      authenticator,
      peers: sip.peers.length === 0 ? null : networksOf(sip.peers),
      trustFlows: sip.trust_flows,
      aor,
      row,
    })
    const isPeer = (way: Way) => proof.isPeer(way)
    const silo = config.silo.enabled ? new LaneSilo({ config: config.silo, keep: options.keep, isPeer, now }) : null
    const route = new RequestRoute({
      identity,
      hops,
      contacts,
      registrar: new Registrar({ lane, epoch, commit: options.commit, aor }),
      proof,
      door: silo ?? closedDoor,
      isUser: (username) => isUser(username, realm, sources, auth.ephemeral !== undefined),
      recordRoute: sip.record_route,
      maxMessageUdp: sip.max_message_udp,
      row,
    })
    this.#layer = new TransactionLayer({
      wheel: this.#wheel,
      user: route,
      maxTransactions: sip.max_transactions,
      timers: { t1Ms: sip.timer_t1 * 1000, t2Ms: sip.timer_t1 * 8000, t4Ms: sip.timer_t1 * 10_000 },
    })
    this.#proxy = new ProxyCore({
      lane,
      layer: this.#layer,
      wheel: this.#wheel,
      clock,
      hops,
      locator: new Locator({ clock, wheel: this.#wheel }),
      parse: (octets) => parser.parseDatagram(octets),
      settings: {
        maxBranches: sip.max_branches,
        timerCMs: sip.timer_c * 1000,
        cancelWaitMs: 64 * sip.timer_t1 * 1000,
        finalWaitMs: 60 * sip.timer_t1 * 1000,
      },
    })
    route.attach(this.#layer, this.#proxy)
    this.#silo = silo
    this.#agent = new UserAgentClient({
      proxy: this.#proxy,
      contacts,
      identity,
      parse: (octets) => parser.parseDatagram(octets) as SipRequest,
    })
    this.#endpoint = new SipEndpoint({
      lane,
      lanes,
      kernel,
      work: options.work,
      parser,
      limits: sipLimits,
      row,
      identity,
      sender,
      layer: this.#layer,
      receiver: route,
      hand,
      close,
      open: (hop) => hops.open(hop),
      now,
    })
  }

  opened(connection: ConnectionId, flow: Flow): SipStream {
    return this.#endpoint.opened(connection, flow)
  }

  /** Octets of a stream. */
  data(stream: SipStream, address: Address, octets: number): void {
    this.#endpoint.data(stream, address, octets)
  }

  /** One WebSocket message. */
  message(stream: SipStream, address: Address, octets: number): void {
    this.#endpoint.whole(stream, address, octets)
  }

  datagram(listener: number, address: Address, octets: number): void {
    this.#endpoint.datagram(listener, address, octets)
  }

  /** A response that another lane has read. */
  handed(address: Address, octets: number): void {
    this.#endpoint.handed(address, octets)
  }

  /** Sends a message of the silo to its owner; resolves with what became of it. */
  deliver(order: DeliveryOrder): Promise<DeliveryOutcome> {
    const { target } = order
    const message = this.#silo!.deliveryOf(order)
    return target.kind === 'contact'
      ? this.#agent.toContact(target.aor, target.contact, message)
      : this.#agent.toAddressee(message)
  }

  /** Sends a notice, whatever becomes of it. */
  send(message: OutgoingMessage): void {
    void this.#agent.toAddressee(message)
  }

  /** A connection has closed: no answer comes on it any more (S-49, S-71). */
  failed(way: Way): void {
    this.#proxy.channelFailed(way)
  }

  closed(stream: SipStream): void {
    this.#endpoint.closed(stream)
  }

  /** Brings the cells of transactions up to date. */
  measure(): void {
    const { counters } = this.#layer
    for (const [kind, open] of Object.entries(counters.open)) {
      this.#row[C[`sipTransactions:${kind as keyof TransactionCounters['open']}`]] = open
    }
    for (const [i, cell] of eventCells.entries()) this.#row[cell] = this.#earlier[i]! + counters[events[i]!]
    this.#row[ACCEPTED] = this.#earlierAccepted + this.#proxy.counters.accepted
  }

  stop(): void {
    this.measure()
    this.#wheel.close()
  }
}

const ACCEPTED = C['sipProxied:accepted']

const events = [
  'retransmissionsSent',
  'retransmissionsAbsorbed',
  'strayResponses',
  'timeouts',
  'unacknowledged',
  'unanswered',
  'transportErrors',
  'refused',
  'unanswerable',
] as const satisfies readonly (keyof TransactionCounters)[]

const eventCells = [
  C['sipEvents:retransmission_sent'],
  C['sipEvents:retransmission_absorbed'],
  C['sipEvents:stray_response'],
  C['sipEvents:timeout'],
  C['sipEvents:unacknowledged'],
  C['sipEvents:unanswered'],
  C['sipEvents:transport_error'],
  C['sipEvents:refused'],
  C['sipEvents:unanswerable'],
]

/** Whether there is such a user. Names that only a token or a shared secret knows of cannot be told from others. */
function isUser(
  username: string,
  realm: string,
  { users, tokens }: Sources,
  anyName: boolean,
): boolean | Promise<boolean> {
  if (tokens !== null || anyName) return true
  const looked = users.lookup(username, realm, 'SHA-256')
  // Who cannot be asked about may well exist.
  return looked instanceof Promise ? looked.then(({ outcome }) => outcome !== 'unknown') : looked.outcome !== 'unknown'
}
