import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Dispatcher, request } from 'undici'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { ColumnNames } from '../../src/silo/table/column-names.ts'
import { jsonRow } from '../../src/silo/table/json.ts'
import type { SiloRow } from '../../src/silo/table.ts'
import { openLmdbSilo } from '../../src/store/lmdb-silo.ts'
import { bobsRow } from '../silo/support/table-rows.ts'
import { bobsMessage, kill, put, SiloAdminServer } from '../support/silo-admin.ts'

let server: SiloAdminServer
beforeEach(() => {
  server = new SiloAdminServer()
})
afterEach(() => server.close())

async function call(path: string, more: Partial<Dispatcher.RequestOptions> = {}) {
  const { statusCode, headers, body } = await request(server.url + path, { reset: true, ...more })
  return { status: statusCode, type: headers['content-type'], text: await body.text() }
}
async function json(path: string, more: Partial<Dispatcher.RequestOptions> = {}) {
  const { status, text } = await call(path, more)
  return { status, body: JSON.parse(text) }
}
const ours = { 'x-silopath': '1' }
const posted = (body: object) => ({
  method: 'POST' as const,
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify(body),
})

const bobs = {
  owner: 'sip:bob@example.org',
  src_addr: 'sip:alice@example.org',
  dst_addr: 'sip:bob@example.org',
  ctype: 'text/plain',
  octets: 9,
  inc_time: '2026-01-01T00:00:00.000Z',
  exp_time: '2999-01-01T00:00:00.000Z',
  snd_time: null,
  status: 0,
  attempts: 0,
  reason: null,
}

