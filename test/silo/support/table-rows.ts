import fc from 'fast-check'
import { ColumnNames } from '../../../src/silo/table/column-names.ts'
import { readTable, type TableFormat, writeTable } from '../../../src/silo/table/formats.ts'
import type { SiloRow } from '../../../src/silo/table.ts'

/** A row that was stored on 2026-01-01 at 00:00 UTC, for three days. */
export const bobsRow: SiloRow = {
  id: 7,
  src_addr: 'sip:alice@example.org',
  dst_addr: 'sip:bob@example.org',
  username: 'bob',
  domain: 'example.org',
  inc_time: 1_767_225_600,
  exp_time: 1_767_484_800,
  snd_time: 0,
  ctype: 'text/plain',
  body: Buffer.from('hello'),
  extra_hdrs: '',
  callid: '',
  status: 0,
}

/** Text and octets with whatever the formats give a meaning to. */
const text = fc.string({
  unit: fc.oneof(
    fc.constantFrom(...'\'"\\`,;()\r\n\t\u001a\u0000xXE%_ñ€😀'),
    fc.string({ minLength: 1, maxLength: 1 }),
  ),
})
const plainText = text.map((value) => value.replaceAll('\0', ''))
const octets = fc.oneof(
  text.map((value) => Buffer.from(value, 'utf8')),
  fc.uint8Array({ maxLength: 40 }).map((value) => Buffer.from(value)),
)
const seconds = fc.integer({ min: 0, max: 2 ** 31 - 1 })

/** PostgreSQL's text holds no NUL, and no row that is stored has one but in its body. */
export const anyRow: fc.Arbitrary<SiloRow> = fc.record({
  id: fc.integer({ min: 1, max: 2 ** 40 }),
  src_addr: plainText,
  dst_addr: plainText,
  username: plainText,
  domain: plainText,
  inc_time: seconds,
  exp_time: seconds,
  snd_time: seconds,
  ctype: plainText.map((value) => value || 'text/plain'),
  body: octets,
  extra_hdrs: plainText,
  callid: plainText,
  status: fc.integer({ min: 0, max: 3 }),
})

export async function written(
  rows: readonly SiloRow[],
  format: TableFormat,
  { names = new ColumnNames(), table = 'silo', withId = true } = {},
): Promise<Buffer> {
  return Buffer.concat(await Array.fromAsync(writeTable(asyncOf(rows), { format, names, table, withId })))
}

/** The file's rows with their values as text of octets; the file comes in pieces of so many octets. */
export async function readBack(
  file: string | Buffer,
  format: TableFormat,
  { names = new ColumnNames(), table = 'silo', pieceOctets = 7 } = {},
) {
  const octets = Buffer.from(file)
  const pieces = Array.from({ length: Math.ceil(octets.length / pieceOctets) }, (_, at) =>
    octets.subarray(at * pieceOctets, (at + 1) * pieceOctets),
  )
  return Array.fromAsync(readTable('silo.dump', asyncOf(pieces), { format, names, table }))
}

async function* asyncOf<Value>(values: readonly Value[]): AsyncGenerator<Value> {
  yield* values
}
