// Frames that follow each other on a connection mostly have the same paths, octet for octet. So the path lines read last
// are kept, with where everything in them was: lines that equal them need not be read again. The same is done with what
// stands behind the Message-ID, up to the empty line: chunks of one size have the same Byte-Range and Content-Type.
import { copy, sameWide } from './ascii'
import { R, get } from './frame'
import {
  FROM_URIS, HEADERS, HEADER_WORDS, H_BYTE_RANGE, H_CONTENT_TYPE, H_FAILURE_REPORT, H_FROM_PATH, H_MIME, H_OTHER,
  H_SUCCESS_REPORT, H_TO_PATH, LIMITS, L_HEAD, MEMO, MEMO_OCTETS, R_FROM, R_FROM_COUNT, R_FROM_LENGTH,
  R_PATH_BLANKS, R_RANGE, R_REST, R_TO, R_TO_COUNT, R_TO_LENGTH, START_LINE_MAX, TAIL, TAIL_OCTETS, TO_URIS,
} from '../record'

/** Paths with more URIs are read each time. */
const URIS_MAX = 4

/** Octets of the two lines with their CRLFs; 0 when none are kept. */
let length: usize = 0
/** Where the lines stood when they were read: what the record says of them moves by the distance from there. */
let base: usize = 0
let second: usize = 0
let to: i32 = 0
let toLength: i32 = 0
let toCount: i32 = 0
let from: i32 = 0
let fromLength: i32 = 0
let fromCount: i32 = 0
let blanks: i32 = 0

/** In the scratch area, behind the text and its margin: start and end of each URI of both paths, as they were. */
const URIS: usize = MEMO + MEMO_OCTETS + 16

@inline
function set(word: i32, value: i32): void {
  store<i32>(R + (<usize>word << 2), value)
}

export function forget(): void {
  length = 0
  tailLength = 0
}

/** Keeps the path lines from `start`, the second of which begins at `line`, that the record has just been told of. */
export function keepPaths(start: usize, line: usize): void {
  const rest = <usize>get(R_REST)
  length = 0
  if (rest - start > <usize>MEMO_OCTETS || get(R_TO_COUNT) > URIS_MAX || get(R_FROM_COUNT) > URIS_MAX) return
  // So that a longer start line before the same lines is still within the limit of the head.
  if (load<i32>(R + LIMITS + (L_HEAD << 2)) < START_LINE_MAX + MEMO_OCTETS + 4) return
  base = start
  second = line - start
  to = get(R_TO)
  toLength = get(R_TO_LENGTH)
  toCount = get(R_TO_COUNT)
  from = get(R_FROM)
  fromLength = get(R_FROM_LENGTH)
  fromCount = get(R_FROM_COUNT)
  blanks = get(R_PATH_BLANKS)
  copy(R + MEMO, start, rest - start)
  for (let i: usize = 0; i < <usize>toCount; i++) store<u64>(R + URIS + (i << 3), load<u64>(R + TO_URIS + (i << 3)))
  for (let i: usize = 0; i < <usize>fromCount; i++) {
    store<u64>(R + URIS + ((<usize>URIS_MAX + i) << 3), load<u64>(R + FROM_URIS + (i << 3)))
  }
  length = rest - start
}

/** Whether the lines kept stand at `p` again. Then the record is told of them, and they end at R_REST. */
export function samePaths(p: usize, end: usize): bool {
  if (length == 0 || end - p < length || !sameWide(p, R + MEMO, length)) return false
  const moved = <i32>(p - base)
  set(R_TO, to + moved)
  set(R_TO_LENGTH, toLength)
  set(R_TO_COUNT, toCount)
  set(R_FROM, from + moved)
  set(R_FROM_LENGTH, fromLength)
  set(R_FROM_COUNT, fromCount)
  set(R_PATH_BLANKS, blanks)
  set(R_REST, <i32>(p + length))
  move(R + TO_URIS, R + URIS, toCount, moved)
  move(R + FROM_URIS, R + URIS + (URIS_MAX << 3), fromCount, moved)
  entry(0, H_TO_PATH, p, 7, to + moved, toLength)
  entry(1, H_FROM_PATH, p + second, 9, from + moved, fromLength)
  return true
}

