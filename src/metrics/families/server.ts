import type { CounterFamily } from '../family.ts'

/** What is counted of lanes, sockets and storage. */
export const serverFamilies = [
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
      segmentsFree8k: { size: '8k' },
      segmentsFree24k: { size: '24k' },
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
      segmentsCapacity8k: { size: '8k' },
      segmentsCapacity24k: { size: '24k' },
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
