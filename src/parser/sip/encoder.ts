import assert from 'node:assert/strict'
import { Buffer } from 'node:buffer'
import {
  SH_ID,
  SH_NAME,
  SH_NAME_LENGTH,
  SH_VALUE,
  SH_VALUE_LENGTH,
  SI_HEADER_COUNT,
  SI_HEADERS,
  SI_HEADERS_END,
  SI_READ,
  SI_TABLE,
  SI_URI,
  SI_URI_LENGTH,
  SI_VIA_RPORT,
  SI_VIA_RPORT_LENGTH,
  SI_VIA_SPECIAL,
  SIP_H_CALL_ID,
  SIP_H_CONTENT_LENGTH,
  SIP_H_CSEQ,
  SIP_H_FROM,
  SIP_H_MAX_FORWARDS,
  SIP_H_OTHER,
  SIP_H_RECORD_ROUTE,
  SIP_H_ROUTE,
  SIP_H_TO,
  SIP_H_VIA,
  SIP_HEADER_WORDS,
} from '../kernel/sip-record.ts'
import { type HeaderName, headerId } from './headers.ts'
import type { Received, SipMessage, SipRequest, SipResponse } from './message.ts'
import { paramSpans, valueEnd } from './values.ts'

/**
 * What a message is changed in. Values are header values as they go on the wire, without CR and LF: a value that a peer
 * may have chosen is taken as it was written (`text`), never decoded.
 */
export interface Edits {
  readonly requestUri?: string
  /** A Via value, in a line of its own above all others. */
  readonly prependVia?: string
  readonly removeTopVia?: true
  /** Written over the one there is; when there is none, in a line of its own. */
  readonly maxForwards?: number
  readonly removeTopRoute?: true
  /** Instead of all Route lines. */
  readonly replaceRoutes?: readonly string[]
  /** Before all others, in order. */
  readonly prependRoutes?: readonly string[]
  readonly prependRecordRoute?: string
  readonly remove?: readonly HeaderName[]
  /** At the end of the head, in order. */
  readonly append?: readonly (readonly [name: string, value: string])[]
  /** Written over the one there is, others by that name go; when there is none, at the end of the head. */
  readonly contentLength?: number
}

/** One header line: where it stands, and its value. */
interface Line {
  readonly id: number
  readonly start: number
  readonly nameLength: number
  /** After its last CRLF. */
  readonly end: number
  readonly value: number
  readonly valueEnd: number
}

/** Octets from `start` to `end` give way to `text`. */
interface Patch {
  readonly start: number
  readonly end: number
  readonly text: string
  next: Patch | null
}

/** What is changed in a message, by place. Patches of one place stay in the order they were made, insertions before what gives way. */
class Patches {
  #first: Patch | null = null

  replace(start: number, end: number, text: string): void {
    let before: Patch | null = null
    let next = this.#first
    while (next !== null && next.start <= start) {
      before = next
      next = next.next
    }
    const patch: Patch = { start, end, text, next }
    if (before === null) this.#first = patch
    else before.next = patch
  }

  insert(at: number, text: string): void {
    this.replace(at, at, text)
  }

  cut({ start, end }: Line): void {
    this.replace(start, end, '')
  }

  /** As `applied`, a character for each octet: of the head. */
  appliedText(message: SipMessage, start: number, end: number): string {
    let result = ''
    let from = start
    for (let patch = this.#first; patch !== null; patch = patch.next) {
      result += message.latin1(from, patch.start) + octetText(patch.text)
      from = patch.end
    }
    return result + message.latin1(from, end)
  }

  /** The octets from `start` to `end`, changed. */
  applied(octets: Buffer, start: number, end: number): Buffer {
    let length = end - start
    for (let patch = this.#first; patch !== null; patch = patch.next) {
      length += Buffer.byteLength(patch.text) - (patch.end - patch.start)
    }
    const result = Buffer.allocUnsafe(length)
    let from = start
    let to = 0
    for (let patch = this.#first; patch !== null; patch = patch.next) {
      assert(patch.start >= from, 'two edits of the same octets')
      to += octets.copy(result, to, from, patch.start)
      to += result.write(patch.text, to)
      from = patch.end
    }
    to += octets.copy(result, to, from, end)
    assert(to === length)
    return result
  }
}

