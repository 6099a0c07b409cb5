/** What our HTTP clients have in common: one endpoint, few connections that stay open, bounded time and size. */
import type { Agent } from 'undici'

export interface HttpRequest {
  readonly method: 'GET' | 'POST'
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | null
  /** From connecting to the end of the answer. */
  readonly timeoutMs: number
}

/** An answer whose head has come. Take its body by one of the two: the connection is not used again before. */
export interface HttpAnswer {
  readonly status: number
  /** First value; the name in lower case. */
  header(name: string): string | null
  /** Rejects as `send` does. */
  text(): Promise<string>
  /** Never rejects: whatever becomes of the body, nobody wants it. */
  discard(): Promise<void>
}

export interface HttpClientOptions {
  readonly url: string
  readonly connections: number
  /** A larger body is cut off, and is an error to whoever reads it. */
  readonly answerOctetsMax: number
}

export class HttpClient {
  readonly #options: HttpClientOptions
  #agent: Agent | null = null
  #closed = false

  constructor(options: HttpClientOptions) {
    this.#options = options
  }

  /**
   * Follows no redirect, and tries once.
   * @throws Error without connection, without answer in time, and when it was closed: see `failureOf`
   */
  async send({ method, headers, body, timeoutMs }: HttpRequest): Promise<HttpAnswer> {
    const { url, connections, answerOctetsMax } = this.#options
    // Loaded where something is sent only: it takes 14 MiB of each thread.
    const { Agent, request } = await import('undici')
    this.#agent ??= new Agent({ connections, maxResponseSize: answerOctetsMax })
    if (this.#closed) void this.#agent.destroy()
    const answer = await request(url, {
      dispatcher: this.#agent,
      method,
      headers,
      body,
      signal: AbortSignal.timeout(timeoutMs),
    })
    return {
      status: answer.statusCode,
      header: (name) => [answer.headers[name]].flat()[0] ?? null,
      text: () => answer.body.text(),
      discard: () => answer.body.dump(),
    }
  }

  /** What is under way fails. */
  close(): void {
    this.#closed = true
    void this.#agent?.destroy()
  }
}

/** Why there was no answer, by code: messages may quote what was sent or received. */
export function failureOf(error: unknown): string {
  const { code, name } = error as NodeJS.ErrnoException
  return typeof code === 'string' ? code : name
}
