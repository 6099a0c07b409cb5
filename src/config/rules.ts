import type { z } from 'zod'
import { mapMemory, memorySizes, OCTETS_MAX } from '../workers/memory.ts'
import {
  type Endpoint,
  formatEndpoint,
  isSecure,
  listenSchemes,
  parseEndpoint,
  parseListenUrl,
  sound,
} from './address.ts'
import { tokenAlgorithms } from './auth-keys.ts'
import type { ConfigKeys } from './keys.ts'

type Context = z.core.$RefinementCtx<ConfigKeys>

/** A rule between keys: which keys it compares, and the check. Its messages complete "expected …". */
interface Rule {
  readonly keys: readonly (readonly string[])[]
  readonly check: (config: ConfigKeys, context: Context) => void
}

export const rules: readonly Rule[] = [
  {
    keys: [
      ['msrp', 'auth_min_expires'],
      ['msrp', 'auth_default_expires'],
      ['msrp', 'auth_max_expires'],
    ],
    check: checkExpires,
  },
  {
    keys: [['workers'], ['memory_mib'], ['max_connections'], ['msrp', 'max_sessions'], ['msrp', 'max_transactions']],
    check: checkMemory,
  },
  { keys: [['listen'], ['admin']], check: checkAddresses },
  { keys: [['listen']], check: checkCertificates },
  { keys: [['auth', 'algorithms']], check: checkAlgorithms },
  { keys: [['auth', 'users']], check: checkUsernames },
  {
    keys: [
      ['auth', 'users'],
      ['auth', 'algorithms'],
    ],
    check: checkHashes,
  },
  { keys: [['auth', 'jwt']], check: checkTokens },
  {
    keys: [
      ['silo', 'offline_message'],
      ['silo', 'content_type_hdr'],
    ],
    check: checkNotice,
  },
  { keys: [['msrp', 'store_failed'], ['silo', 'enabled'], ['listen']], check: checkStoreFailed },
]

function checkExpires({ msrp }: ConfigKeys, context: Context): void {
  const { auth_min_expires: min, auth_default_expires: usual, auth_max_expires: max } = msrp
  if (min <= usual && usual <= max) return
  context.addIssue({
    code: 'custom',
    path: ['msrp', 'auth_default_expires'],
    message: `auth_min_expires (${min}) <= auth_default_expires (${usual}) <= auth_max_expires (${max})`,
    params: { or: usual < min ? ['msrp', 'auth_min_expires'] : ['msrp', 'auth_max_expires'] },
  })
}

function checkMemory(config: ConfigKeys, context: Context): void {
  const mib = (octets: number) => Math.ceil(octets / 2 ** 20)
  const sizes = memorySizes(config)
  const { octets } = mapMemory(sizes)
  if (octets <= OCTETS_MAX) return
  context.addIssue({
    code: 'custom',
    path: ['memory_mib'],
    message: `workers, memory_mib, max_connections, max_sessions and max_transactions that take at most ${Math.floor(OCTETS_MAX / 2 ** 20)} MiB together (these take ${mib(octets)} with ${sizes.lanes} lanes)`,
    params: { or: ['workers'] },
  })
}

function checkAddresses({ listen, admin }: ConfigKeys, context: Context): void {
  const used = new Map<string, string>()
  const check = (endpoint: Endpoint, path: (string | number)[], name: string) => {
    const address = formatEndpoint(endpoint).toLowerCase()
    const other = used.get(address)
    if (endpoint.port === 0) return
    if (other === undefined) used.set(address, name)
    else context.addIssue({ code: 'custom', path, message: `an address that ${other} does not use` })
  }
  for (const [index, { url }] of listen.entries())
    check(sound(parseListenUrl(url)), ['listen', index, 'url'], `listen[${index}]`)
  if (admin) check(sound(parseEndpoint(admin.listen)), ['admin', 'listen'], 'admin')
}

