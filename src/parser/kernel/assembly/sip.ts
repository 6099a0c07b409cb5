// Indexes one SIP message (sip-record.ts): the start line, where each header's name and value are, where the message ends.
// What values mean is decided in TypeScript, when somebody asks; but what everybody asks is read here (sip-values.ts).
import { CR, DIGIT, HTAB, LF, SP, find, folded, is, noBlanks } from './ascii'
import { NO_DECIMAL, callId, cseq, decimal, methodId, nameAddr, spanToken, via } from './sip-values'
import {
  SH_ID, SH_NAME, SH_NAME_LENGTH, SH_VALUE, SH_VALUE_LENGTH, SI_ASCII, SI_BODY_MAX, SI_END, SI_FAULT, SI_FROM_URI,
  SI_HEADERS, SI_HEADERS_END, SI_HEADERS_MAX, SI_HEADER_COUNT, SI_HEADER_LINE_MAX, SI_HEAD_END, SI_HEAD_MAX, SI_KIND,
  SI_MAX_FORWARDS, SI_METHOD, SI_METHOD_LENGTH, SI_READ, SI_REASON, SI_REASON_LENGTH, SI_SEEN, SI_START,
  SI_START_LINE_MAX, SI_STATUS, SI_TABLE, SI_TO_URI, SI_UNFOLDED, SI_URI, SI_URI_LENGTH, SIP_BROKEN, SIP_COMPLETE,
  SIP_FAULT_BODY_LIMIT, SIP_FAULT_CONTENT_LENGTH, SIP_FAULT_DUPLICATE,
  SIP_FAULT_HEADERS_LIMIT, SIP_FAULT_HEADER_LIMIT, SIP_FAULT_HEADER_LINE, SIP_FAULT_HEAD_LIMIT, SIP_FAULT_MISSING,
  SIP_FAULT_NOT_SIP, SIP_FAULT_START_LINE, SIP_FAULT_START_LINE_LIMIT, SIP_FAULT_STATUS, SIP_FAULT_TRUNCATED_BODY,
  SIP_FAULT_TRUNCATED_HEAD, SIP_FAULT_VERSION, SIP_HEADER_WORDS, SIP_INCOMPLETE_BODY, SIP_INCOMPLETE_HEAD, SIP_NONE,
  SIP_REQUEST, SIP_RESPONSE, SIP_STREAM, SIP_H_ACCEPT_CONTACT, SIP_H_ALLOW_EVENTS, SIP_H_AUTHORIZATION,
  SIP_H_CALL_ID, SIP_H_CONTACT, SIP_H_CONTENT_ENCODING, SIP_H_CONTENT_LENGTH, SIP_H_CONTENT_TYPE, SIP_H_CSEQ,
  SIP_H_EVENT, SIP_H_EXPIRES, SIP_H_FROM, SIP_H_IDENTITY, SIP_H_MAX_FORWARDS, SIP_H_PATH, SIP_H_PROXY_AUTHORIZATION,
  SIP_H_PROXY_REQUIRE, SIP_H_RECORD_ROUTE, SIP_H_REFERRED_BY, SIP_H_REFER_TO, SIP_H_REJECT_CONTACT,
  SIP_H_REQUEST_DISPOSITION, SIP_H_REQUIRE, SIP_H_ROUTE, SIP_H_SESSION_EXPIRES, SIP_H_SUBJECT, SIP_H_SUPPORTED,
  SIP_H_TO, SIP_H_VIA, SIP_H_MALFORMED, SIP_H_OTHER,
} from '../sip-record'

