import assert from 'node:assert/strict'
import type { LaneIndex } from '../ids.ts'
import type { FailedText } from '../msrp/failed-texts.ts'
import type { DeliveryOrder, DeliveryOutcome, KeepAnswer, KeepRequest, OutgoingMessage } from '../silo/order.ts'
import type { RegisterAnswer } from '../sip/registrar/location.ts'
import type { RegisterRequest } from '../sip/registrar/register-request.ts'
import { TransientMap } from '../transient-map.ts'
import { Batch } from './batch.ts'
import { type LaneMessage, type Numbered, ownOctets, type PrimaryMessage } from './lane-port.ts'

/** What the primary thread does for lanes. None of it ever rejects. */
export interface PrimaryServices {
  register(register: RegisterRequest): Promise<RegisterAnswer>
  keep(request: KeepRequest): Promise<KeepAnswer>
  keepText(text: FailedText): Promise<boolean>
}

type Call = Extract<LaneMessage, { readonly type: 'register' | 'keep' | 'keep-text' | 'delivered' }>

/** What is on its way between the primary and one lane. */
interface Desk {
  /** How often the lane has died: what its predecessor asked for is not for it. */
  deaths: number
  /** It has died, and nobody runs in its place yet. */
  down: boolean
  readonly registered: Batch<Numbered<RegisterAnswer>>
  readonly kept: Batch<Numbered<KeepAnswer>>
  readonly textKept: Batch<Numbered<boolean>>
  readonly orders: Batch<Numbered<DeliveryOrder>>
  readonly messages: Batch<OutgoingMessage>
  /** Orders that it has not told the outcome of. */
  readonly delivering: TransientMap<number, (outcome: DeliveryOutcome) => void>
}

/**
 * SIP's calls between lanes and the primary: REGISTERs and messages for the silo one way, deliveries the other. What goes
 * the same way in one turn goes together.
 */
export class LaneCalls {
  readonly #desks: readonly Desk[]
  readonly #services: PrimaryServices
  #lastOrder = 0

  constructor(lanes: number, tell: (lane: LaneIndex, message: PrimaryMessage) => void, services: PrimaryServices) {
    this.#services = services
    this.#desks = Array.from({ length: lanes }, (_, index) => {
      const lane = index as LaneIndex
      return {
        deaths: 0,
        down: false,
        registered: new Batch((answers) => tell(lane, { type: 'registered', answers })),
        kept: new Batch((answers) => tell(lane, { type: 'kept', answers })),
        textKept: new Batch((answers) => tell(lane, { type: 'text-kept', answers })),
        orders: new Batch((orders) => tell(lane, { type: 'deliver', orders })),
        messages: new Batch((messages) => tell(lane, { type: 'send', messages })),
        delivering: new TransientMap(),
      }
    })
  }

  receive(lane: LaneIndex, message: Call): void {
    const desk = this.#desks[lane]!
    switch (message.type) {
      case 'register':
        for (const { number, value } of message.requests) {
          void this.#answer(desk, desk.registered, number, this.#services.register(value))
        }
        break
      case 'keep':
        for (const { number, value } of message.requests) {
          void this.#answer(desk, desk.kept, number, this.#services.keep(value))
        }
        break
      case 'keep-text':
        for (const { number, value } of message.requests) {
          void this.#answer(desk, desk.textKept, number, this.#services.keepText(value))
        }
        break
      case 'delivered':
        for (const { number, value } of message.outcomes) {
          // An outcome that its predecessor told as it died has been answered for it.
          desk.delivering.get(number)?.(value)
          desk.delivering.delete(number)
        }
    }
  }

  /** Has a lane send a message of the silo. A lane that dies meanwhile leaves it undelivered, as far as anybody knows. */
  deliver(lane: LaneIndex, order: DeliveryOrder): Promise<DeliveryOutcome> {
    const desk = this.#desks[lane]!
    if (desk.down) return Promise.resolve({ kind: 'unreachable' })
    const number = ++this.#lastOrder
    const { promise, resolve } = Promise.withResolvers<DeliveryOutcome>()
    desk.delivering.set(number, resolve)
    desk.orders.add({ number, value: { ...order, record: ownOctets(order.record) } })
    return promise
  }

  /** Has a lane send a message that nobody asks about. */
  send(lane: LaneIndex, message: OutgoingMessage): void {
    const desk = this.#desks[lane]!
    if (!desk.down) desk.messages.add({ ...message, body: ownOctets(message.body) })
  }

  died(lane: LaneIndex): void {
    const desk = this.#desks[lane]!
    assert(!desk.down, 'a lane dies once')
    desk.down = true
    desk.deaths++
    for (const resolve of desk.delivering.values()) resolve({ kind: 'unreachable' })
    desk.delivering.clear()
  }

  replaced(lane: LaneIndex): void {
    this.#desks[lane]!.down = false
  }

  async #answer<Value>(desk: Desk, batch: Batch<Numbered<Value>>, number: number, answer: Promise<Value>) {
    const { deaths } = desk
    const value = await answer
    if (!desk.down && desk.deaths === deaths) batch.add({ number, value })
  }
}
