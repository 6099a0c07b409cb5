import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { afterEach, expect, test } from 'vitest'
import { type SipBehaviour, type SipStub, startSipStub } from './sip-stub.ts'

const RUNNER = fileURLToPath(new URL('../../bench/sip.ts', import.meta.url))
const SHORT = ['--users', '4', '--window', '2', '--seconds', '0.2', '--warmup', '0.1']

let stub: SipStub | undefined

afterEach(async () => {
  await stub?.close()
  stub = undefined
})

const bench = async (args: readonly string[]) => {
  const child = spawn(process.execPath, [RUNNER, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, SILOPATH_LOAD_PASSWORD: 'stub' },
  })
  const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')])
  return { lines: stdout.split('\n').filter((line) => line !== ''), stderr, code }
}

const benchStub = async (behaviour: SipBehaviour, ...args: string[]) => {
  stub = await startSipStub('udp', behaviour)
  return bench(['--connect', `127.0.0.1:${stub.port}`, '--pid', `${process.pid}`, ...SHORT, ...args])
}

test('prints a line of JSON for each scenario of each run and one of medians for each scenario', async () => {
  const { lines, stderr, code } = await benchStub('right', '--runs', '2', '--json')
  expect(stderr).toBe('')
  expect(code).toBe(0)
  const results = lines.map((line) => JSON.parse(line))
  expect(results.map(({ scenario, runs }) => [scenario, runs])).toEqual([
    ['register', undefined],
    ['message', undefined],
    ['register', undefined],
    ['message', undefined],
    ['register', 2],
    ['message', 2],
  ])
  expect(results[0]).toMatchObject({ transport: 'udp', digest: 'each', users: 4, window: 2, lost: 0, failed: 0 })
  const rates = [results[0], results[2]].map((result) => result.completed_per_second).toSorted((a, b) => a - b)
  expect(results[4].median.completed_per_second).toBeGreaterThanOrEqual(rates[0])
  expect(results[4].median.completed_per_second).toBeLessThanOrEqual(rates[1])
})

test('ends with 1 and says what is wrong when a MESSAGE is delivered twice', async () => {
  const { lines, stderr, code } = await benchStub('deliver-twice', '--scenario', 'message')
  expect(code).toBe(1)
  expect(JSON.parse(lines[0] ?? '').duplicate).toBeGreaterThan(0)
  expect(stderr).toMatch(/message over udp, digest each: \d+\/s/)
  expect(stderr).toMatch(/FAILED \(running server, message\): \d+ duplicate; first: a MESSAGE was delivered twice/)
})

test('ends with 1 when users cannot be registered', async () => {
  const { lines, stderr, code } = await benchStub('forget-contact', '--users', '8')
  expect(code).toBe(1)
  expect(lines).toEqual([])
  expect(stderr).toMatch(/register failed for 1 of 8 users: a 200 without the contact/)
})

test.each([
  [['--window', '0'], '--window 0: expected an integer from 1'],
  [['--transport', 'sctp'], '--transport sctp: expected udp or tcp'],
  [['--pid', '1'], '--pid only goes with --connect'],
])('ends with 2 and says how it is called: %s', async (args, message) => {
  const { lines, stderr, code } = await bench(args)
  expect(code).toBe(2)
  expect(lines).toEqual([])
  expect(stderr).toContain(message)
  expect(stderr).toContain('npm run bench:sip')
})
