import type { Address, ConnectionId, LaneIndex } from '../../../src/ids.ts'
import { Connections, nextConnectionId } from '../../../src/workers/connections.ts'
import { Doorbell, RING_CONTROL_OCTETS, RING_RECORD_OCTETS } from '../../../src/workers/ring.ts'

/*
 * A primary and a lane in two threads, with one connection between them and one of the two ways in which the faster one
 * waits for the slower one. Nothing but the handshake under test wakes the one that waits.
 */

export const FLOW_RECORDS = 1024
export const FLOW_RING = 4096 as Address
export const FLOW_OCTETS = FLOW_RING + RING_CONTROL_OCTETS + FLOW_RECORDS * RING_RECORD_OCTETS
/** Octets at which the faster one waits: small, so that it waits often. */
export const FLOW_MAX = 1000
export const FLOW_LANE = 3 as LaneIndex

export interface FlowData {
  readonly memory: SharedArrayBuffer
  /** input: the primary waits for `consumed`. output: the lane waits for `written`. */
  readonly direction: 'input' | 'output'
  readonly seed: number
  /** Octets that have to pass. */
  readonly total: number
}

const CONNECTIONS = 1024 as Address
export const FLOW_CONNECTION: ConnectionId = nextConnectionId(5 as never, 0)

export function flowParts(memory: SharedArrayBuffer) {
  const words = new Int32Array(memory)
  return {
    words,
    connections: new Connections(words, CONNECTIONS),
    primaryBell: new Doorbell(words, 0),
    laneBell: new Doorbell(words, 16),
  }
}
