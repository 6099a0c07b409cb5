import assert from 'node:assert/strict'
import type { Buffer } from 'node:buffer'
import type { SipRequest } from '../../parser/sip/message.ts'
import { type TimerOwner, WheelTimer } from '../timer-wheel.ts'
import type { Remembered } from './answered-requests.ts'
import type { SipChannel } from './channel.ts'
import type {
  NonInviteServerState,
  PlacedServer,
  RespondOutcome,
  ServerContext,
  ServerEnding,
  ServerUser,
} from './transaction.ts'
import { trying } from './trying.ts'

/**
 * Server transaction of any other method (S-34): RFC 3261 17.2.2 with RFC 4320 (S-36).
 *
 *       request
 *      ┌───▼──┐ ◀─┐ request: silence
 *      │Trying├───┘── 64*T1: unanswered ──────────▶ Terminated
 *      └─┬──┬─┘
 *        │  │ 100 from the user, or when it is due: send
 *        │ ┌▼─────────┐ ◀─┐ request: 100
 *        │ │Proceeding├───┘── 64*T1: unanswered ──▶ Terminated
 *        │ └┬─────────┘
 *        │  │ 200-699 from the user: send
 *      ┌─▼──▼────┐ ◀─┐ request: final response
 *      │Completed├───┘── J ──────────────────────▶ Terminated
 *      └─────────┘
 *
 * 64*T1 after the request its client has given up: whatever we say later is a late answer, which is not sent (S-36). A
 * response that cannot be sent does not end the transaction, or the next copy would be taken for a new request.
 */
export class NonInviteServerTransaction implements PlacedServer, TimerOwner {
  readonly kind = 'non-invite-server'
  readonly key: string
  readonly channel: SipChannel
  place = 0
  user: ServerUser | null = null
  readonly #context: ServerContext
  /** The wait for the 100, then for the client to give up. */
  readonly #timer = new WheelTimer(this)
  /** What is left of 64*T1 when the 100 falls due; 0 from then on. */
  #patienceMs: number
  #state: NonInviteServerState = 'trying'
  #request: SipRequest | null
  /** The 100. */
  #response: Buffer | null = null
  /** Once it is answered over UDP: whoever answers copies in its place. */
  #remembered: Remembered | null = null

  constructor(key: string, request: SipRequest, channel: SipChannel, context: ServerContext) {
    const { wheel, timers } = context
    this.key = key
    this.#request = request
    this.channel = channel
    this.#context = context
    this.#patienceMs = timers.f - timers.tryingNonInvite
    wheel.start(this.#timer, timers.tryingNonInvite)
  }

  get request(): SipRequest {
    assert(this.#request !== null, 'a request is forgotten once it has been answered')
    return this.#request
  }

  get state(): NonInviteServerState {
    return this.#remembered?.over ? 'terminated' : this.#state
  }

  respond(octets: Buffer, status: number): RespondOutcome {
    if (this.#state === 'completed' || this.#state === 'terminated') return 'ignored'
    if (status >= 200) return this.#complete(octets, status)
    // S-36: no provisional response but 100, and that not too early where it would only add to what gets lost.
    if (status !== 100 || (!this.channel.reliable && this.#patienceMs > 0)) return 'ignored'
    return this.#proceed(octets)
  }

  /** The same request has come again, before it was answered. */
  receiveCopy(): void {
    const { counters } = this.#context
    counters.retransmissionsAbsorbed++
    if (this.#response !== null && this.#send(this.#response) === 'sent') counters.retransmissionsSent++
  }

  expired(): void {
    const { wheel, counters } = this.#context
    if (this.#patienceMs > 0) {
      wheel.start(this.#timer, this.#patienceMs)
      this.#patienceMs = 0
      if (this.#state === 'trying') this.#proceed(trying(this.request)) // S-36: now it is a must
    } else {
      counters.unanswered++
      this.#end('unanswered')
    }
  }

  terminate(): void {
    if (this.state === 'terminated') return
    if (this.#state === 'completed') {
      this.#state = 'terminated'
      this.#context.forget(this)
    } else this.#end('finished')
  }

  #proceed(octets: Buffer): RespondOutcome {
    this.#state = 'proceeding'
    this.#response = octets
    return this.#send(octets)
  }

  #complete(octets: Buffer, status: number): RespondOutcome {
    if (status === 408) return 'ignored' // S-36: its client times out by itself, at that very moment
    this.#state = 'completed'
    const outcome = this.#send(octets)
    if (this.channel.reliable)
      this.#end('finished') // J is 0
    else this.#remain(octets)
    return outcome
  }

  /** Until Timer J copies are answered (S-34): of all that is here nothing but the answer is needed for that. */
  #remain(octets: Buffer): void {
    const { wheel, remember } = this.#context
    wheel.cancel(this.#timer)
    this.#remembered = remember(this, octets)
    this.#response = null
    this.#request = null
    const { user } = this
    this.user = null
    user?.terminated('finished')
  }

  #send(octets: Buffer): RespondOutcome {
    if (this.channel.send(octets)) return 'sent'
    this.#context.counters.transportErrors++
    return 'unsendable'
  }

  #end(ending: ServerEnding): void {
    assert(this.#state !== 'terminated', 'a transaction ends once')
    this.#state = 'terminated'
    this.#context.wheel.cancel(this.#timer)
    this.#context.ended(this)
    this.user?.terminated(ending)
  }
}
