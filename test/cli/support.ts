import { spawn } from 'node:child_process'
import { resolve } from 'node:path'

const main = resolve(import.meta.dirname, '../../src/cli/main.ts')

/** What a finished `silopath` command left. */
export interface Finished {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Runs a `silopath` command as its users do: in a process of its own. */
export async function silopath(args: readonly string[], cwd?: string): Promise<Finished> {
  const child = spawn(process.execPath, [main, ...args], { cwd, stdio: ['ignore', 'pipe', 'pipe'] })
  const [stdout, stderr, code] = await Promise.all([
    child.stdout.setEncoding('utf8').toArray(),
    child.stderr.setEncoding('utf8').toArray(),
    new Promise<number | null>((done) => child.on('close', done)),
  ])
  return { code, stdout: stdout.join(''), stderr: stderr.join('') }
}
