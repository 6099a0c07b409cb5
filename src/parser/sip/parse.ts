import assert from 'node:assert/strict'
import { Buffer } from 'node:buffer'
import type { Address } from '../../ids.ts'
import {
  SI_BODY_MAX,
  SI_END,
  SI_HEAD_MAX,
  SI_HEADER_COUNT,
  SI_HEADER_LINE_MAX,
  SI_HEADERS_MAX,
  SI_START,
  SI_START_LINE_MAX,
  SI_TABLE,
  SIP_HEADER_WORDS,
  SIP_HEADERS_MAX,
  SIP_INDEX_OCTETS,
  type SIP_STREAM,
  SIP_WHOLE,
} from '../kernel/sip-record.ts'
import type { Kernel } from '../kernel.ts'
import type { SipMessage } from './message.ts'
import { viewOf } from './view.ts'

/** What is taken from peers, in octets and counts. */
export interface SipLimits {
  readonly startLine: number
  /** One header with its continuation lines. */
  readonly headerLine: number
  /** Start line to the empty line, both included. */
  readonly head: number
  /** At most SIP_HEADERS_MAX. */
  readonly headers: number
  readonly body: number
}

export const sipLimits: SipLimits = {
  startLine: 16_384,
  headerLine: 16_384,
  head: 65_536,
  headers: SIP_HEADERS_MAX,
  body: 65_536,
}

/** Octets of the area that a parser works in: the index, then the octets of a message that came in pieces. */
export const SIP_WORK_OCTETS = 393_216
/** Longest message that fits the area. */
export const SIP_MESSAGE_MAX = SIP_WORK_OCTETS - SIP_INDEX_OCTETS - 64

/** What INVITE and INFO begin with. */
const LETTER_I = 73

/** Indexes messages where they lie in shared memory, and makes views of copies of them. */
export class SipIndexer {
  /** Address for the octets of a message that is elsewhere: room for SIP_MESSAGE_MAX of them. */
  readonly area: Address
  readonly #kernel: Kernel
  readonly #index: Address
  readonly #words: Int32Array
  readonly #octets: Buffer

  /** @param work address of SIP_WORK_OCTETS octets, 16-octet aligned, that nobody else uses */
  constructor(kernel: Kernel, work: Address, limits: SipLimits) {
    assert(limits.head + limits.body <= SIP_MESSAGE_MAX && limits.headers <= SIP_HEADERS_MAX)
    this.#kernel = kernel
    this.#index = work
    this.#octets = Buffer.from(kernel.octets.buffer as ArrayBuffer)
    this.#words = kernel.words.subarray(work >> 2, (work + SIP_INDEX_OCTETS) >> 2)
    this.area = (work + SIP_INDEX_OCTETS) as Address
    const words = this.#words
    words[SI_START_LINE_MAX] = limits.startLine
    words[SI_HEADER_LINE_MAX] = limits.headerLine
    words[SI_HEAD_MAX] = limits.head
    words[SI_HEADERS_MAX] = limits.headers
    words[SI_BODY_MAX] = limits.body
  }

  /** Indexes the message that begins at `start`, where no CRLF stands; gives what the kernel's `sip` returns. */
  index(start: number, end: number, how: typeof SIP_WHOLE | typeof SIP_STREAM): number {
    return this.#kernel.sip(this.#index, start, end, how)
  }

  /** A word of the index, of the message indexed last. */
  word(at: number): number {
    return this.#words[at]!
  }

  /** A view of a copy of the message indexed last. */
  message(): SipMessage {
    const words = this.#words
    const start = words[SI_START]!
    const length = words[SI_END]!
    // An INVITE may be kept for minutes: not in a pool of Node's, of which it would keep more than itself.
    const isKept = this.#octets[start] === LETTER_I
    const octets = isKept ? Buffer.allocUnsafeSlow(length) : Buffer.allocUnsafe(length)
    this.#octets.copy(octets, 0, start, start + length)
    // An array of small numbers lies in V8's young space, and costs a fraction of a typed array.
    const index = new Array<number>(SI_TABLE + words[SI_HEADER_COUNT]! * SIP_HEADER_WORDS)
    for (let i = 0; i < index.length; i++) index[i] = words[i]!
    return viewOf(octets, index)
  }
}

export interface SipParser {
  /**
   * Reads one datagram or WebSocket message. CRLFs before the start line are skipped (S-12); what is after the body is cut
   * off (S-5). Never fails: hopeless octets give the problem `not-sip`.
   * @param octets at most SIP_MESSAGE_MAX
   */
  parseDatagram(octets: Uint8Array): SipMessage
}

/** @param work address of SIP_WORK_OCTETS octets, 16-octet aligned, that nobody else uses */
export function createSipParser(kernel: Kernel, work: Address, limits: SipLimits = sipLimits): SipParser {
  const indexer = new SipIndexer(kernel, work, limits)
  return {
    parseDatagram(octets) {
      const { area } = indexer
      // Whatever is longer than the area is over the limits of a message, which what fits shows.
      const length = Math.min(octets.length, SIP_MESSAGE_MAX)
      kernel.octets.set(length < octets.length ? octets.subarray(0, length) : octets, area)
      indexer.index(skipLines(kernel.octets, area, area + length), area + length, SIP_WHOLE)
      return indexer.message()
    },
  }
}

/** First address from `start` on where no CRLF stands (S-12). */
export function skipLines(octets: Uint8Array, start: number, end: number): number {
  let at = start
  while (at + 1 < end && octets[at] === 13 && octets[at + 1] === 10) at += 2
  return at
}
