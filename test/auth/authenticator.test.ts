import { randomBytes } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import {
  Authenticator,
  type AuthenticatorOptions,
  type AuthOutcome,
  type AuthRequest,
} from '../../src/auth/authenticator.ts'
import { StaticUsers } from '../../src/auth/credentials.ts'
import { type DigestInput, digestResponse, hashA1, rspauth } from '../../src/auth/digest.ts'
import { parseChallenge, parseParameters } from '../../src/auth/header.ts'
import { NonceCounts, Nonces } from '../../src/auth/nonce.ts'
import { type Answer, answerChallenge } from './client.ts'
import { FakeClock } from './fake-clock.ts'

const realm = 'relay.test'
const uri = 'msrps://alice@relay.test;tcp'
const binding = 7
const lifeSeconds = 300
const alice = { username: 'alice', password: 's3cret ü:x' }

/** A relay's authenticator and a client's side of it. */
function relay(overrides: Partial<AuthenticatorOptions> = {}) {
  const clock = new FakeClock()
  const authenticator = new Authenticator({
    realm,
    algorithms: ['SHA-256', 'MD5'],
    qopRequired: true,
    users: new StaticUsers([alice]),
    nonces: new Nonces({ realm, key: randomBytes(32), lifeSeconds, clock }),
    counts: new NonceCounts(),
    ...overrides,
  })
  const verify = (authorization: readonly string[], request: Partial<AuthRequest> = {}) =>
    atOnce(authenticator.verify({ authorization, method: 'AUTH', uri, binding, ...request }))
  return {
    clock,
    verify,
    /** The values of a fresh challenge's headers. */
    challenges: (from = binding) => challengesOf(verify([], { binding: from })),
    /** Answers the first challenge given, or a fresh one. */
    send(answer: Partial<Answer> = {}, challenge?: string): AuthOutcome {
      const asked = challenge ?? challengesOf(verify([]))[0]!
      return verify([answerChallenge(asked, { ...alice, method: 'AUTH', uri, ...answer })])
    },
  }
}

/** What static users are judged by needs no promise. */
function atOnce(outcome: AuthOutcome | Promise<AuthOutcome>): AuthOutcome {
  if (outcome instanceof Promise) throw new Error('a promise')
  return outcome
}

function expectAccepted(outcome: AuthOutcome) {
  if (outcome.outcome !== 'accepted') throw new Error(JSON.stringify(outcome))
  return outcome
}

function challengesOf(outcome: AuthOutcome): readonly string[] {
  if (outcome.outcome !== 'challenge') throw new Error(`not a challenge: ${outcome.outcome}`)
  return outcome.challenges
}

function nonceOf(challenge: string): string {
  const parsed = parseChallenge(challenge)
  if (!parsed.ok) throw new Error(parsed.error)
  return parsed.value.nonce
}

function expectChallenge(outcome: AuthOutcome, reason: string, stale: boolean): void {
  expect(outcome).toMatchObject({ outcome: 'challenge', reason, stale })
  for (const challenge of challengesOf(outcome)) expect(parseChallenge(challenge)).toMatchObject({ value: { stale } })
}

describe('challenges', () => {
  it('answer a request without credentials, one an algorithm in the configured order (R-20, D-8, D-12)', () => {
    const outcome = relay().verify([])
    expectChallenge(outcome, 'no-credentials', false)
    const parsed = challengesOf(outcome).map((challenge) => parseChallenge(challenge))
    expect(parsed).toMatchObject([
      { value: { realm, algorithm: 'SHA-256', qop: ['auth'], stale: false } },
      { value: { realm, algorithm: 'MD5', qop: ['auth'], stale: false } },
    ])
    expect(challengesOf(outcome)[0]).not.toMatch(/stale|domain|auth-int|-sess/) // D-10
  })

  it('with MD5 switched off offer the other only (D-12)', () => {
    expect(relay({ algorithms: ['SHA-256'] }).challenges()).toEqual([expect.stringContaining('algorithm=SHA-256')])
  })

  it('bring a fresh nonce each time (R-20)', () => {
    const { challenges } = relay()
    expect(nonceOf(challenges()[0]!)).not.toBe(nonceOf(challenges()[0]!))
  })

  it('answer Basic, which is no credentials (D-10)', () => {
    expectChallenge(relay().verify(['Basic YWxpY2U6c2VjcmV0']), 'no-credentials', false)
  })

  it('answer credentials for other realms', () => {
    expectChallenge(relay().send({ realm: 'other.test' }), 'other-realm', false)
  })
})

