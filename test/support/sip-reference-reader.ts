import { isIPv4, isIPv6 } from 'node:net'
import { type SipLimits, sipLimits } from '../../src/parser/sip/parse.ts'
import type { SipProblem } from '../../src/parser/sip/problem.ts'
import {
  type MessageSnapshot,
  type NameAddrSnapshot,
  present,
  type SipEvent,
  type StartSnapshot,
  sorted,
  type UriSnapshot,
  type ViaSnapshot,
} from './sip-snapshot.ts'

/*
 * The oracle for the SIP parser: slow and obvious, written from S-1 … S-13 as expressions over whole texts. Octets are
 * latin1 text, one character an octet, until a value is taken, which is then read as the UTF-8 it is.
 */

const tokenCharacter = "[A-Za-z0-9\\-.!%*_+`'~]"
const token = `${tokenCharacter}+`
const blanks = '[ \\t]*'
const quoted = '"(?:[^"\\\\]|\\\\[\\s\\S])*"'
const escaped = '%[0-9A-Fa-f]{2}'
const mark = "[A-Za-z0-9\\-_.!~*'()]"
const value = `(?:${quoted}|[^\\x00-\\x20\\x7f;,"<>]+)`
const params = `(?:${blanks};${blanks}${token}(?:${blanks}=${blanks}${value})?)*${blanks}`
const hostLabel = '[A-Za-z0-9_](?:[A-Za-z0-9_\\-]*[A-Za-z0-9_])?'
const host = `(?:\\[[0-9A-Fa-f:.]+\\]|${hostLabel}(?:\\.${hostLabel})*\\.?)`
const port = '[0-9]{1,5}'
const anyUri = '[A-Za-z][A-Za-z0-9+.\\-]*:[!#-;=?-~]+'

const headerLine = new RegExp(`^(${token})${blanks}:([\\s\\S]*)$`)
const requestLine = new RegExp(`^(${token})([ \\t][\\s\\S]*[ \\t]|[ \\t]+)([Ss][Ii][Pp]/[0-9]+\\.[0-9]+)(${blanks})$`)
const statusLine = /^([Ss][Ii][Pp]\/[^ ]*) ([0-9]+) ([\s\S]*)$/
const versionText = /^sip\/[0-9]+\.[0-9]+$/i
const nameAddr = new RegExp(`^(${quoted}${blanks}|(?:${tokenCharacter}|[ \\t])*)<(${anyUri})>(${params})$`)
const viaValue = new RegExp(
  `^${token}${blanks}/${blanks}${token}${blanks}/${blanks}(${token})[ \\t]+(${host})${blanks}(?::${blanks}(${port}))?(${params})$`,
)
const absoluteUri = new RegExp(`^${anyUri}$`)
const onlyParams = new RegExp(`^${params}$`)
const cseqValue = new RegExp(`^([0-9]+)[ \\t]+(${token})$`)
const oneParam = new RegExp(`;${blanks}(${token})(?:${blanks}=${blanks}(${value}))?`, 'g')
const sipUri = new RegExp(
  `^(sips?):(?:((?:${mark}|[&=+$,;?/]|${escaped})+)(?::((?:${mark}|[&=+$,]|${escaped})*))?@)?(${host})(?::(${port}))?` +
    `((?:;(?:${mark}|[[\\]/:&+$]|${escaped})+(?:=(?:${mark}|[[\\]/:&+$]|${escaped})+)?)*)` +
    `(?:\\?((?:${mark}|[[\\]/?:+$]|${escaped})+=(?:${mark}|[[\\]/?:+$]|${escaped})*` +
    `(?:&(?:${mark}|[[\\]/?:+$]|${escaped})+=(?:${mark}|[[\\]/?:+$]|${escaped})*)*))?$`,
  'i',
)

