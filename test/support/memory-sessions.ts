import assert from 'node:assert/strict'
import { type SessionRecord, type SessionStore, sweepRecordsMax } from '../../src/store/session-store.ts'

/** The plainest store that conforms: for tests that need one and have no disk in their story. */
export class MemorySessions implements SessionStore {
  readonly #records = new Map<string, SessionRecord>()
  readonly #recordsMax: number

  constructor(recordsMax = 100_000) {
    this.#recordsMax = recordsMax
  }

  put(record: SessionRecord): boolean {
    assert.match(record.id, /^[0-9a-f]{16,64}$/)
    const known = this.#records.get(record.id)
    if (known === undefined && this.#records.size >= this.#recordsMax) return false
    if (known !== undefined) assert.equal(record.expiresAt, known.expiresAt)
    this.#records.set(record.id, record)
    return true
  }

  remove(id: string): void {
    this.#records.delete(id)
  }

  *list({ limit }: { readonly limit: number }): Iterable<SessionRecord> {
    yield* this.#records.values().take(limit)
  }

  sweep(nowMs: number): number {
    const expired = [
      ...this.#records
        .values()
        .filter((r) => r.expiresAt <= nowMs)
        .take(sweepRecordsMax),
    ]
    for (const { id } of expired) this.#records.delete(id)
    return expired.length
  }

  async close(): Promise<void> {}
}
