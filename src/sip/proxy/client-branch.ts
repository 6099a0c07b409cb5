import assert from 'node:assert/strict'
import type { Buffer } from 'node:buffer'
import type { Clock } from '../../clock.ts'
import { cancelFor, type Edits, rewrite } from '../../parser/sip/encoder.ts'
import type { SipMessage, SipRequest, SipResponse } from '../../parser/sip/message.ts'
import type { SipUri } from '../../parser/sip/uri.ts'
import type { Hop } from '../locate.ts'
import { type TimerOwner, type TimerWheel, WheelTimer } from '../timer-wheel.ts'
import type { SipChannel } from '../transactions/channel.ts'
import type { ClientTransaction, ClientUser } from '../transactions/transaction.ts'
import type { TransactionLayer } from '../transactions/transaction-layer.ts'
import { untoldIdentities } from './asserted-identity.ts'
import {
  answered,
  type Failure,
  flowFailed,
  terminated,
  timeout,
  tooLarge,
  unreachable,
  unusable,
} from './best-response.ts'
import { makeBranch } from './branch.ts'
import { type NextHop, nextHop, type Onward } from './route.ts'
import { congestionSafe, fits, type HopOpener, type Target } from './target.ts'
import type { WaitingBranches } from './waiting-branches.ts'

/** What the proxy has counted since it was made. */
export interface ProxyCounters {
  /** Requests forwarded, and the branches and stateless ACKs that they became. */
  forwarded: number
  branches: number
  acks: number
  /** ACKs that could not be sent on. */
  acksDropped: number
  /** Next hops and flows tried after another one had failed (S-49, S-70). */
  failovers: number
  /** Targets left out, as a request had too many. */
  targetsIgnored: number
  /** CANCELs sent (S-50). */
  cancels: number
  /** Requests that got a 2xx. */
  accepted: number
  /** INVITEs that rang too long (S-48). */
  timerC: number
  /** Non-INVITEs that nobody has answered when a last answer upstream was due (S-36). */
  gaveUp: number
  /** Failures that `onFailure` has taken over. */
  handled: number
}

export interface ProxySettings {
  /** Targets of one request; those of lowest q that are over it are left out. */
  readonly maxBranches: number
  /** Next hops and flows tried for one target. */
  readonly maxAttempts: number
  /** How long an INVITE may ring without a further 101-199, ms: more than 3 minutes (S-48). */
  readonly timerCMs: number
  /** How long a cancelled INVITE is waited for, ms: 64*T1 (RFC 3261 9.1). */
  readonly cancelWaitMs: number
  /**
   * When a non-INVITE that has no final response is given up, ms after it came: before its client does so after 64*T1,
   * so that there is still time to answer it otherwise.
   */
  readonly finalWaitMs: number
}

/** What every request is forwarded with. */
export interface ProxyTools {
  readonly lane: number
  readonly layer: TransactionLayer
  readonly wheel: TimerWheel
  readonly clock: Clock
  readonly hops: HopOpener
  readonly locator: { locate(uri: SipUri): readonly Hop[] | Promise<readonly Hop[]> }
  readonly parse: (octets: Buffer) => SipMessage
  readonly waiting: WaitingBranches
  readonly settings: ProxySettings
  readonly counters: ProxyCounters
}

/** The request that is being forwarded, the same for all its branches. */
export interface Forwarding {
  readonly request: SipRequest
  readonly routed: Onward
  readonly loopHash: string
  /** The channel that the request has come by; null: it is one of our own, and so is what answers it. */
  readonly incoming: SipChannel | null
  readonly recordRoute: boolean
}

/** Who gathers what becomes of the branches. A branch that has failed says nothing more. */
export interface BranchUser {
  /** 101-199 to an INVITE. */
  provisional(response: SipResponse): void
  /** 2xx; to an INVITE every one. The branch is over with the first. */
  succeeded(branch: ClientBranch, response: SipResponse): void
  failed(branch: ClientBranch, failure: Failure): void
}

/** Octets that a Via or Record-Route of ours takes, at most, as far as anybody can say before it is made. */
const headerOctets = 160

/** A request as it goes out (S-44, RFC 3261 16.6). */
export function compose(
  forwarding: Forwarding,
  next: NextHop,
  channel: SipChannel,
  branch: string,
  tools: ProxyTools,
): Buffer {
  const { request, recordRoute, incoming } = forwarding
  const { maxForwards } = request
  const edits: { -readonly [Key in keyof Edits]: Edits[Key] } = {
    prependVia: `${tools.hops.viaFor(channel)};branch=${branch}`,
    maxForwards: maxForwards === null ? 70 : maxForwards - 1,
  }
  if (next.requestUri !== request.requestUri) edits.requestUri = next.requestUri
  if (next.prepended.length > 0) edits.prependRoutes = next.prepended
  if (next.routes !== null) edits.replaceRoutes = next.routes
  if (recordRoute && incoming !== null) {
    edits.prependRecordRoute = tools.hops.recordRouteFor(request, incoming, channel)
  }
  const untold = untoldIdentities(request, incoming, channel, tools.hops)
  if (untold.length > 0) edits.remove = untold
  // S-5: on a stream it is the only thing that says where the message ends.
  if (channel.reliable && request.header('Content-Length') === null) edits.contentLength = request.body.length
  return rewrite(request, edits)
}

