import { describe, expect, test } from 'vitest'
import { type Answer, answerChallenge } from '../auth/client.ts'
import { FakeTicker } from '../support/fake-ticker.ts'
import { header, type MsrpClient, parseParameters, type ReceivedResponse } from '../support/msrp-client.ts'
import { clockedSetups, eventually, passwords, type Relay, setups, startRelay } from '../support/relay.ts'

/** Values of the WWW-Authenticate headers, in order. */
function challengesOf(response: ReceivedResponse): string[] {
  return response.headers.filter(([name]) => name === 'WWW-Authenticate').map(([, value]) => value)
}

async function challenge(relay: Relay, client: MsrpClient): Promise<string> {
  const response = await client.transact({ method: 'AUTH', toPath: relay.uri() })
  expect(response.status).toBe(401)
  return challengesOf(response)[0]!
}

/** Sends an AUTH of alice that answers the challenge; parts of the answer can be made wrong. */
function answer(relay: Relay, client: MsrpClient, challenge: string, changes: Partial<Answer> = {}) {
  const right = { username: 'alice', password: passwords.alice, method: 'AUTH', uri: relay.uri() }
  const authorization = answerChallenge(challenge, { ...right, ...changes })
  return client.transact({
    method: 'AUTH',
    toPath: relay.uri(),
    headers: [['Authorization', authorization]],
  })
}

function isStale(response: ReceivedResponse): boolean {
  return parseParameters(challengesOf(response)[0] ?? '').stale === 'true'
}

function nonceOf(challenge: string): string {
  return parseParameters(challenge).nonce!
}

