import { setTimeout as sleep } from 'node:timers/promises'
import type { Line } from '../../bench/load/sip/lines.ts'
import { statusOf } from '../../bench/load/sip/messages.ts'
import type { SipTransport } from '../../bench/load/sip/options.ts'
import type { Random } from '../support/random.ts'
import { contentType, type Ledger, type Sent } from './ledger.ts'
import { openLineTo } from './line.ts'
import { domain, host, type Victim } from './victim.ts'

/** As T1 and T2 of a user agent near by; it does not give up, as a person would not. */
const resendAfterMs = 100
const resendMaxMs = 1_600
/** A request over TCP without an answer is sent anew after so long: longer than 64*T1 of the server. */
const patienceMs = 15_000
const pauseMaxMs = 30
/** With more owed, senders wait: what is stored has to be taken too. */
const owedMax = 2_000

export interface SenderOptions {
  readonly name: string
  readonly transport: SipTransport
  readonly owners: readonly string[]
  readonly victim: Victim
  readonly ledger: Ledger
  readonly random: Random
}

/** Sends to each of its owners, one MESSAGE to each at a time (S-83), until it has a final answer. */
export class CrashSender {
  readonly #options: SenderOptions
  readonly #uri: string
  #line: { readonly line: Line; readonly closed: Promise<void> } | null = null
  #opening: Promise<void> | null = null
  #branches = 0
  /** Who waits for the answer to a branch. */
  readonly #pending = new Map<string, (status: number) => void>()
  #isStopped = false
  readonly #abandoned = Promise.withResolvers<null>()
  #isAbandoned = false

  constructor(options: SenderOptions) {
    this.#options = options
    this.#uri = `sip:${options.name}@${domain}`
  }

  /** Resolves when it has been stopped, and all that it has sent has been answered. */
  async run(): Promise<void> {
    await Promise.all(this.#options.owners.map((owner) => this.#sendTo(owner)))
    this.#line?.line.close()
  }

  /** Begins nothing new. */
  stop(): void {
    this.#isStopped = true
  }

  /** Gives up what has no answer: there is nobody to give one any more. */
  abandon(): void {
    this.#isStopped = this.#isAbandoned = true
    this.#abandoned.resolve(null)
  }

  async #sendTo(owner: string): Promise<void> {
    const { ledger, random } = this.#options
    while (!this.#isStopped) {
      await sleep(random.between(1, pauseMaxMs))
      if (ledger.owed > owedMax) continue
      const expires = random.oneIn(10) ? random.between(1, 3) : null
      const padding = random.letters('abcdefghij \r\n', 1, random.oneIn(20) ? 4000 : 200)
      const message = ledger.create(this.#uri, owner, expires, padding)
      const status = await this.#deliver(message)
      if (status !== null) ledger.answered(message, status)
    }
  }

  /** Null: it was abandoned. */
  async #deliver(message: Sent): Promise<number | null> {
    for (;;) {
      const connected = await Promise.race([this.#connected(), this.#abandoned.promise])
      if (connected === null) return null
      const { line, closed } = connected
      const branch = `z9hG4bK${this.#options.name}x${++this.#branches}`
      const { promise, resolve } = Promise.withResolvers<number>()
      this.#pending.set(branch, resolve)
      message.requests++
      const status = await this.#transact(message, this.#encode(message, branch, line), line, promise, closed)
      this.#pending.delete(branch)
      if (status !== null) return status
    }
  }

  /** Null: the connection is gone, or the answer is too late. */
  async #transact(
    message: Sent,
    request: string,
    line: Line,
    answer: Promise<number>,
    closed: Promise<void>,
  ): Promise<number | null> {
    const { victim, transport } = this.#options
    const isUdp = transport === 'udp'
    const deadline = performance.now() + patienceMs
    for (let wait = resendAfterMs; ; wait = Math.min(2 * wait, resendMaxMs)) {
      message.runs.add(victim.run)
      line.send(request)
      const timer = new AbortController()
      const late = sleep(isUdp ? wait : patienceMs, null, { signal: timer.signal }).catch(() => null)
      const status = await Promise.race([answer, late, closed.then(() => null), this.#abandoned.promise])
      timer.abort()
      if (status !== null || !isUdp || this.#isAbandoned || performance.now() > deadline) return status
    }
  }

  /** Null: it was abandoned. */
  async #connected(): Promise<{ readonly line: Line; readonly closed: Promise<void> } | null> {
    while (this.#line === null && !this.#isAbandoned) {
      this.#opening ??= this.#open().finally(() => {
        this.#opening = null
      })
      await this.#opening
    }
    return this.#line
  }

  async #open(): Promise<void> {
    const { victim, transport } = this.#options
    await victim.up
    const { promise: closed, resolve } = Promise.withResolvers<void>()
    const opened = openLineTo(victim, transport, {
      onMessage: (octets) => this.#receive(octets),
      onClose: () => {
        this.#line = null
        resolve()
      },
    })
    // It may have been killed meanwhile.
    const line = await opened.catch(() => null)
    if (line !== null) this.#line = { line, closed }
  }

  #receive(octets: Buffer): void {
    const status = statusOf(octets)
    const branch = /\r\nVia:[^\r]*;branch=([^;\s]+)/i.exec(octets.toString('latin1'))?.[1] ?? ''
    if (status < 0) this.#options.ledger.fault(`${this.#uri} got a request`)
    else if (status >= 200) this.#pending.get(branch)?.(status)
  }

  /** Only Via differs when a MESSAGE is sent anew. */
  #encode({ id, owner, callId, body, expires }: Sent, branch: string, { port }: Line): string {
    const { transport, name } = this.#options
    return (
      `MESSAGE ${owner} SIP/2.0\r\nVia: SIP/2.0/${transport.toUpperCase()} ${host}:${port};branch=${branch};rport\r\n` +
      `Max-Forwards: 70\r\nFrom: <${this.#uri}>;tag=${name}${id}\r\nTo: <${owner}>\r\nCall-ID: ${callId}\r\n` +
      `CSeq: 1 MESSAGE\r\n${expires === null ? '' : `Expires: ${expires}\r\n`}Content-Type: ${contentType}\r\n` +
      `Content-Length: ${body.length}\r\n\r\n${body}`
    )
  }
}
