// Reads one MSRP frame into the frame record (record.ts). Framing depends on the start line and the end-line alone
// (M-62); a malformed head is noted as an error class in the record and the frame is read on to its end.
import {
  ALPHANUM, CR, DIGIT, HTAB, HYPHEN, IDENT, SP, TOKEN, find, folded, is, line, lineBad, lineHigh, same, spanIdent, utf8,
} from './ascii'
import { forget, keepPaths, keepTail, samePaths, sameTail, tailLines, tailSeen } from './memo'
import { commonUri, uri } from './uri'
import { byteRange, contentType, expires, messageId, reportValue, seconds, statusCode, statusHeader } from './values'
import {
  FRAME_BAD_START_LINE, FRAME_COMPLETE, FRAME_HEADER_LIMIT, FRAME_INCOMPLETE_BODY, FRAME_INCOMPLETE_HEAD,
  FROM_URIS, HEADERS, HEADER_WORDS,
  H_AUTHENTICATION_INFO, H_AUTHORIZATION, H_BYTE_RANGE, H_CONTENT_TYPE, H_EXPIRES, H_FAILURE_REPORT, H_FROM_PATH,
  H_MAX_EXPIRES, H_MESSAGE_ID, H_MIME, H_MIN_EXPIRES, H_OTHER, H_STATUS, H_SUCCESS_REPORT, H_TO_PATH, H_USE_NICKNAME,
  H_USE_PATH, H_WWW_AUTHENTICATE,
  KIND_AUTH, KIND_OTHER, KIND_REPORT, KIND_RESPONSE, KIND_SEND,
  LIMITS, L_HEAD, L_HEADERS, L_HEADER_LINE, L_PATH_URIS, L_START_LINE, REPORT_YES,
  R_BODY_LENGTH, R_COMMENT, R_COMMENT_LENGTH, R_END, R_ERROR, R_EXPIRES, R_FAILURE_REPORT, R_FLAG, R_FROM,
  R_FROM_COUNT, R_FROM_LENGTH, R_HAS_BODY, R_HEADER_COUNT, R_HEAD_END, R_KIND, R_MESSAGE_ID, R_MESSAGE_ID_LENGTH,
  R_METHOD, R_METHOD_LENGTH, R_PATH_BLANKS, R_RANGE, R_RANGE_LENGTH, R_REST, R_RESUME, R_START, R_STATUS,
  R_STATUS_HEADER, R_SUCCESS_REPORT, R_TID, R_TID_LENGTH, R_TO, R_TO_COUNT, R_TO_LENGTH, TO_URIS,
} from '../record'

// Error classes: 1 + their index in parseErrorClasses, the order of M-60.
const BAD_HEADER_LINE = 4
const MISSING_TO_PATH = 5
const MISSING_FROM_PATH = 6
const PATH_ORDER = 7
const DUPLICATE_HEADER = 8
const BAD_URI = 9
const MISSING_MESSAGE_ID = 10
const BAD_MESSAGE_ID = 11
const BAD_BYTE_RANGE = 12
const BAD_REPORT_VALUE = 13
const BAD_STATUS = 14
const MISSING_STATUS = 15
const BAD_EXPIRES = 16
const CONTENT_TYPE_NOT_LAST = 17
const BAD_CONTENT_TYPE = 18
const BODY_WITHOUT_CONTENT_TYPE = 19
const MIME_HEADER_WITHOUT_BODY = 20
const FORBIDDEN_HEADER = 21
const BODY_IN_RESPONSE = 22
const BAD_FLAG = 23

const HYPHENS: u64 = 0x2d2d2d2d2d2d2d
const SEVEN: u64 = 0xffffffffffffff

/** Start of this lane's scratch area: the record stands there. */
export let R: usize = 0

/** The paths of the frame read last equal those of the frame before it, octet for octet. */
export let pathsAsBefore: bool = false

export function setScratch(scratch: usize): void {
  R = scratch
  forget()
}

