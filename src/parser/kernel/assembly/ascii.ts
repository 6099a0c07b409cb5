// Octets: classes, spans, copies. Everything here may read up to 15 octets past the end it is given (never past the
// margin every region keeps) and never lets those octets decide anything.

export const CR: u8 = 13
export const LF: u8 = 10
export const SP: u8 = 32
export const HTAB: u8 = 9
export const HYPHEN: u8 = 45

// Classes of the octets 0-127 (an octet from 128 up is in none of them).
export const ALPHANUM: u8 = 1
export const TOKEN: u8 = 2
export const IDENT: u8 = 4
export const SESSION: u8 = 8
export const REG_NAME: u8 = 16
export const USERINFO: u8 = 32
export const HEX: u8 = 64
export const DIGIT: u8 = 128
const CLASSES = memory.data<u8>([
  0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
  0, 50, 0, 2, 50, 6, 50, 50, 48, 48, 50, 62, 48, 62, 62, 8, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 32, 0, 0, 60, 0, 0,
  0, 127, 127, 127, 127, 127, 127, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 0, 0, 0, 2, 58,
  2, 127, 127, 127, 127, 127, 127, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 2, 2, 2, 58, 0,
])

/** Whether the octet at `p` is in class `mask`. */
@inline
export function is(octet: u8, mask: u8): bool {
  return octet < 128 && (load<u8>(CLASSES + <usize>octet) & mask) != 0
}

/** The 64 characters that transaction ids and session-ids of ours are written in; the first 62 may also come first. */
const ALPHABET = memory.data<u8>([
  65, 66, 67, 68, 69, 70, 71, 72, 73, 74, 75, 76, 77, 78, 79, 80, 81, 82, 83, 84, 85, 86, 87, 88, 89, 90, 97, 98, 99, 100, 101, 102,
  103, 104, 105, 106, 107, 108, 109, 110, 111, 112, 113, 114, 115, 116, 117, 118, 119, 120, 121, 122, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 45, 43,
])
const REVERSE = memory.data<u8>([
  255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
  255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 63, 255, 62, 255, 255, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 255, 255, 255, 255, 255, 255,
  255, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 255, 255, 255, 255, 255,
  255, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 255, 255, 255, 255, 255,
])

@inline
export function character(value: u32): u8 {
  return load<u8>(ALPHABET + <usize>(value & 63))
}

/** Value of one character of ALPHABET, 255 for any other octet. */
@inline
export function value(octet: u8): u32 {
  return octet < 128 ? <u32>load<u8>(REVERSE + <usize>octet) : 255
}

// Class SESSION by nibbles: a bit a row of the ASCII table, looked up once by the high and once by the low nibble.
@lazy const HIGH_NIBBLE = i8x16(0, 0, 1, 2, 4, 8, 4, 16, 0, 0, 0, 0, 0, 0, 0, 0)
@lazy const LOW_NIBBLE = i8x16(26, 30, 30, 30, 30, 30, 30, 30, 30, 30, 28, 5, 4, 7, 21, 13)

// The same for class IDENT.
@lazy const IDENT_HIGH = i8x16(0, 0, 1, 2, 4, 8, 4, 8, 0, 0, 0, 0, 0, 0, 0, 0)
@lazy const IDENT_LOW = i8x16(10, 14, 14, 14, 14, 15, 14, 14, 14, 14, 12, 5, 4, 7, 5, 4)

/** First address from `p` on whose octet is in neither table's class or is `stop`, at most `end`. */
@inline
function span(p: usize, end: usize, high: v128, low: v128, stop: u8): usize {
  while (p < end) {
    const v = v128.load(p)
    const classes = v128.and(
      i8x16.swizzle(high, i8x16.shr_u(v, 4)),
      i8x16.swizzle(low, v128.and(v, i8x16.splat(15))),
    )
    const stops = i8x16.bitmask(v128.or(i8x16.eq(classes, i8x16.splat(0)), i8x16.eq(v, i8x16.splat(stop))))
    if (stops != 0) {
      const at = p + <usize>ctz(stops)
      return at < end ? at : end
    }
    p += 16
  }
  return end
}

/** First address from `p` on whose octet is not a transaction id character (M-3), at most `end`. */
export function spanIdent(p: usize, end: usize): usize {
  return span(p, end, IDENT_HIGH, IDENT_LOW, 0)
}

/** First address from `p` on whose octet is not a session-id character (U-1), at most `end`. */
export function spanSession(p: usize, end: usize): usize {
  return span(p, end, HIGH_NIBBLE, LOW_NIBBLE, 0)
}

/** As spanSession, but stops at `/` too: what a host name of letters, digits and dots spans. */
export function spanHost(p: usize, end: usize): usize {
  return span(p, end, HIGH_NIBBLE, LOW_NIBBLE, 47)
}

