import assert from 'node:assert/strict'
import type { SipRequest } from '../../parser/sip/message.ts'
import { type TimerOwner, WheelTimer } from '../timer-wheel.ts'
import type { SipChannel } from './channel.ts'
import type {
  NonInviteServerState,
  RespondOutcome,
  ServerEnding,
  ServerTransaction,
  ServerUser,
  TransactionContext,
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
export class NonInviteServerTransaction implements ServerTransaction, TimerOwner {
  readonly kind = 'non-invite-server'
  readonly key: string
  readonly channel: SipChannel
  user: ServerUser | null = null
  readonly #context: TransactionContext
  /** The wait for the 100, then for the client to give up; J. */
  readonly #timer = new WheelTimer(this)
  /** What is left of 64*T1 when the 100 falls due; 0 from then on. */
  #patienceMs: number
  #state: NonInviteServerState = 'trying'
  #request: SipRequest | null
  #response: Buffer | null = null
  /** The final response as text, a character an octet: while copies are waited for nothing else is kept. */
  #final: string | null = null

  constructor(key: string, request: SipRequest, channel: SipChannel, context: TransactionContext) {
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
    return this.#state
  }

  respond(octets: Buffer, status: number): RespondOutcome {
    if (this.#state === 'completed' || this.#state === 'terminated') return 'ignored'
    if (status >= 200) return this.#complete(octets, status)
    // S-36: no provisional response but 100, and that not too early where it would only add to what gets lost.
    if (status !== 100 || (!this.channel.reliable && this.#patienceMs > 0)) return 'ignored'
    return this.#proceed(octets)
  }

  /** The same request has come again. */
  receiveCopy(): void {
    const { counters } = this.#context
    counters.retransmissionsAbsorbed++
    const response = this.#final === null ? this.#response : Buffer.from(this.#final, 'latin1')
    if (response !== null && this.#send(response) === 'sent') counters.retransmissionsSent++
  }

  expired(_timer: WheelTimer): void {
    const { wheel, counters } = this.#context
    if (this.#state === 'completed')
      this.#end('finished') // Timer J
    else if (this.#patienceMs > 0) {
      wheel.start(this.#timer, this.#patienceMs)
      this.#patienceMs = 0
      if (this.#state === 'trying') this.#proceed(trying(this.request)) // S-36: now it is a must
    } else {
      counters.unanswered++
      this.#end('unanswered')
    }
  }

  terminate(): void {
    if (this.#state !== 'terminated') this.#end('finished')
  }

  #proceed(octets: Buffer): RespondOutcome {
    this.#state = 'proceeding'
    this.#response = octets
    return this.#send(octets)
  }

  #complete(octets: Buffer, status: number): RespondOutcome {
    const { wheel, timers } = this.#context
    if (status === 408) return 'ignored' // S-36: its client times out by itself, at that very moment
    this.#state = 'completed'
    const outcome = this.#send(octets)
    if (this.channel.reliable)
      this.#end('finished') // J is 0
    else {
      wheel.start(this.#timer, timers.j)
      this.#remain(octets)
    }
    return outcome
  }

  /** For 32 s copies are answered (S-34): of a busy server's requests of that time nothing can be kept but the answers. */
  #remain(octets: Buffer): void {
    this.#final = octets.toString('latin1')
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
