import { expect } from 'vitest'
import type { Address } from '../../../src/ids.ts'
import {
  R_BODY_LENGTH,
  R_END,
  R_START,
  R_TID,
  R_TID_LENGTH,
  SCRATCH_OCTETS,
} from '../../../src/parser/kernel/record.ts'
import { compileKernel, createKernel, frameLimits } from '../../../src/parser/kernel.ts'
import {
  type CarryPool,
  CLOSE,
  type Disposition,
  MsrpReader,
  ReaderState,
  STALL,
  TAKEN,
  WORK_OCTETS,
} from '../../../src/parser/msrp/reader.ts'
import { READ_OCTETS } from '../../../src/workers/memory.ts'
import { resetSegments, SEGMENT_POOL_WORDS, SegmentPool, segmentSizes } from '../../../src/workers/segments.ts'

const SCRATCH = 65_536 as Address
const CONTROL = 262_144
const POOL = (CONTROL + SEGMENT_POOL_WORDS * 4) as Address
const POOL_OCTETS_MAX = 32 << 20
const INPUT = POOL + POOL_OCTETS_MAX + 64
const WORK = (INPUT + READ_OCTETS + 64) as Address

const pages = Math.ceil((WORK + WORK_OCTETS + 64) / 65_536)
const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true })
const module = compileKernel()
const octets = new Uint8Array(memory.buffer)
expect(SCRATCH + SCRATCH_OCTETS).toBeLessThan(CONTROL)

/** A frame as the reader handed it over. */
export interface Delivered {
  readonly tid: string
  /** The whole frame; null when its body was swallowed. */
  readonly octets: Buffer | null
  readonly bodyLength: number
}

/** A stream that says no to frames as told, and keeps those it took. */
export class TestStream extends ReaderState {
  readonly delivered: Delivered[] = []
  /** What to say, next first; then TAKEN. A swallowed frame is always taken, as it could only be answered. */
  verdicts: Disposition[] = []
  /** How often it found no memory. */
  memoryShort = 0
}

/** A reader as it runs in a lane, with a pool of `largest` segments of the largest class. */
export function newReader(options: { largest?: number; bodyMax?: number } = {}) {
  const { largest = 4, bodyMax = frameLimits.body } = options
  const words = new Int32Array(memory.buffer)
  resetSegments(words, CONTROL >> 2, POOL, segmentSizes.length * 393_216 * largest)
  const segments = new SegmentPool(words, CONTROL >> 2, POOL, segmentSizes.length * 393_216 * largest)
  // Whoever reads a segment that was given back, or one before it was written, reads rubbish.
  const ruin = (segment: Address) => octets.fill(0xdd, segment, segment + segments.capacity(segment))
  const pool: CarryPool = {
    take(length) {
      const segment = segments.take(length)
      if (segment !== 0) ruin(segment)
      return segment
    },
    capacity: (segment) => segments.capacity(segment),
    give(segment) {
      ruin(segment)
      segments.give(segment)
    },
  }
  const kernel = createKernel(module, memory, SCRATCH)
  const text = (start: number, length: number) => Buffer.from(octets.subarray(start, start + length)).toString('latin1')
  const reader = new MsrpReader<TestStream>(
    kernel,
    pool,
    {
      frame(stream, swallowed) {
        const { record } = kernel
        const verdict = swallowed ? TAKEN : (stream.verdicts.shift() ?? TAKEN)
        if (verdict !== STALL) {
          stream.delivered.push({
            tid: text(record[R_TID]!, record[R_TID_LENGTH]!),
            octets: swallowed ? null : Buffer.from(octets.subarray(record[R_START]!, record[R_END]!)),
            bodyLength: record[R_BODY_LENGTH]!,
          })
        }
        return verdict
      },
      broken: () => expect.fail('a stream of well-formed frames is never broken'),
      more: (_stream, at) => at,
      memoryShort(stream) {
        stream.memoryShort++
      },
    },
    bodyMax,
    WORK,
  )
  /** One read: the octets are gone when it returns. */
  const read = (stream: TestStream, piece: Uint8Array) => {
    octets.set(piece, INPUT)
    reader.read(stream, INPUT, INPUT + piece.length)
    octets.fill(0xee, INPUT, INPUT + piece.length)
  }
  return { reader, read, segments }
}

export { CLOSE, STALL, TAKEN }
