import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp, mkdir, mkdtemp, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { open as openEnvironment } from 'lmdb'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { MessageId } from '../../src/ids.ts'
import { type LmdbSiloOptions, openLmdbSilo, pendingOctetsMax, pendingPutsMax } from '../../src/store/lmdb-silo.ts'
import { encodeRecord } from '../../src/store/silo-record.ts'
import { deviceDayMs, type SiloStore } from '../../src/store/silo-store.ts'
import { ownerHashOf } from '../../src/store/silo-tables.ts'
import { bob, newMessage, noon, siloMessage } from '../support/silo-messages.ts'
import { siloStoreConformance } from './silo-store.conformance.ts'

const temporaryFolder = () => mkdtemp(join(tmpdir(), 'silopath-silo-'))

function failOnError(error: Error): void {
  throw error
}

/** @param restart begins another run; returns where it has its files */
function conformance(
  name: string,
  arrivalsMax: number,
  restart: (dataDir: string, store: SiloStore) => Promise<string>,
) {
  siloStoreConformance(name, async (options) => {
    let dataDir = await temporaryFolder()
    const open = () => openLmdbSilo({ dataDir, arrivalsMax, onError: failOnError, ...options })
    let store = await open()
    return {
      store,
      reopen: async () => {
        dataDir = await restart(dataDir, store)
        store = await open()
        return store
      },
      dispose: async () => {
        const { messages, dead } = store.counts()
        await store.close()
        if (messages + dead === 0) await expectNothingLeft(dataDir)
        await rm(dataDir, { recursive: true })
      },
    }
  })
}

/** Leaves what a run that was killed would have. */
async function kill(dataDir: string, store: SiloStore): Promise<string> {
  const copy = await temporaryFolder()
  await cp(join(dataDir, 'silo', 'data.mdb'), join(copy, 'silo', 'data.mdb'))
  await store.close()
  await rm(dataDir, { recursive: true })
  return copy
}

async function close(dataDir: string, store: SiloStore): Promise<string> {
  await store.close()
  return dataDir
}

conformance('LMDB', 65_536, close)
conformance('LMDB that is killed, where inboxes are written with the next messages', 0, kill)
conformance('LMDB that is killed, where few inboxes are written later', 3, kill)

const octetTables = ['rows', 'inbox', 'expiries', 'reminders'] as const

function openTable(environment: ReturnType<typeof openEnvironment>, name: (typeof octetTables)[number]) {
  return environment.openDB<Buffer, Buffer>({ name, encoding: 'binary', keyEncoding: 'binary' })
}

/** No row of what was removed is left in any table. */
async function expectNothingLeft(dataDir: string): Promise<void> {
  const environment = openEnvironment({ path: join(dataDir, 'silo') })
  const left: [string, number][] = octetTables.map((name) => [name, openTable(environment, name).getCount()])
  left.push(['dead', environment.openDB({ name: 'dead' }).getCount()])
  await environment.close()
  expect(left.filter(([, count]) => count !== 0)).toEqual([])
}

