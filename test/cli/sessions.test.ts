import { once } from 'node:events'
import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { silopath } from './support.ts'

let server: Server | undefined
afterEach(async () => {
  server?.closeAllConnections()
  if (server?.listening) await once(server.close(), 'close')
})

/** An admin server that gives every request the same answer; the result is its URL. */
async function adminServer(answer: RequestListener): Promise<string> {
  server = createServer(answer)
  await once(server.listen(0, '127.0.0.1'), 'listening')
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

const alice = {
  id: '0f3a9c',
  username: 'alice',
  connection: '5.1',
  created_at: '2026-01-31T12:00:00.123Z',
  expires_at: '2026-01-31T13:00:00.123Z',
  frames_from: 1,
  frames_to: 20_000,
  octets_from: 512,
  octets_to: 1_234_567_890,
}
const answer = {
  sessions: [alice, { ...alice, id: '77', username: 'bob.with.a.long.name', frames_to: 3 }],
  truncated: false,
}

test('prints a table, text to the left and numbers to the right', async () => {
  const paths: (string | undefined)[] = []
  const url = await adminServer(({ url }, response) => {
    paths.push(url)
    response.end(JSON.stringify(answer))
  })
  expect(await silopath(['sessions', '--admin', url])).toEqual({
    code: 0,
    stderr: '',
    stdout: `\
SESSION  USER                  CONNECTION  CREATED               EXPIRES               FRAMES FROM  FRAMES TO  OCTETS FROM   OCTETS TO
0f3a9c   alice                 5.1         2026-01-31T12:00:00Z  2026-01-31T13:00:00Z            1      20000          512  1234567890
77       bob.with.a.long.name  5.1         2026-01-31T12:00:00Z  2026-01-31T13:00:00Z            1          3          512  1234567890
`,
  })
  expect(paths).toEqual(['/api/sessions'])
})

test('--json prints the answer as JSON', async () => {
  const url = await adminServer((_, response) => response.end(JSON.stringify(answer)))
  const { code, stdout } = await silopath(['sessions', '--json', '--admin', `${url}/`])
  expect(code).toBe(0)
  expect(JSON.parse(stdout)).toEqual(answer)
})

test('says that there are no sessions', async () => {
  const url = await adminServer((_, response) => response.end('{"sessions":[],"truncated":false}'))
  expect(await silopath(['sessions', '--admin', url])).toEqual({ code: 0, stdout: 'no sessions\n', stderr: '' })
})

test('says that the list is cut', async () => {
  const url = await adminServer((_, response) => response.end(JSON.stringify({ ...answer, truncated: true })))
  const { stdout } = await silopath(['sessions', '--admin', url])
  expect(stdout).toMatch(/\nMore sessions exist than the relay lists\.\n$/)
})

test('what the relay says does not drive the terminal', async () => {
  const wild = { ...answer, sessions: [{ ...alice, username: '\u001b[2Jalice' }] }
  const url = await adminServer((_, response) => response.end(JSON.stringify(wild)))
  const { stdout } = await silopath(['sessions', '--admin', url])
  expect(stdout).toContain(' [2Jalice')
  expect(stdout).not.toContain('\u001b')
})

const remedy = 'Remedy: give the address of a running relay (admin.listen in its config) with --admin URL.\n'

test('names the remedy when nobody listens', async () => {
  const url = await adminServer((_, response) => response.end())
  await once(server!.close(), 'close')
  expect(await silopath(['sessions', '--admin', url])).toEqual({
    code: 1,
    stdout: '',
    stderr: `silopath: ${url}/api/sessions gives no sessions: connect ECONNREFUSED ${new URL(url).host}. ${remedy}`,
  })
})

test.each<[kind: string, status: number, body: string, error: RegExp]>([
  ['an error', 503, '{}', /gives no sessions: it answers 503\. Remedy/],
  ['something that is no JSON', 200, '<html>', /gives no sessions: .*JSON.* Remedy/],
  ['something else', 200, '{"sessions":[{"id":1}],"truncated":false}', /is not the admin API of this version\. Remedy/],
])('names the remedy when the answer is %s', async (_kind, status, body, error) => {
  const url = await adminServer((_, response) => response.writeHead(status).end(body))
  const { code, stdout, stderr } = await silopath(['sessions', '--admin', url])
  expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
  expect(stderr).toMatch(error)
  expect(stderr.endsWith(remedy)).toBe(true)
})
