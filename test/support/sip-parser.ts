import type { Address } from '../../src/ids.ts'
import { SCRATCH_OCTETS } from '../../src/parser/kernel/record.ts'
import { compileKernel, createKernel, type Kernel } from '../../src/parser/kernel.ts'
import type { SipMessage, SipRequest, SipResponse } from '../../src/parser/sip/message.ts'
import { createSipParser, SIP_WORK_OCTETS, type SipLimits, sipLimits } from '../../src/parser/sip/parse.ts'
import { type SipHandler, SipReader, type SipStreamState } from '../../src/parser/sip/reader.ts'

const SCRATCH = 65_536 as Address
const WORK = ((SCRATCH + SCRATCH_OCTETS + 1023) & ~1023) as Address
const READER_WORK = (WORK + SIP_WORK_OCTETS + 1024) as Address
const INPUT = (READER_WORK + SIP_WORK_OCTETS + 1024) as Address
const INPUT_OCTETS = 1 << 20

const memory = new WebAssembly.Memory({
  initial: Math.ceil((INPUT + INPUT_OCTETS + 64) / 65_536),
  maximum: 65_536,
  shared: true,
})
const module = compileKernel(process.env.SILOPATH_KERNEL === 'debug' ? 'debug' : 'release')
const kernel = createKernel(module, memory, SCRATCH)
const parser = createSipParser(kernel, WORK)

/** Reads one datagram, as the server does. */
export function parseSip(octets: string | Uint8Array, limits?: Partial<SipLimits>): SipMessage {
  const given = typeof octets === 'string' ? Buffer.from(octets) : octets
  const reading = limits === undefined ? parser : createSipParser(kernel, WORK, { ...sipLimits, ...limits })
  const message = reading.parseDatagram(given)
  // The parser at hand and one with limits of its own share the work area, and with it the limits.
  if (limits !== undefined) createSipParser(kernel, WORK)
  return message
}

export function parseSipRequest(octets: string | Uint8Array): SipRequest {
  const message = parseSip(octets)
  if (message.kind !== 'request') throw new Error('not a request')
  return message
}

export function parseSipResponse(octets: string | Uint8Array): SipResponse {
  const message = parseSip(octets)
  if (message.kind !== 'response') throw new Error('not a response')
  return message
}

/** A stream reader as it runs in a lane, fed from a memory that all readers of a test file share. */
export function createTestReader<Stream extends SipStreamState>(
  handler: SipHandler<Stream>,
  limits: Partial<SipLimits> = {},
) {
  let indexed = 0
  const counting: Kernel = {
    ...kernel,
    sip(index, start, end, how) {
      indexed += end - start
      return kernel.sip(index, start, end, how)
    },
  }
  const reader = new SipReader(counting, handler, { ...sipLimits, ...limits }, READER_WORK)
  const put = (piece: Uint8Array) => {
    if (piece.length > INPUT_OCTETS) throw new RangeError('larger than any read of the server')
    kernel.octets.set(piece, INPUT)
    return INPUT + piece.length
  }
  // What the reader has been given is gone when it returns: nothing may be read from there later.
  const spoil = (end: number) => kernel.octets.fill(0xee, INPUT, end)
  return {
    feed(stream: Stream, piece: Uint8Array): void {
      const end = put(piece)
      reader.read(stream, INPUT, end)
      spoil(end)
    },
    whole(stream: Stream, piece: Uint8Array): void {
      const end = put(piece)
      reader.whole(stream, INPUT, end)
      spoil(end)
    },
    end: (stream: Stream): boolean => reader.end(stream),
    /** Octets that the kernel has been given so far, as often as it has been given them. */
    octetsIndexed: (): number => indexed,
    forget: (stream: Stream): void => reader.forget(stream),
  }
}
