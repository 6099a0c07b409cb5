import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { SilopathError } from '../../src/errors.ts'

const CLI = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))
/** What `npm start` gives. */
const ENGINE_FLAGS = ['--max-semi-space-size=4', '--no-parallel-scavenge', '--no-maglev-destroy-on-background']
const READY_WITHIN_MS = 20_000
const STOPPED_WITHIN_MS = 10_000

export interface ServerProcess {
  readonly pid: number | null
  /** What it printed when it was ready, such as `ready msrp://127.0.0.1:40123 admin http://…`. */
  readonly ready: string
  /** Ends the process and removes its files. */
  stop(): Promise<void>
}

/** A server that may not be ready yet. */
export interface LaunchedServer {
  readonly child: ChildProcess
  /** Resolves with the line that it prints when it accepts. @throws SilopathError LISTEN_FAILED when it does not */
  readonly ready: Promise<string>
  /** Resolves with its exit code and the signal that ended it. */
  readonly exited: Promise<readonly [code: number | null, signal: NodeJS.Signals | null]>
}

/**
 * Launches the server with a config file, as an operator would.
 * @param environment variables on top of our own
 */
export const launchServer = (config: string, environment: NodeJS.ProcessEnv = {}): LaunchedServer => {
  const args = [...ENGINE_FLAGS, CLI, 'run', '--config', config]
  const child = spawn(process.execPath, args, {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ...environment },
  })
  const { promise: exited, resolve } = Promise.withResolvers<readonly [number | null, NodeJS.Signals | null]>()
  child.once('exit', (code, signal) => resolve([code, signal]))
  // One that could not be started never exits.
  child.once('error', () => resolve([null, null]))
  return { child, ready: readyLine(child), exited }
}

/**
 * Starts the server as a process of its own, and waits until it accepts.
 * @param configIn the configuration, given the folder for its data
 */
export const startServer = async (configIn: (dataDir: string) => object): Promise<ServerProcess> => {
  const folder = await mkdtemp(join(tmpdir(), 'silopath-bench-'))
  const config = join(folder, 'silopath.yaml')
  // JSON is YAML. Mode 600: there is a password in it.
  await writeFile(config, JSON.stringify(configIn(join(folder, 'data'))), { mode: 0o600 })
  const { child, ready } = launchServer(config)
  const stop = async (): Promise<void> => {
    await stopChild(child)
    await rm(folder, { recursive: true, force: true })
  }
  try {
    return { pid: child.pid ?? null, ready: await ready, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

/** Waits for the line that begins with `ready` on the server's standard output. */
const readyLine = async (child: ChildProcess): Promise<string> => {
  const { stdout } = child
  if (stdout === null) throw new Error('the server was started without a pipe')
  return new Promise((resolve, reject) => {
    const fail = (why: string): void => {
      clearTimeout(timer)
      reject(new SilopathError('LISTEN_FAILED', `the server ${why}. Remedy: see what it wrote above.`))
    }
    const timer = setTimeout(() => fail(`was not ready within ${READY_WITHIN_MS / 1000} s`), READY_WITHIN_MS)
    const ended = (code: number | null, signal: NodeJS.Signals | null): void =>
      fail(`ended with ${signal ?? `code ${code}`} before it was ready`)
    child.once('error', (error) => fail(`could not be started: ${error.message}`))
    child.once('exit', ended)
    let output = ''
    stdout.setEncoding('utf8').on('data', (data: string) => {
      output += data
      const ready = /^ready .*(?=\n)/m.exec(output)?.[0]
      if (ready === undefined) return
      clearTimeout(timer)
      child.removeListener('exit', ended)
      // Whatever it still prints must not fill the pipe.
      stdout.removeAllListeners('data').resume()
      resolve(ready)
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
    process.stderr.write(`the server did not end within ${STOPPED_WITHIN_MS / 1000} s of SIGTERM and is killed\n`)
    child.kill('SIGKILL')
    await exited
  }
  timeout.abort()
}
