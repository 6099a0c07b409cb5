import type { Payload } from '../payload.ts'
import { randomIdent } from '../sequence.ts'
import { Credentials } from './credentials.ts'
import type { Line } from './lines.ts'
import { answerTo, FIRST_SEQUENCE, headOf, readDigits, SEQUENCE_DIGITS, statusOf, USER_DIGITS } from './messages.ts'
import { type SipLoadOptions, userName } from './options.ts'
import type { SipTally } from './tally.ts'

/** What a user does at a time; a challenge and its answer belong to it. */
export type Operation = 'register' | 'unregister' | 'message'

/** What all users have in common. */
export interface SipShared {
  readonly options: SipLoadOptions
  readonly users: User[]
  /** What follows sender and sequence number in a body. */
  readonly payload: Payload
  tally: SipTally
  /** Called when a user's operation has ended, well or not. */
  finished(): void
  /** Takes the user back among those who may begin an operation. */
  idle(user: User): void
}

const EXPIRES_SECONDS = 600
const T1_MS = 500
const T2_MS = 4000
/** Sender, a dot and the sequence number. */
export const BODY_HEAD = USER_DIGITS + 1 + SEQUENCE_DIGITS

/** The texts around the sequence number of a request that never change. */
interface Template {
  readonly method: string
  readonly uri: string
  readonly start: string
  readonly middle: string
  readonly end: string
}

/** One user: registers, sends to the next user, answers what the one before sends; one operation at a time. */
export class User {
  readonly index: number
  /** The value of From in every request of this user; its tag is nobody else's. */
  readonly from: string
  #line!: Line
  readonly #shared: SipShared
  readonly #digits: string
  /** Branch up to the sequence number: what responses to this user are told by. */
  #branch = Buffer.alloc(0)
  readonly #to: Buffer
  #contact = Buffer.alloc(0)
  #requestLine = ''
  #templates!: Readonly<Record<Operation, Template>>
  readonly #registration: Credentials
  readonly #sending: Credentials

  #operation: Operation | null = null
  #startedAt = 0
  #sequence = FIRST_SEQUENCE
  #isChallenged = false
  /** The last request, for UDP. */
  #sent = ''
  #resendAt = 0
  #resendAfter = T1_MS
  /** The last MESSAGE of this user that arrived, to tell a copy of it from a second delivery. */
  #delivered: Buffer | null = null
  #deliveredSequence = 0

  constructor(index: number, shared: SipShared) {
    const { domain, password } = shared.options.target
    const name = userName(index)
    this.index = index
    this.#shared = shared
    this.#digits = String(index).padStart(USER_DIGITS, '0')
    this.from = `<sip:${name}@${domain}>;tag=${randomIdent(10)}`
    this.#to = Buffer.from(`<sip:${name}@${domain}>`)
    this.#registration = new Credentials(name, password)
    this.#sending = new Credentials(name, password)
  }

