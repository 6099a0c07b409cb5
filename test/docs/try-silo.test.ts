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
const example = (...args: string[]) =>
  run(process.execPath, [join(root, 'examples/silo.ts'), ...args], { env: { PATH: process.env.PATH } })

/** A server without notices, whose users are those of the demo; gives the options that lead to it. */
async function startDemo(): Promise<readonly string[]> {
  const folder = await mkdtemp(join(tmpdir(), 'silopath-'))
  onTestFinished(() => rm(folder, { recursive: true }))
  const text = JSON.stringify({
    data_dir: folder,
    workers: 0,
    listen: [{ url: 'sip://127.0.0.1:0' }],
    admin: { listen: '127.0.0.1:0' },
    auth: { users: ['alice', 'bob'].map((username) => ({ username, password: `${username}-secret` })) },
    silo: { add_date: 0 },
  })
  const config = parseConfig(text, join(folder, 'test.yaml'))
  if (!config.ok) throw new Error('the config of this test is wrong')
  const server = await startServer(config.value, { log: createLogger('silent', 'json') })
  onTestFinished(() => server.close())
  const address = `127.0.0.1:${server.listeners[0]!.port}`
  return ['--connect', address, '--admin', server.adminUrl!]
}

/** Without what is different in every run. */
function constantPart(output: string): string {
  return output
    .replace(/Date: .* GMT/g, 'Date: DATE')
    .replace(/Message-ID: [\w-]{22}/g, 'Message-ID: ID')
    .trim()
}

/** The block of docs/silo.md that shows what `npm run try:silo` prints. */
function shownInDocument(): string {
  const [, block = ''] = /npm run try:silo\n```\n\n```text\n(.*?)```/s.exec(textOf('docs/silo.md')) ?? []
  return block
}

test('npm run try:silo keeps, tells and delivers as examples/silo.yaml says, and prints what docs/silo.md shows (SILO-1, 12, 24, 28)', async () => {
  const { stdout, stderr } = await example()
  expect(stderr).toBe('')
  expect(constantPart(stdout)).toBe(constantPart(shownInDocument()))
  expect(stdout).toMatch(
    / 202 .*\*\*\* User bob is offline!.*"Are you there\?".*"Call me.*"It is.*The silo is empty\.\n$/s,
  )
})

test('npm run try:silo --connect shows the same on a server that runs, which need not send notices (SILO-12)', async () => {
  const target = await startDemo()
  const { stdout } = await example(...target, 'alice:alice-secret', 'bob:bob-secret')
  expect(stdout).toContain('no notice: silo.offline_message is not configured there')
  expect(stdout).toContain('From: <sip:alice@localhost>')
  expect(stdout).toMatch(/The silo is empty\.\n$/)

  await expect(example(...target, 'alice:wrong', 'bob:bob-secret')).rejects.toMatchObject({
    code: 1,
    stderr: expect.stringContaining('wrong password for alice. Remedy:'),
  })
})

test('npm run try:silo says what to do when it is called wrongly, or cannot reach the server', async () => {
  const usage = { code: 1, stderr: expect.stringContaining('usage: npm run try:silo') }
  await expect(example('alice:a', 'bob:b')).rejects.toMatchObject(usage)
  await expect(example('--connect', '127.0.0.1:1', 'alice', 'bob')).rejects.toMatchObject(usage)
  await expect(example('--connect', '127.0.0.1:1', 'alice:a', 'bob:b')).rejects.toMatchObject({
    code: 1,
    stderr: expect.stringContaining('Remedy: run npm start first'),
  })
  const target = await startDemo()
  const elsewhere = [...target.slice(0, 2), '--admin', 'http://127.0.0.1:1']
  await expect(example(...elsewhere, 'alice:alice-secret', 'bob:bob-secret')).rejects.toMatchObject({
    code: 1,
    stderr: expect.stringContaining('Remedy: give the URL of admin.listen with --admin'),
  })
})
