import { setTimeout as sleep } from 'node:timers/promises'
import type { Line } from '../../bench/load/sip/lines.ts'
import { headOf, statusOf } from '../../bench/load/sip/messages.ts'
import type { SipTransport } from '../../bench/load/sip/options.ts'
import type { Random } from '../support/random.ts'
import type { Ledger } from './ledger.ts'
import { openLineTo } from './line.ts'
import { domain, host, type Victim } from './victim.ts'

/** How a device treats what it gets while it is there. */
type Mood = 'taking' | 'moody' | 'busy' | 'silent'
type Deed = 'take' | 'busy' | 'refuse' | 'ignore' | 'hang up'

const moods: readonly Mood[] = ['taking', 'taking', 'taking', 'moody', 'moody', 'busy', 'silent']
const deeds: readonly Deed[] = [
  ...Array.from({ length: 14 }, () => 'take' as const),
  'busy',
  'busy',
  'refuse',
  'ignore',
  'hang up',
  'hang up',
]
const statuses: Readonly<Record<Deed, number | null>> = {
  take: 200,
  busy: 480,
  refuse: 415,
  ignore: null,
  'hang up': null,
}
const reasons: Readonly<Record<number, string>> = { 200: 'OK', 415: 'Unsupported Media Type', 480: 'Away' }

const registerAfterMs = 100
const registerWithinMs = 1_500
const expiresSeconds = 600

export interface DeviceOptions {
  /** Names it, and its instance, among all devices. */
  readonly name: string
  /** Whose it is: an AoR. */
  readonly owner: string
  readonly victim: Victim
  readonly ledger: Ledger
  readonly random: Random
}

/** One line of a device, from its REGISTER to its end. */
interface Visit {
  readonly line: Line
  readonly closed: Promise<void>
  readonly mood: Mood
  readonly isUdp: boolean
  isOver: boolean
  /** Answers by branch, for copies that come over UDP; null: none was given. */
  readonly answers: Map<string, string | null>
  /** Messages that were taken on this line. */
  readonly taken: Set<number>
  registered: (status: number) => void
}

/** A device of an owner: is there now and then, and takes messages, or does not. */
export class Device {
  readonly #options: DeviceOptions
  #registers = 0
  #isStopped = false
  #stop = new AbortController()

  constructor(options: DeviceOptions) {
    this.#options = options
  }

