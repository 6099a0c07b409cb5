import { execFile } from 'node:child_process'
import { createHmac } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { eventCharsMax } from '../../src/silo/hooks/queue.ts'
import { retryAfterMaxMs } from '../../src/silo/hooks/receiver.ts'
import { backOffMaxMs, backOffMinMs, failuresMax, faultsMax } from '../../src/silo/hooks.ts'
import { type Asked, type HttpServer, type Reply, startHttpServer } from '../auth/http-server.ts'
import { eventsOf, eventually, idsOf, openBed, secret, stored, temporaryFolder } from './hooks-bed.ts'

const accept = () => ({ status: 204 })

/** Answers that the test gives one by one. */
function held(server: HttpServer): ((reply: Reply) => void)[] {
  const answers: ((reply: Reply) => void)[] = []
  server.reply = () => new Promise((resolve) => answers.push(resolve))
  return answers
}

async function portOfNobody(): Promise<number> {
  const gone = createServer()
  await new Promise<void>((resolve) => gone.listen(0, '127.0.0.1', resolve))
  const { port } = gone.address() as { port: number }
  await new Promise((resolve) => gone.close(resolve))
  return port
}

describe('a post', () => {
  test('has the events as JSON, each with an id of its own, and is signed', async () => {
    const server = await startHttpServer(accept)
    const { hooks, clock, counted } = await openBed({ url: server.url })
    const push = [{ provider: 'apns', prid: '00fc', param: 'Team.topic' }]
    const first = stored(1, { from: 'sip:jörg@example.org', content_type: 'text/plain', octets: 5, push })
    hooks.emit(first)
    hooks.emit(stored(2))
    await counted('posted', 2)
    const [asked, ...others] = server.asked
    expect(others).toEqual([])
    expect(asked).toMatchObject({ method: 'POST', path: '/ask' })
    expect(asked?.headers['content-type']).toBe('application/json')
    expect(asked?.headers['user-agent']).toMatch(/^silopath\/\d/)
    const [one, two] = eventsOf(asked!)
    expect(one).toEqual({ event_id: expect.stringMatching(/^[0-9a-f]{12}-1$/), ...first })
    expect(two?.event_id).toBe(one?.event_id.replace(/1$/, '2'))
    const seconds = Math.floor(clock.now() / 1000)
    const mac = createHmac('sha256', secret).update(`${seconds}.${asked?.body}`).digest('hex')
    expect(asked?.headers['silopath-signature']).toBe(`t=${seconds},v1=${mac}`)
    expect(hooks.depth()).toBe(0)
  })

  test('is found genuine by the example of docs/hooks.md, and nothing else is', async () => {
    const server = await startHttpServer(accept)
    const { hooks, clock, counted } = await openBed({ url: server.url })
    hooks.emit(stored(1, { from: 'sip:jörg@example.org' }))
    await counted('posted', 1)
    const [{ headers, body }] = server.asked as [Asked]
    const header = headers['silopath-signature']
    const page = await readFile(new URL('../../docs/hooks.md', import.meta.url), 'utf8')
    const [, example = ''] = /```js\n(.*?)```/s.exec(page) ?? []
    const { isGenuine } = (await import(`data:text/javascript,${encodeURIComponent(example)}`)) as {
      isGenuine(secret: string, header: unknown, body: Buffer, now: number): boolean
    }
    const octets = Buffer.from(body)
    const now = clock.now() / 1000
    expect(isGenuine(secret, header, octets, now)).toBe(true)
    expect(isGenuine('another secret', header, octets, now)).toBe(false)
    expect(isGenuine(secret, header, Buffer.from(body.replace('bob', 'eve')), now)).toBe(false)
    expect(isGenuine(secret, header, octets, now + 301)).toBe(false)
    expect(isGenuine(secret, undefined, octets, now)).toBe(false)
  })

  test('waits for others to go with, from the first on', async () => {
    const server = await startHttpServer(accept)
    const { hooks, clock, counted } = await openBed({ url: server.url, batch_wait: 1 })
    hooks.emit(stored(1))
    await eventually(() => hooks.depth()).toBe(1)
    clock.advance(999)
    hooks.emit(stored(2))
    await eventually(() => hooks.depth()).toBe(2)
    clock.advance(1)
    await counted('posted', 2)
    expect(idsOf(server.asked)).toEqual([[1, 2]])
  })

  test('that is full goes at once, and has no more events than configured', async () => {
    const server = await startHttpServer(accept)
    const { hooks, counted } = await openBed({ url: server.url, batch_wait: 1, batch_max: 3 })
    for (let n = 1; n <= 7; n++) hooks.emit(stored(n))
    await counted('posted', 6)
    expect(idsOf(server.asked)).toEqual([
      [1, 2, 3],
      [4, 5, 6],
    ])
    expect(hooks.depth()).toBe(1)
  })

  test('is of bounded size, with at least one event', async () => {
    const server = await startHttpServer(accept)
    const { hooks, counted } = await openBed({ url: server.url, batch_max: 1000 })
    for (let n = 1; n <= 200; n++) hooks.emit(stored(n, { reason: 'x'.repeat(eventCharsMax - 200) }))
    await counted('posted', 200)
    expect(server.asked.length).toBeGreaterThan(2)
    for (const { body } of server.asked) expect(body.length).toBeLessThan(2 ** 20 + 10_000)
    expect(idsOf(server.asked).flat()).toEqual(Array.from({ length: 200 }, (_, n) => n + 1))
  })

  test('has the events that were asked for, and no others', async () => {
    const server = await startHttpServer(accept)
    const { hooks, counted } = await openBed({ url: server.url, events: ['message.failed', 'user.registered'] })
    hooks.emit(stored(1))
    hooks.emit(stored(2, { type: 'message.failed', reason: '415' }))
    hooks.emit(stored(3, { type: 'message.expired' }))
    hooks.emit({ type: 'user.registered', time: 4, owner: 'sip:bob@example.org' })
    await counted('posted', 2)
    expect(eventsOf(server.asked[0]!).map(({ type }) => type)).toEqual(['message.failed', 'user.registered'])
  })

  test('is one at a time, on one connection', async () => {
    const server = await startHttpServer(accept)
    const answers = held(server)
    const { hooks, counted } = await openBed({ url: server.url })
    hooks.emit(stored(1))
    await eventually(() => answers.length).toBe(1)
    hooks.emit(stored(2))
    hooks.emit(stored(3))
    await eventually(() => hooks.depth()).toBe(3)
    expect(answers).toHaveLength(1)
    answers[0]?.({ status: 200 })
    await eventually(() => answers.length).toBe(2)
    answers[1]?.({ status: 200 })
    await counted('posted', 3)
    expect(idsOf(server.asked)).toEqual([[1], [2, 3]])
    expect(server.connections).toBe(1)
  })

  test('is accepted by its status, whatever else the answer says', async () => {
    const server = await startHttpServer(() => ({ status: 200, body: 'x'.repeat(2 ** 21) }))
    const { hooks, counted, counts } = await openBed({ url: server.url })
    hooks.emit(stored(1))
    await counted('posted', 1)
    hooks.emit(stored(2))
    await counted('posted', 2)
    expect(idsOf(server.asked)).toEqual([[1], [2]])
    expect(counts.failed).toBe(0)
  })
})