/** About how many octets `compose` will make. */
export function octetsOf({ request, recordRoute }: Forwarding, next: NextHop): number {
  const routes = next.routes ?? next.prepended
  const added = routes.reduce((sum, route) => sum + route.length + 'Route: \r\n'.length, next.requestUri.length)
  return request.octets.length - request.requestUri.length + added + headerOctets * (recordRoute ? 2 : 1)
}

type BranchState = 'opening' | 'pending' | 'over'

/**
 * One branch of a forwarded request: a target, tried at one next hop or flow after the other until one of them answers
 * (S-49, S-70). Only one client transaction of it waits for a final response at a time.
 *
 *     ┌───────┐  channel    ┌───────┐  final response
 *     │opening├────────────▶│pending├──────────────────▶ over: succeeded or failed
 *     └┬──▲───┘             └───┬───┘
 *      │  └──── 503, 430, no way, or INVITE timed out, and there is another hop or flow
 *      └─ none left, cancelled ──▶ over: failed
 */
export class ClientBranch implements ClientUser, TimerOwner {
  readonly #tools: ProxyTools
  readonly #forwarding: Forwarding
  readonly #user: BranchUser
  readonly #isInvite: boolean
  /** The target and its fallbacks, of which the one before `#nextTarget` is being tried. */
  readonly #targets: readonly Target[]
  #nextTarget = 0
  #next: NextHop | null = null
  /** Of the present target, those to be tried yet. */
  #hops: Hop[] = []
  #attempts = 0
  #state: BranchState = 'opening'
  #client: ClientTransaction | null = null
  /** See WaitingBranches. */
  place = 0
  /** An INVITE as it was sent last. */
  #invite: SipRequest | null = null
  #cancelled = false
  #cancelSent = false
  /** Timer C; after a CANCEL the wait for its effect. */
  readonly #timer = new WheelTimer(this)

  constructor(target: Target, forwarding: Forwarding, user: BranchUser, tools: ProxyTools) {
    this.#tools = tools
    this.#forwarding = forwarding
    this.#user = user
    this.#isInvite = forwarding.request.method === 'INVITE'
    this.#targets = target.fallbacks === undefined ? [target] : [target, ...target.fallbacks]
  }

  /** Sends the request; may fail before it returns. */
  start(): void {
    this.#tools.counters.branches++
    this.#tryTarget()
  }

