/** What a device has answered for good to what came from the silo; null: nothing yet. */
type Answer = 'taken' | 'refused' | null

/** A MESSAGE that a sender wants to get to an owner. */
export interface Sent {
  readonly id: number
  readonly sender: string
  readonly owner: string
  readonly callId: string
  readonly body: string
  /** Seconds; null: as long as the server keeps messages. */
  readonly expires: number | null
  readonly sentAt: number
  /** Runs of the server in which it was sent, and how often it was sent as a new request. */
  readonly runs: Set<number>
  requests: number
  /** Final status; null: none yet. */
  status: number | null
  /** When it was answered 202. */
  acceptedAt: number | null
  messageId: string | null
}

/** What a device reads in a MESSAGE. */
export interface Arrival {
  readonly device: string
  readonly body: string
  readonly callId: string
  /** Null: it comes from its sender, through the server, and was never in the silo. */
  readonly messageId: string | null
  readonly from: string
  readonly to: string
  readonly contentType: string
  /** The line it came on took the same message before. */
  readonly again: boolean
}

export type LedgerEvent = 'accepted' | 'delivered' | 'answered'

export interface LedgerCounts {
  sent: number
  /** Answered 202. */
  accepted: number
  /** Answered 2xx by the reader itself. */
  direct: number
  otherwise: number
  /** Came from the silo to a device for the first time, and again. */
  delivered: number
  repeats: number
  refused: number
  /** Those that expired before every device had answered. */
  expired: number
}

export const contentType = 'text/plain;charset=UTF-8;x-mark="a;b"'

/** The clocks of two processes, and what is on its way: so much later than its end a message may still arrive, in ms. */
const expirySlackMs = 2_500
const faultsMax = 20
const messageIdForm = /^[\w-]{22}$/

/** Knows of every message what became of it, and says what should not have happened. */
export class Ledger {
  readonly counts: LedgerCounts = {
    sent: 0,
    accepted: 0,
    direct: 0,
    otherwise: 0,
    delivered: 0,
    repeats: 0,
    refused: 0,
    expired: 0,
  }
  /** The first of them, in words. */
  readonly faults: string[] = []
  /** Called for each event; whoever wants to kill at such a moment. */
  onEvent: (event: LedgerEvent) => void = () => {}
  readonly #devices: ReadonlyMap<string, readonly string[]>
  readonly #now: () => number
  readonly #sent = new Map<number, Sent>()
  /** Accepted messages that some device has not answered, by owner and sender, in the order they were sent. */
  readonly #owed = new Map<string, Sent[]>()
  /** By device and message. */
  readonly #answers = new Map<string, Answer>()
  #lastId = 100_000_000

  /** @param devices of each owner; all known to the server before anything is sent */
  constructor(devices: ReadonlyMap<string, readonly string[]>, now: () => number = Date.now) {
    this.#devices = devices
    this.#now = now
  }

