import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { ConnectionId } from '../../src/ids.ts'
import type { Binding, LocationStore } from '../../src/store/location-store.ts'
import { aliceAor, binding, connectionFlow, epoch, noon, udpFlow } from '../support/location-records.ts'

/** Opens an empty store; `dispose` closes it and leaves nothing behind. */
export type OpenLocation = (maxBindings: number) => Promise<{ store: LocationStore; dispose: () => Promise<void> }>

const connection = (number: number) => number as ConnectionId

/** What every location store does, whatever it stores in. */
export function locationStoreConformance(name: string, open: OpenLocation): void {
  describe(`${name} as a location store`, () => {
    let store: LocationStore
    let dispose: () => Promise<void>

    beforeEach(async () => {
      ;({ store, dispose } = await open(1_000))
    })
    afterEach(() => dispose())

    const put = (aor: string, bindings: readonly Binding[], to = store) =>
      to.change(aor, () => ({ bindings, value: bindings.length }))

    test('S-64: has a change, with every field, as soon as it is reported', async () => {
      const everything = binding('all', {
        params: ['+sip.instance="<urn:uuid:1>"', 'reg-id=2'],
        q: 300,
        path: ['<sip:edge.example.org;lr;ob>', '<sip:inner.example.org;lr>'],
        instance: '<urn:uuid:1>',
        regId: 2,
        flow: connectionFlow(2_147_483_647),
        unreachable: true,
        userAgent: 'Zoë 1.0',
        methods: ['MESSAGE', 'INVITE'],
      })
      const plain = binding('plain', { flow: udpFlow({ address: '2001:db8::7' }) })
      expect(await put(aliceAor, [everything, plain])).toEqual({ ok: true, value: 2 })
      expect(store.get(aliceAor, noon)).toEqual([everything, plain])
      expect(store.count()).toBe(2)
    })

    test('has nothing of unknown AoRs, nor of those whose last binding is removed', async () => {
      expect(store.get(aliceAor, noon)).toEqual([])
      await put(aliceAor, [binding('a')])
      await put(aliceAor, [])
      expect(store.get(aliceAor, noon)).toEqual([])
      expect(store.count()).toBe(0)
      expect(store.list({ limit: 10, after: null, now: noon })).toEqual([])
    })

    test('never gives a binding from the moment of its expiry on', async () => {
      const short = binding('short', { expiresAt: noon + 1_000 })
      const long = binding('long', { expiresAt: noon + 2_000 })
      await put(aliceAor, [short, long])
      expect(store.get(aliceAor, noon + 999)).toEqual([short, long])
      expect(store.get(aliceAor, noon + 1_000)).toEqual([long])
      expect(store.get(aliceAor, noon + 2_000)).toEqual([])
      expect(store.list({ limit: 10, after: null, now: noon + 1_000 })).toEqual([long])
    })

    test('S-65: decides changes of one AoR in order, each upon the outcome of the one before', async () => {
      const changes = Array.from({ length: 300 }, (_, n) =>
        store.change(aliceAor, (current) => ({
          bindings: n % 3 === 2 ? null : [...current.slice(-2), binding(n)],
          value: current.map(({ contact }) => contact),
        })),
      )
      const seen = (await Promise.all(changes)).map((outcome) => (outcome.ok ? outcome.value : outcome.error))
      const kept: string[] = []
      seen.forEach((contacts, n) => {
        expect(contacts).toEqual(kept.slice(n === 0 ? 0 : -3))
        if (n % 3 !== 2) kept.push(binding(n).contact)
        if (kept.length > 3) kept.shift()
      })
      expect(store.get(aliceAor, noon).map(({ contact }) => contact)).toEqual(kept)
    })

    test('a decision that throws is the caller’s: nothing changes, and the changes around it are stored', async () => {
      const before = put('sip:before@example.org', [binding('a', { aor: 'sip:before@example.org' })])
      const broken = store.change(aliceAor, () => {
        throw new Error('a bug')
      })
      const after = put(aliceAor, [binding('a')])
      await expect(broken).rejects.toThrow('a bug')
      expect([await before, await after].every(({ ok }) => ok)).toBe(true)
      expect(store.count()).toBe(2)
    })

    test('keeps AoRs of any length and characters apart', async () => {
      const long = `sip:${'a'.repeat(3_000)}@example.org`
      const aors = [long, `${long}x`, 'sip:a b@example.org', 'sip:\0@example.org', 'sip:\n', 'sip:é@example.org']
      for (const [n, aor] of aors.entries()) await put(aor, [binding(n, { aor })])
      for (const [n, aor] of aors.entries()) expect(store.get(aor, noon)).toEqual([binding(n, { aor })])
      expect(store.list({ limit: 10, after: null, now: noon })).toHaveLength(aors.length)
      await put(long, [])
      expect(store.get(long, noon)).toEqual([])
      expect(store.get(`${long}x`, noon)).toHaveLength(1)
    })

    test('lists AoRs page by page, each once', async () => {
      const aors = ['a', 'b', 'c', 'd', 'e'].map((user) => `sip:${user}@example.org`)
      for (const aor of [...aors].reverse()) await put(aor, [binding(1, { aor }), binding(2, { aor })])
      const listed: string[] = []
      for (let after: string | null = null; ; ) {
        const page = store.list({ limit: 2, after, now: noon })
        const last = page.at(-1)
        if (last === undefined) break
        expect(page.length).toBeLessThanOrEqual(4)
        listed.push(...page.map(({ aor }) => aor))
        after = last.aor
      }
      expect(listed).toEqual(aors.flatMap((aor) => [aor, aor]))
      expect(store.list({ limit: 0, after: null, now: noon })).toEqual([])
    })

    test('at its bound refuses what would grow it, and takes refreshes, removals, and then new ones again', async () => {
      const { store: small, dispose: disposeSmall } = await open(3)
      try {
        const bob = 'sip:bob@example.org'
        const bobs = (n: number) => binding(n, { aor: bob })
        await put(aliceAor, [binding(1), binding(2)], small)
        expect(await put(bob, [bobs(1), bobs(2)], small)).toEqual({ ok: false, error: 'full' })
        expect(small.get(bob, noon)).toEqual([])
        // Together they would be too many, in whatever transaction they come.
        const both = await Promise.all([put(bob, [bobs(1)], small), put('sip:carol@example.org', [binding(1)], small)])
        expect(both.map(({ ok }) => ok)).toEqual([true, false])
        expect(await put(aliceAor, [binding(3), binding(4)], small)).toMatchObject({ ok: true })
        expect(await put(aliceAor, [binding(3)], small)).toMatchObject({ ok: true })
        expect(await put(bob, [bobs(1), bobs(2)], small)).toMatchObject({ ok: true })
        expect(small.count()).toBe(3)
      } finally {
        await disposeSmall()
      }
    })

    test('sweeps what has expired, tells who lost how many, and no more AoRs at once than asked for', async () => {
      for (let n = 0; n < 5; n += 1) {
        const aor = `sip:user${n}@example.org`
        const expired = [1, 2].map((m) => binding(m, { aor, expiresAt: noon + n }))
        await put(aor, [...expired, binding('live', { aor })])
      }
      expect(await store.sweep(noon - 1, 10)).toEqual(new Map())
      expect(await store.sweep(noon + 2, 10)).toEqual(
        new Map([0, 1, 2].map((n) => [`sip:user${n}@example.org`, 2] as const)),
      )
      expect(await store.sweep(noon + 2, 10)).toEqual(new Map())
      expect((await store.sweep(noon + 4, 1)).size).toBe(1)
      expect((await store.sweep(noon + 4, 1)).size).toBe(1)
      expect((await store.sweep(noon + 4, 1)).size).toBe(0)
      expect(store.count()).toBe(5)
      expect((await store.sweep(noon + 3_600_000, 10)).size).toBe(5)
      expect(store.count()).toBe(0)
    })

    test('a sweep spares what is registered anew while it goes on', async () => {
      await put(aliceAor, [binding('a', { expiresAt: noon })])
      const refreshed = put(aliceAor, [binding('a', { cseq: 2 })])
      expect([...(await store.sweep(noon, 10)).values()].every((lost) => lost === 0)).toBe(true)
      await refreshed
      expect(store.get(aliceAor, noon)).toEqual([binding('a', { cseq: 2 })])
    })

    test('S-71: marks what is bound to a connection of this run, and nothing else', async () => {
      const here = binding('here', { flow: connectionFlow(7) })
      const elsewhere = binding('elsewhere', { flow: connectionFlow(8) })
      const earlier = binding('earlier', { flow: connectionFlow(7, { epoch: 'an earlier run' }) })
      const proxied = binding('proxied', { flow: connectionFlow(7), path: ['<sip:edge.example.org;lr>'] })
      const datagram = binding('datagram')
      const bob = 'sip:bob@example.org'
      await put(aliceAor, [here, elsewhere, earlier, proxied, datagram])
      await put(bob, [{ ...here, aor: bob }])
      expect(await store.markUnreachable(connection(9), epoch)).toEqual({ ok: true, value: 0 })
      expect(await store.markUnreachable(connection(7), epoch)).toEqual({ ok: true, value: 2 })
      expect(await store.markUnreachable(connection(7), epoch)).toEqual({ ok: true, value: 0 })
      expect(store.get(aliceAor, noon)).toEqual([{ ...here, unreachable: true }, elsewhere, earlier, proxied, datagram])
      expect(store.get(bob, noon)).toEqual([{ ...here, aor: bob, unreachable: true }])
    })

    test('S-71: what has moved to another connection no longer hangs on the first', async () => {
      await put(aliceAor, [binding('a', { flow: connectionFlow(7) })])
      await put(aliceAor, [binding('a', { flow: connectionFlow(8) })])
      expect(await store.markUnreachable(connection(7), epoch)).toEqual({ ok: true, value: 0 })
      expect(await store.markUnreachable(connection(8), epoch)).toEqual({ ok: true, value: 1 })
    })

    test('agrees with a plain map, whatever is changed, swept and cut off', async () => {
      const user = fc.integer({ min: 0, max: 3 })
      const contact = fc.record({
        name: fc.nat(3),
        life: fc.integer({ min: 1, max: 20 }),
        on: fc.integer({ min: 0, max: 3 }),
      })
      const step = fc.oneof(
        fc.record({ kind: fc.constant('put' as const), user, contacts: fc.array(contact, { maxLength: 3 }) }),
        fc.record({ kind: fc.constant('sweep' as const), at: fc.integer({ min: 0, max: 20 }) }),
        fc.record({ kind: fc.constant('close' as const), on: fc.integer({ min: 1, max: 3 }) }),
      )
      await fc.assert(
        fc.asyncProperty(fc.array(step, { maxLength: 15 }), async (steps) => {
          const { store: tried, dispose: disposeTried } = await open(1_000)
          try {
            const model = new Map<string, readonly Binding[]>()
            for (const step of steps) {
              if (step.kind === 'put') {
                const aor = `sip:${step.user}@example.org`
                const bindings = step.contacts.map(({ name, life, on }) =>
                  binding(name, { aor, expiresAt: noon + life, flow: on === 0 ? udpFlow() : connectionFlow(on) }),
                )
                model.set(aor, bindings)
                await put(aor, bindings, tried)
              } else if (step.kind === 'sweep') {
                await tried.sweep(noon + step.at, 100)
                for (const [aor, bindings] of model) {
                  model.set(
                    aor,
                    bindings.filter(({ expiresAt }) => expiresAt > noon + step.at),
                  )
                }
              } else {
                await tried.markUnreachable(connection(step.on), epoch)
                for (const [aor, bindings] of model) {
                  const isCut = ({ flow }: Binding) => flow.kind === 'connection' && flow.connection === step.on
                  model.set(
                    aor,
                    bindings.map((b) => (isCut(b) ? { ...b, unreachable: true } : b)),
                  )
                }
              }
              expect(tried.count()).toBe([...model.values()].flat().length)
              for (const [aor, bindings] of model) expect(tried.get(aor, noon)).toEqual(bindings)
            }
          } finally {
            await disposeTried()
          }
        }),
        { numRuns: 25 },
      )
    })
  })
}