const compact: Readonly<Record<string, string>> = {
  a: 'accept-contact',
  b: 'referred-by',
  c: 'content-type',
  d: 'request-disposition',
  e: 'content-encoding',
  f: 'from',
  i: 'call-id',
  j: 'reject-contact',
  k: 'supported',
  l: 'content-length',
  m: 'contact',
  o: 'event',
  r: 'refer-to',
  s: 'subject',
  t: 'to',
  u: 'allow-events',
  v: 'via',
  x: 'session-expires',
  y: 'identity',
}
const listHeaders = ['via', 'contact', 'route', 'record-route', 'path', 'supported', 'allow-events', 'allow']
const knownMethods =
  /^(?:ACK|BYE|CANCEL|INFO|INVITE|MESSAGE|NOTIFY|OPTIONS|PRACK|PUBLISH|REFER|REGISTER|SUBSCRIBE|UPDATE)$/

/** A header line told apart; no name: it is no header. */
interface Header {
  readonly name: string | null
  readonly value: string
}

/** What the head of a message comes to, before its values are looked at. */
interface Head {
  readonly start: StartSnapshot | null
  readonly startFault: SipProblem | null
  readonly headers: readonly Header[]
  readonly limit: SipProblem | null
  /** Where the last whole line ends. */
  readonly linesEnd: number
  readonly ended: boolean
}

/** Reads a datagram or a WebSocket message. */
export function referenceMessage(octets: Uint8Array, limits: SipLimits = sipLimits): MessageSnapshot {
  const text = Buffer.from(octets)
    .toString('latin1')
    .replace(/^(?:\r\n)+/, '')
  const head = readHead(text, limits)
  if (head.start === null) return judge(head, 'not-sip', '', 0)
  if (head.limit !== null) return judge(head, head.limit, '', head.linesEnd)
  const fault = faultOfLines(head)
  if (!head.ended) return judge(head, fault ?? 'truncated-head', '', text.length)
  const rest = text.slice(head.linesEnd + 2)
  const length = contentLength(head.headers)
  const given = typeof length === 'number' && length <= rest.length
  let body = given ? rest.slice(0, length) : rest
  const bodyFault: SipProblem | null =
    length === 'bad'
      ? 'bad-content-length'
      : typeof length === 'number' && !given
        ? 'truncated-body'
        : body.length > limits.body
          ? 'body-too-large'
          : null
  if (body.length > limits.body) body = ''
  return judge(head, fault ?? missing(head.headers) ?? bodyFault, body, head.linesEnd + 2 + body.length)
}

/** Reads a whole stream, to its end. */
export function referenceStream(octets: Uint8Array, limits: SipLimits = sipLimits): SipEvent[] {
  let text = Buffer.from(octets).toString('latin1')
  const events: SipEvent[] = []
  let pairs = 0
  for (;;) {
    if (text === '' || text === '\r') return events
    if (text.startsWith('\r\n')) {
      text = text.slice(2)
      pairs++
      if (pairs % 2 === 0) events.push({ type: 'keep-alive' })
      continue
    }
    pairs = 0
    if (text.startsWith('\r')) return [...events, { type: 'broken', problem: 'not-sip', message: null }]
    const enough = text.length >= limits.head
    const within = text.slice(0, limits.head)
    if (!within.includes('\r\n') && !enough) return [...events, { type: 'cut-off' }]
    const head = readHead(text, limits)
    if (head.start === null) return [...events, { type: 'broken', problem: 'not-sip', message: null }]
    if (!within.includes('\r\n\r\n') && !enough) return [...events, { type: 'cut-off' }]
    const length = contentLength(head.headers)
    const lost: SipProblem | null =
      head.limit ?? (typeof length !== 'number' ? 'bad-content-length' : length > limits.body ? 'body-too-large' : null)
    if (lost !== null) {
      const message = judge(head, lost, '', head.linesEnd + (head.limit === null ? 2 : 0))
      return [...events, { type: 'broken', problem: lost, message: canBeAnswered(message) ? message : null }]
    }
    const end = head.linesEnd + 2 + (length as number)
    if (end > text.length) return [...events, { type: 'cut-off' }]
    const fault = faultOfLines(head) ?? missing(head.headers)
    events.push({ type: 'message', message: judge(head, fault, text.slice(head.linesEnd + 2, end), end) })
    text = text.slice(end)
  }
}

function canBeAnswered({ start, vias, from, to, cseq, callId }: MessageSnapshot): boolean {
  return 'method' in start && start.method !== 'ACK' && vias.length > 0 && !!from && !!to && !!cseq && callId !== ''
}

