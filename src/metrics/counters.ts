import assert from 'node:assert/strict'
import { parseErrorClasses } from '../parser/msrp/error-class.ts'
import { sipProblems } from '../parser/sip/problem.ts'

export type Labels = Readonly<Record<string, string>>

/** One metric as Prometheus sees it, and the cells of a row that feed it. */
export interface CounterFamily {
  /** Ends in its unit: `_total`, `_seconds`, `_octets`, … No label ever holds a user, a session or a call. */
  readonly name: string
  readonly kind: 'counter' | 'gauge' | 'histogram'
  /** `sum`: one series, added up over all rows. `lane`: one series a lane, with the label `lane`. */
  readonly series: 'sum' | 'lane'
  readonly help: string
  /** Key of each cell, and the labels of what it counts. In a histogram, `le` marks the buckets; the other is the sum. */
  readonly cells: Readonly<Record<string, Labels>>
}

/** Upper bounds of the finite buckets, seconds. */
export const handlingBuckets = [
  1e-6, 2.5e-6, 5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2,
] as const

/** Cells `<prefix>:<value>` for every value of one label, in order. */
function cellsOf<const Prefix extends string, const Label extends string, Value extends string | number>(
  prefix: Prefix,
  label: Label,
  values: readonly Value[],
): Readonly<Record<`${Prefix}:${Value}`, Labels>> {
  const entries = values.map((value) => [`${prefix}:${value}`, { [label]: String(value) }])
  return Object.fromEntries(entries) as Readonly<Record<`${Prefix}:${Value}`, Labels>>
}

/** Cells `<prefix>:<value>:<value>…` for every combination of the values of several labels. */
function product<const Prefix extends string>(
  prefix: Prefix,
  labels: Readonly<Record<string, readonly string[]>>,
): Readonly<Record<`${Prefix}:${string}`, Labels>> {
  let cells: (readonly [string, Labels])[] = [[prefix, {}]]
  for (const [label, values] of Object.entries(labels)) {
    cells = cells.flatMap(([key, rest]) =>
      values.map((value) => [`${key}:${value}`, { ...rest, [label]: value }] as const),
    )
  }
  return Object.fromEntries(cells) as Readonly<Record<`${Prefix}:${string}`, Labels>>
}

export const sipTransports = ['udp', 'tcp', 'tls', 'ws', 'wss'] as const
/** Methods that are counted by name. */
export const sipMethods = [
  'REGISTER',
  'MESSAGE',
  'INVITE',
  'ACK',
  'BYE',
  'CANCEL',
  'OPTIONS',
  'SUBSCRIBE',
  'NOTIFY',
  'INFO',
  'PRACK',
  'UPDATE',
  'REFER',
  'PUBLISH',
] as const
/** Codes that are counted by name; others of their class are counted together. */
export const sipCodes = [
  100, 180, 183, 200, 202, 400, 401, 403, 404, 405, 407, 408, 413, 415, 416, 420, 421, 423, 430, 439, 480, 481, 482,
  483, 486, 487, 488, 500, 501, 503, 504, 505, 513, 600, 603, 606,
] as const

