import assert from 'node:assert/strict'
import { ackFor } from '../../parser/sip/encoder.ts'
import type { SipRequest, SipResponse } from '../../parser/sip/message.ts'
import { type TimerOwner, WheelTimer } from '../timer-wheel.ts'
import type { SipChannel } from './channel.ts'
import type { ClientContext, ClientUser, InviteClientState, PlacedClient } from './transaction.ts'

/**
 * INVITE client transaction (S-32): RFC 3261 17.1.1 as changed by RFC 6026.
 *
 *            send INVITE
 *                │        A: send again
 *            ┌───▼───┐ ◀─┐
 *            │Calling├───┘── B: timedOut, transport error ─────────────▶ Terminated
 *            └─┬─┬─┬─┘
 *         1xx  │ │ │ 300-699: ACK ┌─────────┐ ◀─┐ 300-699: ACK
 *   ┌──────────┘ │ └─────────────▶│Completed├───┘──── D ──────────────▶ Terminated
 *   │            │ 2xx            └─────────┘
 *   │  ┌─────────│────────────────────▲   300-699: ACK
 * ┌─▼──┴─────┐   │    ┌────────┐ ◀─┐ 2xx: to the user
 * │Proceeding├───┴───▶│Accepted├───┘────────── M ────────────────────▶ Terminated
 * └──────────┘        └────────┘
 *
 * Proceeding has no timer: its end is up to the user, by Timer C (S-48).
 */
export class InviteClientTransaction implements PlacedClient, TimerOwner {
  readonly kind = 'invite-client'
  readonly branch: string
  readonly request: SipRequest
  readonly channel: SipChannel
  next: PlacedClient | null = null
  readonly #user: ClientUser
  readonly #context: ClientContext
  readonly #timerA = new WheelTimer(this)
  /** B, D or M: a state has one of them. */
  readonly #limit = new WheelTimer(this)
  #state: InviteClientState = 'calling'
  /** The request could not even be sent: its user hears of it by the wheel's next tick, and of nothing else. */
  #unsent = false
  #intervalMs: number

  constructor(branch: string, request: SipRequest, channel: SipChannel, user: ClientUser, context: ClientContext) {
    this.branch = branch
    this.request = request
    this.channel = channel
    this.#user = user
    this.#context = context
    this.#intervalMs = context.timers.a
  }

  get method(): string {
    return this.request.method
  }

  get state(): InviteClientState {
    return this.#state
  }

  /** Sends the request for the first time. */
  start(): void {
    const { wheel, timers } = this.#context
    wheel.start(this.#limit, timers.b)
    if (!this.channel.reliable) wheel.start(this.#timerA, this.#intervalMs)
    if (this.channel.send(this.request.octets)) return
    this.#unsent = true
    wheel.cancel(this.#timerA)
    wheel.start(this.#limit, 0)
  }

  receive(response: SipResponse): void {
    const { counters } = this.#context
    if (this.#unsent) {
      counters.strayResponses++
      return
    }
    switch (this.#state) {
      case 'calling':
      case 'proceeding':
        if (response.status < 200) this.#proceed(response)
        else if (response.status < 300) this.#accept(response)
        else this.#complete(response)
        return
      case 'completed':
        // S-32: each copy of the final response is acknowledged again, and shown to nobody.
        if (response.status >= 300) {
          counters.retransmissionsAbsorbed++
          this.#acknowledgeAgain(response)
        } else counters.strayResponses++
        return
      case 'accepted':
        // S-32: every 2xx goes up, be it a copy or another fork's; nothing else can matter any more.
        if (response.status >= 200 && response.status < 300) this.#user.response(response)
        else counters.strayResponses++
        return
      case 'terminated':
        counters.strayResponses++
    }
  }

  expired(timer: WheelTimer): void {
    const { counters } = this.#context
    if (timer === this.#timerA) this.#sendAgain()
    else if (this.#unsent) this.transportFailed()
    else if (this.#state === 'calling') {
      counters.timeouts++ // Timer B
      this.#release()
      this.#user.timedOut()
      this.#user.terminated()
    } else this.terminate() // Timers D and M
  }

  transportFailed(): void {
    switch (this.#state) {
      case 'calling':
      case 'proceeding':
        this.#context.counters.transportErrors++
        this.#release()
        this.#user.transportError()
        this.#user.terminated()
        return
      case 'completed':
        // 17.1.1.2: over, as no ACK can be sent. Its user has long heard the final response.
        this.#context.counters.transportErrors++
        this.terminate()
        return
      case 'accepted':
      case 'terminated':
        return // nothing is sent any more, and a 2xx may come another way
    }
  }

  terminate(): void {
    if (this.#state === 'terminated') return
    this.#release()
    this.#user.terminated()
  }

  #proceed(response: SipResponse): void {
    const { wheel } = this.#context
    this.#state = 'proceeding'
    wheel.cancel(this.#timerA)
    wheel.cancel(this.#limit)
    this.#user.response(response)
  }

  #accept(response: SipResponse): void {
    const { wheel, timers } = this.#context
    this.#state = 'accepted'
    wheel.cancel(this.#timerA)
    wheel.start(this.#limit, timers.m)
    this.#user.response(response)
  }

  #complete(response: SipResponse): void {
    const { wheel, timers, counters } = this.#context
    this.#state = 'completed'
    wheel.cancel(this.#timerA)
    const acknowledged = this.channel.send(ackFor(this.request, response)) // S-35
    if (!acknowledged) counters.transportErrors++
    const over = this.channel.reliable || !acknowledged // D is 0, or 17.1.1.2 as in `transportFailed`
    if (over) this.#release()
    else wheel.start(this.#limit, timers.d)
    this.#user.response(response)
    if (over) this.#user.terminated()
  }

  #acknowledgeAgain(response: SipResponse): void {
    // Made anew, as a fork downstream may answer with another To tag.
    if (!this.channel.send(ackFor(this.request, response))) this.transportFailed()
    else this.#context.counters.retransmissionsSent++
  }

  #sendAgain(): void {
    const { wheel, counters } = this.#context
    this.#intervalMs *= 2
    wheel.start(this.#timerA, this.#intervalMs)
    if (this.channel.send(this.request.octets)) counters.retransmissionsSent++
    else this.transportFailed()
  }

  #release(): void {
    const { wheel } = this.#context
    assert(this.#state !== 'terminated', 'a transaction ends once')
    this.#state = 'terminated'
    wheel.cancel(this.#timerA)
    wheel.cancel(this.#limit)
    this.#context.ended(this)
  }
}
