/** One HTTP endpoint that is asked small questions: bounded in time, size and number, and left alone while it is down. */
import type { Clock } from '../clock.ts'
import { failureOf, HttpClient } from '../http-client.ts'
import type { Logger } from '../log.ts'

/** Failures in a row after which the endpoint is left alone for a while. */
export const FAILURES_MAX = 5
/** A larger answer is a failure. */
export const ANSWER_OCTETS_MAX = 2 ** 20

export interface HttpEndpointOptions {
  /** What log lines call it: its URL may hold a secret. */
  readonly name: string
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  /** From connecting to the end of the answer. Nobody waits longer for their turn either. */
  readonly timeoutMs: number
  readonly concurrency: number
  /** Questions that wait for their turn; more fail at once. */
  readonly queueMax: number
  /** How long it is left alone when it is down. */
  readonly retryAfterMs: number
  readonly clock: Clock
  readonly log: Logger
}

/** What an answer says, or null when it is none: that counts as a failure, as silence does. */
export type ReadAnswer<Answer> = (status: number, text: string) => Answer | null

export class HttpEndpoint {
  readonly #options: HttpEndpointOptions
  readonly #client: HttpClient
  #active = 0
  readonly #queue: (() => void)[] = []
  /** In a row. */
  #failures = 0
  #leftAloneUntil = 0
  /** The one question that finds out whether an endpoint that was down is back. */
  #probing = false
  #closed = false

  constructor(options: HttpEndpointOptions) {
    this.#options = options
    const { url, concurrency } = options
    this.#client = new HttpClient({ url, connections: concurrency, answerOctetsMax: ANSWER_OCTETS_MAX })
  }

  /**
   * Asks: a POST of `json`, or a GET when that is null. Null: there is no answer, since the endpoint is down, or too much
   * is asked at once. Never rejects.
   */
  async ask<Answer>(json: object | null, read: ReadAnswer<Answer>): Promise<Answer | null> {
    if (this.#down()) return null
    const { clock, timeoutMs } = this.#options
    const askedAt = clock.now()
    if (this.#active < this.#options.concurrency) this.#active++
    else {
      if (this.#queue.length >= this.#options.queueMax) return null
      // Who leaves hands its place on.
      await new Promise<void>((resolve) => this.#queue.push(resolve))
    }
    try {
      // It may have gone down while we waited, or we too long.
      if (this.#down() || clock.now() - askedAt > timeoutMs) return null
      return await this.#try(json, read)
    } finally {
      const next = this.#queue.shift()
      if (next === undefined) this.#active--
      else next()
    }
  }

  /** What is under way fails, what waits gets no answer. */
  close(): void {
    this.#closed = true
    this.#client.close()
  }

  #down(): boolean {
    if (this.#closed || this.#probing) return true
    return this.#failures >= FAILURES_MAX && this.#options.clock.now() < this.#leftAloneUntil
  }

  async #try<Answer>(json: object | null, read: ReadAnswer<Answer>): Promise<Answer | null> {
    this.#probing = this.#failures >= FAILURES_MAX
    let answer: Answer | null = null
    let failure = ''
    try {
      const { status, text } = await this.#send(json)
      answer = read(status, text)
      failure = `an answer that is not understood, with status ${status}`
    } catch (error) {
      failure = failureOf(error)
    }
    this.#probing = false
    if (this.#closed) return null
    if (answer !== null) this.#succeeded()
    else this.#failed(failure)
    return answer
  }

  async #send(json: object | null): Promise<{ status: number; text: string }> {
    const { headers, timeoutMs } = this.#options
    const answer = await this.#client.send({
      method: json === null ? 'GET' : 'POST',
      headers: { ...headers, accept: 'application/json', ...(json !== null && { 'content-type': 'application/json' }) },
      body: json === null ? null : JSON.stringify(json),
      timeoutMs,
    })
    return { status: answer.status, text: await answer.text() }
  }

  #succeeded(): void {
    const { name, log } = this.#options
    if (this.#failures >= FAILURES_MAX) log.info({}, `${name}: answers again`)
    this.#failures = 0
  }

  #failed(reason: string): void {
    const { name, log, clock, retryAfterMs } = this.#options
    this.#failures++
    if (this.#failures === 1) log.warn({ reason }, `${name}: no answer`)
    if (this.#failures < FAILURES_MAX) return
    if (this.#failures === FAILURES_MAX) log.error({ reason }, `${name}: down, it is left alone for a while`)
    this.#leftAloneUntil = clock.now() + retryAfterMs
  }
}
