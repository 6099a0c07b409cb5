// Values of the headers that every SIP message has, where they are written as nearly all are: without folds, comments in
// quotes in the parameters, or blanks where none are needed. What is written otherwise, and what is malformed, is left to
// TypeScript (parser/sip/values.ts), which reads everything; what is read here it would read in the same way.
import { find, folded } from './ascii'
import {
  SI_CSEQ, SI_CSEQ_METHOD, SI_FROM_TAG, SI_FROM_URI, SI_VIAS, SI_VIA_BRANCH, SI_VIA_HOST, SI_VIA_PORT, SI_VIA_RPORT,
  SI_VIA_SPECIAL,
  SIP_M_ACK, SIP_M_BYE, SIP_M_CANCEL, SIP_M_INFO, SIP_M_INVITE, SIP_M_MESSAGE, SIP_M_NOTIFY, SIP_M_OPTIONS,
  SIP_M_OTHER, SIP_M_PRACK, SIP_M_PUBLISH, SIP_M_REFER, SIP_M_REGISTER, SIP_M_SUBSCRIBE, SIP_M_UPDATE,
} from '../sip-record'

// Classes of the octets 0-127, as those of parser/sip/characters.ts.
const TOKEN: u8 = 1
const PLAIN_VALUE: u8 = 2
const BARE_URI: u8 = 4
const ANY_URI: u8 = 8
const SCHEME: u8 = 16
/** Letters, digits and the underscore. */
const WORD: u8 = 32
const VISIBLE: u8 = 64
const DIGIT: u8 = 128
const CLASSES = memory.data<u8>([
  0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
  0, 79, 64, 78, 78, 79, 78, 79, 78, 78, 79, 95, 72, 95, 95, 78, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 78, 72, 64, 78, 64, 74,
  78, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 78, 78, 78, 78, 111,
  79, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 78, 78, 78, 79, 0,
])

const QUOTE: u8 = 34
const DOT: u8 = 46
const COLON: u8 = 58
const SEMICOLON: u8 = 59
const LESS: u8 = 60
const EQUALS: u8 = 61
const GREATER: u8 = 62
const BACKSLASH: u8 = 92

@inline
function is(octet: u8, set: u8): bool {
  return octet < 128 && (load<u8>(CLASSES + <usize>octet) & set) != 0
}

/** First address from `p` on whose octet is in no class of `set`, at most `end`. */
@inline
function run(p: usize, end: usize, set: u8): usize {
  while (p < end && is(load<u8>(p), set)) p++
  return p
}

@inline
function skipBlanks(p: usize, end: usize): usize {
  while (p < end && (load<u8>(p) == 32 || load<u8>(p) == 9)) p++
  return p
}

/** A token of SIP from `p` on: its end. */
export function spanToken(p: usize, end: usize): usize {
  return run(p, end, TOKEN)
}

/** Which method stands at `p`: SIP_M_*, in upper case only. */
export function methodId(p: usize, length: usize): i32 {
  const head = load<u64>(p) & (length >= 8 ? u64.MAX_VALUE : (<u64>1 << (<u64>length << 3)) - 1)
  switch (<i32>length) {
    case 3:
      if (head == 0x4b4341) return SIP_M_ACK // ACK
      if (head == 0x455942) return SIP_M_BYE // BYE
      break
    case 4:
      if (head == 0x4f464e49) return SIP_M_INFO // INFO
      break
    case 5:
      if (head == 0x4b43415250) return SIP_M_PRACK // PRACK
      if (head == 0x5245464552) return SIP_M_REFER // REFER
      break
    case 6:
      if (head == 0x4c45434e4143) return SIP_M_CANCEL // CANCEL
      if (head == 0x455449564e49) return SIP_M_INVITE // INVITE
      if (head == 0x594649544f4e) return SIP_M_NOTIFY // NOTIFY
      if (head == 0x455441445055) return SIP_M_UPDATE // UPDATE
      break
    case 7:
      if (head == 0x4547415353454d) return SIP_M_MESSAGE // MESSAGE
      if (head == 0x534e4f4954504f) return SIP_M_OPTIONS // OPTIONS
      if (head == 0x4853494c425550) return SIP_M_PUBLISH // PUBLISH
      break
    case 8:
      if (head == 0x5245545349474552) return SIP_M_REGISTER // REGISTER
      break
    case 9:
      if (head == 0x4249524353425553 && load<u8>(p + 8) == 69) return SIP_M_SUBSCRIBE // SUBSCRIBE
      break
  }
  return SIP_M_OTHER
}

