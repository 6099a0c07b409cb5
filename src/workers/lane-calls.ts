import assert from 'node:assert/strict'
import type { LaneIndex } from '../ids.ts'
import type { FailedText } from '../msrp/failed-texts.ts'
import type { DeliveryOrder, DeliveryOutcome, KeepAnswer, KeepRequest, OutgoingMessage } from '../silo/order.ts'
import type { RegisterAnswer } from '../sip/registrar/location.ts'
import type { RegisterRequest } from '../sip/registrar/register-request.ts'
import { TransientMap } from '../transient-map.ts'
import { Batch, NumberedBatch } from './batch.ts'
import { type LaneMessage, ownOctets, type PrimaryMessage } from './lane-port.ts'
import { keepRequestsIn, orderColumnsOf, outcomesIn } from './silo-columns.ts'

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
  readonly registered: NumberedBatch<RegisterAnswer>
  readonly kept: NumberedBatch<KeepAnswer>
  readonly textKept: NumberedBatch<boolean>
  readonly orders: NumberedBatch<DeliveryOrder>
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
        registered: new NumberedBatch((answers) => tell(lane, { type: 'registered', answers })),
        kept: new NumberedBatch((answers) => tell(lane, { type: 'kept', answers })),
        textKept: new NumberedBatch((answers) => tell(lane, { type: 'text-kept', answers })),
        orders: new NumberedBatch(({ numbers, values }) =>
          tell(lane, { type: 'deliver', numbers, orders: orderColumnsOf(values) }),
        ),
        messages: new Batch((messages) => tell(lane, { type: 'send', messages })),
        delivering: new TransientMap(),
      }
    })
  }

  receive(lane: LaneIndex, message: Call): void {
    const desk = this.#desks[lane]!
    switch (message.type) {
      case 'register':
        for (const [index, number] of message.requests.numbers.entries()) {
          this.#answer(desk, desk.registered, number, this.#services.register(message.requests.values[index]!))
        }
        break
      case 'keep':
        for (const [index, request] of keepRequestsIn(message.requests).entries()) {
          this.#answer(desk, desk.kept, message.numbers[index]!, this.#services.keep(request))
        }
        break
      case 'keep-text':
        for (const [index, number] of message.requests.numbers.entries()) {
          this.#answer(desk, desk.textKept, number, this.#services.keepText(message.requests.values[index]!))
        }
        break
      case 'delivered':
        for (const [index, outcome] of outcomesIn(message.outcomes).entries()) {
          const number = message.numbers[index]!
          // An outcome that its predecessor told as it died has been answered for it.
          desk.delivering.get(number)?.(outcome)
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
    desk.orders.add(number, order)
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

  #answer<Value>(desk: Desk, batch: NumberedBatch<Value>, number: number, answer: Promise<Value>): void {
    const { deaths } = desk
    void answer.then((value) => {
      if (!desk.down && desk.deaths === deaths) batch.add(number, value)
    })
  }
}
