import assert from 'node:assert/strict'
import type { Buffer } from 'node:buffer'
import type { SipRequest } from '../../parser/sip/message.ts'
import { type TimerOwner, WheelTimer } from '../timer-wheel.ts'
import type { SipChannel } from './channel.ts'
import type {
  InviteServerState,
  PlacedServer,
  RespondOutcome,
  ServerContext,
  ServerEnding,
  ServerUser,
} from './transaction.ts'
import { trying } from './trying.ts'

/** What is to become of an ACK: `absorbed` ones were for the transaction itself, those for a 2xx go `up`. */
export type AckOutcome = 'absorbed' | 'up'

/**
 * INVITE server transaction (S-33): RFC 3261 17.2.1 as changed by RFC 6026. A response that cannot be sent does not end
 * it, or the next copy of the INVITE would ring again.
 *
 *                  INVITE
 *                ┌───▼──────┐ ◀─┐ INVITE: last 1xx; 1xx from the user: send; 200 ms: 100
 *                │Proceeding├───┘
 *                └─┬──────┬─┘
 *          300-699 │      │ 2xx
 *            ┌─────▼───┐ ┌▼───────┐ ◀─┐ 2xx from the user: send; ACK: to the user; INVITE: absorbed
 *  INVITE ┌▶ │Completed│ │Accepted├───┘── L ──▶ Terminated
 *    or G └─ └──┬────┬─┘ └────────┘
 *           ACK │    └── H: unacknowledged ──▶ Terminated
 *          ┌────▼────┐ ◀─┐ ACK, INVITE: absorbed
 *          │Confirmed├───┘── I ──▶ Terminated
 *          └─────────┘
 */
export class InviteServerTransaction implements PlacedServer, TimerOwner {
  readonly kind = 'invite-server'
  readonly key: string
  readonly request: SipRequest
  readonly channel: SipChannel
  place = 0
  user: ServerUser | null = null
  readonly #context: ServerContext
  /** The wait for an answer before the 100; then G. */
  readonly #timerG = new WheelTimer(this)
  /** H, I or L: a state has one of them. */
  readonly #limit = new WheelTimer(this)
  #state: InviteServerState = 'proceeding'
  #intervalMs: number
  /** The last one sent: a provisional one, the 2xx or the final response. */
  #response: Buffer | null = null

  constructor(key: string, request: SipRequest, channel: SipChannel, context: ServerContext) {
    this.key = key
    this.request = request
    this.channel = channel
    this.#context = context
    this.#intervalMs = context.timers.g
    context.wheel.start(this.#timerG, context.timers.tryingInvite)
  }

  get state(): InviteServerState {
    return this.#state
  }

  /** The last response sent. */
  get lastResponse(): Buffer | null {
    return this.#response
  }

  respond(octets: Buffer, status: number): RespondOutcome {
    const { wheel, timers } = this.#context
    switch (this.#state) {
      case 'proceeding':
        this.#response = octets
        wheel.cancel(this.#timerG)
        if (status >= 300) {
          this.#state = 'completed'
          wheel.start(this.#limit, timers.h)
          if (!this.channel.reliable) wheel.start(this.#timerG, this.#intervalMs)
        } else if (status >= 200) {
          this.#state = 'accepted'
          wheel.start(this.#limit, timers.l)
        }
        return this.#send(octets)
      case 'accepted':
        // 6026: copies of the 2xx, and other forks' 2xx, pass through.
        return status >= 200 && status < 300 ? this.#send(octets) : 'ignored'
      case 'completed':
      case 'confirmed':
      case 'terminated':
        return 'ignored'
    }
  }

  /** The same INVITE has come again. */
  receiveCopy(): void {
    const { counters } = this.#context
    counters.retransmissionsAbsorbed++
    const answers = this.#state === 'proceeding' || this.#state === 'completed'
    if (answers && this.#response !== null) this.#sendAgain(this.#response)
  }

  /** An ACK has come that matches the INVITE. */
  receiveAck(): AckOutcome {
    const { wheel, timers, counters } = this.#context
    if (this.#state === 'accepted') return 'up'
    counters.retransmissionsAbsorbed += this.#state === 'completed' ? 0 : 1
    if (this.#state === 'completed') {
      this.#state = 'confirmed'
      wheel.cancel(this.#timerG)
      if (this.channel.reliable)
        this.#end('finished') // I is 0
      else wheel.start(this.#limit, timers.i)
    }
    return 'absorbed'
  }

  expired(timer: WheelTimer): void {
    const { wheel, timers, counters } = this.#context
    switch (this.#state) {
      case 'proceeding':
        this.#response = trying(this.request)
        this.#send(this.#response)
        return
      case 'completed':
        if (timer === this.#timerG) {
          this.#intervalMs = Math.min(this.#intervalMs * 2, timers.t2)
          wheel.start(this.#timerG, this.#intervalMs)
          if (this.#response !== null) this.#sendAgain(this.#response)
        } else {
          counters.unacknowledged++ // Timer H
          this.#end('unacknowledged')
        }
        return
      case 'confirmed': // Timer I
      case 'accepted': // Timer L
        this.#end('finished')
        return
      case 'terminated':
        return
    }
  }

  terminate(): void {
    if (this.#state !== 'terminated') this.#end('finished')
  }

  #send(octets: Buffer): RespondOutcome {
    if (this.channel.send(octets)) return 'sent'
    this.#context.counters.transportErrors++
    return 'unsendable'
  }

  #sendAgain(octets: Buffer): void {
    if (this.#send(octets) === 'sent') this.#context.counters.retransmissionsSent++
  }

  #end(ending: ServerEnding): void {
    const { wheel } = this.#context
    assert(this.#state !== 'terminated', 'a transaction ends once')
    this.#state = 'terminated'
    wheel.cancel(this.#timerG)
    wheel.cancel(this.#limit)
    this.#context.ended(this)
    this.user?.terminated(ending)
  }
}
