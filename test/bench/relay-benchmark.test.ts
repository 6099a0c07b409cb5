import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { afterEach, expect, test } from 'vitest'
import { type Behaviour, type StubRelay, startStubRelay } from './stub-relay.ts'

const RUNNER = fileURLToPath(new URL('../../bench/relay.ts', import.meta.url))

let stub: StubRelay | undefined

afterEach(async () => {
  await stub?.close()
  stub = undefined
})

const bench = async (args: readonly string[]) => {
  const child = spawn(process.execPath, [RUNNER, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, SILOPATH_LOAD_PASSWORD: 'unused' },
  })
  const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')])
  return { lines: stdout.split('\n').filter((line) => line !== ''), stderr, code }
}

const benchStub = async (behaviour: Behaviour, ...args: string[]) => {
  stub = await startStubRelay(behaviour)
  return bench(['--connect', `127.0.0.1:${stub.port}`, '--pid', `${process.pid}`, ...args])
}

const SHORT = ['--pairs', '2', '--window', '4', '--seconds', '0.3', '--warmup', '0.1']

test('prints one line of JSON for each run and one of medians, and ends with 0', async () => {
  const { lines, stderr, code } = await benchStub('right', ...SHORT, '--runs', '2', '--json')
  expect(stderr).toBe('')
  expect(code).toBe(0)
  const [first, second, medians] = lines.map((line) => JSON.parse(line))
  expect(lines).toHaveLength(3)
  expect(first).toMatchObject({ pairs: 2, window: 4, size: 200, topology: 'one-hop', lost: 0, corrupt: 0 })
  expect(first.frames).toBeGreaterThan(0)
  // This process is the relay: what it used is in the figure, to the 10 ms grain of /proc.
  expect(first.cpu_us_per_frame * first.frames).toBeGreaterThan(0)
  expect(medians.runs).toBe(2)
  const between = [first.frames_per_second, second.frames_per_second].toSorted((a, b) => a - b)
  expect(medians.median.frames_per_second).toBeGreaterThanOrEqual(between[0])
  expect(medians.median.frames_per_second).toBeLessThanOrEqual(between[1])
})

test('ends with 1 and says what is wrong when frames arrive corrupt', async () => {
  const { lines, stderr, code } = await benchStub('corrupt-body', ...SHORT)
  expect(code).toBe(1)
  expect(JSON.parse(lines[0] ?? '').corrupt).toBeGreaterThan(0)
  expect(stderr).toMatch(/FAILED .*\d+ corrupt; first: .*body/)
})

test('ends with 2 and says how it is called when an option makes no sense', async () => {
  const { lines, stderr, code } = await bench(['--window', '0'])
  expect(code).toBe(2)
  expect(lines).toEqual([])
  expect(stderr).toContain('--window 0: expected an integer from 1')
})
