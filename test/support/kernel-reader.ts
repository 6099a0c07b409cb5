import type { Address } from '../../src/ids.ts'
import {
  FRAME_HEADER_LIMIT,
  FROM_URIS,
  HEADER_WORDS,
  HEADERS,
  KIND_RESPONSE,
  KIND_SEND,
  R_BODY_LENGTH,
  R_COMMENT,
  R_COMMENT_LENGTH,
  R_FAILURE_REPORT,
  R_FLAG,
  R_FROM_COUNT,
  R_HAS_BODY,
  R_HEAD_END,
  R_HEADER_COUNT,
  R_KIND,
  R_METHOD,
  R_METHOD_LENGTH,
  R_RANGE,
  R_RANGE_END,
  R_RANGE_START,
  R_RANGE_TOTAL,
  R_STATUS,
  R_SUCCESS_REPORT,
  R_TID,
  R_TID_LENGTH,
  R_TO_COUNT,
  REPORT_NO,
  REPORT_YES,
  SCRATCH_OCTETS,
  TO_URIS,
} from '../../src/parser/kernel/record.ts'
import { compileKernel, createKernel, type Kernel } from '../../src/parser/kernel.ts'
import { errorClass, mayAnswerMalformed } from '../../src/parser/msrp/malformed.ts'
import { MsrpReader, ReaderState, TAKEN, WORK_OCTETS } from '../../src/parser/msrp/reader.ts'
import { resetSegments, SEGMENT_POOL_WORDS, SegmentPool } from '../../src/workers/segments.ts'
import { bodyDigest } from './body-digest.ts'
import { type CreateReader, defaultLimits, type FrameSnapshot, type ReaderEvent, type StartSnapshot } from './events.ts'

const SCRATCH = 65_536 as Address
const CONTROL = (SCRATCH + SCRATCH_OCTETS + 1023) & ~1023
const POOL = (CONTROL + SEGMENT_POOL_WORDS * 4) as Address
const POOL_OCTETS = 8 << 20
const INPUT = (POOL + POOL_OCTETS) as Address
const INPUT_OCTETS = 1 << 20
const WORK = (INPUT + INPUT_OCTETS + 64) as Address
/** Larger than any body of the tests: what is over the limit is answered without being kept, and has no digest. */
const BODY_MAX = 262_144

const memory = new WebAssembly.Memory({
  initial: Math.ceil((WORK + WORK_OCTETS + 64) / 65_536),
  maximum: 65_536,
  shared: true,
})
const module = compileKernel(process.env.SILOPATH_KERNEL === 'debug' ? 'debug' : 'release')
const words = new Int32Array(memory.buffer)
const octets = new Uint8Array(memory.buffer)
resetSegments(words, CONTROL >> 2, POOL, POOL_OCTETS)
const pool = new SegmentPool(words, CONTROL >> 2, POOL, POOL_OCTETS)

/** The parser as it runs in a lane: kernel, stream reader and carry, on a memory that all readers of a test file share. */
export const createKernelReader: CreateReader = (options) => {
  const limits = { ...defaultLimits, ...options?.limits }
  const kernel = createKernel(module, memory, SCRATCH, {
    startLine: limits.startLineOctets,
    headerLine: limits.headerLineOctets,
    head: limits.headOctets,
    headers: limits.headerLines,
    pathUris: limits.pathUris,
    body: BODY_MAX,
  })
  const events: ReaderEvent[] = []
  const reader = new MsrpReader(
    kernel,
    pool,
    {
      frame() {
        events.push(frameEvent(kernel))
        return TAKEN
      },
      broken(_stream, what) {
        if (what !== FRAME_HEADER_LIMIT) {
          events.push({ type: 'error', cls: 'bad-start-line', respond: 'close' })
          return
        }
        const respond = mayAnswerMalformed(kernel.record) ? 'respond-400-and-close' : 'close'
        events.push({ type: 'error', cls: 'header-limit', start: startOf(kernel), respond })
      },
      more: (_stream, at) => at,
      memoryShort() {
        throw new Error('the test pool is exhausted')
      },
    },
    BODY_MAX,
    WORK,
  )
  const stream = new ReaderState()
  return {
    events,
    feed(piece) {
      if (piece.length > INPUT_OCTETS) throw new RangeError('larger than any read of the server')
      octets.set(piece, INPUT)
      reader.read(stream, INPUT, INPUT + piece.length)
      // What the reader has been given is gone when it returns: nothing may be read from there later.
      octets.fill(0xee, INPUT, INPUT + piece.length)
    },
    end() {
      if (reader.end(stream)) events.push({ type: 'error', cls: 'truncated', respond: 'discard' })
    },
  }
}

function text(start: number, length: number): string {
  return Buffer.from(octets.subarray(start, start + length)).toString('utf8')
}

function startOf({ record }: Kernel): StartSnapshot {
  const tid = text(record[R_TID]!, record[R_TID_LENGTH]!)
  if (record[R_KIND] !== KIND_RESPONSE) {
    return { kind: 'request', tid, method: text(record[R_METHOD]!, record[R_METHOD_LENGTH]!) }
  }
  const length = record[R_COMMENT_LENGTH]!
  return {
    kind: 'response',
    tid,
    status: record[R_STATUS]!,
    comment: length < 0 ? null : text(record[R_COMMENT]!, length),
  }
}

function path(kernel: Kernel, table: number, count: number): string[] {
  const first = (kernel.scratch + table) >> 2
  return Array.from({ length: count }, (_, i) => {
    const start = words[first + 2 * i]!
    return text(start, words[first + 2 * i + 1]! - start)
  })
}

function frameEvent(kernel: Kernel): ReaderEvent {
  const { record, recordFloats } = kernel
  const cls = errorClass(record)
  if (cls)
    return { type: 'error', cls, start: startOf(kernel), respond: mayAnswerMalformed(record) ? 'respond-400' : 'drop' }
  const range = (word: number) => (recordFloats[word >> 1]! < 0 ? ('*' as const) : recordFloats[word >> 1]!)
  const failureReport = record[R_FAILURE_REPORT]
  const body = octets.subarray(record[R_HEAD_END]!, record[R_HEAD_END]! + record[R_BODY_LENGTH]!)
  const firstHeader = (kernel.scratch + HEADERS) >> 2
  const frame: FrameSnapshot = {
    ...startOf(kernel),
    toPath: path(kernel, TO_URIS, record[R_TO_COUNT]!),
    fromPath: path(kernel, FROM_URIS, record[R_FROM_COUNT]!),
    ...(record[R_RANGE] !== 0 && {
      byteRange: { start: recordFloats[R_RANGE_START >> 1]!, end: range(R_RANGE_END), total: range(R_RANGE_TOTAL) },
    }),
    ...(record[R_KIND] === KIND_SEND && {
      failureReport: failureReport === REPORT_YES ? 'yes' : failureReport === REPORT_NO ? 'no' : 'partial',
      successReport: record[R_SUCCESS_REPORT] === 1 ? 'yes' : 'no',
    }),
    headers: Array.from({ length: record[R_HEADER_COUNT]! }, (_, i): [string, string] => {
      const at = firstHeader + i * HEADER_WORDS
      return [text(words[at + 1]!, words[at + 2]!), text(words[at + 3]!, words[at + 4]!)]
    }),
    flag: String.fromCharCode(record[R_FLAG]!) as '$' | '+' | '#',
    body: record[R_HAS_BODY] === 0 ? null : { length: body.length, sha256: bodyDigest(body) },
  }
  return { type: 'frame', frame }
}
