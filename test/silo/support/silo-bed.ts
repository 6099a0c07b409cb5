import type { Ticker } from '../../../src/clock.ts'
import type { Config } from '../../../src/config/schema.ts'
import type { MessageId } from '../../../src/ids.ts'
import { createLogger } from '../../../src/log.ts'
import type { SiloCount } from '../../../src/silo/counts.ts'
import type { SiloContact } from '../../../src/silo/delivery.ts'
import type { SiloEvent } from '../../../src/silo/events.ts'
import type { DeliveryOrder, DeliveryOutcome, KeepAnswer, OutgoingMessage } from '../../../src/silo/order.ts'
import { Silo } from '../../../src/silo/silo.ts'
import type { Binding } from '../../../src/store/location-store.ts'
import { decodeRecord, encodeRecord } from '../../../src/store/silo-record.ts'
import type { NewMessage, SiloStore } from '../../../src/store/silo-store.ts'
import { FakeTicker } from '../../support/fake-ticker.ts'
import { MemorySilo } from './memory-silo.ts'
import { siloConfig, storedMessage } from './texts.ts'

export const bob = 'sip:bob@b.test'
export const carol = 'sip:carol@b.test'
export const hour = 3_600_000

export const ok: DeliveryOutcome = { kind: 'answered', status: 200, reason: 'OK' }
export const unreachable: DeliveryOutcome = { kind: 'unreachable' }
export const timedOut: DeliveryOutcome = { kind: 'timed-out' }
export const answer = (status: number, reason = 'No'): DeliveryOutcome => ({ kind: 'answered', status, reason })

/** A message that has been sent, and waits for its outcome. */
export interface Sent {
  readonly order: DeliveryOrder
  /** Its body. */
  readonly text: string
  readonly to: string
  readonly answer: (outcome: DeliveryOutcome) => Promise<void>
}

/** Lets everything happen that needs no time. */
export async function quiet(): Promise<void> {
  for (let turn = 0; turn < 8; turn++) await new Promise(setImmediate)
}

export function contact(device: string, changes: Partial<SiloContact> = {}): SiloContact {
  return { device, contact: `sip:${device || 'plain'}@192.0.2.7`, flow: 'first', methods: null, ...changes }
}

export function outgoing(text: string): OutgoingMessage {
  return {
    requestUri: 'sip:alice@a.test',
    from: 'sip:registrar@b.test',
    to: 'sip:alice@a.test',
    callId: text,
    cseq: 1,
    headers: [],
    contentType: 'text/plain',
    body: Buffer.from(text),
    via: null,
  }
}

export interface NewText {
  readonly owner?: string
  readonly from?: string
  readonly forMs?: number
  readonly sndTime?: number
}

/** A silo between a store and devices that answer as the test has them answer. */
export class SiloBed<Store extends SiloStore = MemorySilo> {
  readonly clock = new FakeTicker()
  store: Store
  readonly config: Config['silo']
  silo: Silo
  readonly #stops: (() => void)[] = []
  /** What has been sent and is not answered. */
  readonly pending: Sent[] = []
  readonly events: SiloEvent[] = []
  readonly originated: OutgoingMessage[] = []
  readonly counts: Partial<Record<SiloCount, number>> = {}
  /** Who can be reached. */
  readonly contacts = new Map<string, readonly SiloContact[]>()
  readonly bindings = new Map<string, readonly Binding[]>()
  /** When set, everything that is sent gets this answer at once. */
  outcome: ((order: DeliveryOrder, text: string) => DeliveryOutcome) | null = null
  /** Texts in the order they were sent. */
  readonly sent: string[] = []

  constructor(store: Store, lines = '') {
    this.store = store
    this.config = siloConfig(lines).config
    this.silo = this.#open()
  }