/** Every metric that lanes and the primary count. The order of the cells here is their order in a row. */
export const counterFamilies = [
  {
    name: 'silopath_msrp_frames_total',
    kind: 'counter',
    series: 'sum',
    help: 'MSRP frames, by direction and method.',
    cells: {
      framesReceivedSend: { direction: 'received', method: 'SEND' },
      framesReceivedReport: { direction: 'received', method: 'REPORT' },
      framesReceivedAuth: { direction: 'received', method: 'AUTH' },
      framesReceivedOther: { direction: 'received', method: 'OTHER' },
      framesReceivedResponse: { direction: 'received', method: 'response' },
      framesSentSend: { direction: 'sent', method: 'SEND' },
      framesSentReport: { direction: 'sent', method: 'REPORT' },
      framesSentAuth: { direction: 'sent', method: 'AUTH' },
      framesSentOther: { direction: 'sent', method: 'OTHER' },
      framesSentResponse: { direction: 'sent', method: 'response' },
    },
  },
  {
    name: 'silopath_msrp_responses_total',
    kind: 'counter',
    series: 'sum',
    help: 'MSRP responses, by direction and class of the status code.',
    cells: {
      responsesReceived2xx: { direction: 'received', class: '2xx' },
      responsesReceived3xx: { direction: 'received', class: '3xx' },
      responsesReceived4xx: { direction: 'received', class: '4xx' },
      responsesReceived5xx: { direction: 'received', class: '5xx' },
      responsesReceivedOther: { direction: 'received', class: 'other' },
      responsesSent2xx: { direction: 'sent', class: '2xx' },
      responsesSent3xx: { direction: 'sent', class: '3xx' },
      responsesSent4xx: { direction: 'sent', class: '4xx' },
      responsesSent5xx: { direction: 'sent', class: '5xx' },
      responsesSentOther: { direction: 'sent', class: 'other' },
    },
  },
  {
    name: 'silopath_msrp_octets_total',
    kind: 'counter',
    series: 'sum',
    help: 'Octets of MSRP frames, framing included, by direction.',
    cells: { octetsReceived: { direction: 'received' }, octetsSent: { direction: 'sent' } },
  },
  {
    name: 'silopath_msrp_parse_errors_total',
    kind: 'counter',
    series: 'sum',
    help: 'Malformed MSRP input, by error class.',
    cells: cellsOf('parseError', 'class', parseErrorClasses),
  },
  {
    name: 'silopath_msrp_auth_total',
    kind: 'counter',
    series: 'sum',
    help:
      'AUTH requests, by outcome: rejected is wrong credentials, stale an expired nonce or token, forbidden a 403, ' +
      'unavailable a source of credentials that does not answer, ' +
      'out_of_bounds a 423 for Expires, forwarded an AUTH for a relay further on.',
    cells: {
      authAccepted: { outcome: 'accepted' },
      authChallenged: { outcome: 'challenged' },
      authRejected: { outcome: 'rejected' },
      authStale: { outcome: 'stale' },
      authReplayed: { outcome: 'replayed' },
      authMalformed: { outcome: 'malformed' },
      authForbidden: { outcome: 'forbidden' },
      authUnavailable: { outcome: 'unavailable' },
      authOutOfBounds: { outcome: 'out_of_bounds' },
      authForwarded: { outcome: 'forwarded' },
    },
  },
  {
    name: 'silopath_msrp_deliveries_total',
    kind: 'counter',
    series: 'sum',
    help:
      'Chunks by what became of them: relayed is forwarded, acknowledged is answered 2xx by the next hop, rejected is ' +
      'answered otherwise, timed_out is not answered in time, unreachable has no connection to the next hop, refused ' +
      'has no session or no permission, too_large is swallowed after a 413.',
    cells: {
      deliveriesRelayed: { outcome: 'relayed' },
      deliveriesAcknowledged: { outcome: 'acknowledged' },
      deliveriesRejected: { outcome: 'rejected' },
      deliveriesTimedOut: { outcome: 'timed_out' },
      deliveriesUnreachable: { outcome: 'unreachable' },
      deliveriesRefused: { outcome: 'refused' },
      deliveriesTooLarge: { outcome: 'too_large' },
    },
  },
  {
    name: 'silopath_msrp_reports_made_total',
    kind: 'counter',
    series: 'sum',
    help: 'Failure REPORTs that the relay itself made, by status code.',
    cells: {
      reportsMade403: { code: '403' },
      reportsMade408: { code: '408' },
      reportsMade413: { code: '413' },
      reportsMade481: { code: '481' },
      reportsMadeOther: { code: 'other' },
    },
  },
  {
    name: 'silopath_msrp_handling_seconds',
    kind: 'histogram',
    series: 'sum',
    help: 'Time to handle a frame: the mean over the frames of one read, counted once for each of them.',
    cells: { ...cellsOf('handling', 'le', [...handlingBuckets, '+Inf']), handlingSum: {} },
  },
  {
    name: 'silopath_msrp_sessions',
    kind: 'gauge',
    series: 'sum',
    help: 'Relay sessions that are open.',
    cells: { sessionsOpen: {} },
  },
  {
    name: 'silopath_msrp_sessions_total',
    kind: 'counter',
    series: 'sum',
    help: 'Relay sessions opened by an AUTH, expired, and closed with their connection.',
    cells: {
      sessionsOpened: { event: 'opened' },
      sessionsExpired: { event: 'expired' },
      sessionsClosed: { event: 'closed' },
    },
  },
  {
    name: 'silopath_msrp_transactions_open',
    kind: 'gauge',
    series: 'sum',
    help: 'Forwarded requests whose response is awaited.',
    cells: { transactionsOpen: {} },
  },
  {
    name: 'silopath_msrp_frames_dropped_total',
    kind: 'counter',
    series: 'sum',
    help: 'Well-formed frames dropped: responses or REPORTs that match nothing, frames for a connection that is gone.',
    cells: {
      droppedStrayResponse: { reason: 'stray_response' },
      droppedUnknownReport: { reason: 'unknown_report' },
      droppedClosedConnection: { reason: 'closed_connection' },
    },
  },
  {
    name: 'silopath_msrp_stalls_total',
    kind: 'counter',
    series: 'sum',
    help:
      'Times a sender was paused, by what ran short: the receiver is slow, transactions or segments are used up, the ' +
      'next hop is still connecting.',
    cells: {
      stalledReceiver: { reason: 'receiver' },
      stalledTransactions: { reason: 'transactions' },
      stalledSegments: { reason: 'segments' },
      stalledConnecting: { reason: 'connecting' },
    },
  },
  {
    name: 'silopath_sip_requests_total',
    kind: 'counter',
    series: 'sum',
    help: 'SIP requests, by direction, transport and method. Retransmissions count.',
    cells: product('sipRequests', {
      direction: ['received', 'sent'],
      transport: sipTransports,
      method: [...sipMethods, 'OTHER'],
    }),
  },
  {
    name: 'silopath_sip_responses_total',
    kind: 'counter',
    series: 'sum',
    help: 'SIP responses, by direction, transport and status code.',
    cells: product('sipResponses', {
      direction: ['received', 'sent'],
      transport: sipTransports,
      code: [...sipCodes.map(String), '1xx', '2xx', '3xx', '4xx', '5xx', '6xx'],
    }),
  },
  {
    name: 'silopath_sip_parse_errors_total',
    kind: 'counter',
    series: 'sum',
    help: 'Faulty SIP messages, by what is wrong with them.',
    cells: cellsOf('sipProblem', 'reason', sipProblems),
  },
  {
    name: 'silopath_sip_transactions_open',
    kind: 'gauge',
    series: 'sum',
    help: 'SIP transactions that are open, by kind.',
    cells: cellsOf('sipTransactions', 'kind', [
      'invite-server',
      'non-invite-server',
      'invite-client',
      'non-invite-client',
    ]),
  },
  {
    name: 'silopath_sip_transaction_events_total',
    kind: 'counter',
    series: 'sum',
    help:
      'What happened in SIP transactions: retransmission_sent is a message sent again, retransmission_absorbed a copy that ' +
      'was for nobody above, stray_response one that nothing waits for, timeout no final response, unacknowledged no ACK, ' +
      'unanswered a request that we left without an answer, transport_error what could not be sent, refused a request ' +
      'answered 503 for want of room, handed_over a message that belonged to another lane.',
    cells: cellsOf('sipEvents', 'event', [
      'retransmission_sent',
      'retransmission_absorbed',
      'stray_response',
      'timeout',
      'unacknowledged',
      'unanswered',
      'transport_error',
      'refused',
      'unanswerable',
      'handed_over',
    ]),
  },
  {
    name: 'silopath_sip_dropped_total',
    kind: 'counter',
    series: 'sum',
    help: 'SIP messages dropped: malformed beyond an answer, responses not for us, datagrams that found no room.',
    cells: cellsOf('sipDropped', 'reason', ['malformed', 'not_ours', 'no_room', 'not_served']),
  },
  {
    name: 'silopath_sip_auth_total',
    kind: 'counter',
    series: 'sum',
    help:
      'SIP requests whose sender has to show who they are, by outcome: trusted is a peer or a flow that has registered ' +
      'before, rejected wrong credentials, stale an expired nonce or token, forbidden a user who may not act for that name.',
    cells: cellsOf('sipAuth', 'outcome', [
      'trusted',
      'accepted',
      'challenged',
      'rejected',
      'stale',
      'replayed',
      'malformed',
      'forbidden',
      'unavailable',
    ]),
  },
  {
    name: 'silopath_sip_registrations',
    kind: 'gauge',
    series: 'sum',
    help: 'Contacts that are registered.',
    cells: { sipBindings: {} },
  },
  {
    name: 'silopath_sip_registrations_total',
    kind: 'counter',
    series: 'sum',
    help:
      'Contacts added, refreshed, removed, displaced to make room, expired, and unreachable since their connection closed; ' +
      'REGISTERs that only asked, and those that were refused.',
    cells: cellsOf('sipRegistrations', 'event', [
      'added',
      'refreshed',
      'removed',
      'displaced',
      'expired',
      'unreachable',
      'fetched',
      'refused',
    ]),
  },
  {
    name: 'silopath_sip_proxied_total',
    kind: 'counter',
    series: 'sum',
    help:
      'Requests that the proxy was asked to forward, by outcome: accepted is a 2xx, rejected any other final response, ' +
      'timed_out none, unreachable no way to the next hop, not_found no such user, offline a user without a contact, refused ' +
      'a request that may not be relayed.',
    cells: cellsOf('sipProxied', 'outcome', [
      'accepted',
      'rejected',
      'timed_out',
      'unreachable',
      'not_found',
      'offline',
      'refused',
    ]),
  },
  {
    name: 'silopath_lane_loop_delay_seconds',
    kind: 'gauge',
    series: 'lane',
    help: "Longest delay of the lane's event loop in its latest interval of measurement.",
    cells: { loopDelaySeconds: {} },
  },
  {
    name: 'silopath_segments_free_octets',
    kind: 'gauge',
    series: 'lane',
    help: 'Shared memory that is free in the segments of the lane, by size of the segment.',
    cells: {
      segmentsFree2k: { size: '2k' },
      segmentsFree16k: { size: '16k' },
      segmentsFree96k: { size: '96k' },
      segmentsFree384k: { size: '384k' },
    },
  },
  {
    name: 'silopath_segments_capacity_octets',
    kind: 'gauge',
    series: 'lane',
    help: 'Shared memory in the segments of the lane, free or in use, by size of the segment.',
    cells: {
      segmentsCapacity2k: { size: '2k' },
      segmentsCapacity16k: { size: '16k' },
      segmentsCapacity96k: { size: '96k' },
      segmentsCapacity384k: { size: '384k' },
    },
  },
  {
    name: 'silopath_ring_records',
    kind: 'gauge',
    series: 'lane',
    help: 'Records waiting in the ring to the lane (in) and from it (out).',
    cells: { ringRecordsIn: { ring: 'in' }, ringRecordsOut: { ring: 'out' } },
  },
  {
    name: 'silopath_ring_capacity_records',
    kind: 'gauge',
    series: 'lane',
    help: 'Records that fit in the ring to the lane (in) and from it (out).',
    cells: { ringCapacityIn: { ring: 'in' }, ringCapacityOut: { ring: 'out' } },
  },
  {
    name: 'silopath_lane_replaced_total',
    kind: 'counter',
    series: 'sum',
    help: 'Lanes that ended and were started anew.',
    cells: { lanesReplaced: {} },
  },
  {
    name: 'silopath_connections',
    kind: 'gauge',
    series: 'sum',
    help: 'Connections, by state.',
    cells: { connectionsOpen: { state: 'open' } },
  },
  {
    name: 'silopath_connections_total',
    kind: 'counter',
    series: 'sum',
    help:
      'Connections, by event: accepted or refused at a listener, connected_out by us, closed for any reason; dropped ' +
      'by us as idle, never authorised (probation), malformed, or for want of memory (pressure).',
    cells: {
      connectionsAccepted: { event: 'accepted' },
      connectionsRefused: { event: 'refused' },
      connectionsConnectedOut: { event: 'connected_out' },
      connectionsClosed: { event: 'closed' },
      connectionsDroppedIdle: { event: 'dropped_idle' },
      connectionsDroppedProbation: { event: 'dropped_probation' },
      connectionsDroppedMalformed: { event: 'dropped_malformed' },
      connectionsDroppedPressure: { event: 'dropped_pressure' },
    },
  },
  {
    name: 'silopath_handshakes_failed_total',
    kind: 'counter',
    series: 'sum',
    help: 'Handshakes that ended before there was a connection, by layer.',
    cells: { handshakesFailedTls: { layer: 'tls' }, handshakesFailedWebSocket: { layer: 'websocket' } },
  },
  {
    name: 'silopath_datagrams_total',
    kind: 'counter',
    series: 'sum',
    help:
      'UDP datagrams: received, sent, dropped for want of room on the way to a lane or to the network, and failed: the ' +
      'network refused to carry them.',
    cells: {
      datagramsReceived: { event: 'received' },
      datagramsSent: { event: 'sent' },
      datagramsDropped: { event: 'dropped' },
      datagramsFailed: { event: 'failed' },
    },
  },
  {
    name: 'silopath_reads_paused',
    kind: 'gauge',
    series: 'sum',
    help: 'Connections that are not being read, to hold their sender back.',
    cells: { readsPaused: {} },
  },
  {
    name: 'silopath_reads_total',
    kind: 'counter',
    series: 'sum',
    help: 'Reads from sockets.',
    cells: { reads: {} },
  },
  {
    name: 'silopath_read_octets_total',
    kind: 'counter',
    series: 'sum',
    help: 'Octets read from sockets.',
    cells: { readOctets: {} },
  },
  {
    name: 'silopath_writes_total',
    kind: 'counter',
    series: 'sum',
    help: 'Writes to sockets.',
    cells: { writes: {} },
  },
  {
    name: 'silopath_written_octets_total',
    kind: 'counter',
    series: 'sum',
    help: 'Octets written to sockets.',
    cells: { writtenOctets: {} },
  },
  {
    name: 'silopath_store_failures_total',
    kind: 'counter',
    series: 'sum',
    help: 'Session store: transactions that failed and are tried again (write), records refused as it is full (full).',
    cells: { storeWriteFailures: { reason: 'write' }, storeFull: { reason: 'full' } },
  },
] as const satisfies readonly CounterFamily[]

