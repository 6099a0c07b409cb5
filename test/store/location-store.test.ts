import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Worker } from 'node:worker_threads'
import { open as openEnvironment } from 'lmdb'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { ConnectionId } from '../../src/ids.ts'
import {
  type LmdbLocationOptions,
  openLmdbLocation,
  openLocationReader,
  pendingChangesMax,
} from '../../src/store/lmdb-location.ts'
import { locationVersionsWords } from '../../src/store/location-store.ts'
import { aliceAor, binding, connectionFlow, epoch, noon } from '../support/location-records.ts'
import { MemoryLocation } from '../support/memory-location.ts'
import { locationStoreConformance } from './location-store.conformance.ts'

const temporaryFolder = () => mkdtemp(join(tmpdir(), 'silopath-location-'))

function failOnError(error: Error): void {
  throw error
}

locationStoreConformance('LMDB', async (maxBindings) => {
  const dataDir = await temporaryFolder()
  const store = await openLmdbLocation({ dataDir, maxBindings, onError: failOnError })
  return {
    store,
    dispose: async () => {
      await store.close()
      await rm(dataDir, { recursive: true })
    },
  }
})

locationStoreConformance('the memory of a test', async (maxBindings) => {
  const store = new MemoryLocation(maxBindings)
  return { store, dispose: () => store.close() }
})

