import { randomBytes } from 'node:crypto'
import { digest, parseParameters } from './msrp-client.ts'
import type { TextResponse } from './sip-agent-message.ts'

export type SipDigestAlgorithm = 'MD5' | 'SHA-256'

export interface AuthOptions {
  readonly username?: string
  readonly password?: string
  /** The challenge to answer; otherwise the first this agent knows, which the server prefers (D-8). */
  readonly algorithm?: SipDigestAlgorithm
  /** Sends credentials in the first request, made with the nonce of the last challenge and the next nc (D-5). */
  readonly reuse?: boolean
  /** Changes the credentials before they are sent, for refusals: a wrong nonce, a repeated nc, a uri. */
  readonly tamper?: (credentials: Record<string, string>) => Record<string, string>
}

/** A challenge and how often its nonce was used. */
interface Challenge {
  readonly header: 'Authorization' | 'Proxy-Authorization'
  readonly parameters: Readonly<Record<string, string>>
  count: number
}

/** The client's side of digest authentication (D-1, D-4, D-8), with qop=auth. */
export class Authorizer {
  readonly #username: string
  readonly #password: string | null
  #last: Challenge | null = null

  constructor(username: string, password: string | null) {
    this.#username = username
    this.#password = password
  }

  /** Whether there is anything to answer a challenge with. */
  canAnswer(options: AuthOptions): boolean {
    return (options.password ?? this.#password) !== null
  }

  /** Notes the challenge of a 401 or 407. */
  note(response: TextResponse, { algorithm }: AuthOptions): void {
    const isProxy = response.status === 407
    const values = response.all(isProxy ? 'Proxy-Authenticate' : 'WWW-Authenticate')
    const offered = values.map((value) => parseParameters(value.replace(/^Digest +/i, '')))
    const known = algorithm === undefined ? ['SHA-256', 'MD5'] : [algorithm]
    const parameters = offered.find((one) => known.includes(one.algorithm ?? 'MD5'))
    if (parameters === undefined) throw new Error(`no ${known.join(' or ')} challenge among ${JSON.stringify(values)}`)
    if (parameters.qop !== 'auth') throw new Error(`a challenge without qop="auth" (D-9): ${JSON.stringify(values)}`)
    this.#last = { header: isProxy ? 'Proxy-Authorization' : 'Authorization', parameters, count: 0 }
  }

  /** The header that answers the last challenge; null before there was one. */
  header(method: string, uri: string, options: AuthOptions): readonly [name: string, value: string] | null {
    const challenge = this.#last
    const password = options.password ?? this.#password
    if (challenge === null || password === null) return null
    challenge.count++
    const { realm = '', nonce = '', algorithm = 'MD5', opaque } = challenge.parameters
    const username = options.username ?? this.#username
    const nc = challenge.count.toString(16).padStart(8, '0')
    const proof = { username, password, realm, nonce, uri, nc, cnonce: randomBytes(8).toString('hex'), qop: 'auth' }
    const untouched: Record<string, string> = {
      username,
      realm,
      nonce,
      uri,
      response: digest(algorithm, proof, method),
      cnonce: proof.cnonce,
      qop: 'auth',
      nc,
      algorithm,
      ...(opaque === undefined ? {} : { opaque }),
    }
    const credentials = options.tamper?.(untouched) ?? untouched
    return [challenge.header, `Digest ${write(credentials)}`]
  }
}

/** D-4: algorithm, qop and nc are never quoted, all else is. */
function write(parameters: Readonly<Record<string, string>>): string {
  const plain = ['algorithm', 'qop', 'nc']
  return Object.entries(parameters)
    .map(([name, value]) =>
      plain.includes(name) ? `${name}=${value}` : `${name}="${value.replace(/["\\]/g, '\\$&')}"`,
    )
    .join(', ')
}