/** Address of the index of the message being read. */
let I: usize = 0
/** Sets of headers, a bit an id: what a message may have but once, what it must have (S-6), and what it has. */
const SINGLE: u32 = 1 << SIP_H_FROM | 1 << SIP_H_TO | 1 << SIP_H_CALL_ID | 1 << SIP_H_CSEQ | 1 << SIP_H_MAX_FORWARDS
const REQUIRED: u32 = 1 << SIP_H_VIA | 1 << SIP_H_FROM | 1 << SIP_H_TO | 1 << SIP_H_CALL_ID | 1 << SIP_H_CSEQ
let seen: u32 = 0
/** Some value that `SI_READ` is about was not read. */
let unread: bool = false
/** Content-Length: a value up to 2^31 - 1 (more counts as that), or one of these. */
const ABSENT: i32 = -1
const BAD: i32 = NO_DECIMAL
let contentLength: i32 = ABSENT

@inline
function get(word: i32): i32 {
  return load<i32>(I + (<usize>word << 2))
}

@inline
function set(word: i32, value: i32): void {
  store<i32>(I + (<usize>word << 2), value)
}

@inline
function fault(what: i32): void {
  if (get(SI_FAULT) == 0) set(SI_FAULT, what)
}

@inline
function isBlank(octet: u8): bool {
  return octet == SP || octet == HTAB
}

/** The line that `lineEnd` found has a CR or an LF of its own in it. */
let stray: bool = false

/** Address of the CR of the first CRLF from `p` on, or 0 when there is none before `end`. */
function lineEnd(p: usize, end: usize): usize {
  const cr = i8x16.splat(13)
  const lf = i8x16.splat(10)
  stray = false
  while (p < end) {
    const v = v128.load(p)
    let marks = <u32>i8x16.bitmask(v128.or(i8x16.eq(v, cr), i8x16.eq(v, lf)))
    const left = end - p
    if (left < 16) marks &= (1 << <u32>left) - 1
    while (marks != 0) {
      const at = p + <usize>ctz(marks)
      if (load<u8>(at) == CR) {
        if (at + 1 >= end) return 0
        if (load<u8>(at + 1) == LF) return at
      }
      stray = true
      marks &= marks - 1
    }
    p += 16
  }
  return 0
}

@inline
function spanDigits(p: usize, end: usize): usize {
  while (p < end && is(load<u8>(p), DIGIT)) p++
  return p
}

/** Whether "SIP/", in any case, stands at `p` (S-1). */
@inline
function isSip(p: usize, end: usize): bool {
  return end - p >= 4 && folded(p, 4) == 0x2f706973 && load<u8>(p + 3) == 47
}

/** "SIP/1*DIGIT.1*DIGIT" from `p` to `end`: 1 for SIP/2.0, 0 for another version, -1 for none at all (S-1). */
function version(p: usize, end: usize): i32 {
  if (!isSip(p, end)) return -1
  const major = p + 4
  const dot = spanDigits(major, end)
  if (dot == major || dot >= end || load<u8>(dot) != 46 || dot + 1 == end || spanDigits(dot + 1, end) != end) return -1
  return end - p == 7 && load<u8>(major) == 50 && load<u8>(dot + 1) == 48 ? 1 : 0
}

/** SIP/2.0 SP 3DIGIT SP reason (S-1), from `p` to its CR at `end`. */
function statusLine(p: usize, end: usize): void {
  set(SI_KIND, SIP_RESPONSE)
  if (stray) fault(SIP_FAULT_START_LINE)
  let at = find(SP, p, end)
  const known = version(p, at)
  if (known < 0) fault(SIP_FAULT_START_LINE)
  else if (known == 0) fault(SIP_FAULT_VERSION)
  at++
  const code = at < end ? spanDigits(at, end) : at
  if (code == at || code >= end || load<u8>(code) != SP) {
    fault(SIP_FAULT_START_LINE)
    return
  }
  if (code - at != 3) {
    fault(SIP_FAULT_STATUS)
    return
  }
  const status = (<i32>load<u8>(at) - 48) * 100 + (<i32>load<u8>(at + 1) - 48) * 10 + <i32>load<u8>(at + 2) - 48
  set(SI_STATUS, status)
  set(SI_REASON, <i32>(at + 4 - p))
  set(SI_REASON_LENGTH, <i32>(end - at - 4))
  // S-13
  if (status < 100 || status > 699) fault(SIP_FAULT_STATUS)
}

