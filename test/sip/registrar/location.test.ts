import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { ConnectionId } from '../../../src/ids.ts'
import { Location, sweepAorsMax } from '../../../src/sip/registrar/location.ts'
import { openLmdbLocation } from '../../../src/store/lmdb-location.ts'
import { FakeTicker } from '../../support/fake-ticker.ts'
import { aliceAor, connectionFlow, epoch } from '../../support/location-records.ts'
import { MemoryLocation } from '../../support/memory-location.ts'
import { contact, flowContact, options, registerRequest } from './register-requests.ts'

const over = (connection: number) => ({ flow: connectionFlow(connection), secure: false, received: '192.0.2.7:40112' })

/** Marking and sweeping go on by themselves: waits until they have come so far. */
const until = (holds: () => void) => vi.waitFor(holds, { timeout: 20_000, interval: 5 })

describe('the location service', () => {
  let ticker: FakeTicker
  let store: MemoryLocation
  let open: Set<ConnectionId>
  let location: Location

  beforeEach(() => {
    ticker = new FakeTicker()
    store = new MemoryLocation(2_000)
    open = new Set([7 as ConnectionId, 8 as ConnectionId])
    location = new Location(store, { ...options, isOpen: (connection) => open.has(connection) }, ticker)
  })
  afterEach(async () => {
    await location.close()
    await store.close()
  })

  const bindings = () => store.get(aliceAor, ticker.now())

  test('S-64, S-67, S-68: answers 200 with every current binding, Path and Date, as data that crosses threads', async () => {
    await location.register(registerRequest([contact('a', { params: ['q=0.5'] })]))
    ticker.advance(100_000)
    const path = ['<sip:edge.example.org;lr>', '<sip:inner.example.org;lr>']
    const answer = await location.register(registerRequest([contact('b')], { cseq: 2, path }))
    expect(answer).toEqual({
      status: 200,
      reason: 'OK',
      headers: [
        ['Contact', '<sip:a@192.0.2.7:5062>;q=0.5;expires=500'],
        ['Contact', '<sip:b@192.0.2.7:5062>;expires=600'],
        ['Path', '<sip:edge.example.org;lr>'],
        ['Path', '<sip:inner.example.org;lr>'],
        ['Date', 'Thu, 01 Jan 2026 00:01:40 GMT'],
      ],
      changes: { added: 1, refreshed: 0, removed: 0, displaced: 0, expired: 0 },
      refused: null,
    })
    expect(structuredClone(answer)).toEqual(answer)
  })

  test('S-69: requires outbound of who has registered a flow', async () => {
    const request = registerRequest([flowContact('a', 1)], { supportsOutbound: true })
    expect((await location.register(request)).headers).toContainEqual(['Require', 'outbound'])
  })

  test('S-62: answers 423 with Min-Expires', async () => {
    const answer = await location.register(registerRequest([contact('a', { expires: 10 })]))
    expect(answer).toEqual({
      status: 423,
      reason: 'Interval Too Brief',
      headers: [['Min-Expires', '60']],
      changes: null,
      refused: 'interval-too-brief',
    })
    expect(bindings()).toEqual([])
  })

  test('S-64: answers 500 when storing fails, and nothing has changed', async () => {
    await location.register(registerRequest([contact('a')]))
    const before = bindings()
    store.failing = true
    const answer = await location.register(registerRequest([contact('b')], { cseq: 2 }))
    expect(answer).toMatchObject({ status: 500, headers: [], changes: null, refused: 'unavailable' })
    expect(bindings()).toEqual(before)
  })

  test('answers 503 with Retry-After when there is no room for more bindings', async () => {
    const small = new Location(new MemoryLocation(1), { ...options, isOpen: () => true }, ticker)
    await small.register(registerRequest([contact('a')]))
    const answer = await small.register(registerRequest([contact('b')], { cseq: 2 }))
    expect(answer).toMatchObject({ status: 503, headers: [['Retry-After', '60']], refused: 'full' })
    await small.close()
  })

  test('S-65: processes REGISTERs of one AoR in the order in which they come', async () => {
    const send = (cseqs: readonly number[], callId: string) =>
      Promise.all(cseqs.map((cseq) => location.register(registerRequest([contact('a')], { cseq, callId }))))
    const statuses = async (cseqs: readonly number[], callId: string) =>
      (await send(cseqs, callId)).map(({ status }) => status)
    expect(await statuses([1, 2, 3, 4], 'rising')).toEqual([200, 200, 200, 200])
    expect(await statuses([4, 2, 3, 5], 'mixed')).toEqual([200, 500, 500, 200])
    expect(bindings()).toMatchObject([{ cseq: 5, callId: 'mixed' }])
  })

  test('S-71: when a connection closes, what is bound to it is unreachable at once, though not deleted', async () => {
    await location.register(registerRequest([contact('a')], { source: over(7) }))
    await location.register(registerRequest([contact('b')], { source: over(8), cseq: 2 }))
    location.connectionClosed(7 as ConnectionId)
    await until(() => expect(location.counts().unreachable).toBe(1))
    expect(bindings().map(({ unreachable }) => unreachable)).toEqual([true, false])
  })

  test('S-71: also when it has closed before its REGISTER comes', async () => {
    await location.register(registerRequest([contact('a')], { source: over(9) }))
    await until(() => expect(bindings()).toMatchObject([{ unreachable: true }]))
  })

  test('S-71: also when it closes while its REGISTER is stored', async () => {
    const registering = location.register(registerRequest([contact('a')], { source: over(7) }))
    open.delete(7 as ConnectionId)
    location.connectionClosed(7 as ConnectionId)
    await registering
    await until(() => expect(bindings()).toMatchObject([{ unreachable: true }]))
  })

  test('S-71: marks at a later tick what could not be stored, and only that', async () => {
    await location.register(registerRequest([contact('a')], { source: over(7) }))
    const mark = vi.spyOn(store, 'markUnreachable')
    store.failing = true
    location.connectionClosed(7 as ConnectionId)
    await mark.mock.results[0]?.value
    expect(bindings()).toMatchObject([{ unreachable: false }])
    store.failing = false
    ticker.advance(1_000)
    await mark.mock.results[1]?.value
    expect(bindings()).toMatchObject([{ unreachable: true }])
    ticker.advance(5_000)
    expect(mark.mock.calls).toEqual([
      [7, epoch],
      [7, epoch],
    ])
  })

  test('sweeps what has expired, however much it is', async () => {
    const aors = Array.from({ length: sweepAorsMax + 5 }, (_, n) => `sip:user${n}@example.org`)
    await Promise.all(aors.map((aor) => location.register(registerRequest([contact('a')], { aor }))))
    await location.register(registerRequest([contact('a', { expires: 1_200 })]))
    expect(location.registrations()).toBe(aors.length + 1)
    ticker.advance(600_000)
    await until(() => {
      ticker.advance(1_000)
      expect(location.registrations()).toBe(1)
    })
    expect(location.counts().expired).toBe(aors.length)
  })

  test('counts what has happened', async () => {
    await location.register(registerRequest([contact('a'), contact('b')]))
    await location.register(registerRequest([contact('a'), contact('b', { expires: 0 })], { cseq: 2 }))
    await location.register(registerRequest([]))
    await location.register(registerRequest([contact('a')], { cseq: 1 }))
    await location.register(registerRequest([contact('a', { expires: 1 })], { cseq: 3 }))
    expect(location.counts()).toMatchObject({ added: 2, refreshed: 1, removed: 1, fetched: 1, displaced: 0 })
    const refused = Object.entries(location.counts().refused).filter(([, times]) => times > 0)
    expect(refused).toEqual([
      ['interval-too-brief', 1],
      ['out-of-order', 1],
    ])
  })

  test('does nothing by itself any more once it is closed', async () => {
    await location.register(registerRequest([contact('a')], { source: over(7) }))
    const sweep = vi.spyOn(store, 'sweep')
    const mark = vi.spyOn(store, 'markUnreachable')
    await location.close()
    ticker.advance(5_000)
    location.connectionClosed(7 as ConnectionId)
    expect([...sweep.mock.calls, ...mark.mock.calls]).toEqual([])
  })

  test('S-64, S-71: over LMDB: registers, cuts off, and finds it all after a restart', async () => {
    const dataDir = await mkdtemp(join(tmpdir(), 'silopath-location-'))
    const storeOptions = {
      dataDir,
      maxBindings: 10,
      onError: (error: Error) => {
        throw error
      },
    }
    try {
      const first = await openLmdbLocation(storeOptions)
      const service = new Location(first, { ...options, isOpen: () => true }, ticker)
      const contacts = [contact('a')]
      expect(await service.register(registerRequest(contacts, { source: over(7) }))).toMatchObject({ status: 200 })
      expect(await service.register(registerRequest([contact('b')], { cseq: 2 }))).toMatchObject({ status: 200 })
      service.connectionClosed(7 as ConnectionId)
      await until(() => expect(service.counts().unreachable).toBe(1))
      await service.close()
      await first.close()
      const second = await openLmdbLocation(storeOptions)
      expect(second.get(aliceAor, ticker.now())).toMatchObject([
        { contact: contacts[0]?.uri, unreachable: true },
        { contact: contact('b').uri, unreachable: false },
      ])
      await second.close()
    } finally {
      await rm(dataDir, { recursive: true })
    }
  })
})
