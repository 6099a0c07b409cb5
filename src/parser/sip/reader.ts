import { Buffer } from 'node:buffer'
import type { Address } from '../../ids.ts'
import {
  SI_END,
  SI_KIND,
  SIP_COMPLETE,
  SIP_INCOMPLETE_BODY,
  SIP_INCOMPLETE_HEAD,
  SIP_NONE,
  SIP_REQUEST,
  SIP_STREAM,
  SIP_WHOLE,
} from '../kernel/sip-record.ts'
import type { Kernel } from '../kernel.ts'
import type { SipMessage, SipRequest } from './message.ts'
import { SipIndexer, type SipLimits } from './parse.ts'
import type { SipProblem } from './problem.ts'

const CR = 13
const LF = 10
/** The first piece appended to an unfinished message; pieces double, so its octets are copied a bounded number of times. */
const PIECE = 512

/** Takes messages as they are found. A message is the handler's to keep. */
export interface SipHandler<Stream extends SipStreamState> {
  /** A message, well formed or not (`problem`); the octets after it are read all the same. */
  message(stream: Stream, message: SipMessage): void
  /**
   * Framing is lost (S-5): nothing more is read of the stream, which is to be closed.
   * @param message the request to answer before that, as far as it was read; null when there is none that can be answered
   */
  broken(stream: Stream, problem: SipProblem, message: SipRequest | null): void
  /** CRLFCRLF between messages: to be answered with CRLF at once (S-92). */
  keepAlive(stream: Stream): void
}

/**
 * What is kept of a stream between reads. The octets of an unfinished message are in ordinary memory, at most those of the
 * longest head and body.
 */
export class SipStreamState {
  /** Octets of CRLFCRLF seen since the last message, 0 … 3. */
  crlf = 0
  /** The unfinished message: `kept[0 … keptLength)`. */
  kept: Buffer | null = null
  keptLength = 0
  /** The start line of the unfinished message has ended, and is one of SIP. */
  started = false
  /** Length of the unfinished message; 0 while its head has not ended. */
  wanted = 0
  /** Nothing more is read. */
  dead = false
}

/** Cuts streams into messages by Content-Length (S-5), however they arrive, and tells of keep-alives (S-92). */
export class SipReader<Stream extends SipStreamState> {
  readonly #octets: Uint8Array
  readonly #indexer: SipIndexer
  readonly #handler: SipHandler<Stream>
  readonly #limits: SipLimits

  /** @param work address of SIP_WORK_OCTETS octets, 16-octet aligned, that nobody else uses */
  constructor(kernel: Kernel, handler: SipHandler<Stream>, limits: SipLimits, work: Address) {
    this.#octets = kernel.octets
    this.#indexer = new SipIndexer(kernel, work, limits)
    this.#handler = handler
    this.#limits = limits
  }

  /** Reads octets of a TCP or TLS stream from `start` to `end`, which may be reused as soon as this returns. */
  read(stream: Stream, start: number, end: number): void {
    let at = start
    while (at < end && !stream.dead) {
      if (stream.kept !== null) at = this.#continue(stream, at, end)
      else {
        at = this.#skip(stream, at, end)
        if (at < end && !stream.dead) at = this.#readInPlace(stream, at, end)
      }
    }
  }

  /**
   * Reads one datagram or WebSocket message, from `start` to `end`. A fault is its own, and never breaks what comes next; of
   * one that holds nothing but CRLFs only keep-alives are told.
   */
  whole(stream: Stream, start: number, end: number): void {
    stream.crlf = 0
    const at = this.#skipPairs(stream, start, end)
    if (at === end || stream.dead) return
    this.#indexer.index(at, end, SIP_WHOLE)
    this.#handler.message(stream, this.#indexer.message())
  }

  /** The stream has ended. True if a message is cut off by that. */
  end(stream: Stream): boolean {
    const inside = stream.kept !== null
    this.forget(stream)
    return inside
  }

  /** Reads nothing more of the stream and drops what is kept of it. */
  forget(stream: Stream): void {
    this.#drop(stream)
    stream.dead = true
  }

  /** Skips CRLFs before a start line, of which half a one may have come (S-12). */
  #skip(stream: Stream, start: number, end: number): number {
    let at = start
    if (stream.crlf % 2 === 1) {
      if (this.#octets[at] !== LF) {
        this.#break(stream, 'not-sip', null)
        return end
      }
      at++
      this.#count(stream, 1)
    }
    at = this.#skipPairs(stream, at, end)
    if (at === end || this.#octets[at] !== CR || stream.dead) return at
    if (at + 1 === end) this.#count(stream, 1)
    else this.#break(stream, 'not-sip', null)
    return end
  }

