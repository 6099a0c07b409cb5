import type { Clock } from '../clock.ts'
import type { Config } from '../config/schema.ts'
import type { MessageId } from '../ids.ts'
import type { TimerWheel } from '../sip/timer-wheel.ts'
import type { Claim, ClaimedMessage, SiloStore } from '../store/silo-store.ts'
import type { SiloCount } from './counts.ts'
import type { DeliveryOrder, DeliveryOutcome, DeliveryTarget } from './order.ts'
import { type Attempts, isForLater, type Judgement, judge, settlementOf, together } from './outcome.ts'
import { Settlements } from './settlements.ts'
import type { Teller } from './tell.ts'

/** A contact that a request could be sent to now. */
export interface SiloContact {
  /** Value of +sip.instance; '' without. */
  readonly device: string
  readonly contact: string
  /** Changes when the same contact is reached in another way: by a new connection, at another source address. */
  readonly flow: string
  /** Null: it did not say. */
  readonly methods: readonly string[] | null
}

/** What all deliveries share. */
export interface DeliveryTools {
  readonly store: SiloStore
  readonly clock: Clock
  readonly wheel: TimerWheel
  readonly config: Pick<Config['silo'], 'deliver' | 'expire_time' | 'max_attempts' | 'reminder' | 'outbound_proxy'>
  readonly contacts: (owner: string) => readonly SiloContact[]
  readonly deliver: (order: DeliveryOrder) => Promise<DeliveryOutcome>
  readonly count: (event: SiloCount) => void
  readonly tell: Teller
  /** A device has taken the message. */
  readonly delivered: (id: MessageId) => void
}

/** Why a batch has ended. */
export type BatchEnd =
  /** There is nothing more for the device … */
  | 'drained'
  /** … or it is not there. */
  | 'offline'
  /** There may be more. */
  | 'more'
  /** The device did not take a message, or the disk what became of it. */
  | 'failed'
  /** Somebody else holds a claim, or this one is over. */
  | 'busy'

/** Messages of a batch. All of them are in memory … */
export const batchMax = 20
/** … so a device that may never answer gets fewer at first. */
export const firstBatchMax = 4
/** Longer than an attempt takes: 64*T1 is 320 s at the most. Extended before each. */
export const leaseMs = 400_000

/** The device that stands for all of them, when any will do. */
const anyDevice = '*'

/** Whether the devices of an owner are served as one: any will do, or they are behind a proxy that chooses among them. */
export function servedAsOne({ deliver, outbound_proxy }: DeliveryTools['config']): boolean {
  return deliver === 'any' || outbound_proxy !== undefined
}

const nobody: ReadonlyMap<string, readonly SiloContact[]> = new Map()

/** Contacts by the device that messages are claimed for; SILO-21: none that says that it takes no MESSAGE. */
export function recipientsOf(
  contacts: readonly SiloContact[],
  asOne: boolean,
): ReadonlyMap<string, readonly SiloContact[]> {
  if (contacts.length === 0) return nobody
  const recipients = new Map<string, SiloContact[]>()
  for (const contact of contacts) {
    if (contact.methods !== null && !contact.methods.includes('MESSAGE')) continue
    const device = asOne ? anyDevice : contact.device
    const known = recipients.get(device)
    if (known === undefined) recipients.set(device, [contact])
    else known.push(contact)
  }
  return recipients
}

/** Two ways that are equal lead to the same places. */
export function wayOf(contacts: readonly SiloContact[]): string {
  return contacts.map(({ contact, flow }) => `${contact} ${flow}`).join('\n')
}

/** The messages of one owner on their way to one device, one after the other (SILO-24). */
export class Delivery {
  readonly owner: string
  readonly device: string
  /** Batches that have failed since the device last took or refused a message. */
  failures = 0
  /** Where the last batch went, see `wayOf`. */
  way = ''
  readonly #tools: DeliveryTools
  readonly #asOne: boolean
  #batchMax = firstBatchMax
  #phase: 'open' | 'ending' | 'ended' = 'open'
  /** The message sent last, and how often it was. */
  #lastId = 0 as MessageId
  #sent = 0

  constructor(owner: string, device: string, tools: DeliveryTools) {
    this.owner = owner
    this.device = device
    this.#tools = tools
    this.#asOne = servedAsOne(tools.config)
  }

  /** Nothing more is sent; what has been sent may still be answered. */
  finish(): void {
    this.#phase = 'ending'
  }

  /** Answers come too late: the store is left alone from now on. */
  abandon(): void {
    this.#phase = 'ended'
  }

