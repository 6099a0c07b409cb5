import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { SilopathError } from '../../src/errors.ts'
import type { Target } from './options.ts'
import { randomIdent } from './sequence.ts'

const CLI = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))
const USER = 'load'
const READY_WITHIN_MS = 20_000
const STOPPED_WITHIN_MS = 10_000

/** How large the relay has to be for a run. */
export interface Sizing {
  readonly workers: number
  readonly connections: number
  readonly sessions: number
  /** Forwarded chunks whose response is awaited, at most. */
  readonly transactions: number
}

export interface RelayProcess {
  readonly target: Target
  /** Ends the process and removes its files. */
  stop(): Promise<void>
}

// Head room over what the run needs, within what the config allows (docs/config.md) and never under its defaults.
const tableSize = (needed: number): number => Math.min(1_048_576, Math.max(65_536, 2 * needed))

const configOf = (sizing: Sizing, dataDir: string, password: string): object => ({
  data_dir: dataDir,
  workers: sizing.workers,
  max_connections: tableSize(sizing.connections),
  listen: [{ url: 'msrp://127.0.0.1:0' }],
  auth: { users: [{ username: USER, password }] },
  msrp: {
    allow_plaintext_auth: true,
    max_sessions: tableSize(sizing.sessions),
    max_transactions: tableSize(sizing.transactions),
  },
  admin: { listen: '127.0.0.1:0' },
  log: { level: 'warn' },
})

/** Starts the server as a process of its own on loopback ports of its own, and waits until it accepts. */
export const startRelay = async (sizing: Sizing): Promise<RelayProcess> => {
  const folder = await mkdtemp(join(tmpdir(), 'silopath-bench-'))
  const password = randomIdent(24)
  const config = join(folder, 'relay.yaml')
  // JSON is YAML. Mode 600: there is a password in it.
  await writeFile(config, JSON.stringify(configOf(sizing, join(folder, 'data'), password)), { mode: 0o600 })
  // The flag that `npm start` gives.
  const args = ['--max-semi-space-size=4', CLI, 'run', '--config', config]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  const stop = async (): Promise<void> => {
    await stopChild(child)
    await rm(folder, { recursive: true, force: true })
  }
  try {
    const { host, port } = await readyAddress(child)
    const target: Target = { host, port, pid: child.pid ?? null, user: USER, password }
    return { target, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

/** Waits for `ready msrp://127.0.0.1:40123 admin http://…` on the server's standard output. */
const readyAddress = async (child: ChildProcess): Promise<{ host: string; port: number }> => {
  const { stdout } = child
  if (stdout === null) throw new Error('the server was started without a pipe')
  return new Promise((resolve, reject) => {
    const fail = (why: string): void => {
      clearTimeout(timer)
      reject(new SilopathError('LISTEN_FAILED', `the relay ${why}. Remedy: see what it wrote above.`))
    }
    const timer = setTimeout(() => fail(`was not ready within ${READY_WITHIN_MS / 1000} s`), READY_WITHIN_MS)
    child.once('error', (error) => fail(`could not be started: ${error.message}`))
    child.once('exit', (code, signal) => fail(`ended with ${signal ?? `code ${code}`} before it was ready`))
    let output = ''
    stdout.setEncoding('utf8').on('data', (data: string) => {
      output += data
      const [, host, port] = /^ready .*?\bmsrp:\/\/([^\s:]+):(\d+).*\n/m.exec(output) ?? []
      if (host === undefined || port === undefined) return
      clearTimeout(timer)
      child.removeAllListeners('exit')
      // Whatever it still prints must not fill the pipe.
      stdout.removeAllListeners('data').resume()
      resolve({ host, port: Number(port) })
    })
  })
}

const stopChild = async (child: ChildProcess): Promise<void> => {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  child.kill('SIGTERM')
  const timeout = new AbortController()
  const late = sleep(STOPPED_WITHIN_MS, 'late', { signal: timeout.signal }).catch(() => 'stopped')
  if ((await Promise.race([exited, late])) === 'late') {
    process.stderr.write(`the relay did not end within ${STOPPED_WITHIN_MS / 1000} s of SIGTERM and is killed\n`)
    child.kill('SIGKILL')
    await exited
  }
  timeout.abort()
}
