import { counterFamilies } from './counters.ts'
import type { CounterFamily } from './family.ts'

/** docs/metrics.md: every metric of `counterFamilies`, as a table. */
export function renderMetricsDoc(): string {
  return `# Metrics

Generated from \`src/metrics/families\` by \`npm run docs\`. \`GET /metrics\` on the admin address serves them for Prometheus.

Units stand in the name: octets, seconds, records, or a total of events. No label ever holds a user, a session or a call,
so the number of series depends only on the number of lanes. Metrics with the label \`lane\` have one series for each lane;
all others are added up over the lanes and the primary thread.

| metric | type | labels | meaning |
|---|---|---|---|
${counterFamilies.map(row).join('\n')}
| \`silopath_build_info\` | gauge | \`version\`, \`node\` | Always 1; the labels say which silopath on which Node. |

Besides these there are the \`process_*\` and \`nodejs_*\` metrics of prom-client under their usual names (CPU, memory, file
descriptors, event loop and garbage collection of the primary thread).
`
}

function row(family: CounterFamily): string {
  return `| \`${family.name}\` | ${family.kind} | ${labelsOf(family)} | ${family.help} |`
}

/** Each label with the values it can take. */
function labelsOf(family: CounterFamily): string {
  const values = new Map<string, Set<string>>()
  for (const labels of Object.values(family.cells)) {
    for (const [label, value] of Object.entries(labels)) {
      values.set(label, (values.get(label) ?? new Set()).add(value))
    }
  }
  const described = [...values].map(([label, set]) => `\`${label}\`: ${[...set].join(', ')}`)
  if (family.series === 'lane') described.push('`lane`: index')
  return described.join('; ') || '–'
}
