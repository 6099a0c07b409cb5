import { createServer } from 'node:net'
import { expect, it, onTestFinished } from 'vitest'
import { type Lookup, unavailable, unknown } from '../../src/auth/credentials.ts'
import { hashA1 } from '../../src/auth/digest.ts'
import { ANSWER_OCTETS_MAX, FAILURES_MAX } from '../../src/auth/http-endpoint.ts'
import { HttpUsers, type HttpUsersOptions } from '../../src/auth/http-users.ts'
import { eventually } from '../support/relay.ts'
import { FakeClock } from './fake-clock.ts'
import { type HttpServer, keptLog, type Reply, startHttpServer } from './http-server.ts'

const realm = 'relay.test'
const ha1 = hashA1('MD5', 'alice', realm, 'secret')
const alice: Lookup = { outcome: 'known', username: 'alice', secrets: [{ ha1 }] }

function make(url: string, options: Partial<HttpUsersOptions> = {}) {
  const clock = new FakeClock()
  const { log, lines } = keptLog()
  const users = new HttpUsers(
    {
      url,
      headers: [],
      timeout: 5,
      max_concurrent: 8,
      max_queue: 100,
      positive_ttl: 60,
      negative_ttl: 5,
      stale_ttl: 3600,
      cache_size: 100,
      retry_after: 5,
      ...options,
    },
    clock,
    log,
  )
  onTestFinished(() => users.close())
  const lookup = (username = 'alice') => users.lookup(username, realm, 'MD5')
  return { clock, lines, users, lookup }
}

/** Answers that the test gives one by one. */
function held(server: HttpServer): ((reply: Reply) => void)[] {
  const answers: ((reply: Reply) => void)[] = []
  server.reply = () => new Promise((resolve) => answers.push(resolve))
  return answers
}

it('asks by POST what it wants to know, with token and headers, and takes an HA1 (D-14)', async () => {
  const server = await startHttpServer(() => ({ body: { ha1: ha1.toUpperCase() } }))
  const { lookup } = make(server.url, { bearer_token: 'tok', headers: [{ name: 'X-Key', value: 'k' }] })
  expect(await lookup()).toEqual(alice)
  const [asked] = server.asked
  expect(asked).toMatchObject({ method: 'POST', path: '/ask' })
  expect(asked?.headers).toMatchObject({
    authorization: 'Bearer tok',
    'x-key': 'k',
    'content-type': 'application/json',
  })
  expect(JSON.parse(asked?.body ?? '')).toEqual({ username: 'alice', realm, algorithm: 'MD5' })
})

it('makes the HA1 of a password itself, for the algorithm it was asked for', async () => {
  const server = await startHttpServer(() => ({ body: { password: 'secret' } }))
  const { lookup, users } = make(server.url)
  expect(await lookup()).toEqual(alice)
  expect(await users.lookup('alice', realm, 'SHA-256')).toEqual({
    outcome: 'known',
    username: 'alice',
    secrets: [{ ha1: hashA1('SHA-256', 'alice', realm, 'secret') }],
  })
  expect(server.asked).toHaveLength(2)
})

it('answers at once what it remembers, for its time to the millisecond', async () => {
  const server = await startHttpServer(({ body }) => (body.includes('alice') ? { body: { ha1 } } : { status: 404 }))
  const { lookup, clock } = make(server.url)
  expect(await lookup()).toEqual(alice)
  expect(await lookup('bob')).toEqual(unknown)
  expect(lookup()).toEqual(alice)
  expect(lookup('bob')).toEqual(unknown)
  clock.advance(4_999)
  expect(lookup('bob')).toEqual(unknown)
  clock.advance(1)
  expect(await lookup('bob')).toEqual(unknown)
  clock.advance(54_999)
  expect(lookup()).toEqual(alice)
  expect(server.asked).toHaveLength(3)
  clock.advance(1)
  server.reply = () => ({ status: 404 })
  expect(await lookup()).toEqual(unknown)
  server.reply = () => ({ body: { ha1 } })
  expect(lookup()).toEqual(unknown)
  clock.advance(5_000)
  expect(await lookup()).toEqual(alice)
  expect(server.asked).toHaveLength(5)
})

it('trusts no answer from before the clock was set back', async () => {
  const server = await startHttpServer(() => ({ body: { ha1 } }))
  const { lookup, clock } = make(server.url)
  await lookup()
  clock.advance(-1)
  await lookup()
  expect(server.asked).toHaveLength(2)
})

it('asks the same question once at a time', async () => {
  const server = await startHttpServer()
  const answers = held(server)
  const { lookup } = make(server.url)
  const lookups = [lookup(), lookup(), lookup()]
  await eventually(() => answers.length).toBe(1)
  answers[0]?.({ body: { ha1 } })
  expect(await Promise.all(lookups)).toEqual([alice, alice, alice])
  expect(server.asked).toHaveLength(1)
})

it('remembers a bounded number of users, and guessed names push nobody out', async () => {
  const server = await startHttpServer(({ body }) => (body.includes('guess') ? { status: 404 } : { body: { ha1 } }))
  const { lookup } = make(server.url, { cache_size: 2 })
  for (const name of ['alice', 'bob', 'guess1', 'guess2', 'guess3']) await lookup(name)
  expect(lookup('alice')).toEqual(alice)
  expect(lookup('bob')).not.toBeInstanceOf(Promise)
  expect(lookup('guess3')).toEqual(unknown)
  expect(lookup('guess1')).toBeInstanceOf(Promise)
  await lookup('carol')
  // It was used longest ago.
  expect(lookup('alice')).toBeInstanceOf(Promise)
})