function checkCertificates({ listen }: ConfigKeys, context: Context): void {
  for (const [index, listener] of listen.entries()) {
    const { scheme } = sound(parseListenUrl(listener.url))
    for (const key of ['cert', 'key', 'client_ca'] as const) {
      const given = listener[key] !== undefined
      const issue = (message: string) => context.addIssue({ code: 'custom', path: ['listen', index, key], message })
      if (given && !isSecure(scheme)) issue(`nothing, as ${scheme} has no TLS`)
      if (!given && isSecure(scheme) && key !== 'client_ca') issue(`a path, as ${scheme} needs a certificate`)
    }
  }
}

function checkAlgorithms({ auth }: ConfigKeys, context: Context): void {
  if (new Set(auth.algorithms).size === auth.algorithms.length) return
  context.addIssue({ code: 'custom', path: ['auth', 'algorithms', 1], message: 'each algorithm once' })
}

function checkUsernames({ auth }: ConfigKeys, context: Context): void {
  const seen = new Map<string, number>()
  for (const [index, { username }] of auth.users.entries()) {
    const first = seen.get(username)
    if (first === undefined) seen.set(username, index)
    else {
      const path = ['auth', 'users', index, 'username']
      context.addIssue({ code: 'custom', path, message: `each username once (see auth.users[${first}])` })
    }
  }
}

function checkHashes({ auth }: ConfigKeys, context: Context): void {
  for (const [index, user] of auth.users.entries()) {
    const wanted = missingHash(user, auth.algorithms)
    if (wanted !== null) context.addIssue({ code: 'custom', path: ['auth', 'users', index], message: wanted })
  }
}

type AuthKeys = ConfigKeys['auth']
const hashKeys = { MD5: 'ha1_md5', 'SHA-256': 'ha1_sha256' } as const

/** What a user without a password lacks to answer any of the challenges, to complete "expected …"; null: nothing. */
export function missingHash(
  user: AuthKeys['users'][number],
  algorithms: Readonly<AuthKeys['algorithms']>,
): string | null {
  if (user.password !== undefined || algorithms.some((algorithm) => user[hashKeys[algorithm]] !== undefined))
    return null
  return `${algorithms.map((algorithm) => hashKeys[algorithm]).join(' or ')}, as auth.algorithms asks for`
}

function checkTokens({ auth: { jwt } }: ConfigKeys, context: Context): void {
  if (jwt === undefined) return
  // An algorithm of the other kind would take a public key, which everybody knows, for a shared secret.
  const fitting: readonly string[] = jwt.secret === undefined ? tokenAlgorithms.public : tokenAlgorithms.secret
  for (const [index, algorithm] of (jwt.algorithms ?? []).entries()) {
    if (fitting.includes(algorithm)) continue
    const key = jwt.secret === undefined ? 'public keys' : 'secret'
    const message = `an algorithm for ${key}: ${fitting.join(', ')}`
    context.addIssue({ code: 'custom', path: ['auth', 'jwt', 'algorithms', index], message })
  }
  // The issuer's keys sign tokens for other services too.
  if (jwt.jwks_url !== undefined && jwt.audience === undefined) {
    const message = 'the audience of our tokens, since the keys of jwks_url sign those of others too'
    context.addIssue({ code: 'custom', path: ['auth', 'jwt', 'audience'], message })
  }
}

function checkNotice({ silo }: ConfigKeys, context: Context): void {
  // SILO-12
  if (silo.offline_message === undefined || silo.content_type_hdr !== undefined) return
  const message = 'a header line with the type of offline_message'
  context.addIssue({ code: 'custom', path: ['silo', 'content_type_hdr'], message })
}

/** What is kept is delivered as MESSAGE: by SIP, and from the silo. */
function checkStoreFailed({ msrp, silo, listen }: ConfigKeys, context: Context): void {
  const spoken = listen.some(({ url }) => listenSchemes[sound(parseListenUrl(url)).scheme].protocols.includes('sip'))
  if (!msrp.store_failed || (silo.enabled && spoken)) return
  const message = spoken ? 'silo.enabled with store_failed' : 'a listener that speaks SIP with store_failed'
  context.addIssue({ code: 'custom', path: ['msrp', 'store_failed'], message })
}
