import { median } from '../verdict.ts'
import type { Stored } from './database.ts'
import type { SiloLoadResult } from './options.ts'

/** What makes the figures of a scenario worthless, in words; empty when everything came once, whole and in order. */
export const siloFailuresOf = ({ completed, lost, duplicate, reordered, failed }: SiloLoadResult): string[] => {
  const failures = wordsOf([
    [lost, 'lost'],
    [duplicate, 'duplicate'],
    [reordered, 'out of order'],
    [failed, 'failed'],
  ])
  return completed === 0 ? ['nothing was completed while it was measured', ...failures] : failures
}

/** What is wrong with the store after a run; empty when it has what was answered 202, and nothing else. */
export const storedFailuresOf = ({ missing, excess }: Stored): string[] =>
  wordsOf([
    [missing, 'answered 202 and not in the store'],
    [excess, 'in the store and not answered 202, or delivered, or there twice'],
  ])

const wordsOf = (counts: readonly (readonly [count: number, what: string])[]): string[] =>
  counts.filter(([count]) => count > 0).map(([count, what]) => `${count} ${what}`)

const FIGURES = [
  'completed_per_second',
  'cpu_us_per_operation',
  'cpu_user_us_per_operation',
  'cpu_sys_us_per_operation',
  'rss_mib',
  'rss_anon_mib',
  'generator_cpu_us_per_operation',
] as const

/** The median of every figure over several runs of one scenario, each figure on its own. */
export const siloMediansOf = (results: readonly SiloLoadResult[]): object => {
  const figures = FIGURES.map((name) => [name, median(results.map((result) => result[name]))])
  const latencies = (['p50', 'p99', 'p99_9', 'max'] as const).map((name) => [
    name,
    median(results.map(({ latency_ms }) => latency_ms[name])),
  ])
  return { ...Object.fromEntries(figures), latency_ms: Object.fromEntries(latencies) }
}
