import {
  type DigestInput,
  digestResponse,
  hashA1,
  hashOf,
  type Protection,
  parseAlgorithm,
} from '../../src/auth/digest.ts'
import { parseChallenge } from '../../src/auth/header.ts'

/** A client that knows a password; each part of what it sends can be made wrong. */
export interface Answer {
  readonly username: string
  readonly password: string
  readonly method: string
  readonly uri: string
  readonly nc?: string
  readonly cnonce?: string
  /** Without: credentials as before RFC 2617 (D-2). */
  readonly qop?: boolean
  readonly nonce?: string
  readonly realm?: string
  /** Parameters replaced, or left out when null, after the response was computed. */
  readonly parameters?: Readonly<Record<string, string | null>>
}

/** The value of the Authorization header that answers the value of a WWW-Authenticate header. */
export function answerChallenge(challenge: string, answer: Answer): string {
  const parsed = parseChallenge(challenge)
  if (!parsed.ok) throw new Error(`not a challenge: ${parsed.error}`)
  const { realm = parsed.value.realm, nonce = parsed.value.nonce, nc = '00000001', cnonce = '0a4f113b' } = answer
  const { username, password, method, uri, qop = true } = answer
  const algorithm = parseAlgorithm(parsed.value.algorithm)
  if (algorithm === null) throw new Error(`no such algorithm: ${parsed.value.algorithm}`)
  const protection: Protection = qop ? { qop: 'auth', nc, cnonce } : { qop: null }
  const ha1 = hashA1(hashOf(algorithm), username, realm, password)
  const input: DigestInput = { algorithm, ha1, method, uri, nonce, ...protection }
  const parameters: Record<string, string | null> = {
    username: quoted(username),
    realm: quoted(realm),
    nonce: quoted(nonce),
    uri: quoted(uri),
    response: quoted(digestResponse(input)),
    algorithm,
    ...(qop && { qop: 'auth', nc, cnonce: quoted(cnonce) }),
    ...answer.parameters,
  }
  const sent = Object.entries(parameters).filter(([, value]) => value !== null)
  return `Digest ${sent.map(([name, value]) => `${name}=${value}`).join(', ')}`
}

export function quoted(text: string): string {
  return `"${text.replace(/["\\]/g, (character) => `\\${character}`)}"`
}
