import { execFile } from 'node:child_process'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { open as openEnvironment } from 'lmdb'
import { expect, onTestFinished, test } from 'vitest'
import { eventCharsMax, openEventQueue, pendingCharsMax } from '../../src/silo/hooks/queue.ts'
import { backOffMaxMs } from '../../src/silo/hooks.ts'
import { keptLog, startHttpServer } from '../auth/http-server.ts'
import { eventually, idsOf, openBed, stored, temporaryFolder } from './hooks-bed.ts'

async function openQueue(dataDir: string, max = 1_000_000) {
  const lost = { events: 0 }
  const queue = await openEventQueue({
    dataDir,
    max,
    log: keptLog().log,
    dropped: (by) => {
      lost.events += by
    },
    stored() {},
  })
  let closed: Promise<void> | undefined
  const close = () => (closed ??= queue.close())
  onTestFinished(close)
  return { queue, lost, close }
}

const event = (n: number) => JSON.stringify({ n })

test('numbers events one after the other, from run to run', async () => {
  const dataDir = await temporaryFolder()
  const first = await openQueue(dataDir)
  for (let n = 1; n <= 3; n++) first.queue.append(event(n))
  await eventually(() => first.queue.depth).toBe(3)
  const { json, events, last } = first.queue.read(2)
  expect({ events, last }).toEqual({ events: 2, last: 2 })
  const [one] = JSON.parse(json) as { event_id: string }[]
  expect(JSON.parse(json)).toEqual([
    { event_id: one?.event_id, n: 1 },
    { event_id: one?.event_id.replace(/1$/, '2'), n: 2 },
  ])
  expect(first.queue.remove(last)).toBe(2)
  expect(first.queue.remove(last)).toBe(0)
  await first.close()
  const second = await openQueue(dataDir)
  expect(second.queue.depth).toBe(1)
  expect(second.queue.read(100)).toMatchObject({ events: 1, last: 3 })
  expect(second.queue.remove(3)).toBe(1)
  await second.close()
  const third = await openQueue(dataDir)
  expect(third.queue.depth).toBe(0)
  third.queue.append(event(4))
  await eventually(() => third.queue.depth).toBe(1)
  expect(third.queue.read(1).last).toBe(4)
})

test('gives the events of two queues different ids', async () => {
  const ids: string[] = []
  for (let made = 0; made < 2; made++) {
    const { queue } = await openQueue(await temporaryFolder())
    queue.append(event(1))
    await eventually(() => queue.depth).toBe(1)
    ids.push((JSON.parse(queue.read(1).json) as { event_id: string }[])[0]!.event_id)
  }
  expect(ids[0]).not.toBe(ids[1])
})

test('closes when all that was appended is stored', async () => {
  const dataDir = await temporaryFolder()
  const first = await openQueue(dataDir)
  for (let n = 0; n < 2_000; n++) first.queue.append(event(n))
  await first.close()
  expect(first.lost.events).toBe(0)
  const { queue } = await openQueue(dataDir)
  expect(queue.depth).toBe(2_000)
})

test('drops what a turn appends beyond its memory, and an event that is too long', async () => {
  const { queue, lost } = await openQueue(await temporaryFolder())
  queue.append(`{${'x'.repeat(eventCharsMax)}}`)
  expect(lost.events).toBe(1)
  const long = JSON.stringify({ reason: 'x'.repeat(eventCharsMax - 100) })
  const room = Math.floor(pendingCharsMax / long.length)
  for (let n = 0; n < room + 10; n++) queue.append(long)
  expect(lost.events).toBe(11)
  await eventually(() => queue.depth).toBe(room)
  queue.append(event(1))
  await eventually(() => queue.depth).toBe(room + 1)
  expect(lost.events).toBe(11)
})

test('drops the oldest when its bound is lower than in the run before, and they leave the disk', async () => {
  const dataDir = await temporaryFolder()
  const first = await openQueue(dataDir)
  for (let n = 1; n <= 6_000; n++) first.queue.append(event(n))
  await first.close()
  const second = await openQueue(dataDir, 10)
  expect(second.queue.depth).toBe(10)
  expect(second.lost.events).toBe(5_990)
  expect(JSON.parse(second.queue.read(1).json)).toMatchObject([{ n: 5_991 }])
  await second.close()
  const third = await openQueue(dataDir)
  expect(third.queue.depth).toBe(10)
})

test('refuses a file that is none of its own, and records of another version, with the remedy', async () => {
  const dataDir = await temporaryFolder()
  await mkdir(join(dataDir, 'hooks'))
  await writeFile(join(dataDir, 'hooks', 'data.mdb'), 'x'.repeat(10_000))
  await expect(openQueue(dataDir)).rejects.toMatchObject({
    code: 'STORE_UNAVAILABLE',
    message: expect.stringMatching(/is not an LMDB database.*data_dir/),
  })
  const other = await temporaryFolder()
  const environment = openEnvironment({ path: join(other, 'hooks') })
  await environment.openDB({ name: 'facts' }).put('version', 99)
  await environment.close()
  await expect(openQueue(other)).rejects.toMatchObject({
    code: 'STORE_UNAVAILABLE',
    message: expect.stringContaining('version 99, not 1'),
  })
})

test('events that cannot be read are tried again, and stop nobody', async () => {
  const server = await startHttpServer(() => ({ status: 503 }))
  const { hooks, counted, clock, lines, dataDir } = await openBed({ url: server.url })
  hooks.emit(stored(1))
  await counted('failed', 1)
  const rows = openEnvironment({ path: join(dataDir, 'hooks') }).openDB<string>({ name: 'events', encoding: 'string' })
  const row = rows.get(1)!
  await rows.remove(1)
  server.reply = () => ({ status: 200 })
  for (let failures = 2; failures <= 5; failures++) {
    clock.advance(backOffMaxMs)
    await counted('failed', failures)
  }
  expect(lines.at(-1)).toContain('cannot read the queue')
  expect(server.asked).toHaveLength(1)
  await rows.put(1, row)
  clock.advance(backOffMaxMs)
  await counted('posted', 1)
  expect(idsOf(server.asked)).toEqual([[1], [1]])
})

// A limit on the size of files fails writes as a full disk does. It holds for a whole process, hence one of its own.
test.runIf(process.platform === 'linux')(
  'on a full disk events are dropped and counted, and those before are posted; with room they are stored again',
  async () => {
    const { stdout } = await promisify(execFile)(
      process.execPath,
      [join(import.meta.dirname, 'hooks-full-disk.process.ts'), await temporaryFolder()],
      { timeout: 20_000 },
    )
    expect(JSON.parse(stdout)).toEqual({
      whileFull: { dropped: 1_000, depth: 2, said: ['error'] },
      posted: { posted: 2, depth: 0, said: ['error'] },
      withRoom: { dropped: 1_000, posted: 5, said: ['error', 'info'] },
      nextRun: { depth: 1 },
      told: [1, 2, 3, 4, 5, 6],
    })
  },
)
