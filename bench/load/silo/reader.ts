import { randomIdent } from '../sequence.ts'
import { type Line, openLine } from '../sip/lines.ts'
import { answerTo, FIRST_SEQUENCE, headOf, statusOf } from '../sip/messages.ts'
import type { SipTarget } from '../sip/options.ts'
import type { Bodies } from './bodies.ts'
import type { SiloTally } from './tally.ts'

/** What a reminder's text begins with (SILO-41). */
const REMINDER = /^\[Reminder message - [^\]]*\] /
const EXPIRES_SECONDS = 600

export interface ReaderOptions {
  /** Distinguishes the bodies for this reader. */
  readonly index: number
  readonly name: string
  /** MESSAGEs that the reader is to get. */
  readonly expected: number
  readonly target: SipTarget
  readonly bodies: Bodies
  readonly tally: SiloTally
  /** When the reminders are due, as `performance.now()` has it; null: offline messages. */
  readonly dueAt: number | null
  /** Called when the last one has come. */
  readonly onComplete: () => void
}

/** A user who comes back, and takes what has been kept. */
export class Reader {
  readonly #options: ReaderOptions
  #line!: Line
  /** Of the messages, which have come; and the last of them. */
  readonly #hasCome: Uint8Array
  #come = 0
  #last = -1
  #readyAt = 0
  #registered: ((mistake: string | null) => void) | null = null

  constructor(options: ReaderOptions) {
    this.#options = options
    this.#hasCome = new Uint8Array(options.expected)
  }

  /** How many of the messages have not come. */
  get missing(): number {
    return this.#options.expected - this.#come
  }

  async connect(): Promise<void> {
    const { target, tally } = this.#options
    this.#line = await openLine('tcp', target, {
      onMessage: (octets) => this.#receive(octets),
      onClose: (why) => tally.fault('failed', why),
    })
  }

  /** @throws Error when the REGISTER is not answered 200 */
  async register(): Promise<void> {
    const { name, target } = this.#options
    const { promise, resolve } = Promise.withResolvers<string | null>()
    this.#registered = resolve
    this.#readyAt = performance.now()
    const aor = `sip:${name}@${target.domain}`
    this.#line.send(
      `REGISTER sip:${target.domain} SIP/2.0\r\n` +
        `Via: SIP/2.0/TCP 127.0.0.1:${this.#line.port};branch=z9hG4bK${randomIdent(10)};rport\r\nMax-Forwards: 70\r\n` +
        `From: <${aor}>;tag=${randomIdent(8)}\r\nTo: <${aor}>\r\nCall-ID: ${randomIdent(16)}\r\nCSeq: 1 REGISTER\r\n` +
        `Contact: <sip:${name}@127.0.0.1:${this.#line.port};transport=tcp>\r\nExpires: ${EXPIRES_SECONDS}\r\nContent-Length: 0\r\n\r\n`,
    )
    const mistake = await promise
    if (mistake !== null) throw new Error(`${name} could not register: ${mistake}`)
  }

  close(): void {
    this.#line.close()
  }

  #receive(octets: Buffer): void {
    const status = statusOf(octets)
    if (status < 0) this.#onMessage(octets)
    else if (status >= 200) this.#registered?.(status === 200 ? null : octets.toString('latin1', 0, 60))
  }

  /** Answered also when it is wrong: what follows is to be seen. */
  #onMessage(octets: Buffer): void {
    const { index, bodies, tally, dueAt, expected, onComplete } = this.#options
    const now = performance.now()
    const head = headOf(octets)
    const body = octets.subarray(head.length + 2)
    const prefix = dueAt === null ? 0 : (REMINDER.exec(body.toString('latin1', 0, 64))?.[0].length ?? -1)
    const sequence = prefix < 0 ? -1 : bodies.sequenceIn(body.subarray(prefix), index)
    const number = sequence - FIRST_SEQUENCE - 1
    if (!head.startsWith('MESSAGE ') || number < 0 || number >= expected) {
      tally.fault('failed', 'what a reader got is no MESSAGE as it was sent')
    } else if (this.#hasCome[number] === 1) tally.fault('duplicate', 'a MESSAGE was delivered twice')
    else {
      this.#hasCome[number] = 1
      this.#come++
      tally.completed++
      tally.latency.record(now - (dueAt ?? this.#readyAt))
      if (number < this.#last) tally.fault('reordered', 'a MESSAGE was delivered after a later one')
      this.#last = Math.max(this.#last, number)
      if (this.missing === 0) onComplete()
    }
    this.#line.send(answerTo(head, 'reader'))
    this.#readyAt = performance.now()
  }
}
