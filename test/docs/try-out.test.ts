import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, onTestFinished, test } from 'vitest'
import { parseConfig } from '../../src/config/load.ts'
import { createLogger } from '../../src/log.ts'
import { startServer } from '../../src/server.ts'
import { root, textOf } from './files.ts'

const run = promisify(execFile)
const chat = (...args: string[]) =>
  run(process.execPath, [join(root, 'examples/chat.ts'), ...args], { env: { PATH: process.env.PATH } })

/** Without what is different in every run. */
function constantPart(output: string): string {
  return output
    .replace(/127\.0\.0\.1:\d+/g, 'RELAY')
    .replace(/[0-9a-f]{16}\.invalid/g, 'CLIENT.invalid')
    .replace(/\/[^/;]{9}…/g, '/ID…')
    .trim()
}

/** The block of README.md that shows what `npm run try` prints. */
function shownInReadme(): string {
  const [, , block = ''] = /npm run try.*?\n```\n\n(```text\n)(.*?)```/s.exec(textOf('README.md')) ?? []
  return block
}

test('npm run try relays a message through both sessions and prints what README.md shows (R-16, R-40, R-60)', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'silopath-'))
  onTestFinished(() => rm(folder, { recursive: true }))
  const text = JSON.stringify({
    data_dir: folder,
    workers: 0,
    listen: [{ url: 'msrp://127.0.0.1:0' }],
    admin: false,
    auth: { users: ['alice', 'bob'].map((username) => ({ username, password: `${username}-secret` })) },
  })
  const config = parseConfig(text, join(folder, 'test.yaml'))
  if (!config.ok) throw new Error('the config of this test is wrong')
  const server = await startServer(config.value, { log: createLogger('silent', 'json') })
  onTestFinished(() => server.close())

  const relay = `127.0.0.1:${server.listeners[0]?.port}`
  const { stdout, stderr } = await chat('alice:alice-secret', 'bob:bob-secret', '--relay', relay)
  expect(stderr).toBe('')
  expect(constantPart(stdout)).toBe(constantPart(shownInReadme()))
  expect(stdout).toContain('"Hello Bob"')

  await expect(chat('alice:wrong', 'bob:bob-secret', '--relay', relay)).rejects.toMatchObject({
    code: 1,
    stderr: expect.stringContaining('wrong password for alice. Remedy:'),
  })
})

test('npm run try without users or without a relay says what to do', async () => {
  await expect(chat()).rejects.toMatchObject({ code: 1, stderr: expect.stringContaining('usage: npm run try --') })
  await expect(chat('alice:a', 'bob:b', '--relay', '127.0.0.1:1')).rejects.toMatchObject({
    code: 1,
    stderr: expect.stringContaining('Remedy: run npm start first'),
  })
})