describe('the admin API of the silo', () => {
  beforeEach(() => server.start())

  test('tells how much there is, and the statistics (SILO-60)', async () => {
    await put(server.store)
    await put(server.store)
    await kill(server.store, bobsMessage.owner, 'it was refused')
    expect(await json('/api/silo')).toEqual({
      status: 200,
      body: {
        messages: 1,
        octets: expect.any(Number),
        dead: 1,
        statistics: { stored_messages: 3, dumped_messages: 2 },
      },
    })
  })

  test('lists messages without their bodies', async () => {
    const id = await put(server.store, { sndTime: Date.UTC(2026, 5, 1), contentType: 'text/html;charset=utf-8' })
    const { status, text } = await call('/api/silo/messages')
    expect(status).toBe(200)
    expect(text).not.toContain('hello')
    expect(JSON.parse(text)).toEqual({
      messages: [{ ...bobs, id, ctype: 'text/html;charset=utf-8', snd_time: '2026-06-01T00:00:00.000Z' }],
      next: null,
    })
  })

  test('lists those of one owner, and dead letters with their reason', async () => {
    await put(server.store)
    const carols = await put(server.store, { owner: 'sip:carol@example.org' })
    const ids = async (query: string) => {
      const { body } = await json(`/api/silo/messages${query}`)
      return body.messages.map(({ id }: { id: number }) => id)
    }
    for (const name of ['carol@example.org', 'sip:carol@EXAMPLE.org', 'sips:carol@example.org:5061'])
      expect(await ids(`?owner=${encodeURIComponent(name)}`)).toEqual([carols])
    expect(await ids('?dead=true')).toEqual([])
    const dead = await kill(server.store, bobsMessage.owner, 'it was refused')
    expect(await ids('')).toEqual([carols])
    const { body } = await json('/api/silo/messages?dead=true')
    expect(body.messages).toEqual([{ ...bobs, id: dead, status: 3, reason: 'it was refused' }])
  })

  test('lists page by page, 100 messages unless told', async () => {
    const ids = []
    for (let n = 0; n < 120; n += 1) ids.push(await put(server.store))
    const page = async (query: string) => {
      const { body } = await json(`/api/silo/messages${query}`)
      return { ids: body.messages.map(({ id }: { id: number }) => id), next: body.next }
    }
    expect(await page('')).toEqual({ ids: ids.slice(0, 100), next: ids[99] })
    expect(await page(`?after=${ids[99]}`)).toEqual({ ids: ids.slice(100), next: null })
    expect(await page('?limit=119')).toEqual({ ids: ids.slice(0, 119), next: ids[118] })
    expect(await page('?limit=120')).toEqual({ ids, next: null })
  })

  test.each(['limit=0', 'limit=1001', 'after=-1', 'dead=perhaps', 'owner=bob', `owner=${'x'.repeat(1_025)}`])(
    'refuses a list with %s',
    async (query) => {
      const { status, body } = await json(`/api/silo/messages?${query}`)
      expect(status).toBe(400)
      expect(body.error).toContain(query.split('=')[0])
    },
  )

  test('shows a message whole: its body as text, or as base64 when it is none', async () => {
    const id = await put(server.store, { extraHeaders: 'X: 1\r\n', callId: 'call@host' })
    const binary = await put(server.store, { body: Buffer.from([0xff, 0]) })
    const whole = { message_id: bobsMessage.messageId, callid: 'call@host', extra_hdrs: 'X: 1\r\n', body: 'hello bob' }
    expect(await json(`/api/silo/messages/${id}`)).toEqual({ status: 200, body: { ...bobs, id, ...whole } })
    expect((await json(`/api/silo/messages/${binary}`)).body.body).toEqual({ base64: '/wA=' })
  })

  test('removes a message', async () => {
    const id = await put(server.store)
    expect(await json(`/api/silo/messages/${id}`, { method: 'DELETE', headers: ours })).toEqual({
      status: 200,
      body: { removed: 1 },
    })
    expect(server.store.get(id)).toBeNull()
  })

  test('sends a message again', async () => {
    const resend = () => json('/api/silo/messages/7/resend', { method: 'POST', headers: ours })
    expect(await resend()).toEqual({ status: 202, body: { queued: true } })
    expect(server.resent).toEqual([7])
    server.resendOutcome = 'unknown'
    expect(await resend()).toEqual({ status: 404, body: { error: 'there is no message 7' } })
    server.resendOutcome = 'unavailable'
    expect((await resend()).status).toBe(503)
  })

  test.each([
    ['/api/silo/messages/99', 'GET'],
    ['/api/silo/messages/99', 'DELETE'],
  ] as const)('has no %s to %s', async (path, method) => {
    expect(await json(path, { method, headers: ours })).toEqual({
      status: 404,
      body: { error: 'there is no message 99' },
    })
    expect((await call(path.replace('99', 'x'), { method, headers: ours })).status).toBe(400)
  })

  describe('purge', () => {
    const purge = (body: object) => json('/api/silo/purge', posted(body))
    const left = () =>
      [false, true].map((dead) => server.store.list({ owner: null, dead, after: null, limit: 999 }).length)

    beforeEach(async () => {
      const carol = { owner: 'sip:carol@example.org' }
      for (let n = 0; n < 130; n += 1) await put(server.store)
      await kill(server.store, bobsMessage.owner, 'refused')
      await put(server.store, { ...carol, expTime: 5_000_000_000_000 })
      await kill(server.store, carol.owner, 'refused')
      await put(server.store, { ...carol, expTime: 1 })
    })

    test('removes all that an owner has, dead letters too', async () => {
      expect(await purge({ owner: 'bob@example.org' })).toEqual({ status: 200, body: { removed: 130 } })
      expect(left()).toEqual([1, 1])
    })
    test("removes all dead letters, or an owner's", async () => {
      expect(await purge({ dead: true, owner: 'carol@example.org' })).toEqual({ status: 200, body: { removed: 1 } })
      expect(await purge({ dead: true })).toEqual({ status: 200, body: { removed: 1 } })
      expect(left()).toEqual([130, 0])
    })
    test('removes what has expired, as the silo does it (SILO-29, C-9)', async () => {
      expect(await purge({ expired: true })).toEqual({ status: 200, body: { removed: 1 } })
      expect(left()).toEqual([129, 2])
    })
    test.each([
      {},
      { owner: 'bob' },
      { owner: '' },
      { expired: true, owner: 'bob@example.org' },
      { expired: true, dead: true },
      { dead: false },
      { expired: false },
      { all: true },
      { owner: 'bob@example.org', only: 'dead' },
      { dead: 'true' },
      [],
    ])('of %j is refused, and removes nothing', async (body) => {
      expect((await purge(body)).status).toBe(400)
      expect(left()).toEqual([130, 2])
    })
  })

  test('a disk that fails is answered 503 with what had been done', async () => {
    const id = await put(server.store)
    server.store.broken = true
    const failed = { status: 503, body: { error: 'the disk failed, see the log', removed: 0 } }
    expect(await json(`/api/silo/messages/${id}`, { method: 'DELETE', headers: ours })).toEqual(failed)
    for (const what of [{ owner: 'bob@example.org' }, { expired: true }])
      expect(await json('/api/silo/purge', posted(what))).toEqual(failed)
  })

  test('a web page cannot change anything: what it may send without asking is refused', async () => {
    const id = await put(server.store)
    for (const [method, path] of [
      ['DELETE', `/api/silo/messages/${id}`],
      ['POST', `/api/silo/messages/${id}/resend`],
      ['POST', '/api/silo/purge'],
      ['POST', '/api/silo/import'],
    ] as const) {
      for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x', '']) {
        const headers = type === '' ? {} : { 'content-type': type }
        const answer = await call(path, { method, headers, body: '{"owner":"bob@example.org"}' })
        expect([path, type, answer.status]).toEqual([path, type, 403])
      }
    }
    expect(server.resent).toEqual([])
    expect(server.store.get(id)).not.toBeNull()
  })

  test('a request under a foreign name is refused, as everywhere (421)', async () => {
    expect((await call('/api/silo/messages', { headers: { host: 'rebound.example' } })).status).toBe(421)
  })

  test('only an import may be long', async () => {
    const { status } = await json('/api/silo/purge', posted({ owner: `${'x'.repeat(2_000)}@example.org` }))
    expect(status).toBe(413)
  })

  test('exports rows as lines of JSON, in the order of their ids (SILO-51)', async () => {
    for (let n = 0; n < 120; n += 1) await put(server.store, { owner: `sip:u${n % 2}@example.org` })
    const answer = await call('/api/silo/export')
    expect(answer).toMatchObject({ status: 200, type: 'application/x-ndjson' })
    const rows = answer.text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line))
    expect(rows.map(({ username }) => username)).toEqual(Array.from({ length: 120 }, (_, n) => `u${n % 2}`))
    expect(rows[0]).toEqual({
      id: expect.any(Number),
      src_addr: 'sip:alice@example.org',
      dst_addr: 'sip:bob@example.org',
      username: 'u0',
      domain: 'example.org',
      inc_time: 1_767_225_600,
      exp_time: 32_472_144_000,
      snd_time: 0,
      ctype: 'text/plain',
      body: 'hello bob',
      extra_hdrs: '',
      callid: '',
      status: 0,
    })
    expect((await call('/api/silo/export?owner=u1@example.org')).text.trimEnd().split('\n')).toHaveLength(60)
    expect((await call('/api/silo/export?dead=true')).text).toBe('')
  })

  test('an export that breaks does not end as if it were whole, and is logged', async () => {
    for (let n = 0; n < 120; n += 1) await put(server.store)
    const list = server.store.list.bind(server.store)
    server.store.list = (listing) => {
      if (listing.after !== null && listing.after > 90) throw new Error('cannot be read')
      return list(listing)
    }
    await expect(call('/api/silo/export')).rejects.toThrow()
    expect(server.log).toContain('export of the silo failed')
  })

  describe('import', () => {
    const names = new ColumnNames()
    const lineOf = (change: Partial<SiloRow>) => jsonRow({ ...bobsRow, exp_time: 32_000_000_000, ...change }, names)
    const send = (lines: readonly string[], type = 'application/x-ndjson') =>
      json('/api/silo/import', { method: 'POST', headers: { 'content-type': type }, body: lines.join('\n') })
    const stored = () => server.store.list({ owner: null, dead: false, after: null, limit: 999 })

    test('stores rows under new ids, those of an owner in their order (SILO-51)', async () => {
      const rows = Array.from({ length: 60 }, (_, n) => lineOf({ username: `u${n % 3}`, body: Buffer.from(String(n)) }))
      expect(await send(rows)).toEqual({ status: 200, body: { stored: 60, refused: [] } })
      for (const user of [0, 1, 2]) {
        const bodies = stored()
          .filter(({ message }) => message.owner === `sip:u${user}@example.org`)
          .map(({ message }) => Number(Buffer.from(message.body).toString()))
        expect(bodies).toEqual(Array.from({ length: 20 }, (_, n) => 3 * n + user))
      }
    })

    test('tells line by line what it does not store, and why (SILO-30, K-30)', async () => {
      const lines = [
        lineOf({ exp_time: 1 }),
        lineOf({}),
        '{"body":',
        lineOf({ status: 2 }),
        lineOf({ status: 3 }),
        lineOf({ username: '' }),
        lineOf({}).replace('"snd_time":0', '"snd_time":"x"'),
        '',
        lineOf({ id: 8 }),
        '',
      ]
      expect(await send(lines)).toEqual({
        status: 200,
        body: {
          stored: 2,
          refused: [
            { line: 1, reason: 'expired', detail: 'it has expired' },
            { line: 3, reason: 'malformed', detail: 'this is no JSON object' },
            { line: 4, reason: 'delivered', detail: 'it was delivered (status 2)' },
            { line: 5, reason: 'failed', detail: 'it has failed for good (status 3)' },
            { line: 6, reason: 'malformed', detail: 'username and domain make no SIP URI with a user (SILO-3)' },
            { line: 7, reason: 'malformed', detail: 'snd_time is no whole number, or too large' },
            { line: 8, reason: 'malformed', detail: 'this is no JSON object' },
          ],
        },
      })
      expect(stored()).toHaveLength(2)
    })

    test('an owner without room refuses that row, the others are stored', async () => {
      const put = server.store.put.bind(server.store)
      server.store.put = (message) =>
        message.octets > 5 ? Promise.resolve({ ok: false, error: 'over-octets' }) : put(message)
      const { body } = await send([lineOf({}), lineOf({ body: Buffer.from('longer') }), lineOf({})])
      expect(body).toEqual({
        stored: 2,
        refused: [{ line: 2, reason: 'over-octets', detail: expect.stringContaining('silo.max_octets') }],
      })
    })

    test('after a row that cannot be stored now, none of its owner is: the order stays', async () => {
      let puts = 0
      const put = server.store.put.bind(server.store)
      server.store.put = (message) =>
        message.owner === bobsMessage.owner && ++puts === 2
          ? Promise.resolve({ ok: false, error: 'overloaded' })
          : put(message)
      const { body } = await send([lineOf({}), lineOf({}), lineOf({ username: 'carol' }), lineOf({})])
      expect(body).toEqual({
        stored: 2,
        refused: [
          { line: 2, reason: 'overloaded', detail: 'too many messages wait to be written' },
          { line: 4, reason: 'overloaded', detail: 'too many messages wait to be written' },
        ],
      })
    })

    test('takes nothing but rows, and no more than 16 MiB at once', async () => {
      expect((await send([lineOf({})], 'application/json')).status).toBe(415)
      expect((await send(['x'.repeat(16 * 2 ** 20 + 1)])).status).toBe(413)
    })
  })

  test('names its paths where there is nothing', async () => {
    const { body } = await json('/api/silo/nothing')
    expect(body.paths).toEqual(expect.arrayContaining(['/api/silo', '/api/silo/messages', '/api/silo/export']))
    for (const path of body.paths) expect((await call(path)).status).toBe(200)
  })
})

