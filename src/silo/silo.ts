import type { Ticker } from '../clock.ts'
import type { Config } from '../config/schema.ts'
import type { Result } from '../errors.ts'
import type { MessageId } from '../ids.ts'
import type { Logger } from '../log.ts'
import { LruMap } from '../lru.ts'
import { TimerWheel } from '../sip/timer-wheel.ts'
import type { Binding } from '../store/location-store.ts'
import {
  deviceDayMs,
  type PutFailure,
  type SiloMessage,
  type SiloStore,
  type StoredMessage,
} from '../store/silo-store.ts'
import type { SiloCount } from './counts.ts'
import { Delivery, type DeliveryTools, recipientsOf, type SiloContact, servedAsOne, wayOf } from './delivery.ts'
import type { SiloEvents } from './events.ts'
import { Expiry } from './expiry.ts'
import { NoticeLimit } from './notice-limit.ts'
import type { DeliveryOrder, DeliveryOutcome, KeepAnswer, KeepRequest, OutgoingMessage } from './order.ts'
import { type PushTarget, pushTargetOf } from './push-target.ts'
import { PushWaits } from './push-waits.ts'
import { Reminders } from './reminder.ts'
import { Schedule } from './schedule.ts'
import { Teller } from './tell.ts'

export interface SiloOptions {
  readonly store: SiloStore
  readonly config: Config['silo']
  readonly clock: Ticker
  /** Has a stored message sent. Resolves in any case, and never rejects. */
  readonly deliver: (order: DeliveryOrder) => Promise<DeliveryOutcome>
  /** Has a message of our own sent, which nobody asks about afterwards. */
  readonly originate: (message: OutgoingMessage) => void
  /** Contacts of the owner that can be reached now, the best first. */
  readonly contacts: (owner: string) => readonly SiloContact[]
  /** All that the owner has bound, whether it can be reached or not. */
  readonly bound: (owner: string) => readonly Binding[]
  readonly events: SiloEvents
  /** The `<failed/>` that a message has asked for, if it has (C-9). */
  readonly failedImdn: (message: SiloMessage, now: number) => OutgoingMessage | null
  readonly log: Logger
  readonly count: (event: SiloCount, by?: number) => void
}

/** What a REGISTER did to the contacts of its AoR. */
export interface RegisteredChanges {
  readonly added: number
  readonly refreshed: number
}

/** Deliveries at this moment. */
export interface SiloDepth {
  readonly sending: number
  readonly waiting: number
  readonly resting: number
}

/** What a sender is told when its message was not kept. `retryAfter` in seconds. */
const refusals: Readonly<Record<PutFailure, KeepAnswer & { readonly kept: false }>> = {
  'over-messages': { kept: false, status: 403, reason: 'Mailbox Full', retryAfter: null },
  'over-octets': { kept: false, status: 403, reason: 'Mailbox Full', retryAfter: null },
  'over-share': { kept: false, status: 403, reason: 'Mailbox Full', retryAfter: null },
  overloaded: { kept: false, status: 503, reason: 'Service Unavailable', retryAfter: 5 },
  unavailable: { kept: false, status: 503, reason: 'Service Unavailable', retryAfter: 30 },
}

const refusalCounts = {
  'over-messages': 'refused_over_messages',
  'over-octets': 'refused_over_octets',
  'over-share': 'refused_over_share',
  overloaded: 'refused_overloaded',
  unavailable: 'refused_unavailable',
} as const satisfies Record<PutFailure, SiloCount>

const keptSafe: KeepAnswer = { kept: true, delivered: false }
const keptAndDelivered: KeepAnswer = { kept: true, delivered: true }

/** What is left to do once a message is on disk. */
interface Kept {
  readonly owner: string
  readonly record: Uint8Array
  readonly sndTime: number
  /** There were contacts when it came. */
  readonly wasThere: boolean
  /** What its sender is told; null: nothing. */
  readonly told: Pick<KeepRequest, 'notice' | 'noticeKey' | 'imdn'> | null
}

/** Owners whose devices are remembered to have been noted today: of others they are looked at once more. */
const lookedMax = 100_000
/** Resolution of push waits and of back-off. */
const tickMs = 100
/** Of a stall of the thread that much is made up for. */
const catchUpMaxMs = 10_000
/** How long the end waits for answers to what has been sent. */
const settleMs = 2_000

/**
 * The silo: keeps messages for users who are away, and delivers them when they are back. It runs in the one thread that
 * writes its store; all that has to last is there, nothing else is missed after a restart.
 */