@inline
function move(table: usize, kept: usize, count: i32, moved: i32): void {
  for (let i: usize = 0; i < <usize>count << 3; i += 4) store<i32>(table + i, load<i32>(kept + i) + moved)
}

@inline
function entry(index: usize, id: i32, name: usize, nameLength: i32, value: i32, valueLength: i32): void {
  const at = R + HEADERS + index * (HEADER_WORDS << 2)
  store<i32>(at, id)
  store<i32>(at + 4, <i32>name)
  store<i32>(at + 8, nameLength)
  store<i32>(at + 12, value)
  store<i32>(at + 16, valueLength)
}

/** Header lines of more are read each time. */
const TAIL_ENTRIES_MAX: i32 = 6
/** Words of the record that the lines kept may set: R_RANGE … R_SUCCESS_REPORT, and the two behind them, which are as they were. */
const TAIL_WORDS: usize = TAIL + TAIL_OCTETS + 16
const TAIL_ENTRIES: usize = TAIL_WORDS + 48

/** Octets of the lines with the empty one; 0 when none are kept. */
let tailLength: usize = 0
let tailBase: usize = 0
/** What `sameTail` has found: header lines, all of which have an entry, and the ids among them, a bit each. */
export let tailLines: i32 = 0
export let tailSeen: u32 = 0

/** Whether a header of this id says nothing that is kept elsewhere than in the words above. */
@inline
function isPlain(id: i32): bool {
  return id == H_BYTE_RANGE || id == H_SUCCESS_REPORT || id == H_FAILURE_REPORT || id == H_CONTENT_TYPE ||
    id == H_MIME || id == H_OTHER
}

/** Keeps the lines from `start` up to the first octet of the body at `end`: entries `first` up to `count`, all well formed. */
export function keepTail(start: usize, end: usize, first: i32, count: i32): void {
  tailLength = 0
  const lines = count - first
  if (end - start > <usize>TAIL_OCTETS || lines > TAIL_ENTRIES_MAX) return
  let seen: u32 = 0
  for (let i = 0; i < lines; i++) {
    const from = R + HEADERS + <usize>((first + i) * (HEADER_WORDS << 2))
    const id = load<i32>(from)
    if (!isPlain(id)) return
    if (id != H_OTHER) seen |= 1 << id
    const kept = R + TAIL_ENTRIES + <usize>(i * (HEADER_WORDS << 2))
    v128.store(kept, v128.load(from))
    store<i32>(kept + 16, load<i32>(from + 16))
  }
  const words = R + (R_RANGE << 2)
  for (let i: usize = 0; i < 48; i += 16) v128.store(R + TAIL_WORDS + i, v128.load(words + i))
  copy(R + TAIL, start, end - start)
  tailBase = start
  tailLines = lines
  tailSeen = seen
  tailLength = end - start
}

/** Whether the lines kept stand at `p` again: then their octets, the record is told of them, and their entries begin at `first`. */
export function sameTail(p: usize, end: usize, first: i32): usize {
  if (tailLength == 0 || end - p < tailLength || !sameWide(p, R + TAIL, tailLength)) return 0
  const moved = <i32>(p - tailBase)
  const words = R + (R_RANGE << 2)
  for (let i: usize = 0; i < 48; i += 16) v128.store(words + i, v128.load(R + TAIL_WORDS + i))
  if (load<i32>(words) != 0) store<i32>(words, load<i32>(words) + moved)
  for (let i = 0; i < tailLines; i++) {
    const kept = R + TAIL_ENTRIES + <usize>(i * (HEADER_WORDS << 2))
    const to = R + HEADERS + <usize>((first + i) * (HEADER_WORDS << 2))
    // id, name, length of the name, value
    v128.store(to, i32x4.add(v128.load(kept), i32x4.replace_lane(i32x4.replace_lane(i32x4.splat(0), 1, moved), 3, moved)))
    store<i32>(to + 16, load<i32>(kept + 16))
  }
  return tailLength
}