/** First address from `p` on of `octet`, at most `end`. */
@inline
export function find(octet: u8, p: usize, end: usize): usize {
  const wanted = i8x16.splat(octet)
  while (p < end) {
    const found = i8x16.bitmask(i8x16.eq(v128.load(p), wanted))
    if (found != 0) {
      const at = p + <usize>ctz(found)
      return at < end ? at : end
    }
    p += 16
  }
  return end
}

/** Whether no octet from `p` to `end` is a blank or a control. */
@inline
export function noBlanks(p: usize, end: usize): bool {
  while (p < end) {
    let marks = <u32>i8x16.bitmask(i8x16.le_u(v128.load(p), i8x16.splat(32)))
    const left = end - p
    if (left < 16) marks &= (1 << <u32>left) - 1
    if (marks != 0) return false
    p += 16
  }
  return true
}

/** The line that `line` found holds octets that no line may (controls, DEL, bare CR or LF). */
export let lineBad: bool = false
/** The line that `line` found holds octets from 128 up: UTF-8 is to be checked. */
export let lineHigh: bool = false

/** Address of the CR of the first CRLF from `p` on, or 0 when there is none before `end` (M-13). */
export function line(p: usize, end: usize): usize {
  lineBad = false
  lineHigh = false
  while (p < end) {
    const v = v128.load(p)
    // One more, as signed numbers: controls are below 33 then, DEL has become -128, and octets from 128 up are negative.
    let marks = <u32>i8x16.bitmask(i8x16.lt_s(i8x16.add(v, i8x16.splat(1)), i8x16.splat(33)))
    const left = end - p
    if (left < 16) marks &= (1 << <u32>left) - 1
    while (marks != 0) {
      const at = p + <usize>ctz(marks)
      const octet = load<u8>(at)
      if (octet == CR) {
        if (at + 1 >= end) return 0
        if (load<u8>(at + 1) == LF) return at
        lineBad = true
      } else if (octet >= 128) {
        lineHigh = true
      } else if (octet != HTAB) {
        lineBad = true
      }
      marks &= marks - 1
    }
    p += 16
  }
  return 0
}

/**
 * Whether the octets are UTF-8: no overlong forms, no surrogates, nothing past U+10FFFF (M-12). With `cut`, they may
 * end inside a sequence.
 */
export function utf8(p: usize, end: usize, cut: bool): bool {
  while (p < end) {
    const first = load<u8>(p++)
    if (first < 0x80) continue
    let more: i32 = 0
    let low: u8 = 0x80
    let high: u8 = 0xbf
    if (first >= 0xc2 && first <= 0xdf) more = 1
    else if (first >= 0xe0 && first <= 0xef) {
      more = 2
      if (first == 0xe0) low = 0xa0
      else if (first == 0xed) high = 0x9f
    } else if (first >= 0xf0 && first <= 0xf4) {
      more = 3
      if (first == 0xf0) low = 0x90
      else if (first == 0xf4) high = 0x8f
    } else return false
    for (; more > 0; more--) {
      if (p >= end) return cut
      const next = load<u8>(p++)
      if (next < low || next > high) return false
      low = 0x80
      high = 0xbf
    }
  }
  return true
}

/** Copies in 16-octet steps: up to 15 octets past `to + length` are overwritten (every region keeps that margin). */
@inline
export function copy(to: usize, from: usize, length: usize): usize {
  if (length > 1024) {
    memory.copy(to, from, length)
  } else {
    for (let i: usize = 0; i < length; i += 16) v128.store(to + i, v128.load(from + i))
  }
  return to + length
}

/** Whether the octets at `p` are `length` octets that equal those at `q`. */
export function same(p: usize, q: usize, length: usize): bool {
  let i: usize = 0
  for (; i + 8 <= length; i += 8) if (load<u64>(p + i) != load<u64>(q + i)) return false
  for (; i < length; i++) if (load<u8>(p + i) != load<u8>(q + i)) return false
  return true
}

/** As `same`, for longer texts; reads up to 15 octets past their ends. */
@inline
export function sameWide(p: usize, q: usize, length: usize): bool {
  let i: usize = 0
  for (; i + 16 <= length; i += 16) {
    if (v128.any_true(v128.xor(v128.load(p + i), v128.load(q + i)))) return false
  }
  if (i == length) return true
  // The octets of the last step that count.
  const equal = <u32>i8x16.bitmask(i8x16.eq(v128.load(p + i), v128.load(q + i)))
  const wanted: u32 = (1 << <u32>(length - i)) - 1
  return (equal & wanted) == wanted
}

/** `length` octets at `p` in lower case against a lower-case literal of at most 8 octets, packed little-endian. */
@inline
export function folded(p: usize, length: usize): u64 {
  return (load<u64>(p) | 0x2020202020202020) & (length >= 8 ? u64.MAX_VALUE : ((<u64>1 << (<u64>length << 3)) - 1))
}