type KeyOf<Family> = Family extends { readonly cells: infer Cells } ? keyof Cells & string : never

/** The name of one cell of a row. */
export type CounterKey = KeyOf<(typeof counterFamilies)[number]>

/** The key of every cell, in the order of a row. */
export const counterCells: readonly CounterKey[] = Object.freeze(
  counterFamilies.flatMap(({ cells }) => Object.keys(cells) as CounterKey[]),
)

const indexes = Object.fromEntries(counterCells.map((key, index) => [key, index])) as Readonly<
  Record<CounterKey, number>
>

/**
 * Where each cell lies in a row: `row[C.framesReceivedSend] += 1`. The parse errors lie side by side in the order of
 * `parseErrorClasses`, so that class number n is `C.parseErrorFirst + n`.
 */
export const C: Readonly<Record<CounterKey | 'parseErrorFirst', number>> = Object.freeze({
  ...indexes,
  parseErrorFirst: indexes[`parseError:${parseErrorClasses[0]}`],
})

const handlingFirst = C[`handling:${handlingBuckets[0]}`]

/** Counts `frames` frames of one read that took `meanSeconds` each. */
export function countHandling(row: Float64Array, meanSeconds: number, frames: number): void {
  let bucket = 0
  while (bucket < handlingBuckets.length && meanSeconds > handlingBuckets[bucket]!) bucket += 1
  row[handlingFirst + bucket]! += frames
  row[C.handlingSum]! += meanSeconds * frames
}