it('does not ask for names that nobody has', async () => {
  const server = await startHttpServer(() => ({ body: { ha1 } }))
  expect(make(server.url).lookup('a'.repeat(257))).toEqual(unknown)
  expect(server.asked).toEqual([])
})

it('has so many questions out, so many waiting, and none beyond', async () => {
  const server = await startHttpServer()
  const answers = held(server)
  const { lookup } = make(server.url, { max_concurrent: 2, max_queue: 1 })
  const [first, second, third, fourth] = ['a', 'b', 'c', 'd'].map((name) => lookup(name))
  expect(await fourth).toEqual(unavailable)
  await eventually(() => answers.length).toBe(2)
  answers[0]?.({ status: 404 })
  await eventually(() => answers.length).toBe(3)
  for (const answer of answers) answer({ status: 404 })
  expect(await Promise.all([first, second, third])).toEqual([unknown, unknown, unknown])
})

it('nobody waits longer for their turn than for an answer', async () => {
  const server = await startHttpServer()
  const answers = held(server)
  const { lookup, clock } = make(server.url, { max_concurrent: 1, timeout: 5 })
  const [first, second, third] = [lookup('a'), lookup('b'), lookup('c')]
  await eventually(() => answers.length).toBe(1)
  clock.advance(5_001)
  const fourth = lookup('d')
  answers[0]?.({ status: 404 })
  expect(await Promise.all([first, second, third])).toEqual([unknown, unavailable, unavailable])
  await eventually(() => answers.length).toBe(2)
  answers[1]?.({ status: 404 })
  expect(await fourth).toEqual(unknown)
})

it.each<[string, Reply]>([
  ['an error', { status: 500 }],
  ['a refusal of our token', { status: 401 }],
  ['a redirect', { status: 302 }],
  ['no JSON', { body: 'hunter2' }],
  ['JSON that is no object', { body: '"hunter2"' }],
  ['neither HA1 nor password', { body: { hash: 'hunter2' } }],
  ['an HA1 of another hash', { body: { ha1: 'a'.repeat(64) } }],
  ['an HA1 that is no hex', { body: { ha1: 'z'.repeat(32) } }],
  ['an empty password', { body: { password: '' } }],
  ['a password that is no text', { body: { password: 1 } }],
  ['an answer without end', { body: ' '.repeat(ANSWER_OCTETS_MAX + 1) }],
])('%s is an outage, logged once, without what was said', async (_, reply) => {
  const server = await startHttpServer(() => reply)
  const { lookup, lines } = make(server.url, { bearer_token: 'token-hunter2' })
  expect(await lookup()).toEqual(unavailable)
  expect(await lookup()).toEqual(unavailable)
  expect(lines).toHaveLength(1)
  expect(lines[0]).toContain('auth.http: no answer')
  expect(lines[0]).not.toMatch(/hunter2|alice|http:\/\//)
})

it('silence is an outage when its time is over', async () => {
  const server = await startHttpServer()
  held(server)
  const { lookup, lines } = make(server.url, { timeout: 0.1 })
  expect(await lookup()).toEqual(unavailable)
  expect(lines[0]).toContain('TimeoutError')
})

it('an endpoint that is not there is an outage', async () => {
  const gone = createServer()
  await new Promise<void>((resolve) => gone.listen(0, '127.0.0.1', resolve))
  const { port } = gone.address() as { port: number }
  await new Promise((resolve) => gone.close(resolve))
  const { lookup, lines } = make(`http://127.0.0.1:${port}/`)
  expect(await lookup()).toEqual(unavailable)
  expect(lines[0]).toContain('ECONNREFUSED')
})

it('in an outage users that were known stay so, for a bounded time', async () => {
  const server = await startHttpServer(() => ({ body: { ha1 } }))
  const { lookup, clock } = make(server.url, { stale_ttl: 100 })
  await lookup()
  server.reply = () => ({ status: 503 })
  clock.advance(99_999)
  expect(await lookup()).toEqual(alice)
  clock.advance(1)
  expect(await lookup()).toEqual(unavailable)
})

it('an endpoint that is down is left alone, then tried by one question', async () => {
  const server = await startHttpServer(() => ({ status: 500 }))
  const { lookup, clock, lines } = make(server.url)
  for (let failure = 0; failure < FAILURES_MAX; failure++) await lookup(`user${failure}`)
  expect(lines.at(-1)).toContain('down')
  expect(await lookup()).toEqual(unavailable)
  expect(server.asked).toHaveLength(FAILURES_MAX)

  // It still fails: left alone for as long again.
  clock.advance(5_000)
  expect(await lookup()).toEqual(unavailable)
  expect(await lookup('bob')).toEqual(unavailable)
  expect(server.asked).toHaveLength(FAILURES_MAX + 1)

  clock.advance(5_000)
  const answers = held(server)
  const probe = lookup()
  await eventually(() => answers.length).toBe(1)
  expect(await lookup('bob')).toEqual(unavailable)
  answers[0]?.({ body: { ha1 } })
  expect(await probe).toEqual(alice)
  expect(lines.at(-1)).toContain('answers again')
  server.reply = () => ({ status: 404 })
  expect(await lookup('bob')).toEqual(unknown)
})

it('uses connections again, and closes them when it is closed', async () => {
  const server = await startHttpServer(() => ({ status: 404 }))
  const { lookup, users } = make(server.url, { max_concurrent: 1 })
  for (const name of ['a', 'b', 'c']) await lookup(name)
  expect(server.connections).toBe(1)
  const answers = held(server)
  const waiting = lookup('d')
  await eventually(() => answers.length).toBe(1)
  users.close()
  expect(await waiting).toEqual(unavailable)
  expect(await lookup('e')).toEqual(unavailable)
  await eventually(() => server.sockets.size).toBe(0)
})
