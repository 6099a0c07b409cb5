// The relay benchmark: a relay in one process, the load generator in another, one line of JSON for each run.
// Method and reading: bench/README.md.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpus } from 'node:os'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { SilopathError } from '../src/errors.ts'
import { type BenchOptions, benchOptions } from './load/arguments.ts'
import type { IdleResult, Job, LoadResult, Target } from './load/options.ts'
import { startRelay } from './load/relay-process.ts'
import { failuresOf, mediansOf } from './load/verdict.ts'

const GENERATOR = fileURLToPath(new URL('load/generator.ts', import.meta.url))
/** Seconds: by then a garbage collector that has nothing else to do has given back what it can. */
const IDLE_SETTLE = 30
const IDLE_SOON = 2

const machine = { node: process.version, cpu_model: cpus()[0]?.model ?? 'unknown' }

/** Ends the generator, whereupon the relay is stopped as after any failure: no process stays behind. */
const interrupted = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => interrupted.abort())

const runGenerator = async (job: Job): Promise<string> => {
  const child = spawn(process.execPath, [GENERATOR], {
    stdio: ['pipe', 'pipe', 'inherit'],
    signal: interrupted.signal,
  })
  child.stdin.end(JSON.stringify(job))
  const [output, [code]] = await Promise.all([text(child.stdout), once(child, 'exit')])
  if (code !== 0) throw new Error('the load generator failed; it says why above')
  return output
}

/** Does `work` on the relay that is there, or on one that lives just as long as the work. */
const onRelay = async <Value>(
  { connect, load, idle }: BenchOptions,
  workers: number,
  work: (target: Target) => Promise<Value>,
): Promise<Value> => {
  if (connect !== null) return work(connect)
  const connections = idle > 0 ? idle : 2 * load.pairs
  const relay = await startRelay({
    workers,
    connections,
    sessions: connections,
    transactions: 2 * load.pairs * load.window,
  })
  try {
    return await work(relay.target)
  } finally {
    await relay.stop()
  }
}

const runOnce = async (options: BenchOptions, workers: number): Promise<LoadResult> => {
  const output = await onRelay(options, workers, (target) => runGenerator({ load: { ...options.load, target } }))
  const result: LoadResult = JSON.parse(output)
  print({ workers: options.connect === null ? workers : null, ...result, ...machine })
  return result
}

const runIdle = async (options: BenchOptions, workers: number): Promise<void> => {
  const output = await onRelay(options, workers, (target) =>
    runGenerator({ idle: { target, sessions: options.idle, settle: IDLE_SETTLE, soon: IDLE_SOON } }),
  )
  const result: IdleResult = JSON.parse(output)
  print({ workers: options.connect === null ? workers : null, ...result, ...machine })
}

const print = (line: object): void => {
  process.stdout.write(`${JSON.stringify(line)}\n`)
}

const summary = (workers: string, result: LoadResult): string => {
  const { frames_per_second, cpu_us_per_frame, latency_ms } = result
  const cpu = cpu_us_per_frame === null ? '' : `${cpu_us_per_frame} µs CPU a frame, `
  return `${workers}: ${frames_per_second} frames/s, ${cpu}p50 ${latency_ms.p50} ms, p99 ${latency_ms.p99} ms\n`
}

/** @returns whether every run was free of faults */
const runAll = async (options: BenchOptions): Promise<boolean> => {
  const series = (options.connect === null ? options.workers : [0]).map((workers) => ({
    workers,
    name: options.connect === null ? `workers ${workers}` : 'running relay',
    results: [] as LoadResult[],
  }))
  let isClean = true
  // Round by round, so that a machine that slows down or speeds up does so for every value of workers.
  for (let run = 0; run < options.runs; run++) {
    for (const { workers, name, results } of series) {
      if (options.idle > 0) {
        if (!options.json) process.stderr.write(`${name}: idle for ${IDLE_SETTLE} s, without sessions and with them\n`)
        await runIdle(options, workers)
        continue
      }
      const result = await runOnce(options, workers)
      results.push(result)
      if (!options.json) process.stderr.write(summary(name, result))
      const failures = failuresOf(result)
      if (failures.length === 0) continue
      isClean = false
      const first = result.first_fault === null ? '' : `; first: ${result.first_fault}`
      process.stderr.write(`FAILED (${name}): ${failures.join(', ')}${first}\n`)
    }
  }
  if (options.runs > 1 && options.idle === 0) {
    for (const { workers, results } of series) {
      print({ workers: options.connect === null ? workers : null, runs: results.length, median: mediansOf(results) })
    }
  }
  return isClean
}

try {
  process.exitCode = (await runAll(benchOptions(process.argv.slice(2), process.env))) ? 0 : 1
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : error}\n`)
  process.exitCode = error instanceof SilopathError && error.code === 'CONFIG_INVALID' ? 2 : 1
}
