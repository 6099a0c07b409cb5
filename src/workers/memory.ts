import assert from 'node:assert/strict'
import type { Address } from '../ids.ts'
import { SharedCounters } from '../metrics/counters.ts'
import type { TransactionPlace } from '../msrp/transactions.ts'
import {
  CONNECTION_OCTETS,
  END_LINE_MAX,
  HEAD_MAX,
  LANES_MAX,
  SCRATCH_OCTETS,
  SESSION_OCTETS,
  SLOTS_MAX,
  TEXTS_OCTETS,
  TRANSACTION_OCTETS,
} from '../parser/kernel/record.ts'
import { frameLimits } from '../parser/kernel.ts'
import { WORK_OCTETS } from '../parser/msrp/reader.ts'
import { SIP_WORK_OCTETS } from '../parser/sip/parse.ts'
import { locationVersionsWords } from '../store/location-store.ts'
import { INPUT_WINDOW } from './connections.ts'
import { FLOW_OCTETS } from './flows.ts'
import { RING_BATCH, RING_CONTROL_OCTETS, RING_RECORD_OCTETS } from './ring.ts'
import { SEGMENT_POOL_WORDS, segmentCapacityMax, segmentCount } from './segments.ts'

/** Octets of the primary's read buffer: the largest piece that is read from a socket at once. */
export const READ_OCTETS = 65_536

/** Sizes from which the shared memory is laid out. */
export interface MemorySizes {
  /** Lanes, at least 1 and at most 32 (a bit each in a connection's waiters). */
  readonly lanes: number
  readonly maxConnections: number
  /** Sessions a lane can hold. */
  readonly maxSessions: number
  /** Transactions a lane can have open. */
  readonly maxTransactions: number
  /** Octets of each lane's segments. */
  readonly segmentOctets: number
}

/** What belongs to one lane. All addresses in octets. */
export interface LaneMemory {
  /** Words: see LANE_* below. */
  readonly control: Address
  readonly counters: Address
  readonly scratch: Address
  readonly sessions: Address
  readonly transactions: Address
  readonly texts: Address
  readonly segmentControl: Address
  readonly segments: Address
  readonly ringIn: Address
  readonly ringOut: Address
  /** Where stalled input is read from: WORK_OCTETS. */
  readonly work: Address
  /** Where SIP messages that come in are read, and where our own are read again: SIP_WORK_OCTETS each. */
  readonly sipWork: Address
  readonly sipOwnWork: Address
  /** Octets on their way to the lane: INPUT_OCTETS. */
  readonly input: Address
}

/** The map of the shared memory: plain numbers, the same in every thread. */
export interface MemoryMap extends MemorySizes {
  readonly primaryControl: Address
  readonly primaryCounters: Address
  readonly connections: Address
  /** See Flows. */
  readonly flows: Address
  readonly readBuffer: Address
  /** See LocationVersions: locationVersionsWords words. */
  readonly locationVersions: Address
  readonly lane: readonly LaneMemory[]
  readonly octets: number
  readonly ringInRecords: number
  /** Records of the ring in that are kept free of data. */
  readonly ringInReserve: number
  readonly ringOutRecords: number
}

/** Octets of the ring of input octets of each lane. */
export const INPUT_OCTETS = 4 << 20
/**
 * A lane gives input back, and sends what it has made, when it has worked off as much: the primary goes on meanwhile, and
 * both find in the processor's caches what they need.
 */
export const BATCH_OCTETS = 256 << 10

// Words of a control block.
/** 1 while something was announced since the owner last looked: see Doorbell. */
export const CONTROL_BELL = 0
/** The control words of the lane's transactions, TRANSACTIONS_*. */
const CONTROL_TRANSACTIONS = 16
/** How far the lane has given input octets back (an address). */
export const CONTROL_INPUT_READ = 32
/** How many of the segments handed to the lane it has seen (modulo 2^32). */
export const CONTROL_HANDED = 33
const CONTROL_OCTETS = 256

/** Static data of the kernel and everything below the regions. */
const KERNEL_OCTETS = 65_536
const PAGE = 65_536

/** Addresses stay below 2^31, so that they are positive 32-bit integers in JavaScript and in the kernel. */
export const OCTETS_MAX: number = 2 ** 31 - PAGE

const powerOfTwo = (least: number) => 2 ** Math.ceil(Math.log2(least))

/** The sizes that a configuration asks for. */
export function memorySizes(config: {
  readonly workers: number
  readonly memory_mib: number
  readonly max_connections: number
  readonly msrp: { readonly max_sessions: number; readonly max_transactions: number }
}): MemorySizes {
  return {
    // workers: 0 has a lane too, in the primary.
    lanes: Math.max(config.workers, 1),
    maxConnections: config.max_connections,
    maxSessions: config.msrp.max_sessions,
    maxTransactions: config.msrp.max_transactions,
    segmentOctets: config.memory_mib * 2 ** 20,
  }
}

