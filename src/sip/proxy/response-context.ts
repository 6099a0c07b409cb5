import assert from 'node:assert/strict'
import type { SipResponse } from '../../parser/sip/message.ts'
import { type TimerOwner, WheelTimer } from '../timer-wheel.ts'
import type { ServerTransaction, ServerUser } from '../transactions/transaction.ts'
import { better, type Failure, localResponse, mergedChallenge, timeout, upstream } from './best-response.ts'
import { type BranchUser, ClientBranch, type Forwarding, type ProxyTools } from './client-branch.ts'
import type { LocalStatus } from './refusal.ts'
import type { Target } from './target.ts'

/**
 * Asked once, when all branches have failed, or a non-INVITE has to be given up (S-36), before anything is said upstream:
 * `handled` if somebody else answers the request now, or forwards it anew. Not asked about a request that was cancelled.
 */
export type FailureRoute = (best: Outcome) => 'send' | 'handled'

/** The best of the failures (S-46); and whether there was any branch that … */
export interface Outcome {
  readonly status: number
  /** null: the status stands for there being none. */
  readonly response: SipResponse | null
  /** … nobody has answered in time, */
  readonly timedOut: boolean
  /** … or there was no way to send to. */
  readonly unreachable: boolean
}

export interface ContextOptions {
  readonly onFailure: FailureRoute | null
  /** Whoever has sent the request wants to know when its flow has failed (430); else that is 480 (S-70). */
  readonly flowNamed: boolean
  /** The context is of no use any more. */
  readonly ended: () => void
}

/**
 * All branches of one forwarded request, and what is answered upstream (S-46 … S-51, RFC 3261 16.7): groups of targets
 * one after the other, the targets of a group at once; every 2xx to INVITE, the first one to anything else; the best of
 * the failures when nothing else can come.
 */
export class ResponseContext implements ServerUser, BranchUser, TimerOwner {
  readonly #tools: ProxyTools
  readonly #server: ServerTransaction
  readonly #forwarding: Forwarding
  readonly #options: ContextOptions
  readonly #isInvite: boolean
  readonly #groups: readonly (readonly Target[])[]
  #nextGroup = 0
  readonly #branches: ClientBranch[] = []
  #pending = 0
  /** A group is being started: its branches may fail before all have begun. */
  #starting = false
  #best: Failure | null = null
  #timedOut = false
  #unreachable = false
  /** 401 and 407 that have come (S-46). */
  readonly #challenges: SipResponse[] = []
  /** No further target is tried: there was a 2xx, a 6xx or a CANCEL. */
  #noMore = false
  #cancelled = false
  /** Upstream has its final response, or it is up to somebody else; only 2xx to INVITE go on. */
  #decided = false
  /** Non-INVITE: when the next group is due, or the request is given up. */
  readonly #timer = new WheelTimer(this)
  /** When it is given up, ms since the epoch. */
  readonly #giveUpAt: number

  constructor(
    server: ServerTransaction,
    forwarding: Forwarding,
    groups: readonly (readonly Target[])[],
    options: ContextOptions,
    tools: ProxyTools,
  ) {
    this.#tools = tools
    this.#server = server
    this.#forwarding = forwarding
    this.#options = options
    this.#isInvite = forwarding.request.method === 'INVITE'
    this.#groups = groups
    this.#giveUpAt = tools.clock.now() + tools.settings.finalWaitMs
  }