describe('right credentials', () => {
  it.each([0, 1])('are accepted for offer %i, with rspauth, cnonce, nc and qop in return (R-22, D-3)', (offer) => {
    const { send, challenges } = relay()
    const challenge = challenges()[offer]!
    const outcome = expectAccepted(send({ cnonce: 'c"\\x', nc: '0000000a' }, challenge))
    expect(outcome.username).toBe('alice')
    const algorithm = offer === 0 ? 'SHA-256' : 'MD5'
    const ha1 = hashA1(algorithm, alice.username, realm, alice.password)
    const proof = rspauth({
      algorithm,
      ha1,
      uri,
      nonce: nonceOf(challenge),
      qop: 'auth',
      nc: '0000000a',
      cnonce: 'c"\\x',
    })
    expect(parseParameters(outcome.authenticationInfo ?? '')).toEqual({
      ok: true,
      value: new Map(Object.entries({ rspauth: proof, cnonce: 'c"\\x', nc: '0000000a', qop: 'auth' })),
    })
  })

  it('are MD5 when they name no algorithm (D-12)', () => {
    const { send, challenges } = relay()
    expect(send({ parameters: { algorithm: null } }, challenges()[1]).outcome).toBe('accepted')
  })

  it('are found among those for other realms and other schemes, and beside unreadable ones', () => {
    const { verify, challenges } = relay()
    const own = answerChallenge(challenges()[0]!, { ...alice, method: 'AUTH', uri })
    const foreign = answerChallenge('Digest realm="other.test", nonce="n"', { ...alice, method: 'AUTH', uri })
    expect(verify([foreign, 'Basic eA==', 'Digest x', own]).outcome).toBe('accepted')
  })

  it('may leave out the uri, or have one that is equal by the injected rule, hashed as the client wrote it (D-11)', () => {
    expect(relay().send({ parameters: { uri: null } }).outcome).toBe('accepted')
    const uriEqual = (given: string, meant: string) => given.toLowerCase() === meant.toLowerCase()
    expect(relay({ uriEqual }).send({ uri: uri.toUpperCase() }).outcome).toBe('accepted')
  })

  it('may use a nonce again with a higher nc (D-5)', () => {
    const { send, challenges } = relay()
    const [challenge] = challenges()
    expect(send({ nc: '00000001' }, challenge).outcome).toBe('accepted')
    expect(send({ nc: '00000002' }, challenge).outcome).toBe('accepted')
  })

  it('may write their hex digits in capitals (D-1)', () => {
    const { verify, challenges } = relay()
    const answer = answerChallenge(challenges()[0]!, { ...alice, method: 'AUTH', uri })
    const capitals = answer.replace(/(?<=response=")[^"]*/, (digits) => digits.toUpperCase())
    expect(verify([capitals]).outcome).toBe('accepted')
  })
})

describe('wrong credentials (R-20)', () => {
  it.each<[string, Partial<Answer>]>([
    ['a wrong password', { password: 'wrong' }],
    ['an unknown user', { username: 'mallory' }],
    ['another user’s name', { parameters: { username: '"mallory"' } }],
    ['another method', { method: 'SEND' }],
    ['another count than was hashed', { parameters: { nc: '00000002' } }],
    ['another cnonce than was hashed', { parameters: { cnonce: '"d"' } }],
    ['another nonce than was hashed', { parameters: { nonce: '"n"' } }],
    ['a response as long as another hash’s', { parameters: { response: `"${'0'.repeat(32)}"` } }],
    ['another algorithm than was hashed', { parameters: { algorithm: 'MD5' } }],
  ])('%s is challenged anew, without stale', (_, answer) => {
    expectChallenge(relay().send(answer), 'wrong-credentials', false)
  })

  it('the HA1 that stands in for unknown users opens nothing (D-14)', () => {
    const { verify, challenges } = relay()
    const nonce = nonceOf(challenges()[0]!)
    const input: DigestInput = {
      algorithm: 'SHA-256',
      ha1: '0'.repeat(64),
      method: 'AUTH',
      uri,
      nonce,
      qop: 'auth',
      nc: '00000001',
      cnonce: 'c',
    }
    const response = digestResponse(input)
    const value = `Digest username="mallory", realm="${realm}", nonce="${nonce}", algorithm=SHA-256, qop=auth, nc=00000001, cnonce="c", response="${response}"`
    expectChallenge(verify([value]), 'wrong-credentials', false)
  })

  it('do not use up the count of their nonce (D-5)', () => {
    const { send, challenges } = relay()
    const [challenge] = challenges()
    expectChallenge(send({ password: 'wrong', nc: '00000005' }, challenge), 'wrong-credentials', false)
    expect(send({ nc: '00000001' }, challenge).outcome).toBe('accepted')
  })

  it.each(['SHA-512-256', 'MD5-sess', 'SHA-256-sess', 'token'])('%s was not offered (D-10, D-12)', (algorithm) => {
    expectChallenge(relay().send({ parameters: { algorithm } }), 'unknown-algorithm', false)
  })
})

