import { isIPv6 } from 'node:net'
import type { ParseErrorClass } from '../../src/parser/msrp/error-class.ts'
import { bodyDigest } from './body-digest.ts'
import {
  type ByteRangeSnapshot,
  defaultLimits,
  type ErrorAction,
  type FrameSnapshot,
  type Limits,
  type Reader,
  type ReaderEvent,
  type StartSnapshot,
} from './events.ts'

/*
 * The oracle for the kernel: it cuts the stream into frames, and judges each frame as a whole once it has its end-line.
 * All matching is done on latin1 text, one character an octet, with the grammar of M-1 … M-38 written as expressions.
 */

const utf8 =
  '[\\xC2-\\xDF][\\x80-\\xBF]|\\xE0[\\xA0-\\xBF][\\x80-\\xBF]|[\\xE1-\\xEC\\xEE\\xEF][\\x80-\\xBF]{2}' +
  '|\\xED[\\x80-\\x9F][\\x80-\\xBF]|\\xF0[\\x90-\\xBF][\\x80-\\xBF]{2}|[\\xF1-\\xF3][\\x80-\\xBF]{3}' +
  '|\\xF4[\\x80-\\x8F][\\x80-\\xBF]{2}'
const utf8Beginning =
  '[\\xC2-\\xF4]|\\xE0[\\xA0-\\xBF]|[\\xE1-\\xEC\\xEE\\xEF][\\x80-\\xBF]|\\xED[\\x80-\\x9F]' +
  '|\\xF0[\\x90-\\xBF][\\x80-\\xBF]?|[\\xF1-\\xF3][\\x80-\\xBF]{1,2}|\\xF4[\\x80-\\x8F][\\x80-\\xBF]?'
const text = `(?:[\\t\\x20-\\x7E]|${utf8})*`
const ident = '[A-Za-z0-9.\\-+%=]'
const tid = `[A-Za-z0-9]${ident}{3,31}`
const tokenCharacter = "[!#-'*+\\-.0-9A-Z^-~]"
const token = `${tokenCharacter}+`
const blanks = '[ \\t]*'
const pctEncoded = '%[0-9A-Fa-f]{2}'
const registeredName = "[A-Za-z0-9\\-._~!$&'()*+,=]"

const startLine = new RegExp(`^MSRP (${tid}) (?:([A-Z]+)|([0-9]{3})(?: (${text}))?)$`)
const wholeTid = new RegExp(`^${tid}$`)
const tidBeginning = new RegExp(`^(?:[A-Za-z0-9]${ident}{0,31})?$`)
const afterTidBeginning = new RegExp(
  `^(?:[A-Z]*|[A-Z]+\\r|[0-9]{0,3}|[0-9]{3}\\r|[0-9]{3} ${text}(?:\\r|${utf8Beginning})?)$`,
)
const headerLine = new RegExp(`^([A-Za-z]${tokenCharacter}*):${blanks}(${text})$`)
const uri = new RegExp(
  `^msrps?://(?:(?:${registeredName}|:|${pctEncoded})*@)?(?:\\[([^\\]]*)\\]|(?:${registeredName}|${pctEncoded})+)` +
    `(?::([0-9]{1,10}))?(?:/[A-Za-z0-9\\-._~+=/]+)?;[A-Za-z0-9]+(?:;${token}(?:=${token})?)*$`,
  'i',
)
const contentType = new RegExp(
  `^${token}/${token}(?:${blanks};${blanks}${token}(?:=(?:${token}|"(?:[^"\\\\]|\\\\.)*"))?)*$`,
)

interface Header {
  readonly name: string
  readonly value: string
}

/** The octets of one frame, told apart but not judged. */
interface RawFrame {
  readonly start: StartSnapshot
  readonly lines: readonly string[]
  readonly body: Buffer | null
  readonly flag: '$' | '+' | '#'
}

export interface ReferenceReaderOptions {
  readonly limits?: Partial<Limits>
  /** Called with every event as it is found; a frame comes with its octets and, unless bodiless, those of its body. */
  readonly onEvent?: (event: ReaderEvent, octets: Buffer, body: Buffer | null) => void
}

