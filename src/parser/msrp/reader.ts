import assert from 'node:assert/strict'
import type { Address } from '../../ids.ts'
import {
  FRAME_BAD_START_LINE,
  FRAME_COMPLETE,
  FRAME_HEADER_LIMIT,
  FRAME_INCOMPLETE_BODY,
  FRAME_INCOMPLETE_HEAD,
  R_BODY_LENGTH,
  R_END,
  R_HEAD_END,
  R_RESUME,
  R_TID,
  R_TID_LENGTH,
} from '../kernel/record.ts'
import type { Kernel } from '../kernel.ts'

const CR = 13
const LF = 10
/** Octets of CRLF pairs that may stand between frames (M-13). */
const STRAYS_MAX = 16
/** The first piece appended to an unfinished frame; pieces double, so a frame's octets are copied at most twice. */
const PIECE = 512
/** Room behind the head of a frame with an over-long body, in which its end-line is looked for. */
const SWALLOW_ROOM = 1024

/**
 * The longest backlog: a frame of the largest size, the octets that a lane may owe, and one read more.
 * workers/memory.ts checks it against its own sizes.
 */
export const WORK_OCTETS = 393_216

/** What the owner of the stream says to a frame. */
export const TAKEN = 0
/** The frame cannot go anywhere now: keep it and read nothing more until `resume`. */
export const STALL = 1
/** Read nothing more, ever. */
export const CLOSE = 2
export type Disposition = typeof TAKEN | typeof STALL | typeof CLOSE

/** Takes frames as they are found; the kernel's frame record describes each until the method returns. */
export interface FrameHandler<Stream extends ReaderState> {
  /** A whole frame, well formed or not (R_ERROR). After an over-long body (`swallowed`) the body is not in memory. */
  frame(stream: Stream, swallowed: boolean): Disposition
  /**
   * A frame has been taken, and more octets follow it, from `at` to `end`. Frames that are like it may be taken at once.
   * Returns where the first frame begins that has not been.
   */
  more(stream: Stream, at: number, end: number): number
  /** FRAME_BAD_START_LINE or FRAME_HEADER_LIMIT: framing is lost (M-60). The stream reads nothing more. */
  broken(stream: Stream, what: typeof FRAME_BAD_START_LINE | typeof FRAME_HEADER_LIMIT): void
  /** No memory is left to keep an unfinished frame in: the stream has stalled, as by STALL. */
  memoryShort(stream: Stream): void
}

/** Where unfinished frames are kept: memory that the kernel sees. */
export interface CarryPool {
  /** Address of at least `octets` octets (and 16 of margin), 0 when there are none. */
  take(octets: number): Address | 0
  /** Octets usable at an address that `take` gave. */
  capacity(segment: Address): number
  give(segment: Address): void
}

const IDLE = 0
const HEAD = 1
const BODY = 2
const SWALLOW = 3
const BACKLOG = 4
const DEAD = 5

/** The backlog of all streams that have none. */
const none = Object.freeze([] as Uint8Array[]) as Uint8Array[]

/**
 * Between reads a stream is in one of these phases:
 * - IDLE: nothing is kept; the next octet begins a frame.
 * - HEAD: the carry holds the beginning of a head.
 * - BODY: the carry holds a head and the body so far.
 * - SWALLOW: the body is over its limit; the carry holds the head and what could be the beginning of the end-line.
 * - BACKLOG: stalled; everything from the stalled frame on is kept, not in the pool but in ordinary memory, as it may be
 *   long before it is looked at again. Its owner stops the reading, so this is bounded by what was on the way.
 * - DEAD: nothing more is read.
 */
export class ReaderState {
  phase = IDLE
  carry: Address | 0 = 0
  carryLength = 0
  /** Offset in the carry before which nothing new can be found. */
  scan = 0
  /** HEAD: carry length from which the head is read again even if it cannot have ended: limits are noticed. */
  retryAt = 0
  headLength = 0
  tid = 0
  tidLength = 0
  /** Octets of body thrown away. */
  swallowed = 0
  /** BACKLOG: the octets, in order. */
  backlog: Uint8Array[] = none
  backlogLength = 0
  /** Octets of CRLF pairs skipped since the last frame. */
  strays = 0

  get stalled(): boolean {
    return this.phase === BACKLOG
  }

  get dead(): boolean {
    return this.phase === DEAD
  }
}

