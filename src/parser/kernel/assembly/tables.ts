// The shared tables that a frame leads to: sessions by the URI we handed out, transactions by the id we sent.
import { ALPHANUM, DIGIT, HYPHEN, copy, is, same, value } from './ascii'
import { forward, makeTid, ok, slotAt } from './compose'
import { R, get } from './frame'
import {
  FROM_URIS, LIMITS, L_LANES, L_SESSIONS_FIRST, L_SESSIONS_MAX, L_SESSIONS_STRIDE, L_TRANSACTIONS_FIRST,
  L_TRANSACTIONS_MAX, L_TRANSACTIONS_STRIDE, NAMES, NAME_OCTETS, PREFIXES, PREFIX_OCTETS, R_BODY_LENGTH,
  R_FAILURE_REPORT, R_FORWARD_END, R_FROM, R_FROM_LENGTH, R_KIND, R_MESSAGE_ID, R_MESSAGE_ID_LENGTH, R_NEXT_FOREIGN,
  R_OK_END, R_RANGE, R_RANGE_START, R_RANGE_TOTAL, R_SESSION_CONNECTION, R_SESSION_EXPIRES, R_TID, R_TID_LENGTH,
  R_TO_COUNT, R_TO_OURS, R_TRANSACTION_LANE, R_TRANSACTION_SLOT, R_TRANSACTION_STATE, SESSION_ID, SESSION_ID_OCTETS,
  SESSION_OCTETS, S_CONNECTION, S_EXPIRES, S_STATE, TEXT, TEXTS_HEAD, TID_OCTETS, TO_URIS, TRANSACTION_OCTETS,
  T_BODY_LENGTH, T_FROM_LENGTH, T_MESSAGE_ID_LENGTH, T_STATE, T_TEXTS, T_TID, T_URI_LENGTH, T_WHAT,
} from '../record'

@inline
export function limit(word: i32): u32 {
  return load<u32>(R + LIMITS + (<usize>word << 2))
}

@inline
export function word(base: usize, index: i32): usize {
  return base + (<usize>index << 2)
}

/**
 * The live session entry whose id is the SESSION_ID_OCTETS octets at `id`, 0 if there is none. Its connection and
 * expiry go to the record, read while the entry is known to be that session's: another thread may be ending it.
 */
export function sessionById(id: usize): usize {
  const lane = value(load<u8>(id))
  const slot = slotAt(id + 1)
  if (lane >= limit(L_LANES) || slot < 0 || <u32>slot >= limit(L_SESSIONS_MAX)) return 0
  const entry = <usize>limit(L_SESSIONS_FIRST) + <usize>limit(L_SESSIONS_STRIDE) * lane + <usize>slot * SESSION_OCTETS
  const state = atomic.load<i32>(entry + (S_STATE << 2))
  if ((state & 1) == 0) return 0
  const text = entry + SESSION_ID
  // The whole id without a branch on where it differs: the secret is not to be guessed octet by octet.
  const difference = v128.or(
    v128.xor(v128.load(id), v128.load(text)),
    v128.xor(v128.load(id + SESSION_ID_OCTETS - 16), v128.load(text + SESSION_ID_OCTETS - 16)),
  )
  if (v128.any_true(difference)) return 0
  store<i32>(word(R, R_SESSION_CONNECTION), load<i32>(word(entry, S_CONNECTION)))
  store<i32>(word(R, R_SESSION_EXPIRES), load<i32>(word(entry, S_EXPIRES)))
  return atomic.load<i32>(entry + (S_STATE << 2)) == state ? entry : 0
}

/** `session` found none of our prefixes in front of the URI. */
const NOT_TEXTUALLY_OURS: usize = 1

/** Address of the session-id in URI number `index` of To-Path, when it is written exactly as we hand URIs out; else 0. */
export function handedOut(index: i32): usize {
  const at = R + TO_URIS + (<usize>index << 3)
  const uri = <usize>load<i32>(at)
  const length = <usize>load<i32>(at + 4) - uri
  for (let prefix = R + PREFIXES; load<i32>(prefix) != 0; prefix += PREFIX_OCTETS) {
    const octets = <usize>load<i32>(prefix)
    if (length == octets + SESSION_ID_OCTETS + 4 && same(uri, prefix + 4, octets) &&
      load<u32>(uri + length - 4) == 0x7063743b) {
      return uri + octets
    }
  }
  return 0
}

/**
 * The session that URI number `index` of To-Path names, when it is written exactly as we hand URIs out: 0 if it is such
 * a URI but the session is not live, 1 if it is not such a URI (it may still be ours in another spelling, U-4).
 */
export function session(index: i32): usize {
  const id = handedOut(index)
  return id == 0 ? NOT_TEXTUALLY_OURS : sessionById(id)
}

/**
 * Whether URI number `index` of To-Path certainly names somebody else: its `host:port` is a plain name or IPv4 address
 * and a port without leading zeros, and equals none of our names. False: it may be ours, see Identity.isOurs.
 */
export function foreign(index: i32): bool {
  const at = R + TO_URIS + (<usize>index << 3)
  const end = <usize>load<i32>(at + 4)
  let p = <usize>load<i32>(at)
  while (load<u8>(p) != 58) p++
  p += 3
  const host = p
  // Only host characters up to the colon: no userinfo, no escapes, no brackets.
  while (p < end && (is(load<u8>(p), ALPHANUM) || load<u8>(p) == 46 || load<u8>(p) == HYPHEN)) p++
  if (p == end || load<u8>(p) != 58 || load<u8>(p + 1) == 48) return false
  p++
  while (p < end && is(load<u8>(p), DIGIT)) p++
  // A user's name and password would look the same as far as this.
  if (p < end && load<u8>(p) != 47 && load<u8>(p) != 59) return false
  const length = p - host
  for (let name = R + NAMES; load<i32>(name) != 0; name += NAME_OCTETS) {
    if (length == <usize>load<i32>(name) && sameFolded(host, name + 4, length)) return false
  }
  return true
}