describe('right credentials with a nonce that cannot be used', () => {
  it('are stale when it expired, and accepted with the new one (R-20, D-13)', () => {
    const { send, challenges, clock } = relay()
    const [challenge] = challenges()
    clock.advance(lifeSeconds * 1000 + 1)
    const outcome = send({}, challenge)
    expectChallenge(outcome, 'stale', true)
    expect(send({}, challengesOf(outcome)[0]).outcome).toBe('accepted')
  })

  it('are not stale when the password is wrong besides (R-20)', () => {
    const { send, challenges, clock } = relay()
    const [challenge] = challenges()
    clock.advance(lifeSeconds * 1000 + 1)
    expectChallenge(send({ password: 'wrong' }, challenge), 'wrong-credentials', false)
  })

  it('are stale when it was issued on another connection (D-13)', () => {
    const { send, challenges } = relay()
    expectChallenge(send({}, challenges(binding + 1)[0]), 'stale', true)
  })

  it('are refused when it is not ours, and asked to be sent again: we may have restarted (D-13)', () => {
    const outcome = relay().send({}, relay().challenges()[0])
    expectChallenge(outcome, 'forged', true)
  })

  it('are refused when its count repeats or falls, with a fresh nonce (D-5)', () => {
    const { send, challenges } = relay()
    const [challenge] = challenges()
    expect(send({ nc: '00000002' }, challenge).outcome).toBe('accepted')
    for (const nc of ['00000002', '00000001']) {
      const outcome = send({ nc }, challenge)
      expectChallenge(outcome, 'replayed', true)
      expect(nonceOf(challengesOf(outcome)[0]!)).not.toBe(nonceOf(challenge!))
    }
  })

  it('are stale when its count had to be forgotten (D-5)', () => {
    const { send, challenges } = relay({ counts: new NonceCounts(1) })
    const [challenge] = challenges()
    expect(send({}, challenge).outcome).toBe('accepted')
    expect(send().outcome).toBe('accepted')
    expectChallenge(send({ nc: '00000002' }, challenge), 'stale', true)
  })
})

describe('malformed credentials (D-6)', () => {
  it.each<[string, Record<string, string | null>]>([
    ['missing-qop', { qop: null }],
    ['missing-nc', { nc: null }],
    ['missing-cnonce', { cnonce: null }],
    ['bad-qop', { qop: 'auth-int' }],
    ['bad-nc', { nc: '1' }],
    ['missing-parameter', { response: null }],
    ['two-usernames', { 'username*': "UTF-8''alice" }],
    ['wrong-uri', { uri: '"msrps://alice@other.test;tcp"' }],
  ])('%s (D-10, D-11)', (reason, parameters) => {
    expect(relay().send({ parameters })).toEqual({ outcome: 'malformed', reason })
  })

  it('outweigh those for other realms, since they may have been meant for us', () => {
    const { verify } = relay()
    const foreign = answerChallenge('Digest realm="other.test", nonce="n"', { ...alice, method: 'AUTH', uri })
    expect(verify([foreign, 'Digest x'])).toEqual({ outcome: 'malformed', reason: 'syntax' })
    expect(verify(['Digest x', foreign])).toEqual({ outcome: 'malformed', reason: 'syntax' })
  })
})

describe('SIP', () => {
  const sip = { qopRequired: false, algorithms: ['SHA-256', 'MD5', 'MD5-sess'] } as const

  it('takes credentials without qop from very old clients, once a nonce (D-2, D-9, D-5)', () => {
    const { send, challenges } = relay(sip)
    const challenge = challenges()[1]!
    const outcome = expectAccepted(send({ qop: false }, challenge))
    const ha1 = hashA1('MD5', alice.username, realm, alice.password)
    const proof = rspauth({ algorithm: 'MD5', ha1, uri, nonce: nonceOf(challenge), qop: null })
    expect(outcome.authenticationInfo).toBe(`rspauth="${proof}"`)
    expectChallenge(send({ qop: false }, challenge), 'replayed', true)
  })

  it('may offer a session form (D-7)', () => {
    const { send, challenges } = relay(sip)
    expect(send({}, challenges()[2]).outcome).toBe('accepted')
    expectChallenge(send({ password: 'wrong' }, challenges()[2]), 'wrong-credentials', false)
  })
})

it('no outcome but the fresh challenge and the proof holds a secret (D-14)', () => {
  const { send, challenges, clock } = relay()
  const [challenge] = challenges()
  const nonce = nonceOf(challenge!)
  const secrets = [alice.password, nonce, hashA1('SHA-256', alice.username, realm, alice.password)]
  const outcomes = [
    send({}, challenge),
    send({}, challenge),
    send({ password: 'wrong' }, challenge),
    send({ parameters: { cnonce: null } }, challenge),
    send({ parameters: { response: `"${nonce}"` } }, challenge),
    send({ parameters: { nc: `"${nonce}"` } }, challenge),
    send({ parameters: { algorithm: nonce } }, challenge),
  ]
  clock.advance(lifeSeconds * 1000 + 1)
  outcomes.push(send({}, challenge))
  expect(new Set(outcomes.map(({ outcome }) => outcome))).toEqual(new Set(['accepted', 'challenge', 'malformed']))
  for (const outcome of outcomes) {
    for (const secret of secrets) expect(JSON.stringify(outcome)).not.toContain(secret)
  }
})