describe.each(setups)('AUTH ($setup)', ({ how }) => {
  test('R-20, D-8, D-12: without credentials 401 offers SHA-256, then MD5', async () => {
    const relay = await startRelay(how)
    const client = await relay.connect()
    const response = await client.transact({ method: 'AUTH', toPath: relay.uri() })
    expect(response.status).toBe(401)
    // M-50
    expect(response.toPath).toEqual([client.uri])
    expect(response.fromPath).toEqual([relay.uri()])
    const challenges = challengesOf(response)
    expect(challenges.map((value) => value.startsWith('Digest '))).toEqual([true, true])
    const [first, second] = challenges.map(parseParameters)
    expect(first).toMatchObject({ algorithm: 'SHA-256', realm: 'relay.test', qop: 'auth' })
    expect(second).toMatchObject({ algorithm: 'MD5', realm: 'relay.test', qop: 'auth' })
    // D-10, R-20
    for (const parameters of [first, second]) expect(parameters).not.toHaveProperty('domain')
    expect(isStale(response)).toBe(false)
  })

  test.each(['SHA-256', 'MD5'] as const)(
    'R-22, R-25, U-8: right credentials (%s) get a Use-Path',
    async (algorithm) => {
      const relay = await startRelay(how)
      const client = await relay.connect()
      const { final, usePath, expires, rspauthOk, credentials } = await relay.auth(client, 'alice', { algorithm })
      expect(final.status).toBe(200)
      expect(credentials.algorithm).toBe(algorithm)
      expect(usePath).toEqual([
        expect.stringMatching(new RegExp(`^msrp://127\\.0\\.0\\.1:${relay.port}/[\\w.~+=-]{22,};tcp$`)),
      ])
      expect(expires).toBe(1800)
      expect(rspauthOk).toBe(true)
      const info = parseParameters(header(final, 'Authentication-Info') ?? '')
      expect(info).toMatchObject({ nc: '00000001', qop: 'auth', cnonce: credentials.cnonce })
      expect(final.toPath).toEqual([client.uri])
      expect(final.fromPath).toEqual([relay.uri()])
    },
  )

  test('R-23: every AUTH yields a URI of its own, and all of them work', async () => {
    const relay = await startRelay(how)
    const first = await relay.session('alice')
    const second = await relay.session('alice', { client: first.client })
    expect(second.relayUri).not.toBe(first.relayUri)
    const stranger = await relay.connect()
    for (const { path } of [first, second]) {
      stranger.request({ method: 'SEND', toPath: path, body: 'hello' })
      expect((await first.client.nextRequest('SEND')).fromPath).toEqual([path[0], stranger.uri])
    }
  })

  test('R-20: wrong credentials get 401 with a fresh nonce that is not stale', async () => {
    const relay = await startRelay(how)
    const client = await relay.connect()
    const asked = await challenge(relay, client)
    const wrong = [{ password: 'guess' }, { username: 'nobody' }, { uri: relay.uri('else'), parameters: { uri: null } }]
    for (const changes of wrong) {
      const response = await answer(relay, client, asked, changes)
      expect(response.status).toBe(401)
      expect(isStale(response)).toBe(false)
      expect(nonceOf(challengesOf(response)[0]!)).not.toBe(nonceOf(asked))
    }
  })

  test('D-5: a nonce counts its uses; a replay gets 401 with a fresh nonce', async () => {
    const relay = await startRelay(how)
    const client = await relay.connect()
    const asked = await challenge(relay, client)
    expect((await answer(relay, client, asked, { nc: '00000001' })).status).toBe(200)
    expect((await answer(relay, client, asked, { nc: '00000002' })).status).toBe(200)
    const replayed = await answer(relay, client, asked, { nc: '00000002' })
    expect(replayed.status).toBe(401)
    expect(nonceOf(challengesOf(replayed)[0]!)).not.toBe(nonceOf(asked))
    expect((await answer(relay, client, challengesOf(replayed)[0]!)).status).toBe(200)
  })

  test('D-13: the nonce of another connection is stale', async () => {
    const relay = await startRelay(how)
    const [one, other] = [await relay.connect(), await relay.connect()]
    const response = await answer(relay, other, await challenge(relay, one))
    expect(response.status).toBe(401)
    expect(isStale(response)).toBe(true)
    expect((await answer(relay, other, challengesOf(response)[0]!)).status).toBe(200)
  })

  test('R-20: credentials for another realm are no credentials; beside ours they do not disturb', async () => {
    const relay = await startRelay(how)
    const client = await relay.connect()
    const asked = await challenge(relay, client)
    const foreign = await answer(relay, client, asked, { realm: 'elsewhere.test' })
    expect(foreign.status).toBe(401)
    const right = { username: 'alice', password: passwords.alice, method: 'AUTH', uri: relay.uri() }
    const both = await client.transact({
      method: 'AUTH',
      toPath: relay.uri(),
      headers: [
        ['Authorization', answerChallenge(asked, { ...right, realm: 'elsewhere.test' })],
        ['Authorization', answerChallenge(asked, right)],
      ],
    })
    expect(both.status).toBe(200)
  })

  test.each<[string, Partial<Answer>]>([
    ['without qop', { qop: false }],
    ['with auth-int', { parameters: { qop: 'auth-int' } }],
    ['without nc', { parameters: { nc: null } }],
    ['with a bad nc', { parameters: { nc: 'one' } }],
    ['without cnonce', { parameters: { cnonce: null } }],
    ['without nonce', { parameters: { nonce: null } }],
    ['without response', { parameters: { response: null } }],
    ['of another resource', { uri: 'msrp://elsewhere.test:2855;tcp' }],
  ])('D-6, D-10, D-11: credentials %s are answered 400', async (_, changes) => {
    const relay = await startRelay(how)
    const client = await relay.connect()
    const asked = await challenge(relay, client)
    expect((await answer(relay, client, asked, changes)).status).toBe(400)
    // Nothing is lost by it.
    expect((await answer(relay, client, asked)).status).toBe(200)
  })

  test('D-11: the uri may be left out, or be another spelling (U-4)', async () => {
    const relay = await startRelay(how)
    const client = await relay.connect()
    const asked = await challenge(relay, client)
    expect((await answer(relay, client, asked, { parameters: { uri: null } })).status).toBe(200)
    const spelled = relay.uri().replace('msrp:', 'MSRP:').replace(';tcp', ';TCP')
    expect((await answer(relay, client, asked, { nc: '00000002', uri: spelled })).status).toBe(200)
  })

  test('R-21: Expires is taken within the bounds, and refused with 423 beyond them', async () => {
    const relay = await startRelay({ ...how, config: { msrp: { auth_min_expires: 90, auth_max_expires: 7200 } } })
    const client = await relay.connect()
    for (const expires of [90, 1000, 7200]) {
      const { final, expires: granted } = await relay.auth(client, 'alice', { expires })
      expect([final.status, granted]).toEqual([200, expires])
    }
    const { final: tooShort } = await relay.auth(client, 'alice', { expires: 89 })
    expect(tooShort.status).toBe(423)
    expect(header(tooShort, 'Min-Expires')).toBe('90')
    expect(header(tooShort, 'Max-Expires')).toBeUndefined()
    const { final: tooLong } = await relay.auth(client, 'alice', { expires: 7201 })
    expect(tooLong.status).toBe(423)
    expect(header(tooLong, 'Max-Expires')).toBe('7200')
    expect(header(tooLong, 'Min-Expires')).toBeUndefined()
    expect(header(tooLong, 'Use-Path')).toBeUndefined()
  })

  test('R-21, Q-7: the bounds of Expires are looked at after the credentials', async () => {
    const relay = await startRelay(how)
    const client = await relay.connect()
    const { first } = await relay.auth(client, 'alice', { expires: 1 })
    expect(first.status).toBe(401)
    const { final } = await client.auth({ username: 'alice', password: 'guess', expires: 1 })
    expect(final.status).toBe(401)
  })

  test('R-26: an AUTH that came through relays gets their URIs first, nearest to the client leftmost', async () => {
    const relay = await startRelay(how)
    const client = await relay.connect()
    const [extra, intra] = ['msrp://extra.test:2855/e;tcp', 'msrps://intra.test:2855/i;tcp']
    const fromPath = [extra, intra, client.uri]
    const { first, final, usePath } = await relay.auth(client, 'alice', { fromPath })
    // M-50: the way back is the whole way.
    expect(first.toPath).toEqual(fromPath)
    expect(final.toPath).toEqual(fromPath)
    expect(usePath).toEqual([intra, extra, expect.stringMatching(/^msrp:\/\/127\.0\.0\.1:/)])
  })

  test('R-14: a session dies with its connection, also for a client that comes back', async () => {
    const relay = await startRelay(how)
    const bob = await relay.session('bob')
    const stranger = await relay.connect()
    expect((await stranger.transact({ method: 'SEND', toPath: bob.path, body: 'now' })).status).toBe(200)
    await bob.client.close()
    await relay.session('bob')
    await eventually(() => relay.metric('silopath_msrp_sessions')).toBe(1)
    expect((await stranger.transact({ method: 'SEND', toPath: bob.path, body: 'late' })).status).toBe(481)
    expect(await relay.metric('silopath_msrp_sessions_total', { event: 'closed' })).toBe(1)
  })

  test('R-1: where AUTH in the clear is not allowed it gets 403', async () => {
    const relay = await startRelay({ ...how, config: { msrp: { allow_plaintext_auth: false } } })
    const client = await relay.connect()
    const response = await client.transact({ method: 'AUTH', toPath: relay.uri() })
    expect(response.status).toBe(403)
    expect(challengesOf(response)).toEqual([])
  })

  test('R-7: five AUTHs with wrong credentials end a connection, whatever it did before', async () => {
    const relay = await startRelay(how)
    const { client } = await relay.session('alice')
    for (let attempt = 0; attempt < 5; attempt++) {
      const { final } = await client.auth({ username: 'alice', password: `guess ${attempt}` })
      expect(final.status).toBe(401)
    }
    await client.closed
  })

  test('R-7: AUTHs that are only challenged do not count as failed', async () => {
    const relay = await startRelay(how)
    const { client } = await relay.session('alice')
    for (let attempt = 0; attempt < 8; attempt++) await challenge(relay, client)
    expect((await relay.auth(client, 'alice')).final.status).toBe(200)
  })

  test('R-10: AUTH for another relay ends the connection', async () => {
    const relay = await startRelay(how)
    const client = await relay.connect()
    client.request({ method: 'AUTH', toPath: 'msrp://elsewhere.test:2855;tcp' })
    await client.closed
    expect(client.frames).toEqual([])
  })

  test('U-3, R-25: use_path_addr names the relay, in AUTH also without the port', async () => {
    const relay = await startRelay({ ...how, config: { msrp: { use_path_addr: 'chat.relay.test:2855' } } })
    const bob = await relay.session('bob', { toPath: 'msrp://chat.relay.test;tcp' })
    expect(bob.relayUri).toMatch(/^msrp:\/\/chat\.relay\.test:2855\/[^/]+;tcp$/)
    const stranger = await relay.connect()
    // U-4: hosts compare without case.
    const shouted = bob.relayUri.replace('chat.relay.test', 'Chat.RELAY.test')
    stranger.request({ method: 'SEND', toPath: [shouted, bob.uri], body: 'hi' })
    expect((await bob.client.nextRequest('SEND')).fromPath).toEqual([shouted, stranger.uri])
    const { final } = await relay.auth(stranger, 'alice', { toPath: 'msrp://127.0.0.1;tcp' })
    expect(final.status).toBe(200)
  })

  test('D-14, R-90: no password, nonce or session-id gets into the log', async () => {
    const relay = await startRelay(how)
    const bob = await relay.session('bob')
    const alice = await relay.session('alice')
    const { client } = alice
    const { credentials } = await client.auth({ username: 'alice', password: 'guess' })
    await answer(relay, client, await challenge(relay, client), { qop: false })
    alice.client.request({ method: 'SEND', toPath: [alice.relayUri, ...bob.path], body: 'confidential' })
    bob.client.respond(await bob.client.nextRequest('SEND'), 500, 'No')
    await alice.client.nextRequest('REPORT')
    client.request({ method: 'SEND', toPath: relay.uri('unknown'), body: 'confidential' })
    client.send(`MSRP malformed SEND\r\nTo-Path: ${alice.relayUri}\r\nnonsense\r\n-------malformed$\r\n`)
    client.send('octets that start no frame\r\n')
    await client.closed
    const sessionId = (uri: string) => /:\d+\/([^;]+);/.exec(uri)?.[1]
    const secrets = [
      ...Object.values(passwords),
      'guess',
      'confidential',
      credentials.nonce!,
      credentials.response!,
      sessionId(alice.relayUri)!,
      sessionId(bob.relayUri)!,
    ]
    expect(relay.log).not.toEqual([])
    for (const secret of secrets) expect(relay.log.filter((line) => line.includes(secret))).toEqual([])
  })
})