  /** Delivers the oldest messages that the device has not had. One batch at a time. */
  async batch(): Promise<BatchEnd> {
    const { store, clock, contacts, wheel } = this.#tools
    const ways = recipientsOf(contacts(this.owner), this.#asOne).get(this.device)
    if (ways === undefined) return 'offline'
    this.way = wayOf(ways)
    const claim = await store.claim(this.owner, this.device, { now: clock.now(), leaseMs, max: this.#batchMax })
    if (claim === null) return 'drained'
    if (claim === 'busy') return 'busy'
    // What becomes of messages is written while the next are on their way.
    const settlements = new Settlements(wheel, (message, judgement) => this.#settle(claim, message, judgement))
    try {
      const end = await this.#deliverAll(claim, this.#targetsOf(ways), settlements)
      if (await settlements.written()) return end
      this.failures = Math.max(this.failures, 1)
      return 'failed'
    } finally {
      await settlements.written().catch(() => {})
      if (this.#phase !== 'ended') store.release(claim.token)
    }
  }

  async #deliverAll(claim: Claim, targets: readonly DeliveryTarget[], settlements: Settlements): Promise<BatchEnd> {
    for (const message of claim.messages) {
      if (this.#phase !== 'open') return 'drained'
      const judgement = await this.#deliver(claim, message, targets)
      if (this.#isOver()) return 'drained'
      if (judgement === 'fenced') return 'busy'
      if (judgement === 'expired') continue
      settlements.add(message, judgement)
      if (isForLater(judgement, this.#attempts(message))) {
        this.failures++
        // Those behind it wait as well: their order is kept (SILO-24).
        return 'failed'
      }
      this.failures = 0
    }
    if (claim.messages.length < this.#batchMax) return 'drained'
    this.#batchMax = batchMax
    return 'more'
  }

  /** To one target after the other, until there is no point in asking the next. */
  async #deliver(
    { token }: Claim,
    message: ClaimedMessage,
    targets: readonly DeliveryTarget[],
  ): Promise<Judgement | 'expired' | 'fenced'> {
    const { store, clock, config, deliver, count } = this.#tools
    const { id, record } = message
    const kind = message.sndTime !== 0 && config.reminder !== undefined ? 'reminder' : 'offline'
    const sndTime = kind === 'reminder' ? message.sndTime : 0
    let judgement: Judgement | null = null
    for (const target of targets) {
      const now = clock.now()
      if (message.expTime <= now) break // SILO-30
      if (!store.extend(token, now, leaseMs)) return 'fenced'
      const attempt = this.#nextAttempt(message)
      if (attempt > 1) count('retries')
      judgement = together(judgement, judge(await deliver({ record, id, kind, sndTime, attempt, target })))
      if (judgement.kind === 'delivered') break
      if (judgement.kind === 'refused' && judgement.everywhere) break
      if (this.#phase !== 'open') break
    }
    if (judgement === null) return 'expired'
    const isDelivered = judgement.kind === 'delivered'
    // SILO-61
    if (kind === 'reminder') count(isDelivered ? 'dumped_reminders' : 'failed_reminders')
    else count(isDelivered ? 'dumped_messages' : 'failed_messages')
    if (isDelivered) this.#tools.delivered(id)
    return judgement
  }

  /** Resolves with whether it is on disk. */
  async #settle({ token }: Claim, message: ClaimedMessage, judgement: Judgement): Promise<boolean> {
    const { store, tell, count } = this.#tools
    if (this.#isOver()) return false
    // Not before now: another device may have registered since the message was answered.
    const settlement = settlementOf(judgement, this.#attempts(message), this.#devices())
    const settled = await store.settle(token, message.id, settlement)
    if (!settled.ok) return false
    const device = this.#asOne ? null : this.device
    if (settlement.kind === 'delivered') tell.delivered(message, device)
    if (settlement.kind === 'refused' && settled.value === 'dead') {
      count('dead_messages')
      tell.failed(message, device, settlement.reason)
    }
    return true
  }

  #attempts({ attempts }: ClaimedMessage): Attempts {
    return { attempts, attemptsMax: this.#tools.config.max_attempts }
  }

  /** All that are to get a message: this one, and those that were there while a message may have been kept for them. */
  #devices(): readonly string[] {
    if (this.#asOne) return [anyDevice]
    const { store, clock, config } = this.#tools
    const seen = store.devices(this.owner, clock.now() - config.expire_time * 1000)
    return seen.includes(this.device) ? seen : [...seen, this.device]
  }

  #targetsOf(contacts: readonly SiloContact[]): readonly DeliveryTarget[] {
    if (this.#tools.config.outbound_proxy !== undefined) return [{ kind: 'outbound-proxy' }]
    // The first of each device: whoever sends it knows the other ways to that (S-70).
    const first = contacts.filter(
      ({ device }, index) => contacts.findIndex((other) => other.device === device) === index,
    )
    return first.map(({ contact }) => ({ kind: 'contact', aor: this.owner, contact }))
  }

  #nextAttempt({ id, attempts }: ClaimedMessage): number {
    if (id !== this.#lastId) this.#sent = 0
    this.#lastId = id
    this.#sent = Math.max(this.#sent, attempts) + 1
    return this.#sent
  }

  /** Read anew: it changes while a delivery is waited for. */
  #isOver(): boolean {
    return this.#phase === 'ended'
  }
}
