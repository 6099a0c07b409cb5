import type { SipLimits } from '../../src/parser/sip/parse.ts'
import type { SipHandler } from '../../src/parser/sip/reader.ts'
import { SipStreamState } from '../../src/parser/sip/reader.ts'
import { createTestReader } from './sip-parser.ts'
import { type SipEvent, snapshotOf } from './sip-snapshot.ts'

/** A handler that notes what it is told. */
export function noting(events: SipEvent[]): SipHandler<SipStreamState> {
  return {
    message: (_stream, message) => events.push({ type: 'message', message: snapshotOf(message) }),
    broken: (_stream, problem, message) =>
      events.push({ type: 'broken', problem, message: message === null ? null : snapshotOf(message) }),
    keepAlive: () => events.push({ type: 'keep-alive' }),
  }
}

/** Reads a stream cut at these places, to its end. */
export function readStream(octets: Uint8Array, cuts: readonly number[], limits?: Partial<SipLimits>): SipEvent[] {
  const events: SipEvent[] = []
  const reader = createTestReader(noting(events), limits)
  const stream = new SipStreamState()
  let from = 0
  for (const cut of [...cuts, octets.length]) {
    reader.feed(stream, octets.subarray(from, cut))
    from = cut
  }
  if (reader.end(stream)) events.push({ type: 'cut-off' })
  return events
}
