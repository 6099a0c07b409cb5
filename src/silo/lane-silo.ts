import type { Config } from '../config/schema.ts'
import type { SipRequest } from '../parser/sip/message.ts'
import type { Way } from '../sip/sender.ts'
import type { SiloDoor } from '../sip/silo-door.ts'
import { decodeRecord } from '../store/silo-record.ts'
import { deliveryOf } from './dump.ts'
import type { DeliveryOrder, KeepAnswer, KeepRequest, OutgoingMessage } from './order.ts'
import { keepRequestOf } from './store.ts'
import { type SiloTemplates, siloTemplates } from './templates.ts'

export interface LaneSiloOptions {
  readonly config: Config['silo']
  /** Asks the silo, in whatever thread it is. Never rejects. */
  readonly keep: (request: KeepRequest) => Promise<KeepAnswer>
  readonly isPeer: (way: Way) => boolean
  readonly now: () => number
}

/** Answers that say that the reader is away, rather than that the message is unwanted; 408 stands for none at all. */
const away: ReadonlySet<number> = new Set([408, 430, 480, 503])

/** The silo as a lane sees it: what goes in is made of requests here (m_store), and what comes out into requests (m_dump). */
export class LaneSilo implements SiloDoor {
  readonly #options: LaneSiloOptions
  readonly #templates: SiloTemplates
  readonly #kept: ReadonlySet<number>

  constructor(options: LaneSiloOptions) {
    this.#options = options
    this.#templates = siloTemplates(options.config)
    this.#kept = new Set([...away, ...options.config.store_refused])
  }

  keeps(status: number): boolean {
    return this.#kept.has(status)
  }

  keep(request: SipRequest, owner: string, way: Way, sent: boolean): Promise<KeepAnswer> {
    const { config, now, keep, isPeer } = this.#options
    const { address, port, transport } = way
    const source = { address, port, transport, trusted: isPeer(way) }
    const made = keepRequestOf(request, owner, { config, templates: this.#templates, now: now(), source }, { sent })
    return made.ok ? keep(made.value) : Promise.resolve({ kept: false, ...made.error, retryAfter: null })
  }

  /** The MESSAGE that an order is for. */
  deliveryOf(order: DeliveryOrder): OutgoingMessage {
    const { config } = this.#options
    const { record, kind, sndTime, attempt, target } = order
    const requestUri = target.kind === 'contact' ? target.contact : null
    const context = { config, templates: this.#templates, requestUri }
    return deliveryOf(decodeRecord(record), { kind, sndTime, attempt }, context)
  }
}