/**
 * Cuts the octet streams of a lane's connections into frames (M-62, M-63), however they arrive. Octets are looked at
 * where they lie; only what belongs to an unfinished or stalled frame is copied, into the stream's carry.
 */
export class MsrpReader<Stream extends ReaderState> {
  readonly #kernel: Kernel
  readonly #octets: Uint8Array
  readonly #record: Int32Array
  readonly #pool: CarryPool
  readonly #handler: FrameHandler<Stream>
  readonly #bodyMax: number
  readonly #work: Address

  /**
   * @param bodyMax octets of body that are kept; of a larger one only the end is looked for (M-44)
   * @param work address of WORK_OCTETS octets (and 16 of margin), where a backlog is read from
   */
  constructor(kernel: Kernel, pool: CarryPool, handler: FrameHandler<Stream>, bodyMax: number, work: Address) {
    this.#kernel = kernel
    this.#octets = kernel.octets
    this.#record = kernel.record
    this.#pool = pool
    this.#handler = handler
    this.#bodyMax = bodyMax
    this.#work = work
  }

  /** Reads the octets from `start` to `end`, which may be reused as soon as this returns. */
  read(stream: Stream, start: number, end: number): void {
    if (start === end) return
    let at = start
    if (stream.phase !== IDLE) {
      if (stream.phase === DEAD) return
      if (stream.phase === BACKLOG) {
        this.#stash(stream, at, end)
        return
      }
      at = this.#continue(stream, at, end)
    }
    if (at < end && stream.phase === IDLE) this.#readInPlace(stream, at, end)
  }

  /** Whether the octets are one frame and nothing else (M-64); otherwise what is wrong with them. */
  wholeness(start: number, end: number): 'whole' | 'foreign' | 'malformed' {
    const found = this.#kernel.frame(start, end, 0)
    if (found === FRAME_BAD_START_LINE) return 'foreign'
    return found === FRAME_COMPLETE && this.#record[R_END] === end ? 'whole' : 'malformed'
  }

  /** Goes on with a stalled stream. It may be stalled again when this returns. */
  resume(stream: Stream): void {
    assert(stream.phase === BACKLOG && stream.backlogLength <= WORK_OCTETS)
    const { backlog } = stream
    let end = this.#work as number
    for (const piece of backlog) {
      this.#octets.set(piece, end)
      end += piece.length
    }
    stream.backlog = none
    stream.backlogLength = 0
    stream.phase = IDLE
    this.#readInPlace(stream, this.#work, end)
  }

  /**
   * The stream has ended. A head that was being waited for gets a last look: it may be past a limit already. True if a
   * frame is cut off by the end (M-60 `truncated`).
   */
  end(stream: Stream): boolean {
    if (stream.phase === HEAD && this.#octets[stream.carry] !== CR) this.#look(stream, true)
    const truncated = stream.phase !== IDLE && stream.phase !== DEAD
    this.forget(stream)
    return truncated
  }

  /** Reads nothing more of the stream and gives its memory back. */
  forget(stream: Stream): void {
    this.#release(stream)
    stream.backlog = none
    stream.backlogLength = 0
    stream.phase = DEAD
  }

  #readInPlace(stream: Stream, start: number, end: number): void {
    const octets = this.#octets
    const record = this.#record
    const handler = this.#handler
    let at = start
    while (at < end) {
      if (octets[at] === CR && stream.strays < STRAYS_MAX) {
        if (at + 1 === end) {
          this.#keep(stream, at, end, HEAD)
          return
        }
        if (octets[at + 1] === LF) {
          stream.strays += 2
          at += 2
          continue
        }
      }
      switch (this.#kernel.frame(at, end, 0)) {
        case FRAME_COMPLETE: {
          const next = record[R_END]!
          const verdict = handler.frame(stream, false)
          if (verdict === STALL) this.#stall(stream, at, end)
          else if (verdict === CLOSE) this.forget(stream)
          if (verdict !== TAKEN) return
          stream.strays = 0
          at = next < end ? handler.more(stream, next, end) : next
          break
        }
        case FRAME_INCOMPLETE_HEAD:
          this.#keep(stream, at, end, HEAD)
          return
        case FRAME_INCOMPLETE_BODY:
          this.#keepBody(stream, at, end)
          return
        case FRAME_BAD_START_LINE:
          this.#break(stream, FRAME_BAD_START_LINE)
          return
        default:
          this.#break(stream, FRAME_HEADER_LIMIT)
          return
      }
    }
  }