  /** S-50: no further attempt is made; an INVITE that is under way is cancelled as soon as it may be, nothing else is. */
  cancel(): void {
    if (this.#state === 'over') return
    this.#cancelled = true
    if (this.#state === 'opening') this.#fail(terminated)
    else if (this.#isInvite && this.#client?.state === 'proceeding') this.#sendCancel()
    // Else it cannot be cancelled, or the INVITE has no answer yet: it is cancelled when the first provisional one comes.
  }

  /** Whatever becomes of it, it is of no interest any more: nothing is sent again. */
  abandon(): void {
    if (this.#state === 'over') return
    this.#end()
    this.#client?.terminate()
  }

  channelFailed(): void {
    this.#client?.transportFailed()
  }

  response(response: SipResponse): void {
    const { status } = response
    if (status >= 200 && status < 300 && this.#isForwardable(response)) {
      this.#end()
      this.#user.succeeded(this, response)
    } else if (this.#state === 'over') return
    else if (status < 200) this.#proceed(response)
    else if (!this.#isForwardable(response)) this.#fail(unusable)
    else {
      const failure = answered(response, this.#isInvite)
      if (status === 430) this.#hops = [] // S-70: they all lead to the flow that has failed
      if (status === 430 || status === 503) this.#attemptFailed(failure)
      else this.#fail(failure)
    }
  }

  timedOut(): void {
    if (this.#state === 'over') return
    // Who has sent another request than INVITE has given up by now as well.
    if (this.#isInvite) this.#attemptFailed(timeout)
    else this.#fail(timeout)
  }

  transportError(): void {
    if (this.#state !== 'over') this.#attemptFailed(unreachable)
  }

  /** Nothing depends on how long a transaction takes to forget what it knows. */
  terminated(): void {}

  expired(): void {
    const client = this.#client
    if (this.#cancelSent) {
      this.#fail(this.#cancelled ? terminated : timeout)
      client?.terminate()
      return
    }
    this.#tools.counters.timerC++
    if (client?.state === 'proceeding')
      this.#sendCancel() // S-48
    else {
      this.#fail(timeout)
      client?.terminate()
    }
  }

  #tryTarget(): void {
    const target = this.#targets[this.#nextTarget]!
    const { routed, request } = this.#forwarding
    this.#nextTarget++
    this.#next = nextHop(routed, target)
    this.#hops = []
    const { uri } = this.#next
    if (target.destination.kind === 'flow') {
      const { channel } = target.destination
      if (channel === null) this.#attemptFailed(flowFailed)
      else {
        this.#attempts++
        this.#send(channel)
      }
      return
    }
    const located = uri === null ? [] : this.#tools.locator.locate(uri)
    if (located instanceof Promise) void located.then((hops) => this.#located(hops, request.method))
    else this.#located(located, request.method)
  }

  #located(hops: readonly Hop[], method: string): void {
    if (this.#state !== 'opening') return
    this.#hops = [...congestionSafe(hops, method, octetsOf(this.#forwarding, this.#next!))]
    if (this.#hops.length === 0) this.#attemptFailed(unreachable)
    else this.#tryHop()
  }

  #tryHop(): void {
    const hop = this.#hops.shift()
    assert(hop !== undefined, 'no hop to try')
    this.#attempts++
    const opened = this.#tools.hops.open(hop)
    if (opened instanceof Promise) void opened.then((channel) => this.#opened(channel))
    else this.#opened(opened)
  }

  #opened(channel: SipChannel | null): void {
    if (this.#state !== 'opening') return
    if (channel === null) this.#attemptFailed(unreachable)
    else this.#send(channel)
  }

  #send(channel: SipChannel): void {
    const { lane, layer, wheel, settings, parse, waiting } = this.#tools
    const next = this.#next!
    const { method } = this.#forwarding.request
    if (!fits(channel, method, octetsOf(this.#forwarding, next))) {
      this.#attemptFailed(tooLarge)
      return
    }
    const branch = makeBranch(lane, this.#forwarding.loopHash)
    const octets = compose(this.#forwarding, next, channel, branch, this.#tools)
    // Of others than INVITE nothing is made any more: they need not be read again.
    if (this.#isInvite) this.#invite = parse(octets) as SipRequest
    this.#state = 'pending'
    if (this.#isInvite) wheel.start(this.#timer, settings.timerCMs) // S-44, S-48
    waiting.add(channel, this)
    this.#client = layer.sendRequest(this.#invite ?? { octets, method, branch }, channel, this)
  }

  /** A response that has only our Via was for us, not to be forwarded (S-23). */
  #isForwardable(response: SipResponse): boolean {
    return this.#forwarding.incoming === null || response.viaCount > 1
  }

  #proceed(response: SipResponse): void {
    if (!this.#isInvite) return // S-36: there is none but 100
    const { wheel, settings } = this.#tools
    if (this.#cancelled && !this.#cancelSent) this.#sendCancel()
    if (response.status === 100) return // S-46
    if (!this.#cancelSent) wheel.start(this.#timer, settings.timerCMs) // S-48
    if (this.#isForwardable(response)) this.#user.provisional(response)
  }

  #sendCancel(): void {
    const { layer, wheel, counters, settings, parse } = this.#tools
    const client = this.#client!
    if (this.#cancelSent) return
    this.#cancelSent = true
    counters.cancels++
    wheel.start(this.#timer, settings.cancelWaitMs)
    layer.sendRequest(parse(cancelFor(this.#invite!)) as SipRequest, client.channel, deaf)
  }

  /** Goes on with the next hop or flow, if there is one that may be tried. */
  #attemptFailed(failure: Failure): void {
    this.#stopWaiting()
    this.#client = null
    if (this.#cancelled && this.#isInvite) this.#fail(terminated)
    else if (!this.#mayGoOn()) this.#fail(failure)
    else {
      this.#tools.counters.failovers++
      this.#state = 'opening'
      if (this.#hops.length > 0) this.#tryHop()
      else this.#tryTarget()
    }
  }

  #mayGoOn(): boolean {
    if (this.#cancelled || this.#cancelSent || this.#attempts >= this.#tools.settings.maxAttempts) return false
    return this.#hops.length > 0 || this.#nextTarget < this.#targets.length
  }

  #fail(failure: Failure): void {
    this.#end()
    this.#user.failed(this, failure)
  }

  #end(): void {
    this.#state = 'over'
    this.#stopWaiting()
  }

  #stopWaiting(): void {
    const { wheel, waiting } = this.#tools
    wheel.cancel(this.#timer)
    if (this.#client !== null) waiting.delete(this.#client.channel, this)
  }
}

/** What a CANCEL is answered says nothing: its effect is seen by the INVITE (S-50). */
const deaf: ClientUser = { response() {}, timedOut() {}, transportError() {}, terminated() {} }
