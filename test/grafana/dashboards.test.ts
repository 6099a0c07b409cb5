import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { exposition, namesIn, type Samples, unknownIn } from './queries.ts'

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

describe.each(files)('the dashboard %s', (file) => {
  const dashboard = read(file)
  const graphs = dashboard.panels.filter(({ type }) => type !== 'row')
  let samples: Samples
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
      const { groups } = namesIn(expr)
      expect(unknownIn(expr, samples), expr).toEqual([])
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
