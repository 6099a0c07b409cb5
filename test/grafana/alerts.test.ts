import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { exposition, type Samples, unknownIn } from './queries.ts'

interface Rule {
  readonly alert: string
  readonly expr: string
  readonly for?: string
  readonly labels: { readonly severity: string }
  readonly annotations: { readonly summary: string; readonly description: string }
}

const file = readFileSync(join(import.meta.dirname, '../../grafana/alerts.yaml'), 'utf8')
const { groups } = parse(file) as { groups: readonly { readonly name: string; readonly rules: readonly Rule[] }[] }
const rules = groups.flatMap((group) => group.rules)

describe('the alert rules', () => {
  let samples: Samples
  beforeAll(async () => {
    samples = await exposition()
  })

  test('have names of their own', () => {
    expect(rules.length).toBeGreaterThan(0)
    expect(new Set(rules.map(({ alert }) => alert)).size).toBe(rules.length)
  })

  test.each(rules)('$alert: compares a metric that is exposed, and says what it means', (rule) => {
    expect(rule.alert).toMatch(/^Silopath\w+$/)
    expect(unknownIn(rule.expr, samples)).toEqual([])
    expect(rule.expr).toMatch(/ > \d+$/)
    expect(rule.for ?? '15m').toMatch(/^\d+m$/)
    expect(['warning', 'critical']).toContain(rule.labels.severity)
    expect(rule.annotations.summary).toMatch(/\{\{ \$labels\.instance \}\}.*\.$/)
    expect(rule.annotations.description).toMatch(/\.$/)
  })
})
