import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import {
  type DigestAlgorithm,
  type DigestInput,
  digestResponse,
  digestsEqual,
  hashA1,
  hashOf,
  hashSessionA1,
  type Protection,
  parseAlgorithm,
  rspauth,
} from '../../src/auth/digest.ts'

interface DigestCase {
  algorithm: string
  username: string
  realm: string
  password: string
  method: string
  uri: string
  nonce: string
  nc: string | null
  cnonce: string | null
  qop: 'auth' | 'auth-int' | null
  body: string
  ha1: string
  response: string
  rspauth: string
}

const vectors: { cases: DigestCase[] } = JSON.parse(
  readFileSync(new URL('../vectors/digest.json', import.meta.url), 'utf8'),
)

function protectionOf({ qop, nc, cnonce, body }: DigestCase): Protection {
  if (qop === null) return { qop }
  if (nc === null || cnonce === null) throw new Error('a case with qop has nc and cnonce')
  return qop === 'auth' ? { qop, nc, cnonce } : { qop, nc, cnonce, body }
}

function algorithmOf(token: string): DigestAlgorithm {
  const algorithm = parseAlgorithm(token)
  if (algorithm === null) throw new Error(`no such algorithm: ${token}`)
  return algorithm
}

describe('the digest vectors (D-1, D-2, D-3, D-7)', () => {
  it('are all here', () => {
    expect(vectors.cases).toHaveLength(16)
  })

  for (const [index, vector] of vectors.cases.entries()) {
    it(`${index}: ${vector.algorithm} ${vector.qop ?? 'no qop'} ${vector.method} ${vector.uri}`, () => {
      const algorithm = algorithmOf(vector.algorithm)
      const ha1 = hashA1(hashOf(algorithm), vector.username, vector.realm, vector.password)
      const sessionHa1 =
        algorithm === hashOf(algorithm)
          ? ha1
          : hashSessionA1(hashOf(algorithm), ha1, vector.nonce, vector.cnonce ?? 'none')
      const { method, uri, nonce } = vector
      const input: DigestInput = { algorithm, ha1, method, uri, nonce, ...protectionOf(vector) }
      expect(sessionHa1).toBe(vector.ha1)
      expect(digestResponse(input)).toBe(vector.response)
      expect(rspauth(input)).toBe(vector.rspauth)
    })
  }
})

it('RFC 7616 §3.9.2 with SHA-512-256 and a UTF-8 username, as corrected by erratum 4897 (D-7)', () => {
  const algorithm = 'SHA-512-256'
  const response = digestResponse({
    algorithm,
    ha1: hashA1(algorithm, 'Jäsøn Doe', 'api@example.org', 'Secret, or not?'),
    method: 'GET',
    uri: '/doe.json',
    nonce: '5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK',
    qop: 'auth',
    nc: '00000001',
    cnonce: 'NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v',
  })
  expect(response).toBe('3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5')
})

describe('algorithm tokens (D-7)', () => {
  it('ignore case', () => {
    expect(parseAlgorithm('md5')).toBe('MD5')
    expect(parseAlgorithm('sha-256')).toBe('SHA-256')
    expect(parseAlgorithm('Sha-512-256-SESS')).toBe('SHA-512-256-sess')
  })

  it('that nobody defined are null, names of object properties too', () => {
    for (const token of ['', 'SHA-1', 'SHA256', 'MD5-', '-sess', 'constructor'])
      expect(parseAlgorithm(token)).toBeNull()
  })

  it('name the hash whose HA1 is stored', () => {
    expect(hashOf('MD5-sess')).toBe('MD5')
    expect(hashOf('SHA-512-256')).toBe('SHA-512-256')
  })
})

describe('comparison of digests (D-14)', () => {
  it('ignores the case of hex digits', () => {
    expect(digestsEqual('00ff', '00FF')).toBe(true)
  })

  it('tells different digests and different lengths apart, also in octets only', () => {
    expect(digestsEqual('00ff', '00fe')).toBe(false)
    expect(digestsEqual('00ff', '00ff00ff')).toBe(false)
    expect(digestsEqual('00ff', '00fé')).toBe(false)
  })
})
