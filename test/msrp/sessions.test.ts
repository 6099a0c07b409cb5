import { createHash } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { parseConfig } from '../../src/config/load.ts'
import type { Logger } from '../../src/log.ts'
import { startServer } from '../../src/server.ts'
import { openLmdbSessions } from '../../src/store/lmdb-sessions.ts'
import { FakeTicker } from '../support/fake-ticker.ts'
import { type Endpoint, eventually, laneSetups, type Relay, settle, startRelay } from '../support/relay.ts'
import { sessionRecord } from '../support/session-records.ts'

interface ListedSession {
  readonly id: string
  readonly username: string
  readonly connection: string
  readonly created_at: string
  readonly expires_at: string
  readonly frames_from: number
  readonly frames_to: number
  readonly octets_from: number
  readonly octets_to: number
}

const silentLog: Logger = { debug() {}, info() {}, warn() {}, error() {} }

async function list(relay: Relay): Promise<ListedSession[]> {
  const { sessions } = (await (await relay.admin('/api/sessions')).json()) as { sessions: ListedSession[] }
  return sessions
}

/** Resolves when exactly the sessions of these users are listed. */
async function expectListed(relay: Relay, ...users: string[]): Promise<ListedSession[]> {
  await eventually(async () => (await list(relay)).map(({ username }) => username).toSorted()).toEqual(users.toSorted())
  return list(relay)
}

function sessionId({ relayUri }: Endpoint): string {
  return relayUri.slice(relayUri.lastIndexOf('/') + 1, relayUri.indexOf(';tcp'))
}

describe.each(laneSetups)('sessions for the operator ($setup)', ({ how }) => {
  test('R-90: they are listed with what an operator may know', async () => {
    const relay = await startRelay(how)
    const start = Date.now()
    const bob = await relay.session('bob', { expires: 100 })
    const [listed] = await expectListed(relay, 'bob')
    const hash = createHash('sha256').update(sessionId(bob)).digest('hex')
    expect(hash.startsWith(listed!.id)).toBe(true)
    expect(listed!.id.length).toBeGreaterThanOrEqual(16)
    expect(JSON.stringify(listed)).not.toContain(sessionId(bob))
    // The client's own URI holds the address of its end of the connection.
    expect(bob.uri).toContain(`//${listed!.connection}/`)
    const created = Date.parse(listed!.created_at)
    expect(Math.abs(created - start)).toBeLessThan(5_000)
    expect(Date.parse(listed!.expires_at) - created).toBe(100_000)
  })

  test('they survive that somebody starts a second server with the same config', async () => {
    const dataDir = await mkdtemp(join(tmpdir(), 'silopath-test-'))
    onTestFinished(() => rm(dataDir, { recursive: true, force: true }))
    const relay = await startRelay({ ...how, dataDir })
    await relay.session('bob')
    await expectListed(relay, 'bob')
    const text = `listen: [{ url: "msrp://127.0.0.1:${relay.port}" }]\ndata_dir: ${dataDir}\nworkers: 0\nadmin: false`
    const config = parseConfig(text, 'test.yaml')
    const second = startServer(config.ok ? config.value : expect.fail('the config is sound'), { log: silentLog })
    await expect(second).rejects.toMatchObject({ code: 'LISTEN_FAILED' })
    expect(await list(relay)).toHaveLength(1)
  })

  test('R-14: one is gone from the list when its connection is', async () => {
    const relay = await startRelay(how)
    const [alice, bob] = [await relay.session('alice'), await relay.session('bob')]
    await relay.session('bob', { client: bob.client })
    await expectListed(relay, 'alice', 'bob', 'bob')
    await bob.client.close()
    await expectListed(relay, 'alice')
    await alice.client.reset()
    await expectListed(relay)
    expect(await relay.metric('silopath_msrp_sessions_total', { event: 'opened' })).toBe(3)
    expect(await relay.metric('silopath_msrp_sessions_total', { event: 'closed' })).toBe(3)
  })

  test('frames and octets of each session are counted', async () => {
    const relay = await startRelay(how)
    const [alice, bob] = [await relay.session('alice'), await relay.session('bob')]
    const toPath = [alice.relayUri, ...bob.path]
    for (let i = 0; i < 3; i++) {
      await alice.client.transact({ method: 'SEND', toPath, body: 'x'.repeat(1000) })
      await bob.client.nextRequest('SEND')
    }
    const counts = async (username: string) => {
      const found = (await list(relay)).find((session) => session.username === username)
      return [found?.frames_from, found?.frames_to]
    }
    await eventually(() => counts('alice')).toEqual([3, 0])
    await eventually(() => counts('bob')).toEqual([0, 3])
    const sessions = await list(relay)
    const octets = (username: string) => sessions.find((session) => session.username === username)
    expect(octets('alice')!.octets_from).toBeGreaterThan(3000)
    expect(octets('bob')!.octets_to).toBe(
      bob.client.frames.reduce((sum, frame) => sum + (frame.kind === 'request' ? frame.octets.length : 0), 0),
    )
  })

  test('R-14: those of an earlier run are swept at the start', async () => {
    const dataDir = await mkdtemp(join(tmpdir(), 'silopath-'))
    onTestFinished(() => rm(dataDir, { recursive: true, force: true }))
    const { store } = await openLmdbSessions({ dataDir, recordsMax: 100, onError: () => undefined })
    for (let i = 0; i < 10; i++) store.put(sessionRecord(i, { expiresAt: Date.now() + 1_000_000 }))
    await store.close()
    const relay = await startRelay({ ...how, dataDir })
    expect(await list(relay)).toEqual([])
    await relay.session('bob')
    await expectListed(relay, 'bob')
  })
})

test('R-23: an expired session is gone from the list', async () => {
  const clock = new FakeTicker()
  const relay = await startRelay({ clock })
  const alice = await relay.session('alice', { expires: 60 })
  await relay.session('bob', { expires: 600 })
  await expectListed(relay, 'alice', 'bob')
  clock.advance(61_000)
  await expectListed(relay, 'bob')
  expect((await alice.client.transact({ method: 'SEND', toPath: alice.relayUri })).status).toBe(481)
})

test('a relay without admin server does all the same', async () => {
  const relay = await startRelay({ config: { admin: false } })
  expect(relay.server.adminUrl).toBeNull()
  expect((await settle(await relay.session('bob'))).status).toBe(200)
})
