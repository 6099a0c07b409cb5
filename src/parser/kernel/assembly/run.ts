// Runs: frames that follow each other in one read and are handled alike. TypeScript decides about the first of them; those
// that differ in nothing that the decision looked at need not be decided about again. A run ends at the first frame that
// is not plain, or where room ends, and leaves that frame to be read and decided about in the ordinary way.
import { copy } from './ascii'
import { behindPaths, endLine, makeTid, okPaths, paths, startLine } from './compose'
import { R, frame, get, pathsAsBefore } from './frame'
import { answered, handedOut, keep, limit, word } from './tables'
import {
  CONNECTION_ID, CONNECTION_OCTETS, CONNECTION_SETTLED, CONNECTION_SLOT_MASK, FORWARD_GROWTH, FRAME_COMPLETE,
  KIND_RESPONSE, KIND_SEND, L_TRANSACTIONS_FIRST, L_TRANSACTIONS_STRIDE, REPORT_YES, RUN, RUN_BEGUN, RUN_BODY_MAX,
  RUN_CONNECTIONS, RUN_CONTROL, RUN_FRAMES, RUN_FREE, RUN_FROM, RUN_LANE, RUN_MOST, RUN_OCTETS, RUN_OK_END, RUN_OK_TO,
  RUN_OUT, RUN_POSITION, RUN_RANDOM, RUN_TEXTS, RUN_TO, RUN_TO_END, RUN_VISITED, R_BODY_LENGTH, R_END, R_ERROR,
  R_FAILURE_REPORT, R_FROM_LENGTH, R_KIND, R_MESSAGE_ID_LENGTH, R_STATUS, R_TID, R_TID_LENGTH, R_TO_LENGTH,
  R_TRANSACTION_LANE, R_TRANSACTION_SLOT, R_TRANSACTION_STATE, TEXTS_MAX, TEXTS_OCTETS, TID_OCTETS, TID_SECRET_OCTETS,
  TRANSACTIONS_FREED, TRANSACTIONS_FREE_LIST, TRANSACTION_OCTETS, T_CLAIMED, T_GENERATION, T_IN_CONNECTION, T_NEXT,
  T_OUT_CONNECTION, T_POSITION, T_SENDING, T_STATE, T_STATE_MASK, T_TEXTS, T_TID, T_WAITING, T_WHAT,
} from '../record'

const SEND_LINE: u64 = 0x0a0d444e455320 // " SEND", CRLF

@inline
function run(index: i32): i32 {
  return load<i32>(R + RUN + (<usize>index << 2))
}

@inline
function setRun(index: i32, value: i32): void {
  store<i32>(R + RUN + (<usize>index << 2), value)
}

/**
 * Relays the SENDs from `p` on whose paths are those of the frame relayed before them, as that one went (RUN_*): the frame
 * on, its transaction kept, its 200 back. Returns where the first frame begins that was not.
 */
export function relayRun(p: usize, end: usize): usize {
  const lane = <u32>run(RUN_LANE)
  const first = <usize>limit(L_TRANSACTIONS_FIRST) + <usize>limit(L_TRANSACTIONS_STRIDE) * lane
  const texts = <usize>run(RUN_TEXTS) + <usize>limit(L_TRANSACTIONS_STRIDE) * lane
  const toEnd = <usize>run(RUN_TO_END)
  const okEnd = <usize>run(RUN_OK_END)
  const most = run(RUN_MOST)
  const start = p
  let to = <usize>run(RUN_TO)
  let okTo = <usize>run(RUN_OK_TO)
  let random = <usize>run(RUN_RANDOM)
  let record = <usize>run(RUN_FREE)
  let frames = 0
  // The paths as they go on and back are composed once.
  let pathsAt: usize = 0
  let pathsLength: usize = 0
  let okAt: usize = 0
  let okLength: usize = 0
  while (p < end && frames < most && record != 0) {
    if (frame(p, end, 0) != FRAME_COMPLETE || !pathsAsBefore || get(R_ERROR) != 0 || get(R_KIND) != KIND_SEND) break
    if (get(R_FAILURE_REPORT) != REPORT_YES || get(R_BODY_LENGTH) > run(RUN_BODY_MAX)) break
    const next = <usize>get(R_END)
    const pathOctets = get(R_TO_LENGTH) + get(R_FROM_LENGTH)
    if (to + (next - p) + FORWARD_GROWTH > toEnd || okTo + <usize>pathOctets + FORWARD_GROWTH > okEnd) break
    if (pathOctets + get(R_MESSAGE_ID_LENGTH) + get(R_TID_LENGTH) > TEXTS_MAX) break

    const free = <usize>load<i32>(word(record, T_NEXT))
    const slot = <u32>((record - first) / TRANSACTION_OCTETS)
    const tid = record + T_TID
    makeTid(tid, lane, slot, random)
    random += TID_SECRET_OCTETS
    store<i32>(word(record, T_TEXTS), <i32>(texts + <usize>slot * TEXTS_OCTETS))
    store<i32>(word(record, T_OUT_CONNECTION), run(RUN_OUT))
    store<i32>(word(record, T_IN_CONNECTION), run(RUN_FROM))
    store<i32>(word(record, T_POSITION), run(RUN_POSITION))
    keep(record, run(RUN_VISITED))
    // Plain: nobody can know of it before the frame has been sent.
    store<i32>(word(record, T_STATE), (load<i32>(word(record, T_STATE)) & ~3) | T_SENDING)
    record = free

    to = startLine(to, tid, TID_OCTETS)
    store<u64>(to, SEND_LINE)
    to += 7
    if (pathsAt == 0) {
      pathsAt = to
      to = paths(to, run(RUN_VISITED))
      pathsLength = to - pathsAt
    } else to = copy(to, pathsAt, pathsLength)
    to = behindPaths(to, tid, TID_OCTETS)

    const upstream = <usize>get(R_TID)
    const upstreamLength = <usize>get(R_TID_LENGTH)
    okTo = startLine(okTo, upstream, upstreamLength)
    if (okAt == 0) {
      okAt = okTo
      okTo = okPaths(okTo)
      okLength = okTo - okAt
    } else okTo = copy(okTo, okAt, okLength)
    okTo = endLine(okTo, upstream, upstreamLength, 36)
    frames++
    p = next
  }
  setRun(RUN_TO, <i32>to)
  setRun(RUN_OK_TO, <i32>okTo)
  setRun(RUN_RANDOM, <i32>random)
  setRun(RUN_FREE, <i32>record)
  setRun(RUN_BEGUN, run(RUN_BEGUN) + frames)
  setRun(RUN_FRAMES, frames)
  setRun(RUN_OCTETS, <i32>(p - start))
  return p
}

