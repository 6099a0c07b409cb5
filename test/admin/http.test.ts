import { createServer } from 'node:net'
import { Writable } from 'node:stream'
import { Gauge, Registry } from 'prom-client'
import { type Dispatcher, request } from 'undici'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type Admin, type AdminOptions, type AdminStatus, type Readiness, startAdmin } from '../../src/admin/http.ts'
import { createLogger } from '../../src/log.ts'
import { MemorySessions } from '../support/memory-sessions.ts'
import { sessionRecord } from '../support/session-records.ts'

const running: AdminStatus = {
  version: '1.2.3',
  uptime_seconds: 12,
  lanes: 2,
  connections: 7,
  listeners: ['msrp://127.0.0.1:2855'],
}

describe('the admin server', () => {
  let admin: Admin
  let sessions: MemorySessions
  let readiness: Readiness
  let status: () => AdminStatus
  let log: string

  const options = (): AdminOptions => {
    const registry = new Registry()
    new Gauge({ name: 'answer', help: 'To everything.', registers: [registry] }).set(42)
    return {
      listen: { host: '127.0.0.1', port: 0 },
      registry,
      sessions,
      silo: null,
      readiness: () => readiness,
      status: () => status(),
      log: createLogger('info', 'json', new Writable({ write: (line, _, done) => done(void (log += line)) })),
    }
  }

  beforeEach(async () => {
    sessions = new MemorySessions()
    readiness = 'ready'
    status = () => running
    log = ''
    admin = await startAdmin(options())
  })
  afterEach(() => admin.close())

  async function call(path: string, more: Partial<Dispatcher.RequestOptions> = {}) {
    const { statusCode, headers, body } = await request(admin.url + path, { reset: true, ...more })
    return { status: statusCode, type: headers['content-type'], body: await body.text() }
  }
  const json = async (path: string) => {
    const { status, body } = await call(path)
    return { status, body: JSON.parse(body) }
  }

  test('serves the registry to Prometheus, with its content type', async () => {
    expect(await call('/metrics')).toMatchObject({
      status: 200,
      type: 'text/plain; version=0.0.4; charset=utf-8',
      body: expect.stringContaining('# TYPE answer gauge\nanswer 42\n'),
    })
  })

  test.each([
    ['ready', 200],
    ['starting', 503],
    ['draining', 503],
  ] as const)('says %s on /readyz with %i, and is healthy', async (state, code) => {
    readiness = state
    expect(await json('/readyz')).toEqual({ status: code, body: { status: state } })
    expect(await json('/healthz')).toEqual({ status: 200, body: { status: 'ok' } })
  })

  test('tells its status', async () => {
    expect(await json('/api/status')).toEqual({ status: 200, body: running })
  })

  test('lists sessions with times as ISO 8601 and keys in snake_case', async () => {
    sessions.put(sessionRecord('a'))
    expect(await json('/api/sessions')).toEqual({
      status: 200,
      body: {
        sessions: [
          {
            id: sessionRecord('a').id,
            username: 'alice',
            connection: '192.0.2.7:40112',
            created_at: '2026-01-01T00:00:00.000Z',
            expires_at: '2026-01-01T00:30:00.000Z',
            frames_from: 1,
            frames_to: 2,
            octets_from: 300,
            octets_to: 400,
          },
        ],
        truncated: false,
      },
    })
  })

  test('lists as many sessions as asked for, 1000 unless told, and says whether there are more', async () => {
    for (let n = 0; n < 1_200; n += 1) sessions.put(sessionRecord(n))
    for (const [query, length, truncated] of [
      ['', 1_000, true],
      ['?limit=1', 1, true],
      ['?limit=1199', 1_199, true],
      ['?limit=1200', 1_200, false],
      ['?limit=10000', 1_200, false],
    ] as const) {
      const { body } = await json(`/api/sessions${query}`)
      expect(body.sessions).toHaveLength(length)
      expect(body.truncated).toBe(truncated)
    }
  })

  test.each(['0', '-1', '10001', '1.5', 'all'])('refuses limit=%s', async (limit) => {
    const { status, body } = await json(`/api/sessions?limit=${limit}`)
    expect(status).toBe(400)
    expect(body.error).toContain('limit')
  })

  test('answers an unknown path with those it knows', async () => {
    expect(await json('/nowhere?secret=1')).toEqual({
      status: 404,
      body: {
        error: 'no GET /nowhere here',
        paths: ['/metrics', '/healthz', '/readyz', '/api/status', '/api/sessions'],
      },
    })
  })

  test('every path it names is there', async () => {
    const { body } = await json('/')
    for (const path of body.paths) expect((await call(path)).status).toBe(200)
  })

  test('takes no large body', async () => {
    const headers = { 'content-type': 'application/json' }
    expect((await call('/metrics', { method: 'POST', headers, body: `"${'x'.repeat(2_000)}"` })).status).toBe(413)
    expect((await call('/metrics', { method: 'POST', headers, body: '""' })).status).toBe(404)
  })

  test.each(['localhost', 'LOCALHOST:9095', '127.0.0.1', '127.0.0.1:1', '[::1]', '[::1]:9095'])(
    'on loopback, accepts Host %s',
    async (host) => expect((await call('/healthz', { headers: { host } })).status).toBe(200),
  )

  test.each(['rebound.example', 'rebound.example:9095', 'localhost.example', '127.0.0.1.example', '10.0.0.1', '[::2]'])(
    'on loopback, refuses Host %s with 421, whatever the path',
    async (host) => {
      expect((await call('/api/sessions', { headers: { host } })).status).toBe(421)
      expect((await call('/nowhere', { headers: { host } })).status).toBe(421)
    },
  )

  test('behind any other address, accepts every Host', async () => {
    const open = await startAdmin({ ...options(), listen: { host: '0.0.0.0', port: 0 } })
    try {
      const { statusCode, body } = await request(`http://127.0.0.1:${new URL(open.url).port}/healthz`, {
        headers: { host: 'relay.example' },
        reset: true,
      })
      expect([statusCode, await body.json()]).toEqual([200, { status: 'ok' }])
    } finally {
      await open.close()
    }
  })

  test('an internal error goes to the log and not to the client', async () => {
    status = () => {
      throw new Error('something private')
    }
    const answer = await call('/api/status')
    expect(answer.status).toBe(500)
    expect(answer.body).not.toContain('private')
    expect(JSON.parse(log)).toMatchObject({
      level: 'error',
      path: '/api/status',
      err: { message: 'something private' },
    })
  })

  test('a port in use is LISTEN_FAILED, with the address and a remedy', async () => {
    const port = Number(new URL(admin.url).port)
    await expect(startAdmin({ ...options(), listen: { host: '127.0.0.1', port } })).rejects.toMatchObject({
      name: 'SilopathError',
      code: 'LISTEN_FAILED',
      message: expect.stringMatching(new RegExp(`127\\.0\\.0\\.1:${port}: .*EADDRINUSE.*Set admin\\.listen`)),
    })
  })

  test('closes although a client keeps its connection, and frees the port', async () => {
    const { hostname, port } = new URL(admin.url)
    const kept = await request(`${admin.url}/healthz`)
    await kept.body.dump()
    await admin.close()
    await new Promise<void>((resolve, reject) => {
      const server = createServer().once('error', reject)
      server.listen(Number(port), hostname, () => server.close(() => resolve()))
    })
  })
})
