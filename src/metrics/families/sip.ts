import { sipProblems } from '../../parser/sip/problem.ts'
import { type CounterFamily, cellsOf, product } from '../family.ts'

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
/** What SIP counts. */
export const sipFamilies = [
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
] as const satisfies readonly CounterFamily[]
