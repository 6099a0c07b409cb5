// The SIP benchmark: a registrar and proxy in one process, the load generator in another, one line of JSON for each
// run of a scenario. Method and reading: bench/README.md.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpus } from 'node:os'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { SilopathError } from '../src/errors.ts'
import { type SipBenchOptions, sipBenchOptions } from './load/sip/arguments.ts'
import type { SipLoadOptions, SipLoadResult, SipTarget } from './load/sip/options.ts'
import { startSipServer } from './load/sip/sip-server.ts'
import { sipFailuresOf, sipMediansOf } from './load/sip/verdict.ts'

const GENERATOR = fileURLToPath(new URL('load/sip/generator.ts', import.meta.url))

const machine = { node: process.version, cpu_model: cpus()[0]?.model ?? 'unknown' }

/** Ends the generator, whereupon the server is stopped as after any failure: no process stays behind. */
const interrupted = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => interrupted.abort())

const runGenerator = async (options: SipLoadOptions): Promise<SipLoadResult[]> => {
  const child = spawn(process.execPath, [GENERATOR], {
    stdio: ['pipe', 'pipe', 'inherit'],
    signal: interrupted.signal,
  })
  child.stdin.end(JSON.stringify(options))
  const [output, [code]] = await Promise.all([text(child.stdout), once(child, 'exit')])
  if (code !== 0) throw new Error('the load generator failed; it says why above')
  return JSON.parse(output)
}

/** Loads the server that is there, or one that lives just as long as the work. */
const runOnce = async ({ connect, load }: SipBenchOptions, workers: number): Promise<SipLoadResult[]> => {
  const run = (target: SipTarget) => runGenerator({ ...load, target })
  if (connect !== null) return run(connect)
  const server = await startSipServer(workers, load.users, load.digest === 'none')
  try {
    return await run(server.target)
  } finally {
    await server.stop()
  }
}

const print = (line: object): void => {
  process.stdout.write(`${JSON.stringify(line)}\n`)
}

const summary = (server: string, result: SipLoadResult): string => {
  const { scenario, transport, digest, completed_per_second, cpu_us_per_operation, latency_ms } = result
  const cpu = cpu_us_per_operation === null ? '' : `${cpu_us_per_operation} µs CPU each, `
  const what = `${scenario} over ${transport}, digest ${digest}`
  const { p50, p99, p99_9 } = latency_ms
  const faults = `lost ${result.lost}, duplicate ${result.duplicate}, failed ${result.failed}`
  return `${server}: ${what}: ${completed_per_second}/s, ${cpu}p50 ${p50} ms, p99 ${p99} ms, p99.9 ${p99_9} ms, ${faults}\n`
}

/** @returns whether every run was free of faults */
const runAll = async (options: SipBenchOptions): Promise<boolean> => {
  const series = (options.connect === null ? options.workers : [null]).map((workers) => ({
    workers,
    name: workers === null ? 'running server' : `workers ${workers}`,
    results: [] as SipLoadResult[],
  }))
  let isClean = true
  // Round by round, so that a machine that slows down or speeds up does so for every value of workers.
  for (let run = 0; run < options.runs; run++) {
    for (const { workers, name, results } of series) {
      for (const result of await runOnce(options, workers ?? 0)) {
        results.push(result)
        print({ workers, ...result, ...machine })
        if (!options.json) process.stderr.write(summary(name, result))
        const failures = sipFailuresOf(result)
        if (failures.length === 0) continue
        isClean = false
        const first = result.first_fault === null ? '' : `; first: ${result.first_fault}`
        process.stderr.write(`FAILED (${name}, ${result.scenario}): ${failures.join(', ')}${first}\n`)
      }
    }
  }
  if (options.runs === 1) return isClean
  for (const { workers, results } of series) {
    for (const scenario of options.load.scenarios) {
      const ofScenario = results.filter((result) => result.scenario === scenario)
      print({ workers, scenario, runs: ofScenario.length, median: sipMediansOf(ofScenario) })
    }
  }
  return isClean
}

try {
  process.exitCode = (await runAll(sipBenchOptions(process.argv.slice(2), process.env))) ? 0 : 1
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : error}\n`)
  process.exitCode = error instanceof SilopathError && error.code === 'CONFIG_INVALID' ? 2 : 1
}
