// INSERTs for the table. The id is left out unless its column is named: the table numbers its rows itself, and may have
// rows with these numbers.
import { Buffer } from 'node:buffer'
import { type Column, columns, type SiloRow } from '../table.ts'
import type { ColumnNames } from './column-names.ts'
import { octetTextOf } from './octet-text.ts'

export interface SqlDialect {
  /** What has to be said before the first INSERT. */
  readonly preamble: string
  name(name: string): string
  string(text: string): string
  octets(octets: Buffer): string
}

/** MySQL and MariaDB. */
export const mysql: SqlDialect = {
  preamble: 'SET NAMES utf8mb4;\n',
  name: (name) => `\`${name.replaceAll('`', '``')}\``,
  string: (text) => `'${text.replace(/['\\\0\n\r\u001a]/g, (character) => mysqlEscapes[character]!)}'`,
  octets: (octets) => `X'${octets.toString('hex')}'`,
}

const mysqlEscapes: Readonly<Record<string, string>> = {
  "'": "''",
  '\\': '\\\\',
  '\0': '\\0',
  '\n': '\\n',
  '\r': '\\r',
  '\u001a': '\\Z',
}

export const postgresql: SqlDialect = {
  preamble: "SET client_encoding = 'UTF8';\nSET standard_conforming_strings = on;\n",
  name: (name) => `"${name.replaceAll('"', '""')}"`,
  string: (text) =>
    /[\\\n\r]/.test(text)
      ? `E'${text.replace(/['\\\n\r]/g, (character) => postgresqlEscapes[character]!)}'`
      : `'${text.replaceAll("'", "''")}'`,
  octets: (octets) => `'\\x${octets.toString('hex')}'`,
}

const postgresqlEscapes: Readonly<Record<string, string>> = { "'": "''", '\\': '\\\\', '\n': '\\n', '\r': '\\r' }

/** Rows of one INSERT: few enough for every server's limit on a statement, many enough to be fast. */
const rowsOfInsert = 100

/** Writes rows one after the other; `end` closes the last statement. */
export class SqlWriter {
  readonly #dialect: SqlDialect
  readonly #columns: readonly Column[]
  readonly #insert: string
  /** Rows of the statement that is open. */
  #rows = 0

  constructor(dialect: SqlDialect, names: ColumnNames, options: { readonly table: string; readonly withId: boolean }) {
    this.#dialect = dialect
    this.#columns = columns.filter((column) => column !== 'id' || options.withId)
    const list = this.#columns.map((column) => dialect.name(names.nameOf(column))).join(', ')
    this.#insert = octetTextOf(`INSERT INTO ${dialect.name(options.table)} (${list}) VALUES\n`)
  }

  begin(): string {
    return this.#dialect.preamble
  }

  row(row: SiloRow): string {
    const before = this.#rows === 0 ? this.#insert : ',\n'
    this.#rows += 1
    const values = `${before}(${this.#columns.map((column) => this.#value(row[column])).join(', ')})`
    return this.#rows < rowsOfInsert ? values : values + this.end()
  }

  end(): string {
    if (this.#rows === 0) return ''
    this.#rows = 0
    return ';\n'
  }

  #value(value: SiloRow[Column]): string {
    if (value === null) return 'NULL'
    if (typeof value === 'number') return String(value)
    return Buffer.isBuffer(value) ? this.#dialect.octets(value) : octetTextOf(this.#dialect.string(value))
  }
}
