import assert from 'node:assert/strict'
import type { SipRequest } from '../../parser/sip/message.ts'
import type { SipChannel } from '../transactions/channel.ts'
import type { ServerTransaction } from '../transactions/transaction.ts'
import { localResponse } from './best-response.ts'
import { loopHash, makeBranch, originHash } from './branch.ts'
import {
  type BranchUser,
  ClientBranch,
  compose,
  type Forwarding,
  octetsOf,
  type ProxyCounters,
  type ProxySettings,
  type ProxyTools,
} from './client-branch.ts'
import { type FailureRoute, ResponseContext } from './response-context.ts'
import { type NextHop, nextHop, type Onward, type Routed } from './route.ts'
import { congestionSafe, type Target } from './target.ts'
import { WaitingBranches } from './waiting-branches.ts'

export type { ProxyCounters, ProxySettings } from './client-branch.ts'
export type { FailureRoute, Outcome } from './response-context.ts'

export interface ForwardOptions {
  /** Stay in the way of the dialog that the request may begin (S-44). */
  readonly recordRoute?: boolean
  readonly onFailure?: FailureRoute
  /** The request named its flow by a token: 430 and not 480 tells that it has failed (S-70). */
  readonly flowNamed?: boolean
}

const defaults: ProxySettings = {
  maxBranches: 12,
  maxAttempts: 6,
  timerCMs: 185_000,
  cancelWaitMs: 32_000,
  finalWaitMs: 30_000,
}

/** ACKs that wait for a next hop at one time; no transaction bounds them. */
const acksWaitingMax = 1_024

/**
 * The proxy core of one lane (RFC 3261 section 16), for requests that `validate` and `preprocess` have been through and
 * for which somebody has found the targets.
 */
export class ProxyCore {
  readonly counters: ProxyCounters = {
    forwarded: 0,
    branches: 0,
    acks: 0,
    acksDropped: 0,
    failovers: 0,
    targetsIgnored: 0,
    cancels: 0,
    accepted: 0,
    timerC: 0,
    gaveUp: 0,
    handled: 0,
  }
  readonly #tools: ProxyTools
  #open = 0
  readonly #waiting = new WaitingBranches()
  #acksWaiting = 0

  constructor(
    tools: Omit<ProxyTools, 'settings' | 'counters' | 'waiting'> & { readonly settings?: Partial<ProxySettings> },
  ) {
    const settings = { ...defaults, ...tools.settings }
    assert(settings.maxBranches > 0 && settings.maxAttempts > 0, 'a proxy that may not forward')
    this.#tools = { ...tools, settings, counters: this.counters, waiting: this.#waiting }
  }

  /** Connections that answers are awaited by. */
  get channels(): number {
    return this.#waiting.channels
  }

  /** Requests whose response contexts are open: never more than there are server transactions. */
  get open(): number {
    return this.#open
  }

  /**
   * Forwards a request, and from now on answers it: `server.user` is the proxy's. `onFailure` may be called before this
   * returns; having taken a request over, it may forward it anew.
   *
   * @param groups targets, those of one group to be tried at once, the groups one after the other (S-51); one at least
   */
  forward(
    server: ServerTransaction,
    routed: Routed,
    groups: readonly (readonly Target[])[],
    options: ForwardOptions = {},
  ): void {
    const { request } = server
    assert(request.method !== 'ACK' && request.method !== 'CANCEL', 'hop by hop, or without a transaction')
    const forwarding: Forwarding = {
      request,
      routed,
      loopHash: loopHash(request),
      incoming: server.channel,
      recordRoute: options.recordRoute === true,
    }
    const contextOptions = {
      onFailure: options.onFailure ?? null,
      flowNamed: options.flowNamed === true,
      ended: () => {
        this.#open--
      },
    }
    this.counters.forwarded++
    const context = new ResponseContext(server, forwarding, this.#bounded(groups), contextOptions, this.#tools)
    // Forwarded anew, it has one already, which nobody tells any more.
    if (!(server.user instanceof ResponseContext)) this.#open++
    context.start()
  }

  /** Sends a request of our own to a target. `user` hears of it once, which may be before this returns. */
  originate(request: SipRequest, target: Target, user: BranchUser): void {
    assert(request.method !== 'INVITE', 'of which the dialogs would be ours')
    const onward: Onward = { requestUri: request.requestUri, uri: null, routes: [], untouched: true }
    const forwarding: Forwarding = {
      request,
      routed: onward,
      loopHash: originHash,
      incoming: null,
      recordRoute: false,
    }
    new ClientBranch(target, forwarding, user, this.#tools).start()
  }

  /** Answers a CANCEL, and cancels the INVITE that it is for (S-50); `invite` as the transaction layer gives it. */
  cancel(cancel: ServerTransaction, invite: ServerTransaction | null): void {
    const status = invite === null ? 481 : 200
    cancel.respond(localResponse(cancel.request, status), status)
    if (invite?.user instanceof ResponseContext) invite.user.cancel()
  }

  /**
   * A connection has closed: what has been sent by it and not answered goes to the next hop or flow, or has failed, at
   * once (S-49, S-71).
   */
  channelFailed(channel: SipChannel): void {
    this.#waiting.failed(channel)
  }

  /** Sends on an ACK for a 2xx, without a transaction and without another word (S-35). */
  async forwardAck(ack: SipRequest, arrived: SipChannel, routed: Routed, target: Target): Promise<void> {
    const forwarding: Forwarding = {
      request: ack,
      routed,
      loopHash: loopHash(ack),
      incoming: arrived,
      recordRoute: false,
    }
    const next = nextHop(routed, target)
    if (ack.maxForwards === 0 || this.#acksWaiting >= acksWaitingMax) {
      this.counters.acksDropped++
      return
    }
    const { lane } = this.#tools
    const send = (channel: SipChannel | null) =>
      channel?.send(compose(forwarding, next, channel, makeBranch(lane, forwarding.loopHash), this.#tools)) === true
    this.#acksWaiting++
    const sent =
      target.destination.kind === 'flow'
        ? send(target.destination.channel)
        : await this.#sendToHop(forwarding, next, send)
    this.#acksWaiting--
    if (sent) this.counters.acks++
    else this.counters.acksDropped++
  }

  async #sendToHop(
    forwarding: Forwarding,
    next: NextHop,
    send: (channel: SipChannel | null) => boolean,
  ): Promise<boolean> {
    const { locator, hops, settings } = this.#tools
    const located = next.uri === null ? [] : await locator.locate(next.uri)
    const safe = congestionSafe(located, 'ACK', octetsOf(forwarding, next))
    for (const hop of safe.slice(0, settings.maxAttempts)) if (send(await hops.open(hop))) return true
    return false
  }

  /** The targets that are tried: of too many, those of lowest q are left out. */
  #bounded(groups: readonly (readonly Target[])[]): readonly (readonly Target[])[] {
    const { maxBranches } = this.#tools.settings
    let count = 0
    for (const group of groups) count += group.length
    if (count <= maxBranches) return groups
    this.counters.targetsIgnored += count - maxBranches
    const bounded: Target[][] = []
    let left = maxBranches
    for (const group of groups) {
      if (left > 0) bounded.push(group.slice(0, left))
      left -= group.length
    }
    return bounded
  }
}