/**
 * method SP Request-URI SP SIP/2.0 (S-1), from `p` to its CR at `end`. A line with more blanks than these is still known
 * for a request, to be answered (S-13).
 */
function requestLine(p: usize, end: usize): void {
  const method = spanToken(p, end)
  if (method == p || method >= end || !isBlank(load<u8>(method))) return
  let last = end
  while (isBlank(load<u8>(last - 1))) last--
  if (last <= method) return
  let word = last
  while (!isBlank(load<u8>(word - 1))) word--
  const known = version(word, last)
  if (known < 0 || word <= method) return
  set(SI_KIND, SIP_REQUEST)
  set(SI_METHOD, methodId(p, method - p))
  set(SI_METHOD_LENGTH, <i32>(method - p))
  let uri = method
  let uriEnd = word
  while (uri < uriEnd && isBlank(load<u8>(uri))) uri++
  while (uriEnd > uri && isBlank(load<u8>(uriEnd - 1))) uriEnd--
  set(SI_URI, <i32>(uri - p))
  set(SI_URI_LENGTH, <i32>(uriEnd - uri))
  const single = uri == method + 1 && load<u8>(method) == SP && uriEnd + 1 == word && load<u8>(uriEnd) == SP
  if (stray || !single || last != end || uri == uriEnd || !noBlanks(uri, uriEnd)) fault(SIP_FAULT_START_LINE)
  else if (known == 0) fault(SIP_FAULT_VERSION)
}

/** Reads the value of Content-Length, from `p` to `end` (S-5). */
function readContentLength(p: usize, end: usize): void {
  const value = decimal(p, end)
  // Repeats of one value contradict nothing.
  contentLength = contentLength == ABSENT || contentLength == value ? value : BAD
}

/** The id of a header name, a token of `length` octets at `p` (S-2: in any case; S-4). */
function headerId(p: usize, length: usize): i32 {
  const head = folded(p, length)
  switch (<i32>length) {
    case 1: return compactId(<u32>head)
    case 2:
      if (head == 0x6f74) return SIP_H_TO // To
      break
    case 3:
      if (head == 0x616976) return SIP_H_VIA // Via
      break
    case 4:
      if (head == 0x6d6f7266) return SIP_H_FROM // From
      if (head == 0x71657363) return SIP_H_CSEQ // CSeq
      if (head == 0x68746170) return SIP_H_PATH // Path
      break
    case 5:
      if (head == 0x6574756f72) return SIP_H_ROUTE // Route
      if (head == 0x746e657665) return SIP_H_EVENT // Event
      break
    case 7:
      if (head == 0x64692d6c6c6163) return SIP_H_CALL_ID // Call-ID
      if (head == 0x746361746e6f63) return SIP_H_CONTACT // Contact
      if (head == 0x73657269707865) return SIP_H_EXPIRES // Expires
      if (head == 0x65726975716572) return SIP_H_REQUIRE // Require
      if (head == 0x7463656a627573) return SIP_H_SUBJECT // Subject
      break
    case 8:
      if (head == 0x6f742d7265666572) return SIP_H_REFER_TO // Refer-To
      if (head == 0x797469746e656469) return SIP_H_IDENTITY // Identity
      break
    case 9:
      if (head == 0x6574726f70707573 && folded(p + 8, 1) == 0x64) return SIP_H_SUPPORTED // Supported
      break
    case 11:
      if (head == 0x6465727265666572 && folded(p + 8, 3) == 0x79622d) return SIP_H_REFERRED_BY // Referred-By
      break
    case 12:
      if (head == 0x77726f662d78616d && folded(p + 8, 4) == 0x73647261) return SIP_H_MAX_FORWARDS // Max-Forwards
      if (head == 0x722d64726f636572 && folded(p + 8, 4) == 0x6574756f) return SIP_H_RECORD_ROUTE // Record-Route
      if (head == 0x2d746e65746e6f63 && folded(p + 8, 4) == 0x65707974) return SIP_H_CONTENT_TYPE // Content-Type
      if (head == 0x76652d776f6c6c61 && folded(p + 8, 4) == 0x73746e65) return SIP_H_ALLOW_EVENTS // Allow-Events
      break
    case 13:
      if (head == 0x65722d79786f7270 && folded(p + 8, 5) == 0x6572697571) return SIP_H_PROXY_REQUIRE // Proxy-Require
      if (head == 0x7a69726f68747561 && folded(p + 8, 5) == 0x6e6f697461) return SIP_H_AUTHORIZATION // Authorization
      break
    case 14:
      if (head == 0x2d746e65746e6f63 && folded(p + 8, 6) == 0x6874676e656c) return SIP_H_CONTENT_LENGTH // Content-Length
      if (head == 0x632d747065636361 && folded(p + 8, 6) == 0x746361746e6f) return SIP_H_ACCEPT_CONTACT // Accept-Contact
      if (head == 0x632d7463656a6572 && folded(p + 8, 6) == 0x746361746e6f) return SIP_H_REJECT_CONTACT // Reject-Contact
      break
    case 15:
      if (head == 0x2d6e6f6973736573 && folded(p + 8, 7) == 0x73657269707865) return SIP_H_SESSION_EXPIRES // Session-Expires
      break
    case 16:
      if (head == 0x2d746e65746e6f63 && folded(p + 8, 8) == 0x676e69646f636e65) return SIP_H_CONTENT_ENCODING // Content-Encoding
      break
    case 19:
      if (head == 0x75612d79786f7270 && folded(p + 8, 8) == 0x74617a69726f6874 && folded(p + 16, 3) == 0x6e6f69) return SIP_H_PROXY_AUTHORIZATION // Proxy-Authorization
      if (head == 0x2d74736575716572 && folded(p + 8, 8) == 0x7469736f70736964 && folded(p + 16, 3) == 0x6e6f69) return SIP_H_REQUEST_DISPOSITION // Request-Disposition
      break
  }
  return SIP_H_OTHER
}