@inline
export function get(word: i32): i32 {
  return load<i32>(R + (<usize>word << 2))
}

@inline
function set(word: i32, value: i32): void {
  store<i32>(R + (<usize>word << 2), value)
}

@inline
function limit(word: i32): i32 {
  return load<i32>(R + LIMITS + (<usize>word << 2))
}

@inline
function problem(cls: i32): void {
  if (get(R_ERROR) == 0) set(R_ERROR, cls)
}

@inline
function isFlag(octet: u8): bool {
  return octet == 36 || octet == 43 || octet == 35
}

/** "MSRP SP tid SP (method | code [SP comment])" from `p` to its CR at `end` (M-1, M-2, M-3). */
function startLine(p: usize, end: usize): bool {
  if (end - p < 11 || load<u32>(p) != 0x5052534d || load<u8>(p + 4) != SP) return false
  const tid = p + 5
  p = tid
  if (!is(load<u8>(p), ALPHANUM)) return false
  p = spanIdent(p, end)
  const length = p - tid
  if (length < 4 || length > 32 || p >= end || load<u8>(p) != SP) return false
  set(R_TID, <i32>tid)
  set(R_TID_LENGTH, <i32>length)
  p++
  if (p >= end) return false
  if (is(load<u8>(p), DIGIT)) {
    const code = statusCode(p, end)
    if (code < 0) return false
    p += 3
    set(R_KIND, KIND_RESPONSE)
    set(R_STATUS, code)
    if (p == end) return true
    if (load<u8>(p) != SP || (lineHigh && !utf8(p, end, false))) return false
    set(R_COMMENT, <i32>(p + 1))
    set(R_COMMENT_LENGTH, <i32>(end - p - 1))
    return true
  }
  const method = p
  while (p < end && load<u8>(p) >= 65 && load<u8>(p) <= 90) p++
  if (p == method || p != end) return false
  set(R_METHOD, <i32>method)
  set(R_METHOD_LENGTH, <i32>(end - method))
  const name = folded(method, end - method)
  set(R_KIND, end - method == 4 && name == 0x646e6573 ? KIND_SEND
    : end - method == 6 && name == 0x74726f706572 ? KIND_REPORT
    : end - method == 4 && name == 0x68747561 ? KIND_AUTH
    : KIND_OTHER)
  return true
}

/** Whether a line that has no CRLF yet is longer than `most` octets, whatever comes. */
@inline
function tooLong(p: usize, end: usize, most: usize): bool {
  return end - p > most && (load<u8>(p + most) != CR || end - p > most + 1)
}

/** Whether the octets, which hold no CRLF, can still become a start line: what cannot is not worth waiting for. */
function couldBeStartLine(p: usize, end: usize): bool {
  const mask = (<u64>1 << (<u64>(end - p < 5 ? end - p : 5) << 3)) - 1
  if ((load<u64>(p) & mask) != (0x205052534d & mask)) return false
  p += 5
  if (p >= end) return true
  const tid = p
  if (!is(load<u8>(p), ALPHANUM)) return false
  while (p < end && is(load<u8>(p), IDENT)) p++
  if (p - tid > 32) return false
  if (p == end) return true
  if (p - tid < 4 || load<u8>(p) != SP) return false
  p++
  if (p == end) return true
  // Half of the CRLF may be here.
  const cr = load<u8>(end - 1) == CR
  const last = cr ? end - 1 : end
  if (is(load<u8>(p), DIGIT)) {
    const code = p
    while (p < last && p - code < 3 && is(load<u8>(p), DIGIT)) p++
    if (p == last) return !cr || p - code == 3
    if (p - code < 3 || load<u8>(p) != SP) return false
    for (let i = p; i < last; i++) {
      const octet = load<u8>(i)
      if ((octet < 32 && octet != HTAB) || octet == 127) return false
    }
    return utf8(p, last, !cr)
  }
  const method = p
  while (p < last && load<u8>(p) >= 65 && load<u8>(p) <= 90) p++
  return p == last && p > method
}

