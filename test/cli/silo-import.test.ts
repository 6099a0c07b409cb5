import { PassThrough } from 'node:stream'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { importTable } from '../../src/cli/silo-import.ts'
import type { Surroundings } from '../../src/cli/surroundings.ts'
import { ColumnNames } from '../../src/silo/table/column-names.ts'
import { bobsRow, written } from '../silo/support/table-rows.ts'
import { SiloAdminServer } from '../support/silo-admin.ts'

let server: SiloAdminServer
let told: string
let waits: number[]
/** What happens when the command waits. */
let onWait: () => void
let now: number

beforeEach(async () => {
  server = new SiloAdminServer()
  await server.start()
  told = ''
  waits = []
  onWait = () => {}
  now = Date.now()
})
afterEach(() => server.close())

async function importRows(users: readonly string[], { skip = 0, bodyOctets = 5 } = {}) {
  const rows = users.map((username, n) => ({
    ...bobsRow,
    id: null,
    exp_time: 32_000_000_000,
    username,
    body: Buffer.from(String(n).padEnd(bodyOctets)),
  }))
  const file = await written(rows, 'csv')
  const surroundings: Surroundings = {
    stdin: (async function* () {
      yield file
    })(),
    stdout: new PassThrough(),
    clock: { now: () => now },
    tell: (text) => void (told += text),
    wait: async (milliseconds) => {
      waits.push(milliseconds)
      onWait()
    },
  }
  const layout = { format: 'csv', names: new ColumnNames(), table: 'silo' } as const
  return importTable(new URL(server.url), { file: '-', layout, skip, dryRun: false }, surroundings)
}

const bodiesOf = (user: string) =>
  server.store
    .list({ owner: `sip:${user}@example.org`, dead: false, after: null, limit: 9_999 })
    .map(({ message }) => Number(Buffer.from(message.body).toString()))

test('more rows than go at once are stored in their order', async () => {
  const users = Array.from({ length: 1_203 }, (_, n) => `u${n % 2}`)
  expect(await importRows(users)).toEqual({ summary: '1203 rows: 1203 stored\n', refused: 0 })
  for (const parity of [0, 1])
    expect(bodiesOf(`u${parity}`)).toEqual(users.flatMap((_, n) => (n % 2 === parity ? [n] : [])))
})

test('rows larger than what goes at once are stored, up to the limit of the API', async () => {
  expect(await importRows(['c', 'c', 'c'], { bodyOctets: 300_000 })).toMatchObject({ refused: 0 })
  expect(bodiesOf('c')).toEqual([0, 1, 2])
  expect(await importRows(['d'], { bodyOctets: 17 * 2 ** 20 })).toEqual({
    summary: '1 rows: 0 stored, 1 malformed\n',
    refused: 1,
  })
  expect(told).toBe('stdin:2:1: not imported: it has more than 16777216 octets\n')
})

test('what the server cannot store now is sent again later, in the same order', async () => {
  server.store.putFailure = 'overloaded'
  onWait = () => {
    if (waits.length === 2) server.store.putFailure = null
  }
  expect(await importRows(['c', 'd', 'c'])).toEqual({ summary: '3 rows: 3 stored\n', refused: 0 })
  expect(waits).toEqual([100, 300])
  expect(bodiesOf('c')).toEqual([0, 2])
})

test('when the server stores no more, it says how to go on', async () => {
  const put = server.store.put.bind(server.store)
  server.store.put = (message) =>
    message.owner === 'sip:broken@example.org' ? Promise.resolve({ ok: false, error: 'unavailable' }) : put(message)
  const users = [...Array.from({ length: 501 }, () => 'c'), 'broken', 'c']
  await expect(importRows(users)).rejects.toMatchObject({
    code: 'IMPORT_INCOMPLETE',
    message:
      'stdin:503:1: stopped at row 502: the disk failed, see the log of the server. 502 rows are stored. ' +
      'Go on with --skip 501: what is stored twice has the same Message-ID.',
  })
  expect(waits).toEqual([100, 300, 1_000, 3_000, 10_000])
  server.store.put = put
  expect(await importRows(users, { skip: 501 })).toEqual({ summary: '2 rows: 2 stored\n', refused: 0 })
  expect(bodiesOf('broken')).toEqual([501])
})

test('when the server has gone, it says how to go on', async () => {
  await server.close()
  await expect(importRows(['c'])).rejects.toMatchObject({
    code: 'IMPORT_INCOMPLETE',
    message: expect.stringMatching(/^stdin:2:1: stopped at row 1: .* 0 rows are stored\. Go on with --skip 0: /),
  })
})

test('of many problems the first 20 are told, and how many more there are', async () => {
  expect(await importRows(Array.from({ length: 25 }, () => ''))).toMatchObject({ refused: 25 })
  expect(told.trimEnd().split('\n')).toHaveLength(21)
  expect(told).toMatch(/\n5 more are not imported\n$/)
})

test('long work says how far it has come', async () => {
  const put = server.store.put.bind(server.store)
  server.store.put = (message) => {
    now += 5
    return put(message)
  }
  await importRows(Array.from({ length: 1_000 }, () => 'c'))
  expect(told).toBe('500 rows …\n1000 rows …\n')
})