  #skipPairs(stream: Stream, start: number, end: number): number {
    let at = start
    while (at + 1 < end && this.#octets[at] === CR && this.#octets[at + 1] === LF && !stream.dead) {
      at += 2
      this.#count(stream, 2)
    }
    return at
  }

  #count(stream: Stream, octets: number): void {
    stream.crlf += octets
    if (stream.crlf < 4) return
    stream.crlf = 0
    this.#handler.keepAlive(stream)
  }

  /** Reads the message that begins at `start`; what is not all there is kept. Returns where the next one begins. */
  #readInPlace(stream: Stream, start: number, end: number): number {
    stream.crlf = 0
    const outcome = this.#indexer.index(start, end, SIP_STREAM)
    if (outcome === SIP_COMPLETE) {
      const next = start + this.#indexer.word(SI_END)
      this.#handler.message(stream, this.#indexer.message())
      return next
    }
    if (this.#isBroken(stream, outcome)) return end
    this.#append(stream, start, end)
    return end
  }

  /** Adds octets to the unfinished message until it ends. Returns where the octets after it begin. */
  #continue(stream: Stream, start: number, end: number): number {
    let at = start
    while (at < end) {
      const before = stream.keptLength
      const most =
        stream.wanted > 0 ? stream.wanted - before : Math.min(Math.max(PIECE, before), this.#limits.head - before)
      const piece = Math.min(end - at, most)
      this.#append(stream, at, at + piece)
      at += piece
      if (!this.#mayGoOn(stream, before)) continue
      const { area } = this.#indexer
      const { keptLength } = stream
      this.#octets.set(stream.kept!.subarray(0, keptLength), area)
      const outcome = this.#indexer.index(area, area + keptLength, SIP_STREAM)
      if (outcome === SIP_COMPLETE) {
        const unread = keptLength - this.#indexer.word(SI_END)
        this.#drop(stream)
        this.#handler.message(stream, this.#indexer.message())
        return at - unread
      }
      if (this.#isBroken(stream, outcome)) return end
    }
    return at
  }

  /** Whether the octets from `before` on may have brought what is waited for: else the message need not be read again. */
  #mayGoOn(stream: Stream, before: number): boolean {
    const { keptLength, wanted } = stream
    if (wanted > 0) return keptLength === wanted
    if (keptLength === this.#limits.head) return true
    const waitedFor = stream.started ? '\r\n\r\n' : '\r\n'
    const kept = stream.kept!.subarray(0, keptLength)
    return kept.indexOf(waitedFor, Math.max(0, before - waitedFor.length + 1), 'latin1') >= 0
  }

  /** Whether an outcome that is not complete ends the stream; if not, notes what is known of the message. */
  #isBroken(stream: Stream, outcome: number): boolean {
    const indexer = this.#indexer
    stream.started = indexer.word(SI_KIND) !== SIP_NONE
    if (outcome === SIP_INCOMPLETE_HEAD) return false
    if (outcome === SIP_INCOMPLETE_BODY) {
      stream.wanted = indexer.word(SI_END)
      return false
    }
    const message = indexer.message()
    this.#break(stream, message.problem!, indexer.word(SI_KIND) === SIP_REQUEST ? answerable(message) : null)
    return true
  }

  #append(stream: Stream, start: number, end: number): void {
    const length = stream.keptLength + end - start
    const { kept } = stream
    if (kept === null || length > kept.length) {
      // A message whose length is known gets just that.
      const larger = Buffer.allocUnsafeSlow(Math.max(stream.wanted, length, Math.min(2 * length, this.#limits.head)))
      kept?.copy(larger, 0, 0, stream.keptLength)
      stream.kept = larger
    }
    stream.kept!.set(this.#octets.subarray(start, end), stream.keptLength)
    stream.keptLength = length
  }

  #break(stream: Stream, problem: SipProblem, message: SipRequest | null): void {
    this.forget(stream)
    this.#handler.broken(stream, problem, message)
  }

  #drop(stream: Stream): void {
    stream.kept = null
    stream.keptLength = 0
    stream.started = false
    stream.wanted = 0
  }
}

/** The message as a request to answer, if it has what an answer needs (8.2.6). */
function answerable(message: SipMessage): SipRequest | null {
  const { topVia, from, to, cseq, callId } = message
  const complete = topVia !== null && from !== null && to !== null && cseq !== null && callId !== ''
  return message.kind === 'request' && message.method !== 'ACK' && complete ? message : null
}
