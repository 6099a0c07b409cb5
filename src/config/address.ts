import { isIPv6 } from 'node:net'
import type { Result } from '../errors.ts'

/** Where a socket listens or is reached. An IPv6 host stands here without its brackets, as node:net takes it. */
export interface Endpoint {
  readonly host: string
  /** 0 … 65535; 0 asks the operating system for any free port. */
  readonly port: number
}

const shape = /^(\[[^\]]*\]|[^:[\]/@\s]*)(?::([^:]*))?$/

/** Reads `host:port`, `1.2.3.4:port` or `[v6]:port`; the error says in a few words what is wrong with the text. */
export function parseEndpoint(text: string): Result<Endpoint, string> {
  if (isIPv6(text) || isIPv6(text.replace(/:\d+$/, ''))) return refuse('an IPv6 address stands in brackets')
  const [, host, port] = shape.exec(text) ?? []
  if (host === undefined) return refuse('not a host and a port')
  const bare = host.startsWith('[') ? host.slice(1, -1) : host
  if (host.startsWith('[') && !isIPv6(bare)) return refuse('no IPv6 address between the brackets')
  if (!host.startsWith('[') && !isHostName(host)) return refuse(host === '' ? 'the host is missing' : 'not a host name')
  if (port === undefined || port === '') return refuse('the port is missing')
  if (!/^\d{1,5}$/.test(port) || Number(port) > 65_535) return refuse('the port is not a number up to 65535')
  return { ok: true, value: { host: bare, port: Number(port) } }
}

/** `host:port` as URLs and Use-Path write it: an IPv6 host in brackets. */
export function formatEndpoint({ host, port }: Endpoint): string {
  return isIPv6(host) ? `[${host}]:${port}` : `${host}:${port}`
}

/** A DNS host name or an IPv4 address (RFC 3986's reg-name without escapes). */
export function isHostName(text: string): boolean {
  return text.length <= 253 && /^[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*\.?$/i.test(text)
}

/** Schemes a listener can have in this version, and those that are known but not built in yet. */
const schemes = ['msrp']
const laterSchemes = ['msrps', 'sip', 'sips', 'tcp', 'tls', 'ws', 'wss']

/** A listener's address, read from its URL. */
export interface ListenAddress extends Endpoint {
  readonly scheme: 'msrp'
}

/** Reads a listen URL: a scheme of this version, a host and an explicit port, and nothing behind them. */
export function parseListenUrl(url: string): Result<ListenAddress, string> {
  const [, scheme, rest] = /^([a-z][a-z0-9+.-]*):\/\/(.*)$/i.exec(url) ?? []
  if (scheme === undefined || rest === undefined) return refuse('the scheme is missing')
  const name = scheme.toLowerCase()
  if (laterSchemes.includes(name)) return refuse(`${name} is not supported by this version`)
  if (!schemes.includes(name)) return refuse('an unknown scheme')
  if (rest.includes('@')) return refuse('users do not belong in a listen URL')
  if (/[/;?#]/.test(rest)) return refuse('nothing may follow the port')
  const endpoint = parseEndpoint(rest)
  return endpoint.ok ? { ok: true, value: { scheme: 'msrp', ...endpoint.value } } : endpoint
}

/** The address in a text that the schema has let through. */
export function sound<Value>(result: Result<Value, string>): Value {
  if (!result.ok) throw new TypeError(`an address passed the schema that cannot be read: ${result.error}`)
  return result.value
}

function refuse(error: string): Result<never, string> {
  return { ok: false, error }
}
