import { ANY_URI, BARE_URI, DIGIT, HOST, isMadeOf, PLAIN_VALUE, runEnd, SCHEME, TOKEN } from './characters.ts'
import { sameMethod } from './methods.ts'
import { noParams, ParamList, type Params } from './params.ts'
import { parseSipUri, readHost, type SipUri } from './uri.ts'

// Values of headers, as unfolded text (S-2). Nothing here goes over a character more than a few times: a value may be as
// long as a line may be.

/** What Contact, From, To, Route and their like hold: a URI with a name before it and parameters after it. */
export interface NameAddr {
  /** Without its quotes; null: none. */
  readonly displayName: string | null
  /** null: not a sip or sips URI, or a malformed one. */
  readonly uri: SipUri | null
  readonly uriText: string
  /** The header's parameters, not the URI's (S-8): names in lower case, values without quotes. Of a repeated one the first. */
  readonly params: Params
  /** The whole value as it came. */
  readonly text: string
  readonly tag: string | null
}

/** One value of Via. */
export interface Via {
  /** The transport, in upper case. */
  readonly protocol: string
  /** In lower case; IPv6 in brackets. */
  readonly host: string
  readonly port: number | null
  readonly branch: string | null
  /** `asked`: without a value (S-21); null: there is none. */
  readonly rport: 'asked' | 'given' | null
  /** '' when it has no value. */
  readonly maddr: string | null
  readonly params: Params
  readonly text: string
}

export interface CSeq {
  /** Below 2^32 (S-7). */
  readonly number: number
  readonly method: string
}

const QUOTE = 0x22
const COMMA = 0x2c
const SEMICOLON = 0x3b
const LESS = 0x3c
const EQUALS = 0x3d
const BACKSLASH = 0x5c
const COLON = 0x3a
const BRACKET = 0x5b
const ZERO = 0x30
const NINE = 0x39

const version = 'SIP/2.0/'
const usualProtocols = ['TCP', 'UDP', 'TLS', 'WSS', 'WS']
const sentProtocol = /^[\w\-.!%*+`'~]+[ \t]*\/[ \t]*[\w\-.!%*+`'~]+[ \t]*\/[ \t]*([\w\-.!%*+`'~]+)/i
const ipv6Reference = /\[[\da-f:.]+\]/iy

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09
}

/** First place from `at` on that is no blank. */
function skipBlanks(text: string, at: number): number {
  while (isBlank(text.charCodeAt(at))) at++
  return at
}

/** Without the blanks around it: SP and HTAB, nothing else that Unicode has. */
export function trimBlanks(text: string): string {
  const start = skipBlanks(text, 0)
  let end = text.length
  while (end > start && isBlank(text.charCodeAt(end - 1))) end--
  return text.slice(start, end)
}

/** The value of a folded header: each fold, with the blanks around it, counts as one SP (S-2). */
export function unfold(value: string): string {
  return value.split('\r\n').map(trimBlanks).filter(Boolean).join(' ')
}

/** The place after the quote that closes the one at `at`, or -1. */
export function quotedEnd(text: string, at: number): number {
  for (let i = at + 1; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code === BACKSLASH) i++
    else if (code === QUOTE) return i + 1
  }
  return -1
}

/** What stands between the quotes at `start` and before `end`, its escapes resolved. */
function unquote(text: string, start: number, end: number): string {
  const inner = text.slice(start + 1, end - 1)
  return inner.includes('\\') ? inner.replace(/\\(.)/gs, '$1') : inner
}

/** A text as quoted-string, for a value that is no token. */
export function quote(text: string): string {
  return `"${text.replace(/["\\]/g, '\\$&')}"`
}

/** First place from `at` on of a comma outside quotes and <>, or the text's end (S-2, S-3). */
export function valueEnd(text: string, at: number): number {
  if (!text.includes(',', at)) return text.length
  for (let i = at; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code === COMMA) return i
    if (code === QUOTE || code === LESS) {
      const end = code === QUOTE ? quotedEnd(text, i) : text.indexOf('>', i) + 1
      if (end <= 0) return text.length
      i = end - 1
    }
  }
  return text.length
}

/** Splits at commas outside quotes and <>; parts may be empty. */
export function splitList(text: string): string[] {
  const parts: string[] = []
  let at = 0
  for (;;) {
    const end = valueEnd(text, at)
    parts.push(trimBlanks(text.slice(at, end)))
    if (end === text.length) return parts
    at = end + 1
  }
}

