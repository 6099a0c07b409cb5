import { createRegistry } from '../../src/metrics/exposition.ts'
import { newCounters } from '../support/counters.ts'

/** Sample name → label → its values. */
export type Samples = ReadonlyMap<string, ReadonlyMap<string, ReadonlySet<string>>>

/** Labels that Prometheus itself gives every series. */
const labelsOfTarget = ['instance', 'job']

/** A scrape of two lanes. */
export async function exposition(): Promise<Samples> {
  const samples = new Map<string, Map<string, Set<string>>>()
  const text = await createRegistry(newCounters(2).counters, { version: '1.2.3' }).metrics()
  for (const line of text.split('\n')) {
    const [, name, labels = ''] = /^([a-z]\w*)(?:\{(.*)\})? \S+$/.exec(line) ?? []
    if (name === undefined) continue
    const known = samples.get(name) ?? new Map<string, Set<string>>()
    samples.set(name, known)
    for (const [, label, value] of labels.matchAll(/(\w+)="([^"]*)"/g)) {
      known.set(label!, (known.get(label!) ?? new Set()).add(value!))
    }
  }
  return samples
}

/** What a PromQL expression names: the metrics with their matchers, and the labels it groups by. */
export function namesIn(expr: string) {
  const groups = [...expr.matchAll(/\b(?:by|without) \(([^)]*)\)/g)].flatMap(([, labels]) => labels!.split(/, */))
  const bare = expr.replace(/\b(?:by|without) \([^)]*\)/g, '').replace(/\[[^\]]*\]/g, '')
  const selectors = [...bare.matchAll(/\b([a-z_]\w*)\b(?!\s*\()(?:\{([^}]*)\})?(?![^{]*\})/g)].map(
    ([, metric, matchers = '']) => ({
      metric: metric!,
      matchers: [...matchers.matchAll(/(\w+)(=~|!~|!=|=)"([^"]*)"/g)].map(([, label, operator, value]) => ({
        label: label!,
        values: operator!.endsWith('~') ? value!.split('|') : [value!],
      })),
    }),
  )
  return { groups, selectors }
}

/** What a PromQL expression asks for that is not exposed: metrics, labels, and values of them; or that it asks for nothing. */
export function unknownIn(expr: string, samples: Samples): string[] {
  const { groups, selectors } = namesIn(expr)
  if (selectors.length === 0) return ['no metric']
  return selectors.flatMap(({ metric, matchers }) => {
    const labels = samples.get(metric)
    if (labels === undefined) return [metric]
    const own = (label: string) => !labelsOfTarget.includes(label)
    return [
      ...matchers
        .filter(({ label }) => own(label))
        .flatMap(({ label, values }) =>
          values.filter((value) => !labels.get(label)?.has(value)).map((value) => `${metric}{${label}="${value}"}`),
        ),
      ...groups.filter((label) => own(label) && !labels.has(label)).map((label) => `${metric} by ${label}`),
    ]
  })
}
