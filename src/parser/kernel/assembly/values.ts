// Values of the headers a relay interprets. Each function says whether the value is well formed; what it read goes to
// the frame record.
import { DIGIT, HTAB, SP, TOKEN, is, lineHigh, noBlanks } from './ascii'
import { R_EXPIRES, R_RANGE_END, R_RANGE_START, R_RANGE_TOTAL, R_STATUS_HEADER, REPORT_NO, REPORT_PARTIAL, REPORT_YES } from '../record'

const STAR: u8 = 42
const SLASH: u8 = 47
const DASH: u8 = 45
const MAX_SAFE: u64 = 9007199254740991

/** text/plain, which nearly every chat message is. */
const TEXT_PLA: u64 = 0x616c702f74786574
const IN: u16 = 0x6e69

let number: u64 = 0

/** Reads 1-20 digits of a value up to 2^53-1 into `number` (M-34). Address after them, 0 if bad. */
function decimal(p: usize, end: usize): usize {
  const first = p
  let total: u64 = 0
  while (p < end && is(load<u8>(p), DIGIT)) {
    if (p - first == 20 || total > MAX_SAFE) return 0
    total = total * 10 + (load<u8>(p) - 48)
    p++
  }
  if (p == first || total > MAX_SAFE) return 0
  number = total
  return p
}

/** Byte-Range (M-31, M-34). */
export function byteRange(record: usize, p: usize, end: usize): bool {
  p = decimal(p, end)
  if (p == 0 || number == 0) return false
  const start = <f64>number
  let last: f64 = -1
  let total: f64 = -1
  if (p >= end || load<u8>(p) != DASH) return false
  p++
  if (p < end && load<u8>(p) == STAR) p++
  else {
    p = decimal(p, end)
    if (p == 0) return false
    last = <f64>number
  }
  if (p >= end || load<u8>(p) != SLASH) return false
  p++
  if (p < end && load<u8>(p) == STAR) p++
  else {
    p = decimal(p, end)
    if (p == 0) return false
    total = <f64>number
  }
  if (p != end) return false
  if (last >= 0 && (last < start - 1 || (total >= 0 && last > total))) return false
  store<f64>(record + (R_RANGE_START << 2), start)
  store<f64>(record + (R_RANGE_END << 2), last)
  store<f64>(record + (R_RANGE_TOTAL << 2), total)
  return true
}

/** yes, no or (Failure-Report only) partial, in any case (M-30). REPORT_*, or -1. */
export function reportValue(p: usize, end: usize, partial: bool): i32 {
  const length = end - p
  if (length == 3) return (load<u32>(p) & 0xffffff | 0x202020) == 0x736579 ? REPORT_YES : -1
  if (length == 2) return (<u32>load<u16>(p) | 0x2020) == 0x6f6e ? REPORT_NO : -1
  if (partial && length == 7) return (load<u64>(p) << 8 | 0x2020202020202000) == 0x6c61697472617000 ? REPORT_PARTIAL : -1
  return -1
}

@inline
function threeDigits(p: usize, end: usize): i32 {
  if (end - p < 3) return -1
  const a = load<u8>(p)
  const b = load<u8>(p + 1)
  const c = load<u8>(p + 2)
  if (!is(a, DIGIT) || !is(b, DIGIT) || !is(c, DIGIT)) return -1
  return (<i32>a - 48) * 100 + (<i32>b - 48) * 10 + (<i32>c - 48)
}

/** Status of a REPORT (M-35): namespace SP code [SP comment]. */
export function statusHeader(record: usize, p: usize, end: usize): bool {
  const namespace = threeDigits(p, end)
  if (namespace < 0 || end - p < 7 || load<u8>(p + 3) != SP) return false
  const code = threeDigits(p + 4, end)
  if (code < 0 || (end - p > 7 && load<u8>(p + 7) != SP)) return false
  store<i32>(record + (R_STATUS_HEADER << 2), namespace * 1000 + code)
  return true
}

/** Code of a response's start line, -1 if there are not three digits. */
export function statusCode(p: usize, end: usize): i32 {
  return threeDigits(p, end)
}

/** Decimal seconds, up to 10 digits and 2^32-1 (M-38). -1 if bad. */
export function seconds(p: usize, end: usize): f64 {
  if (end - p > 10 || decimal(p, end) != end || number > 4294967295) return -1
  return <f64>number
}

export function expires(record: usize, p: usize, end: usize): bool {
  const read = seconds(p, end)
  if (read < 0) return false
  store<f64>(record + (R_EXPIRES << 2), read)
  return true
}

/** Message-ID: 1-256 octets 0x21-0x7E (M-28). */
export function messageId(p: usize, end: usize): bool {
  if (p == end || end - p > 256 || !noBlanks(p, end)) return false
  // The line has no controls; octets from 128 up, which it may have, are the rare case.
  if (!lineHigh) return true
  for (; p < end; p++) if (load<u8>(p) > 0x7e) return false
  return true
}

function token(p: usize, end: usize): usize {
  while (p < end && is(load<u8>(p), TOKEN)) p++
  return p
}

function blanks(p: usize, end: usize): usize {
  while (p < end && (load<u8>(p) == SP || load<u8>(p) == HTAB)) p++
  return p
}

/** Content-Type (M-37); blanks around ";" are tolerated as the rest of the world writes them. */
export function contentType(p: usize, end: usize): bool {
  if (end - p == 10 && load<u64>(p) == TEXT_PLA && load<u16>(p + 8) == IN) return true
  let next = token(p, end)
  if (next == p || next == end || load<u8>(next) != SLASH) return false
  p = next + 1
  next = token(p, end)
  if (next == p) return false
  p = blanks(next, end)
  while (p < end) {
    if (load<u8>(p) != 59) return false
    p = blanks(p + 1, end)
    next = token(p, end)
    if (next == p) return false
    p = next
    if (p < end && load<u8>(p) == 61) {
      p++
      if (p < end && load<u8>(p) == 34) {
        p++
        while (p < end && load<u8>(p) != 34) p += load<u8>(p) == 92 ? 2 : 1
        if (p >= end) return false
        p++
      } else {
        next = token(p, end)
        if (next == p) return false
        p = next
      }
    }
    p = blanks(p, end)
  }
  return true
}