/** The id of a compact form, a letter in lower case (S-4). */
function compactId(letter: u32): i32 {
  switch (letter) {
    case 97: return SIP_H_ACCEPT_CONTACT // a
    case 98: return SIP_H_REFERRED_BY // b
    case 99: return SIP_H_CONTENT_TYPE // c
    case 100: return SIP_H_REQUEST_DISPOSITION // d
    case 101: return SIP_H_CONTENT_ENCODING // e
    case 102: return SIP_H_FROM // f
    case 105: return SIP_H_CALL_ID // i
    case 106: return SIP_H_REJECT_CONTACT // j
    case 107: return SIP_H_SUPPORTED // k
    case 108: return SIP_H_CONTENT_LENGTH // l
    case 109: return SIP_H_CONTACT // m
    case 111: return SIP_H_EVENT // o
    case 114: return SIP_H_REFER_TO // r
    case 115: return SIP_H_SUBJECT // s
    case 116: return SIP_H_TO // t
    case 117: return SIP_H_ALLOW_EVENTS // u
    case 118: return SIP_H_VIA // v
    case 120: return SIP_H_SESSION_EXPIRES // x
    case 121: return SIP_H_IDENTITY // y
  }
  return SIP_H_OTHER
}

/** Enters the header line from `p` to its CR at `end`, continuation lines included (S-2). */
function headerLine(start: usize, p: usize, end: usize, bad: bool): void {
  const count = get(SI_HEADER_COUNT)
  const entry = I + (<usize>(SI_TABLE + count * SIP_HEADER_WORDS) << 2)
  set(SI_HEADER_COUNT, count + 1)
  const nameEnd = spanToken(p, end)
  let value = nameEnd
  while (value < end && isBlank(load<u8>(value))) value++
  if (bad || nameEnd == p || value >= end || load<u8>(value) != 58) {
    store<i32>(entry + (SH_ID << 2), SIP_H_MALFORMED)
    store<i32>(entry + (SH_NAME << 2), <i32>(p - start))
    store<i32>(entry + (SH_NAME_LENGTH << 2), 0)
    store<i32>(entry + (SH_VALUE << 2), <i32>(p - start))
    store<i32>(entry + (SH_VALUE_LENGTH << 2), <i32>(end - p))
    fault(SIP_FAULT_HEADER_LINE)
    return
  }
  value++
  // The only CRs and LFs in here are those of folds.
  while (value < end && (isBlank(load<u8>(value)) || load<u8>(value) == CR || load<u8>(value) == LF)) value++
  while (end > value && (isBlank(load<u8>(end - 1)) || load<u8>(end - 1) == CR || load<u8>(end - 1) == LF)) end--
  const id = headerId(p, nameEnd - p)
  store<i32>(entry + (SH_ID << 2), id)
  store<i32>(entry + (SH_NAME << 2), <i32>(p - start))
  store<i32>(entry + (SH_NAME_LENGTH << 2), <i32>(nameEnd - p))
  store<i32>(entry + (SH_VALUE << 2), <i32>(value - start))
  store<i32>(entry + (SH_VALUE_LENGTH << 2), <i32>(end - value))
  if (id == SIP_H_OTHER) return
  const bit: u32 = 1 << id
  // S-6
  if ((seen & bit & SINGLE) != 0) fault(SIP_FAULT_DUPLICATE)
  seen |= bit
  switch (id) {
    case SIP_H_VIA:
      if (!via(I, start, value, end)) unread = true
      break
    case SIP_H_FROM:
      if (!nameAddr(I, SI_FROM_URI, start, value, end)) unread = true
      break
    case SIP_H_TO:
      if (!nameAddr(I, SI_TO_URI, start, value, end)) unread = true
      break
    case SIP_H_CALL_ID:
      if (!callId(value, end)) unread = true
      break
    case SIP_H_CSEQ:
      if (!cseq(I, value, end)) unread = true
      break
    case SIP_H_MAX_FORWARDS:
      if (get(SI_MAX_FORWARDS) == ABSENT) set(SI_MAX_FORWARDS, decimal(value, end))
      break
    case SIP_H_CONTENT_LENGTH:
      readContentLength(value, end)
      break
  }
}

