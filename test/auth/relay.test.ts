import { createHmac } from 'node:crypto'
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SignJWT } from 'jose'
import { describe, expect, onTestFinished, test } from 'vitest'
import { header, type MsrpClient } from '../support/msrp-client.ts'
import { eventually, passwords, type Relay, type RelayOptions, setups, startRelay } from '../support/relay.ts'
import { type HttpServer, type Reply, startHttpServer } from './http-server.ts'

/** A relay with a source of its own beside the users that all relays of the tests know. */
function relayWith(how: RelayOptions, auth: Readonly<Record<string, unknown>>): Promise<Relay> {
  return startRelay({ ...how, config: { auth }, own: true })
}

const authCount = (relay: Relay, outcome: string) => relay.metric('silopath_msrp_auth_total', { outcome })

/** The usernames of all sessions, as operators see them. */
async function usernames(relay: Relay): Promise<string[]> {
  const { sessions } = (await (await relay.admin('/api/sessions')).json()) as { sessions: { username: string }[] }
  return sessions.map(({ username }) => username).sort()
}

async function statusOf(client: MsrpClient, username: string, password: string): Promise<number> {
  return (await client.auth({ username, password })).final.status
}

/** Lets the test give the answers. */
function hold(server: HttpServer): ((reply: Reply) => void)[] {
  const answers: ((reply: Reply) => void)[] = []
  server.reply = () => new Promise((resolve) => answers.push(resolve))
  return answers
}

