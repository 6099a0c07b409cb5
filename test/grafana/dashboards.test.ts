import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { createRegistry } from '../../src/metrics/exposition.ts'
import { newCounters } from '../support/counters.ts'

interface Panel {
  readonly id: number
  readonly type: string
  readonly title: string
  readonly description?: string
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number }
  readonly datasource?: { readonly uid: string }
  readonly fieldConfig?: { readonly defaults: { readonly unit?: string } }
  readonly targets?: readonly { readonly refId: string; readonly expr: string; readonly legendFormat: string }[]
}

interface Dashboard {
  readonly uid: string
  readonly title: string
  readonly schemaVersion: number
  readonly templating: { readonly list: readonly { readonly name: string; readonly definition?: string }[] }
  readonly panels: readonly Panel[]
}

const root = join(import.meta.dirname, '../../grafana')
const files = readdirSync(join(root, 'dashboards'))
const read = (file: string) => JSON.parse(readFileSync(join(root, 'dashboards', file), 'utf8')) as Dashboard

/** Labels that Prometheus itself gives every series. */
const labelsOfTarget = ['instance', 'job']

/** Sample name → label → its values, in a scrape of two lanes. */
async function exposition(): Promise<Map<string, Map<string, Set<string>>>> {
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
function namesIn(expr: string) {
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

describe.each(files)('the dashboard %s', (file) => {
  const dashboard = read(file)
  const graphs = dashboard.panels.filter(({ type }) => type !== 'row')
  let samples: Map<string, Map<string, Set<string>>>
  beforeAll(async () => {
    samples = await exposition()
  })

  test('has a uid, a title and a schema that Grafana 11 reads', () => {
    expect(dashboard.uid).toMatch(/^[a-z0-9-]+$/)
    expect(dashboard.title).not.toBe('')
    expect(dashboard.schemaVersion).toBeGreaterThanOrEqual(39)
  })

  test('has panels with ids of their own that do not overlap', () => {
    expect(new Set(dashboard.panels.map(({ id }) => id)).size).toBe(dashboard.panels.length)
    const cells = dashboard.panels.flatMap(({ gridPos: { x, y, w, h } }) =>
      Array.from({ length: w * h }, (_, n) => `${x + (n % w)},${y + Math.floor(n / w)}`),
    )
    expect(new Set(cells).size).toBe(cells.length)
    expect(dashboard.panels.every(({ gridPos: { x, w } }) => x + w <= 24)).toBe(true)
  })

  test.each(graphs)('$title: has a title, a description, a unit, the data source variable and queries', (panel) => {
    expect(panel.title).toMatch(/\S/)
    expect(panel.description).toMatch(/\.$/)
    expect(panel.fieldConfig?.defaults.unit).toMatch(/\S/)
    expect(panel.datasource?.uid).toMatch(/^\$\{datasource\}$/)
    const refIds = panel.targets?.map(({ refId }) => refId) ?? []
    expect(refIds.length).toBeGreaterThan(0)
    expect(new Set(refIds).size).toBe(refIds.length)
  })

  test.each(graphs)('$title: queries only metrics, labels and values that are exposed', ({ targets = [] }) => {
    for (const { expr, legendFormat } of targets) {
      const { groups, selectors } = namesIn(expr)
      expect(selectors.length, expr).toBeGreaterThan(0)
      for (const { metric, matchers } of selectors) {
        const labels = samples.get(metric)
        expect(labels, `${metric} in ${expr}`).toBeDefined()
        for (const { label, values } of matchers.filter(({ label }) => !labelsOfTarget.includes(label))) {
          for (const value of values) expect(labels?.get(label), `${label}="${value}" in ${expr}`).toContain(value)
        }
        for (const label of groups.filter((label) => !labelsOfTarget.includes(label))) {
          expect([...(labels?.keys() ?? [])], `by (${label}) in ${expr}`).toContain(label)
        }
      }
      for (const [, label] of legendFormat.matchAll(/\{\{(\w+)\}\}/g)) expect(groups, legendFormat).toContain(label)
    }
  })

  test('asks for the instances by a metric that is exposed', () => {
    for (const { definition } of dashboard.templating.list) {
      const [, metric] = /^label_values\((\w+), instance\)$/.exec(definition ?? '') ?? []
      if (definition !== undefined) expect([...samples.keys()]).toContain(metric)
    }
    expect(dashboard.templating.list.map(({ name }) => name)).toEqual(['datasource', 'instance'])
  })
})

describe('the provisioning', () => {
  const provisioning = (path: string) => parse(readFileSync(join(root, 'provisioning', path), 'utf8'))

  test('has a Prometheus data source and reads dashboards from the folder the README mounts them in', () => {
    expect(provisioning('datasources/prometheus.yaml').datasources).toMatchObject([{ type: 'prometheus' }])
    const { providers } = provisioning('dashboards/silopath.yaml')
    expect(providers).toMatchObject([{ type: 'file' }])
    expect(readFileSync(join(root, 'README.md'), 'utf8')).toContain(`/dashboards:${providers[0].options.path}:ro`)
  })
})