/** A header line by its place in the table. */
function lineAt({ index }: SipMessage, i: number): Line {
  const entry = SI_TABLE + i * SIP_HEADER_WORDS
  const value = index[entry + SH_VALUE]!
  return {
    id: index[entry + SH_ID]!,
    start: index[entry + SH_NAME]!,
    nameLength: index[entry + SH_NAME_LENGTH]!,
    end: i + 1 < index[SI_HEADER_COUNT]! ? index[entry + SIP_HEADER_WORDS + SH_NAME]! : index[SI_HEADERS_END]!,
    value,
    valueEnd: value + index[entry + SH_VALUE_LENGTH]!,
  }
}

/** Place in the table of the first header from `from` on with this id; -1: there is none. */
function placeOf({ index }: SipMessage, id: number, from = 0): number {
  const count = index[SI_HEADER_COUNT]!
  for (let i = from; i < count; i++) if (index[SI_TABLE + i * SIP_HEADER_WORDS + SH_ID] === id) return i
  return -1
}

function firstLine(message: SipMessage, id: number): Line | undefined {
  const i = placeOf(message, id)
  return i < 0 ? undefined : lineAt(message, i)
}

/** All header lines, or those with one id: only for what few messages need. */
function linesOf(message: SipMessage, id?: number): readonly Line[] {
  const lines: Line[] = []
  for (let i = 0; i < message.index[SI_HEADER_COUNT]!; i++) {
    const found = lineAt(message, i)
    if (id === undefined || found.id === id) lines.push(found)
  }
  return lines
}

/** Where the last line with this id ends. */
function endOfLast(message: SipMessage, id: number): number | undefined {
  let last = -1
  for (let i = placeOf(message, id); i >= 0; i = placeOf(message, id, i + 1)) last = i
  return last < 0 ? undefined : lineAt(message, last).end
}

/** What goes into a message is ours, or was a header of one: an end of line in it would be a header of somebody's choice. */
function line(name: string, value: string): string {
  return `${name}: ${oneLine(value)}\r\n`
}

function oneLine(value: string): string {
  assert(!value.includes('\r') && !value.includes('\n'), 'a value with an end of line')
  return value
}

/** Cuts the first value off its line, or the line off its message when it has no other. */
function cutFirstValue(message: SipMessage, top: Line, patches: Patches): void {
  const value = message.latin1(top.value, top.valueEnd)
  const comma = valueEnd(value, 0)
  if (comma === value.length) {
    patches.cut(top)
    return
  }
  let next = comma + 1
  while (next < value.length && ' \t\r\n'.includes(value[next]!)) next++
  patches.replace(top.value, top.value + next, '')
}

/** Has the top Via say where its request has come from, in the place of what it says of that (S-21). */
function addReceived(request: SipMessage, top: Line, { address, port }: Received, patches: Patches): void {
  const { index } = request
  const params = oneLine(port === null ? `;received=${address}` : `;received=${address};rport=${port}`)
  if (index[SI_READ] === 1 && index[SI_VIA_SPECIAL] === 0) {
    const rport = index[SI_VIA_RPORT]!
    if (port !== null) patches.replace(rport, rport + index[SI_VIA_RPORT_LENGTH]!, '')
    patches.insert(top.valueEnd, params)
    return
  }
  const value = request.latin1(top.value, top.valueEnd)
  let end = valueEnd(value, 0)
  while (end > 0 && ' \t\r\n'.includes(value[end - 1]!)) end--
  for (const span of paramSpans(value, 0, end)) {
    const gives = span.name === 'received' || (span.name === 'rport' && port !== null)
    if (gives) patches.replace(top.value + span.start, top.value + span.end, '')
  }
  patches.insert(top.value + end, params)
}

/** Where new lines go: below the Vias, above all that a next hop may want to look at. */
function belowVias(message: SipMessage): number {
  return endOfLast(message, SIP_H_VIA) ?? message.index[SI_HEADERS]!
}

