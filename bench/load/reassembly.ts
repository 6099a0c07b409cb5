import { type Head, headerOf } from './frame-reader.ts'
import type { Octets } from './octets.ts'
import type { Payload } from './payload.ts'
import { type Session, sequenceIn } from './session.ts'
import type { FaultKind, Tally } from './tally.ts'

/** A message that has ended. */
export interface Arrival {
  readonly sequence: number
  readonly intact: boolean
}

interface Message {
  /** -1 when its Message-ID is none of ours. */
  readonly sequence: number
  /** Octets of its body so far. */
  received: number
  /** Counted once a message, whatever else is wrong with it. */
  faulty: boolean
}

/** Checks SENDs that are not one whole frame of the expected form: chunks, or faults to be named. */
export class Reassembly {
  readonly #session: Session
  readonly #payload: Payload
  readonly #tally: Tally
  readonly #toPath: string
  readonly #fromPath: string
  #message: Message | null = null

  constructor(session: Session, payload: Payload, tally: Tally, toPath: string, fromPath: string) {
    this.#session = session
    this.#payload = payload
    this.#tally = tally
    this.#toPath = toPath
    this.#fromPath = fromPath
  }

  /** Whether the last chunk of a message is still to come. */
  get isUnfinished(): boolean {
    return this.#message !== null
  }

  begin(head: Head): void {
    const [first, second] = head.headers
    const sequence = sequenceIn(headerOf(head, 'message-id') ?? '', this.#session.idPrefix)
    const [, start, total] = /^(\d+)-(?:\d+|\*)\/(\d+|\*)$/.exec(headerOf(head, 'byte-range') ?? '') ?? []
    if (this.#message !== null && start === '1') {
      this.#fault(this.#message, 'framing', 'was never finished')
      this.#message = null
    }
    const message = (this.#message ??= { sequence, received: 0, faulty: false })

    // M-20: the paths come first, in this order.
    if (first?.[0] !== 'to-path' || second?.[0] !== 'from-path')
      this.#fault(message, 'header', 'has its paths elsewhere')
    else if (first[1] !== this.#toPath) this.#fault(message, 'path', 'has a To-Path that was not rewritten right')
    else if (second[1] !== this.#fromPath) this.#fault(message, 'path', 'has a From-Path that was not rewritten right')
    else if (sequence < 0) this.#fault(message, 'header', 'has a Message-ID that nobody sent')
    else if (sequence !== message.sequence || Number(start) !== message.received + 1) {
      this.#fault(message, 'header', 'does not go on where the chunk before it ended')
    } else if (total !== '*' && Number(total) !== this.#payload.size) {
      this.#fault(message, 'header', 'has a wrong total in its Byte-Range')
    } else if (headerOf(head, 'content-type') !== 'text/plain') {
      this.#fault(message, 'header', 'has lost its Content-Type')
    }
  }

  body(octets: Octets, at: number, end: number): void {
    const message = this.#message
    if (message === null) return
    const { received, sequence } = message
    const length = end - at
    message.received += length
    if (message.faulty) return
    const fits = message.received <= this.#payload.size
    if (!fits || !this.#payload.matches(octets, at, length, this.#session.index, sequence, received)) {
      this.#fault(message, 'body', 'has another body than was sent')
    }
  }

  /** The end of a chunk: the message if it ends here, null if more is to come or nobody knows what it was. */
  end(flag: string): Arrival | null {
    const message = this.#message
    if (message === null || flag === '+') return null
    this.#message = null
    if (flag === '#') this.#fault(message, 'framing', 'was given up by the relay')
    else if (message.received < this.#payload.size) this.#fault(message, 'body', 'is too short')
    return message.sequence < 0 ? null : { sequence: message.sequence, intact: !message.faulty }
  }

  #fault(message: Message, kind: FaultKind, what: string): void {
    if (message.faulty) return
    message.faulty = true
    this.#tally.fault(kind, `pair ${this.#session.index}: message ${message.sequence} ${what}`)
  }
}
