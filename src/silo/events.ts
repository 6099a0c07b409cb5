import type { PushTarget } from './push-target.ts'

/** What happens in the silo, for those who are told of it. */
export const siloEventTypes = [
  'message.stored',
  'message.delivered',
  'message.failed',
  'message.expired',
  'user.registered',
] as const

export type SiloEventType = (typeof siloEventTypes)[number]

/** One event, as a receiver reads it: hence the names. Never the body of a message. */
export interface SiloEvent {
  readonly type: SiloEventType
  /** Milliseconds since the Unix epoch. */
  readonly time: number
  /** AoR of whose inbox it is, canonical (S-60). */
  readonly owner: string
  /** The message: the same in each delivery of it, and across runs (SILO-31). */
  readonly message_id?: string
  /** The message's number in this silo: what the admin API and the CLI call it by. */
  readonly id?: number
  /** URI of From. */
  readonly from?: string
  readonly content_type?: string
  /** Octets of the body. */
  readonly octets?: number
  /** +sip.instance of the device it was for; '': all that have none; '*': any of them (`silo.deliver`). */
  readonly device?: string
  /** Why it failed. */
  readonly reason?: string
  /** How the owner's devices can be woken. */
  readonly push?: readonly PushTarget[]
}

export interface SiloEvents {
  /** Never throws and never blocks. */
  emit(event: SiloEvent): void
}

/** Nobody is told. */
export const noEvents: SiloEvents = { emit() {} }