/** The message with the edits made. Every octet that they do not concern stays as it came, and where it was (S-41, S-44). */
export function rewrite(message: SipMessage, edits: Edits): Buffer {
  const { index, octets } = message
  const patches = new Patches()
  const headersEnd = index[SI_HEADERS_END]!
  const topVia = firstLine(message, SIP_H_VIA)

  if (edits.requestUri !== undefined) {
    const start = index[SI_URI]!
    patches.replace(start, start + index[SI_URI_LENGTH]!, oneLine(edits.requestUri))
  }
  if (edits.prependVia !== undefined) patches.insert(topVia?.start ?? index[SI_HEADERS]!, line('Via', edits.prependVia))
  if (topVia !== undefined) {
    const received = message.kind === 'request' ? message.received : null
    assert(!edits.removeTopVia || received === null, 'a Via that goes says nothing more')
    if (edits.removeTopVia) cutFirstValue(message, topVia, patches)
    if (received !== null) addReceived(message, topVia, received, patches)
  }
  if (edits.maxForwards !== undefined) {
    const there = firstLine(message, SIP_H_MAX_FORWARDS)
    if (there) patches.replace(there.value, there.valueEnd, `${edits.maxForwards}`)
    else patches.insert(belowVias(message), line('Max-Forwards', `${edits.maxForwards}`))
  }
  if (edits.prependRecordRoute !== undefined) {
    const at = firstLine(message, SIP_H_RECORD_ROUTE)?.start ?? belowVias(message)
    patches.insert(at, line('Record-Route', edits.prependRecordRoute))
  }
  if (edits.prependRoutes !== undefined || edits.replaceRoutes !== undefined || edits.removeTopRoute) {
    editRoutes(message, edits, patches)
  }
  if (edits.remove !== undefined) {
    const lines = linesOf(message)
    for (const name of edits.remove) for (const there of lines) if (isNamed(message, there, name)) patches.cut(there)
  }
  if (edits.append !== undefined)
    for (const [name, value] of edits.append) patches.insert(headersEnd, line(name, value))
  if (edits.contentLength !== undefined) {
    const [there, ...others] = linesOf(message, SIP_H_CONTENT_LENGTH)
    if (there) patches.replace(there.value, there.valueEnd, `${edits.contentLength}`)
    else patches.insert(headersEnd, line('Content-Length', `${edits.contentLength}`))
    for (const other of others) patches.cut(other)
  }
  return patches.applied(octets, 0, octets.length)
}

function editRoutes(message: SipMessage, edits: Edits, patches: Patches): void {
  const topRoute = firstLine(message, SIP_H_ROUTE)
  const newRoutes = [...(edits.prependRoutes ?? []), ...(edits.replaceRoutes ?? [])]
  if (newRoutes.length > 0) {
    patches.insert(topRoute?.start ?? belowVias(message), newRoutes.map((value) => line('Route', value)).join(''))
  }
  if (edits.replaceRoutes !== undefined) for (const there of linesOf(message, SIP_H_ROUTE)) patches.cut(there)
  else if (edits.removeTopRoute && topRoute !== undefined) cutFirstValue(message, topRoute, patches)
}

function isNamed(message: SipMessage, there: Line, name: HeaderName): boolean {
  const id = headerId(name)
  if (id !== SIP_H_OTHER) return there.id === id
  return (
    there.id === SIP_H_OTHER &&
    there.nameLength === name.length &&
    message.latin1(there.start, there.start + there.nameLength).toLowerCase() === name.toLowerCase()
  )
}

/**
 * A response to a request, as 8.2.6 has it: its Via lines, From, To, Call-ID and CSeq, octet for octet; then `headers` and
 * Content-Length. Whatever of these the request has not is left out: also malformed requests can be answered.
 */
