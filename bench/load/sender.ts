import { endsFrame, type FrameHandler, type Head, headerOf } from './frame-reader.ts'
import { type Octets, octetsOf, sameOctets } from './octets.ts'
import { readSequence, SEQUENCE_DIGITS, writeSequence } from './sequence.ts'
import { SEQUENCE_GAP, type Session, type Shared, sequenceIn } from './session.ts'
import { ANSWERED } from './window.ts'

const END_OF_FRAME = '$\r\n'

/** The end that sends: composes SENDs as the window and the schedule allow, and takes the relay's responses. */
export class Sender implements FrameHandler {
  readonly #session: Session
  readonly #shared: Shared

  /** A SEND up to its body and behind it; gaps where the sequence number goes. */
  readonly #head: Buffer
  readonly #tail: Buffer
  readonly #messageSequenceAt: number
  readonly #tidSequenceAt: number
  readonly #tailSequenceAt: number

  /** The relay's 200 around our sequence number: what it looks like unless its comment is another. */
  readonly #answerStart: Octets
  readonly #answerMiddle: Octets
  readonly #answerLength: number

  constructor(session: Session, shared: Shared) {
    this.#session = session
    this.#shared = shared
    const { tidPrefix, idPrefix, hops, sender, receiver, content } = session

    const start = `MSRP ${tidPrefix}`
    const toMessageId =
      `${start}${SEQUENCE_GAP} SEND\r\nTo-Path: ${hops.join(' ')} ${receiver.uri}\r\n` +
      `From-Path: ${sender.uri}\r\nMessage-ID: ${idPrefix}`
    const endLine = `\r\n-------${tidPrefix}`
    this.#head = Buffer.from(`${toMessageId}${SEQUENCE_GAP}${content}`, 'latin1')
    this.#tail = Buffer.from(`${endLine}${SEQUENCE_GAP}${END_OF_FRAME}`, 'latin1')
    this.#tidSequenceAt = start.length
    this.#messageSequenceAt = toMessageId.length
    this.#tailSequenceAt = endLine.length

    this.#answerStart = octetsOf(start)
    this.#answerMiddle = octetsOf(` 200 OK\r\nTo-Path: ${sender.uri}\r\nFrom-Path: ${hops[0]}${endLine}`)
    this.#answerLength =
      start.length + SEQUENCE_DIGITS + this.#answerMiddle.bytes.length + SEQUENCE_DIGITS + END_OF_FRAME.length
  }

  /** Writes every SEND that is due and for which the window has room, in as few writes as it takes. */
  pump(now: number): void {
    const { schedule, outbox } = this.#shared
    const { window, sender, index } = this.#session
    if (!schedule.running) return
    while (window.hasRoom) {
      let sentAt = now
      if (schedule.intervalMs > 0) {
        // Open loop: latency counts from when the frame was due, so that a relay that stalls cannot hide it.
        sentAt = schedule.startedAt + (window.next * schedule.pairs + index) * schedule.intervalMs
        if (sentAt > now) break
      }
      this.#compose(window.next)
      window.open(sentAt)
    }
    outbox.flush(sender.socket)
  }

  #compose(sequence: number): void {
    const { outbox, payload } = this.#shared
    const head = this.#head
    const tail = this.#tail
    const at = outbox.reserve(head.length + payload.size + tail.length, this.#session.sender.socket)
    const bytes = outbox.bytes
    bytes.set(head, at)
    writeSequence(bytes, at + this.#tidSequenceAt, sequence)
    writeSequence(bytes, at + this.#messageSequenceAt, sequence)
    const bodyAt = at + head.length
    bytes.set(payload.body(this.#session.index, sequence), bodyAt)
    const tailAt = bodyAt + payload.size
    bytes.set(tail, tailAt)
    writeSequence(bytes, tailAt + this.#tailSequenceAt, sequence)
  }

  whole(at: number, end: number): number {
    const next = at + this.#answerLength
    if (next > end) return 0
    const { inbox } = this.#shared
    const { bytes } = inbox
    const start = this.#answerStart.bytes.length
    if (!sameOctets(inbox, at, this.#answerStart, 0, start)) return 0
    const sequence = readSequence(bytes, at + start)
    if (sequence < 0) return 0
    const middleAt = at + start + SEQUENCE_DIGITS
    const middle = this.#answerMiddle.bytes.length
    if (!sameOctets(inbox, middleAt, this.#answerMiddle, 0, middle)) return 0
    const tailAt = middleAt + middle
    if (!sameOctets(inbox, tailAt, inbox, at + start, SEQUENCE_DIGITS)) return 0
    if (!endsFrame(bytes, tailAt + SEQUENCE_DIGITS)) return 0
    this.#answered(sequence)
    return next
  }

  head(head: Head): void {
    const { tally } = this.#shared
    const { tidPrefix, sender, hops } = this.#session
    if (head.method === 'REPORT') {
      tally.report(headerOf(head, 'status') ?? 'none')
      return
    }
    if (head.status === undefined) {
      tally.fault('path', `${this.#name} was sent a ${head.method} that is not for it`)
      return
    }
    const sequence = sequenceIn(head.tid, tidPrefix)
    // M-50: To-Path is the leftmost From-Path URI of the SEND, From-Path the URI it was addressed to.
    const isRightPath = headerOf(head, 'to-path') === sender.uri && headerOf(head, 'from-path') === hops[0]
    if (sequence < 0) tally.badResponse(`${this.#name} was answered for what it has not sent`)
    else if (head.status !== 200) tally.badResponse(`${this.#name} was answered ${head.status}`)
    else if (!isRightPath) tally.badResponse(`${this.#name} was answered with a wrong path`)
    if (sequence >= 0) this.#answered(sequence)
  }

  body(): void {}

  end(): void {}

  broken(why: string): void {
    this.#shared.tally.fault('framing', `${this.#name}: ${why}`)
    this.#session.sender.socket.destroy()
  }

  drained(): void {
    this.pump(performance.now())
  }

  #answered(sequence: number): void {
    if (!this.#session.window.settle(sequence, ANSWERED)) {
      this.#shared.tally.badResponse(`${this.#name} was answered twice for message ${sequence}`)
    }
  }

  get #name(): string {
    return `sender ${this.#session.index}`
  }
}