/** Whether all octets from `p` to `end` are ASCII. */
function isAscii(p: usize, end: usize): bool {
  while (p < end) {
    let marks = <u32>i8x16.bitmask(v128.load(p))
    const left = end - p
    if (left < 16) marks &= (1 << <u32>left) - 1
    if (marks != 0) return false
    p += 16
  }
  return true
}

/** Whether CRLFCRLF stands anywhere from `p` to `end`. */
function hasEmptyLine(p: usize, end: usize): bool {
  while (p + 4 <= end) {
    p = find(CR, p, end)
    if (p + 4 <= end && load<u32>(p) == 0x0a0d0a0d) return true
    p++
  }
  return false
}

/** The head ends here, and with it the message, for want of anything that tells where its body would. */
function endAt(start: usize, offset: i32): void {
  set(SI_ASCII, isAscii(start, start + <usize>offset) ? 1 : 0)
  set(SI_HEAD_END, offset)
  set(SI_END, offset)
}

/**
 * Reads the message that begins at `start` into the index at address `index`; `how` is SIP_WHOLE or SIP_STREAM. Returns one
 * of SIP_INCOMPLETE_HEAD, SIP_COMPLETE, SIP_INCOMPLETE_BODY, SIP_BROKEN; SIP_WHOLE always completes. A stream's message is
 * judged once its start line has ended, and again once its head has, so that it makes no difference how it is cut.
 */