/**
 * Lays the regions out one after the other, each on a 4 KiB page of its own: pages cost nothing until they are touched.
 * The map of sizes that do not fit says so by its `octets` (OCTETS_MAX).
 */
export function mapMemory(sizes: MemorySizes): MemoryMap {
  assert(sizes.lanes <= Math.min(32, LANES_MAX), 'a bit for each lane in a word')
  assert(sizes.maxSessions <= SLOTS_MAX && sizes.maxTransactions <= SLOTS_MAX, 'slots that an id can name')
  let next = KERNEL_OCTETS
  const region = (octets: number) => {
    const start = next
    // Not with bit operations, which end at 2^31.
    next += Math.ceil(octets / 4096) * 4096
    return start as Address
  }
  // A lane can have one record of each kind but data waiting for each connection, and one for each segment that another
  // lane can hand to it. Those that it is just working off may come a second time before it gives their room back.
  const ringInReserve = 4 * sizes.maxConnections + (sizes.lanes - 1) * segmentCount(sizes.segmentOctets) + RING_BATCH
  const ringInRecords = powerOfTwo(ringInReserve + 12_288)
  // Every segment and three records (close, resume, released) for each connection: the ring out is never full.
  const ringOutRecords = powerOfTwo(3 * sizes.maxConnections + Math.ceil(sizes.segmentOctets / 2048) + 64)

  const map = {
    ...sizes,
    ringInRecords,
    ringInReserve,
    ringOutRecords,
    primaryControl: region(CONTROL_OCTETS),
    primaryCounters: region(SharedCounters.octetsPerRow),
    connections: region(sizes.maxConnections * CONNECTION_OCTETS),
    flows: region(sizes.maxConnections * FLOW_OCTETS),
    // 64 octets more: the kernel reads up to 15 octets past the end of what it is given.
    readBuffer: region(READ_OCTETS + 64),
    locationVersions: region(locationVersionsWords * 4),
    lane: Array.from({ length: sizes.lanes }, () => ({
      control: region(CONTROL_OCTETS),
      counters: region(SharedCounters.octetsPerRow),
      scratch: region(SCRATCH_OCTETS),
      segmentControl: region(SEGMENT_POOL_WORDS * 4),
      ringIn: region(RING_CONTROL_OCTETS + ringInRecords * RING_RECORD_OCTETS),
      ringOut: region(RING_CONTROL_OCTETS + ringOutRecords * RING_RECORD_OCTETS),
      work: region(WORK_OCTETS + 64),
      sipWork: region(SIP_WORK_OCTETS + 64),
      sipOwnWork: region(SIP_WORK_OCTETS + 64),
      input: region(INPUT_OCTETS + 64),
      sessions: region(sizes.maxSessions * SESSION_OCTETS),
      transactions: region(sizes.maxTransactions * TRANSACTION_OCTETS),
      texts: region(sizes.maxTransactions * TEXTS_OCTETS),
      segments: region(sizes.segmentOctets + 64),
    })),
  }
  return { ...map, octets: next }
}

// A backlog is a whole frame that was waiting for its end, what the lane may owe, and the read that went past that.
assert(HEAD_MAX + frameLimits.body + END_LINE_MAX + INPUT_WINDOW + READ_OCTETS <= WORK_OCTETS)
// A frame that is forwarded is as long as the one that came, but for the transaction id and the words around the paths.
assert(HEAD_MAX + frameLimits.body + 1024 <= segmentCapacityMax)

/** Allocates the memory of a map: zeroed, and resident only where it is touched. */
export function createMemory(map: MemoryMap): WebAssembly.Memory {
  assert(map.octets <= OCTETS_MAX, 'the schema lets no more through')
  const pages = Math.ceil(map.octets / PAGE)
  return new WebAssembly.Memory({ initial: Math.max(pages, 16), maximum: Math.max(pages, 16), shared: true })
}

/** Where the transactions of each lane lie. */
export function transactionPlaces(map: MemoryMap): readonly TransactionPlace[] {
  return map.lane.map(({ transactions, texts, control }) => ({
    first: transactions,
    texts,
    control: (control >> 2) + CONTROL_TRANSACTIONS,
    max: map.maxTransactions,
  }))
}

/** Octets from one lane's regions to the next lane's. */
export function laneStride(map: MemoryMap): number {
  return map.lanes > 1 ? map.lane[1]!.control - map.lane[0]!.control : 0
}
