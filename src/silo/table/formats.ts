// The formats in which rows of the table come and go.
import type { Buffer } from 'node:buffer'
import type { SiloRow } from '../table.ts'
import type { ColumnNames, ReadRow } from './column-names.ts'
import { csvHeader, csvRecord, readCsv } from './csv.ts'
import { jsonRow, readJson } from './json.ts'
import { OctetText, octetsOf, octetTextOf } from './octet-text.ts'
import { readSql } from './sql-reader.ts'
import { mysql, postgresql, SqlWriter } from './sql-writer.ts'

/** `sql` is written for MySQL and MariaDB, `pgsql` for PostgreSQL; either is read as what it says it is. */
export const tableFormats = ['csv', 'json', 'sql', 'pgsql'] as const
export type TableFormat = (typeof tableFormats)[number]

export interface TableLayout {
  readonly format: TableFormat
  readonly names: ColumnNames
  /** Name of the table, in SQL. */
  readonly table: string
}

/**
 * The rows of a file, one by one: no more than a row of it is held.
 * @param file what the file is called in errors
 * @throws SilopathError TABLE_INVALID, with the position
 */
export async function* readTable(
  file: string,
  pieces: AsyncIterable<Uint8Array>,
  { format, names, table }: TableLayout,
): AsyncGenerator<ReadRow> {
  const source = new OctetText(file, pieces)
  try {
    if (format === 'csv') yield* readCsv(source, names)
    else if (format === 'json') yield* readJson(source, names)
    else yield* readSql(source, names, table)
  } finally {
    await source.close()
  }
}

/** The octets of a file with these rows. SQL has their ids only `withId`. */
export async function* writeTable(
  rows: AsyncIterable<SiloRow>,
  { format, names, table, withId }: TableLayout & { readonly withId: boolean },
): AsyncGenerator<Buffer> {
  const writer: TableWriter =
    format === 'csv'
      ? { begin: () => csvHeader(names), row: csvRecord, end: () => '' }
      : format === 'json'
        ? jsonWriter(names)
        : new SqlWriter(format === 'sql' ? mysql : postgresql, names, { table, withId })
  yield octetsOf(writer.begin())
  for await (const row of rows) yield octetsOf(writer.row(row))
  yield octetsOf(writer.end())
}

/** What is written, as text of octets. */
interface TableWriter {
  begin(): string
  row(row: SiloRow): string
  end(): string
}

/** An array, with a line for each row. */
function jsonWriter(names: ColumnNames): TableWriter {
  let before = '\n'
  return {
    begin: () => '[',
    row: (row) => {
      const line = before + octetTextOf(jsonRow(row, names))
      before = ',\n'
      return line
    },
    end: () => '\n]\n',
  }
}
