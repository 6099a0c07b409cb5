/** The headers that are kept with a message, and sent with it again (SILO-6, SILO-23). */
import { Buffer } from 'node:buffer'
import { ownHeaders } from '../config/silo-keys.ts'
import type { Result } from '../errors.ts'
import {
  SH_ID,
  SH_NAME,
  SH_NAME_LENGTH,
  SH_VALUE,
  SH_VALUE_LENGTH,
  SI_HEADER_COUNT,
  SI_TABLE,
  SIP_H_CONTENT_ENCODING,
  SIP_H_OTHER,
  SIP_H_REFER_TO,
  SIP_H_REFERRED_BY,
  SIP_H_SUBJECT,
  SIP_HEADER_WORDS,
} from '../parser/kernel/sip-record.ts'
import type { SipRequest } from '../parser/sip/message.ts'
import { trimBlanks, unfold } from '../parser/sip/values.ts'

/** Header lines in order, name and value. */
export type StoredHeaders = readonly (readonly [name: string, value: string])[]

/** Lines that a routing gives take at most this many octets. Those of a request take no more than its head did. */
export const extraHeadersOctetsMax = 16_384

/**
 * Of the headers that the kernel tells apart, those that say something about the body or the text. Kamailio keeps none of
 * these; without the first a body cannot be read.
 */
const keptIds = new Set([SIP_H_CONTENT_ENCODING, SIP_H_SUBJECT, SIP_H_REFER_TO, SIP_H_REFERRED_BY])

/** Of all others, those that are of no use to a later request; P-Preferred-Identity is a word to us alone (S-55). */
const left = new Set(
  [
    'accept accept-encoding accept-language accept-resource-priority allow authentication-info date flow-timer identity-info',
    'max-breadth message-id min-expires min-se p-preferred-identity proxy-authenticate proxy-authentication-info retry-after security-client',
    'security-server security-verify server service-route sip-etag sip-if-match subscription-state timestamp unsupported',
    'user-agent warning www-authenticate',
  ].flatMap((names) => names.split(' ')),
)

const token = /^[\w\-.!%*+`'~]+$/
const controls = /[\u0000-\u001f\u007f]+/g

/** What is kept of a request's headers. `trusted`: it comes from a peer, whose word on identities is taken (S-55). */
export function keptHeaders(request: SipRequest, trusted: boolean): string {
  const { index, octets } = request
  const end = SI_TABLE + index[SI_HEADER_COUNT]! * SIP_HEADER_WORDS
  let kept = ''
  for (let entry = SI_TABLE; entry < end; entry += SIP_HEADER_WORDS) {
    const id = index[entry + SH_ID]!
    if (id !== SIP_H_OTHER && !keptIds.has(id)) continue
    const nameStart = index[entry + SH_NAME]!
    const name = octets.toString('latin1', nameStart, nameStart + index[entry + SH_NAME_LENGTH]!)
    const lower = name.toLowerCase()
    if (left.has(lower) || (!trusted && lower === 'p-asserted-identity')) continue
    const start = index[entry + SH_VALUE]!
    const value = octets.toString('utf8', start, start + index[entry + SH_VALUE_LENGTH]!)
    kept += `${name}: ${value.includes('\r\n') ? unfold(value) : value}\r\n`
  }
  return kept
}

/** Reads lines that a routing gives, ended by CRLF or LF; the error says in a few words what is wrong. */
export function readExtraHeaders(text: string): Result<string, string> {
  if (Buffer.byteLength(text) > extraHeadersOctetsMax) return { ok: false, error: 'too long' }
  let read = ''
  for (const line of text.split(/\r?\n/)) {
    if (line === '') continue
    const header = parseLine(line)
    if (header === null) return { ok: false, error: 'not header lines' }
    const [name, value] = header
    if (ownHeaders.has(name.toLowerCase())) return { ok: false, error: `${name} is the server's to write` }
    read += `${name}: ${value}\r\n`
  }
  return { ok: true, value: read }
}

/**
 * The headers of a stored message. One that was not stored by us but imported may hold anything: what is no header line is
 * left out, and so is what the server writes itself.
 */
export function storedHeaders(text: string): StoredHeaders {
  const headers: (readonly [string, string])[] = []
  for (const line of text.split('\r\n')) {
    const header = parseLine(line)
    if (header !== null && !ownHeaders.has(header[0].toLowerCase())) headers.push(header)
  }
  return headers
}

/** Null: no header. Control characters in the value become blanks: none may end its line. */
function parseLine(line: string): readonly [name: string, value: string] | null {
  const colon = line.indexOf(':')
  const name = trimBlanks(line.slice(0, Math.max(0, colon)))
  return token.test(name) ? [name, trimBlanks(line.slice(colon + 1).replace(controls, ' '))] : null
}

/** The first value of a header by its name in any case; null: there is none. */
export function headerOf(headers: StoredHeaders, wanted: string): string | null {
  const lower = wanted.toLowerCase()
  return headers.find(([name]) => name.toLowerCase() === lower)?.[1] ?? null
}