// A routing of one's own takes the path of the default one, and lanes in threads close what they have opened.
describe.each([setups[1]!, setups[2]!])('credential sources ($setup)', ({ how }) => {
  test('D-14: a users file, read again when it is replaced', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'silopath-users-'))
    onTestFinished(() => rm(folder, { recursive: true }))
    const path = join(folder, 'users.jsonl')
    await writeFile(path, '{ "username": "carol", "password": "one" }\n')
    const relay = await relayWith(how, { users_file: path })
    const client = await relay.connect()
    expect(await statusOf(client, 'carol', 'one')).toBe(200)
    expect(await statusOf(client, 'alice', passwords.alice)).toBe(200)
    await writeFile(`${path}.new`, '{ "username": "carol", "password": "two" }\n')
    await rename(`${path}.new`, path)
    await eventually(() => relay.log.filter((line) => line.includes('users file: read')).length).toBe(2)
    expect(await statusOf(client, 'carol', 'one')).toBe(401)
    expect(await statusOf(client, 'carol', 'two')).toBe(200)
  })

  test('R-20, R-22: an HTTP endpoint that is asked while the connection waits, and others go on', async () => {
    const server = await startHttpServer()
    const answers = hold(server)
    const relay = await relayWith(how, { http: { url: server.url } })
    const waiting = await relay.connect()
    const auth = waiting.auth({ username: 'carol', password: 'secret' })
    await eventually(() => answers.length).toBe(1)
    await relay.session('alice')
    // What comes behind the AUTH is answered behind it.
    const behind = waiting.transact({ method: 'AUTH', toPath: relay.uri() })
    answers[0]?.({ body: { password: 'secret' } })
    const { final, rspauthOk, usePath } = await auth
    expect([final.status, rspauthOk, usePath.length]).toEqual([200, true, 1])
    expect((await behind).status).toBe(401)
    expect(waiting.frames.map((frame) => (frame.kind === 'response' ? frame.status : 0))).toEqual([401, 200, 401])
    await eventually(() => usernames(relay)).toEqual(['alice', 'carol'])
    // Now they are remembered.
    expect(await statusOf(await relay.connect(), 'carol', 'secret')).toBe(200)
    expect(await statusOf(await relay.connect(), 'carol', 'wrong')).toBe(401)
    expect(server.asked).toHaveLength(1)
    await eventually(() => authCount(relay, 'accepted')).toBe(3)
    await eventually(() => authCount(relay, 'rejected')).toBe(1)
  })

  test('an endpoint that is down is not the password’s fault: 408, counted, for those only whom it is asked about', async () => {
    const server = await startHttpServer(() => ({ status: 500 }))
    const relay = await relayWith(how, { http: { url: server.url } })
    const client = await relay.connect()
    const { final } = await client.auth({ username: 'carol', password: 'secret' })
    expect(final.status).toBe(408)
    expect(header(final, 'WWW-Authenticate')).toBeUndefined()
    await relay.session('alice')
    await eventually(() => authCount(relay, 'unavailable')).toBe(1)
    expect(await authCount(relay, 'rejected')).toBe(0)
    server.reply = () => ({ status: 404 })
    expect(await statusOf(client, 'carol', 'secret')).toBe(401)
  })

  test('a connection that goes while it waits leaves nothing behind, and neither does the relay', async () => {
    const server = await startHttpServer()
    const answers = hold(server)
    const relay = await relayWith(how, { http: { url: server.url } })
    const [gone, stays] = [await relay.connect(), await relay.connect()]
    const lost = gone.auth({ username: 'carol', password: 'secret' }).catch(() => 'no answer')
    await eventually(() => answers.length).toBe(1)
    await gone.close()
    expect(await lost).toBe('no answer')
    answers[0]?.({ body: { password: 'secret' } })
    await eventually(() => relay.metric('silopath_connections')).toBe(1)
    expect(await statusOf(stays, 'carol', 'secret')).toBe(200)
    await eventually(() => usernames(relay)).toEqual(['carol'])
    const pending = stays.auth({ username: 'dave', password: 'secret' }).catch(() => 'no answer')
    await eventually(() => answers.length).toBe(2)
    await relay.server.close()
    await pending
    await eventually(() => server.sockets.size).toBe(0)
  })

  test('ephemeral credentials open sessions of the name in them, until they expire', async () => {
    const secret = 'shared with the web site'
    const relay = await relayWith(how, { ephemeral: { secrets: ['another one before', secret], hmac: 'SHA-1' } })
    const client = await relay.connect()
    const passwordOf = (username: string) => createHmac('sha1', secret).update(username).digest('base64')
    const [good, expired] = [3600, -1].map((seconds) => `${Math.floor(Date.now() / 1000) + seconds}:carol`)
    expect(await statusOf(client, good!, passwordOf(good!))).toBe(200)
    await eventually(() => usernames(relay)).toEqual(['carol'])
    expect(await statusOf(client, expired!, passwordOf(expired!))).toBe(401)
    expect(await statusOf(client, good!, passwordOf(expired!))).toBe(401)
    await eventually(() => authCount(relay, 'rejected')).toBe(2)
  })

  test('R-20, R-22: a token is asked for, opens a session, and proves nothing in return', async () => {
    const secret = 'a secret of thirty-two octets...'
    const relay = await relayWith(how, { jwt: { secret, issuer: 'idp' } })
    const client = await relay.connect()
    const first = await client.transact({ method: 'AUTH', toPath: relay.uri() })
    const asked = first.headers.filter(([name]) => name === 'WWW-Authenticate').map(([, value]) => value)
    expect(asked.at(-1)).toBe('Bearer realm="relay.test"')
    const show = async (issuer: string, seconds: number) => {
      const exp = Math.floor(Date.now() / 1000) + seconds
      const token = await new SignJWT({ sub: 'carol', iss: issuer, exp })
        .setProtectedHeader({ alg: 'HS256' })
        .sign(Buffer.from(secret))
      const headers = [['Authorization', `Bearer ${token}`]] as const
      return client.transact({ method: 'AUTH', toPath: relay.uri(), headers })
    }
    const good = await show('idp', 60)
    expect(good.status).toBe(200)
    expect(header(good, 'Use-Path')).toMatch(/^msrp:/)
    expect(header(good, 'Authentication-Info')).toBeUndefined()
    await eventually(() => usernames(relay)).toEqual(['carol'])
    for (const [issuer, seconds, outcome] of [
      ['them', 60, 'rejected'],
      ['idp', -60, 'stale'],
    ] as const) {
      const refused = await show(issuer, seconds)
      expect(refused.status).toBe(401)
      expect(refused.headers.at(-1)?.[1]).toBe('Bearer realm="relay.test", error="invalid_token"')
      await eventually(() => authCount(relay, outcome)).toBe(1)
    }
  })
})
