// MSRP URIs (U-1, U-9). The common form, a plain host with port, session-id and one transport, takes a few SIMD steps;
// everything else goes octet by octet.
import { ALPHANUM, DIGIT, HEX, REG_NAME, SESSION, SP, TOKEN, USERINFO, is, spanHost, spanSession } from './ascii'

const COLON: u8 = 58
const SLASH: u8 = 47
const SEMICOLON: u8 = 59
const AT: u8 = 64
const PERCENT: u8 = 37
const OPEN: u8 = 91
const CLOSE: u8 = 93
const EQUALS: u8 = 61

@inline
function at(p: usize, end: usize): u8 {
  return p < end ? load<u8>(p) : 0
}

/** Address after "msrp://" or "msrps://" (case-insensitive), 0 if neither stands at `p`. */
@inline
function scheme(p: usize, end: usize): usize {
  if (end - p < 7) return 0
  if ((load<u32>(p) | 0x20202020) != 0x7072736d) return 0
  p += 4
  if ((load<u8>(p) | 0x20) == 0x73) p++
  return end - p >= 3 && load<u8>(p) == COLON && load<u8>(p + 1) == SLASH && load<u8>(p + 2) == SLASH ? p + 3 : 0
}

/** Address after 1*DIGIT with value 1 … 65535, at most 10 digits; 0 if bad. */
function port(p: usize, end: usize): usize {
  let number: u64 = 0
  const first = p
  while (p < end && is(load<u8>(p), DIGIT)) {
    if (p - first == 10) return 0
    number = number * 10 + (load<u8>(p) - 48)
    p++
  }
  return p > first && number >= 1 && number <= 65535 ? p : 0
}

/** Address after `;transport *( ";" name [ "=" value ] )`, which must reach `end`; 0 if bad. */
function transport(p: usize, end: usize): usize {
  if (at(p, end) != SEMICOLON) return 0
  let first = ++p
  while (p < end && is(load<u8>(p), ALPHANUM)) p++
  if (p == first) return 0
  while (p < end) {
    if (load<u8>(p) != SEMICOLON) return 0
    first = ++p
    while (p < end && is(load<u8>(p), TOKEN)) p++
    if (p == first) return 0
    if (at(p, end) == EQUALS) {
      first = ++p
      while (p < end && is(load<u8>(p), TOKEN)) p++
      if (p == first) return 0
    }
  }
  return p
}

/** Four decimal octets without leading zeros, to `end`. */
function ipv4(p: usize, end: usize): bool {
  for (let part = 0; part < 4; part++) {
    if (part > 0) {
      if (at(p, end) != 46) return false
      p++
    }
    const first = p
    let number: u32 = 0
    while (p < end && is(load<u8>(p), DIGIT) && p - first < 3) number = number * 10 + (load<u8>(p++) - 48)
    if (p == first || number > 255 || (p - first > 1 && load<u8>(first) == 48)) return false
  }
  return p == end
}

/** An IPv6 address in its text form, without zone. */
function ipv6(p: usize, end: usize): bool {
  let groups = 0
  let gap = false
  if (at(p, end) == COLON) {
    if (at(p + 1, end) != COLON) return false
    gap = true
    p += 2
    if (p == end) return true
  }
  while (true) {
    const first = p
    while (p < end && is(load<u8>(p), HEX) && p - first < 5) p++
    if (at(p, end) == 46) return groups <= 6 && (gap ? groups < 6 : groups == 6) && ipv4(first, end)
    if (p == first || p - first > 4) return false
    groups++
    if (p == end) break
    if (load<u8>(p) != COLON) return false
    p++
    if (at(p, end) == COLON) {
      if (gap) return false
      gap = true
      p++
      if (p == end) break
    }
    if (groups == 8) return false
  }
  return gap ? groups < 8 : groups == 8
}

/** Octets of class `mask` and percent escapes, from `p` until something else. 0 when an escape is broken. */
function escaped(p: usize, end: usize, mask: u8): usize {
  while (p < end) {
    const octet = load<u8>(p)
    if (octet == PERCENT) {
      if (!is(at(p + 1, end), HEX) || !is(at(p + 2, end), HEX)) return 0
      p += 3
    } else if (is(octet, mask)) p++
    else break
  }
  return p
}

function anyForm(p: usize, end: usize): bool {
  const user = escaped(p, end, USERINFO)
  if (user != 0 && at(user, end) == AT) p = user + 1
  if (at(p, end) == OPEN) {
    const first = ++p
    while (p < end && load<u8>(p) != CLOSE) p++
    if (p == end || !ipv6(first, p)) return false
    p++
  } else {
    const first = p
    p = escaped(p, end, REG_NAME)
    if (p == 0 || p == first) return false
  }
  if (at(p, end) == COLON) {
    p = port(p + 1, end)
    if (p == 0) return false
  }
  if (at(p, end) == SLASH) {
    const first = ++p
    while (p < end && is(load<u8>(p), SESSION)) p++
    if (p == first) return false
  }
  return transport(p, end) == end
}

/**
 * End of a URI of the common form that begins at `p` and ends before a SP or at `end`; 0 when it is of another form, or
 * none at all.
 */
export function commonUri(p: usize, end: usize): usize {
  const host = scheme(p, end)
  if (host == 0) return 0
  p = spanHost(host, end)
  if (p == host || at(p, end) != COLON) return 0
  p = port(p + 1, end)
  if (p == 0 || at(p, end) != SLASH) return 0
  const first = p + 1
  p = spanSession(first, end)
  // ";tcp" is what nearly every URI ends with.
  if (p == first || end - p < 4 || (load<u32>(p) | 0x20202000) != 0x7063743b) return 0
  p += 4
  return p == end || load<u8>(p) == SP ? p : 0
}

/** Whether the octets from `p` to `end` are one MSRP URI. */
export function uri(p: usize, end: usize): bool {
  if (commonUri(p, end) == end) return true
  const host = scheme(p, end)
  return host != 0 && anyForm(host, end)
}
