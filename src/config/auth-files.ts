/** The files that the `auth` section names: what they must look like, and reading them. */
import { type Buffer, isUtf8 } from 'node:buffer'
import { open } from 'node:fs/promises'
import { setImmediate } from 'node:timers/promises'
import type { z } from 'zod'
import type { Result } from '../errors.ts'
import { userKeys, usersMax } from './auth-keys.ts'
import { expected, keyAt, siblingKeys } from './describe.ts'
import type { ConfigProblem } from './load.ts'
import { algorithmsOf, readPublicKey, unreadable } from './public-key.ts'
import { missingHash } from './rules.ts'
import type { Config } from './schema.ts'

type AuthConfig = Config['auth']
type User = AuthConfig['users'][number]

/** A larger users file is refused. */
export const usersFileOctetsMax = 32 * 2 ** 20
/** Problems of a users file that are told; that it is bad is known by then. */
const problemsMax = 20
/** Lines between which others get their turn: about a millisecond. */
const linesAtOnce = 500

/**
 * Reads a users file: a JSON object a line, with the keys of `auth.users[]`; empty lines and lines that begin with # are
 * left out. Lets the thread do other things meanwhile.
 */
export async function readUsersFile(
  path: string,
  algorithms: AuthConfig['algorithms'],
): Promise<Result<readonly User[], readonly ConfigProblem[]>> {
  const wholly = (message: string) => ({ ok: false, error: [{ file: path, position: null, message }] }) as const
  let octets: Buffer
  try {
    await using file = await open(path)
    const stat = await file.stat()
    if (!stat.isFile()) return wholly('auth.users_file is not a regular file')
    if (stat.size > usersFileOctetsMax) return wholly(`the file is larger than ${usersFileOctetsMax} octets`)
    octets = await file.readFile()
  } catch (error) {
    return wholly(unreadable('auth.users_file', error))
  }
  if (!isUtf8(octets)) return wholly('the file is not UTF-8')

  const users = new Map<string, User>()
  const lines = new Map<string, number>()
  const problems: ConfigProblem[] = []
  let number = 0
  for (const line of linesOf(octets.toString())) {
    if (++number % linesAtOnce === 0) await setImmediate()
    if (/^\s*(?:#|$)/.test(line)) continue
    const read = readUser(line, algorithms)
    const problem = (column: number, message: string) =>
      problems.push({ file: path, position: { line: number, column }, message })
    if (!read.ok) problem(read.error.column, read.error.message)
    else if (users.has(read.value.username)) {
      problem(
        columnOf(line, 'username'),
        `username: expected each username once (see line ${lines.get(read.value.username)})`,
      )
    } else if (users.size === usersMax) {
      problem(1, `expected at most ${usersMax} users`)
      break
    } else {
      users.set(read.value.username, read.value)
      lines.set(read.value.username, number)
    }
    if (problems.length === problemsMax) break
  }
  return problems.length === 0 ? { ok: true, value: [...users.values()] } : { ok: false, error: problems }
}

function* linesOf(text: string): Generator<string> {
  for (let start = text.startsWith('\ufeff') ? 1 : 0; start < text.length; ) {
    const end = text.indexOf('\n', start)
    yield text.slice(start, end < 0 ? text.length : end)
    start = end < 0 ? text.length : end + 1
  }
}

interface LineProblem {
  readonly column: number
  /** Names keys, never values: any of them may be a secret. */
  readonly message: string
}

function readUser(line: string, algorithms: AuthConfig['algorithms']): Result<User, LineProblem> {
  const refuse = (column: number, message: string) => ({ ok: false, error: { column, message } }) as const
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch (error) {
    // The rest of the parser's message quotes the line.
    const [, position] = /at position (\d+)/.exec((error as SyntaxError).message) ?? []
    return refuse(Number(position ?? 0) + 1, 'not readable as JSON, expected one object a line')
  }
  const parsed = userKeys.safeParse(value)
  if (!parsed.success) return refuse(...describe(parsed.error.issues[0]!, line))
  const wanted = missingHash(parsed.data, algorithms)
  return wanted === null ? { ok: true, value: parsed.data } : refuse(1, `expected ${wanted}`)
}

function describe(issue: z.core.$ZodIssue, line: string): [column: number, message: string] {
  const user = ['auth', 'users', 0]
  if (issue.code === 'unrecognized_keys') {
    return [columnOf(line, issue.keys[0]!), `unknown key; known here: ${siblingKeys(user).join(', ')}`]
  }
  const [key] = issue.path
  if (key === undefined) return [1, `expected ${issue.code === 'custom' ? issue.message : 'an object'}`]
  return [columnOf(line, String(key)), `${String(key)}: expected ${expected(keyAt([...user, key])!)}`]
}

/** Where a key stands in its line, from 1; the beginning of the line when it does not. */
function columnOf(line: string, key: string): number {
  return Math.max(0, line.indexOf(JSON.stringify(key))) + 1
}

/** What is wrong with the files that the section names. */
export async function checkAuthFiles(auth: AuthConfig): Promise<readonly ConfigProblem[]> {
  const problems: ConfigProblem[] = []
  if (auth.users_file !== undefined) {
    const read = await readUsersFile(auth.users_file, auth.algorithms)
    if (!read.ok) problems.push(...read.error)
  }
  if (auth.jwt?.public_key !== undefined) {
    const { public_key } = auth.jwt
    const read = readPublicKey(public_key, algorithmsOf(auth.jwt))
    if (!read.ok) problems.push({ file: public_key, position: null, message: read.error })
  }
  return problems
}
