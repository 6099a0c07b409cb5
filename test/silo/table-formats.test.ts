import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ColumnNames } from '../../src/silo/table/column-names.ts'
import { tableFormats } from '../../src/silo/table/formats.ts'
import { type Fields, rowOf } from '../../src/silo/table.ts'
import { anyRow, bobsRow, readBack, written } from './support/table-rows.ts'

describe.each(tableFormats)('%s', (format) => {
  test('what is written is read again, octet for octet, in whatever pieces (SILO-51)', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(anyRow, { maxLength: 4 }),
        fc.integer({ min: 1, max: 300 }),
        async (rows, pieceOctets) => {
          const read = await readBack(await written(rows, format), format, { pieceOctets })
          expect(read.map(({ fields }) => rowOf(fields))).toEqual(rows.map((value) => ({ ok: true, value })))
        },
      ),
      { numRuns: 150 },
    )
  })

  test('more rows than one statement has come back in their order', async () => {
    const rows = Array.from({ length: 250 }, (_, id) => ({ ...bobsRow, id }))
    const read = await readBack(await written(rows, format), format, { pieceOctets: 4_000 })
    expect(read.map(({ fields }) => Number(fields.id))).toEqual(rows.map(({ id }) => id))
  })

  test('columns have the names they are given, the others their own (SILO-50)', async () => {
    const names = new ColumnNames({ sc_mid: 'number', sc_body: 'message_body', sc_stored_hdrs: 'say "hi"' })
    const file = await written([bobsRow], format, { names })
    for (const name of ['number', 'message_body', 'ctype']) expect(file.toString()).toContain(name)
    expect(file.toString()).not.toContain('extra_hdrs')
    const [read] = await readBack(file, format, { names })
    expect(rowOf(read!.fields)).toEqual({ ok: true, value: bobsRow })
    await expect(readBack(file, format)).rejects.toThrow(/no (?:column )?body/)
  })

  test('a value that never ends is refused instead of being held', async () => {
    const endless = {
      csv: '"',
      json: '{"body":"',
      sql: "INSERT INTO silo VALUES ('",
      pgsql: "INSERT INTO silo VALUES ('",
    }
    const header = format === 'csv' ? `${(await written([], 'csv')).toString()}` : ''
    const file = Buffer.alloc(100 * 2 ** 20, 'x')
    file.write(header + endless[format])
    const started = readBack(file, format, { pieceOctets: 2 ** 20 })
    await expect(started).rejects.toThrow(/^silo\.dump:[12]:\d+: more than 33554432 octets belong together here$/)
  })
})

test('the id may be called mid, as the manual of the module does (SILO-50)', async () => {
  const file = (await written([bobsRow], 'csv')).toString().replace('id,', 'MID,')
  const [read] = await readBack(file, 'csv')
  expect((read!.fields as Fields).id).toEqual(Buffer.from('7'))
})