/** A slow and obvious MSRP reader: the rules it follows are in events.ts. */
export function createReferenceReader(options: ReferenceReaderOptions = {}): Reader {
  const limits: Limits = { ...defaultLimits, ...options.limits }
  const events: ReaderEvent[] = []

  /** Octets not yet used up are `store[0 … length)`; a frame in progress begins at `frameAt`. */
  let store = Buffer.alloc(1024)
  let length = 0
  let frameAt = 0
  let phase: 'start' | 'head' | 'body' | 'over' = 'start'
  let pairsSkipped = 0
  let start: StartSnapshot = { kind: 'request', tid: '', method: '' }
  let lines: string[] = []
  let lineAt = 0
  let bodyAt = 0
  let searchAt = 0

  function emit(event: ReaderEvent, octets: Buffer, body: Buffer | null): void {
    events.push(event)
    options.onEvent?.(event, octets, body)
  }

  function fail(event: ReaderEvent): void {
    phase = 'over'
    emit(event, store.subarray(frameAt, length), null)
  }

  function append(octets: Uint8Array): void {
    if (length + octets.length > store.length) {
      const larger = Buffer.alloc(2 * (length + octets.length))
      store.copy(larger, 0, 0, length)
      store = larger
    }
    store.set(octets, length)
    length += octets.length
  }

  /** Forgets the frames already reported; their octets were handed out, so what is left moves to a store of its own. */
  function forgetUsed(): void {
    if (frameAt === 0) return
    const rest = store.subarray(frameAt, length)
    store = Buffer.alloc(Math.max(1024, 2 * rest.length))
    store.set(rest)
    length = rest.length
    lineAt -= frameAt
    bodyAt -= frameAt
    searchAt -= frameAt
    frameAt = 0
  }

  /** Each step answers whether the reader got on and should take another. */
  function readStart(): boolean {
    const at = store.toString('latin1', frameAt, Math.min(length, frameAt + limits.startLineOctets + 2))
    if (at.startsWith('\r\n') && pairsSkipped < 8) {
      pairsSkipped++
      frameAt += 2
      return true
    }
    const lineEnd = at.indexOf('\r\n')
    const match = lineEnd < 0 ? null : startLine.exec(at.slice(0, lineEnd))
    if (match === null) {
      if (!isStartLineBeginning(at, limits.startLineOctets) && !(at === '\r' && pairsSkipped < 8)) {
        fail({ type: 'error', cls: 'bad-start-line', respond: 'close' })
      }
      return false
    }
    const [, id = '', method, status, comment] = match
    start =
      method === undefined
        ? { kind: 'response', tid: id, status: Number(status), comment: comment === undefined ? null : decode(comment) }
        : { kind: 'request', tid: id, method }
    lines = []
    lineAt = frameAt + lineEnd + 2
    phase = 'head'
    return true
  }

  function readHeadLine(): boolean {
    const found = store.subarray(0, length).indexOf('\r\n', lineAt, 'latin1')
    const lineEnd = found >= 0 && found - lineAt <= limits.headerLineOctets ? found : -1
    if (lineEnd < 0) {
      const limitAt = lineAt + limits.headerLineOctets
      const lineTooLong = length > limitAt && (store[limitAt] !== 0x0d || length > limitAt + 1)
      if (lineTooLong || length - frameAt > limits.headOctets) failLimit()
      return false
    }
    if (lineEnd + 2 - frameAt > limits.headOctets) {
      failLimit()
      return false
    }
    const line = store.toString('latin1', lineAt, lineEnd)
    lineAt = lineEnd + 2
    if (line === '') {
      phase = 'body'
      bodyAt = lineAt
      // M-11: the CRLF of the empty line may also be the one before the end-line.
      searchAt = bodyAt - 2
      return true
    }
    const flag = line.at(-1)
    if (line === `-------${start.tid}${flag}` && isFlag(flag)) {
      finish({ start, lines, body: null, flag }, lineAt)
      return true
    }
    const header = parseHeader(line)
    const isPath = header !== null && /^(?:to|from|use)-path$/i.test(header.name)
    if (lines.length === limits.headerLines || (isPath && header.value.split(/ +/).length > limits.pathUris)) {
      failLimit()
      return false
    }
    lines.push(line)
    return true
  }

  function readBody(): boolean {
    const opening = `\r\n-------${start.tid}`
    for (;;) {
      const at = store.subarray(0, length).indexOf(opening, searchAt, 'latin1')
      if (at < 0) {
        searchAt = Math.max(searchAt, length - opening.length + 1)
        return false
      }
      const end = at + opening.length + 3
      if (end > length) {
        searchAt = at
        return false
      }
      const flag = store.toString('latin1', end - 3, end - 2)
      if (isFlag(flag) && store[end - 2] === 0x0d && store[end - 1] === 0x0a) {
        finish({ start, lines, body: store.subarray(bodyAt, Math.max(bodyAt, at)), flag }, end)
        return true
      }
      searchAt = at + 1
    }
  }

  function finish(raw: RawFrame, endAt: number): void {
    emit(judge(raw), store.subarray(frameAt, endAt), raw.body)
    frameAt = endAt
    pairsSkipped = 0
    phase = 'start'
  }

  function failLimit(): void {
    const answered = answer(start, lines.map(parseHeader)) === 'respond-400'
    fail({ type: 'error', cls: 'header-limit', start, respond: answered ? 'respond-400-and-close' : 'close' })
  }

  return {
    events,
    feed(octets) {
      if (phase === 'over') return
      append(octets)
      while (
        (phase === 'start' && readStart()) ||
        (phase === 'head' && readHeadLine()) ||
        (phase === 'body' && readBody())
      );
      forgetUsed()
    },
    end() {
      if (phase !== 'over' && (phase !== 'start' || length > frameAt)) {
        fail({ type: 'error', cls: 'truncated', respond: 'discard' })
      }
      phase = 'over'
    },
  }
}

