import { noParams, ParamList, type Params } from './params.ts'
import { isHost, parseSipUri, type SipUri } from './uri.ts'

// Values of headers, as unfolded text (S-2). No expression here backtracks over more than it has matched: a value may be
// as long as a line may be.

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
const ZERO = 0x30
const NINE = 0x39

const token = /[\w\-.!%*+`'~]+/y
const tokensAndBlanks = /[\w\-.!%*+`'~ \t]*/y
/** More than the grammar's tokens and hosts: tags and branches in use hold other characters. */
const plainValue = /[^\x00-\x20\x7f;,"<>]+/y
const bareUri = /[^\x00-\x20\x7f;,?"<>]+/y
const absoluteUri = /^[a-z][a-z\d+\-.]*:[!#-;=?-~]+$/i
const version = 'SIP/2.0/'
const usualProtocols = ['TCP', 'UDP', 'TLS', 'WSS', 'WS']
const sentProtocol = /^[\w\-.!%*+`'~]+[ \t]*\/[ \t]*[\w\-.!%*+`'~]+[ \t]*\/[ \t]*([\w\-.!%*+`'~]+)/i
const sentByHost = /\[[\da-f:.]+\]|[\w\-.]+/iy
const cseqValue = /^(\d+)[ \t]+([\w\-.!%*+`'~]+)$/

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

/** Where the token from `at` on ends; `at` when there is none. */
function tokenEnd(text: string, at: number): number {
  token.lastIndex = at
  return token.test(text) ? token.lastIndex : at
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

/** Names that most parameters have: found where they stand, not cut out. */
const usualNames = ['branch', 'tag', 'rport', 'received', 'lr', 'transport', 'expires', 'q']

/** The name of a parameter, in lower case. */
function paramName(text: string, start: number, end: number): string {
  for (const name of usualNames) if (name.length === end - start && text.startsWith(name, start)) return name
  return text.slice(start, end).toLowerCase()
}

/** Parameters from `at` to the text's end, each with its semicolon; null when they are malformed or one is empty (S-13). */
function parseParams(text: string, at: number): Params | null {
  at = skipBlanks(text, at)
  if (at === text.length) return noParams
  const params = new ParamList()
  while (at < text.length) {
    if (text.charCodeAt(at) !== SEMICOLON) return null
    const start = skipBlanks(text, at + 1)
    const nameEnd = tokenEnd(text, start)
    if (nameEnd === start) return null
    const name = paramName(text, start, nameEnd)
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
        plainValue.lastIndex = at
        if (!plainValue.test(text)) return null
        value = text.slice(at, plainValue.lastIndex)
        at = plainValue.lastIndex
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
  return absoluteUri.test(text)
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
    tokensAndBlanks.lastIndex = 0
    tokensAndBlanks.test(text)
    if (text.charCodeAt(tokensAndBlanks.lastIndex) === LESS) {
      at = tokensAndBlanks.lastIndex
      displayName = trimBlanks(text.slice(0, at)) || null
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
    bareUri.lastIndex = at
    if (!bareUri.test(text)) return null
    uriText = text.slice(at, bareUri.lastIndex)
    at = bareUri.lastIndex
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
  sentByHost.lastIndex = start
  if (!sentByHost.test(text)) return null
  const host = text.slice(start, sentByHost.lastIndex)
  at = skipBlanks(text, sentByHost.lastIndex)
  let port: number | null = null
  if (text.charCodeAt(at) === COLON) {
    const digits = skipBlanks(text, at + 1)
    at = digits
    port = 0
    for (
      let code = text.charCodeAt(at);
      code >= ZERO && code <= NINE && at - digits < 6;
      code = text.charCodeAt(++at)
    ) {
      port = port * 10 + code - ZERO
    }
    if (at === digits || at - digits > 5 || port < 1 || port > 65_535) return null
  }
  if (!isHost(host)) return null
  const params = parseParams(text, at)
  if (params === null) return null
  return { protocol, host: host.toLowerCase(), port, branch: params.get('branch') ?? null, params, text }
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
  const match = cseqValue.exec(value)
  if (match === null) return null
  const [, digits = '', method = ''] = match
  const number = Number(digits)
  return number < 2 ** 32 ? { number, method } : null
}

/** A decimal number below 2^53; null: none. Leading zeros are fine. */
export function parseDecimal(value: string): number | null {
  if (!/^\d+$/.test(value)) return null
  const number = Number(value)
  return Number.isSafeInteger(number) ? number : null
}

const blanks = /[ \t\r\n]+/g

function withoutBlanks(text: string): string {
  return text.search(blanks) < 0 ? text : text.replace(blanks, '')
}

/** Where the parameters of the value from `start` to `end` stand in raw text, folds and all: each with its semicolon. */
export function paramSpans(text: string, start: number, end: number): { name: string; start: number; end: number }[] {
  const spans: { name: string; start: number; end: number }[] = []
  let open = -1
  const close = (at: number) => {
    if (open < 0) return
    const equals = text.indexOf('=', open)
    const name = text.slice(open + 1, equals < 0 || equals > at ? at : equals)
    spans.push({ name: withoutBlanks(name).toLowerCase(), start: open, end: at })
  }
  for (let i = start; i < end; i++) {
    const code = text.charCodeAt(i)
    if (code === SEMICOLON) {
      close(i)
      open = i
    } else if (code === QUOTE) {
      const quoted = quotedEnd(text, i)
      if (quoted < 0) break
      i = quoted - 1
    }
  }
  close(end)
  return spans
}
