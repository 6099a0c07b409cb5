import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { open as openEnvironment } from 'lmdb'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type LmdbSessionsOptions, openLmdbSessions } from '../../src/store/lmdb-sessions.ts'
import { MemorySessions } from '../support/memory-sessions.ts'
import { sessionRecord } from '../support/session-records.ts'
import { sessionStoreConformance } from './session-store.conformance.ts'

const temporaryFolder = () => mkdtemp(join(tmpdir(), 'silopath-sessions-'))

function failOnError(error: Error): void {
  throw error
}

sessionStoreConformance('LMDB', async (recordsMax) => {
  const dataDir = await temporaryFolder()
  const { store } = await openLmdbSessions({ dataDir, recordsMax, onError: failOnError })
  return {
    store,
    dispose: async () => {
      await store.close()
      await rm(dataDir, { recursive: true })
    },
  }
})

sessionStoreConformance('the memory of a test', async (recordsMax) => {
  const store = new MemorySessions(recordsMax)
  return { store, dispose: () => store.close() }
})

describe('the LMDB session store', () => {
  let dataDir: string
  const options = (): LmdbSessionsOptions => ({ dataDir, recordsMax: 100_000, onError: failOnError })

  beforeEach(async () => {
    dataDir = await temporaryFolder()
  })
  afterEach(() => rm(dataDir, { recursive: true }))

  async function storedRows() {
    const environment = openEnvironment({ path: join(dataDir, 'soft') })
    const rows = [...environment.openDB({ name: 'sessions' }).getRange()]
    await environment.close()
    return rows
  }

  test('has everything on disk when it is closed, with its version', async () => {
    const { store } = await openLmdbSessions(options())
    for (let n = 0; n < 12_000; n += 1) store.put(sessionRecord(n))
    store.remove(sessionRecord(17).id)
    await store.close()
    const rows = await storedRows()
    expect(rows).toHaveLength(11_999)
    expect(rows.map(({ value }) => value)).toContainEqual(sessionRecord(11_999))
    expect(rows.every(({ value }) => value.version === 1)).toBe(true)
  })

  test('R-14: sweeps the sessions of an earlier run and says how many there were', async () => {
    const first = await openLmdbSessions(options())
    expect(first.swept).toBe(0)
    for (let n = 0; n < 300; n += 1) first.store.put(sessionRecord(n))
    await first.store.close()
    const second = await openLmdbSessions(options())
    expect(second.swept).toBe(300)
    expect([...second.store.list({ limit: 1_000 })]).toEqual([])
    await second.store.close()
    expect(await storedRows()).toEqual([])
  })

  test('leaves no row of what it removed and swept', async () => {
    const { store } = await openLmdbSessions(options())
    for (let n = 0; n < 100; n += 1) store.put(sessionRecord(n, { expiresAt: 1_000 + n }))
    await new Promise((resolve) => setTimeout(resolve, 50))
    for (let n = 50; n < 60; n += 1) store.remove(sessionRecord(n).id)
    expect(store.sweep(1_049)).toBe(50)
    await store.close()
    expect(await storedRows()).toHaveLength(40)
  })

  test('cannot be opened where data_dir is a file: STORE_UNAVAILABLE, with the place and a remedy', async () => {
    const file = join(dataDir, 'file')
    await writeFile(file, '')
    await expect(openLmdbSessions({ ...options(), dataDir: file })).rejects.toMatchObject({
      name: 'SilopathError',
      code: 'STORE_UNAVAILABLE',
      message: expect.stringMatching(/file\/soft: .+ Make the folder writable/s),
    })
  })

  test.each([
    ['is no LMDB database', Buffer.from('not a database\n'.repeat(1_000))],
    ['is full of zeros', Buffer.alloc(65_536)],
    ['is shorter than its first two pages', Buffer.from('not')],
  ])('cannot be opened on a file that %s: STORE_UNAVAILABLE, and the process lives', async (_what, contents) => {
    await mkdir(join(dataDir, 'soft'))
    await writeFile(join(dataDir, 'soft', 'data.mdb'), contents)
    await expect(openLmdbSessions(options())).rejects.toMatchObject({
      code: 'STORE_UNAVAILABLE',
      message: expect.stringContaining('data.mdb is not an LMDB database'),
    })
  })

  test('R-14: is opened on what a killed process left, and sweeps it', async () => {
    await expect(
      promisify(execFile)(process.execPath, [join(import.meta.dirname, 'killed.process.ts'), dataDir]),
    ).rejects.toMatchObject({ signal: 'SIGKILL' })
    const { store, swept } = await openLmdbSessions(options())
    expect(swept).toBe(1_000)
    expect([...store.list({ limit: 10 })]).toEqual([])
    await store.close()
  })

  // A limit on the size of files fails writes as a full disk does. It holds for a whole process, hence one of its own.
  test.runIf(process.platform === 'linux')(
    'outlives a full disk: reports it, goes on listing, stores all when there is room again, and closes if there is not',
    async () => {
      const { stdout } = await promisify(execFile)(process.execPath, [
        join(import.meta.dirname, 'full-disk.process.ts'),
        dataDir,
      ])
      const seen = JSON.parse(stdout)
      expect(seen.whileFull.codes).toContain('STORE_UNAVAILABLE')
      expect(seen.whileFull.listed).toBe(3_000)
      expect(seen.whileFull.rows).toBe(0)
      expect(seen.withRoom.rows).toBe(3_000)
      expect(await storedRows()).toHaveLength(3_000)
    },
  )
})