  /** Takes the line that delivers to `receive`. */
  attach(line: Line): void {
    this.#line = line
    const { transport, target, users } = this.#shared.options
    const sentBy = `127.0.0.1:${line.port}`
    const name = userName(this.index)
    const contact = `sip:${name}@${sentBy}${transport === 'tcp' ? ';transport=tcp' : ''}`
    this.#requestLine = `MESSAGE ${contact} SIP/2.0\r\n`
    this.#contact = Buffer.from(`<${contact}>`)
    const branch = `z9hG4bK${randomIdent(6)}${this.#digits}`
    this.#branch = Buffer.from(branch)
    const template = (method: string, uri: string, to: string, end: string): Template => ({
      method,
      uri,
      start: `${method} ${uri} SIP/2.0\r\nVia: SIP/2.0/${transport.toUpperCase()} ${sentBy};branch=${branch}`,
      middle: `;rport\r\nMax-Forwards: 70\r\nFrom: ${this.from}\r\nTo: <${to}>\r\nCall-ID: ${randomIdent(16)}\r\nCSeq: `,
      end: ` ${method}\r\n${end}`,
    })
    const own = `sip:${name}@${target.domain}`
    const next = `sip:${userName((this.index + 1) % users)}@${target.domain}`
    const binding = (expires: number) => `Contact: <${contact}>\r\nExpires: ${expires}\r\nContent-Length: 0\r\n`
    const register = template('REGISTER', `sip:${target.domain}`, own, binding(EXPIRES_SECONDS))
    const head = `Content-Type: text/plain\r\nContent-Length: ${this.#shared.options.size}\r\n`
    this.#templates = {
      register,
      // The same Call-ID: it is the same binding (S-63).
      unregister: { ...register, end: ` REGISTER\r\n${binding(0)}` },
      message: template('MESSAGE', next, next, head),
    }
  }

  /** Whether an operation is under way. */
  get isBusy(): boolean {
    return this.#operation !== null
  }

  begin(operation: Operation): void {
    this.#operation = operation
    this.#startedAt = performance.now()
    this.#isChallenged = false
    this.#send(this.#shared.options.digest === 'reuse')
  }

  /** Gives up what is under way: whatever still comes of it is late. */
  abandon(): void {
    this.#operation = null
  }

  close(): void {
    this.#line.close()
  }

  /** Sends again what has waited long enough (timer E of S-34); only for UDP. */
  tick(now: number): void {
    if (this.#operation === null || now < this.#resendAt) return
    this.#shared.tally.retransmissions++
    this.#resendAfter = Math.min(2 * this.#resendAfter, T2_MS)
    this.#resendAt = now + this.#resendAfter
    this.#line.send(this.#sent)
  }

  receive(octets: Buffer): void {
    const status = statusOf(octets)
    if (status >= 0) this.#onResponse(status, octets)
    else if (octets.toString('latin1', 0, this.#requestLine.length) === this.#requestLine) this.#onMessage(octets)
    else this.#shared.tally.fail(`what came is no MESSAGE to the contact and no response: ${startOf(octets)}`)
  }

  #send(hasCredentials: boolean): void {
    const operation = this.#operation!
    const { method, uri, start, middle, end } = this.#templates[operation]
    const credentials = operation === 'message' ? this.#sending : this.#registration
    const sequence = ++this.#sequence
    const authorization = hasCredentials ? credentials.line(method, uri) : ''
    const body = operation === 'message' ? this.#body(sequence) : ''
    this.#sent = `${start}${sequence}${middle}${sequence}${end}${authorization}\r\n${body}`
    this.#resendAfter = T1_MS
    this.#resendAt = performance.now() + T1_MS
    this.#line.send(this.#sent)
  }

  #body(sequence: number): string {
    return `${this.#digits}.${sequence}${this.#shared.payload.body(this.index, sequence).toString('latin1')}`
  }

  #onResponse(status: number, octets: Buffer): void {
    const { tally, options } = this.#shared
    const at = octets.indexOf(this.#branch)
    const sequence = at < 0 ? -1 : readDigits(octets, at + this.#branch.length, SEQUENCE_DIGITS)
    if (sequence < 0 || sequence > this.#sequence) {
      tally.fail(`a response without a branch of its user (S-23): ${startOf(octets)}`)
      return
    }
    if (sequence < this.#sequence || this.#operation === null) {
      // Over UDP a request that was sent twice may be answered twice.
      if (options.transport === 'udp') tally.retransmissions++
      else tally.doubled(`a second final response to one request: ${startOf(octets)}`)
      return
    }
    if (status < 200) return
    if ((status === 401 || status === 407) && !this.#isChallenged) {
      this.#isChallenged = true
      tally.challenges++
      const credentials = this.#operation === 'message' ? this.#sending : this.#registration
      if (credentials.note(headOf(octets))) this.#send(true)
      else this.#end('a challenge with no digest algorithm that the generator knows')
      return
    }
    this.#end(status === 200 ? this.#mistakeIn(octets) : `${this.#operation} was answered ${startOf(octets)}`)
  }

  /** What is wrong with a 200 to the operation, null: nothing. */
  #mistakeIn(octets: Buffer): string | null {
    const operation = this.#operation!
    if (operation === 'message') {
      if (!octets.includes(this.from)) return 'a 200 to a MESSAGE of another user'
      return this.#deliveredSequence === this.#sequence ? null : 'a 200 to a MESSAGE that its recipient has not got'
    }
    if (!octets.includes(this.#to)) return 'a 200 to a REGISTER of another user'
    const isBound = octets.includes(this.#contact)
    if (isBound === (operation === 'register')) return null
    return isBound ? 'a 200 to an unregistration that still lists the contact' : 'a 200 without the contact (S-64)'
  }

  #end(mistake: string | null): void {
    const { tally } = this.#shared
    this.#operation = null
    if (mistake === null) {
      tally.completed++
      tally.latency.record(performance.now() - this.#startedAt)
    } else tally.fail(mistake)
    this.#shared.idle(this)
    this.#shared.finished()
  }

  /** A MESSAGE to this user: checked, told to its sender, and answered, also when it is wrong: the load goes on. */
  #onMessage(octets: Buffer): void {
    const { users, payload, options, tally } = this.#shared
    const head = headOf(octets)
    const at = head.length + 2
    const sender = users[readDigits(octets, at, USER_DIGITS)]
    const sequence = readDigits(octets, at + USER_DIGITS + 1, SEQUENCE_DIGITS)
    const rest = at + BODY_HEAD
    const isRight =
      octets.length - at === options.size &&
      sender !== undefined &&
      sequence > FIRST_SEQUENCE &&
      octets.compare(payload.body(sender.index, sequence), 0, payload.size, rest, rest + payload.size) === 0
    if (!isRight) tally.fail('a MESSAGE arrived with another body than was sent')
    else if ((sender.index + 1) % users.length !== this.index) tally.fail('a MESSAGE arrived at another user')
    else if (!head.includes(sender.from)) tally.fail('a MESSAGE arrived with another From than was sent')
    else sender.#noteDelivery(sequence, octets)
    this.#line.send(answerTo(head, this.#digits))
  }

  #noteDelivery(sequence: number, octets: Buffer): void {
    const { tally, options } = this.#shared
    if (sequence === this.#sequence && this.#deliveredSequence !== sequence) {
      this.#deliveredSequence = sequence
      this.#delivered = octets
    } else if (options.transport === 'udp' && this.#delivered?.equals(octets) === true) tally.retransmissions++
    else tally.doubled('a MESSAGE was delivered twice')
  }
}

const startOf = (octets: Buffer): string =>
  octets.toString('latin1', 0, Math.min(60, octets.length)).split('\r\n')[0] ?? ''
