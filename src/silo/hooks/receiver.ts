import type { Clock } from '../../clock.ts'
import { failureOf, HttpClient } from '../../http-client.ts'
import { version } from '../../version.ts'
import { signatureHeader, signatureOf } from './signature.ts'

/** A receiver that asks for more is asked again after so long. */
export const retryAfterMaxMs = 600_000

/** What has become of a post. */
export type PostOutcome =
  | { readonly kind: 'accepted' }
  /** It will never be taken: to send it again is of no use. Of 413 a part may be taken. */
  | { readonly kind: 'refused'; readonly status: number }
  /**
   * To be sent again, no earlier than in `retryAfterMs`. `atFault`: the receiver answered, and these events may be why
   * it failed; else it was busy or away.
   */
  | { readonly kind: 'failed'; readonly reason: string; readonly atFault: boolean; readonly retryAfterMs: number }

export interface ReceiverOptions {
  readonly url: string
  readonly secret: string
  readonly timeoutMs: number
  readonly clock: Clock
}

/** Who is told of events: an HTTP endpoint. */
export class Receiver {
  readonly #options: ReceiverOptions
  readonly #client: HttpClient

  constructor(options: ReceiverOptions) {
    this.#options = options
    // Bodies of answers mean nothing to us: none is read.
    this.#client = new HttpClient({ url: options.url, connections: 1, answerOctetsMax: 65_536 })
  }

  /** Posts JSON, once. Never rejects. */
  async post(body: string): Promise<PostOutcome> {
    const { secret, timeoutMs, clock } = this.#options
    const headers = {
      'content-type': 'application/json',
      'user-agent': `silopath/${version}`,
      [signatureHeader]: signatureOf(secret, body, clock.now()),
    }
    try {
      const answer = await this.#client.send({ method: 'POST', headers, body, timeoutMs })
      await answer.discard()
      return outcomeOf(answer.status, answer.header('retry-after'), clock.now())
    } catch (error) {
      return { kind: 'failed', reason: failureOf(error), atFault: false, retryAfterMs: 0 }
    }
  }

  /** A post that is under way fails. */
  close(): void {
    this.#client.close()
  }
}

/** Written by what stands before a receiver that is away, and by one that is busy. */
const passing = new Set([408, 425, 429, 502, 503, 504])

function outcomeOf(status: number, retryAfter: string | null, now: number): PostOutcome {
  if (status >= 200 && status < 300) return { kind: 'accepted' }
  const atFault = !passing.has(status)
  if (atFault && status >= 400 && status < 500) return { kind: 'refused', status }
  return { kind: 'failed', reason: `status ${status}`, atFault, retryAfterMs: retryAfterMs(retryAfter, now) }
}

/** RFC 9110 section 10.2.3: seconds, or a date. What is neither asks for nothing. */
function retryAfterMs(value: string | null, now: number): number {
  if (value === null) return 0
  const wanted = /^\d+$/.test(value) ? Number(value) * 1000 : Date.parse(value) - now
  return wanted > 0 ? Math.min(wanted, retryAfterMaxMs) : 0
}
