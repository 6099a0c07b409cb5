import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SignJWT } from 'jose'
import { describe, expect, it, onTestFinished } from 'vitest'
import { type JwtOptions, JwtVerifier, VERIFYING_MAX } from '../../src/auth/jwt.ts'
import { FakeClock } from './fake-clock.ts'
import { keptLog, startHttpServer } from './http-server.ts'

const secret = 'a secret of thirty-two octets...'
const lifeSeconds = 600
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
const ec = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
const wrong = { outcome: 'refused', reason: 'wrong-token' }
const accepted = { outcome: 'accepted', username: 'alice' }

function make(options: Partial<JwtOptions>) {
  const clock = new FakeClock()
  const { log, lines } = keptLog()
  const defaults = { username_claim: 'sub', clock_skew: 30, timeout: 5, cache_ttl: 600, cooldown: 30, stale_ttl: 3600 }
  const verifier = new JwtVerifier({ ...defaults, ...options }, clock, log)
  onTestFinished(() => verifier.close())
  const now = () => Math.floor(clock.now() / 1000)
  return {
    clock,
    lines,
    verifier,
    token(
      claims: Readonly<Record<string, unknown>> = {},
      { key = Buffer.from(secret), ...header }: { key?: Uint8Array | KeyObject; alg?: string; kid?: string } = {},
    ) {
      const payload = { sub: 'alice', exp: now() + lifeSeconds, ...claims }
      return new SignJWT(payload).setProtectedHeader({ alg: 'HS256', ...header }).sign(key)
    },
  }
}

/** A PEM file of a key. */
async function keyFile(key: KeyObject): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'silopath-key-'))
  onTestFinished(() => rm(folder, { recursive: true }))
  const path = join(folder, 'key.pem')
  await writeFile(path, key.export({ type: 'spki', format: 'pem' }))
  return path
}

describe('a token of a shared secret', () => {
  it('names its user', async () => {
    const { verifier, token } = make({ secret })
    expect(await verifier.verify(await token())).toEqual(accepted)
  })

  it('is good until its expiry, give or take the clocks', async () => {
    const { verifier, token, clock } = make({ secret })
    const good = await token()
    clock.advance((lifeSeconds + 29) * 1000)
    expect(await verifier.verify(good)).toEqual(accepted)
    clock.advance(1000)
    expect(await verifier.verify(good)).toEqual({ outcome: 'refused', reason: 'expired-token' })
  })

  it.each<[string, Partial<JwtOptions>, Record<string, unknown>]>([
    ['without an expiry', {}, { exp: undefined }],
    ['not good yet', {}, { nbf: 1_750_000_000 + 31 }],
    ['of another issuer', { issuer: 'us' }, { iss: 'them' }],
    ['of no issuer', { issuer: 'us' }, {}],
    ['for another audience', { audience: 'us' }, { aud: ['them'] }],
    ['for no audience', { audience: 'us' }, {}],
    ['without a user', {}, { sub: undefined }],
    ['with a username that is no text', { username_claim: 'n' }, { n: 1 }],
    ['with a username that is none', {}, { sub: 'sip:alice' }],
    ['with an empty username', {}, { sub: '' }],
    ['with a username of two lines', {}, { sub: 'a\nb' }],
    ['with a claim that objects have by themselves', { username_claim: 'toString' }, {}],
  ])('%s is refused', async (_, options, claims) => {
    const { verifier, token } = make({ secret, ...options })
    expect(await verifier.verify(await token(claims))).toEqual(wrong)
  })

  it('may be for several audiences, and name its user otherwise', async () => {
    const { verifier, token } = make({ secret, issuer: 'idp', audience: 'us', username_claim: 'nick' })
    const claims = { iss: 'idp', aud: ['them', 'us'], sub: '17', nick: 'alice' }
    expect(await verifier.verify(await token(claims))).toEqual(accepted)
  })

  it('of another secret, another algorithm or none is refused', async () => {
    const { verifier, token } = make({ secret })
    const body = Buffer.from(JSON.stringify({ sub: 'alice', exp: 9_999_999_999 })).toString('base64url')
    const none = `${Buffer.from('{"alg":"none"}').toString('base64url')}.${body}.`
    const tokens = [
      await token({}, { key: Buffer.from(secret.toUpperCase()) }),
      await token({}, { alg: 'HS512', key: Buffer.from(secret + secret) }),
      await token({}, { alg: 'RS256', key: rsa.privateKey }),
      none,
      'x',
      'x.y.z',
      `${await token()}x`,
    ]
    for (const one of tokens) expect(await verifier.verify(one)).toEqual(wrong)
  })

  it('beyond the bound of those being verified is not judged', async () => {
    const { verifier, token } = make({ secret })
    const good = await token()
    const verdicts = await Promise.all(Array.from({ length: VERIFYING_MAX + 1 }, () => verifier.verify(good)))
    expect(verdicts.slice(0, -1)).toEqual(Array(VERIFYING_MAX).fill(accepted))
    expect(verdicts.at(-1)).toEqual({ outcome: 'unavailable' })
    expect(await verifier.verify(good)).toEqual(accepted)
  })
})

