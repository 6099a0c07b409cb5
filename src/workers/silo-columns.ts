// What the silo and the lanes tell each other, as it crosses threads: in columns, a batch at a time. With an object for each
// message, and octets of its own, reading it would take the primary thread longer than storing it.
import { Buffer } from 'node:buffer'
import type { MessageId } from '../ids.ts'
import type { DeliveryOrder, DeliveryOutcome, DeliveryTarget, KeepRequest, OutgoingMessage } from '../silo/order.ts'
import { ownOctets } from './lane-port.ts'

/** What the sender is told. */
type Told = Pick<KeepRequest, 'notice' | 'noticeKey' | 'imdn'>

export interface KeepColumns {
  readonly owners: readonly string[]
  readonly srcAddrs: readonly string[]
  /** Of each message: expTime, sndTime, octets of its body, octets of its record. */
  readonly figures: readonly number[]
  /** One behind the other. */
  readonly records: Uint8Array
  /** Null: nothing. */
  readonly told: readonly (Told | null)[]
}

export interface OrderColumns {
  /** AoR and contact of each target; both null: the outbound proxy. */
  readonly aors: readonly (string | null)[]
  readonly contacts: readonly (string | null)[]
  /** Of each order: id, sndTime, attempt, octets of its record. */
  readonly figures: readonly number[]
  /** One behind the other. */
  readonly records: Uint8Array
}

export interface OutcomeColumns {
  /** Of the final answer; 0: unreachable, 1: timed out. */
  readonly statuses: readonly number[]
  /** Of the final answer; otherwise empty. */
  readonly reasons: readonly string[]
}

const figuresEach = 4
const untold: Told = { notice: null, noticeKey: '', imdn: null }
const outboundProxy: DeliveryTarget = { kind: 'outbound-proxy' }
const unreachable: DeliveryOutcome = { kind: 'unreachable' }
const timedOut: DeliveryOutcome = { kind: 'timed-out' }

export function keepColumnsOf(requests: readonly KeepRequest[]): KeepColumns {
  const figures: number[] = []
  for (const { message } of requests) {
    figures.push(message.expTime, message.sndTime, message.octets, message.record.length)
  }
  return {
    owners: requests.map(({ message }) => message.owner),
    srcAddrs: requests.map(({ message }) => message.srcAddr),
    figures,
    records: together(requests.map(({ message }) => message.record)),
    told: requests.map(({ notice, noticeKey, imdn }) =>
      notice === null && imdn === null ? null : { notice: owned(notice), noticeKey, imdn: owned(imdn) },
    ),
  }
}

/** Their records are views of one buffer. */
export function keepRequestsIn({ owners, srcAddrs, figures, records, told }: KeepColumns): KeepRequest[] {
  const recordOf = cutter(records)
  return owners.map((owner, index) => {
    const at = index * figuresEach
    const message = {
      record: recordOf(figures[at + 3]!),
      owner,
      srcAddr: srcAddrs[index]!,
      expTime: figures[at]!,
      sndTime: figures[at + 1]!,
      octets: figures[at + 2]!,
    }
    const { notice, noticeKey, imdn } = told[index] ?? untold
    return { message, notice, noticeKey, imdn }
  })
}

export function orderColumnsOf(orders: readonly DeliveryOrder[]): OrderColumns {
  const figures: number[] = []
  for (const { id, sndTime, attempt, record } of orders) figures.push(id, sndTime, attempt, record.length)
  return {
    aors: orders.map(({ target }) => (target.kind === 'contact' ? target.aor : null)),
    contacts: orders.map(({ target }) => (target.kind === 'contact' ? target.contact : null)),
    figures,
    records: together(orders.map(({ record }) => record)),
  }
}

/** Their records are views of one buffer. */
export function ordersIn({ aors, contacts, figures, records }: OrderColumns): DeliveryOrder[] {
  const recordOf = cutter(records)
  return aors.map((aor, index) => {
    const contact = contacts[index]!
    const at = index * figuresEach
    const sndTime = figures[at + 1]!
    return {
      record: recordOf(figures[at + 3]!),
      id: figures[at] as MessageId,
      kind: sndTime === 0 ? 'offline' : 'reminder',
      sndTime,
      attempt: figures[at + 2]!,
      target: aor === null || contact === null ? outboundProxy : { kind: 'contact', aor, contact },
    }
  })
}

export function outcomeColumnsOf(outcomes: readonly DeliveryOutcome[]): OutcomeColumns {
  return {
    statuses: outcomes.map((outcome) => {
      if (outcome.kind === 'answered') return outcome.status
      return outcome.kind === 'unreachable' ? 0 : 1
    }),
    reasons: outcomes.map((outcome) => (outcome.kind === 'answered' ? outcome.reason : '')),
  }
}

export function outcomesIn({ statuses, reasons }: OutcomeColumns): DeliveryOutcome[] {
  return statuses.map((status, index) => {
    if (status > 1) return { kind: 'answered', status, reason: reasons[index]! }
    return status === 0 ? unreachable : timedOut
  })
}

function owned(message: OutgoingMessage | null): OutgoingMessage | null {
  return message && { ...message, body: ownOctets(message.body) }
}

/** In a buffer of their own: a message to another thread copies the whole buffer of what it holds. */
function together(parts: readonly Uint8Array[]): Uint8Array {
  const joined = Buffer.allocUnsafeSlow(parts.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const part of parts) {
    joined.set(part, at)
    at += part.length
  }
  return joined
}

/** Cuts the octets up from the front, so many at a time, without a copy. */
function cutter(octets: Uint8Array): (length: number) => Buffer {
  let at = octets.byteOffset
  return (length) => {
    const part = Buffer.from(octets.buffer, at, length)
    at += length
    return part
  }
}