describe('the LMDB location store', () => {
  let dataDir: string
  const options = (): LmdbLocationOptions => ({ dataDir, maxBindings: 100_000, onError: failOnError })

  beforeEach(async () => {
    dataDir = await temporaryFolder()
  })
  afterEach(() => rm(dataDir, { recursive: true }))

  test('S-71: has every binding after a restart, counts and sweeps them', async () => {
    const first = await openLmdbLocation(options())
    for (let n = 0; n < 40; n += 1) {
      const aor = `sip:user${n}@example.org`
      const bindings = [binding('a', { aor, expiresAt: noon + n }), binding('b', { aor, flow: connectionFlow(n) })]
      void first.change(aor, () => ({ bindings, value: undefined }))
    }
    await first.close()
    const second = await openLmdbLocation(options())
    expect(second.count()).toBe(80)
    expect(second.get('sip:user9@example.org', noon)).toHaveLength(2)
    expect((await second.sweep(noon + 9, 100)).size).toBe(10)
    expect(second.count()).toBe(70)
    await second.close()
  })

  test('leaves no row of what is gone', async () => {
    const store = await openLmdbLocation(options())
    for (const expiresAt of [noon + 1, noon + 2, noon + 3]) {
      await store.change(aliceAor, () => ({ bindings: [binding('a', { expiresAt })], value: undefined }))
    }
    await store.sweep(noon + 3, 10)
    await store.close()
    const environment = openEnvironment({ path: join(dataDir, 'location') })
    for (const name of ['bindings', 'expiries']) expect([...environment.openDB({ name }).getRange()]).toEqual([])
    await environment.close()
  })

  test.each([
    ['reads each row anew', undefined],
    ['keeps copies', new Int32Array(new SharedArrayBuffer(locationVersionsWords * 4))],
  ])('S-64: another thread, which %s, sees each change as soon as it is reported', async (_how, versions) => {
    const rounds = 100
    const store = await openLmdbLocation({ ...options(), ...(versions && { versions }) })
    const register = (cseq: number) =>
      store.change(aliceAor, () => ({ bindings: [binding('a', { cseq })], value: undefined }))
    await register(0)
    const turn = new Int32Array(new SharedArrayBuffer(8))
    Atomics.store(turn, 1, -1)
    const worker = new Worker(join(import.meta.dirname, 'location.worker.ts'), {
      workerData: { dataDir, aor: aliceAor, now: noon, turn, rounds, versions },
    })
    const ended = once(worker, 'exit')
    expect((await once(worker, 'message'))[0]).toEqual([binding('a', { cseq: 0 })])
    for (let round = 1; round <= rounds; round += 1) {
      await register(round)
      const before = Atomics.load(turn, 1)
      Atomics.store(turn, 0, round)
      Atomics.notify(turn, 0)
      await Atomics.waitAsync(turn, 1, before).value
      expect(Atomics.load(turn, 1)).toBe(round)
    }
    expect(await ended).toEqual([0])
    // The reader has closed its environment, which is this one's too.
    await register(rounds + 1)
    expect(store.get(aliceAor, noon)[0]?.cseq).toBe(rounds + 1)
    await store.close()
  })

  test('refuses changes while too many wait, and takes them again', async () => {
    const store = await openLmdbLocation(options())
    const look = () => store.change(aliceAor, () => ({ bindings: null, value: undefined }))
    const waiting = Array.from({ length: pendingChangesMax }, look)
    expect(await look()).toEqual({ ok: false, error: 'overloaded' })
    expect((await Promise.all(waiting)).every(({ ok }) => ok)).toBe(true)
    expect(await look()).toMatchObject({ ok: true })
    await store.close()
  })

  test('cannot be opened where data_dir is a file: STORE_UNAVAILABLE, with the place and a remedy', async () => {
    const file = join(dataDir, 'file')
    await writeFile(file, '')
    await expect(openLmdbLocation({ ...options(), dataDir: file })).rejects.toMatchObject({
      name: 'SilopathError',
      code: 'STORE_UNAVAILABLE',
      message: expect.stringMatching(/file\/location: .+ Make the folder writable/s),
    })
  })

  test('cannot be read where it has not been opened: STORE_UNAVAILABLE', () => {
    expect(() => openLocationReader(dataDir)).toThrow(
      expect.objectContaining({ name: 'SilopathError', code: 'STORE_UNAVAILABLE' }),
    )
  })

  test.each([
    ['is no LMDB database', Buffer.from('not a database\n'.repeat(1_000))],
    ['is shorter than its first two pages', Buffer.from('not')],
  ])('cannot be opened on a file that %s: STORE_UNAVAILABLE, and the process lives', async (_what, contents) => {
    await mkdir(join(dataDir, 'location'))
    await writeFile(join(dataDir, 'location', 'data.mdb'), contents)
    await expect(openLmdbLocation(options())).rejects.toMatchObject({
      code: 'STORE_UNAVAILABLE',
      message: expect.stringContaining('data.mdb is not an LMDB database'),
    })
  })

  test('cannot be opened on records of another version: STORE_UNAVAILABLE', async () => {
    const environment = openEnvironment({ path: join(dataDir, 'location') })
    await environment.openDB({ name: 'totals' }).put('version', 99)
    await environment.close()
    await expect(openLmdbLocation(options())).rejects.toMatchObject({
      code: 'STORE_UNAVAILABLE',
      message: expect.stringContaining('version 99, not 1'),
    })
  })

  // A limit on the size of files fails writes as a full disk does. It holds for a whole process, hence one of its own.
  test.runIf(process.platform === 'linux')(
    'S-64, S-71: on a full disk changes nothing, says so, goes on reading, and makes up for it when there is room',
    async () => {
      const { stdout } = await promisify(execFile)(process.execPath, [
        join(import.meta.dirname, 'location-full-disk.process.ts'),
        dataDir,
      ])
      expect(JSON.parse(stdout)).toEqual({
        whileFull: {
          stored: 'unavailable',
          looked: true,
          marked: 'unavailable',
          swept: 0,
          codes: ['STORE_UNAVAILABLE'],
          count: 1,
          readable: 1,
        },
        withRoom: { stored: true, marked: 1, count: 1_001, unreachable: true },
      })
      const store = await openLmdbLocation(options())
      expect(store.count()).toBe(1_001)
      expect(await store.markUnreachable(7 as ConnectionId, epoch)).toEqual({ ok: true, value: 0 })
      await store.close()
    },
  )
})