export function response(
  request: SipRequest,
  status: number,
  reason: string,
  options: {
    /** Added to a To that has no tag, and can have one. */
    readonly toTag?: string
    readonly headers?: readonly (readonly [name: string, value: string])[]
    readonly body?: Uint8Array | string
  } = {},
): Buffer {
  const { index } = request
  const count = index[SI_HEADER_COUNT]!
  // A character an octet: what is copied stays as it is, what is ours is written as UTF-8.
  let head = `SIP/2.0 ${status} ${octetText(oneLine(reason))}\r\n`
  let isTop = true
  for (let i = 0; i < count; i++) {
    if (index[SI_TABLE + i * SIP_HEADER_WORDS + SH_ID] !== SIP_H_VIA) continue
    head += isTop && request.received !== null ? topViaLine(request, i, request.received) : rawLine(request, i)
    isTop = false
  }
  const from = placeOf(request, SIP_H_FROM)
  if (from >= 0) head += rawLine(request, from)
  const to = placeOf(request, SIP_H_TO)
  if (to >= 0) {
    const isTagged = options.toTag !== undefined && request.to !== null && request.to.tag === null
    head += isTagged ? withTag(request, to, oneLine(options.toTag)) : rawLine(request, to)
  }
  for (const id of copiedLast) {
    const there = placeOf(request, id)
    if (there >= 0) head += rawLine(request, there)
  }
  for (const [name, value] of options.headers ?? []) head += octetText(line(name, value))
  const body = typeof options.body === 'string' ? Buffer.from(options.body) : options.body
  head += `Content-Length: ${body?.length ?? 0}\r\n\r\n`
  const octets = Buffer.from(head, 'latin1')
  return body === undefined ? octets : Buffer.concat([octets, body])
}

const copiedLast = [SIP_H_CALL_ID, SIP_H_CSEQ] as const

/** A text as its octets in UTF-8, a character each. */
function octetText(text: string): string {
  return isAscii(text) ? text : Buffer.from(text).toString('latin1')
}

function isAscii(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 0x7f) return false
  return true
}

/** The header line at a place of the table. */
function rawLine(message: SipMessage, i: number): string {
  const { start, end } = lineAt(message, i)
  return message.latin1(start, end)
}

function topViaLine(request: SipRequest, i: number, received: Received): string {
  const via = lineAt(request, i)
  const patches = new Patches()
  addReceived(request, via, received, patches)
  return patches.appliedText(request, via.start, via.end)
}

function withTag(request: SipRequest, i: number, tag: string): string {
  const { start, valueEnd, end } = lineAt(request, i)
  return `${request.latin1(start, valueEnd)};tag=${tag}${request.latin1(valueEnd, end)}`
}

/** A header line of a message. */
function copyLine(message: SipMessage, { start, end }: Line): Buffer {
  return message.octets.subarray(start, end)
}

/** The ACK for a final response other than 2xx (S-35). `invite` is the request as we sent it. */
export function ackFor(invite: SipRequest, responded: SipResponse): Buffer {
  return sameTransaction(invite, 'ACK', responded)
}

/** The CANCEL of a request (S-50), as we sent it. */
export function cancelFor(request: SipRequest): Buffer {
  return sameTransaction(request, 'CANCEL', request)
}

/** A request that goes where `request` went: same Request-URI, top Via, Route, From, Call-ID and CSeq number. */
function sameTransaction(request: SipRequest, method: string, toOf: SipMessage): Buffer {
  const lines = linesOf(request)
  const topVia = firstLine(request, SIP_H_VIA)
  const to = firstLine(toOf, SIP_H_TO)
  assert(topVia !== undefined && to !== undefined && request.cseq !== null, 'a request of our own, and its answer')
  const value = request.latin1(topVia.value, topVia.valueEnd)
  const via = request.octets.subarray(topVia.value, topVia.value + valueEnd(value, 0))
  const copies = lines.filter(({ id }) => id === SIP_H_ROUTE || id === SIP_H_FROM || id === SIP_H_CALL_ID)
  return Buffer.concat([
    Buffer.from(`${method} ${request.requestUri} SIP/2.0\r\nVia: `),
    via,
    Buffer.from('\r\n'),
    ...copies.map((there) => copyLine(request, there)),
    copyLine(toOf, to),
    Buffer.from(`CSeq: ${request.cseq.number} ${method}\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n`),
  ])
}
