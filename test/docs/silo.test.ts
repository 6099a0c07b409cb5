import { expect, test } from 'vitest'
import { siloKeys } from '../../src/config/silo-keys.ts'
import { counterFamilies } from '../../src/metrics/counters.ts'
import { compileText, type VariableName } from '../../src/routing/pseudo-variables.ts'
import { zoneOf } from '../../src/silo/dates.ts'
import { columnParameters } from '../../src/silo/table.ts'
import { messageVariables } from '../../src/silo/variables.ts'
import { textOf } from './files.ts'

const document = textOf('docs/silo.md')

/** Rows of the table under a heading, cell by cell. */
function tableOf(heading: string): string[][] {
  const section = document.split(/^(?=#+ )/m).find((text) => text.startsWith(`${heading}\n`)) ?? ''
  const rows = [...section.matchAll(/^\| (.*) \|$/gm)].map(([, row = '']) => row.split(' | '))
  return rows.slice(1)
}

/** Names that a text has in code spans. */
function namesIn(text = '', pattern = /`\$(\w+)[`(]/g): string[] {
  return [...text.matchAll(pattern)].map(([, name = '']) => name)
}

test('the table of pseudo-variables has all there are, and says which a stored message has', () => {
  const refused = compileText('$none')
  const [, all = ''] = /there are (.*)$/.exec(refused.ok ? '' : refused.error.message) ?? []
  const rows = tableOf('### Pseudo-variables')
  expect(rows.flatMap(([names]) => namesIn(names)).sort()).toEqual(all.split(' ').sort())

  const message = {
    owner: 'sip:bob@example.org',
    srcAddr: 'sip:alice@example.org',
    dstAddr: 'sip:bob@example.org',
    contentType: 'text/plain',
    body: Buffer.from('hi'),
    incTime: 1,
    expTime: 2,
    sndTime: 0,
    extraHeaders: '',
    callId: 'c1',
    messageId: 'm1',
  }
  const of = messageVariables(message, [['Subject', 'lunch']], zoneOf('utc'))
  const given = (name: string) =>
    name === 'hdr' ? of.header('Subject') : name === 'avp' ? of.avp('x') : of.variable(name as VariableName)
  for (const [names, , stored] of rows)
    for (const name of namesIn(names)) expect(given(name) !== null, `$${name}`).toBe(stored !== '–')
})

test("the table of MSILO's parameters names all keys that are MSILO's, and those of its table (SILO-50)", () => {
  const ours = Object.entries(siloKeys.def.innerType.shape)
    .filter(([, key]) => (key.meta() as { kamailio?: string } | undefined)?.kamailio?.endsWith('(msilo)'))
    .map(([name]) => name)
  expect(ours.length).toBeGreaterThan(15)
  const named = tableOf('### Parameters').flatMap(([names]) => namesIn(names, /`(\w+)`/g))
  expect(named.sort()).toEqual([...ours, 'db_url', 'db_table', ...Object.keys(columnParameters)].sort())
})

test('every metric of the silo that the document names is exposed, with the values of its labels', () => {
  const named = [...document.matchAll(/`(silopath_\w+?)(?:\{(\w+)="(\w+)"\})?`/g)].filter(
    ([, name]) => !name?.endsWith('_'),
  )
  expect(named.length).toBeGreaterThan(10)
  for (const [text, name, label, value] of named) {
    const family = counterFamilies.find((one) => one.name === name)
    expect(
      counterFamilies.map((one) => one.name),
      text,
    ).toContain(name)
    if (label === undefined) continue
    const values = Object.values(family!.cells).map((labels: Readonly<Record<string, string>>) => labels[label])
    expect(values, text).toContain(value)
  }
})