/** A letter and token characters (M-25). */
function isName(p: usize, end: usize): bool {
  if (p == end || !is(load<u8>(p), ALPHANUM) || is(load<u8>(p), DIGIT)) return false
  while (p < end && is(load<u8>(p), TOKEN)) p++
  return p == end
}

/** The id of a header name of `length` octets at `p` (M-1: in any case). */
function headerId(p: usize, length: usize): i32 {
  const head = folded(p, length)
  switch (<i32>length) {
    case 6: return head == 0x737574617473 ? H_STATUS : H_OTHER
    case 7:
      if (head == 0x687461702d6f74) return H_TO_PATH
      return head == 0x73657269707865 ? H_EXPIRES : H_OTHER
    case 8:
      if (head == 0x687461702d657375) return H_USE_PATH
      break
    case 9:
      if (head == 0x7461702d6d6f7266 && folded(p + 8, 1) == 0x68) return H_FROM_PATH
      break
    case 10:
      if (head == 0x2d6567617373656d) return folded(p + 8, 2) == 0x6469 ? H_MESSAGE_ID : H_OTHER
      if (head == 0x2d746e65746e6f63) return H_MIME
      return head == 0x6e61722d65747962 && folded(p + 8, 2) == 0x6567 ? H_BYTE_RANGE : H_OTHER
    case 11:
      if (folded(p + 8, 3) == 0x736572) {
        if (head == 0x697078652d6e696d) return H_MIN_EXPIRES
        if (head == 0x697078652d78616d) return H_MAX_EXPIRES
      }
      break
    case 12:
      if (head == 0x2d746e65746e6f63) return folded(p + 8, 4) == 0x65707974 ? H_CONTENT_TYPE : H_MIME
      return head == 0x6b63696e2d657375 && folded(p + 8, 4) == 0x656d616e ? H_USE_NICKNAME : H_OTHER
    case 13:
      if (head == 0x7a69726f68747561) return folded(p + 8, 5) == 0x6e6f697461 ? H_AUTHORIZATION : H_OTHER
      break
    case 14:
      if (folded(p + 8, 6) == 0x74726f706572) {
        if (head == 0x2d73736563637573) return H_SUCCESS_REPORT
        if (head == 0x2d6572756c696166) return H_FAILURE_REPORT
      }
      break
    case 16:
      if (head == 0x687475612d777777) return folded(p + 8, 8) == 0x6574616369746e65 ? H_WWW_AUTHENTICATE : H_OTHER
      break
    case 19:
      if (head == 0x69746e6568747561 && folded(p + 8, 8) == 0x692d6e6f69746163) {
        return folded(p + 16, 3) == 0x6f666e ? H_AUTHENTICATION_INFO : H_OTHER
      }
      break
  }
  return length >= 8 && head == 0x2d746e65746e6f63 ? H_MIME : H_OTHER
}

/** URIs separated by SPs (M-27). Writes address and end of each to `table` (0: nowhere). Count, 0 if bad, -1 if too many. */
function path(p: usize, end: usize, table: usize): i32 {
  let count = 0
  const most = limit(L_PATH_URIS)
  let good = true
  while (p < end) {
    if (count == most) return -1
    let next = commonUri(p, end)
    if (next == 0) {
      next = p
      while (next < end && load<u8>(next) != SP) next++
      if (!uri(p, next)) good = false
    }
    if (table != 0) {
      store<i32>(table + (<usize>count << 3), <i32>p)
      store<i32>(table + (<usize>count << 3) + 4, <i32>next)
    }
    count++
    p = next
    while (p < end && load<u8>(p) == SP) p++
    if (table != 0 && p - next > 1) set(R_PATH_BLANKS, 1)
  }
  return good ? count : 0
}

