import type { Clock } from '../clock.ts'
import type { MessageId } from '../ids.ts'
import { decodeRecord } from '../store/silo-record.ts'
import type { SiloMessage, StoredMessage } from '../store/silo-store.ts'
import { noEvents, type SiloEvents, type SiloEventType } from './events.ts'
import type { PushTarget } from './push-target.ts'

/** A message as it lies in the store. */
export interface RecordedMessage {
  readonly id: MessageId
  readonly record: Uint8Array
}

/** Makes events of what happens. Records are decoded only if somebody listens. */
export class Teller {
  readonly listening: boolean
  readonly #events: SiloEvents
  readonly #clock: Clock

  constructor(events: SiloEvents, clock: Clock) {
    this.#events = events
    this.#clock = clock
    this.listening = events !== noEvents
  }

  stored(message: RecordedMessage, push: readonly PushTarget[]): void {
    this.#emitRecorded('message.stored', message, { push })
  }

  /** `device` null: one of those that the owner has. */
  delivered(message: RecordedMessage, device: string | null): void {
    this.#emitRecorded('message.delivered', message, deviceOf(device))
  }

  failed(message: RecordedMessage, device: string | null, reason: string): void {
    this.#emitRecorded('message.failed', message, { ...deviceOf(device), reason })
  }

  expired({ id, message }: StoredMessage): void {
    this.#emit('message.expired', id, message, {})
  }

  registered(owner: string, push: readonly PushTarget[]): void {
    this.#events.emit({ type: 'user.registered', time: this.#clock.now(), owner, push })
  }

  #emitRecorded(type: SiloEventType, { id, record }: RecordedMessage, details: Details): void {
    if (this.listening) this.#emit(type, id, decodeRecord(record), details)
  }

  #emit(type: SiloEventType, id: MessageId, message: SiloMessage, details: Details): void {
    const { owner, messageId, srcAddr, contentType, body } = message
    this.#events.emit({
      type,
      time: this.#clock.now(),
      owner,
      message_id: messageId,
      id,
      from: srcAddr,
      content_type: contentType,
      octets: body.length,
      ...details,
    })
  }
}

interface Details {
  readonly device?: string
  readonly reason?: string
  readonly push?: readonly PushTarget[]
}

function deviceOf(device: string | null): { readonly device?: string } {
  return device === null ? {} : { device }
}
