import { median } from '../verdict.ts'
import type { SipLoadResult } from './options.ts'

/** What makes the figures worthless, in words; empty when every request was answered, and delivered once, as sent. */
export const sipFailuresOf = ({ completed, lost, duplicate, failed }: SipLoadResult): string[] => {
  const counts: readonly (readonly [count: number, what: string])[] = [
    [lost, 'lost'],
    [duplicate, 'duplicate'],
    [failed, 'failed'],
  ]
  const failures = counts.filter(([count]) => count > 0).map(([count, what]) => `${count} ${what}`)
  return completed === 0 ? ['nothing was completed while it was measured', ...failures] : failures
}

const FIGURES = [
  'completed_per_second',
  'cpu_us_per_operation',
  'cpu_user_us_per_operation',
  'cpu_sys_us_per_operation',
  'rss_mib',
  'generator_cpu_us_per_operation',
] as const

/** The median of every figure over several runs of one scenario, each figure on its own; null where a run has none. */
export const sipMediansOf = (results: readonly SipLoadResult[]): object => {
  const figures = FIGURES.map((name) => {
    const values = results.map((result) => result[name]).filter((value) => value !== null)
    return [name, values.length === 0 ? null : median(values)]
  })
  const latencies = (['p50', 'p99', 'p99_9', 'max'] as const).map((name) => [
    name,
    median(results.map(({ latency_ms }) => latency_ms[name])),
  ])
  return { ...Object.fromEntries(figures), latency_ms: Object.fromEntries(latencies) }
}