/** Reads the value of a header we know (M-20 … M-38). Returns false when a path is over its limit. */
function interpret(id: i32, p: usize, end: usize): bool {
  switch (id) {
    case H_TO_PATH: {
      const count = path(p, end, R + TO_URIS)
      if (count < 0) return false
      if (count == 0) problem(BAD_URI)
      set(R_TO, <i32>p)
      set(R_TO_LENGTH, <i32>(end - p))
      set(R_TO_COUNT, count)
      break
    }
    case H_FROM_PATH: {
      const count = path(p, end, R + FROM_URIS)
      if (count < 0) return false
      if (count == 0) problem(BAD_URI)
      set(R_FROM, <i32>p)
      set(R_FROM_LENGTH, <i32>(end - p))
      set(R_FROM_COUNT, count)
      break
    }
    case H_USE_PATH: {
      const count = path(p, end, 0)
      if (count < 0) return false
      if (count == 0) problem(BAD_URI)
      break
    }
    case H_MESSAGE_ID:
      if (!messageId(p, end)) problem(BAD_MESSAGE_ID)
      set(R_MESSAGE_ID, <i32>p)
      set(R_MESSAGE_ID_LENGTH, <i32>(end - p))
      break
    case H_BYTE_RANGE:
      if (!byteRange(R, p, end)) problem(BAD_BYTE_RANGE)
      set(R_RANGE, <i32>p)
      set(R_RANGE_LENGTH, <i32>(end - p))
      break
    case H_SUCCESS_REPORT: {
      const value = reportValue(p, end, false)
      if (value < 0) problem(BAD_REPORT_VALUE)
      else set(R_SUCCESS_REPORT, value == REPORT_YES ? 1 : 0)
      break
    }
    case H_FAILURE_REPORT: {
      const value = reportValue(p, end, true)
      if (value < 0) problem(BAD_REPORT_VALUE)
      set(R_FAILURE_REPORT, value)
      break
    }
    case H_STATUS:
      if (!statusHeader(R, p, end)) problem(BAD_STATUS)
      break
    case H_EXPIRES:
      if (!expires(R, p, end)) problem(BAD_EXPIRES)
      break
    case H_MIN_EXPIRES:
    case H_MAX_EXPIRES:
      if (seconds(p, end) < 0) problem(BAD_EXPIRES)
      break
    case H_CONTENT_TYPE:
      if (!contentType(p, end)) problem(BAD_CONTENT_TYPE)
      break
  }
  return true
}

/**
 * A repeated header's value is not judged, but a path still has its limit, and a Failure-Report after one without sense
 * still tells whether the sender wants an answer (M-61). Returns false when a path is over its limit.
 */
function repeated(id: i32, p: usize, end: usize): bool {
  if (id == H_FAILURE_REPORT && get(R_FAILURE_REPORT) < 0) set(R_FAILURE_REPORT, reportValue(p, end, true))
  return (id != H_TO_PATH && id != H_FROM_PATH && id != H_USE_PATH) || path(p, end, 0) >= 0
}

/** As findEnd, for the transaction id that stands at `tid`: what is left to do for a body whose head is known. */
export function bodyEnd(tid: usize, length: usize, p: usize, end: usize): usize {
  set(R_TID, <i32>tid)
  set(R_TID_LENGTH, <i32>length)
  return findEnd(p, end)
}

/**
 * First address from `p` on of CRLF, end-line, CRLF for the record's transaction id (M-10), or 0: then R_RESUME is
 * where the search goes on when more octets have come.
 */