// Of the parameters read last: where some of them are, and their length; 0: there is none. Each is there once at the most.
let tag: usize = 0
let tagLength: usize = 0
let branch: usize = 0
let branchLength: usize = 0
/** With its semicolon, and its value if it has one. */
let rport: usize = 0
let rportLength: usize = 0
/** Something that says where answers go: `received`, `maddr`, or a value of `rport`. */
let special: bool = false

/** `;name` and `;name=value`, from `p` to `end`. */
function params(p: usize, end: usize): bool {
  tag = tagLength = branch = branchLength = rport = rportLength = 0
  special = false
  while (p < end) {
    if (load<u8>(p) != SEMICOLON) return false
    const name = p + 1
    const nameEnd = run(name, end, TOKEN)
    if (nameEnd == name) return false
    let value = nameEnd
    let valueEnd = nameEnd
    if (nameEnd < end && load<u8>(nameEnd) == EQUALS) {
      value = nameEnd + 1
      valueEnd = run(value, end, PLAIN_VALUE)
      if (valueEnd == value) return false
    }
    const head = folded(name, nameEnd - name)
    switch (<i32>(nameEnd - name)) {
      case 3:
        if (head == 0x676174) { // tag
          if (tag != 0 || value == valueEnd) return false
          tag = value
          tagLength = valueEnd - value
        }
        break
      case 5:
        if (head == 0x74726f7072) { // rport
          if (rport != 0) return false
          rport = p
          rportLength = valueEnd - p
          if (value != valueEnd) special = true
        } else if (head == 0x726464616d) special = true // maddr
        break
      case 6:
        if (head == 0x68636e617262) { // branch
          if (branch != 0 || value == valueEnd) return false
          branch = value
          branchLength = valueEnd - value
        }
        break
      case 8:
        if (head == 0x6465766965636572) special = true // received
        break
    }
    p = valueEnd
  }
  return true
}

/** A URI of any scheme. */
function isAbsoluteUri(p: usize, end: usize): bool {
  if (p == end || !is(load<u8>(p), WORD) || !is(load<u8>(p), SCHEME) || is(load<u8>(p), DIGIT)) return false
  const colon = run(p, end, SCHEME)
  if (colon >= end || load<u8>(colon) != COLON) return false
  return colon + 1 < end && run(colon + 1, end, ANY_URI) == end
}

/** Where something is, and its length, in two words of the index. */
@inline
function setSpan(index: usize, word: i32, position: usize, length: usize): void {
  store<i32>(index + (<usize>word << 2), <i32>position)
  store<i32>(index + (<usize>word << 2) + 4, <i32>length)
}

/**
 * From or To, from `p` to `end`: where its URI and tag are, as positions from `start`, into the index's words that begin with
 * `first` in the order of those of From.
 */
export function nameAddr(index: usize, first: i32, start: usize, p: usize, end: usize): bool {
  if (p == end) return false
  let at = p
  if (load<u8>(p) == QUOTE) {
    at++
    for (; at < end && load<u8>(at) != QUOTE; at++) {
      const octet = load<u8>(at)
      if (octet < 32 || octet >= 127 || octet == BACKSLASH) return false
    }
    at = skipBlanks(at + 1, end)
    if (at >= end || load<u8>(at) != LESS) return false
  } else {
    let words = p
    while (words < end && (is(load<u8>(words), TOKEN) || load<u8>(words) == 32)) words++
    if (words < end && load<u8>(words) == LESS) at = words
  }
  let uri = at
  let uriEnd = at
  if (load<u8>(at) == LESS) {
    uri++
    uriEnd = find(GREATER, uri, end)
    if (uriEnd >= end) return false
    at = uriEnd + 1
  } else {
    // S-8: without <>, what follows a semicolon belongs to the header.
    uriEnd = run(uri, end, BARE_URI)
    at = uriEnd
  }
  if (!isAbsoluteUri(uri, uriEnd) || !params(at, end)) return false
  setSpan(index, first, uri - start, uriEnd - uri)
  setSpan(index, first + SI_FROM_TAG - SI_FROM_URI, tag == 0 ? 0 : tag - start, tagLength)
  return true
}