/** Whether some valid start line of at most `limit` octets begins with these octets (which hold no whole one). */
function isStartLineBeginning(octets: string, limit: number): boolean {
  if (octets.length > limit && octets[limit] !== '\r') return false
  if (octets.length <= 5) return 'MSRP '.startsWith(octets)
  if (!octets.startsWith('MSRP ')) return false
  const tidEnd = octets.indexOf(' ', 5)
  if (tidEnd < 0) return tidBeginning.test(octets.slice(5))
  return wholeTid.test(octets.slice(5, tidEnd)) && afterTidBeginning.test(octets.slice(tidEnd + 1))
}

function isFlag(flag: string | undefined): flag is '$' | '+' | '#' {
  return flag === '$' || flag === '+' || flag === '#'
}

/** M-24, M-25: null for a line that is no header. */
function parseHeader(line: string): Header | null {
  const match = headerLine.exec(line)
  if (match === null) return null
  const [, name = '', value = ''] = match
  return { name, value: value.replace(/[ \t]+$/, '') }
}

/** M-27: null unless every part is a URI. */
function parsePath(value: string): string[] | null {
  const uris = value.split(/ +/)
  return uris.every(isMsrpUri) ? uris : null
}

/** U-1, U-9. */
function isMsrpUri(candidate: string): boolean {
  const match = uri.exec(candidate)
  if (match === null) return false
  const [, ipv6, port] = match
  if (ipv6 !== undefined && (ipv6.includes('%') || !isIPv6(ipv6))) return false
  return port === undefined || (Number(port) >= 1 && Number(port) <= 65_535)
}

/** M-31, M-34. */
function parseByteRange(value: string): ByteRangeSnapshot | null {
  const match = /^([0-9]{1,20})-([0-9]{1,20}|\*)\/([0-9]{1,20}|\*)$/.exec(value)
  if (match === null) return null
  const [start = 0, end = 0, total = 0] = match.slice(1).map((part) => (part === '*' ? part : Number(part)))
  const tooLarge = [start, end, total].some((part) => typeof part === 'number' && part > Number.MAX_SAFE_INTEGER)
  if (tooLarge || start === '*' || start === 0) return null
  if (end !== '*' && (end < start - 1 || (total !== '*' && end > total))) return null
  return { start, end, total }
}

/** What is wrong with the value of an interpreted header. The keys are all interpreted headers (M-39). */
const valueProblems: Readonly<Record<string, (value: string) => ParseErrorClass | null>> = {
  'to-path': pathProblem,
  'from-path': pathProblem,
  'use-path': pathProblem,
  'message-id': (value) => (/^[\x21-\x7E]{1,256}$/.test(value) ? null : 'bad-message-id'),
  'byte-range': (value) => (parseByteRange(value) === null ? 'bad-byte-range' : null),
  'success-report': (value) => (/^(?:yes|no)$/i.test(value) ? null : 'bad-report-value'),
  'failure-report': (value) => (/^(?:yes|no|partial)$/i.test(value) ? null : 'bad-report-value'),
  status: (value) => (/^[0-9]{3} [0-9]{3}(?: .*)?$/s.test(value) ? null : 'bad-status'),
  expires: expiresProblem,
  'min-expires': expiresProblem,
  'max-expires': expiresProblem,
  'content-type': (value) => (contentType.test(value) ? null : 'bad-content-type'),
  'authentication-info': () => null,
  'use-nickname': () => null,
}

function pathProblem(value: string): ParseErrorClass | null {
  return parsePath(value) === null ? 'bad-uri' : null
}

function expiresProblem(value: string): ParseErrorClass | null {
  return /^[0-9]{1,10}$/.test(value) && Number(value) <= 0xffff_ffff ? null : 'bad-expires'
}

/** The order within one line; see events.ts. */
const rank = { line: 0, path: 1, duplicate: 2, value: 3, contentTypeNotLast: 4 }

interface Problem {
  readonly line: number
  readonly rank: number
  readonly cls: ParseErrorClass
}

function judge(raw: RawFrame): ReaderEvent {
  const { start } = raw
  const headers = raw.lines.map(parseHeader)
  const [first] = [
    ...lineProblems(headers),
    ...wholeFrameProblems(raw, headers).map((cls, order) => ({ line: Number.POSITIVE_INFINITY, rank: order, cls })),
  ].sort((a, b) => (a.line === b.line ? a.rank - b.rank : a.line - b.line))
  if (first !== undefined) return { type: 'error', cls: first.cls, start, respond: answer(start, headers) }
  return {
    type: 'frame',
    frame: snapshot(
      raw,
      headers.filter((header) => header !== null),
    ),
  }
}