const cacheLineOctets = 64

/**
 * The counters of all threads: a row of Float64 for each lane, and the last one for the primary. Each row has one
 * writer, which adds with plain stores; whoever reads may see a value a moment old but never a torn one, as aligned
 * 64-bit stores are whole on the machines Node runs on.
 */
export class SharedCounters {
  /** Octets of one row: whole cache lines, so that no two writers share one. */
  static readonly octetsPerRow: number =
    Math.ceil((counterCells.length * Float64Array.BYTES_PER_ELEMENT) / cacheLineOctets) * cacheLineOctets

  readonly #rows: readonly Float64Array[]

  /** @param rows the lanes' rows in the order of their index, then the primary's; each a view on zeroed shared memory. */
  constructor(rows: readonly Float64Array[]) {
    assert(rows.length > 0, 'the primary has a row')
    for (const row of rows) assert(row.byteLength >= SharedCounters.octetsPerRow, 'a row is too short')
    this.#rows = rows
  }

  /** Number of lanes. */
  get lanes(): number {
    return this.#rows.length - 1
  }

  /** The row of the lane with that index. */
  row(lane: number): Float64Array {
    assert(lane >= 0 && lane < this.lanes, 'no such lane')
    return this.#rows[lane]!
  }

  get primary(): Float64Array {
    return this.#rows[this.lanes]!
  }

  /** The cell added up over lanes and primary. */
  sum(key: CounterKey): number {
    const index = C[key]
    return this.#rows.reduce((sum, row) => sum + row[index]!, 0)
  }
}
