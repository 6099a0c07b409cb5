// The benchmark of the silo: a server in one process, the load generator in another, one line of JSON for each run of a
// scenario, on stores that have so many messages beforehand. Method and reading: bench/README.md.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { SilopathError } from '../src/errors.ts'
import { type SiloBenchOptions, siloBenchOptions } from './load/silo/arguments.ts'
import { compareStored, copyFolder, filledFolder, type Stored } from './load/silo/database.ts'
import type { SiloLoadOptions, SiloLoadReport, SiloLoadResult } from './load/silo/options.ts'
import { startSiloServer } from './load/silo/silo-server.ts'
import { siloFailuresOf, siloMediansOf, storedFailuresOf } from './load/silo/verdict.ts'

const GENERATOR = fileURLToPath(new URL('load/silo/generator.ts', import.meta.url))

const machine = { node: process.version, cpu_model: cpus()[0]?.model ?? 'unknown' }

/** Ends the generator, whereupon the server is stopped as after any failure: no process stays behind. */
const interrupted = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => interrupted.abort())

const runGenerator = async (options: SiloLoadOptions): Promise<SiloLoadReport> => {
  const child = spawn(process.execPath, [GENERATOR], {
    stdio: ['pipe', 'pipe', 'inherit'],
    signal: interrupted.signal,
  })
  child.stdin.end(JSON.stringify(options))
  const [output, [code]] = await Promise.all([text(child.stdout), once(child, 'exit')])
  if (code !== 0) throw new Error('the load generator failed; it says why above')
  return JSON.parse(output)
}

/** Loads a server that lives just as long, and looks at what it leaves in its store. */
const runOnce = async (
  { load }: SiloBenchOptions,
  { workers, stored, filled, dataDir }: { workers: number; stored: number; filled: string; dataDir: string },
): Promise<SiloLoadReport & { readonly left: Stored }> => {
  await rm(dataDir, { recursive: true, force: true })
  try {
    await copyFolder(filled, dataDir)
    const server = await startSiloServer(dataDir, workers, load)
    let report: SiloLoadReport
    try {
      report = await runGenerator({ ...load, target: server.target })
    } finally {
      await server.stop()
    }
    return { ...report, left: await compareStored(dataDir, stored, report.stored) }
  } finally {
    await rm(dataDir, { recursive: true, force: true })
  }
}

const print = (line: object): void => {
  process.stdout.write(`${JSON.stringify(line)}\n`)
}

const summary = (name: string, result: SiloLoadResult): string => {
  const { scenario, window, completed_per_second, cpu_us_per_operation, latency_ms, rss_mib, rss_anon_mib } = result
  const { p50, p99 } = latency_ms
  const cost = `${completed_per_second}/s, ${cpu_us_per_operation} µs CPU each, p50 ${p50} ms, p99 ${p99} ms`
  const faults = `lost ${result.lost}, duplicate ${result.duplicate}, out of order ${result.reordered}, failed ${result.failed}`
  return `${name}: ${scenario}, ${window} at a time: ${cost}, ${rss_mib} MiB (${rss_anon_mib} without files), ${faults}\n`
}

/** @returns whether every run was free of faults */
const runAll = async (options: SiloBenchOptions, parent: string): Promise<boolean> => {
  const series = options.stored.flatMap((stored) =>
    options.workers.map((workers) => ({
      stored,
      workers,
      name: `workers ${workers}, ${stored} stored`,
      results: [] as SiloLoadResult[],
    })),
  )
  let isClean = true
  const fail = (name: string, failures: readonly string[], first: string | null): void => {
    if (failures.length === 0) return
    isClean = false
    process.stderr.write(`FAILED (${name}): ${failures.join(', ')}${first === null ? '' : `; first: ${first}`}\n`)
  }
  // Round by round, so that a machine that slows down or speeds up does so for every series.
  for (let run = 0; run < options.runs; run++) {
    for (const { stored, workers, name, results } of series) {
      const filled = await filledFolder(parent, stored, options.load, interrupted.signal)
      const report = await runOnce(options, { workers, stored, filled, dataDir: join(parent, 'run') })
      const { left } = report
      for (const result of report.results) {
        results.push(result)
        print({ workers, stored, ...result, disk_octets_per_message: left.diskOctetsPerMessage, ...machine })
        if (!options.json) process.stderr.write(summary(name, result))
        fail(`${name}, ${result.scenario}`, siloFailuresOf(result), result.first_fault)
      }
      fail(name, storedFailuresOf(left), null)
      if (options.json) continue
      process.stderr.write(`${name}: ${left.messages} in the end, ${left.diskOctetsPerMessage} octets on disk each\n`)
    }
  }
  if (options.runs === 1) return isClean
  for (const { stored, workers, results } of series) {
    const kinds = Map.groupBy(results, ({ scenario, window }) => `${scenario} ${window}`)
    for (const ofKind of kinds.values()) {
      const { scenario, window } = ofKind[0]!
      print({ workers, stored, scenario, window, runs: ofKind.length, median: siloMediansOf(ofKind) })
    }
  }
  return isClean
}

try {
  const options = siloBenchOptions(process.argv.slice(2))
  const parent = options.dataDir ?? (await mkdtemp(join(tmpdir(), 'silopath-bench-')))
  try {
    await mkdir(parent, { recursive: true })
    process.exitCode = (await runAll(options, parent)) ? 0 : 1
  } finally {
    if (options.dataDir === null) await rm(parent, { recursive: true, force: true })
  }
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : error}\n`)
  process.exitCode = error instanceof SilopathError && error.code === 'CONFIG_INVALID' ? 2 : 1
}
