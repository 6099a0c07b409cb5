import { AssertionError } from 'node:assert/strict'
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type SessionRecord, type SessionStore, sweepRecordsMax } from '../../src/store/session-store.ts'
import { sessionRecord } from '../support/session-records.ts'

/** Opens an empty store; `dispose` closes it and leaves nothing behind. */
export type OpenStore = (recordsMax: number) => Promise<{ store: SessionStore; dispose: () => Promise<void> }>

const everything = { limit: 1_000_000 }
const byId = (a: SessionRecord, b: SessionRecord) => (a.id < b.id ? -1 : 1)
const sorted = (records: Iterable<SessionRecord>) => [...records].sort(byId)

/** What every session store does, whatever it stores in. `sleep`s let a store that writes behind do so. */
export function sessionStoreConformance(name: string, open: OpenStore): void {
  describe(`${name} as a session store`, () => {
    let store: SessionStore
    let dispose: () => Promise<void>

    beforeEach(async () => {
      ;({ store, dispose } = await open(20_000))
    })
    afterEach(() => dispose())

    test('lists a record as soon as it is put, with every field, and still when it is stored', async () => {
      const record = sessionRecord('a', { username: 'bob', lane: 3, octetsTo: 2 ** 40 })
      expect(store.put(record)).toBe(true)
      expect([...store.list(everything)]).toEqual([record])
      await sleep(30)
      expect([...store.list(everything)]).toEqual([record])
    })

    test('replaces the record with the same id', async () => {
      store.put(sessionRecord('a', { framesTo: 1 }))
      await sleep(30)
      store.put(sessionRecord('a', { framesTo: 2 }))
      expect([...store.list(everything)].map((r) => r.framesTo)).toEqual([2])
      await sleep(30)
      expect([...store.list(everything)].map((r) => r.framesTo)).toEqual([2])
    })

    test('lists the latest record while an earlier one is on its way to the disk', async () => {
      for (let n = 0; n < 300; n += 1) {
        store.put(sessionRecord('a', { framesTo: n }))
        for (let turns = n % 4; turns > 0; turns -= 1) await nextTurn()
        expect([...store.list(everything)].map((r) => r.framesTo)).toEqual([n])
      }
      await sleep(30)
      expect([...store.list(everything)].map((r) => r.framesTo)).toEqual([299])
    })

    test('forgets a removed record, stored or not, and does not mind an unknown one', async () => {
      store.put(sessionRecord('stored'))
      await sleep(30)
      store.put(sessionRecord('fresh'))
      store.remove(sessionRecord('stored').id)
      store.remove(sessionRecord('fresh').id)
      store.remove(sessionRecord('unknown').id)
      expect([...store.list(everything)]).toEqual([])
      await sleep(30)
      expect([...store.list(everything)]).toEqual([])
    })

    test('lists no more than the limit', async () => {
      for (let n = 0; n < 20; n += 1) store.put(sessionRecord(n))
      await sleep(30)
      for (let n = 20; n < 25; n += 1) store.put(sessionRecord(n))
      for (const limit of [0, 1, 5, 6, 24]) expect([...store.list({ limit })]).toHaveLength(limit)
      expect([...store.list({ limit: 26 })]).toHaveLength(25)
    })

    test('lists each record once while it is written behind the back of a slow reader', async () => {
      for (let n = 0; n < 50; n += 1) store.put(sessionRecord(n))
      const ids = []
      for (const { id } of store.list(everything)) {
        ids.push(id)
        if (ids.length % 10 === 0) await sleep(10)
      }
      expect(new Set(ids).size).toBe(50)
      expect(ids).toHaveLength(50)
    })

    test('R-23: sweeps what has expired by now, stored or not, and nothing else', async () => {
      for (let n = 0; n < 10; n += 1) store.put(sessionRecord(n, { expiresAt: 1_000 + n }))
      await sleep(30)
      for (let n = 10; n < 20; n += 1) store.put(sessionRecord(n, { expiresAt: 1_000 + n - 10 }))
      expect(store.sweep(999)).toBe(0)
      expect(store.sweep(1_004)).toBe(10)
      expect([...store.list(everything)].map((r) => r.expiresAt).sort()).toEqual(
        [1_005, 1_006, 1_007, 1_008, 1_009].flatMap((at) => [at, at]),
      )
      expect(store.sweep(1_004)).toBe(0)
      await sleep(30)
      expect(store.sweep(1_004)).toBe(0)
      expect([...store.list(everything)]).toHaveLength(10)
    })

    test('sweeps a bounded number at a time', async () => {
      for (let n = 0; n < sweepRecordsMax + 7; n += 1) store.put(sessionRecord(n, { expiresAt: 1_000 }))
      await sleep(30)
      expect(store.sweep(2_000)).toBe(sweepRecordsMax)
      expect(store.sweep(2_000)).toBe(7)
      expect([...store.list(everything)]).toEqual([])
    })

    test('R-90: refuses to hold what may be a session-id in clear', () => {
      expect(() => store.put(sessionRecord('a', { id: 'jui787s2f.Kd0' }))).toThrow(AssertionError)
    })

    test('R-23: takes a changed expiry for a broken invariant', () => {
      store.put(sessionRecord('a', { expiresAt: 1_000 }))
      expect(() => store.put(sessionRecord('a', { expiresAt: 2_000 }))).toThrow(AssertionError)
    })

    test('agrees with a plain map, whatever is put, removed, swept and stored in between', async () => {
      const name = fc.integer({ min: 0, max: 9 })
      const step = fc.oneof(
        fc.record({ kind: fc.constant('put' as const), name, framesTo: fc.nat(1_000) }),
        fc.record({ kind: fc.constant('remove' as const), name }),
        fc.record({ kind: fc.constant('sweep' as const), nowMs: fc.integer({ min: 990, max: 1_020 }) }),
        fc.record({ kind: fc.constant('wait' as const), ms: fc.integer({ min: 0, max: 4 }) }),
      )
      await fc.assert(
        fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
          const model = new Map<string, SessionRecord>()
          for (const step of steps) {
            if (step.kind === 'put') {
              const record = sessionRecord(step.name, { expiresAt: 1_000 + step.name, framesTo: step.framesTo })
              expect(store.put(record)).toBe(true)
              model.set(record.id, record)
            } else if (step.kind === 'remove') {
              const { id } = sessionRecord(step.name)
              store.remove(id)
              model.delete(id)
            } else if (step.kind === 'sweep') {
              const expired = [...model.values()].filter((record) => record.expiresAt <= step.nowMs)
              for (const { id } of expired) model.delete(id)
              expect(store.sweep(step.nowMs)).toBe(expired.length)
            } else await sleep(step.ms)
            expect(sorted(store.list(everything))).toEqual(sorted(model.values()))
          }
          for (const { id } of [...store.list(everything)]) store.remove(id)
        }),
        { numRuns: 40 },
      )
    })

    test('refuses new records when it is full, takes known ones, and takes new ones again when there is room', async () => {
      const { store: small, dispose: disposeSmall } = await open(2)
      try {
        expect(small.put(sessionRecord('a'))).toBe(true)
        expect(small.put(sessionRecord('b'))).toBe(true)
        expect(small.put(sessionRecord('c'))).toBe(false)
        expect(small.put(sessionRecord('a', { framesTo: 9 }))).toBe(true)
        expect([...small.list(everything)]).toHaveLength(2)
        small.remove(sessionRecord('b').id)
        expect(small.put(sessionRecord('c'))).toBe(true)
      } finally {
        await disposeSmall()
      }
    })
  })
}
