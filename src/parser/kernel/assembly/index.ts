// The parser kernel: all of Silopath that looks at the octets of a frame one by one. One instance a lane, all of them on
// the one shared memory; an instance keeps nothing but the address of its lane's scratch area.
import { setScratch } from './frame'
import { uri } from './uri'

export { bodyEnd, frame, headMayEnd } from './frame'
export { forward, makeTid, ok } from './compose'
export { relayRun, settleRun } from './run'
export { sip } from './sip'
export { foreign, home, relay, session, sessionById, transaction, uriHash } from './tables'

/** Binds this instance to the scratch area of its lane (record.ts tells what stands where). */
export function bind(scratch: usize): void {
  setScratch(scratch)
}

/** Whether the octets from `p` to `end` are one MSRP URI (U-1). */
export function isUri(p: usize, end: usize): bool {
  return uri(p, end)
}