  /** Accepted messages that some device has not answered. */
  get owed(): number {
    let count = 0
    for (const list of this.#owed.values()) count += list.length
    return count
  }

  create(sender: string, owner: string, expires: number | null, padding: string): Sent {
    const id = ++this.#lastId
    const message: Sent = {
      id,
      sender,
      owner,
      callId: `call-${id}`,
      body: `${id} ${padding}`,
      expires,
      sentAt: this.#now(),
      runs: new Set(),
      requests: 0,
      status: null,
      acceptedAt: null,
      messageId: null,
    }
    this.#sent.set(id, message)
    this.counts.sent++
    return message
  }

  /** The sender has a final answer. */
  answered(message: Sent, status: number): void {
    message.status = status
    if (status === 202) {
      this.counts.accepted++
      message.acceptedAt = this.#now()
      const key = `${message.owner} ${message.sender}`
      const list = this.#owed.get(key)
      if (list === undefined) this.#owed.set(key, [message])
      else list.push(message)
      // It may have been delivered by then.
      this.#forget(message)
      this.onEvent('accepted')
    } else if (status >= 200 && status < 300) this.counts.direct++
    else {
      this.counts.otherwise++
      // Of a device that was there.
      if (status !== 415) this.fault(`message ${message.id} of ${message.sender} was answered ${status}`)
    }
  }

  /** A device has read a MESSAGE. */
  arrived(arrival: Arrival): Sent | null {
    const { device, body, callId, messageId, from, to } = arrival
    const message = this.messageIn(body)
    if (message === null) {
      this.fault(`${device} got what nobody sent: ${body.slice(0, 40)}`)
      return null
    }
    const which = `message ${message.id} of ${message.sender} to ${message.owner}`
    if (!this.#devices.get(message.owner)!.includes(device)) this.fault(`${which} came to ${device}`)
    if (message.body !== body) this.fault(`${which} came with another body`)
    if (arrival.contentType !== contentType) this.fault(`${which} came with Content-Type ${arrival.contentType}`)
    if (!from.includes(`<${message.sender}>`)) this.fault(`${which} came with From ${from}`)
    if (!to.includes(`<${message.owner}>`)) this.fault(`${which} came with To ${to}`)
    if (callId !== message.callId) this.fault(`${which} came with Call-ID ${callId}, which marks no repeat`)
    if (messageId === null) return message
    this.#arrivedFromSilo(message, arrival, messageId, which)
    return message
  }

  /** A device answers what it has read, and the answer is final for it. */
  answers(device: string, message: Sent, isStored: boolean, status: number): void {
    if (!isStored) return
    const answer = status < 300 ? 'taken' : status === 415 ? 'refused' : null
    if (answer === null) return
    const key = `${device} ${message.id}`
    if (answer === 'refused') this.counts.refused++
    if (this.#answers.get(key) !== 'taken') this.#answers.set(key, answer)
    this.#forget(message)
    this.onEvent('answered')
  }

  /** The message of a body, by the number it begins with. */
  messageIn(body: string): Sent | null {
    return this.#sent.get(Number(/^\d{9} /.exec(body)?.[0] ?? 0)) ?? null
  }

  /**
   * Compares what is owed with what is stored.
   * @param waiting bodies of messages that wait
   * @param dead bodies of dead letters
   */
  compare(waiting: readonly string[], dead: readonly string[], when: string): void {
    const stored = new Set<number>()
    for (const body of [...waiting, ...dead]) {
      const message = this.messageIn(body)
      if (message === null || message.body !== body) this.fault(`${when}: stored is what nobody sent`)
      else stored.add(message.id)
    }
    for (const body of dead) {
      const message = this.messageIn(body)
      const wanting = message && this.#devicesOf(message).filter((device) => this.#answerOf(device, message) === null)
      if (message && wanting!.length > 0) this.fault(`${when}: message ${message.id} is dead, unseen by ${wanting}`)
    }
    this.#dropExpired()
    for (const list of this.#owed.values()) {
      for (const message of list) {
        if (stored.has(message.id)) continue
        const wanting = this.#devicesOf(message).filter((device) => this.#answerOf(device, message) === null)
        this.fault(
          `${when}: message ${message.id} of ${message.sender} to ${message.owner} was answered 202, and is neither ` +
            `stored nor taken by ${wanting} (sent ${message.requests} times in ${message.runs.size} runs)`,
        )
      }
    }
  }

  fault(what: string): void {
    if (this.faults.length < faultsMax) this.faults.push(what)
  }

  #arrivedFromSilo(message: Sent, { device, again }: Arrival, messageId: string, which: string): void {
    if (!messageIdForm.test(messageId)) this.fault(`${which} came with Message-ID ${messageId}`)
    message.messageId ??= messageId
    if (message.messageId !== messageId) {
      this.fault(`${which} came with Message-ID ${messageId}, and before with ${message.messageId}`)
    }
    if (this.#now() > lastEndOf(message)) this.fault(`${which} came when it had expired`)
    if (this.#answerOf(device, message) === 'taken') {
      this.counts.repeats++
      // Nothing was lost that could have made it necessary.
      const isNeedless = again && message.requests === 1 && message.runs.size === 1
      if (isNeedless) this.fault(`${which} came again on the line on which ${device} had taken it`)
    } else this.counts.delivered++
    this.#checkOrder(message, device, which)
    this.onEvent('delivered')
  }

  /** What was accepted earlier, the device has answered: a device gets one message at a time (SILO-24). */
  #checkOrder(message: Sent, device: string, which: string): void {
    for (const earlier of this.#owed.get(`${message.owner} ${message.sender}`) ?? []) {
      if (earlier.id >= message.id) return
      if (this.#answerOf(device, earlier) !== null || this.#mayHaveExpired(earlier)) continue
      this.fault(`${which} came to ${device} before ${earlier.id}, which was accepted earlier`)
      return
    }
  }

  #devicesOf({ owner }: Sent): readonly string[] {
    return this.#devices.get(owner)!
  }

  #answerOf(device: string, message: Sent): Answer {
    return this.#answers.get(`${device} ${message.id}`) ?? null
  }

  #forget(message: Sent): void {
    if (this.#devicesOf(message).some((device) => this.#answerOf(device, message) === null)) return
    const list = this.#owed.get(`${message.owner} ${message.sender}`)
    const at = list?.indexOf(message) ?? -1
    if (at >= 0) list!.splice(at, 1)
  }

  #dropExpired(): void {
    for (const [key, list] of this.#owed) {
      const left = list.filter((message) => !this.#mayHaveExpired(message))
      this.counts.expired += list.length - left.length
      this.#owed.set(key, left)
    }
  }

  /** At the earliest: it counts from when the server first has it. */
  #mayHaveExpired({ sentAt, expires }: Sent): boolean {
    return expires !== null && this.#now() >= sentAt + expires * 1000
  }
}

/** Until when it may arrive: every copy of it was stored before the answer came. */
function lastEndOf({ expires, acceptedAt }: Sent): number {
  if (expires === null || acceptedAt === null) return Number.POSITIVE_INFINITY
  return acceptedAt + expires * 1000 + expirySlackMs
}