  /** Comes and goes until it is stopped. */
  async run(): Promise<void> {
    const { random, victim } = this.#options
    while (!this.#isStopped) {
      await this.#pause(random.between(0, 500))
      await Promise.race([victim.up, this.#stopped()])
      if (this.#isStopped) return
      // Whoever is there over UDP and says nothing costs the server its patience, and the sender's.
      const transport: SipTransport = random.oneIn(3) ? 'udp' : 'tcp'
      const mood = random.pick(moods)
      await this.#visit(transport, mood === 'silent' && transport === 'udp' ? 'busy' : mood, random.between(50, 700))
    }
  }

  stop(): void {
    this.#isStopped = true
    this.#stop.abort()
  }

  /** Is there for so long, and takes all that comes. @returns whether it could register */
  attend(forMs: number): Promise<boolean> {
    const { random } = this.#options
    this.#stop = new AbortController()
    return this.#visit(random.oneIn(3) ? 'udp' : 'tcp', 'taking', forMs)
  }

  async #visit(transport: SipTransport, mood: Mood, forMs: number): Promise<boolean> {
    const { random } = this.#options
    const visit = await this.#open(transport, mood)
    if (visit === null) return false
    const isRegistered = (await this.#register(visit, expiresSeconds)) === 200
    if (isRegistered) {
      await Promise.race([visit.closed, this.#pause(forMs)])
      // Some go without a word; over UDP what is sent to them is sent in vain for a while.
      if (!random.oneIn(visit.isUdp ? 10 : 2)) await this.#register(visit, 0)
    }
    visit.isOver = true
    visit.line.close()
    return isRegistered
  }

  async #open(transport: SipTransport, mood: Mood): Promise<Visit | null> {
    const { victim } = this.#options
    const { promise: closed, resolve } = Promise.withResolvers<void>()
    let visit: Visit | null = null
    const isUdp = transport === 'udp'
    const opened = openLineTo(victim, transport, {
      onMessage: (octets) => {
        if (visit?.isOver === false) this.#receive(visit, octets)
      },
      onClose: () => {
        if (visit !== null) visit.isOver = true
        resolve()
      },
    })
    // It may have been killed meanwhile.
    const line = await opened.catch(() => null)
    if (line === null) return null
    visit = {
      line,
      closed,
      mood,
      isUdp,
      isOver: false,
      answers: new Map(),
      taken: new Set(),
      registered: () => {},
    }
    return visit
  }

  /** Its status; null: there was no answer. */
  async #register(visit: Visit, expires: number): Promise<number | null> {
    if (visit.isOver) return null
    const { promise, resolve } = Promise.withResolvers<number>()
    visit.registered = resolve
    const request = this.#registerOf(visit, expires)
    const timer = new AbortController()
    const late = sleep(registerWithinMs, null, { signal: timer.signal }).catch(() => null)
    const resending = setInterval(() => visit.isUdp && visit.line.send(request), registerAfterMs)
    visit.line.send(request)
    const status = await Promise.race([promise, late, visit.closed.then(() => null)])
    clearInterval(resending)
    timer.abort()
    return status
  }

  /** The Contact is always the same, whatever line it is reached on (S-71). */
  #registerOf({ line, isUdp }: Visit, expires: number): string {
    const { name, owner } = this.#options
    const number = ++this.#registers
    const contact = `<sip:${name}@device.invalid${isUdp ? '' : ';transport=tcp'}>;+sip.instance="<${instanceOf(name)}>"`
    return (
      `REGISTER sip:${domain} SIP/2.0\r\nVia: SIP/2.0/${isUdp ? 'UDP' : 'TCP'} ${host}:${line.port};branch=z9hG4bKr${name}x${number};rport\r\n` +
      `Max-Forwards: 70\r\nFrom: <${owner}>;tag=${name}${number}\r\nTo: <${owner}>\r\nCall-ID: ${name}\r\n` +
      `CSeq: ${number} REGISTER\r\nContact: ${contact}\r\nExpires: ${expires}\r\nContent-Length: 0\r\n\r\n`
    )
  }

  #receive(visit: Visit, octets: Buffer): void {
    const status = statusOf(octets)
    if (status >= 0) {
      if (status >= 200) visit.registered(status)
      return
    }
    const head = headOf(octets)
    const branch = /;branch=([^;\s]+)/i.exec(head)?.[1] ?? ''
    const given = visit.answers.get(branch)
    if (given === undefined) this.#onMessage(visit, octets, head, branch)
    else if (given !== null) visit.line.send(given)
  }

  #onMessage(visit: Visit, octets: Buffer, head: string, branch: string): void {
    const { ledger, name, random } = this.#options
    const header = (wanted: string) => new RegExp(`\\r\\n${wanted}:[ \\t]*([^\\r]*)`, 'i').exec(head)?.[1] ?? null
    const messageId = header('Message-ID')
    const body = octets.toString('latin1', head.length + 2)
    const message = ledger.arrived({
      device: name,
      body,
      callId: header('Call-ID') ?? '',
      messageId,
      from: header('From') ?? '',
      to: header('To') ?? '',
      contentType: header('Content-Type') ?? '',
      again: !visit.isUdp && visit.taken.has(ledger.messageIn(body)?.id ?? 0),
    })
    visit.answers.set(branch, null)
    if (message === null) return
    const deed = this.#deed(visit)
    if (deed === 'hang up') {
      visit.isOver = true
      visit.line.close()
    }
    const status = statuses[deed]
    if (status === null) return
    const answer = answerOf(head, status, name)
    const give = () => {
      if (visit.isOver) return
      visit.answers.set(branch, answer)
      // What was in the silo comes with a Message-ID; the rest is between its sender and this device.
      if (status === 200 && messageId !== null) visit.taken.add(message.id)
      ledger.answers(name, message, messageId !== null, status)
      visit.line.send(answer)
    }
    if (random.oneIn(10)) setTimeout(give, random.between(1, 30))
    else give()
  }

  #deed({ mood, isUdp }: Visit): Deed {
    const { random } = this.#options
    switch (mood) {
      case 'taking':
        return 'take'
      case 'busy':
        return 'busy'
      case 'silent':
        return 'ignore'
      case 'moody': {
        const deed = random.pick(deeds)
        return isUdp && deed === 'hang up' ? 'busy' : deed
      }
    }
  }

  async #pause(ms: number): Promise<void> {
    const { signal } = this.#stop
    await sleep(ms, null, { signal }).catch(() => null)
  }

  #stopped(): Promise<void> {
    const { signal } = this.#stop
    return new Promise((resolve) => {
      if (signal.aborted) resolve()
      else signal.addEventListener('abort', () => resolve(), { once: true })
    })
  }
}

/** The URN of a device, made of its name. */
function instanceOf(name: string): string {
  return `urn:uuid:00000000-0000-4000-8000-${Buffer.from(name).toString('hex').padStart(12, '0')}`
}

const copied = /^(?:Via|From|To|Call-ID|CSeq)[ \t]*:/i

function answerOf(head: string, status: number, tag: string): string {
  const lines = head
    .split('\r\n')
    .filter((line) => copied.test(line))
    .map((line) => (/^To/i.test(line) && !line.includes(';tag=') ? `${line};tag=${tag}` : line))
  return `SIP/2.0 ${status} ${reasons[status]}\r\n${lines.join('\r\n')}\r\nContent-Length: 0\r\n\r\n`
}