function readHead(text: string, limits: SipLimits): Head {
  const none = { start: null, startFault: null, headers: [], limit: null, linesEnd: 0, ended: false }
  const within = text.slice(0, limits.head)
  const startEnd = within.indexOf('\r\n')
  if (startEnd < 0) return none
  const startLine = readStartLine(within.slice(0, startEnd))
  if (startLine === null) return none
  // A line goes on in the lines after it that begin with a blank (S-2): only what follows tells that it has ended.
  const headEnd = within.indexOf('\r\n\r\n')
  const part =
    headEnd < 0 ? within.slice(startEnd + 2) : within.slice(startEnd + 2, Math.max(headEnd + 2, startEnd + 2))
  const pieces = part.split(/\r\n(?![ \t])/)
  // What no CRLF has ended is no line.
  pieces.pop()
  const lines = pieces.slice(0, limits.headers)
  let limit: SipProblem | null = startEnd > limits.startLine ? 'start-line-too-long' : null
  if (limit === null && lines.some((line) => line.length > limits.headerLine)) limit = 'header-too-long'
  if (limit === null && pieces.length > limits.headers) limit = 'too-many-headers'
  if (limit === null && headEnd < 0 && text.length >= limits.head) limit = 'head-too-large'
  const linesEnd = lines.reduce((length, line) => length + line.length + 2, startEnd + 2)
  return { ...startLine, headers: lines.map(readHeader), limit, linesEnd, ended: headEnd >= 0 }
}

/** S-1, S-13: null for a line that is none of SIP. */
function readStartLine(line: string): { start: StartSnapshot; startFault: SipProblem | null } | null {
  const stray = /[\r\n]/.test(line)
  if (/^sip\//i.test(line)) {
    const version = line.split(' ')[0] ?? ''
    const match = statusLine.exec(line)
    const [, , digits = '', reason = ''] = match ?? []
    const isStatus = match !== null && digits.length === 3
    const status = isStatus ? Number(digits) : 0
    return {
      start: { status, reason: isStatus ? decode(reason) : '' },
      startFault:
        stray || !versionText.test(version)
          ? 'bad-start-line'
          : version.toUpperCase() !== 'SIP/2.0'
            ? 'bad-version'
            : match === null
              ? 'bad-start-line'
              : status < 100 || status > 699
                ? 'bad-status'
                : null,
    }
  }
  const match = requestLine.exec(line)
  if (match === null) return null
  const [, method = '', middle = '', version = '', trailing = ''] = match
  const requestUri = trim(middle)
  const exact = middle === ` ${requestUri} ` && requestUri !== '' && !/[\x00-\x20]/.test(requestUri)
  return {
    start: { method, requestUri: decode(requestUri), uri: readUri(decode(requestUri)) },
    startFault:
      stray || !exact || trailing !== ''
        ? 'bad-start-line'
        : version.toUpperCase() === 'SIP/2.0'
          ? null
          : 'bad-version',
  }
}

function readHeader(line: string): Header {
  const match = headerLine.exec(line)
  if (match === null || /[\r\n]/.test(line.replaceAll(/\r\n(?=[ \t])/g, ''))) return { name: null, value: '' }
  const [, name = '', content = ''] = match
  const lower = name.toLowerCase()
  const trimmed = content.replace(/^[ \t\r\n]+/, '').replace(/[ \t\r\n]+$/, '')
  return { name: compact[lower] ?? lower, value: decode(trimmed.replace(/[ \t]*(?:\r\n[ \t]+)+/g, ' ')) }
}

/** The faults of the lines themselves, in their order. */
function faultOfLines({ startFault, headers }: Head): SipProblem | null {
  if (startFault !== null) return startFault
  for (const [at, { name }] of headers.entries()) {
    if (name === null) return 'bad-header-line'
    const single = ['from', 'to', 'call-id', 'cseq', 'max-forwards'].includes(name)
    if (single && headers.slice(0, at).some((earlier) => earlier.name === name)) return 'duplicate-header'
  }
  return null
}

function missing(headers: readonly Header[]): SipProblem | null {
  const there = (wanted: string) => headers.some(({ name }) => name === wanted)
  return ['via', 'from', 'to', 'call-id', 'cseq'].every(there) ? null : 'missing-header'
}

