import type { LoadResult } from './options.ts'

/** What makes a run's figures worthless, in words; empty when everything that was sent arrived once, whole and in order. */
export const failuresOf = (result: LoadResult): string[] => {
  const counts: readonly (readonly [count: number, what: string])[] = [
    [result.lost, 'lost'],
    [result.corrupt, 'corrupt'],
    [result.reordered, 'out of order'],
    [result.unanswered, 'never answered'],
    [result.bad_responses, 'bad responses'],
    [result.reports, 'REPORTs'],
    [result.closed_connections, 'connections closed by the relay'],
  ]
  const failures = counts.filter(([count]) => count > 0).map(([count, what]) => `${count} ${what}`)
  return result.frames === 0 ? ['nothing arrived while it was measured', ...failures] : failures
}

const FIGURES = [
  'frames_per_second',
  'mb_per_second',
  'cpu_us_per_frame',
  'cpu_user_us_per_frame',
  'cpu_sys_us_per_frame',
  'rss_mib',
  'generator_cpu_us_per_frame',
] as const

/** Of an even number of values, what lies between the middle two; to three digits. */
export const median = (values: readonly number[]): number => {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.slice((sorted.length - 1) >> 1, (sorted.length >> 1) + 1)
  return Number((middle.reduce((sum, value) => sum + value, 0) / middle.length).toFixed(3))
}

/** The median of every figure over several runs, each figure on its own; null where a run has none. */
export const mediansOf = (results: readonly LoadResult[]): object => {
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