/** Names that most parameters have, by their length: found where they stand, not cut out. */
const usualNames = [null, 'q', 'lr', 'tag', null, 'rport', 'branch', 'expires', 'received', 'transport'] as const

/** Such a name, if it stands from `start` to `end`. */
function usualName(text: string, start: number, end: number): string | null {
  const usual = usualNames[end - start] ?? null
  return usual !== null && text.startsWith(usual, start) ? usual : null
}

/** Parameters from `at` to the text's end, each with its semicolon; null when they are malformed or one is empty (S-13). */
function parseParams(text: string, at: number): Params | null {
  at = skipBlanks(text, at)
  if (at === text.length) return noParams
  const params = new ParamList()
  while (at < text.length) {
    if (text.charCodeAt(at) !== SEMICOLON) return null
    const start = skipBlanks(text, at + 1)
    const nameEnd = runEnd(text, start, TOKEN)
    if (nameEnd === start) return null
    const name = usualName(text, start, nameEnd) ?? text.slice(start, nameEnd).toLowerCase()
    let value: string | null = null
    at = skipBlanks(text, nameEnd)
    if (text.charCodeAt(at) === EQUALS) {
      at = skipBlanks(text, at + 1)
      if (text.charCodeAt(at) === QUOTE) {
        const end = quotedEnd(text, at)
        if (end < 0) return null
        value = unquote(text, at, end)
        at = end
      } else {
        const end = runEnd(text, at, PLAIN_VALUE)
        if (end === at) return null
        value = text.slice(at, end)
        at = end
      }
      at = skipBlanks(text, at)
    }
    params.add(name, value)
  }
  return params
}

class NameAddrValue implements NameAddr {
  readonly displayName: string | null
  readonly uriText: string
  readonly params: Params
  readonly text: string
  #uri: SipUri | null | undefined

  constructor(displayName: string | null, uriText: string, params: Params, text: string) {
    this.displayName = displayName
    this.uriText = uriText
    this.params = params
    this.text = text
  }