/** S-5 */
function contentLength(headers: readonly Header[]): number | 'bad' | 'absent' {
  const values = headers.filter(({ name }) => name === 'content-length').map(({ value }) => value)
  if (values.length === 0) return 'absent'
  if (!values.every((text) => /^[0-9]+$/.test(text))) return 'bad'
  const numbers = new Set(values.map((text) => Math.min(Number(text), 2 ** 31 - 1)))
  return numbers.size === 1 ? [...numbers][0]! : 'bad'
}

/** Everything about a message whose octets are told apart; `fault` is what is wrong with these. */
function judge(head: Head, fault: SipProblem | null, body: string, octets: number): MessageSnapshot {
  const { headers } = head
  const start = head.start ?? { method: '', requestUri: '', uri: null }
  const byName = Map.groupBy(headers, ({ name }) => name)
  const lines = (wanted: string) => (byName.get(wanted) ?? []).map((header) => header.value)
  const first = (wanted: string) => lines(wanted)[0] ?? ''
  const values = (wanted: string) => lines(wanted).flatMap(splitList)
  const [contacts = [], routes = [], paths = [], recordRoutes = []] = ['contact', 'route', 'path', 'record-route'].map(
    (wanted) => values(wanted).map(readNameAddr),
  )
  const viaValues = values('via').map(readVia)
  const badVia = viaValues.indexOf(null)
  const contactValues = values('contact')
  const star = contactValues.length === 1 && contactValues[0] === '*'
  const from = readNameAddr(first('from'))
  const to = readNameAddr(first('to'))
  const callId = first('call-id')
  const cseq = readCSeq(first('cseq'))
  const wellFormed = (list: readonly (NameAddrSnapshot | null)[]) => list.filter((item) => item !== null)

  const problems: (SipProblem | false)[] = []
  if (fault !== null) problems.push(fault)
  const uriText = 'method' in start ? start.requestUri : ''
  const ours = /^sips?:/i.test(uriText)
  if ('method' in start) {
    const bad = ours ? start.uri === null || start.uri.headers !== null : !absoluteUri.test(uriText)
    problems.push(bad && 'bad-request-uri')
  }
  problems.push(
    badVia >= 0 && 'bad-via',
    from === null && 'bad-from',
    to === null && 'bad-to',
    !/^[!-~]+$/.test(callId) && 'bad-call-id',
    cseq === null && 'bad-cseq',
  )
  if ('method' in start) {
    problems.push(
      cseq?.method !== start.method && (knownMethods.test(start.method) ? 'cseq-method' : 'unknown-cseq-method'),
      lines('max-forwards').length > 0 && !/^[0-9]+$/.test(first('max-forwards')) && 'bad-max-forwards',
      !star && contacts.includes(null) && 'bad-contact',
      routes.includes(null) && 'bad-route',
      start.method === 'REGISTER' && paths.includes(null) && 'bad-path',
      !ours && 'unsupported-scheme',
    )
  }
  return {
    start,
    problem: problems.find((problem) => problem !== false) ?? null,
    callId,
    cseq,
    from,
    to,
    vias: viaValues.slice(0, badVia < 0 ? viaValues.length : badVia).filter((via) => via !== null),
    maxForwards: numberUpTo(first('max-forwards'), 255),
    expires: numberUpTo(first('expires'), 2 ** 32 - 1),
    contacts: contactValues.length === 0 ? null : star ? '*' : wellFormed(contacts),
    routes: wellFormed(routes),
    recordRoutes: wellFormed(recordRoutes),
    paths: wellFormed(paths),
    headers: present((name) => lines(name.toLowerCase())),
    lists: present((name) =>
      (listHeaders.includes(name.toLowerCase()) ? values(name.toLowerCase()) : lines(name.toLowerCase())).filter(
        (item) => item !== '',
      ),
    ),
    body,
    octets,
  }
}

function numberUpTo(text: string, most: number): number | null {
  return /^[0-9]+$/.test(text) && Number(text) <= most ? Number(text) : null
}