test('without a silo there is nothing of this', async () => {
  await server.start(null)
  const { status, body } = await json('/api/silo')
  expect(status).toBe(404)
  expect(body.paths).not.toContain('/api/silo')
})

test('rows go through a silo on disk and come out as they were (SILO-51)', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'silopath-admin-'))
  const quota = { messages: 0, octets: 0, perSender: 0 }
  const store = await openLmdbSilo({
    dataDir,
    quota,
    deadMax: 10,
    onError: (error) => {
      throw error
    },
  })
  try {
    await server.start({ store })
    const rows = Array.from({ length: 130 }, (_, n) => ({
      ...bobsRow,
      id: n + 1,
      exp_time: 32_000_000_000,
      username: `u${n % 2}`,
      body: Buffer.from([n, 0xff]),
      extra_hdrs: `X: ${n}\r\n`,
      snd_time: n % 3,
    }))
    const lines = rows.map((row) => jsonRow(row, new ColumnNames()))
    const headers = { 'content-type': 'application/x-ndjson' }
    const imported = await json('/api/silo/import', { method: 'POST', headers, body: lines.join('\n') })
    expect(imported.body).toEqual({ stored: 130, refused: [] })
    for (const user of ['u0', 'u1']) {
      const { text } = await call(`/api/silo/export?owner=${user}@example.org`)
      const exported = text
        .trimEnd()
        .split('\n')
        .map((line) => ({ ...JSON.parse(line), id: 0 }))
      const sent = rows.filter(({ username }) => username === user)
      expect(exported).toEqual(
        sent.map(({ body, ...row }) => ({ ...row, id: 0, body: { base64: body.toString('base64') } })),
      )
    }
    expect((await json('/api/silo/purge', posted({ owner: 'u0@example.org' }))).body).toEqual({ removed: 65 })
    expect((await json('/api/silo')).body).toMatchObject({ messages: 65, dead: 0 })
  } finally {
    await store.close()
    await rm(dataDir, { recursive: true })
  }
})