export class Silo {
  readonly #options: SiloOptions
  readonly #tell: Teller
  readonly #wheel: TimerWheel
  readonly #schedule: Schedule
  readonly #pushWaits: PushWaits
  readonly #notices: NoticeLimit
  readonly #reminders: Reminders
  readonly #expiry: Expiry
  readonly #asOne: boolean
  /** Owners whose devices have been noted, and the day of it. */
  readonly #looked = new LruMap<number>(lookedMax)
  #settling: Promise<void> | null = null
  #closed = false

  constructor(options: SiloOptions) {
    const { store, config, clock, contacts, deliver, events, log, count } = options
    this.#options = options
    this.#asOne = servedAsOne(config)
    this.#tell = new Teller(events, clock)
    this.#wheel = new TimerWheel(clock, { tickMs, catchUpMaxMs })
    this.#pushWaits = new PushWaits(this.#wheel, config.push_wait_seconds * 1000)
    this.#notices = new NoticeLimit(clock)
    const delivered = (id: MessageId) => this.#pushWaits.end(id, true)
    const tell = this.#tell
    const wheel = this.#wheel
    const tools: DeliveryTools = { store, clock, wheel, config, contacts, deliver, count, tell, delivered }
    this.#schedule = new Schedule({
      wheel: this.#wheel,
      open: (owner, device) => new Delivery(owner, device, tools),
      sendingMax: config.deliveries_max,
      putOff: () => count('put_off'),
      onError: (err) => log.error({ err }, 'silo: an inbox cannot be delivered'),
    })
    this.#reminders = new Reminders({
      store,
      clock,
      sendTime: config.reminder === undefined ? 0 : config.send_time,
      remind: (owner) => this.#remind(owner),
      demoted: (reminders) => count('demoted_reminders', reminders),
    })
    this.#expiry = new Expiry({
      store,
      clock,
      intervalMs: config.check_time * config.clean_period * 1000,
      expired: (message) => this.#expired(message),
    })
  }

  /** Keeps a message. Resolves when it is safe, or refused; with push_wait_seconds, when it was delivered or is not soon. */
  keep({ message, notice, noticeKey, imdn }: KeepRequest): Promise<KeepAnswer> {
    if (this.#closed) return Promise.resolve(refusals.unavailable)
    const { owner, record, sndTime } = message
    const wasThere = this.#recipients(owner).size > 0
    const told = notice === null && imdn === null ? null : { notice, noticeKey, imdn }
    // Many wait for the disk at a time: nothing else of what was asked stays until then.
    const kept: Kept = { owner, record, sndTime, wasThere, told }
    return this.#options.store.put(message).then((put) => this.#put(kept, put))
  }

  #put(kept: Kept, put: Result<MessageId, PutFailure>): KeepAnswer | Promise<KeepAnswer> {
    const { clock, count } = this.#options
    if (!put.ok) {
      count(refusalCounts[put.error])
      return refusals[put.error]
    }
    const { owner, record, sndTime, wasThere, told } = kept
    count('stored_messages')
    const id = put.value
    const isDue = sndTime <= clock.now()
    const push = isDue ? this.#pushTargets(owner) : []
    const wait = isDue && this.#isWokenFor(push) ? this.#waitFor(id) : null
    this.#tell.stored({ id, record }, push)
    if (isDue) this.#deliverSoon(owner, wasThere, wait !== null || push.length > 0)
    if (wait !== null) return wait.then((delivered) => this.#answer(told, delivered))
    return this.#answer(told, false)
  }

  /** Whose message has arrived need not hear that it was kept. */
  #answer(told: Kept['told'], delivered: boolean): KeepAnswer {
    if (told !== null && !delivered) {
      const { count, originate } = this.#options
      if (told.notice !== null) this.#notify(told.notice, told.noticeKey)
      if (told.imdn !== null) {
        count('imdns')
        originate(told.imdn)
      }
    }
    return delivered ? keptAndDelivered : keptSafe
  }

  /** The owner has registered: to be called when the REGISTER has been stored, and answered. */
  registered(owner: string, { added, refreshed }: RegisteredChanges): void {
    if (this.#settling !== null || added + refreshed === 0) return
    const { store, clock } = this.#options
    if (added > 0 && this.#tell.listening) this.#tell.registered(owner, this.#pushTargets(owner))
    const now = clock.now()
    const isWaiting = store.hasMessages(owner, now)
    const day = Math.floor(now / deviceDayMs)
    // Nearly all are refreshes of what has been looked at today.
    if (!isWaiting && (this.#asOne || (added === 0 && this.#looked.get(owner) === day))) return
    this.#looked.set(owner, day)
    const recipients = this.#recipients(owner)
    // Devices are known before anything is delivered: it is to stay until each of them has it. When that cannot be
    // written, of which the store tells, messages go to those that are there.
    const known = this.#asOne ? [] : [...recipients.keys()].map((device) => store.seen(owner, device, now))
    void Promise.all(known).then((noted) => {
      if (!noted.every(({ ok }) => ok)) this.#looked.delete(owner)
      if (!isWaiting) return
      for (const [device, contacts] of recipients) {
        this.#schedule.registered(owner, device, wayOf(contacts), added > 0)
      }
    })
  }

  /** Has a message delivered as soon as may be, a dead letter too. */
  async resend(id: MessageId): Promise<'queued' | 'unknown' | 'unavailable'> {
    const { store } = this.#options
    const stored = store.get(id)
    if (stored === null) return 'unknown'
    if (stored.status === 3) {
      const revived = await store.revive([id])
      if (!revived.ok) return 'unavailable'
      if (revived.value === 0) return 'unknown'
    }
    const { owner } = stored.message
    for (const [device, contacts] of this.#recipients(owner)) {
      this.#schedule.registered(owner, device, wayOf(contacts), true)
    }
    return 'queued'
  }

  /** Removes what has expired by now; how many messages that were. */
  expire(): Promise<Result<number, 'unavailable'>> {
    return this.#expiry.sweep()
  }

  depth(): SiloDepth {
    const { sending, waiting, resting } = this.#schedule
    return { sending, waiting, resting }
  }

  /** Gives out nothing more; what has been sent has a moment left to be answered. What comes is still kept. */
  settle(): Promise<void> {
    this.#settling ??= this.#settle()
    return this.#settling
  }

  /** Ends all that goes on, at the latest when nobody can answer any more; the store may be closed afterwards. */
  async close(): Promise<void> {
    await this.settle()
    this.#closed = true
  }

  async #settle(): Promise<void> {
    this.#pushWaits.close()
    const stopTicking = this.#options.clock.every(settleMs, () => this.#schedule.abandon())
    await Promise.all([this.#schedule.close(), this.#reminders.close(), this.#expiry.close()])
    stopTicking()
    this.#wheel.close()
  }

  #recipients(owner: string): ReadonlyMap<string, readonly SiloContact[]> {
    return recipientsOf(this.#options.contacts(owner), this.#asOne)
  }

  #pushTargets(owner: string): readonly PushTarget[] {
    if (!this.#tell.listening) return []
    return this.#options.bound(owner).flatMap(({ contact }) => pushTargetOf(contact) ?? [])
  }

  /** Whether somebody wakes a device, whose REGISTER is worth waiting for. */
  #isWokenFor(push: readonly PushTarget[]): boolean {
    const { config } = this.#options
    if (this.#settling !== null) return false
    return config.push_wait_seconds > 0 && (push.length > 0 || config.hooks?.push === true)
  }

  #waitFor(id: MessageId): Promise<boolean> | null {
    const { count } = this.#options
    if (this.#pushWaits.full) return null
    count('push_waits')
    return this.#pushWaits.wait(id).then((delivered) => {
      if (delivered) count('push_delivered')
      return delivered
    })
  }

  /** @param wasThere there were contacts before: one of them has just failed, or it would not have come here */
  #deliverSoon(owner: string, wasThere: boolean, isExpected: boolean): void {
    for (const device of this.#recipients(owner).keys()) {
      // Whoever has registered in the meantime found nothing, since it was not stored yet.
      if (wasThere) this.#schedule.startLater(owner, device, isExpected)
      else this.#schedule.start(owner, device)
    }
  }

  #notify(notice: OutgoingMessage, key: string): void {
    const { count, originate } = this.#options
    const isAllowed = this.#notices.allows(key)
    count(isAllowed ? 'notices' : 'notices_held_back')
    if (isAllowed) originate(notice)
  }

  #remind(owner: string): 'started' | 'underway' | 'away' {
    const states = [...this.#recipients(owner).keys()].map((device) => this.#schedule.start(owner, device))
    if (states.includes('underway')) return 'underway'
    return states.includes('started') ? 'started' : 'away'
  }

  #expired(stored: StoredMessage): void {
    const { clock, count, originate, failedImdn } = this.#options
    // C-6: it was for devices that have not come any more.
    if (stored.delivered) return
    // That it has failed was told when it became a dead letter.
    if (stored.status !== 3) {
      count('expired_messages')
      this.#tell.expired(stored)
    }
    const imdn = failedImdn(stored.message, clock.now())
    if (imdn === null) return
    count('imdns')
    originate(imdn)
  }
}
