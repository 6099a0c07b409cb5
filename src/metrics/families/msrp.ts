import { parseErrorClasses } from '../../parser/msrp/error-class.ts'
import { type CounterFamily, cellsOf } from '../family.ts'

/** Upper bounds of the finite buckets, seconds. */
export const handlingBuckets = [
  1e-6, 2.5e-6, 5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2,
] as const
/** What the relay counts. */
export const msrpFamilies = [
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
      deliveriesStored: { outcome: 'stored' },
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
] as const satisfies readonly CounterFamily[]