/** S-2, S-3: parts at commas that are neither in quotes nor in <>; what never closes takes the rest. */
function splitList(text: string): string[] {
  const parts: string[] = []
  let part = ''
  const piece = /"(?:[^"\\]|\\[\s\S])*(?:"|\\?$)|<[^>]*(?:>|$)|[\s\S]/y
  for (let match = piece.exec(text); match !== null; match = piece.exec(text)) {
    if (match[0] === ',') {
      parts.push(trim(part))
      part = ''
    } else part += match[0]
  }
  return [...parts, trim(part)]
}

function readParams(text: string): Record<string, string | null> {
  const found = [...text.matchAll(oneParam)].map(([, name = '', content]): [string, string | null] => [
    name.toLowerCase(),
    content === undefined ? null : content.startsWith('"') ? unquote(content) : content,
  ])
  return sorted(firstOfEach(found))
}

/** Of entries with one name the first. */
function firstOfEach(entries: readonly [string, string | null][]): Map<string, string | null> {
  return new Map([...entries].reverse())
}

function unquote(text: string): string {
  return text.slice(1, -1).replace(/\\([\s\S])/g, '$1')
}

function trim(text: string): string {
  return text.replace(/^[ \t]+/, '').replace(/[ \t]+$/, '')
}

/** S-8, S-13 */
function readNameAddr(text: string): NameAddrSnapshot | null {
  const named = nameAddr.exec(text)
  if (named !== null) {
    const [, before = '', uriText = '', after = ''] = named
    const name = trim(before)
    const displayName = name.startsWith('"') ? unquote(name) : name === '' ? null : name
    return { displayName, uriText, uri: readUri(uriText), params: readParams(after) }
  }
  const semicolon = text.indexOf(';')
  const uriText = trim(semicolon < 0 ? text : text.slice(0, semicolon))
  const after = semicolon < 0 ? '' : text.slice(semicolon)
  if (!absoluteUri.test(uriText) || /[?,]/.test(uriText)) return null
  if (!onlyParams.test(after)) return null
  return { displayName: null, uriText, uri: readUri(uriText), params: readParams(after) }
}

function readVia(text: string): ViaSnapshot | null {
  const match = viaValue.exec(text)
  if (match === null) return null
  const [, protocol = '', name = '', digits, after = ''] = match
  if (!isHost(name) || !isPort(digits)) return null
  return {
    protocol: protocol.toUpperCase(),
    host: name.toLowerCase(),
    port: digits === undefined ? null : Number(digits),
    params: readParams(after),
  }
}

function isHost(name: string): boolean {
  if (name.startsWith('[')) return isIPv6(name.slice(1, -1))
  return !/(?:^|\.)[0-9][^.]*\.?$/.test(name) || isIPv4(name)
}

function isPort(digits: string | undefined): boolean {
  return digits === undefined || (Number(digits) > 0 && Number(digits) < 65_536)
}

/** S-7 */
function readCSeq(text: string): MessageSnapshot['cseq'] {
  const match = cseqValue.exec(text)
  const [, digits = '', method = ''] = match ?? []
  return match !== null && BigInt(digits) < 2n ** 32n ? { number: Number(digits), method } : null
}

function readUri(text: string): UriSnapshot | null {
  const match = sipUri.exec(text)
  if (match === null) return null
  const [, scheme = '', user, password, name = '', digits, after = '', headers] = match
  if (!isHost(name) || !isPort(digits)) return null
  try {
    const decoded = after
      .split(';')
      .slice(1)
      .map((param): [string, string | null] => {
        const [key = '', content] = param.split('=')
        return [decodeURIComponent(key).toLowerCase(), content === undefined ? null : decodeURIComponent(content)]
      })
    return {
      scheme: scheme.toLowerCase() === 'sip' ? 'sip' : 'sips',
      user: user === undefined ? null : decodeURIComponent(user),
      password: password === undefined ? null : decodeURIComponent(password),
      host: name.toLowerCase(),
      port: digits === undefined ? null : Number(digits),
      params: sorted(firstOfEach(decoded)),
      headers: headers ?? null,
    }
  } catch (error) {
    // Escapes that are not UTF-8: no URI of ours.
    if (error instanceof URIError) return null
    throw error
  }
}

function decode(latin1: string): string {
  return Buffer.from(latin1, 'latin1').toString('utf8')
}
