import { randomIdent } from '../sequence.ts'
import { type Line, openLine } from '../sip/lines.ts'
import { FIRST_SEQUENCE, readDigits, SEQUENCE_DIGITS, statusOf, USER_DIGITS } from '../sip/messages.ts'
import type { SipTarget } from '../sip/options.ts'
import { senderName } from './options.ts'

/** @param status of the final response */
export type Answered = (status: number, sequence: number) => void

export interface SenderEvents {
  /** Something came that answers nothing. */
  onStray(what: string): void
}

/** One TCP connection that MESSAGEs are sent on, any number of them at a time. */
export class Sender {
  readonly index: number
  /** Number of the last MESSAGE; they begin at FIRST_SEQUENCE + 1. */
  sequence = FIRST_SEQUENCE
  readonly #line: Line
  readonly #pending = new Map<number, Answered>()
  readonly #branch: Buffer
  readonly #callId = randomIdent(12)
  readonly #domain: string
  readonly #beforeBranch: string
  readonly #afterBranch: string
  readonly #events: SenderEvents
  /** What goes out in the next write: answers come many at a time. */
  #out = ''

  static async open(index: number, target: SipTarget, events: SenderEvents): Promise<Sender> {
    let sender: Sender | null = null
    const line = await openLine('tcp', target, {
      onMessage: (octets) => sender?.receive(octets),
      onClose: events.onStray,
    })
    sender = new Sender(index, line, target, events)
    return sender
  }

  private constructor(index: number, line: Line, { domain }: SipTarget, events: SenderEvents) {
    this.index = index
    this.#line = line
    this.#domain = domain
    this.#events = events
    const branch = `z9hG4bK${randomIdent(6)}${String(index).padStart(USER_DIGITS, '0')}`
    this.#branch = Buffer.from(branch)
    this.#beforeBranch = `Via: SIP/2.0/TCP 127.0.0.1:${line.port};branch=${branch}`
    this.#afterBranch = `;rport\r\nMax-Forwards: 70\r\nFrom: <sip:${senderName(index)}@${domain}>;tag=${randomIdent(10)}\r\nTo: `
  }

  /** MESSAGEs that have had no final response. */
  get pending(): readonly number[] {
    return [...this.#pending.keys()]
  }

  /**
   * Sends to a user of the server's domain.
   * @param headers lines that end in CRLF
   * @param body given the number of the MESSAGE, which is returned as well; latin1
   */
  send(user: string, headers: string, body: (sequence: number) => string, answered: Answered): number {
    const sequence = ++this.sequence
    this.#pending.set(sequence, answered)
    const uri = `sip:${user}@${this.#domain}`
    const content = body(sequence)
    if (this.#out === '') process.nextTick(() => this.#flush())
    this.#out +=
      `MESSAGE ${uri} SIP/2.0\r\n${this.#beforeBranch}${sequence}${this.#afterBranch}<${uri}>\r\n` +
      `Call-ID: ${this.#callId}${sequence}\r\nCSeq: 1 MESSAGE\r\n${headers}` +
      `Content-Type: text/plain;charset=UTF-8\r\nContent-Length: ${content.length}\r\n\r\n${content}`
    return sequence
  }

  receive(octets: Buffer): void {
    const status = statusOf(octets)
    const at = octets.indexOf(this.#branch)
    const sequence = at < 0 ? -1 : readDigits(octets, at + this.#branch.length, SEQUENCE_DIGITS)
    if (status >= 100 && status < 200) return
    const answered = status < 0 ? undefined : this.#pending.get(sequence)
    if (answered === undefined) {
      this.#events.onStray(`a sender got what answers nothing: ${octets.toString('latin1', 0, 60)}`)
      return
    }
    this.#pending.delete(sequence)
    answered(status, sequence)
  }

  close(): void {
    this.#line.close()
  }

  #flush(): void {
    this.#line.send(this.#out)
    this.#out = ''
  }
}
