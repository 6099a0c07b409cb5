import { Buffer, isUtf8 } from 'node:buffer'
import { isIPv4, isIPv6, SocketAddress } from 'node:net'
import { DIGIT, HOST, isMadeOf, PASSWORD, runEnd, URI_HEADER, URI_PARAMETER, USER } from './characters.ts'
import { noParams, ParamList, type Params } from './params.ts'

/** A sip or sips URI (RFC 3261 section 19.1). */
export interface SipUri {
  readonly scheme: 'sip' | 'sips'
  /** Decoded once (S-10); may hold any character, NUL, CR and LF included. */
  readonly user: string | null
  readonly password: string | null
  /** In lower case; IPv6 in brackets. */
  readonly host: string
  readonly port: number | null
  /** Decoded once; names in lower case; null: a parameter without a value. Of a repeated one the first. */
  readonly params: Params
  /** As written, without the question mark. */
  readonly headers: string | null
  /** The whole URI as written: what to use when it goes into a message. */
  readonly text: string
}

/** The parts of a URI as written, its characters and escapes checked. */
interface Parts {
  readonly user: string | null
  readonly password: string | null
  /** In lower case. */
  readonly host: string
  readonly port: string | null
  readonly params: readonly (readonly [name: string, value: string | null])[]
  readonly headers: readonly (readonly [name: string, value: string])[] | null
}

// Escapes are looked at apart, so that no expression backtracks.
const badEscape = /%(?![\da-f]{2})/i
const escapes = /%([\da-f]{2})/gi
const scheme = /^(sips?):/i
const ipv6Reference = /^\[[\da-f:.]+\]/i
/** Underscores are no part of the grammar, but of names in use. */
const hostName = /^\w(?:[\w-]*\w)?(?:\.\w(?:[\w-]*\w)?)*\.?$/
/** What an escape may not be taken for when URIs are compared (S-9). */
const reserved = /[;/?:@&=+$,]/

const COLON = 0x3a
const BRACKET = 0x5b

/** Reads a URI; null when it is none of ours or malformed: outside the grammar, or with escapes that are not UTF-8. */
export function parseSipUri(text: string): SipUri | null {
  const parts = parseParts(text)
  if (parts === null) return null
  const user = parts.user === null ? null : decode(parts.user)
  const password = parts.password === null ? null : decode(parts.password)
  if (user === undefined || password === undefined) return null
  const params = parts.params.length === 0 ? noParams : decodeParams(parts.params)
  if (params === null) return null
  return {
    scheme: text.charCodeAt(3) === 0x3a ? 'sip' : 'sips',
    user,
    password,
    host: parts.host,
    port: parts.port === null ? null : Number(parts.port),
    params,
    headers: parts.headers === null ? null : text.slice(text.indexOf('?', Math.max(0, text.indexOf('@'))) + 1),
    text,
  }
}

function decodeParams(params: Parts['params']): Params | null {
  const decoded = new ParamList()
  for (const [name, value] of params) {
    const key = decode(name)?.toLowerCase()
    const content = value === null ? null : decode(value)
    if (key === undefined || content === undefined) return null
    decoded.add(key, content)
  }
  return decoded
}

function parseParts(text: string): Parts | null {
  const prefix = text.startsWith('sip:') ? 'sip:' : scheme.exec(text)?.[0]
  if (prefix === undefined) return null
  let at = prefix.length
  let user: string | null = null
  let password: string | null = null
  // Only escaped may an at-sign stand anywhere else, while ; ? and : may stand in a user part.
  const sign = text.indexOf('@', at)
  if (sign >= 0) {
    const colon = text.indexOf(':', at)
    const userEnd = colon >= 0 && colon < sign ? colon : sign
    user = text.slice(at, userEnd)
    if (user === '' || !isWritten(user, USER)) return null
    if (userEnd < sign) {
      password = text.slice(userEnd + 1, sign)
      if (!isWritten(password, PASSWORD)) return null
    }
    at = sign + 1
  }
  const question = text.indexOf('?', at)
  const paramsEnd = question < 0 ? text.length : question
  const semicolon = text.indexOf(';', at)
  const hostEnd = semicolon >= 0 && semicolon < paramsEnd ? semicolon : paramsEnd
  const colon = text.charCodeAt(at) === BRACKET ? referenceEnd(text, at) : runEnd(text, at, HOST)
  const host = readHost(text.slice(at, colon))
  if (host === null || colon > hostEnd) return null
  const port = colon === hostEnd ? null : text.slice(colon + 1, hostEnd)
  if (port !== null && (text.charCodeAt(colon) !== COLON || !isPort(port))) return null
  const params = hostEnd === paramsEnd ? [] : parseUriParams(text.slice(hostEnd + 1, paramsEnd))
  const headers = question < 0 ? null : parseUriHeaders(text.slice(question + 1))
  if (params === null || headers === undefined) return null
  return { user, password, host, port, params, headers }
}

function parseUriParams(text: string): Parts['params'] | null {
  const params: (readonly [string, string | null])[] = []
  for (const part of text.split(';')) {
    const equals = part.indexOf('=')
    const name = equals < 0 ? part : part.slice(0, equals)
    const value = equals < 0 ? null : part.slice(equals + 1)
    if (name === '' || value === '') return null
    if (!isWritten(name, URI_PARAMETER) || (value !== null && !isWritten(value, URI_PARAMETER))) return null
    params.push([name, value])
  }
  return params
}

function parseUriHeaders(text: string): Parts['headers'] | undefined {
  const headers: (readonly [string, string])[] = []
  for (const part of text.split('&')) {
    const equals = part.indexOf('=')
    if (equals <= 0) return undefined
    const name = part.slice(0, equals)
    const value = part.slice(equals + 1)
    if (!isWritten(name, URI_HEADER) || !isWritten(value, URI_HEADER)) return undefined
    headers.push([name, value])
  }
  return headers
}

