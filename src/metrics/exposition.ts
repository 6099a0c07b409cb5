import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import { C, type CounterKey, counterFamilies, type SharedCounters } from './counters.ts'
import type { CounterFamily, Labels } from './family.ts'

/**
 * A registry that holds every metric of `counterFamilies`, read from the shared rows at each scrape, `silopath_build_info`,
 * and the process metrics that prom-client collects under their usual names.
 */
export function createRegistry(counters: SharedCounters, about: { readonly version: string }): Registry {
  const registry = new Registry()
  for (const family of counterFamilies) register(registry, counters, family)
  new Gauge({
    name: 'silopath_build_info',
    help: 'Always 1; the labels say which silopath on which Node.',
    labelNames: ['version', 'node'],
    registers: [registry],
  }).set({ version: about.version, node: process.versions.node }, 1)
  collectDefaultMetrics({ register: registry })
  return registry
}

function register(registry: Registry, counters: SharedCounters, family: CounterFamily): void {
  const { name, help, kind } = family
  const cells = Object.entries(family.cells) as [CounterKey, Labels][]
  if (kind === 'histogram') {
    new SharedHistogram(registry, counters, family)
    return
  }
  const labelNames = [...Object.keys(cells[0]![1]), ...(family.series === 'lane' ? ['lane'] : [])]
  const series = (): Series[] =>
    cells.flatMap(([key, labels]) =>
      family.series === 'sum'
        ? [{ labels, value: counters.sum(key) }]
        : Array.from({ length: counters.lanes }, (_, lane) => ({
            labels: { ...labels, lane: String(lane) },
            value: counters.row(lane)[C[key]]!,
          })),
    )
  if (kind === 'gauge') {
    new Gauge({
      name,
      help,
      labelNames,
      registers: [registry],
      collect() {
        for (const { labels, value } of series()) this.set(labels, value)
      },
    })
    return
  }
  new Counter({
    name,
    help,
    labelNames,
    registers: [registry],
    collect() {
      // The rows hold the totals: prom-client's own sum starts from nothing at every scrape.
      this.reset()
      for (const { labels, value } of series()) this.inc(labels, value)
    },
  })
}

interface Series {
  readonly labels: Record<string, string>
  readonly value: number
}

/**
 * prom-client's histogram counts one observation at a time and has no way to set its buckets; ours are counted in the
 * rows. Both of its ways out, text and JSON, go through this one method, so replacing it is enough.
 */
class SharedHistogram extends Histogram {
  readonly #counters: SharedCounters
  readonly #family: CounterFamily

  constructor(registry: Registry, counters: SharedCounters, family: CounterFamily) {
    super({ name: family.name, help: family.help, registers: [registry] })
    this.#counters = counters
    this.#family = family
  }

  async getForPromString() {
    const { name, help, cells } = this.#family
    let count = 0
    let sum = 0
    const values = []
    for (const [key, labels] of Object.entries(cells) as [CounterKey, Labels][]) {
      const value = this.#counters.sum(key)
      if ('le' in labels)
        values.push({ metricName: `${name}_bucket`, labels, sharedLabels: {}, value: (count += value) })
      else sum = value
    }
    values.push({ metricName: `${name}_sum`, labels: {}, sharedLabels: {}, value: sum })
    // The count is the last bucket: a cell of its own could disagree with the buckets.
    values.push({ metricName: `${name}_count`, labels: {}, sharedLabels: {}, value: count })
    return { name, help, type: 'histogram', aggregator: 'sum', values }
  }
}
