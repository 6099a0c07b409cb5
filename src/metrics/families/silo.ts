import { type CounterFamily, cellsOf } from '../family.ts'

/** What the silo counts. */
export const siloFamilies = [
  {
    name: 'silopath_silo_stored_messages_total',
    kind: 'counter',
    series: 'sum',
    help: 'Messages kept for users who are away, reminders too (MSILO: stored_messages).',
    cells: { 'silo:stored_messages': {} },
  },
  {
    name: 'silopath_silo_dumped_messages_total',
    kind: 'counter',
    series: 'sum',
    help: 'Offline messages that a device has taken with 2xx (MSILO: dumped_messages).',
    cells: { 'silo:dumped_messages': {} },
  },
  {
    name: 'silopath_silo_failed_messages_total',
    kind: 'counter',
    series: 'sum',
    help: 'Attempts to deliver an offline message that failed (MSILO: failed_messages).',
    cells: { 'silo:failed_messages': {} },
  },
  {
    name: 'silopath_silo_dumped_reminders_total',
    kind: 'counter',
    series: 'sum',
    help: 'Reminders that a device has taken with 2xx (MSILO: dumped_reminders).',
    cells: { 'silo:dumped_reminders': {} },
  },
  {
    name: 'silopath_silo_failed_reminders_total',
    kind: 'counter',
    series: 'sum',
    help: 'Attempts to deliver a reminder that failed (MSILO: failed_reminders).',
    cells: { 'silo:failed_reminders': {} },
  },
  {
    name: 'silopath_silo_refused_total',
    kind: 'counter',
    series: 'sum',
    help:
      'Messages not kept: their owner had too many (messages) or too much (octets), or too many of this sender (share); too ' +
      'many were to be written (overloaded), or the disk failed (unavailable).',
    cells: {
      'silo:refused_over_messages': { reason: 'messages' },
      'silo:refused_over_octets': { reason: 'octets' },
      'silo:refused_over_share': { reason: 'share' },
      'silo:refused_overloaded': { reason: 'overloaded' },
      'silo:refused_unavailable': { reason: 'unavailable' },
    },
  },
  {
    name: 'silopath_silo_events_total',
    kind: 'counter',
    series: 'sum',
    help:
      'What else the silo did: retry of a delivery; message expired, or dead: refused for good or too often; reminder demoted ' +
      'to an offline message; notice to a sender sent, or held back as there was one within the minute; imdn sent; answers ' +
      'that waited for a device to wake up (push_wait) until it took the message (push_delivered); device put_off to its ' +
      'next REGISTER, as too many waited.',
    cells: {
      'silo:retries': { event: 'retry' },
      'silo:expired_messages': { event: 'expired' },
      'silo:dead_messages': { event: 'dead' },
      'silo:demoted_reminders': { event: 'demoted' },
      'silo:notices': { event: 'notice' },
      'silo:notices_held_back': { event: 'notice_held_back' },
      'silo:imdns': { event: 'imdn' },
      'silo:push_waits': { event: 'push_wait' },
      'silo:push_delivered': { event: 'push_delivered' },
      'silo:put_off': { event: 'put_off' },
    },
  },
  {
    name: 'silopath_silo_messages',
    kind: 'gauge',
    series: 'sum',
    help: 'Messages in the silo: those waiting for their owner, and dead letters.',
    cells: cellsOf('siloMessages', 'state', ['waiting', 'dead']),
  },
  {
    name: 'silopath_silo_octets',
    kind: 'gauge',
    series: 'sum',
    help: 'Octets of the bodies of messages that wait for their owner.',
    cells: { siloOctets: {} },
  },
  {
    name: 'silopath_silo_deliveries',
    kind: 'gauge',
    series: 'sum',
    help: 'Devices that messages are delivered to: sending, waiting for their turn, resting after a failure.',
    cells: cellsOf('siloDeliveries', 'state', ['sending', 'waiting', 'resting']),
  },
  {
    name: 'silopath_silo_store_failures_total',
    kind: 'counter',
    series: 'sum',
    help: 'Transactions of the silo that failed (disk full, read-only, broken), and records that cannot be read: an alarm.',
    cells: { siloStoreFailures: {} },
  },
  {
    name: 'silopath_silo_hooks_total',
    kind: 'counter',
    series: 'sum',
    help:
      'Events for the hook: posted, refused by the receiver, dropped for want of room or after too many failures; posts that ' +
      'failed; how often the receiver was found to be down (opened).',
    cells: cellsOf('siloHooks', 'outcome', ['posted', 'refused', 'dropped', 'failed', 'opened']),
  },
  {
    name: 'silopath_silo_hooks_waiting',
    kind: 'gauge',
    series: 'sum',
    help: 'Events that wait on disk for the hook.',
    cells: { siloHooksWaiting: {} },
  },
] as const satisfies readonly CounterFamily[]