function sameFolded(p: usize, lower: usize, length: usize): bool {
  for (let i: usize = 0; i < length; i++) {
    const octet = load<u8>(p + i)
    if ((octet >= 65 && octet <= 90 ? octet | 32 : octet) != load<u8>(lower + i)) return false
  }
  return true
}

/** As `session(0)`; and whether the next hop is certainly foreign goes to the record, as most frames need both. */
export function home(): usize {
  const entry = session(0)
  store<i32>(word(R, R_NEXT_FOREIGN), entry > NOT_TEXTUALLY_OURS && get(R_TO_COUNT) > 1 && foreign(1) ? 1 : 0)
  return entry
}

/**
 * The transaction record that the record's transaction id names, 0 if it is none of ours; its lane and slot go to the
 * record. That it is still open is for the caller to establish (T_STATE).
 */
export function transaction(): usize {
  store<i32>(word(R, R_TO_OURS), handedOut(0) != 0 ? 1 : 0)
  return answered()
}

/** As `transaction`, but for R_TO_OURS. */
export function answered(): usize {
  const tid = <usize>get(R_TID)
  if (get(R_TID_LENGTH) != TID_OCTETS) return 0
  const lane = value(load<u8>(tid))
  const slot = slotAt(tid + 1)
  if (lane >= limit(L_LANES) || slot < 0 || <u32>slot >= limit(L_TRANSACTIONS_MAX)) return 0
  const at = <usize>limit(L_TRANSACTIONS_FIRST) + <usize>limit(L_TRANSACTIONS_STRIDE) * lane +
    <usize>slot * TRANSACTION_OCTETS
  store<i32>(word(R, R_TRANSACTION_STATE), atomic.load<i32>(at + (T_STATE << 2)))
  if (v128.any_true(v128.xor(v128.load(tid), v128.load(at + T_TID)))) return 0
  store<i32>(word(R, R_TRANSACTION_LANE), lane)
  store<i32>(word(R, R_TRANSACTION_SLOT), slot)
  return at
}

/**
 * Hash of the first From-Path URI (`index` below 0) or of URI number `index` of To-Path: equal texts have equal hashes
 * under the same seed.
 */
export function uriHash(index: i32, seed: i32): i32 {
  const at = index < 0 ? R + FROM_URIS : R + TO_URIS + (<usize>index << 3)
  const end = <usize>load<i32>(at + 4)
  let hash: u32 = 0x811c9dc5 ^ <u32>seed
  for (let p = <usize>load<i32>(at); p < end; p++) hash = (hash ^ load<u8>(p)) * 0x01000193
  return <i32>hash
}

/**
 * Keeps in transaction record `at`, and in the texts that it points to, what a REPORT about the record's SEND needs
 * or, for another method, the upstream transaction id.
 */
export function keep(at: usize, visited: i32): void {
  const kind = get(R_KIND)
  store<i32>(word(at, T_WHAT), kind | ((get(R_FAILURE_REPORT) & 255) << 8) | (visited << 16))
  const texts = <usize>load<i32>(word(at, T_TEXTS))
  let to = texts + TEXTS_HEAD
  if (kind != 0) {
    store<i32>(word(at, T_MESSAGE_ID_LENGTH), get(R_TID_LENGTH))
    copy(to, get(R_TID), get(R_TID_LENGTH))
    return
  }
  const uri = <usize>load<i32>(R + TO_URIS)
  const uriLength = load<i32>(R + TO_URIS + (<usize>(visited - 1) << 3) + 4) - <i32>uri
  store<i32>(word(at, T_BODY_LENGTH), get(R_BODY_LENGTH))
  store<i32>(word(at, T_MESSAGE_ID_LENGTH), get(R_MESSAGE_ID_LENGTH))
  store<i32>(word(at, T_URI_LENGTH), uriLength)
  store<i32>(word(at, T_FROM_LENGTH), get(R_FROM_LENGTH))
  const ranged = get(R_RANGE) != 0
  store<f64>(texts, ranged ? load<f64>(word(R, R_RANGE_START)) : 0)
  store<f64>(texts + 8, ranged ? load<f64>(word(R, R_RANGE_TOTAL)) : -1)
  to = copy(to, get(R_MESSAGE_ID), get(R_MESSAGE_ID_LENGTH))
  to = copy(to, uri, uriLength)
  copy(to, get(R_FROM), get(R_FROM_LENGTH))
}

/** `okTo` of a 200 that is to stand right behind the frame. */
const BEHIND: usize = 1

/**
 * Sends the request of the record on: writes it at `to` with a fresh transaction id for `lane` and `slot`, and, unless
 * `okTo` is 0, the 200 to its previous hop at `okTo`. A `record` other than 0 keeps what is to be known of it (`keep`).
 * Where the two end is told by R_FORWARD_END and R_OK_END.
 */
export function relay(
  to: usize, okTo: usize, record: usize, lane: u32, slot: u32, random: usize, visited: i32,
): void {
  const tid = record != 0 ? record + T_TID : R + TEXT
  makeTid(tid, lane, slot, random)
  if (record != 0) keep(record, visited)
  store<i32>(word(R, R_FORWARD_END), <i32>forward(to, tid, TID_OCTETS, visited))
  if (okTo != 0) store<i32>(word(R, R_OK_END), <i32>ok(okTo == BEHIND ? <usize>get(R_FORWARD_END) : okTo))
}