  /** Read when it is asked for: most From and To URIs never are. */
  get uri(): SipUri | null {
    if (this.#uri === undefined) this.#uri = parseSipUri(this.uriText)
    return this.#uri
  }

  get tag(): string | null {
    return this.params.get('tag') ?? null
  }
}

/** Whether the text has the form of a URI of any scheme. */
export function isAbsoluteUri(text: string): boolean {
  const colon = runEnd(text, 0, SCHEME)
  const rest = colon + 1
  return (
    isLetter(text.charCodeAt(0)) &&
    text.charCodeAt(colon) === COLON &&
    rest < text.length &&
    isMadeOf(text, ANY_URI, rest)
  )
}

function isDigit(code: number): boolean {
  return code >= ZERO && code <= NINE
}

function isLetter(code: number): boolean {
  const lower = code | 0x20
  return lower >= 0x61 && lower <= 0x7a
}

/** Where the tokens and blanks that a text begins with end. */
function wordsEnd(text: string): number {
  let end = 0
  for (let next = -1; next !== end; ) {
    next = end
    end = skipBlanks(text, runEnd(text, end, TOKEN))
  }
  return end
}

/** Reads one value of Contact, From, To, Route or the like; null when it is malformed (S-8, S-13). */
export function parseNameAddr(value: string): NameAddr | null {
  const text = trimBlanks(value)
  let displayName: string | null = null
  let at = 0
  if (text.charCodeAt(0) === QUOTE) {
    const end = quotedEnd(text, 0)
    if (end < 0) return null
    displayName = unquote(text, 0, end)
    at = skipBlanks(text, end)
    if (text.charCodeAt(at) !== LESS) return null
  } else {
    const end = wordsEnd(text)
    if (text.charCodeAt(end) === LESS) {
      at = end
      displayName = trimBlanks(text.slice(0, end)) || null
    }
  }
  let uriText: string
  if (text.charCodeAt(at) === LESS) {
    const end = text.indexOf('>', at)
    if (end < 0) return null
    uriText = text.slice(at + 1, end)
    at = end + 1
  } else {
    // S-8: without <>, what follows a semicolon belongs to the header, and a comma or question mark cannot be.
    const end = runEnd(text, at, BARE_URI)
    if (end === at) return null
    uriText = text.slice(at, end)
    at = end
  }
  if (!isAbsoluteUri(uriText)) return null
  const params = parseParams(text, at)
  return params === null ? null : new NameAddrValue(displayName, uriText, params, text)
}

/** Reads one value of Via; null when it is malformed (S-13). */
export function parseVia(value: string): Via | null {
  const text = trimBlanks(value)
  const usual = usualProtocol(text)
  let protocol = usual ?? ''
  let at = usual === null ? 0 : version.length + usual.length
  if (usual === null) {
    const match = sentProtocol.exec(text)
    if (match === null) return null
    protocol = match[1]!.toUpperCase()
    at = match[0].length
  }
  const start = skipBlanks(text, at)
  if (start === at) return null
  const hostEnd = sentByHostEnd(text, start)
  if (hostEnd === start) return null
  const host = readHost(text.slice(start, hostEnd))
  if (host === null) return null
  at = skipBlanks(text, hostEnd)
  let port: number | null = null
  if (text.charCodeAt(at) === COLON) {
    const digits = skipBlanks(text, at + 1)
    at = digits
    port = 0
    for (; isDigit(text.charCodeAt(at)) && at - digits < 6; at++) port = port * 10 + text.charCodeAt(at) - ZERO
    if (at === digits || at - digits > 5 || port < 1 || port > 65_535) return null
  }
  const params = parseParams(text, at)
  if (params === null) return null
  const rport = !params.has('rport') ? null : params.get('rport') ? 'given' : 'asked'
  const maddr = params.has('maddr') ? (params.get('maddr') ?? '') : null
  return { protocol, host, port, branch: params.get('branch') ?? null, rport, maddr, params, text }
}

function sentByHostEnd(text: string, start: number): number {
  if (text.charCodeAt(start) !== BRACKET) return runEnd(text, start, HOST)
  ipv6Reference.lastIndex = start
  return ipv6Reference.test(text) ? ipv6Reference.lastIndex : start
}

/** The transport of a Via that is written as most are; null: it is written otherwise. */
function usualProtocol(text: string): string | null {
  if (!text.startsWith(version)) return null
  for (const name of usualProtocols) {
    if (text.startsWith(name, version.length) && isBlank(text.charCodeAt(version.length + name.length))) return name
  }
  return null
}

/** Reads the value of CSeq; null when it is malformed (S-7). */
export function parseCSeq(value: string): CSeq | null {
  let number = 0
  let digits = 0
  for (; isDigit(value.charCodeAt(digits)); digits++) number = number * 10 + value.charCodeAt(digits) - ZERO
  const start = skipBlanks(value, digits)
  if (digits === 0 || start === digits || start === value.length || !isMadeOf(value, TOKEN, start)) return null
  return number < 2 ** 32 ? { number, method: sameMethod(value.slice(start)) } : null
}

/** A decimal number below 2^53; null: none. Leading zeros are fine. */
export function parseDecimal(value: string): number | null {
  if (value === '' || !isMadeOf(value, DIGIT)) return null
  const number = Number(value)
  return Number.isSafeInteger(number) ? number : null
}

const blanks = /[ \t\r\n]+/g

/** Where the parameters of the value from `start` to `end` stand in raw text, folds and all: each with its semicolon. */
export function paramSpans(text: string, start: number, end: number): { name: string; start: number; end: number }[] {
  const spans: { name: string; start: number; end: number }[] = []
  let open = -1
  for (let i = start; i <= end; i++) {
    const code = i < end ? text.charCodeAt(i) : SEMICOLON
    if (code === SEMICOLON) {
      if (open >= 0) spans.push({ name: spanName(text, open + 1, i), start: open, end: i })
      open = i
    } else if (code === QUOTE) {
      const quoted = quotedEnd(text, i)
      i = (quoted < 0 ? end : Math.min(quoted, end)) - 1
    }
  }
  return spans
}

/** The name of a parameter that stands from `start` to `end`. */
function spanName(text: string, start: number, end: number): string {
  const equals = text.indexOf('=', start)
  const nameEnd = equals < 0 || equals > end ? end : equals
  return usualName(text, start, nameEnd) ?? text.slice(start, nameEnd).replace(blanks, '').toLowerCase()
}