describe.each(clockedSetups)('AUTH and time ($setup)', ({ how }) => {
  test('R-20, D-13: an old nonce is stale, if all the rest is right', async () => {
    const clock = new FakeTicker()
    const relay = await startRelay({ ...how, clock, config: { auth: { nonce_lifetime: 20 } } })
    const client = await relay.connect()
    const asked = await challenge(relay, client)
    clock.advance(21_000)
    const wrong = await answer(relay, client, asked, { password: 'guess' })
    expect([wrong.status, isStale(wrong)]).toEqual([401, false])
    const late = await answer(relay, client, asked)
    expect([late.status, isStale(late)]).toEqual([401, true])
    expect((await answer(relay, client, challengesOf(late)[0]!)).status).toBe(200)
  })

  test('R-23, R-44: a session dies when its time is over, its connection lives on', async () => {
    const clock = new FakeTicker()
    const relay = await startRelay({ ...how, clock })
    const bob = await relay.session('bob', { expires: 60 })
    const stranger = await relay.connect()
    clock.advance(29_000)
    expect((await stranger.transact({ method: 'SEND', toPath: bob.path, body: 'early' })).status).toBe(200)
    clock.advance(30_000)
    expect((await stranger.transact({ method: 'SEND', toPath: bob.path, body: 'in time' })).status).toBe(200)
    clock.advance(2_000)
    expect((await stranger.transact({ method: 'SEND', toPath: bob.path, body: 'late' })).status).toBe(481)
    expect((await bob.client.transact({ method: 'SEND', toPath: bob.relayUri })).status).toBe(481)
    expect(bob.client.frames.filter(({ kind }) => kind === 'request')).toHaveLength(2)
    expect(await relay.metric('silopath_msrp_sessions')).toBe(0)
    expect(await relay.metric('silopath_msrp_sessions_total', { event: 'expired' })).toBe(1)
    const again = await relay.session('bob', { client: bob.client })
    expect((await stranger.transact({ method: 'SEND', toPath: again.path, body: 'again' })).status).toBe(200)
  })
})

