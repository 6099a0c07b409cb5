import { request } from 'undici'
import { z } from 'zod'
import { SilopathError } from '../errors.ts'
import { printable } from '../log.ts'

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
  return table(sessions) + (truncated ? 'More sessions exist than the relay lists.\n' : '')
}

async function fetchSessions(admin: URL): Promise<z.output<typeof answer>> {
  const url = new URL('/api/sessions', admin)
  const remedy = 'Remedy: give the address of a running relay (admin.listen in its config) with --admin URL.'
  let body: unknown
  try {
    // reset: a kept-alive connection would delay the end of the process.
    const response = await request(url, { reset: true, headersTimeout: answerTimeoutMs, bodyTimeout: answerTimeoutMs })
    if (response.statusCode !== 200) throw new Error(`it answers ${response.statusCode}`)
    body = await response.body.json()
  } catch (error) {
    throw new SilopathError('ADMIN_UNREACHABLE', `${url} gives no sessions: ${reasonOf(error)}. ${remedy}`, {
      cause: error,
    })
  }
  const parsed = answer.safeParse(body)
  if (!parsed.success)
    throw new SilopathError('ADMIN_UNREACHABLE', `${url} is not the admin API of this version. ${remedy}`)
  return parsed.data
}

/** Connection errors to a name with several addresses carry no message, only a code. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.message || ('code' in error ? String(error.code) : error.name)
}

type Session = z.output<typeof session>

/** Text columns are aligned to the left, numbers to the right. */
const columns: readonly (readonly [title: string, cell: (session: Session) => string | number])[] = [
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

function table(sessions: readonly Session[]): string {
  const laidOut = columns.map(([title, cell]) => {
    const cells = sessions.map(cell)
    const texts = [title, ...cells.map((value) => printable(String(value)))]
    const width = Math.max(...texts.map(({ length }) => length))
    return texts.map((text) => (typeof cells[0] === 'number' ? text.padStart(width) : text.padEnd(width)))
  })
  const lines = Array.from({ length: sessions.length + 1 }, (_, row) => laidOut.map((column) => column[row]).join('  '))
  return lines.map((line) => `${line.trimEnd()}\n`).join('')
}

function toSeconds(time: string): string {
  return time.replace(/\.\d+/, '')
}