export function findEnd(p: usize, end: usize): usize {
  const tid = <usize>get(R_TID)
  const length = <usize>get(R_TID_LENGTH)
  const whole = length + 12
  const cr = i8x16.splat(13)
  const hyphen = i8x16.splat(45)
  // Four steps at once while nothing looks like an end-line.
  while (p + whole + 64 <= end) {
    const a = v128.and(i8x16.eq(v128.load(p), cr), i8x16.eq(v128.load(p, 2), hyphen))
    const b = v128.and(i8x16.eq(v128.load(p, 16), cr), i8x16.eq(v128.load(p, 18), hyphen))
    const c = v128.and(i8x16.eq(v128.load(p, 32), cr), i8x16.eq(v128.load(p, 34), hyphen))
    const d = v128.and(i8x16.eq(v128.load(p, 48), cr), i8x16.eq(v128.load(p, 50), hyphen))
    if (v128.any_true(v128.or(v128.or(a, b), v128.or(c, d)))) break
    p += 64
  }
  while (p + whole + 16 <= end) {
    let marks = <u32>i8x16.bitmask(v128.and(i8x16.eq(v128.load(p), cr), i8x16.eq(v128.load(p, 2), hyphen)))
    while (marks != 0) {
      const at = p + <usize>ctz(marks)
      if (endLineAt(at, tid, length)) return at
      marks &= marks - 1
    }
    p += 16
  }
  for (; p < end; p++) {
    if (load<u8>(p) != CR) continue
    if (p + whole <= end) {
      if (endLineAt(p, tid, length)) return p
    } else if (couldBeEndLine(p, end, tid, length)) break
  }
  set(R_RESUME, <i32>p)
  return 0
}

/** A whole CRLF, end-line, CRLF stands at `p`. */
function endLineAt(p: usize, tid: usize, length: usize): bool {
  if (load<u8>(p + 1) != 10 || (load<u64>(p + 2) & SEVEN) != HYPHENS) return false
  const after = p + 9 + length
  return isFlag(load<u8>(after)) && load<u16>(after + 1) == 0x0a0d && same(p + 9, tid, length)
}

/** The octets from `p` to `end` are a beginning of CRLF, end-line, CRLF. */
function couldBeEndLine(p: usize, end: usize, tid: usize, length: usize): bool {
  for (let i: usize = 0; p + i < end; i++) {
    const octet = load<u8>(p + i)
    if (i == 0 || i == length + 10) {
      if (octet != CR) return false
    } else if (i == 1) {
      if (octet != 10) return false
    } else if (i < 9) {
      if (octet != HYPHEN) return false
    } else if (i < 9 + length) {
      if (octet != load<u8>(tid + i - 9)) return false
    } else if (!isFlag(octet)) return false
  }
  return true
}

/** The line from `p` to its CR at `end` is the record's end-line (M-5). */
function isEndLine(p: usize, end: usize): bool {
  const length = <usize>get(R_TID_LENGTH)
  return end - p == length + 8 && (load<u64>(p) & SEVEN) == HYPHENS && isFlag(load<u8>(end - 1)) &&
    same(p + 7, <usize>get(R_TID), length)
}

/**
 * First place from `p` on where a head that was incomplete may now end (an empty line or an end-line), or 0: a cheap
 * look that keeps a peer who sends an octet at a time from having its whole head read again each time.
 */
export function headMayEnd(p: usize, end: usize): usize {
  for (; p + 2 < end; p++) {
    if (load<u8>(p) == CR) {
      const next = load<u8>(p + 2)
      if (next == CR || next == HYPHEN) return p
    }
  }
  return 0
}

/**
 * Reads one frame that starts at `p`; `from` is where the search for its end-line begins when an earlier look has got
 * so far, else 0. FRAME_COMPLETE: the record is filled, R_ERROR tells whether the frame is well
 * formed. FRAME_INCOMPLETE_BODY: the same, but the end-line is not here yet: R_RESUME. FRAME_INCOMPLETE_HEAD: more
 * octets are needed. FRAME_BAD_START_LINE and FRAME_HEADER_LIMIT: the connection is beyond repair (M-60).
 */
