import { type Dispatcher, request } from 'undici'
import type { z } from 'zod'
import { SilopathError } from '../errors.ts'

/** What can be done when an admin API does not answer as it should. */
export const adminRemedy = 'Remedy: give the address of a running relay (admin.listen in its config) with --admin URL.'

export interface AdminRequest {
  readonly method?: 'GET' | 'POST' | 'DELETE'
  readonly query?: Readonly<Record<string, string | number | boolean | null>>
  /** Sent as JSON. */
  readonly json?: object
  /** Rows, a line each. */
  readonly lines?: string
  /** How long the answer, or the next part of it, may take. */
  readonly timeoutMs?: number
}

const timeoutMs = 5_000

/**
 * Asks the admin API of a running server.
 * @throws SilopathError ADMIN_UNREACHABLE when nobody answers, ADMIN_REFUSED when the answer is an error
 */
export async function askAdmin(
  admin: URL,
  path: string,
  asked: AdminRequest = {},
): Promise<Dispatcher.ResponseData['body']> {
  const url = new URL(path, admin)
  for (const [name, value] of Object.entries(asked.query ?? {}))
    if (value !== null) url.searchParams.set(name, String(value))
  const { method = 'GET', json, lines } = asked
  let response: Dispatcher.ResponseData
  try {
    response = await request(url, {
      method,
      headers: {
        'x-silopath': '1',
        ...(json !== undefined && { 'content-type': 'application/json' }),
        ...(lines !== undefined && { 'content-type': 'application/x-ndjson' }),
      },
      body: json === undefined ? (lines ?? null) : JSON.stringify(json),
      // A kept-alive connection would delay the end of the process.
      reset: true,
      headersTimeout: asked.timeoutMs ?? timeoutMs,
      bodyTimeout: asked.timeoutMs ?? timeoutMs,
    })
    if (response.statusCode < 300) return response.body
  } catch (error) {
    throw unreachable(url, error)
  }
  throw await refusal(url, response)
}

/** The same, for an answer that is JSON of this form. */
export async function askAdminJson<Schema extends z.ZodType>(
  admin: URL,
  path: string,
  schema: Schema,
  asked: AdminRequest = {},
): Promise<z.output<Schema>> {
  const body = await askAdmin(admin, path, asked)
  const parsed = schema.safeParse(await body.json().catch(() => null))
  if (parsed.success) return parsed.data
  throw new SilopathError(
    'ADMIN_UNREACHABLE',
    `${new URL(path, admin)} is not the admin API of this version. ${adminRemedy}`,
  )
}

export function unreachable(url: URL, error: unknown): SilopathError {
  return new SilopathError('ADMIN_UNREACHABLE', `${url} does not answer: ${reasonOf(error)}. ${adminRemedy}`, {
    cause: error,
  })
}

async function refusal(url: URL, { statusCode, body }: Dispatcher.ResponseData): Promise<SilopathError> {
  const answer: unknown = await body.json().catch(() => null)
  const told = typeof answer === 'object' && answer !== null ? answer : {}
  // What lists the paths that there are has none of ours.
  const reason =
    'paths' in told
      ? `it answers ${statusCode}: it stores no messages (silo.enabled), or is of another version`
      : 'error' in told
        ? String(told.error)
        : `it answers ${statusCode}`
  return new SilopathError('ADMIN_REFUSED', `${url.origin}${url.pathname}: ${reason}`)
}

/** Connection errors to a name with several addresses carry no message, only a code. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.message || ('code' in error ? String(error.code) : error.name)
}
