import { hash } from 'node:crypto'
import { randomIdent } from '../sequence.ts'

const HASHES: Readonly<Record<string, string>> = { 'SHA-256': 'sha256', MD5: 'md5' }

/** What a user answers challenges with: HA1 is kept, so that a request costs two hashes, one when its URI is the last one's. */
export class Credentials {
  readonly #user: string
  readonly #password: string
  readonly #cnonce = randomIdent(8)
  #challenge: { realm: string; nonce: string; algorithm: string; before: string; ha1: string } | null = null
  #count = 0
  #a2 = ''
  #ha2 = ''

  constructor(user: string, password: string) {
    this.#user = user
    this.#password = password
  }

  /** Notes the first challenge of a 401 or 407 that we know, which the server prefers (D-8). False: there is none. */
  note(head: string): boolean {
    for (const [, proxy, value = ''] of head.matchAll(/\r\n(?:WWW|(Proxy))-Authenticate:[ \t]*Digest (.*)/gi)) {
      const parameter = (name: string) => new RegExp(`\\b${name}=(?:"([^"]*)"|([^\\s,]+))`, 'i').exec(value)
      const text = (name: string) => parameter(name)?.[1] ?? parameter(name)?.[2] ?? ''
      const algorithm = text('algorithm') || 'MD5'
      const name = HASHES[algorithm]
      if (name === undefined) continue
      const realm = text('realm')
      const nonce = text('nonce')
      const opaque = parameter('opaque') === null ? '' : `, opaque="${text('opaque')}"`
      const kept = this.#challenge
      const isSame = kept !== null && kept.realm === realm && kept.algorithm === algorithm
      this.#challenge = {
        realm,
        nonce,
        algorithm,
        before: `${proxy === undefined ? '' : 'Proxy-'}Authorization: Digest username="${this.#user}", realm="${realm}", nonce="${nonce}", algorithm=${algorithm}, qop=auth, cnonce="${this.#cnonce}"${opaque}`,
        ha1: isSame ? kept.ha1 : hash(name, `${this.#user}:${realm}:${this.#password}`),
      }
      if (!isSame) this.#a2 = ''
      this.#count = 0
      return true
    }
    return false
  }

  /** The header line for the last challenge, with the next nonce count (D-5); empty before there was one. */
  line(method: string, uri: string): string {
    const challenge = this.#challenge
    if (challenge === null) return ''
    const name = HASHES[challenge.algorithm] ?? ''
    const a2 = `${method}:${uri}`
    if (a2 !== this.#a2) {
      this.#a2 = a2
      this.#ha2 = hash(name, a2)
    }
    const nc = (++this.#count).toString(16).padStart(8, '0')
    const response = hash(name, `${challenge.ha1}:${challenge.nonce}:${nc}:${this.#cnonce}:auth:${this.#ha2}`)
    return `${challenge.before}, uri="${uri}", nc=${nc}, response="${response}"\r\n`
  }
}
