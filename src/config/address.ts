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

/** What peers speak with us. */
export type Protocol = 'msrp' | 'sip'

/** What carries it. */
export type ListenTransport = 'udp' | 'tcp' | 'tls' | 'ws' | 'wss'

/**
 * What each scheme of a listen URL stands for. Where there are two protocols, a WebSocket's subprotocol tells which one is
 * spoken (W-1, S-25), elsewhere the first octets.
 */
export const listenSchemes: Readonly<
  Record<ListenScheme, { readonly transports: readonly ListenTransport[]; readonly protocols: readonly Protocol[] }>
> = {
  msrp: { transports: ['tcp'], protocols: ['msrp'] },
  msrps: { transports: ['tls'], protocols: ['msrp'] },
  // S-24: a UDP listener implies a TCP one on the same port.
  sip: { transports: ['tcp', 'udp'], protocols: ['sip'] },
  sips: { transports: ['tls'], protocols: ['sip'] },
  tcp: { transports: ['tcp'], protocols: ['msrp', 'sip'] },
  tls: { transports: ['tls'], protocols: ['msrp', 'sip'] },
  ws: { transports: ['ws'], protocols: ['msrp', 'sip'] },
  wss: { transports: ['wss'], protocols: ['msrp', 'sip'] },
}

export type ListenScheme = 'msrp' | 'msrps' | 'sip' | 'sips' | 'tcp' | 'tls' | 'ws' | 'wss'

/** Whether connections to listeners of this scheme are encrypted. */
export function isSecure(scheme: ListenScheme): boolean {
  const [transport] = listenSchemes[scheme].transports
  return transport === 'tls' || transport === 'wss'
}

/** A listener's address, read from its URL. */
export interface ListenAddress extends Endpoint {
  readonly scheme: ListenScheme
}

/** Reads a listen URL: a scheme, a host and an explicit port, and nothing behind them. */
export function parseListenUrl(url: string): Result<ListenAddress, string> {
  const [, scheme, rest] = /^([a-z][a-z0-9+.-]*):\/\/(.*)$/i.exec(url) ?? []
  if (scheme === undefined || rest === undefined) return refuse('the scheme is missing')
  const name = scheme.toLowerCase()
  if (!isListenScheme(name)) return refuse(`an unknown scheme; known are ${Object.keys(listenSchemes).join(', ')}`)
  if (rest.includes('@')) return refuse('users do not belong in a listen URL')
  if (/[/;?#]/.test(rest)) return refuse('nothing may follow the port')
  const endpoint = parseEndpoint(rest)
  return endpoint.ok ? { ok: true, value: { scheme: name, ...endpoint.value } } : endpoint
}

function isListenScheme(name: string): name is ListenScheme {
  return Object.hasOwn(listenSchemes, name)
}

/** The address in a text that the schema has let through. */
export function sound<Value>(result: Result<Value, string>): Value {
  if (!result.ok) throw new TypeError(`an address passed the schema that cannot be read: ${result.error}`)
  return result.value
}

function refuse(error: string): Result<never, string> {
  return { ok: false, error }
}
