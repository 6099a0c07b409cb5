/** The key file of `auth.jwt`. */
import type { Buffer } from 'node:buffer'
import { createPublicKey, type KeyObject } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { Result } from '../errors.ts'
import type { Config } from './schema.ts'

type JwtConfig = NonNullable<Config['auth']['jwt']>
export type TokenAlgorithm = NonNullable<JwtConfig['algorithms']>[number]

/** A key that tokens are checked with, and which of the algorithms it is a key for. */
export interface PublicKey {
  readonly key: KeyObject
  readonly algorithms: readonly TokenAlgorithm[]
}

/** Reads a public key, or the one of a certificate, from a PEM file. The error says what is wrong in a few words. */
export function readPublicKey(path: string, algorithms: readonly TokenAlgorithm[]): Result<PublicKey, string> {
  let pem: Buffer
  try {
    pem = readFileSync(path)
  } catch (error) {
    return { ok: false, error: unreadable('auth.jwt.public_key', error) }
  }
  let key: KeyObject
  try {
    key = createPublicKey(pem)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    return { ok: false, error: `auth.jwt.public_key: expected a PEM file of a public key or certificate (${code})` }
  }
  const fitting = algorithms.filter((algorithm) => fits(key, algorithm))
  if (fitting.length > 0) return { ok: true, value: { key, algorithms: fitting } }
  const list = algorithms.join(', ')
  return { ok: false, error: `auth.jwt.public_key: expected a key for one of ${list}; RSA keys have 2048 bits or more` }
}

const curves = { ES256: 'prime256v1', ES384: 'secp384r1', ES512: 'secp521r1' } as const

function fits(
  { asymmetricKeyType: type, asymmetricKeyDetails: details }: KeyObject,
  algorithm: TokenAlgorithm,
): boolean {
  switch (algorithm) {
    case 'RS256':
    case 'RS384':
    case 'RS512':
    case 'PS256':
    case 'PS384':
    case 'PS512':
      return type === 'rsa' && (details?.modulusLength ?? 0) >= 2048
    case 'ES256':
    case 'ES384':
    case 'ES512':
      return type === 'ec' && details?.namedCurve === curves[algorithm]
    case 'EdDSA':
      return type === 'ed25519'
    default:
      return false // for a shared secret
  }
}

/** The algorithms of tokens that are taken, see docs/config.md. */
export function algorithmsOf(jwt: JwtConfig): readonly TokenAlgorithm[] {
  return jwt.algorithms ?? (jwt.secret === undefined ? ['RS256', 'ES256', 'EdDSA'] : ['HS256'])
}

/** What is said of a file that cannot be read; `key` is the config key that names it. */
export function unreadable(key: string, error: unknown): string {
  const { code } = error as NodeJS.ErrnoException
  return `${key}: ${code === 'ENOENT' ? 'there is no such file' : `the file cannot be read (${code})`}`
}