/**
 * Settles the transactions of the 2xx responses to SENDs of ours from `p` on, as they come in on connection RUN_OUT (R-60,
 * The response before them was one too. Returns where the first frame begins that was not settled.
 */
export function settleRun(p: usize, end: usize): usize {
  const start = p
  const connection = run(RUN_OUT)
  let frames = 0
  // Outcomes for the same sender are added up: adding to shared memory is dear.
  let sender = 0
  let settled = 0
  while (p < end) {
    if (frame(p, end, 0) != FRAME_COMPLETE || get(R_ERROR) != 0 || get(R_KIND) != KIND_RESPONSE) break
    const status = get(R_STATUS)
    if (status < 200 || status > 299) break
    const record = answered()
    if (record == 0 || (!pathsAsBefore && handedOut(0) == 0)) break
    const seen = get(R_TRANSACTION_STATE)
    const state = seen & 3
    if ((state != T_SENDING && state != T_WAITING) || load<i32>(word(record, T_OUT_CONNECTION)) != connection) break
    const lane = <u32>get(R_TRANSACTION_LANE)
    const texts = <usize>run(RUN_TEXTS) + <usize>limit(L_TRANSACTIONS_STRIDE) * lane +
      <usize>get(R_TRANSACTION_SLOT) * TEXTS_OCTETS
    if (<usize>load<i32>(word(record, T_TEXTS)) != texts || (load<i32>(word(record, T_WHAT)) & 255) != KIND_SEND) break
    if (atomic.cmpxchg<i32>(word(record, T_STATE), seen, (seen & ~3) | T_CLAIMED) != seen) break

    const from = load<i32>(word(record, T_IN_CONNECTION))
    if (from != sender) {
      settle(sender, settled)
      sender = from
      settled = 0
    }
    settled++
    // Nobody else writes it while it is claimed, and it is shown to others by the list it goes to.
    store<i32>(word(record, T_STATE), ((seen & ~3) + T_GENERATION) & T_STATE_MASK)
    if (lane == <u32>run(RUN_LANE)) {
      store<i32>(word(record, T_NEXT), run(RUN_FREE))
      setRun(RUN_FREE, <i32>record)
      setRun(RUN_BEGUN, run(RUN_BEGUN) - 1)
    } else giveBack(record, lane)
    frames++
    p = <usize>get(R_END)
  }
  settle(sender, settled)
  setRun(RUN_FRAMES, frames)
  setRun(RUN_OCTETS, <i32>(p - start))
  return p
}

/** More requests from `connection` have an outcome. Nothing once the connection is gone. */
function settle(connection: i32, count: i32): void {
  if (count == 0) return
  const at = <usize>run(RUN_CONNECTIONS) + <usize>(connection & CONNECTION_SLOT_MASK) * CONNECTION_OCTETS
  if (load<i32>(word(at, CONNECTION_ID)) == connection) atomic.add<i32>(word(at, CONNECTION_SETTLED), count)
}

/** Gives a free record back to the lane it belongs to. */
function giveBack(record: usize, lane: u32): void {
  const control = <usize>run(RUN_CONTROL) + <usize>limit(L_TRANSACTIONS_STRIDE) * lane
  atomic.add<i32>(word(control, TRANSACTIONS_FREED), 1)
  let top = atomic.load<i32>(word(control, TRANSACTIONS_FREE_LIST))
  while (true) {
    store<i32>(word(record, T_NEXT), top)
    const seen = atomic.cmpxchg<i32>(word(control, TRANSACTIONS_FREE_LIST), top, <i32>record)
    if (seen == top) return
    top = seen
  }
}