  /** Adds octets to the carry until its frame ends. Returns where the octets after that frame begin. */
  #continue(stream: Stream, start: number, end: number): number {
    let at = start
    if (stream.phase === HEAD && stream.carryLength === 1 && this.#octets[stream.carry] === CR) {
      // M-13: half a stray CRLF.
      if (this.#octets[at] !== LF) {
        this.#break(stream, FRAME_BAD_START_LINE)
        return end
      }
      this.#release(stream)
      stream.strays += 2
      return at + 1
    }
    while (at < end) {
      const most =
        stream.phase === SWALLOW
          ? this.#pool.capacity(stream.carry as Address) - stream.carryLength
          : Math.max(PIECE, stream.carryLength)
      const piece = Math.min(end - at, most)
      const before = stream.carryLength
      if (!this.#append(stream, at, at + piece)) {
        this.#shelve(stream, stream.carryLength, at, end)
        this.#handler.memoryShort(stream)
        return end
      }
      at += piece
      const frameLength = this.#look(stream)
      // An over-long body's octets are dropped as they are looked at: count what is unread from the carry's end.
      if (frameLength < 0) return end
      if (frameLength > 0) {
        const unread = stream.carryLength - frameLength
        assert(unread >= 0 && unread < piece + before)
        return this.#finish(stream, frameLength, at - unread, end)
      }
    }
    return at
  }

  /**
   * Looks whether the frame in the carry has ended: its length there, 0 if not yet, -1 if the stream is broken.
   * @param last look whatever the costs
   */
  #look(stream: Stream, last = false): number {
    const kernel = this.#kernel
    const record = this.#record
    const carry = stream.carry
    const carryEnd = carry + stream.carryLength
    let from = 0
    if (stream.phase === HEAD) {
      const candidate = kernel.headMayEnd(carry + stream.scan, carryEnd)
      if (candidate === 0) {
        stream.scan = Math.max(0, stream.carryLength - 2)
        if (stream.carryLength < stream.retryAt && !last) return 0
      } else stream.scan = candidate - carry
    } else {
      const found = kernel.bodyEnd(carry + stream.tid, stream.tidLength, carry + stream.scan, carryEnd)
      if (found === 0) {
        stream.scan = record[R_RESUME]! - carry
        if (stream.phase === SWALLOW) this.#drop(stream)
        else if (stream.scan - stream.headLength > this.#bodyMax) this.#swallow(stream)
        return 0
      }
      if (stream.phase === SWALLOW) {
        stream.scan = found - carry
        this.#drop(stream)
        from = carry + stream.headLength
      } else from = found
    }
    switch (kernel.frame(carry, carry + stream.carryLength, from)) {
      case FRAME_COMPLETE:
        return record[R_END]! - carry
      case FRAME_INCOMPLETE_HEAD:
        stream.retryAt = stream.carryLength + (stream.carryLength >> 1) + PIECE
        return 0
      case FRAME_INCOMPLETE_BODY:
        this.#beginBody(stream)
        return 0
      case FRAME_BAD_START_LINE:
        this.#break(stream, FRAME_BAD_START_LINE)
        return -1
      default:
        this.#break(stream, FRAME_HEADER_LIMIT)
        return -1
    }
  }

  /** Hands over the whole frame in the carry; what follows it lies from `rest` to `end`. */
  #finish(stream: Stream, frameLength: number, rest: number, end: number): number {
    const swallowed = stream.phase === SWALLOW
    if (swallowed) this.#record[R_BODY_LENGTH] = stream.swallowed
    const verdict = this.#handler.frame(stream, swallowed)
    if (verdict === STALL) {
      assert(!swallowed, 'a frame whose body is gone can only be answered')
      this.#shelve(stream, frameLength, rest, end)
      return end
    }
    this.#release(stream)
    if (verdict === CLOSE) {
      stream.phase = DEAD
      return end
    }
    stream.strays = 0
    return rest
  }

  #keepBody(stream: Stream, start: number, end: number): void {
    const headEnd = this.#record[R_HEAD_END]!
    const resume = this.#record[R_RESUME]!
    if (resume - headEnd <= this.#bodyMax) {
      this.#keep(stream, start, end, BODY)
      if (stream.phase === BODY) this.#noteBody(stream, start)
      return
    }
    // M-44: over the limit already. Keep the head, what may be the beginning of the end-line, and room to find its end.
    this.#keep(stream, start, headEnd, BODY, SWALLOW_ROOM, end)
    if (stream.phase !== BODY) return
    this.#noteBody(stream, start)
    stream.swallowed = resume - headEnd
    stream.phase = SWALLOW
    stream.scan = stream.headLength
    assert(this.#append(stream, resume, end), 'an end-line fits the room')
  }

  /** The carry's head is complete, its body is not. */
  #beginBody(stream: Stream): void {
    this.#noteBody(stream, stream.carry)
    stream.phase = BODY
    if (stream.scan - stream.headLength > this.#bodyMax) this.#swallow(stream)
  }

  /** Takes over from the record, whose frame begins at `start`, where head and transaction id stand. */
  #noteBody(stream: Stream, start: number): void {
    const record = this.#record
    stream.headLength = record[R_HEAD_END]! - start
    stream.tid = record[R_TID]! - start
    stream.tidLength = record[R_TID_LENGTH]!
    stream.scan = record[R_RESUME]! - start
  }

  #swallow(stream: Stream): void {
    stream.phase = SWALLOW
    stream.swallowed = 0
    this.#drop(stream)
  }

  /** SWALLOW: throws away the body octets before `scan`. */
  #drop(stream: Stream): void {
    const { carry, headLength, scan } = stream
    if (scan <= headLength) return
    this.#octets.copyWithin(carry + headLength, carry + scan, carry + stream.carryLength)
    stream.swallowed += scan - headLength
    stream.carryLength -= scan - headLength
    stream.scan = headLength
  }

  /**
   * Keeps the octets of an unfinished frame from `start` to `end` in the carry, with `room` behind them. Without memory
   * the stream stalls with all that has been read, up to `read`.
   */
  #keep(
    stream: Stream,
    start: number,
    end: number,
    phase: typeof HEAD | typeof BODY,
    room = 0,
    read: number = end,
  ): void {
    assert(stream.carry === 0)
    stream.scan = 0
    stream.retryAt = end - start + PIECE
    const carry = this.#pool.take(end - start + room)
    if (carry === 0) {
      this.#stall(stream, start, read)
      this.#handler.memoryShort(stream)
      return
    }
    stream.phase = phase
    stream.carry = carry
    stream.carryLength = end - start
    this.#octets.copyWithin(carry, start, end)
  }

  /** Appends to the carry, moving it to a larger segment when it must. False, and nothing done, when there is none. */
  #append(stream: Stream, start: number, end: number): boolean {
    const length = stream.carryLength + end - start
    if (length > this.#pool.capacity(stream.carry as Address)) {
      const larger = this.#pool.take(length)
      if (larger === 0) return false
      this.#octets.copyWithin(larger, stream.carry, stream.carry + stream.carryLength)
      this.#pool.give(stream.carry as Address)
      stream.carry = larger
    }
    this.#octets.copyWithin(stream.carry + stream.carryLength, start, end)
    stream.carryLength = length
    return true
  }

  /** Stalls: the octets from `start` to `end` are read when the stream is resumed. */
  #stall(stream: Stream, start: number, end: number): void {
    stream.phase = BACKLOG
    this.#stash(stream, start, end)
  }

  /** Stalls with what the carry holds up to `length`, and the octets from `start` to `end` after that. */
  #shelve(stream: Stream, length: number, start: number, end: number): void {
    const { carry } = stream
    assert(carry !== 0)
    this.#stash(stream, carry, carry + length)
    this.#release(stream)
    this.#stall(stream, start, end)
  }

  #stash(stream: Stream, start: number, end: number): void {
    if (start === end) return
    if (stream.backlogLength === 0) stream.backlog = []
    stream.backlog.push(this.#octets.slice(start, end))
    stream.backlogLength += end - start
  }

  #break(stream: Stream, what: typeof FRAME_BAD_START_LINE | typeof FRAME_HEADER_LIMIT): void {
    this.#handler.broken(stream, what)
    this.#release(stream)
    stream.phase = DEAD
  }

  #release(stream: Stream): void {
    if (stream.carry !== 0) this.#pool.give(stream.carry)
    stream.carry = 0
    stream.carryLength = 0
    stream.phase = IDLE
  }
}