export function frame(p: usize, end: usize, from: usize): i32 {
  // memory.fill is a call out of the kernel that costs more than reading a line.
  for (let i: usize = 0; i < 176; i += 16) v128.store(R + i, i64x2.splat(0))
  set(R_START, <i32>p)
  set(R_COMMENT_LENGTH, -1)
  set(R_STATUS_HEADER, -1)
  store<f64>(R + (R_EXPIRES << 2), -1)
  const startMax = <usize>limit(L_START_LINE)
  const start = p
  let stop = end - p > startMax + 2 ? p + startMax + 2 : end
  let at = line(p, stop)
  if (at == 0) {
    return !tooLong(p, end, startMax) && couldBeStartLine(p, end) ? FRAME_INCOMPLETE_HEAD : FRAME_BAD_START_LINE
  }
  if (at - p > startMax || lineBad || !startLine(p, at)) return FRAME_BAD_START_LINE
  p = at + 2

  const lineMax = <usize>limit(L_HEADER_LINE)
  const headMax = <usize>limit(L_HEAD)
  const headersMax = limit(L_HEADERS)
  let lines = 0
  let entries = 0
  let seen: u32 = 0
  let mime = false
  let pathProblem = 0
  let firstLineBad = false
  let hasBody = false
  const firstLine = p
  // Where the lines behind the Message-ID begin, if they are as they are in most frames.
  let tail: usize = 0
  // As many lines and octets as the last frame's paths are within every limit, or it would not have been kept.
  pathsAsBefore = samePaths(p, end)
  if (pathsAsBefore) {
    p = <usize>get(R_REST)
    lines = 2
    entries = 2
    seen = (1 << H_TO_PATH) | (1 << H_FROM_PATH)
  }
  while (true) {
    stop = end - p > lineMax + 2 ? p + lineMax + 2 : end
    at = line(p, stop)
    if (at == 0) {
      if (tooLong(p, end, lineMax) || end - start > headMax) return FRAME_HEADER_LIMIT
      return FRAME_INCOMPLETE_HEAD
    }
    if (at - p > lineMax || at + 2 - start > headMax) return FRAME_HEADER_LIMIT
    if (at == p) {
      hasBody = true
      set(R_HEAD_END, <i32>(p + 2))
      if (tail != 0 && get(R_ERROR) == 0) keepTail(tail, p + 2, 3, entries)
      break
    }
    if (load<u8>(p) == HYPHEN && isEndLine(p, at)) {
      set(R_HEAD_END, <i32>p)
      break
    }
    if (++lines > headersMax) return FRAME_HEADER_LIMIT

    // Name, colon, value without the blanks around it (M-24, M-25).
    const colon = find(58, p, at)
    let value = colon + 1
    const id = headerId(p, colon - p)
    const named = id != H_OTHER && id != H_MIME ? true : isName(p, colon)
    if (colon == at || !named || lineBad || (lineHigh && !utf8(value, at, false))) {
      // M-12, M-13: folded lines, stray controls and broken UTF-8 end here too.
      problem(BAD_HEADER_LINE)
      if (lines == 1) firstLineBad = true
      else if (lines == 2 && pathProblem == 0) pathProblem = H_FROM_PATH
      p = at + 2
      continue
    }
    let last = at
    while (value < last && (load<u8>(value) == SP || load<u8>(value) == HTAB)) value++
    while (last > value && (load<u8>(last - 1) == SP || load<u8>(last - 1) == HTAB)) last--
    const entry = R + HEADERS + <usize>(entries * (HEADER_WORDS << 2))
    entries++
    store<i32>(entry, id)
    store<i32>(entry + 4, <i32>p)
    store<i32>(entry + 8, <i32>(colon - p))
    store<i32>(entry + 12, <i32>value)
    store<i32>(entry + 16, <i32>(last - value))

    // M-20: To-Path, then From-Path, before everything else.
    if (lines == 1 && id != H_TO_PATH) pathProblem = H_TO_PATH
    else if (lines == 2 && id != H_FROM_PATH && id != H_TO_PATH && pathProblem == 0) pathProblem = H_FROM_PATH
    if (id != H_OTHER) {
      const bit: u32 = 1 << id
      if (id < H_AUTHORIZATION && (seen & bit) != 0) {
        problem(DUPLICATE_HEADER)
        if (!repeated(id, value, last)) return FRAME_HEADER_LIMIT
      } else if (!interpret(id, value, last)) return FRAME_HEADER_LIMIT
      if (id == H_CONTENT_TYPE || id == H_MIME) mime = true
      if (lines == 2 && id == H_FROM_PATH) {
        set(R_REST, <i32>(at + 2))
        if (get(R_ERROR) == 0 && pathProblem == 0) keepPaths(firstLine, p)
      }
    }
    if ((seen & (1 << H_CONTENT_TYPE)) != 0) problem(CONTENT_TYPE_NOT_LAST)
    if (id != H_OTHER) seen |= 1 << id
    p = at + 2
    if (id == H_MESSAGE_ID && lines == 3 && get(R_ERROR) == 0 && pathProblem == 0) {
      tail = p
      const length = sameTail(p, end, 3)
      // As many lines as before are within the limit, but what stands before them may be longer.
      if (length != 0 && p + length - start <= headMax) {
        entries += tailLines
        seen |= tailSeen
        mime = (tailSeen & ((1 << H_CONTENT_TYPE) | (1 << H_MIME))) != 0
        hasBody = true
        set(R_HEAD_END, <i32>(p + length))
        break
      }
    }
  }
  set(R_HEADER_COUNT, entries)
  const kind = get(R_KIND)

  if (firstLineBad) {
    // The first line's own fault stands.
  } else if (pathProblem == H_TO_PATH || lines == 0) {
    set(R_ERROR, (seen & (1 << H_TO_PATH)) != 0 ? PATH_ORDER : MISSING_TO_PATH)
  } else if (pathProblem == H_FROM_PATH || (seen & (1 << H_FROM_PATH)) == 0) {
    set(R_ERROR, (seen & (1 << H_FROM_PATH)) != 0 ? PATH_ORDER : MISSING_FROM_PATH)
  }
  assert(get(R_ERROR) != 0 || get(R_REST) != 0)
  if ((kind == KIND_SEND || kind == KIND_REPORT) && (seen & (1 << H_MESSAGE_ID)) == 0) problem(MISSING_MESSAGE_ID)
  if (kind == KIND_REPORT) {
    if ((seen & (1 << H_STATUS)) == 0) problem(MISSING_STATUS)
    if ((seen & ((1 << H_FAILURE_REPORT) | (1 << H_SUCCESS_REPORT))) != 0) problem(FORBIDDEN_HEADER)
  }
  const typed = (seen & (1 << H_CONTENT_TYPE)) != 0

  if (!hasBody) {
    if (mime) problem(MIME_HEADER_WITHOUT_BODY)
    const flag = load<u8>(at - 1)
    if (flag != 36 && kind != KIND_SEND) problem(BAD_FLAG)
    set(R_FLAG, flag)
    set(R_END, <i32>(at + 2))
    return FRAME_COMPLETE
  }
  set(R_HAS_BODY, 1)
  if (kind == KIND_RESPONSE) problem(BODY_IN_RESPONSE)
  else if (!typed) problem(BODY_WITHOUT_CONTENT_TYPE)
  // M-11: the empty line's own CRLF may stand before the end-line.
  const found = findEnd(from != 0 ? from : <usize>get(R_HEAD_END) - 2, end)
  if (found == 0) return FRAME_INCOMPLETE_BODY
  const body = <usize>get(R_HEAD_END)
  set(R_BODY_LENGTH, found >= body ? <i32>(found - body) : 0)
  const flag = load<u8>(found + 9 + <usize>get(R_TID_LENGTH))
  if (flag != 36 && get(R_KIND) != KIND_SEND) problem(BAD_FLAG)
  set(R_FLAG, flag)
  set(R_END, <i32>(found + <usize>get(R_TID_LENGTH) + 12))
  return FRAME_COMPLETE
}
