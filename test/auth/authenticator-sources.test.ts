import { randomBytes } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { Authenticator, type AuthenticatorOptions, type AuthOutcome } from '../../src/auth/authenticator.ts'
import { type CredentialSource, type Lookup, StaticUsers, unavailable } from '../../src/auth/credentials.ts'
import type { TokenVerdict, TokenVerifier } from '../../src/auth/jwt.ts'
import { NonceCounts, Nonces } from '../../src/auth/nonce.ts'
import { answerChallenge } from './client.ts'
import { FakeClock } from './fake-clock.ts'

const realm = 'relay.test'
const uri = 'msrps://alice@relay.test;tcp'
const alice = { username: 'alice', password: 'secret' }

function make(options: Partial<AuthenticatorOptions> = {}, key: Uint8Array = randomBytes(32)) {
  return new Authenticator({
    realm,
    algorithms: ['MD5'],
    qopRequired: true,
    users: new StaticUsers([alice]),
    nonces: new Nonces({ realm, key, lifeSeconds: 300, clock: new FakeClock() }),
    counts: new NonceCounts(),
    ...options,
  })
}

const ask = (authenticator: Authenticator, authorization: readonly string[], binding = 7) =>
  authenticator.verify({ authorization, method: 'AUTH', uri, binding })

async function challengesOf(outcome: AuthOutcome | Promise<AuthOutcome>): Promise<readonly string[]> {
  const judged = await outcome
  if (judged.outcome !== 'challenge') throw new Error(`not a challenge: ${judged.outcome}`)
  return judged.challenges
}

/** Answers a fresh challenge. */
async function send(authenticator: Authenticator, answer: { username?: string; password?: string } = {}) {
  const [challenge = ''] = await challengesOf(ask(authenticator, []))
  return ask(authenticator, [answerChallenge(challenge, { ...alice, method: 'AUTH', uri, ...answer })])
}

function source(answer: Lookup | Promise<Lookup>): CredentialSource {
  return { lookup: () => answer, close: () => {} }
}

describe('a source', () => {
  const known = (...passwords: string[]): Lookup => ({
    outcome: 'known',
    username: 'alice',
    secrets: passwords.map((password) => ({ password })),
  })

  it('that answers later is waited for, and judged the same', async () => {
    const users = source(Promise.resolve(known('secret')))
    expect(await send(make({ users }))).toMatchObject({ outcome: 'accepted', username: 'alice' })
    expect(await send(make({ users }), { password: 'wrong' })).toMatchObject({ reason: 'wrong-credentials' })
  })

  it('that is unavailable says nothing about the password', async () => {
    expect(await send(make({ users: source(unavailable) }))).toEqual({ outcome: 'unavailable' })
    expect(await send(make({ users: source(Promise.resolve(unavailable)) }))).toEqual({ outcome: 'unavailable' })
  })

  it('decides what the user is called, whatever the name that was hashed', async () => {
    const authenticator = make({ users: source(known('secret')) })
    expect(await send(authenticator, { username: '1750000000:alice' })).toMatchObject({
      outcome: 'accepted',
      username: 'alice',
    })
  })

  it('may know several secrets of a user, each with its own proof (R-22)', async () => {
    const authenticator = make({ users: source(known('old', 'new')) })
    const [old, recent] = [
      await send(authenticator, { password: 'old' }),
      await send(authenticator, { password: 'new' }),
    ]
    expect([old.outcome, recent.outcome]).toEqual(['accepted', 'accepted'])
    expect(await send(authenticator, { password: 'other' })).toMatchObject({ reason: 'wrong-credentials' })
  })

  it('that knows a user without a secret lets nobody in, with an empty password neither (D-14)', async () => {
    for (const answer of [known(), { outcome: 'unknown' } as const]) {
      const outcome = await send(make({ users: source(answer) }), { password: '' })
      expect(outcome).toMatchObject({ outcome: 'challenge', reason: 'wrong-credentials' })
    }
  })
})

describe('lanes with the same key', () => {
  it('refuse a nonce of another lane that is shown with another binding (D-13, D-5)', async () => {
    const key = randomBytes(32)
    const [one, other] = [make({}, key), make({}, key)]
    const [challenge = ''] = await challengesOf(ask(one, [], 7))
    const answer = answerChallenge(challenge, { ...alice, method: 'AUTH', uri })
    expect(await ask(one, [answer], 7)).toMatchObject({ outcome: 'accepted' })
    // What it was accepted for is not to be had again elsewhere, where its use was not counted.
    expect(await ask(other, [answer], 8)).toMatchObject({ outcome: 'challenge', reason: 'stale', stale: true })
    expect(await ask(one, [answer], 7)).toMatchObject({ outcome: 'challenge', reason: 'replayed' })
  })
})

describe('tokens', () => {
  function verifier(verdict: TokenVerdict, authzServer: string | null = null) {
    const seen: string[] = []
    const tokens: TokenVerifier = {
      authzServer,
      verify: async (token) => {
        seen.push(token)
        return verdict
      },
      close: () => {},
    }
    return { tokens, seen }
  }
  const good: TokenVerdict = { outcome: 'accepted', username: 'carol' }

  it('are asked for beside digests, last', async () => {
    const { tokens } = verifier(good, 'https://idp.test/')
    expect(await challengesOf(ask(make({ tokens }), []))).toEqual([
      expect.stringMatching(/^Digest /),
      'Bearer realm="relay.test", authz_server="https://idp.test/"',
    ])
  })

  it('that are good need no password, and nothing is proved in return (R-22)', async () => {
    const { tokens, seen } = verifier(good)
    const outcome = await ask(make({ tokens }), ['Basic eA==', 'Bearer abc'])
    expect(outcome).toEqual({ outcome: 'accepted', username: 'carol', authenticationInfo: null })
    expect(seen).toEqual(['abc'])
  })

  it.each(['wrong-token', 'expired-token'] as const)(
    'that are not are refused with a fresh challenge: %s',
    async (reason) => {
      const { tokens } = verifier({ outcome: 'refused', reason })
      const outcome = await ask(make({ tokens }), ['Bearer abc'])
      expect(outcome).toMatchObject({ outcome: 'challenge', reason, stale: false })
      expect((await challengesOf(outcome)).at(-1)).toBe('Bearer realm="relay.test", error="invalid_token"')
    },
  )

  it('that cannot be judged now are not refused', async () => {
    const { tokens } = verifier({ outcome: 'unavailable' })
    expect(await ask(make({ tokens }), ['Bearer abc'])).toEqual({ outcome: 'unavailable' })
  })

  it('leave those who have a password alone', async () => {
    const { tokens, seen } = verifier(good)
    expect(await send(make({ tokens }))).toMatchObject({ outcome: 'accepted', username: 'alice' })
    expect(seen).toEqual([])
  })

  it('that cannot be read are malformed (D-6)', () => {
    const { tokens } = verifier(good)
    expect(ask(make({ tokens }), ['Bearer a b'])).toEqual({ outcome: 'malformed', reason: 'syntax' })
  })

  it('are no credentials where none are taken (D-10)', () => {
    expect(ask(make(), ['Bearer abc'])).toMatchObject({ outcome: 'challenge', reason: 'no-credentials' })
    expect(ask(make(), ['Bearer a b'])).toMatchObject({ outcome: 'challenge', reason: 'no-credentials' })
  })
})
