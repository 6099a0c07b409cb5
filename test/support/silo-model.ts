import type { MessageId } from '../../src/ids.ts'
import { deviceDayMs, devicesMax, type Settled, type Settlement, type SiloMessage } from '../../src/store/silo-store.ts'

export interface ModelMessage {
  readonly id: MessageId
  readonly message: SiloMessage
  sndTime: number
  attempts: number
  delivered: Set<string>
  refused: Set<string>
  /** Null: it waits. */
  reason: string | null
}

/** What a silo store is to do, in the plainest way: no disk, no index, no waiting. */
export class SiloModel {
  readonly messages = new Map<MessageId, ModelMessage>()
  readonly #devices = new Map<string, { device: string; seenAt: number }[]>()
  readonly #deadMax: number

  constructor(deadMax: number) {
    this.#deadMax = deadMax
  }

  get waiting(): ModelMessage[] {
    return this.#sorted().filter(({ reason }) => reason === null)
  }

  get dead(): ModelMessage[] {
    return this.#sorted().filter(({ reason }) => reason !== null)
  }

  put(id: MessageId, message: SiloMessage): void {
    const fresh = { attempts: 0, delivered: new Set<string>(), refused: new Set<string>(), reason: null }
    this.messages.set(id, { id, message, sndTime: message.sndTime, ...fresh })
  }

  deliverable(owner: string, now: number): ModelMessage[] {
    return this.waiting.filter(
      ({ message, sndTime }) => message.owner === owner && message.expTime > now && sndTime <= now,
    )
  }

  claimable(owner: string, device: string, now: number): ModelMessage[] {
    return this.deliverable(owner, now).filter(
      ({ delivered, refused }) => !delivered.has(device) && !refused.has(device),
    )
  }

  settle(id: MessageId, device: string, settlement: Settlement): Settled {
    const message = this.messages.get(id)
    if (message === undefined) return 'removed'
    if (message.reason !== null) return 'dead'
    if (settlement.kind === 'dead') return this.#bury(message, settlement.reason)
    if (settlement.kind === 'later') {
      if (settlement.attempted) message.attempts += 1
      message.sndTime = 0
      return 'kept'
    }
    const { delivered, refused } = message
    if (settlement.kind === 'delivered') delivered.add(device)
    else refused.add(device)
    if (!settlement.devices.every((other) => delivered.has(other) || refused.has(other))) return 'kept'
    if (settlement.kind === 'refused' && delivered.size === 0) return this.#bury(message, settlement.reason)
    this.messages.delete(id)
    return 'removed'
  }

  due(now: number): ModelMessage[] {
    return this.waiting
      .filter(({ message, sndTime }) => sndTime !== 0 && sndTime <= now && message.expTime > now)
      .sort((a, b) => a.sndTime - b.sndTime)
  }

  demote(ids: readonly MessageId[]): void {
    for (const message of this.waiting) if (ids.includes(message.id)) message.sndTime = 0
  }

  sweep(now: number, max: number): MessageId[] {
    const expired = this.#sorted()
      .filter(({ message }) => message.expTime <= now)
      .sort((a, b) => a.message.expTime - b.message.expTime)
      .slice(0, max)
    for (const { id } of expired) this.messages.delete(id)
    return expired.map(({ id }) => id)
  }

  remove(ids: readonly MessageId[]): number {
    return [...new Set(ids)].filter((id) => this.messages.delete(id)).length
  }

  revive(ids: readonly MessageId[]): number {
    const revived = this.dead.filter(({ id }) => ids.includes(id))
    for (const message of revived) Object.assign(message, { reason: null, attempts: 0, refused: new Set() })
    return revived.length
  }

  seen(owner: string, device: string, now: number): void {
    const devices = this.#devices.get(owner) ?? []
    const known = devices.find((other) => other.device === device)
    if (known !== undefined && now - known.seenAt < deviceDayMs) return
    const others = devices.filter((other) => other !== known)
    this.#devices.set(owner, [{ device, seenAt: now }, ...others].slice(0, devicesMax))
  }

  devices(owner: string, since: number): string[] {
    const devices = this.#devices.get(owner) ?? []
    return devices.filter(({ seenAt }) => seenAt + deviceDayMs > since).map(({ device }) => device)
  }

  #bury(message: ModelMessage, reason: string): Settled {
    if (this.dead.length >= this.#deadMax) this.messages.delete((this.dead[0] ?? message).id)
    message.reason = reason
    return 'dead'
  }

  #sorted(): ModelMessage[] {
    return [...this.messages.values()].sort((a, b) => a.id - b.id)
  }
}