function lineProblems(headers: readonly (Header | null)[]): Problem[] {
  const problems: Problem[] = []
  const names = headers.map((header) => header?.name.toLowerCase())
  if (names[0] !== 'to-path') {
    problems.push({ line: 1, rank: rank.path, cls: names.includes('to-path') ? 'path-order' : 'missing-to-path' })
  } else if (!names.includes('from-path')) {
    problems.push({ line: 1, rank: rank.path, cls: 'missing-from-path' })
  } else if (names[1] !== 'from-path' && names[1] !== 'to-path') {
    // A To-Path in line 2 is a repeat, and reported as one.
    problems.push({ line: 1, rank: rank.path, cls: 'path-order' })
  }
  for (const [index, header] of headers.entries()) {
    const line = index + 1
    const name = names[index]
    if (header === null || name === undefined) {
      problems.push({ line, rank: rank.line, cls: 'bad-header-line' })
      continue
    }
    const earlier = names.slice(0, index)
    if (Object.hasOwn(valueProblems, name)) {
      const cls = valueProblems[name]?.(header.value) ?? null
      if (earlier.includes(name)) problems.push({ line, rank: rank.duplicate, cls: 'duplicate-header' })
      else if (cls !== null) problems.push({ line, rank: rank.value, cls })
    }
    if (earlier.includes('content-type')) {
      problems.push({ line, rank: rank.contentTypeNotLast, cls: 'content-type-not-last' })
    }
  }
  return problems
}

function wholeFrameProblems(raw: RawFrame, headers: readonly (Header | null)[]): ParseErrorClass[] {
  const { start, body, flag } = raw
  const method = start.kind === 'request' ? start.method : null
  const names = headers.map((header) => header?.name.toLowerCase())
  const problems: ParseErrorClass[] = []
  // M-29, M-52
  if ((method === 'SEND' || method === 'REPORT') && !names.includes('message-id')) problems.push('missing-message-id')
  if (method === 'REPORT') {
    if (!names.includes('status')) problems.push('missing-status')
    if (names.includes('success-report') || names.includes('failure-report')) problems.push('forbidden-header')
  }
  // M-22
  if (method === null && body !== null) problems.push('body-in-response')
  if (body === null && names.some((name) => name?.startsWith('content-'))) problems.push('mime-header-without-body')
  if (method !== null && body !== null && !names.includes('content-type')) problems.push('body-without-content-type')
  // M-7
  if (method !== 'SEND' && flag !== '$') problems.push('bad-flag')
  return problems
}

/** M-51, M-61: whether a malformed frame is answered. */
function answer(
  start: StartSnapshot,
  headers: readonly (Header | null)[],
): Extract<ErrorAction, 'respond-400' | 'drop'> {
  if (start.kind === 'response' || start.method === 'REPORT') return 'drop'
  const values = (name: string) =>
    headers.filter((header) => header?.name.toLowerCase() === name).map((header) => header?.value ?? '')
  const [failureReport] = values('failure-report').filter((value) => /^(?:yes|no|partial)$/i.test(value))
  if (start.method === 'SEND' && failureReport?.toLowerCase() === 'no') return 'drop'
  const [fromPath] = values('from-path')
  return fromPath !== undefined && parsePath(fromPath) !== null ? 'respond-400' : 'drop'
}

function snapshot({ start, body, flag }: RawFrame, headers: readonly Header[]): FrameSnapshot {
  const value = (wanted: string) => headers.find(({ name }) => name.toLowerCase() === wanted)?.value
  const byteRange = parseByteRange(value('byte-range') ?? '')
  return {
    ...start,
    toPath: parsePath(value('to-path') ?? '') ?? [],
    fromPath: parsePath(value('from-path') ?? '') ?? [],
    ...(byteRange === null ? {} : { byteRange }),
    ...(start.kind === 'request' && start.method === 'SEND'
      ? {
          failureReport: (value('failure-report')?.toLowerCase() ?? 'yes') as 'yes' | 'no' | 'partial',
          successReport: (value('success-report')?.toLowerCase() ?? 'no') as 'yes' | 'no',
        }
      : {}),
    headers: headers.map((header) => [header.name, decode(header.value)] as const),
    flag,
    body: body === null ? null : { length: body.length, sha256: bodyDigest(body) },
  }
}

/** Octets kept as latin1 text, read as the UTF-8 they are (M-12). */
function decode(latin1: string): string {
  return Buffer.from(latin1, 'latin1').toString('utf8')
}
