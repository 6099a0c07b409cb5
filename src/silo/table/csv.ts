// RFC 4180: a header line with the columns' names, then a record for each row. Strict in what it reads: whatever could be
// taken in two ways is an error with its position.
import { Buffer } from 'node:buffer'
import { type Column, columns, type SiloRow } from '../table.ts'
import type { ColumnNames, ReadRow } from './column-names.ts'
import { type OctetText, octetsOf, octetTextOf, octetTextOfOctets, type Position } from './octet-text.ts'

/** UTF-8's byte order mark, as octets. */
const byteOrderMark = '\u00ef\u00bb\u00bf'

interface CsvRecord {
  readonly position: Position
  readonly values: readonly string[]
}

/** @throws SilopathError TABLE_INVALID */
export async function* readCsv(source: OctetText, names: ColumnNames): AsyncGenerator<ReadRow> {
  while (source.text.length < byteOrderMark.length && !source.ended) await source.readOn()
  if (source.text.startsWith(byteOrderMark)) source.at = byteOrderMark.length
  const header = await nextRecord(source)
  if (header === null) throw source.error('there is no header line with the names of the columns')
  const present = header.values.map((name) => names.columnOf(octetsOf(name).toString('utf8').trim()))
  const repeated = names.repeatedIn(present)
  if (repeated !== null) throw source.error(`the header line has column ${repeated} twice`, header.position)
  const missing = names.missingFrom(present)
  if (missing.length > 0) throw source.error(`the header line has no column ${missing.join(', ')}`, header.position)
  for (let record = await nextRecord(source); record !== null; record = await nextRecord(source)) {
    const { values, position } = record
    if (values.length !== present.length)
      throw source.error(`${values.length} fields, where the header line has ${present.length}`, position)
    const fields: Partial<Record<Column, Buffer>> = {}
    for (const [at, column] of present.entries()) if (column !== null) fields[column] = octetsOf(values[at]!)
    yield { position, fields }
  }
}

/** Null: there is none. Empty lines are none either. */
async function nextRecord(source: OctetText): Promise<CsvRecord | null> {
  for (;;) {
    const position = source.position()
    const record = parseRecord(source)
    if (record === null) {
      if (source.ended) return null
      await source.readOn()
      continue
    }
    source.at = record.end
    if (record.values.length > 1 || record.values[0] !== '') return { position, values: record.values }
  }
}

/** The record at `source.at`; null: there is no more, or its end has not been read yet. */
function parseRecord(source: OctetText): { readonly values: readonly string[]; readonly end: number } | null {
  const { text, ended } = source
  const values: string[] = []
  let at = source.at
  if (at === text.length) return null
  for (;;) {
    const value = text[at] === '"' ? quoted(source, at) : unquoted(source, at)
    if (value === null) return null
    values.push(value.text)
    at = value.end
    if (at === text.length) return ended ? { values, end: at } : null
    if (text[at] === ',') at += 1
    else if (text[at] === '\n') return { values, end: at + 1 }
    else if (text.startsWith('\r\n', at)) return { values, end: at + 2 }
    // Half of a CRLF, perhaps.
    else if (text[at] === '\r' && at + 1 === text.length && !ended) return null
    else throw source.error('expected a comma or the end of the line here', source.position(at))
  }
}

interface Value {
  readonly text: string
  readonly end: number
}

function quoted(source: OctetText, start: number): Value | null {
  const { text, ended } = source
  let at = start + 1
  for (;;) {
    const quote = text.indexOf('"', at)
    if (quote < 0) {
      if (ended) throw source.error('this quotation mark is never closed', source.position(start))
      return null
    }
    // The next octet tells whether it is the end.
    if (quote + 1 === text.length && !ended) return null
    if (text[quote + 1] !== '"') return { text: text.slice(start + 1, quote).replaceAll('""', '"'), end: quote + 1 }
    at = quote + 2
  }
}

const special = /[",\r\n]/g

function unquoted(source: OctetText, start: number): Value | null {
  const { text, ended } = source
  special.lastIndex = start
  const end = special.exec(text)?.index ?? text.length
  if (end === text.length && !ended) return null
  if (text[end] === '"')
    throw source.error('a quotation mark in a value that does not begin with one', source.position(end))
  return { text: text.slice(start, end), end }
}

export function csvHeader(names: ColumnNames): string {
  return `${columns.map((column) => csvValue(octetTextOf(names.nameOf(column)))).join(',')}\r\n`
}

/** The row as octets: a body stays what it is. */
export function csvRecord(row: SiloRow): string {
  const values = columns.map((column) => {
    const value = row[column]
    if (value === null) return ''
    return csvValue(Buffer.isBuffer(value) ? octetTextOfOctets(value) : octetTextOf(String(value)))
  })
  return `${values.join(',')}\r\n`
}

function csvValue(value: string): string {
  return /[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value
}