describe('a token of a public key', () => {
  it.each([
    ['RSA', rsa, 'RS256'],
    ['ECDSA', ec, 'ES256'],
    ['Ed25519', generateKeyPairSync('ed25519'), 'EdDSA'],
  ] as const)('%s is taken', async (_, pair, alg) => {
    const { verifier, token, lines } = make({ public_key: await keyFile(pair.publicKey) })
    expect(await verifier.verify(await token({}, { alg, key: pair.privateKey }))).toEqual(accepted)
    expect(lines).toEqual([])
  })

  it('is refused with any other algorithm, above all with one that takes the public key for a secret', async () => {
    const { verifier, token, lines } = make({ public_key: await keyFile(rsa.publicKey) })
    const pem = Buffer.from(rsa.publicKey.export({ type: 'spki', format: 'pem' }))
    for (const one of [
      await token({}, { key: pem }),
      await token({}, { alg: 'ES256', key: ec.privateKey }),
      await token({}, { alg: 'RS512', key: rsa.privateKey }),
    ]) {
      expect(await verifier.verify(one)).toEqual(wrong)
    }
    expect(lines).toEqual([])
  })

  it('is not judged when the key file cannot be used', async () => {
    const { verifier, token, lines } = make({ public_key: await keyFile(ec.publicKey), algorithms: ['RS256'] })
    expect(await verifier.verify(await token())).toEqual({ outcome: 'unavailable' })
    expect(lines).toEqual([expect.stringContaining('expected a key for one of RS256')])
  })
})

describe('a token of published keys', () => {
  const jwk = (pair: { readonly publicKey: KeyObject }, kid: string) => ({
    ...pair.publicKey.export({ format: 'jwk' }),
    kid,
  })
  const audience = 'us'

  async function published(options: Partial<JwtOptions> = {}) {
    const keys = [jwk(rsa, 'old')]
    const server = await startHttpServer(() => ({ body: { keys } }))
    const made = make({ jwks_url: server.url, audience, ...options })
    const verify = async (kid: string, pair: { readonly privateKey: KeyObject } = rsa, alg = 'RS256') =>
      made.verifier.verify(await made.token({ aud: audience }, { kid, alg, key: pair.privateKey }))
    return { ...made, server, keys, verify }
  }

  it('is taken; keys are fetched when they are first needed, once for all, and again when they are old', async () => {
    const { server, verify, clock } = await published()
    expect(server.asked).toEqual([])
    expect(await Promise.all([verify('old'), verify('old')])).toEqual([accepted, accepted])
    expect(server.asked).toHaveLength(1)
    clock.advance(599_999)
    await verify('old')
    expect(server.asked).toHaveLength(1)
    clock.advance(1)
    expect(await verify('old')).toEqual(accepted)
    expect(server.asked).toHaveLength(2)
  })

  it('may be of a new key, for which the keys are fetched again, but not at once', async () => {
    const { server, keys, verify, clock } = await published()
    await verify('old')
    keys.push(jwk(ec, 'new'))
    expect(await verify('new', ec, 'ES256')).toEqual(wrong)
    expect(server.asked).toHaveLength(1)
    clock.advance(30_000)
    expect(await verify('new', ec, 'ES256')).toEqual(accepted)
    expect(await verify('unknown')).toEqual(wrong)
    expect(server.asked).toHaveLength(2)
  })

  it('is judged by old keys while there are no newer ones, for a bounded time', async () => {
    const { server, verify, clock } = await published()
    await verify('old')
    server.reply = () => ({ status: 500 })
    clock.advance(3_599_999)
    expect(await verify('old')).toEqual(accepted)
    // What key it is of cannot be known.
    expect(await verify('new')).toEqual({ outcome: 'unavailable' })
    clock.advance(1)
    expect(await verify('old')).toEqual({ outcome: 'unavailable' })
  })

  it.each(['x', '{}', '{"keys":[1]}'])('is not judged when what is published is no key set: %s', async (body) => {
    const { server, verify, lines } = await published()
    server.reply = () => ({ body })
    expect(await verify('old')).toEqual({ outcome: 'unavailable' })
    expect(lines).toEqual([expect.stringContaining('auth.jwt.jwks_url: no answer')])
  })

  it('is not judged by a key that cannot be used, which is logged now and then', async () => {
    const { keys, verify, lines, clock } = await published()
    const short = generateKeyPairSync('rsa', { modulusLength: 1024 })
    keys.push(jwk(short, 'short'))
    // jose does not sign with it either, so the signature is another key's.
    for (let round = 0; round < 2; round++) {
      expect(await verify('short')).toEqual({ outcome: 'unavailable' })
      expect(await verify('short')).toEqual({ outcome: 'unavailable' })
      clock.advance(60_000)
    }
    expect(lines.filter((line) => line.includes('cannot be used'))).toHaveLength(2)
  })
})
