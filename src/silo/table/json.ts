// An array of objects, or objects that follow one another (NDJSON): one for each row, with the columns as keys. A body
// that is not UTF-8 is an object: { "base64": "…" }.
import { Buffer, isUtf8 } from 'node:buffer'
import { type Column, columns, type Fields, type SiloRow } from '../table.ts'
import type { ColumnNames, ReadRow } from './column-names.ts'
import { type OctetText, octetsOf } from './octet-text.ts'

/** @throws SilopathError TABLE_INVALID */
export async function* readJson(source: OctetText, names: ColumnNames): AsyncGenerator<ReadRow> {
  let inArray = false
  let first = true
  let beyond = false
  for (;;) {
    const next = await nextCharacter(source)
    if (next === '') {
      if (inArray) throw source.error('the list is never closed')
      return
    }
    if (beyond) throw source.error('nothing may follow the list')
    if (next === '[' && first && !inArray) {
      inArray = true
      source.at += 1
    } else if (next === ']' && inArray) {
      inArray = false
      beyond = true
      source.at += 1
    } else if (next === ',' && inArray && !first) {
      source.at += 1
      if ((await nextCharacter(source)) !== '{') throw source.error('expected an object here')
      yield await nextObject(source, names)
    } else if (next === '{' && (first || !inArray)) {
      first = false
      yield await nextObject(source, names)
    } else throw source.error(first || !inArray ? 'expected an object here' : 'expected a comma or ] here')
  }
}

const space = /[^ \t\r\n]/g

/** Skips white space; empty at the end. */
async function nextCharacter(source: OctetText): Promise<string> {
  for (;;) {
    space.lastIndex = source.at
    const found = space.exec(source.text)
    source.at = found?.index ?? source.text.length
    if (found !== null || source.ended) return found?.[0] ?? ''
    await source.readOn()
  }
}

async function nextObject(source: OctetText, names: ColumnNames): Promise<ReadRow> {
  const position = source.position()
  for (;;) {
    const end = objectEnd(source)
    if (end !== null) {
      const text = source.text.slice(source.at, end)
      source.at = end
      const fields = fieldsOfJson(octetsOf(text), names)
      if (typeof fields === 'string') throw source.error(fields, position)
      return { position, fields }
    }
    if (source.ended) throw source.error('this object is never closed', position)
    await source.readOn()
  }
}

/** Behind the brace that closes the one at `source.at`; null: it has not been read yet. */
function objectEnd({ text, at }: OctetText): number | null {
  const marks = /["{}]/g
  marks.lastIndex = at
  let depth = 0
  for (let mark = marks.exec(text); mark !== null; mark = marks.exec(text)) {
    if (mark[0] === '{') depth += 1
    else if (mark[0] === '}') depth -= 1
    else {
      const end = stringEnd(text, mark.index + 1)
      if (end === null) return null
      marks.lastIndex = end
    }
    if (depth === 0) return marks.lastIndex
  }
  return null
}

function stringEnd(text: string, start: number): number | null {
  const marks = /["\\]/g
  marks.lastIndex = start
  for (let mark = marks.exec(text); mark !== null; mark = marks.exec(text)) {
    if (mark[0] === '"') return marks.lastIndex
    marks.lastIndex += 1
  }
  return null
}

/** The values of one row as JSON, or what is wrong with it. */
export function fieldsOfJson(octets: Buffer, names: ColumnNames): Fields | string {
  if (!isUtf8(octets)) return 'this object is not UTF-8'
  let value: unknown
  try {
    value = JSON.parse(octets.toString('utf8'))
  } catch {
    return 'this is no JSON object'
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return 'this is no JSON object'
  const fields: Partial<Record<Column, Buffer | null>> = {}
  for (const [name, content] of Object.entries(value)) {
    const column = names.columnOf(name)
    if (column === null) continue
    if (fields[column] !== undefined) return `column ${names.nameOf(column)} is there twice`
    const octets = valueOctets(content)
    if (octets === undefined) return `${name} is neither text nor a number, nor null, nor {"base64": text}`
    fields[column] = octets
  }
  const missing = names.missingFrom(columns.filter((column) => fields[column] !== undefined))
  return missing.length > 0 ? `this object has no ${missing.join(', ')}` : fields
}

function valueOctets(value: unknown): Buffer | null | undefined {
  if (value === null) return null
  if (typeof value === 'string') return Buffer.from(value, 'utf8')
  if (typeof value === 'number') return Buffer.from(String(value))
  if (typeof value !== 'object' || !('base64' in value) || typeof value.base64 !== 'string') return undefined
  const octets = Buffer.from(value.base64, 'base64')
  // Octets that are no base64 are skipped by the decoder, not refused.
  return octets.toString('base64') === value.base64 ? octets : undefined
}

/** A body as JSON has it. */
export function jsonBody(body: Buffer): string | { readonly base64: string } {
  return isUtf8(body) ? body.toString('utf8') : { base64: body.toString('base64') }
}

/** The row as a JSON object on one line, without a line end. */
export function jsonRow(row: SiloRow, names: ColumnNames): string {
  const object: Record<string, unknown> = {}
  for (const column of columns) object[names.nameOf(column)] = column === 'body' ? jsonBody(row.body) : row[column]
  return JSON.stringify(object)
}
