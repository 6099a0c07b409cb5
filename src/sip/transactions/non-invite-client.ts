import assert from 'node:assert/strict'
import type { Buffer } from 'node:buffer'
import type { SipResponse } from '../../parser/sip/message.ts'
import { type TimerOwner, WheelTimer } from '../timer-wheel.ts'
import type { SipChannel } from './channel.ts'
import type { ClientContext, ClientUser, NonInviteClientState, PlacedClient, SentRequest } from './transaction.ts'

/**
 * Client transaction of any other method (S-34): RFC 3261 17.1.2.
 *
 *      send request
 *          │       E: send again
 *      ┌───▼──┐ ◀─┐
 *      │Trying├───┘── F: timedOut, transport error ──▶ Terminated
 *      └─┬──┬─┘
 *    1xx │  └──────── 200-699 ───────────┐
 *   ┌────▼─────┐ ◀─┐ E: send again       │
 *   │Proceeding├───┘── F: timedOut, transport error ──▶ Terminated
 *   └────┬─────┘ ◀─── 1xx: to the user   │
 *        └──────────── 200-699 ─────┬────┘
 *                              ┌────▼────┐ ◀─┐ responses: absorbed
 *                              │Completed├───┘── K ──▶ Terminated
 *                              └─────────┘
 */
export class NonInviteClientTransaction implements PlacedClient, TimerOwner {
  readonly kind = 'non-invite-client'
  readonly branch: string
  readonly method: string
  readonly channel: SipChannel
  next: PlacedClient | null = null
  #user: ClientUser
  readonly #context: ClientContext
  readonly #timerE = new WheelTimer(this)
  /** F, then K. */
  readonly #limit = new WheelTimer(this)
  /** The request; null once copies of its final response are all that is waited for. */
  #octets: Buffer | null
  #state: NonInviteClientState = 'trying'
  /** The request could not even be sent: its user hears of it by the wheel's next tick, and of nothing else. */
  #unsent = false
  #intervalMs: number

  constructor(
    branch: string,
    request: Omit<SentRequest, 'branch'>,
    channel: SipChannel,
    user: ClientUser,
    context: ClientContext,
  ) {
    this.branch = branch
    this.method = request.method
    this.#octets = request.octets
    this.channel = channel
    this.#user = user
    this.#context = context
    this.#intervalMs = context.timers.e
  }

  get state(): NonInviteClientState {
    return this.#state
  }

  /** Sends the request for the first time. */
  start(): void {
    const { wheel, timers } = this.#context
    wheel.start(this.#limit, timers.f)
    if (!this.channel.reliable) wheel.start(this.#timerE, this.#intervalMs)
    if (this.channel.send(this.#octets!)) return
    this.#unsent = true
    wheel.cancel(this.#timerE)
    wheel.start(this.#limit, 0)
  }

  receive(response: SipResponse): void {
    if (this.#unsent) {
      this.#context.counters.strayResponses++
      return
    }
    switch (this.#state) {
      case 'trying':
      case 'proceeding':
        if (response.status >= 200) this.#complete(response)
        else {
          this.#state = 'proceeding'
          this.#user.response(response)
        }
        return
      case 'completed':
        this.#context.counters.retransmissionsAbsorbed++
        return
      case 'terminated':
        this.#context.counters.strayResponses++
    }
  }

  expired(timer: WheelTimer): void {
    if (timer === this.#timerE) this.#sendAgain()
    else if (this.#unsent) this.transportFailed()
    else if (this.#state === 'completed')
      this.terminate() // Timer K
    else {
      this.#context.counters.timeouts++ // Timer F
      this.#release()
      this.#user.timedOut()
      this.#user.terminated()
    }
  }

  transportFailed(): void {
    if (this.#state !== 'trying' && this.#state !== 'proceeding') return // nothing is sent or awaited any more
    this.#context.counters.transportErrors++
    this.#release()
    this.#user.transportError()
    this.#user.terminated()
  }

  terminate(): void {
    if (this.#state === 'terminated') return
    this.#release()
    this.#user.terminated()
  }

  #complete(response: SipResponse): void {
    const { wheel, timers } = this.#context
    const user = this.#user
    if (this.channel.reliable)
      this.#release() // K is 0
    else {
      this.#state = 'completed'
      wheel.cancel(this.#timerE)
      wheel.start(this.#limit, timers.k)
      // While copies are absorbed, nothing that the user holds on to is needed.
      this.#octets = null
      this.#user = nobody
    }
    user.response(response)
    user.terminated()
  }

  #sendAgain(): void {
    const { wheel, timers, counters } = this.#context
    // S-34: once there is a provisional response, a copy every T2 is enough.
    this.#intervalMs = this.#state === 'proceeding' ? timers.t2 : Math.min(this.#intervalMs * 2, timers.t2)
    wheel.start(this.#timerE, this.#intervalMs)
    if (this.channel.send(this.#octets!)) counters.retransmissionsSent++
    else this.transportFailed()
  }

  #release(): void {
    const { wheel } = this.#context
    assert(this.#state !== 'terminated', 'a transaction ends once')
    this.#state = 'terminated'
    wheel.cancel(this.#timerE)
    wheel.cancel(this.#limit)
    this.#context.ended(this)
  }
}

/** Whose transaction only absorbs copies. */
const nobody: ClientUser = { response() {}, timedOut() {}, transportError() {}, terminated() {} }