/** Whether the text has only characters of a set, and whole escapes. */
function isWritten(text: string, set: number): boolean {
  return isMadeOf(text, set) && (!text.includes('%') || !badEscape.test(text))
}

function referenceEnd(text: string, at: number): number {
  return at + (ipv6Reference.exec(text.slice(at))?.[0].length ?? 0)
}

/** Hosts as they were written, and in lower case: most of those that come are the same few. */
const knownHosts: { readonly written: string; readonly host: string }[] = []
const knownMax = 4
let oldest = 0

/**
 * A host in lower case; null when the text is none: a name, an IPv4 address, or an IPv6 address in brackets. Mostly the
 * same text for the same host, so that Maps know it, and none that keeps a message.
 */
export function readHost(text: string): string | null {
  for (const known of knownHosts) if (known.written === text) return known.host
  if (!isHostAnew(text)) return null
  // A copy: what it was cut from is a whole message.
  const written = Buffer.from(text, 'latin1').toString('latin1')
  const known = { written, host: written.toLowerCase() }
  knownHosts[oldest] = known
  oldest = (oldest + 1) % knownMax
  return known.host
}

function isHostAnew(host: string): boolean {
  if (host.startsWith('[')) return host.endsWith(']') && isIPv6(host.slice(1, -1))
  // Only addresses end in a label that begins with a digit.
  const end = host.endsWith('.') ? host.length - 1 : host.length
  const first = host.charCodeAt(host.lastIndexOf('.', end - 1) + 1)
  return first >= 0x30 && first <= 0x39 ? isIPv4(host) : hostName.test(host)
}

function isPort(digits: string): boolean {
  return isMadeOf(digits, DIGIT) && digits.length <= 5 && Number(digits) >= 1 && Number(digits) <= 65_535
}

/** The text with its escapes decoded once (S-10); undefined when their octets are not UTF-8: no two texts may become one. */
function decode(text: string): string | undefined {
  if (!text.includes('%')) return text
  const octets = Buffer.from(text.replace(escapes, unescapeOctet), 'latin1')
  return isUtf8(octets) ? octets.toString('utf8') : undefined
}

function unescapeOctet(_escaped: string, hex: string): string {
  return String.fromCharCode(Number.parseInt(hex, 16))
}

/** The text in the one form in which texts that are equal by S-9 are the same: escapes only where they must be. */
function canonical(text: string): string {
  return text.replace(escapes, (escaped, hex: string) => {
    const octet = Number.parseInt(hex, 16)
    const character = String.fromCharCode(octet)
    return octet < 0x20 || octet > 0x7e || octet === 0x25 || reserved.test(character)
      ? escaped.toUpperCase()
      : character
  })
}

function canonicalHost(host: string): string {
  if (!host.startsWith('[')) return host.toLowerCase()
  return `[${new SocketAddress({ address: host.slice(1, -1), family: 'ipv6' }).address.toLowerCase()}]`
}

/** Parameters that make a difference even when only one URI has them (S-9). */
const decisive = ['transport', 'user', 'ttl', 'method', 'maddr'] as const

/** Whether two URIs are equal (S-9). Not transitive: parameters that only one has mostly do not count. */
export function sipUriEqual(a: SipUri, b: SipUri): boolean {
  if (a.scheme !== b.scheme || a.port !== b.port || canonicalHost(a.host) !== canonicalHost(b.host)) return false
  if (a.text === b.text) return true
  const left = parseParts(a.text)
  const right = parseParts(b.text)
  if (left === null || right === null) return false
  return (
    sameText(left.user, right.user) &&
    sameText(left.password, right.password) &&
    sameParams(left.params, right.params) &&
    sameHeaders(left.headers, right.headers)
  )
}

function sameText(a: string | null, b: string | null): boolean {
  return a === null || b === null ? a === b : a === b || canonical(a) === canonical(b)
}

function sameParams(a: Parts['params'], b: Parts['params']): boolean {
  const left = canonicalParams(a)
  const right = canonicalParams(b)
  if (decisive.some((name) => left.has(name) !== right.has(name))) return false
  for (const [name, value] of left) if (right.has(name) && right.get(name) !== value) return false
  return true
}

function canonicalParams(params: Parts['params']): Map<string, string | null> {
  const byName = new Map<string, string | null>()
  for (const [name, value] of params) {
    const key = canonical(name).toLowerCase()
    if (!byName.has(key)) byName.set(key, value === null ? null : canonical(value).toLowerCase())
  }
  return byName
}

function sameHeaders(a: Parts['headers'], b: Parts['headers']): boolean {
  if (a === null || b === null) return a === b
  const sorted = (headers: NonNullable<Parts['headers']>) =>
    headers.map(([name, value]) => `${canonical(name)}=${canonical(value)}`.toLowerCase()).sort()
  const left = sorted(a)
  const right = sorted(b)
  return left.length === right.length && left.every((header, at) => header === right[at])
}

/**
 * The key of an address-of-record (S-60): `sip:user@host`, of sips URIs too, with the user decoded, the host in one form,
 * and the port only where it is not the scheme's own. Not a URI to be sent: the user may hold any character.
 */
export function aorOf(uri: SipUri): string {
  const host = canonicalHost(uri.host.endsWith('.') ? uri.host.slice(0, -1) : uri.host)
  const own = uri.scheme === 'sips' ? 5061 : 5060
  const port = uri.port === null || uri.port === own ? '' : `:${uri.port}`
  return uri.user === null ? `sip:${host}${port}` : `sip:${uri.user}@${host}${port}`
}