  start(): void {
    assert(this.#groups.length > 0 && this.#groups.every((group) => group.length > 0), 'nothing to forward to')
    this.#server.user = this
    this.#startGroup()
  }

  /** Upstream has cancelled its INVITE (S-50). */
  cancel(): void {
    if (this.#decided || !this.#isInvite) return
    this.#cancelled = true
    this.#cancelBranches()
    this.#settle()
  }

  provisional(response: SipResponse): void {
    this.#server.respond(upstream(response), response.status)
  }

  succeeded(branch: ClientBranch, response: SipResponse): void {
    if (!this.#decided) this.#tools.counters.accepted++
    const isFirst = !this.#decided
    // Decided before it is said: the transaction may end as it is answered, which must not cancel the other branches.
    this.#decide()
    // S-46: each 2xx to INVITE; S-47, S-51, S-86: the first to anything else.
    if (this.#isInvite || isFirst) this.#server.respond(upstream(response), response.status)
    if (this.#isInvite) this.#cancelBranches(branch) // 16.7 step 10
    this.#noMore = true
  }

  failed(_branch: ClientBranch, failure: Failure): void {
    this.#pending--
    if (this.#decided) return
    const { status, response } = failure
    this.#note(failure)
    if (response !== null && (status === 401 || status === 407)) this.#challenges.push(response)
    if (status >= 600) this.#cancelBranches() // S-46
    this.#settle()
  }

  /** The server transaction has ended. */
  terminated(): void {
    // Somebody may have ended it before it was answered: then nobody waits for the branches either.
    if (!this.#decided) {
      this.#decide()
      this.#cancelBranches()
    }
    this.#options.ended()
  }

  expired(): void {
    if (this.#nextGroup < this.#groups.length && !this.#noMore) {
      // The branches that have not been answered go on beside the new ones.
      this.#startGroup()
      return
    }
    this.#tools.counters.gaveUp++
    this.#note(timeout)
    this.#conclude()
    for (const branch of this.#branches) branch.abandon()
  }

  #startGroup(): void {
    const { wheel, clock, settings } = this.#tools
    const group = this.#groups[this.#nextGroup]!
    this.#nextGroup++
    if (!this.#isInvite) {
      // A target that does not answer must not use up the time of those after it: each group has its share of what is left.
      const left = Math.min(Math.max(this.#giveUpAt - clock.now(), 0), settings.finalWaitMs)
      wheel.start(this.#timer, left / (this.#groups.length - this.#nextGroup + 1))
    }
    this.#starting = true
    for (const target of group) {
      const branch = new ClientBranch(target, this.#forwarding, this, this.#tools)
      this.#branches.push(branch)
      this.#pending++
      branch.start()
    }
    this.#starting = false
    this.#settle()
  }

  /** Goes on when all branches have failed: with the next group, or upstream. */
  #settle(): void {
    if (this.#pending > 0 || this.#starting || this.#decided) return
    if (this.#nextGroup < this.#groups.length && !this.#noMore) this.#startGroup()
    else this.#conclude()
  }

  #cancelBranches(but: ClientBranch | null = null): void {
    this.#noMore = true
    for (const branch of this.#branches) if (branch !== but) branch.cancel()
  }

  #note(failure: Failure): void {
    this.#best = better(this.#best, failure, this.#isInvite)
    this.#timedOut ||= failure.timedOut
    this.#unreachable ||= failure.unreachable
  }

  #decide(): void {
    this.#decided = true
    this.#tools.wheel.cancel(this.#timer)
  }

  /** Nothing but failures: the best of them is the answer, unless somebody has a better one. */
  #conclude(): void {
    const best = this.#best
    assert(best !== null, 'a request that nobody was sent')
    this.#decide()
    const { status, response } = best
    const outcome = { status, response, timedOut: this.#timedOut, unreachable: this.#unreachable }
    if (!this.#cancelled && this.#options.onFailure?.(outcome) === 'handled') this.#tools.counters.handled++
    else this.#send(best)
  }

  #send({ status, response }: Failure): void {
    if (status === 408 && !this.#isInvite) return // S-36: its client knows by itself
    if (status === 503)
      this.#respond(500) // S-47
    else if (status === 430 && !this.#options.flowNamed)
      this.#respond(480) // S-70
    else if (response === null) this.#respond(status)
    else if (status === 401 || status === 407) {
      this.#server.respond(mergedChallenge(response, this.#challenges), status)
    } else this.#server.respond(upstream(response), status)
  }

  #respond(status: LocalStatus): void {
    this.#server.respond(localResponse(this.#forwarding.request, status), status)
  }
}
