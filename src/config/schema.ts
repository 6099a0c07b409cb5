import { resolve } from 'node:path'
import type { z } from 'zod'
import { type Endpoint, type ListenAddress, parseEndpoint, parseListenUrl, sound } from './address.ts'
import { type ConfigKeys, configKeys } from './keys.ts'
import { rules } from './rules.ts'

/**
 * The whole configuration as the operator writes it. A rule between keys runs although other keys are in error, so that
 * all problems are told at once, but not on keys that are in error themselves.
 */
export const configSchema = rules.reduce(
  (schema, { keys, check }) => schema.superRefine(check, { when: ({ issues }) => !issues.some(concerns(keys)) }),
  configKeys,
)

/** Whether an issue makes the value of one of the keys unsound. */
function concerns(keys: readonly (readonly string[])[]) {
  return ({ code, path = [] }: z.core.$ZodRawIssue) =>
    code !== 'unrecognized_keys' &&
    keys.some((key) => path.slice(0, key.length).every((segment, depth) => segment === key[depth]))
}

type DeepReadonly<T> = T extends readonly (infer Item)[]
  ? readonly DeepReadonly<Item>[]
  : T extends object
    ? { readonly [Key in keyof T]: DeepReadonly<T[Key]> }
    : T

/** A listener: the URL as written and the address in it. */
export interface ListenConfig extends ListenAddress {
  readonly url: string
  /** Files of a listener with TLS. */
  readonly cert?: string
  readonly key?: string
  readonly client_ca?: string
  /** What peers are told instead of host and port. */
  readonly advertise?: Endpoint
}

/** The admin server's address, as written and read. */
export interface AdminConfig extends Endpoint {
  readonly listen: string
}

/**
 * The configuration the program runs with: every default filled in, paths absolute, addresses read, deeply frozen.
 * Durations are in seconds, sizes as each key's description says.
 */
export type Config = DeepReadonly<Omit<ConfigKeys, 'listen' | 'tls' | 'admin' | 'msrp' | 'registrar'>> & {
  readonly listen: readonly ListenConfig[]
  readonly tls: { readonly ca?: string }
  readonly admin: false | AdminConfig
  readonly msrp: DeepReadonly<Omit<ConfigKeys['msrp'], 'realm'>> & { readonly realm: string }
  readonly registrar: DeepReadonly<Omit<ConfigKeys['registrar'], 'realm'>> & { readonly realm: string }
}

/** Makes what the schema let through ready to run; `folder` is what paths are relative to. */
export function completeConfig(parsed: ConfigKeys, folder: string): Config {
  const { listen, tls, admin, msrp, registrar, data_dir, domains, auth } = parsed
  return deepFreeze({
    ...parsed,
    data_dir: resolve(folder, data_dir),
    listen: listen.map((listener) => listenConfig(listener, folder)),
    tls: { ...(tls.ca !== undefined && { ca: resolve(folder, tls.ca) }) },
    admin: admin && { ...admin, ...sound(parseEndpoint(admin.listen)) },
    auth: withPaths(auth, folder),
    msrp: { ...msrp, realm: msrp.realm ?? domains[0]! },
    registrar: { ...registrar, realm: registrar.realm ?? domains[0]! },
  })
}

function listenConfig(listener: ConfigKeys['listen'][number], folder: string): ListenConfig {
  const { url, cert, key, client_ca, advertise } = listener
  return {
    url,
    ...sound(parseListenUrl(url)),
    ...(cert !== undefined && { cert: resolve(folder, cert) }),
    ...(key !== undefined && { key: resolve(folder, key) }),
    ...(client_ca !== undefined && { client_ca: resolve(folder, client_ca) }),
    ...(advertise !== undefined && { advertise: sound(parseEndpoint(advertise)) }),
  }
}

function withPaths(auth: ConfigKeys['auth'], folder: string): ConfigKeys['auth'] {
  const { users_file, jwt } = auth
  return {
    ...auth,
    ...(users_file !== undefined && { users_file: resolve(folder, users_file) }),
    ...(jwt?.public_key !== undefined && { jwt: { ...jwt, public_key: resolve(folder, jwt.public_key) } }),
  }
}

/** The configuration of an empty file in the current folder. */
export function defaultConfig(): Config {
  return completeConfig(configSchema.parse({}), process.cwd())
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) for (const inner of Object.values(value)) deepFreeze(inner)
  return Object.freeze(value)
}