describe('the LMDB silo store', () => {
  let dataDir: string
  let file: string
  const options = (): LmdbSiloOptions => ({
    dataDir,
    quota: { messages: 0, octets: 0, perSender: 0 },
    deadMax: 100,
    onError: failOnError,
  })
  const lease = { now: noon, leaseMs: 1_000, max: 100 }

  beforeEach(async () => {
    dataDir = await temporaryFolder()
    file = join(dataDir, 'silo', 'data.mdb')
  })
  afterEach(() => rm(dataDir, { recursive: true }))

  const put = async (store: SiloStore, ...args: Parameters<typeof newMessage>): Promise<MessageId> => {
    const stored = await store.put(newMessage(...args))
    if (!stored.ok) throw new Error(stored.error)
    return stored.value
  }
  const textsOf = (store: SiloStore, dead = false) =>
    store.list({ owner: null, dead, after: null, limit: 10_000 }).map(({ message }) => String(message.body))

  /** Changes the record of a message in the closed store. */
  async function spoil(change: (record: Buffer) => Buffer | null, text: string): Promise<void> {
    const environment = openEnvironment({ path: join(dataDir, 'silo') })
    const rows = openTable(environment, 'rows')
    for (const { key, value } of [...rows.getRange()]) {
      if (!value.includes(text)) continue
      const changed = change(value)
      await (changed === null ? rows.remove(key) : rows.put(key, changed))
    }
    await environment.close()
  }

  test.each<[string, (record: Buffer) => Buffer | null, RegExp]>([
    ['was changed', (record) => Buffer.concat([record.subarray(0, -1), Buffer.from('!')]), /a wrong checksum/],
    ['was cut short', (record) => record.subarray(0, 7), /cut short/],
    ['is gone', () => null, /0 octets is cut short/],
  ])('SILO-51: a record that %s is set aside, told, and shown; the others are delivered', async (_how, change, why) => {
    // Else the inbox of the one that is gone would be gone with it.
    const first = await openLmdbSilo({ ...options(), arrivalsMax: 0 })
    const ids = [await put(first, 'one'), await put(first, 'two', { sndTime: noon - 1 }), await put(first, 'three')]
    await first.close()
    await spoil(change, 'two')

    const told: string[] = []
    const store = await openLmdbSilo({ ...options(), onError: ({ message }) => told.push(message) })
    const claim = await store.claim(bob, '', lease)
    expect(claim !== 'busy' && claim?.messages.map(({ id }) => id)).toEqual([ids[0], ids[2]])
    expect(told).toEqual([
      expect.stringMatching(new RegExp(`message ${ids[1]} of the silo cannot be read: .*${why.source}`)),
    ])
    expect(store.counts()).toEqual({ messages: 2, octets: 8, dead: 1 })
    expect(store.get(ids[1]!)).toMatchObject({
      status: 3,
      reason: expect.stringMatching(why),
      message: { owner: '', contentType: 'application/octet-stream', expTime: siloMessage('two').expTime },
    })
    expect(store.list({ owner: bob, dead: true, after: null, limit: 10 }).map(({ id }) => id)).toEqual([ids[1]])
    expect(store.due(noon, 10)).toEqual([])
    // It would be back at once.
    expect(await store.revive([ids[1]!])).toEqual({ ok: true, value: 0 })
    const swept = await store.sweep(siloMessage('two').expTime, 10)
    expect(swept.ok && swept.value.map(({ id }) => id)).toEqual(ids)
    await store.close()
    await expectNothingLeft(dataDir)
  })

  test.each<[string, (record: Buffer) => Buffer]>([
    ['was changed', (record) => Buffer.concat([record.subarray(0, -1), Buffer.from('!')])],
    ['was cut short', (record) => record.subarray(0, 7)],
  ])('SILO-51: the same of a record that %s before its inbox was written', async (_how, change) => {
    const first = await openLmdbSilo(options())
    const ids = [await put(first, 'one'), await put(first, 'two', { sndTime: noon - 1 }), await put(first, 'three')]
    await first.close()
    await spoil(change, 'two')

    const told: string[] = []
    const store = await openLmdbSilo({ ...options(), onError: ({ message }) => told.push(message) })
    const claim = await store.claim(bob, '', lease)
    expect(claim !== 'busy' && claim?.messages.map(({ id }) => id)).toEqual([ids[0], ids[2]])
    expect(told).toEqual([expect.stringMatching(`message ${ids[1]} of the silo cannot be read: `)])
    const { expTime } = siloMessage('two')
    expect(store.get(ids[1]!)).toMatchObject({ status: 3, message: { expTime, sndTime: noon - 1 } })
    const swept = await store.sweep(expTime, 10)
    expect(swept.ok && swept.value.map(({ id }) => id)).toEqual(ids)
    await store.close()
    await expectNothingLeft(dataDir)
  })

  test('writes the inboxes of what still waits when more has come, and so that the next run has few to look for', async () => {
    const arrivalsMax = 20
    const first = await openLmdbSilo({ ...options(), arrivalsMax })
    const texts = Array.from({ length: 200 }, (_, n) => `message ${n}`)
    const ids: MessageId[] = []
    for (const [n, text] of texts.entries()) ids.push(await put(first, text, { owner: `sip:user${n}@example.org` }))
    await first.close()

    const environment = openEnvironment({ path: join(dataDir, 'silo') })
    const filed = openTable(environment, 'inbox').getCount()
    const filedTo = environment.openDB<number[], string>({ name: 'totals' }).get('totals')?.[6]
    await environment.close()
    // Those that came before the last one, whose batch was the last to write inboxes.
    expect(texts.length - filed).toBeGreaterThan(arrivalsMax / 2)
    expect(texts.length - filed).toBeLessThanOrEqual(arrivalsMax + 1)
    expect(filedTo).toBeGreaterThanOrEqual(ids.at(-3 * arrivalsMax - 3)!)
    const store = await openLmdbSilo(options())
    expect(textsOf(store)).toEqual(texts)
    await store.close()
  })

  test('writes the inboxes of large messages sooner, since the next run would have to read them', async () => {
    const first = await openLmdbSilo({ ...options(), arrivalsMax: 40 })
    const body = Buffer.alloc(10 * 1024)
    for (let n = 0; n < 20; n += 1) await put(first, 'large', { owner: `sip:user${n}@example.org`, body })
    await first.close()
    const environment = openEnvironment({ path: join(dataDir, 'silo') })
    const filed = openTable(environment, 'inbox').getCount()
    await environment.close()
    expect(filed).toBeGreaterThanOrEqual(20 - 1 - 40 / 10)
  })

  test('writes no inbox of what is delivered soon, and that of an owner with many messages at once', async () => {
    const first = await openLmdbSilo(options())
    const soon = await put(first, 'soon', { owner: 'sip:carol@example.org' })
    const many = Array.from({ length: 200 }, (_, n) => `message ${n}`)
    for (const text of many) await put(first, text)
    await first.remove([soon])
    await first.close()
    const environment = openEnvironment({ path: join(dataDir, 'silo') })
    const inbox = openTable(environment, 'inbox')
    const owners = new Set([...inbox.getKeys()].map((key) => key.toString('latin1', 0, 8)))
    const filed = inbox.getCount()
    await environment.close()
    expect([...owners]).toEqual([ownerHashOf(bob)])
    expect(filed).toBeGreaterThan(many.length - 70)
    const store = await openLmdbSilo(options())
    expect(textsOf(store)).toEqual(many)
    await store.close()
  })

  test('the next run does not look through what came long ago, though few wait', async () => {
    const arrivalsMax = 10
    const store = await openLmdbSilo({ ...options(), arrivalsMax })
    const waits = await put(store, 'waits')
    let last = waits
    for (let n = 0; n < 100; n += 1) {
      last = await put(store, 'soon delivered', { owner: `sip:user${n}@example.org` })
      await store.remove([last])
    }
    await store.close()
    const environment = openEnvironment({ path: join(dataDir, 'silo') })
    const filedTo = environment.openDB<number[], string>({ name: 'totals' }).get('totals')?.[6]
    await environment.close()
    expect(filedTo).toBeGreaterThanOrEqual(last - 3 * arrivalsMax - 2)
  })

  test('SILO-40: a reminder whose record cannot be read is set aside when it is due', async () => {
    const first = await openLmdbSilo(options())
    const [broken, sound] = [
      await put(first, 'broken', { sndTime: noon - 1 }),
      await put(first, 'ok', { sndTime: noon }),
    ]
    await first.close()
    await spoil(() => Buffer.from('?'), 'broken')
    const { promise: told, resolve } = Promise.withResolvers<Error>()
    const store = await openLmdbSilo({ ...options(), onError: resolve })
    expect(store.due(noon, 10)).toEqual([{ id: sound, owner: bob }])
    await told
    expect(store.get(broken)?.status).toBe(3)
    expect(store.due(noon, 1)).toEqual([{ id: sound, owner: bob }])
    await store.close()
  })

  test('a message that cannot be read can be removed', async () => {
    const first = await openLmdbSilo(options())
    const id = await put(first, 'one')
    await first.close()
    await spoil(() => Buffer.from('?'), 'one')
    const store = await openLmdbSilo(options())
    expect(String(store.get(id)?.message.body)).toBe('?')
    expect(await store.remove([id])).toEqual({ ok: true, value: 1 })
    await store.close()
    await expectNothingLeft(dataDir)
  })

  test('SILO-2: nobody gets the messages of another owner whose hash is the same', async () => {
    const store = await openLmdbSilo(options())
    const carols = siloMessage('for carol', { owner: 'sip:carol@example.org' })
    // Stored as if it had bob's hash.
    await store.put({ ...newMessage('for carol'), record: encodeRecord(carols) })
    const bobs = await put(store, 'for bob')
    const claim = await store.claim(bob, '', lease)
    expect(claim !== 'busy' && claim?.messages.map(({ id }) => id)).toEqual([bobs])
    expect(store.list({ owner: bob, dead: false, after: null, limit: 10 }).map(({ id }) => id)).toEqual([bobs])
    await store.close()
  })

  test('at its bounds refuses to store, and stores what it had taken', async () => {
    const store = await openLmdbSilo(options())
    const message = newMessage('one')
    const many = Array.from({ length: pendingPutsMax + 2 }, () => store.put(message))
    const refused = (await Promise.all(many)).flatMap((outcome) => (outcome.ok ? [] : [outcome.error]))
    expect(refused).toEqual(['overloaded', 'overloaded'])
    expect(store.counts().messages).toBe(pendingPutsMax)
    const large = { ...message, record: Buffer.alloc(pendingOctetsMax / 4) }
    const octets = await Promise.all([large, large, large, large, message].map((each) => store.put(each)))
    expect(octets.map((outcome) => outcome.ok || outcome.error)).toEqual([true, true, true, true, 'overloaded'])
    expect((await store.put(message)).ok).toBe(true)
    await store.close()
  })

  test('forgets devices that have not been seen for over a year', async () => {
    const store = await openLmdbSilo(options())
    const owners = Array.from({ length: 150 }, (_, n) => `sip:user${n}@example.org`)
    await Promise.all(owners.map((owner, n) => store.seen(owner, 'desk', noon + (n % 2) * 10 * deviceDayMs)))
    const later = noon + 405 * deviceDayMs
    await store.sweep(later, 10)
    await store.sweep(later, 10)
    const left = owners.filter((owner) => store.devices(owner, 0).length > 0)
    expect(left).toEqual(owners.filter((_, n) => n % 2 === 1))
    await store.close()
  })

  test('once closed stores and finds nothing, without harm', async () => {
    const store = await openLmdbSilo(options())
    const id = await put(store, 'one')
    const claim = await store.claim(bob, '', lease)
    if (claim === null || claim === 'busy') throw new Error('no claim')
    const last = store.put(newMessage('two'))
    const closing = store.close()
    expect(await last).toMatchObject({ ok: true })
    await closing
    const failed = { ok: false, error: 'unavailable' }
    expect(await store.put(newMessage('three'))).toEqual(failed)
    expect(await store.settle(claim.token, id, { kind: 'delivered', devices: [''] })).toEqual(failed)
    expect(await store.remove([id])).toEqual(failed)
    expect(await store.seen(bob, 'desk', noon)).toEqual(failed)
    expect(await store.sweep(noon, 10)).toEqual({ ok: true, value: [] })
    expect(await store.claim(bob, 'desk', lease)).toBe(null)
    expect([store.hasMessages(bob, noon), store.get(id), store.due(noon, 1)]).toEqual([false, null, []])
    expect(() => textsOf(store)).toThrow('cannot be read')
    await store.close()
    const again = await openLmdbSilo(options())
    expect(textsOf(again)).toEqual(['one', 'two'])
    await again.close()
  })

  test('cannot be opened where data_dir is a file: STORE_UNAVAILABLE, with the place and a remedy', async () => {
    const place = join(dataDir, 'file')
    await writeFile(place, '')
    await expect(openLmdbSilo({ ...options(), dataDir: place })).rejects.toMatchObject({
      name: 'SilopathError',
      code: 'STORE_UNAVAILABLE',
      message: expect.stringMatching(/file\/silo: .+ Make the folder writable/s),
    })
  })

  test.each([
    ['is no LMDB database', Buffer.from('not a database\n'.repeat(1_000))],
    ['is full of zeros', Buffer.alloc(65_536)],
    ['is shorter than its first two pages', Buffer.from('not')],
  ])('cannot be opened on a file that %s: STORE_UNAVAILABLE, and the process lives', async (_what, contents) => {
    await mkdir(join(dataDir, 'silo'))
    await writeFile(file, contents)
    await expect(openLmdbSilo(options())).rejects.toMatchObject({
      code: 'STORE_UNAVAILABLE',
      message: expect.stringContaining('data.mdb is not an LMDB database'),
    })
    expect(await readFile(file)).toEqual(contents)
  })

  test('cannot be opened on tables of another version: STORE_UNAVAILABLE', async () => {
    await (await openLmdbSilo(options())).close()
    const environment = openEnvironment({ path: join(dataDir, 'silo') })
    await environment.openDB({ name: 'totals' }).put('totals', [99, 1, 1, 0, 0, 0])
    await environment.close()
    await expect(openLmdbSilo(options())).rejects.toMatchObject({
      code: 'STORE_UNAVAILABLE',
      message: expect.stringContaining('version 99, not 3'),
    })
  })

  test('wherever its file was cut off, it is refused, or has every message that was not in the part cut off', async () => {
    const first = await openLmdbSilo(options())
    const texts = Array.from({ length: 300 }, (_, n) => `${n} `.repeat(40))
    for (let at = 0; at < texts.length; at += 30) {
      await Promise.all(texts.slice(at, at + 30).map((text) => put(first, text)))
    }
    await first.close()
    const whole = await readFile(file)
    let refused = 0
    for (let size = 8_192; size < whole.length; size += Math.ceil(whole.length / 40 / 4_096) * 4_096 - 700) {
      await writeFile(file, whole)
      await truncate(file, size)
      try {
        const store = await openLmdbSilo({ ...options(), onError: () => {} })
        expect(textsOf(store)).toEqual(texts)
        await store.close()
      } catch (error) {
        expect(error).toMatchObject({ code: 'STORE_UNAVAILABLE' })
        refused += 1
        // As it was: perhaps the rest can be found.
        expect((await stat(file)).size).toBe(size)
      }
    }
    expect(refused).toBeGreaterThan(20)
    await writeFile(file, whole)
    const store = await openLmdbSilo(options())
    expect(textsOf(store)).toEqual(texts)
    await store.close()
  })

  test('a file that lacks a page at its end that nobody uses is whole', async () => {
    const first = await openLmdbSilo(options())
    // Records that take pages of their own, records that do not, and pages that were given back.
    const texts = Array.from({ length: 400 }, (_, n) => `${n} `.repeat(n % 7 === 0 ? 4_000 : 10))
    const ids = await Promise.all(texts.map((text) => put(first, text)))
    await first.remove(ids.slice(100, 200))
    await first.close()
    const whole = await readFile(file)
    for (const page of [0, 4_096]) {
      const lastPageAt = page + 144
      expect(whole.readBigUInt64LE(lastPageAt)).toBeLessThanOrEqual(BigInt(whole.length / 4_096 - 1))
      whole.writeBigUInt64LE(BigInt(whole.length / 4_096), lastPageAt)
    }
    await writeFile(file, whole)
    const store = await openLmdbSilo(options())
    await put(store, 'new')
    expect(textsOf(store)).toEqual([...texts.slice(0, 100), ...texts.slice(200), 'new'])
    await store.close()
  })

  test('S-81: has everything that was reported as stored when the process was killed, and goes on from there', async () => {
    const reported = new Map<string, string>()
    for (let round = 0; round < 3; round += 1) {
      const child = spawn(process.execPath, [join(import.meta.dirname, 'silo-killed.process.ts'), dataDir], {
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      let said = ''
      child.stdout.setEncoding('utf8').on('data', (text: string) => {
        said += text
        if (said.length > 5_000) child.kill('SIGKILL')
      })
      const [, signal] = await once(child, 'close')
      expect(signal).toBe('SIGKILL')
      for (const line of said.slice(0, said.lastIndexOf('\n')).split('\n')) {
        const [id = '', n] = line.split(' ')
        expect(reported.has(id)).toBe(false)
        reported.set(id, `message ${n}`)
      }
    }
    const store = await openLmdbSilo(options())
    expect(reported.size).toBeGreaterThan(500)
    for (const [id, text] of reported) {
      expect(String(store.get(Number(id) as MessageId)?.message.body)).toBe(text)
    }
    const listed = store.list({ owner: null, dead: false, after: null, limit: 1_000_000 })
    expect(store.counts().messages).toBe(listed.length)
    await store.close()
  })

  // A limit on the size of files fails writes as a full disk does. It holds for a whole process, hence one of its own.
  test.runIf(process.platform === 'linux')(
    'S-81: on a full disk stores nothing, says so, goes on reading, and stores again when there is room',
    async () => {
      const { stdout } = await promisify(execFile)(process.execPath, [
        join(import.meta.dirname, 'silo-full-disk.process.ts'),
        dataDir,
      ])
      const failed = { ok: false, error: 'unavailable' }
      expect(JSON.parse(stdout)).toEqual({
        whileFull: {
          put: ['unavailable', 'unavailable'],
          settled: 'unavailable',
          removed: failed,
          swept: failed,
          seen: failed,
          codes: ['STORE_UNAVAILABLE'],
          counted: 2,
          readable: [0, 1],
        },
        withRoom: { idsSkipped: 1, fourth: 'over-messages', settled: 'removed', counted: 2 },
      })
      const store = await openLmdbSilo(options())
      expect(textsOf(store)).toEqual(['second', 'third'])
      await store.close()
    },
  )
})