describe('a post that failed', () => {
  test.each([500, 501, 502, 503, 504, 302, 304, 408, 425, 429])(
    'with status %i is made again, with the same ids',
    async (status) => {
      const server = await startHttpServer(() => ({ status }))
      const { hooks, counted, counts, clock, lines } = await openBed({ url: `${server.url}?key=hunter2` })
      hooks.emit(stored(1, { push: [{ provider: 'fcm', prid: 'prid-hunter2', param: null }] }))
      await counted('failed', 1)
      server.reply = accept
      hooks.emit(stored(2))
      await eventually(() => hooks.depth()).toBe(2)
      clock.advance(backOffMinMs)
      await counted('posted', 2)
      expect(idsOf(server.asked)).toEqual([[1], [1, 2]])
      const [[first], [again]] = server.asked.map(eventsOf) as [
        ReturnType<typeof eventsOf>,
        ReturnType<typeof eventsOf>,
      ]
      expect(again).toEqual(first)
      expect(counts).toMatchObject({ failed: 1, refused: 0, dropped: 0, opened: 0 })
      expect(lines).toHaveLength(1)
      expect(lines[0]).toContain(`status ${status}`)
      expect(lines[0]).not.toMatch(/hunter2|bob|http:\/\//)
    },
  )

  test('follows no redirect', async () => {
    const other = await startHttpServer(accept)
    const server = await startHttpServer(() => ({ status: 307, headers: { location: other.url } }))
    const { hooks, counted, clock } = await openBed({ url: server.url })
    hooks.emit(stored(1))
    await counted('failed', 1)
    clock.advance(backOffMinMs)
    await counted('failed', 2)
    expect(other.asked).toEqual([])
  })

  test('for silence is made again when its time is over', async () => {
    const server = await startHttpServer()
    held(server)
    const { hooks, counted, clock, lines } = await openBed({ url: server.url, timeout: 0.1 })
    hooks.emit(stored(1))
    await counted('failed', 1)
    expect(lines[0]).toContain('TimeoutError')
    server.reply = accept
    clock.advance(backOffMinMs)
    await counted('posted', 1)
  })

  test('for want of a receiver is made again', async () => {
    const { hooks, counted, lines } = await openBed({ url: `http://127.0.0.1:${await portOfNobody()}/` })
    hooks.emit(stored(1))
    await counted('failed', 1)
    expect(lines[0]).toContain('ECONNREFUSED')
    expect(hooks.depth()).toBe(1)
  })

  test('is made again after a pause that doubles, up to a bound, and differs between receivers', async () => {
    const server = await startHttpServer(() => ({ status: 503 }))
    const { hooks, counted, clock } = await openBed({ url: server.url })
    hooks.emit(stored(1))
    for (let failures = 1; failures <= 10; failures++) {
      await counted('failed', failures)
      const pause = Math.min(backOffMaxMs, backOffMinMs * 2 ** (failures - 1))
      expect(clock.periods).toHaveLength(failures)
      expect(clock.periods.at(-1)).toBeGreaterThanOrEqual(pause / 2)
      expect(clock.periods.at(-1)).toBeLessThanOrEqual(pause)
      clock.advance(clock.periods.at(-1)!)
    }
    const shares = clock.periods.slice(7).map((pause) => pause / backOffMaxMs)
    expect(new Set(shares).size).toBe(3)
  })

  const date = (seconds: number) => (now: number) => new Date(now + seconds * 1000).toUTCString()
  test.each<[string, (now: number) => string, min: number, max: number]>([
    ['in seconds', () => '30', 30_000, 30_000],
    ['as a date', date(30), 30_000, 30_000],
    ['in a week', () => '604800', retryAfterMaxMs, retryAfterMaxMs],
    ['in seconds beyond counting', () => '9'.repeat(400), retryAfterMaxMs, retryAfterMaxMs],
    ['in the past', date(-30), backOffMinMs / 2, backOffMinMs],
    ['at once', () => '0', backOffMinMs / 2, backOffMinMs],
    ['of nonsense', () => 'soon', backOffMinMs / 2, backOffMinMs],
  ])('waits for Retry-After %s, within bounds', async (_, value, min, max) => {
    const server = await startHttpServer()
    const { hooks, counted, clock } = await openBed({ url: server.url })
    server.reply = () => ({ status: 429, headers: { 'retry-after': value(clock.now()) } })
    hooks.emit(stored(1))
    await counted('failed', 1)
    expect(clock.periods).toHaveLength(1)
    expect(clock.periods[0]).toBeGreaterThanOrEqual(min)
    expect(clock.periods[0]).toBeLessThanOrEqual(max)
  })

  test('holds back those behind it: every event arrives once, in order', async () => {
    let posts = 0
    const server = await startHttpServer(() => ({ status: ++posts % 3 === 0 ? 500 : 200 }))
    const { hooks, counted, clock, counts } = await openBed({ url: server.url, batch_max: 20 })
    for (let n = 1; n <= 250; n++) hooks.emit(stored(n))
    for (let failures = 1; counts.posted < 250; failures++) {
      await Promise.race([counted('failed', failures), counted('posted', 250)])
      clock.advance(backOffMaxMs)
    }
    expect(counts.failed).toBeGreaterThan(3)
    const accepted = server.asked.filter((_, index) => (index + 1) % 3 !== 0)
    expect(idsOf(accepted).flat()).toEqual(Array.from({ length: 250 }, (_, n) => n + 1))
  })
})

describe('a receiver that refuses', () => {
  test.each([400, 401, 403, 404, 410, 422])('with %i loses the events, and gets the next', async (status) => {
    const server = await startHttpServer(() => ({ status }))
    const { hooks, counted, counts, lines } = await openBed({ url: server.url, batch_max: 2 })
    for (const n of [1, 2, 3]) hooks.emit(stored(n))
    await counted('refused', 3)
    expect(idsOf(server.asked)).toEqual([[1, 2], [3]])
    expect(lines).toHaveLength(1)
    expect(JSON.parse(lines[0]!)).toMatchObject({ level: 'warn', status, message: expect.stringContaining('refuses') })
    server.reply = accept
    hooks.emit(stored(4))
    await counted('posted', 1)
    expect(lines.at(-1)).toContain('takes events again')
    expect(counts).toMatchObject({ posted: 1, refused: 3, failed: 0, dropped: 0 })
    expect(hooks.depth()).toBe(0)
  })

  test('a post for its size gets smaller ones; what is too large alone is refused', async () => {
    const tooLarge = 5
    const server = await startHttpServer(({ body }) => {
      const { events } = JSON.parse(body) as { events: { id: number }[] }
      return { status: events.length > 3 || events.some(({ id }) => id === tooLarge) ? 413 : 200 }
    })
    const { hooks, counted, counts } = await openBed({ url: server.url, batch_max: 8 })
    for (let n = 1; n <= 8; n++) hooks.emit(stored(n))
    await Promise.all([counted('posted', 7), counted('refused', 1)])
    expect(idsOf(server.asked)).toEqual([
      [1, 2, 3, 4, 5, 6, 7, 8],
      [1, 2, 3, 4],
      [1, 2],
      [3, 4, 5, 6],
      [3, 4],
      [5, 6, 7, 8],
      [5, 6],
      [5],
      [6, 7],
      [8],
    ])
    expect(counts).toMatchObject({ failed: 0, dropped: 0 })
  })
})

describe('a receiver that is down', () => {
  test('is tried with one event now and then, and gets more and more when it is back', async () => {
    const server = await startHttpServer(() => ({ status: 503 }))
    const { hooks, counted, counts, clock, lines } = await openBed({ url: server.url })
    for (let n = 1; n <= 10; n++) hooks.emit(stored(n))
    for (let failures = 1; failures < failuresMax; failures++) {
      await counted('failed', failures)
      clock.advance(backOffMaxMs)
    }
    await counted('failed', failuresMax)
    expect(counts.opened).toBe(1)
    expect(lines.map((line) => JSON.parse(line).level)).toEqual(['warn', 'error'])
    clock.advance(backOffMaxMs)
    await counted('failed', failuresMax + 1)
    expect(idsOf(server.asked).at(-1)).toEqual([1])
    expect(counts.opened).toBe(1)
    expect(lines).toHaveLength(2)

    server.reply = accept
    clock.advance(backOffMaxMs)
    await counted('posted', 10)
    expect(idsOf(server.asked).slice(failuresMax + 1)).toEqual([[1], [2, 3], [4, 5, 6, 7], [8, 9, 10]])
    expect(lines.at(-1)).toContain('answers again')
  })

  test('is left in peace meanwhile, whatever happens', async () => {
    const server = await startHttpServer(() => ({ status: 503 }))
    const { hooks, counted, clock } = await openBed({ url: server.url, batch_max: 2 })
    hooks.emit(stored(1))
    await counted('failed', 1)
    for (let n = 2; n <= 20; n++) hooks.emit(stored(n))
    await eventually(() => hooks.depth()).toBe(20)
    clock.advance(backOffMinMs / 2 - 1)
    // One timer, and no post that it was not asked for.
    expect(clock.periods).toHaveLength(1)
    server.reply = accept
    clock.advance(backOffMinMs)
    await counted('posted', 20)
    expect(idsOf(server.asked).slice(0, 3)).toEqual([[1], [1, 2], [3, 4]])
  })

  test('loses nothing however long it is away', async () => {
    const server = await startHttpServer(() => ({ status: 503 }))
    const { hooks, counted, clock, counts } = await openBed({ url: server.url })
    hooks.emit(stored(1))
    for (let failures = 1; failures <= faultsMax + 5; failures++) {
      await counted('failed', failures)
      if (failures === faultsMax + 5) server.reply = accept
      clock.advance(backOffMaxMs)
    }
    await counted('posted', 1)
    expect(counts.dropped).toBe(0)
  })

  test('at one event only, again and again, loses that one and no other', async () => {
    const server = await startHttpServer(({ body }) => ({ status: body.includes('poison') ? 500 : 200 }))
    const { hooks, counted, clock, counts, lines } = await openBed({ url: server.url })
    for (let n = 1; n <= 10; n++) hooks.emit(stored(n, n === 4 ? { reason: 'poison' } : {}))
    for (let failures = 1; counts.posted + counts.dropped < 10; failures++) {
      await Promise.race([counted('failed', failures), counted('posted', 9)])
      clock.advance(backOffMaxMs)
    }
    expect(counts).toMatchObject({ posted: 9, dropped: 1, refused: 0 })
    const accepted = server.asked.filter(({ body }) => !body.includes('poison'))
    expect(idsOf(accepted).flat()).toEqual([1, 2, 3, 5, 6, 7, 8, 9, 10])
    expect(lines.filter((line) => line.includes('it is dropped'))).toHaveLength(1)
  })
})

describe('what waits', () => {
  test('goes out in the next run, under the ids it had; new ids go on from there', async () => {
    const server = await startHttpServer(() => ({ status: 503 }))
    const first = await openBed({ url: server.url })
    first.hooks.emit(stored(1))
    await first.counted('failed', 1)
    first.hooks.emit(stored(2))
    // At once: what has been told is stored before.
    await first.close()

    server.reply = accept
    const second = await openBed({ url: server.url, dataDir: first.dataDir })
    await second.counted('posted', 2)
    second.hooks.emit(stored(3))
    await second.counted('posted', 3)
    await second.close()

    const third = await openBed({ url: server.url, dataDir: first.dataDir })
    third.hooks.emit(stored(4))
    await third.counted('posted', 1)
    expect(idsOf(server.asked)).toEqual([[1], [1, 2], [3], [4]])
    const [[failed], [again, two], [three], [four]] = server.asked.map((post) =>
      eventsOf(post).map(({ event_id }) => event_id),
    ) as [string[], string[], string[], string[]]
    expect(again).toBe(failed)
    const queue = failed?.slice(0, -1)
    expect([failed, two, three, four]).toEqual([`${queue}1`, `${queue}2`, `${queue}3`, `${queue}4`])
  })

  test('includes a post that is cut off by the end of a run, which waits for nobody', async () => {
    const server = await startHttpServer()
    const answers = held(server)
    const first = await openBed({ url: server.url, timeout: 60 })
    first.hooks.emit(stored(1))
    await eventually(() => answers.length).toBe(1)
    await first.close()
    expect(first.counts).toEqual({ posted: 0, refused: 0, dropped: 0, failed: 0, opened: 0 })
    expect(first.lines).toEqual([])
    server.reply = accept
    const second = await openBed({ url: server.url, dataDir: first.dataDir })
    await second.counted('posted', 1)
    const [cutOff, again] = server.asked
    expect(eventsOf(again!)).toEqual(eventsOf(cutOff!))
  })

  test('survives kill -9', async () => {
    const dataDir = await temporaryFolder()
    const died = promisify(execFile)(process.execPath, [join(import.meta.dirname, 'hooks-killed.process.ts'), dataDir])
    await expect(died).rejects.toMatchObject({ signal: 'SIGKILL' })
    const server = await startHttpServer(accept)
    const { counted } = await openBed({ url: server.url, dataDir })
    await counted('posted', 50)
    expect(idsOf(server.asked).flat()).toEqual(Array.from({ length: 50 }, (_, n) => n))
  })

  test('is bounded: the oldest are dropped', async () => {
    const server = await startHttpServer(() => ({ status: 503 }))
    const { hooks, counted, clock, counts } = await openBed({ url: server.url, queue_max: 10 })
    hooks.emit(stored(1))
    await counted('failed', 1)
    for (let n = 2; n <= 25; n++) hooks.emit(stored(n))
    await counted('dropped', 15)
    expect(hooks.depth()).toBe(10)
    server.reply = accept
    clock.advance(backOffMinMs)
    await counted('posted', 10)
    expect(idsOf(server.asked).at(-1)).toEqual([16, 17, 18, 19, 20, 21, 22, 23, 24, 25])
    expect(counts).toMatchObject({ posted: 10, dropped: 15 })
  })

  test('counts once, though it was dropped while it was posted', async () => {
    const server = await startHttpServer()
    const answers = held(server)
    const { hooks, counted, counts } = await openBed({ url: server.url, queue_max: 2 })
    for (const n of [1, 2]) hooks.emit(stored(n))
    await eventually(() => answers.length).toBe(1)
    hooks.emit(stored(3))
    await counted('dropped', 1)
    server.reply = accept
    answers[0]?.({ status: 200 })
    await counted('posted', 2)
    expect(counts).toMatchObject({ posted: 2, dropped: 1 })
    expect(idsOf(server.asked)).toEqual([[1, 2], [3]])
  })
})

test('an event after the end is dropped, without a word', async () => {
  const { hooks, close, counts, lines } = await openBed({ url: 'http://127.0.0.1:1/' })
  await close()
  hooks.emit(stored(1))
  expect(counts.dropped).toBe(1)
  expect(lines).toEqual([])
})