export function sip(index: usize, start: usize, end: usize, how: i32): i32 {
  I = index
  seen = 0
  unread = false
  contentLength = ABSENT
  memory.fill(index, 0, SI_START_LINE_MAX << 2)
  set(SI_START, <i32>start)
  set(SI_UNFOLDED, 1)
  set(SI_MAX_FORWARDS, ABSENT)
  const stream = how == SIP_STREAM
  const failed = stream ? SIP_BROKEN : SIP_COMPLETE
  const length = end - start
  const headMax = <usize>get(SI_HEAD_MAX)
  const headStop = length > headMax ? start + headMax : end

  let p = lineEnd(start, headStop)
  if (p == 0 && stream && length < headMax) return SIP_INCOMPLETE_HEAD
  if (p != 0) {
    if (isSip(start, p)) statusLine(start, p)
    else requestLine(start, p)
  }
  if (get(SI_KIND) == SIP_NONE) {
    fault(SIP_FAULT_NOT_SIP)
    return failed
  }
  if (stream && length < headMax && !hasEmptyLine(p, end)) return SIP_INCOMPLETE_HEAD

  let limit = p - start > <usize>get(SI_START_LINE_MAX) ? SIP_FAULT_START_LINE_LIMIT : 0
  const headerLineMax = <usize>get(SI_HEADER_LINE_MAX)
  const headersMax = get(SI_HEADERS_MAX)
  let ended = false
  p += 2
  set(SI_HEADERS, <i32>(p - start))
  for (;;) {
    let at = lineEnd(p, headStop)
    if (at == p) {
      ended = true
      break
    }
    let bad = stray
    // S-2: a line that begins with a blank continues this one, so it ends only with the first octet of the next.
    while (at != 0 && at + 2 < headStop && isBlank(load<u8>(at + 2))) {
      set(SI_UNFOLDED, 0)
      at = lineEnd(at + 2, headStop)
      bad = bad || stray
    }
    if (at == 0) break
    if (get(SI_HEADER_COUNT) == headersMax) {
      if (limit == 0) limit = SIP_FAULT_HEADERS_LIMIT
      break
    }
    if (limit == 0 && at - p > headerLineMax) limit = SIP_FAULT_HEADER_LIMIT
    headerLine(start, p, at, bad)
    p = at + 2
  }
  const headersEnd = <i32>(p - start)
  set(SI_HEADERS_END, headersEnd)
  set(SI_SEEN, <i32>seen)
  if (!ended && limit == 0 && length >= headMax) limit = SIP_FAULT_HEAD_LIMIT
  if (limit != 0) {
    // What can be answered ends where the last whole line does.
    set(SI_FAULT, limit)
    endAt(start, headersEnd)
    return failed
  }
  if (!ended) {
    fault(SIP_FAULT_TRUNCATED_HEAD)
    endAt(start, <i32>length)
    return SIP_COMPLETE
  }
  const headEnd = headersEnd + 2
  endAt(start, headEnd)
  // S-6
  if ((seen & REQUIRED) != REQUIRED) fault(SIP_FAULT_MISSING)
  if (!unread && get(SI_FAULT) == 0) set(SI_READ, 1)
  const there = <i32>length - headEnd
  const bodyMax = get(SI_BODY_MAX)
  if (stream) {
    // S-5
    if (contentLength < 0 || contentLength > bodyMax) {
      set(SI_FAULT, contentLength < 0 ? SIP_FAULT_CONTENT_LENGTH : SIP_FAULT_BODY_LIMIT)
      return SIP_BROKEN
    }
    set(SI_END, headEnd + contentLength)
    return contentLength > there ? SIP_INCOMPLETE_BODY : SIP_COMPLETE
  }
  let body = there
  if (contentLength == BAD) fault(SIP_FAULT_CONTENT_LENGTH)
  else if (contentLength > there) fault(SIP_FAULT_TRUNCATED_BODY)
  else if (contentLength >= 0) body = contentLength
  if (body > bodyMax) {
    fault(SIP_FAULT_BODY_LIMIT)
    body = 0
  }
  set(SI_END, headEnd + body)
  return SIP_COMPLETE
}
