import { readFileSync } from 'node:fs'
import { SilopathError } from '../errors.ts'
import type { Address } from '../ids.ts'
import {
  HEAD_MAX,
  HEADER_LINE_MAX,
  HEADERS_MAX,
  L_HEAD,
  L_HEADER_LINE,
  L_HEADERS,
  L_PATH_URIS,
  L_START_LINE,
  LIMITS,
  PATH_URIS_MAX,
  RUN,
  START_LINE_MAX,
} from './kernel/record.ts'

/** What a lane takes from its peers, in octets and counts (M-44). */
export interface FrameLimits {
  readonly startLine: number
  readonly headerLine: number
  /** Start line to the empty line, both included. */
  readonly head: number
  readonly headers: number
  readonly pathUris: number
  /** Body of one chunk. */
  readonly body: number
}

export const frameLimits: FrameLimits = {
  startLine: START_LINE_MAX,
  headerLine: HEADER_LINE_MAX,
  head: HEAD_MAX,
  headers: HEADERS_MAX,
  pathUris: PATH_URIS_MAX,
  body: 65_536,
}

/** The functions of the compiled kernel; src/parser/kernel/assembly documents each. All numbers are addresses, lengths or indices. */
interface KernelExports {
  bind(scratch: number): void
  frame(start: number, end: number, from: number): number
  headMayEnd(start: number, end: number): number
  bodyEnd(tid: number, tidLength: number, start: number, end: number): number
  isUri(start: number, end: number): number
  sip(index: number, start: number, end: number, how: number): number
  forward(to: number, tid: number, tidLength: number, visited: number): number
  ok(to: number): number
  makeTid(to: number, lane: number, slot: number, random: number): void
  session(index: number): number
  sessionById(id: number): number
  foreign(index: number): number
  transaction(): number
  relay(to: number, okTo: number, record: number, lane: number, slot: number, random: number, visited: number): void
  home(): number
  uriHash(index: number, seed: number): number
  relayRun(start: number, end: number): number
  settleRun(start: number, end: number): number
}

/** One lane's instance of the parser kernel and its views of the shared memory. */
export interface Kernel extends Readonly<KernelExports> {
  /** Address of the lane's scratch area; the frame record stands at its start. */
  readonly scratch: Address
  /** The frame record as 32-bit words: index with the R_* constants. */
  readonly record: Int32Array
  readonly recordFloats: Float64Array
  /** The words RUN_* of `relayRun` and `settleRun`. */
  readonly run: Int32Array
  readonly octets: Uint8Array
  readonly words: Int32Array
}

/** Compiles the kernel built by `npm run build:kernel`. The module can be handed to worker threads. */
export function compileKernel(flavour: 'release' | 'debug' = 'release'): WebAssembly.Module {
  const file = flavour === 'debug' ? 'kernel.debug.wasm' : 'kernel.wasm'
  // src/parser and dist/parser are equally deep below the package's root.
  const path = new URL(`../../build/${file}`, import.meta.url)
  try {
    return new WebAssembly.Module(readFileSync(path))
  } catch (cause) {
    throw new SilopathError('KERNEL_MISSING', 'the parser kernel is not built. Remedy: npm run build:kernel', { cause })
  }
}

/**
 * Instantiates the kernel for one lane on the shared memory.
 * @param scratch start of the lane's scratch area: SCRATCH_OCTETS octets, 16-octet aligned.
 */
export function createKernel(
  module: WebAssembly.Module,
  memory: WebAssembly.Memory,
  scratch: Address,
  limits: FrameLimits = frameLimits,
): Kernel {
  const buffer = memory.buffer
  const abort = (_message: number, _file: number, line: number, column: number) => {
    throw new Error(`kernel assertion failed at ${line}:${column}`)
  }
  const instance = new WebAssembly.Instance(module, { env: { memory, abort } })
  const kernel = instance.exports as unknown as KernelExports
  kernel.bind(scratch)
  const limitWords = new Int32Array(buffer, scratch + LIMITS, 8)
  limitWords[L_START_LINE] = limits.startLine
  limitWords[L_HEADER_LINE] = limits.headerLine
  limitWords[L_HEAD] = limits.head
  limitWords[L_HEADERS] = limits.headers
  limitWords[L_PATH_URIS] = limits.pathUris
  return {
    ...kernel,
    scratch,
    record: new Int32Array(buffer, scratch, 64),
    recordFloats: new Float64Array(buffer, scratch, 32),
    run: new Int32Array(buffer, scratch + RUN, 32),
    octets: new Uint8Array(buffer),
    words: new Int32Array(buffer),
  }
}
