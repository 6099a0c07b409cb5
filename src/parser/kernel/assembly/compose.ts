// Writes frames: what a relay sends is what it got with other paths and another transaction id.
// Callers leave room for the result and 16 octets more.
import { character, copy, value } from './ascii'
import { R, get } from './frame'
import {
  FROM_URIS, R_BODY_LENGTH, R_FLAG, R_FROM, R_FROM_COUNT, R_FROM_LENGTH, R_HAS_BODY, R_HEAD_END, R_KIND, R_METHOD,
  R_METHOD_LENGTH, R_PATH_BLANKS, R_REST, R_TID, R_TID_LENGTH, R_TO, R_TO_COUNT, R_TO_LENGTH, TID_SECRET_OCTETS, TO_URIS, KIND_RESPONSE, R_STATUS, R_COMMENT, R_COMMENT_LENGTH,
} from '../record'

const CRLF: u16 = 0x0a0d
const TO_PATH = memory.data<u8>([84, 111, 45, 80, 97, 116, 104, 58, 32, 0, 0, 0, 0, 0, 0, 0])
const FROM_PATH = memory.data<u8>([13, 10, 70, 114, 111, 109, 45, 80, 97, 116, 104, 58, 32, 0, 0, 0])
const OK = memory.data<u8>([32, 50, 48, 48, 32, 79, 75, 13, 10, 84, 111, 45, 80, 97, 116, 104, 58, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
const MSRP: u64 = 0x205052534d
const HYPHENS: u64 = 0x2d2d2d2d2d2d2d

/**
 * Writes a transaction id at `to`: lane and slot, then TID_SECRET_OCTETS characters of 6 random bits each from `random`
 * (66 bits: M-4).
 */
export function makeTid(to: usize, lane: u32, slot: u32, random: usize): void {
  store<u8>(to, character(lane))
  for (let i: u32 = 0; i < 4; i++) store<u8>(to + 1 + i, character(slot >> (18 - 6 * i)))
  for (let i: usize = 0; i < <usize>TID_SECRET_OCTETS; i++) store<u8>(to + 5 + i, character(load<u8>(random + i)))
}

/** The slot that four characters at `p` name, -1 if one of them is none of ours. */
export function slotAt(p: usize): i32 {
  const a = value(load<u8>(p))
  const b = value(load<u8>(p + 1))
  const c = value(load<u8>(p + 2))
  const d = value(load<u8>(p + 3))
  return (a | b | c | d) > 63 ? -1 : <i32>(a << 18 | b << 12 | c << 6 | d)
}

@inline
export function startLine(to: usize, tid: usize, length: usize): usize {
  store<u64>(to, MSRP)
  return copy(to + 5, tid, length)
}

@inline
export function endLine(to: usize, tid: usize, length: usize, flag: u8): usize {
  store<u64>(to, HYPHENS)
  to = copy(to + 7, tid, length)
  store<u8>(to, flag)
  store<u16>(to + 1, CRLF)
  return to + 3
}

/** URIs `first` … `count - 1` of a table, one SP between them. */
function uris(to: usize, table: usize, first: i32, count: i32): usize {
  for (let i = first; i < count; i++) {
    const p = <usize>load<i32>(table + (<usize>i << 3))
    if (i > first) store<u8>(to++, 32)
    to = copy(to, p, <usize>load<i32>(table + (<usize>i << 3) + 4) - p)
  }
  return to
}

/** To-Path without its first `visited` URIs and From-Path with them in front, last visited leftmost. */
export function paths(to: usize, visited: i32): usize {
  const count = get(R_TO_COUNT)
  const blanks = get(R_PATH_BLANKS) != 0
  to = copy(to, TO_PATH, 9)
  if (blanks) to = uris(to, R + TO_URIS, visited, count)
  else {
    const rest = <usize>load<i32>(R + TO_URIS + (<usize>visited << 3))
    to = copy(to, rest, <usize>get(R_TO) + get(R_TO_LENGTH) - rest)
  }
  to = copy(to, FROM_PATH, 13)
  for (let i = visited - 1; i >= 0; i--) {
    to = uris(to, R + TO_URIS, i, i + 1)
    store<u8>(to++, 32)
  }
  to = blanks ? uris(to, R + FROM_URIS, 0, get(R_FROM_COUNT)) : copy(to, get(R_FROM), get(R_FROM_LENGTH))
  store<u16>(to, CRLF)
  return to + 2
}

/**
 * Writes the frame of the record as it goes on to the next hop, with the transaction id of `length` octets at `tid`
 * and `visited` URIs moved from To-Path to From-Path. Returns the address after it.
 */
export function forward(to: usize, tid: usize, length: usize, visited: i32): usize {
  to = startLine(to, tid, length)
  store<u8>(to++, 32)
  if (get(R_KIND) == KIND_RESPONSE) {
    const code = get(R_STATUS)
    store<u8>(to, <u8>(48 + code / 100))
    store<u8>(to + 1, <u8>(48 + (code / 10) % 10))
    store<u8>(to + 2, <u8>(48 + code % 10))
    to += 3
    if (get(R_COMMENT_LENGTH) >= 0) {
      store<u8>(to++, 32)
      to = copy(to, get(R_COMMENT), get(R_COMMENT_LENGTH))
    }
  } else to = copy(to, get(R_METHOD), get(R_METHOD_LENGTH))
  store<u16>(to, CRLF)
  to = paths(to + 2, visited)
  return behindPaths(to, tid, length)
}

/** The frame of the record from the line after its paths on, ended by another transaction id. */
@inline
export function behindPaths(to: usize, tid: usize, length: usize): usize {
  const rest = <usize>get(R_REST)
  if (get(R_HAS_BODY) != 0) {
    to = copy(to, rest, <usize>get(R_HEAD_END) + get(R_BODY_LENGTH) - rest)
    store<u16>(to, CRLF)
    to += 2
  } else to = copy(to, rest, <usize>get(R_HEAD_END) - rest)
  return endLine(to, tid, length, <u8>get(R_FLAG))
}

/** " 200 OK" and the paths of the answer to the record's SEND (M-50). */
@inline
export function okPaths(to: usize): usize {
  to = copy(to, OK, 18)
  to = uris(to, R + FROM_URIS, 0, 1)
  to = copy(to, FROM_PATH, 13)
  to = uris(to, R + TO_URIS, 0, 1)
  store<u16>(to, CRLF)
  return to + 2
}

/** Writes the 200 that answers the record's SEND towards its previous hop (M-50, R-40). Returns the address after it. */
export function ok(to: usize): usize {
  const tid = <usize>get(R_TID)
  const length = <usize>get(R_TID_LENGTH)
  return endLine(okPaths(startLine(to, tid, length)), tid, length, 36)
}