test('R-20: the sessions of a lane are bounded; one more is refused with 403 until one has gone', async () => {
  const relay = await startRelay({ config: { msrp: { max_sessions: 2 } } })
  const first = await relay.session('alice')
  await relay.session('alice')
  const third = await relay.connect()
  expect((await relay.auth(third, 'alice')).final.status).toBe(403)
  await first.client.close()
  await eventually(() => relay.metric('silopath_msrp_sessions')).toBe(1)
  expect((await relay.auth(third, 'alice')).final.status).toBe(200)
})

test('D-12: MD5 can be switched off', async () => {
  const relay = await startRelay({ config: { auth: { algorithms: ['SHA-256'] } } })
  const client = await relay.connect()
  const response = await client.transact({ method: 'AUTH', toPath: relay.uri() })
  expect(challengesOf(response).map((value) => parseParameters(value).algorithm)).toEqual(['SHA-256'])
})

test('the outcomes of AUTH are counted', async () => {
  const relay = await startRelay()
  const client = await relay.connect()
  await relay.auth(client, 'alice')
  await client.auth({ username: 'alice', password: 'guess' })
  await relay.auth(client, 'alice', { expires: 1 })
  const counts = { accepted: 1, challenged: 3, rejected: 1, out_of_bounds: 1, malformed: 0 }
  for (const [outcome, count] of Object.entries(counts)) {
    await eventually(() => relay.metric('silopath_msrp_auth_total', { outcome })).toBe(count)
  }
})