/** Of labels that are letters, digits, underscores and inner hyphens, or an IPv4 address: what `readHost` of uri.ts takes. */
function isHost(p: usize, end: usize): bool {
  let label = p
  while (true) {
    let at = label
    while (at < end && (is(load<u8>(at), WORD) || load<u8>(at) == 45)) at++
    if (at == label || load<u8>(label) == 45 || load<u8>(at - 1) == 45) return false
    if (at == end) return !is(load<u8>(label), DIGIT) || isIPv4(p, end)
    if (load<u8>(at) != DOT) return false
    label = at + 1
  }
}

function isIPv4(p: usize, end: usize): bool {
  for (let part = 0; part < 4; part++) {
    const from = p
    let value = 0
    for (; p < end && is(load<u8>(p), DIGIT) && p - from < 3; p++) value = value * 10 + <i32>load<u8>(p) - 48
    if (p == from || value > 255 || (load<u8>(from) == 48 && p - from > 1)) return false
    if (part < 3) {
      if (p >= end || load<u8>(p) != DOT) return false
      p++
    }
  }
  return p == end
}

/** Length of the transport that stands at `p`, in upper case; 0: it is none that is usual. */
function transport(p: usize): usize {
  const three = load<u32>(p) & 0xffffff
  if (three == 0x504455 || three == 0x504354 || three == 0x534c54 || three == 0x535357) return 3 // UDP, TCP, TLS, WSS
  return (three & 0xffff) == 0x5357 ? 2 : 0 // WS
}

/** A line of Via with one value, from `p` to `end`; of the first one the index is told what is in it. */
export function via(index: usize, start: usize, p: usize, end: usize): bool {
  if (end - p < 12 || load<u64>(p) != 0x2f302e322f504953) return false // SIP/2.0/
  const protocol = p + 8
  const protocolEnd = protocol + transport(protocol)
  const host = skipBlanks(protocolEnd, end)
  if (protocolEnd == protocol || host == protocolEnd) return false
  let hostEnd = host
  while (hostEnd < end && load<u8>(hostEnd) != COLON && load<u8>(hostEnd) != SEMICOLON) hostEnd++
  if (!isHost(host, hostEnd)) return false
  let at = hostEnd
  let port = 0
  if (at < end && load<u8>(at) == COLON) {
    const digits = ++at
    for (; at < end && is(load<u8>(at), DIGIT) && at - digits < 5; at++) port = port * 10 + <i32>load<u8>(at) - 48
    if (port < 1 || port > 65535) return false
  }
  if (!params(at, end)) return false
  const vias = index + (<usize>SI_VIAS << 2)
  const count = load<i32>(vias)
  store<i32>(vias, count + 1)
  if (count > 0) return true
  setSpan(index, SI_VIA_HOST, host - start, hostEnd - host)
  setSpan(index, SI_VIA_BRANCH, branch == 0 ? 0 : branch - start, branchLength)
  setSpan(index, SI_VIA_RPORT, rport == 0 ? 0 : rport - start, rportLength)
  store<i32>(index + (<usize>SI_VIA_PORT << 2), port)
  store<i32>(index + (<usize>SI_VIA_SPECIAL << 2), special ? 1 : 0)
  return true
}

/** CSeq with a method that is known. */
export function cseq(index: usize, p: usize, end: usize): bool {
  let number: u64 = 0
  let at = p
  for (; at < end && is(load<u8>(at), DIGIT) && at - p < 10; at++) number = number * 10 + <u64>load<u8>(at) - 48
  const method = skipBlanks(at, end)
  if (at == p || method == at || number > <u64>u32.MAX_VALUE) return false
  const id = methodId(method, end - method)
  store<i32>(index + (<usize>SI_CSEQ << 2), <i32>number)
  store<i32>(index + (<usize>SI_CSEQ_METHOD << 2), id)
  return id != SIP_M_OTHER
}

export function callId(p: usize, end: usize): bool {
  return p < end && run(p, end, VISIBLE) == end
}

/** What `decimal` gives for what is no number. */
export const NO_DECIMAL: i32 = -2

/** A decimal number; more than 2^31 - 1 counts as that. */
export function decimal(p: usize, end: usize): i32 {
  if (p == end || run(p, end, DIGIT) != end) return NO_DECIMAL
  let value = 0
  for (; p < end; p++) {
    const digit = <i32>load<u8>(p) - 48
    value = value > (i32.MAX_VALUE - digit) / 10 ? i32.MAX_VALUE : value * 10 + digit
  }
  return value
}