  #open(): Silo {
    const { store, config } = this
    // Of its own, so that it stops with the process.
    const clock: Ticker = {
      now: () => this.clock.now(),
      every: (milliseconds, tick) => {
        const stop = this.clock.every(milliseconds, tick)
        this.#stops.push(stop)
        return stop
      },
    }
    return new Silo({
      store,
      config,
      clock,
      deliver: (order) => this.#deliver(order),
      originate: (message) => this.originated.push(message),
      contacts: (owner) => this.contacts.get(owner) ?? [],
      bound: (owner) => this.bindings.get(owner) ?? [],
      events: { emit: (event) => this.events.push(event) },
      failedImdn: ({ srcAddr, body }) => (srcAddr.includes('imdn') ? outgoing(`failed ${Buffer.from(body)}`) : null),
      log: createLogger('silent', 'text'),
      count: (event, by = 1) => {
        this.counts[event] = (this.counts[event] ?? 0) + by
      },
    })
  }

  /**
   * The process is killed, and starts again with what the store has by then. Answers to what was sent come to nobody, and
   * nobody is connected.
   */
  restart(store: Store): void {
    for (const stop of this.#stops.splice(0)) stop()
    this.pending.length = 0
    this.contacts.clear()
    this.store = store
    this.silo = this.#open()
  }

  newMessage(text: string, { owner = bob, from = 'sip:alice@a.test', forMs = 72 * hour, sndTime = 0 }: NewText = {}) {
    const body = Buffer.from(text)
    const expTime = this.clock.now() + forMs
    const message = storedMessage({ owner, srcAddr: from, body, incTime: this.clock.now(), expTime, sndTime })
    const record = encodeRecord(message)
    const stored: NewMessage = { record, owner, srcAddr: from, expTime, sndTime, octets: body.length }
    return stored
  }

  async keep(text: string, options: NewText = {}): Promise<KeepAnswer> {
    const message = this.newMessage(text, options)
    const kept = this.silo.keep({ message, notice: null, noticeKey: '', imdn: null })
    await quiet()
    return kept
  }

  /** Keeps a message whose answer nobody waits for. */
  async keepSoon(text: string, options: NewText = {}): Promise<void> {
    void this.silo.keep({ message: this.newMessage(text, options), notice: null, noticeKey: '', imdn: null })
    await quiet()
  }

  /** The owner registers these contacts, and no others are left. */
  async register(owner: string, contacts: readonly SiloContact[], added = 0): Promise<void> {
    this.contacts.set(owner, contacts)
    this.silo.registered(owner, { added, refreshed: contacts.length - added })
    await quiet()
  }

  /** Lets time pass, and what happens in it. */
  async pass(milliseconds: number): Promise<void> {
    this.clock.advance(milliseconds)
    await quiet()
  }

  /** The one message that waits for an answer, of those to the contact of a device. */
  awaited(device?: string): Sent {
    const found = this.pending.filter(({ to }) => device === undefined || to === contact(device).contact)
    if (found.length !== 1) throw new Error(`${found.length} messages wait for an answer, not one`)
    return found[0]!
  }

  /** Texts of what waits in the store. */
  get stored(): string[] {
    return this.#texts(false)
  }

  get dead(): string[] {
    return this.#texts(true)
  }

  /** Ids by text. */
  idOf(text: string): MessageId {
    const all = [false, true].flatMap((dead) => this.store.list({ owner: null, dead, after: null, limit: 1000 }))
    return all.find(({ message }) => Buffer.from(message.body).toString() === text)!.id
  }

  #texts(dead: boolean): string[] {
    const listing = { owner: null, dead, after: null, limit: 1000 }
    return this.store.list(listing).map(({ message }) => Buffer.from(message.body).toString())
  }

  #deliver(order: DeliveryOrder): Promise<DeliveryOutcome> {
    const text = Buffer.from(decodeRecord(order.record).body).toString()
    this.sent.push(text)
    if (this.outcome !== null) return Promise.resolve(this.outcome(order, text))
    const { promise, resolve } = Promise.withResolvers<DeliveryOutcome>()
    const sent: Sent = {
      order,
      text,
      to: order.target.kind === 'contact' ? order.target.contact : order.target.kind,
      answer: async (outcome) => {
        this.pending.splice(this.pending.indexOf(sent), 1)
        resolve(outcome)
        await quiet()
      },
    }
    this.pending.push(sent)
    return promise
  }
}

export function memoryBed(lines = ''): SiloBed {
  return new SiloBed(new MemorySilo(), lines)
}
