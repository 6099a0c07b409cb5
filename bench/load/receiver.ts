import { endsFrame, type FrameHandler, type Head, headerOf } from './frame-reader.ts'
import { type Octets, octetsOf, sameOctets } from './octets.ts'
import { Reassembly } from './reassembly.ts'
import type { Sender } from './sender.ts'
import { readSequence, SEQUENCE_DIGITS } from './sequence.ts'
import type { Session, Shared } from './session.ts'
import { DELIVERED } from './window.ts'

const START = octetsOf('MSRP ')
const BEFORE_END_LINE = octetsOf('\r\n-------')
/** Flag and CRLF. */
const TAIL_LENGTH = 3
const TID_MAX = 32
const SPACE = 0x20

/** The end that receives: checks every octet of every SEND, answers it, and lets the sender go on. */
export class Receiver implements FrameHandler {
  readonly #session: Session
  readonly #sender: Sender
  readonly #shared: Shared

  /** After a right rewrite: what stands between transaction id and Message-ID, and between that and the body. */
  readonly #head: Octets
  readonly #content: Octets
  /** Octets of a whole SEND without its two transaction ids. */
  readonly #fixedLength: number

  /** Our 200, with gaps for a transaction id as long as the last one. */
  #answer = Buffer.alloc(0)
  #answerTidLength = -1

  readonly #reassembly: Reassembly
  /** Our 200 to the chunk that is being read, if it wants one. */
  #chunkAnswer = ''
  /** The sequence number after the highest that has arrived. */
  #expected = 0

  constructor(session: Session, sender: Sender, shared: Shared) {
    this.#session = session
    this.#sender = sender
    this.#shared = shared
    const toPath = session.receiver.uri
    // the relay's URIs have left To-Path and stand in From-Path, the last one visited leftmost.
    const fromPath = [...session.hops.toReversed(), session.sender.uri].join(' ')
    this.#reassembly = new Reassembly(session, shared.payload, shared.tally, toPath, fromPath)
    this.#head = octetsOf(` SEND\r\nTo-Path: ${toPath}\r\nFrom-Path: ${fromPath}\r\nMessage-ID: ${session.idPrefix}`)
    this.#content = octetsOf(session.content)
    const parts = [START, this.#head, this.#content, BEFORE_END_LINE]
    const constant = parts.reduce((sum, { bytes }) => sum + bytes.length, 0)
    this.#fixedLength = constant + SEQUENCE_DIGITS + shared.payload.size + TAIL_LENGTH
  }

  whole(at: number, end: number): number {
    const { inbox, payload } = this.#shared
    const { bytes } = inbox
    const tidAt = at + START.bytes.length
    let headAt = tidAt
    for (const limit = Math.min(end, tidAt + TID_MAX); headAt < limit && bytes[headAt] !== SPACE; ) headAt++
    const tidLength = headAt - tidAt
    const next = at + this.#fixedLength + 2 * tidLength
    if (next > end || this.#reassembly.isUnfinished) return 0

    const sequenceAt = headAt + this.#head.bytes.length
    const contentAt = sequenceAt + SEQUENCE_DIGITS
    const bodyAt = contentAt + this.#content.bytes.length
    const endLineAt = bodyAt + payload.size
    const endTidAt = endLineAt + BEFORE_END_LINE.bytes.length
    const sequence = readSequence(bytes, sequenceAt)
    const expected =
      sequence >= 0 &&
      sameOctets(inbox, at, START, 0, START.bytes.length) &&
      sameOctets(inbox, headAt, this.#head, 0, this.#head.bytes.length) &&
      sameOctets(inbox, contentAt, this.#content, 0, this.#content.bytes.length) &&
      payload.matches(inbox, bodyAt, payload.size, this.#session.index, sequence) &&
      sameOctets(inbox, endLineAt, BEFORE_END_LINE, 0, BEFORE_END_LINE.bytes.length) &&
      sameOctets(inbox, endTidAt, inbox, tidAt, tidLength) &&
      endsFrame(bytes, endTidAt + tidLength)
    if (!expected) return 0

    this.#arrived(sequence, true)
    this.#answerWhole(bytes, tidAt, tidLength)
    return next
  }

  head(head: Head): void {
    const { tally } = this.#shared
    this.#chunkAnswer = ''
    if (head.method === 'REPORT') tally.report(headerOf(head, 'status') ?? 'none')
    else if (head.method !== 'SEND') tally.badResponse(`${this.#name} was sent what is neither SEND nor REPORT`)
    else {
      // M-50: our 200 goes to the leftmost From-Path URI, also when that is the wrong one.
      const previousHop = headerOf(head, 'from-path')?.split(' ')[0] ?? ''
      this.#chunkAnswer = this.#answerText(head.tid, previousHop)
      this.#reassembly.begin(head)
    }
  }

  body(at: number, end: number): void {
    if (this.#chunkAnswer !== '') this.#reassembly.body(this.#shared.inbox, at, end)
  }

  end(flag: string): void {
    if (this.#chunkAnswer === '') return
    const arrival = this.#reassembly.end(flag)
    if (arrival !== null) this.#arrived(arrival.sequence, arrival.intact)
    const { outbox } = this.#shared
    const at = outbox.reserve(this.#chunkAnswer.length, this.#session.receiver.socket)
    outbox.bytes.write(this.#chunkAnswer, at, 'latin1')
  }

  broken(why: string): void {
    this.#shared.tally.fault('framing', `${this.#name}: ${why}`)
    this.#session.receiver.socket.destroy()
  }

  drained(): void {
    this.#shared.outbox.flush(this.#session.receiver.socket)
    this.#sender.pump(performance.now())
  }

  #arrived(sequence: number, intact: boolean): void {
    const { tally, inbox } = this.#shared
    const { window } = this.#session
    if (!window.settle(sequence, DELIVERED)) {
      tally.fault('duplicate', `${this.#name} got message ${sequence}, which was not on its way`)
      return
    }
    if (sequence < this.#expected) tally.outOfOrder(`${this.#name} got message ${sequence} after a later one`)
    else this.#expected = sequence + 1
    if (!intact) return
    tally.frames++
    tally.latency.record(inbox.arrivedAt - window.sentAt(sequence))
  }

  #answerWhole(bytes: Buffer, tidAt: number, tidLength: number): void {
    if (tidLength !== this.#answerTidLength) {
      this.#answer = Buffer.from(this.#answerText('0'.repeat(tidLength), this.#session.hops.at(-1) ?? ''), 'latin1')
      this.#answerTidLength = tidLength
    }
    const { outbox } = this.#shared
    const answer = this.#answer
    const at = outbox.reserve(answer.length, this.#session.receiver.socket)
    const out = outbox.bytes
    out.set(answer, at)
    const startTid = at + START.bytes.length
    const endTid = at + answer.length - TAIL_LENGTH - tidLength
    for (let i = 0; i < tidLength; i++) out[startTid + i] = out[endTid + i] = bytes[tidAt + i]!
  }

  #answerText(tid: string, to: string): string {
    return `MSRP ${tid} 200 OK\r\nTo-Path: ${to}\r\nFrom-Path: ${this.#session.receiver.uri}\r\n-------${tid}$\r\n`
  }

  get #name(): string {
    return `receiver ${this.#session.index}`
  }
}
