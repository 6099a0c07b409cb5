import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { formatProblems, loadConfig, parseConfig } from '../../src/config/load.ts'

function problemsOf(text: string): string[] {
  const parsed = parseConfig(text, 'relay.yaml')
  return parsed.ok ? [] : formatProblems(parsed.error).split('\n')
}

function authOf(text: string) {
  const parsed = parseConfig(text, '/etc/silopath/relay.yaml')
  if (!parsed.ok) throw new Error(formatProblems(parsed.error))
  return parsed.value.auth
}

const secret = 'x'.repeat(32)

it('sources have their defaults, and are off unless they are written', () => {
  expect(authOf('{}')).toStrictEqual({ users: [], algorithms: ['SHA-256', 'MD5'], nonce_lifetime: 300 })
  const text = `
auth:
  ephemeral: { secrets: [${secret}] }
  http: { url: "https://users.test/ask" }
  jwt: { secret: ${secret} }`
  expect(authOf(text)).toMatchObject({
    ephemeral: { secrets: [secret], hmac: 'SHA-256' },
    http: {
      url: 'https://users.test/ask',
      headers: [],
      timeout: 2,
      max_concurrent: 8,
      max_queue: 1024,
      positive_ttl: 60,
      negative_ttl: 5,
      stale_ttl: 3600,
      cache_size: 10_000,
      retry_after: 5,
    },
    jwt: { secret, username_claim: 'sub', clock_skew: 30, timeout: 5, cache_ttl: 600, cooldown: 30, stale_ttl: 86_400 },
  })
})

it('paths start from the folder of the config file', () => {
  const auth = authOf('auth: { users_file: users.jsonl, jwt: { public_key: keys/idp.pem } }')
  expect(auth.users_file).toBe('/etc/silopath/users.jsonl')
  expect(auth.jwt?.public_key).toBe('/etc/silopath/keys/idp.pem')
})

describe('a problem of a source is told by its place, without secrets (D-14)', () => {
  it.each<[what: string, text: string, problem: string]>([
    [
      'a URL with a password',
      'auth: { http: { url: "https://me:hunter2@users.test/" } }',
      '1:22: auth.http.url: found text, expected an http:// or https:// URL without a user in it',
    ],
    [
      'no URL',
      'auth: { http: {} }',
      '1:15: auth.http.url: missing, expected an http:// or https:// URL without a user in it',
    ],
    [
      'a token that is none',
      'auth: { http: { url: "http://users.test/", bearer_token: "hunter 2" } }',
      '1:58: auth.http.bearer_token: found text, expected a bearer token',
    ],
    [
      'a header of two lines',
      'auth: { http: { url: "http://users.test/", headers: [{ name: a, value: "hunter2\\nb: c" }] } }',
      '1:72: auth.http.headers[0].value: found text, expected text of printable ASCII',
    ],
    [
      'a time out of range',
      'auth: { http: { url: "http://users.test/", timeout: 0 } }',
      '1:53: auth.http.timeout: found 0, expected a number from 0.1 to 60 (s)',
    ],
    [
      'a short secret',
      'auth: { ephemeral: { secrets: [hunter2] } }',
      '1:32: auth.ephemeral.secrets[0]: found text, expected text of 16 to 1024 characters',
    ],
    [
      'no secrets',
      'auth: { ephemeral: { secrets: [] } }',
      '1:31: auth.ephemeral.secrets: found a list, expected a list of 1 to 8 secrets of 16 to 1024 characters',
    ],
    [
      'a short secret of tokens',
      'auth: { jwt: { secret: hunter2 } }',
      '1:24: auth.jwt.secret: found text, expected text of 32 to 1024 characters',
    ],
    [
      'no key of tokens',
      'auth: { jwt: {} }',
      '1:14: auth.jwt: found a section, expected exactly one of secret, public_key and jwks_url',
    ],
    [
      'two keys of tokens',
      `auth: { jwt: { secret: ${secret}, public_key: a.pem } }`,
      '1:14: auth.jwt: found a section, expected exactly one of secret, public_key and jwks_url',
    ],
    [
      'a public key taken for a secret',
      'auth: { jwt: { public_key: a.pem, algorithms: [RS256, HS256] } }',
      '1:55: auth.jwt.algorithms[1]: found "HS256", expected an algorithm for public keys: RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA',
    ],
    [
      'a secret taken for a public key',
      `auth: { jwt: { secret: ${secret}, algorithms: [RS256] } }`,
      '1:71: auth.jwt.algorithms[0]: found "RS256", expected an algorithm for secret: HS256, HS384, HS512',
    ],
    [
      'no algorithm at all',
      `auth: { jwt: { secret: ${secret}, algorithms: [none] } }`,
      '1:71: auth.jwt.algorithms[0]: found "none", expected one of HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA',
    ],
    [
      'keys of others without an audience',
      'auth: { jwt: { jwks_url: "https://idp.test/keys" } }',
      '1:14: auth.jwt.audience: missing, expected the audience of our tokens, since the keys of jwks_url sign those of others too',
    ],
    [
      'a misspelt key',
      'auth: { http: { url: "http://users.test/", time_out: 1 } }',
      '1:44: auth.http.time_out: unknown key; did you mean timeout?',
    ],
  ])('%s', (_, text, problem) => {
    expect(problemsOf(text)).toEqual([`relay.yaml:${problem}`])
  })
})

describe('the files that are named', () => {
  let folder: string
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'silopath-auth-'))
  })
  afterEach(() => rm(folder, { recursive: true }))

  const load = async (text: string) => {
    await writeFile(join(folder, 'relay.yaml'), text)
    const loaded = await loadConfig(join(folder, 'relay.yaml'))
    return loaded.ok ? [] : formatProblems(loaded.error).replaceAll(`${folder}/`, '').split('\n')
  }

  it('are read with the config: problems of a users file by line and column', async () => {
    const text = 'auth: { users_file: users.jsonl }'
    expect(await load(text)).toEqual(['users.jsonl: auth.users_file: there is no such file'])
    await writeFile(join(folder, 'users.jsonl'), '\n{ "username": "a", "password": 1 }\n{}\n')
    expect(await load(text)).toEqual([
      'users.jsonl:2:20: password: expected text (digits alone need quotes)',
      'users.jsonl:3:1: username: expected text of 1 to 128 characters without a colon',
    ])
    await writeFile(join(folder, 'users.jsonl'), '{ "username": "a", "password": "1" }')
    expect(await load(text)).toEqual([])
  })

  it('a key has to be one, and to fit the algorithms', async () => {
    const text = 'auth: { jwt: { public_key: key.pem } }'
    expect(await load(text)).toEqual(['key.pem: auth.jwt.public_key: there is no such file'])
    await writeFile(join(folder, 'key.pem'), 'hunter2')
    const [problem] = await load(text)
    expect(problem).toMatch(
      /^key\.pem: auth\.jwt\.public_key: expected a PEM file of a public key or certificate \(\w+\)$/,
    )
    const pem = (pair: { readonly publicKey: KeyObject }) => pair.publicKey.export({ type: 'spki', format: 'pem' })
    await writeFile(join(folder, 'key.pem'), pem(generateKeyPairSync('rsa', { modulusLength: 1024 })))
    expect(await load(text)).toEqual([
      'key.pem: auth.jwt.public_key: expected a key for one of RS256, ES256, EdDSA; RSA keys have 2048 bits or more',
    ])
    await writeFile(join(folder, 'key.pem'), pem(generateKeyPairSync('ec', { namedCurve: 'prime256v1' })))
    expect(await load(text)).toEqual([])
  })
})
