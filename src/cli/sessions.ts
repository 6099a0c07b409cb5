import { request } from 'undici'
import { z } from 'zod'
import { SilopathError } from '../errors.ts'
import { adminRemedy, reasonOf } from './admin-client.ts'
import { type TextColumn, textTable, toSeconds } from './text-table.ts'

const answerTimeoutMs = 5000

const session = z.object({
  /** Start of a hash of the session-id: the id itself is what opens the session. */
  id: z.string(),
  username: z.string(),
  connection: z.union([z.string(), z.number()]),
  created_at: z.iso.datetime(),
  expires_at: z.iso.datetime(),
  frames_from: z.number(),
  frames_to: z.number(),
  octets_from: z.number(),
  octets_to: z.number(),
})
const answer = z.object({ sessions: z.array(session), truncated: z.boolean() })

/** Asks the admin API of a running relay for its sessions; gives the text to print. */
export async function sessions(admin: URL, format: 'table' | 'json'): Promise<string> {
  const { sessions, truncated } = await fetchSessions(admin)
  if (format === 'json') return `${JSON.stringify({ sessions, truncated }, null, 2)}\n`
  if (sessions.length === 0) return 'no sessions\n'
  return textTable(columns, sessions) + (truncated ? 'More sessions exist than the relay lists.\n' : '')
}

async function fetchSessions(admin: URL): Promise<z.output<typeof answer>> {
  const url = new URL('/api/sessions', admin)
  let body: unknown
  try {
    // reset: a kept-alive connection would delay the end of the process.
    const response = await request(url, { reset: true, headersTimeout: answerTimeoutMs, bodyTimeout: answerTimeoutMs })
    if (response.statusCode !== 200) throw new Error(`it answers ${response.statusCode}`)
    body = await response.body.json()
  } catch (error) {
    throw new SilopathError('ADMIN_UNREACHABLE', `${url} gives no sessions: ${reasonOf(error)}. ${adminRemedy}`, {
      cause: error,
    })
  }
  const parsed = answer.safeParse(body)
  if (!parsed.success)
    throw new SilopathError('ADMIN_UNREACHABLE', `${url} is not the admin API of this version. ${adminRemedy}`)
  return parsed.data
}

type Session = z.output<typeof session>

const columns: readonly TextColumn<Session>[] = [
  ['SESSION', ({ id }) => id],
  ['USER', ({ username }) => username],
  ['CONNECTION', ({ connection }) => String(connection)],
  ['CREATED', ({ created_at }) => toSeconds(created_at)],
  ['EXPIRES', ({ expires_at }) => toSeconds(expires_at)],
  ['FRAMES FROM', ({ frames_from }) => frames_from],
  ['FRAMES TO', ({ frames_to }) => frames_to],
  ['OCTETS FROM', ({ octets_from }) => octets_from],
  ['OCTETS TO', ({ octets_to }) => octets_to],
]
