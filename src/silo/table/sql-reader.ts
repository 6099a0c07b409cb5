// Rows from INSERTs into the table, in a script with whatever else a dump holds.
import { Buffer } from 'node:buffer'
import { type Column, columns, type Fields } from '../table.ts'
import type { ColumnNames, ReadRow } from './column-names.ts'
import { type OctetText, octetsOf, type Position } from './octet-text.ts'
import { type SqlToken, SqlTokens } from './sql-tokens.ts'

/** What begins a definition in CREATE TABLE that is no column's. */
const noColumn = /^(?:primary|unique|key|index|constraint|fulltext|spatial|check|foreign|exclude|like|period)$/i
const hexadecimalBytea = /^\\x((?:[\da-f]{2})*)$/i

/** @throws SilopathError TABLE_INVALID */
export async function* readSql(source: OctetText, names: ColumnNames, table: string): AsyncGenerator<ReadRow> {
  yield* new SqlReader(source, names, table).rows()
}

class SqlReader {
  readonly #tokens: SqlTokens
  readonly #names: ColumnNames
  readonly #table: string
  /** The columns in the order of the table, as CREATE TABLE has told. */
  #order: readonly string[]

  constructor(source: OctetText, names: ColumnNames, table: string) {
    this.#tokens = new SqlTokens(source)
    this.#names = names
    this.#table = table.toLowerCase()
    this.#order = columns.map((column) => names.nameOf(column))
  }

  async *rows(): AsyncGenerator<ReadRow> {
    for (;;) {
      const token = await this.#tokens.next()
      if (token.kind === 'end') return
      const verb = token.kind === 'name' ? token.text.toLowerCase() : token.text
      if (verb === 'insert' || verb === 'replace') yield* this.#insert()
      else if (verb === 'create') await this.#create()
      else if (verb === 'set') await this.#set()
      else if (verb === 'copy')
        throw this.#tokens.error('COPY is not read: make the dump with pg_dump --column-inserts, or export CSV')
      else if (verb !== ';') await this.#toEnd()
    }
  }

  /** INSERT [IGNORE …] [INTO] name [(columns)] VALUES (…), (…) …; */
  async *#insert(): AsyncGenerator<ReadRow> {
    let token = await this.#tokens.next()
    while (isWord(token, /^(?:low_priority|delayed|high_priority|ignore|or|into)$/i)) token = await this.#tokens.next()
    let inserted = nameOf(token)
    if (inserted === null) throw this.#tokens.error('expected the name of a table here')
    for (token = await this.#tokens.next(); isMark(token, '.'); token = await this.#tokens.next())
      inserted = nameOf(await this.#tokens.next()) ?? ''
    if (inserted.toLowerCase() !== this.#table) return this.#toEnd(token)
    let order = this.#order
    const listedAt = this.#tokens.position
    if (isMark(token, '(')) {
      order = await this.#nameList()
      token = await this.#tokens.next()
    }
    if (!isWord(token, /^values?$/i)) throw this.#tokens.error('expected VALUES here')
    const present = this.#present(order, listedAt)
    for (;;) {
      await this.#expect('(')
      const { position } = this.#tokens
      yield { position, fields: await this.#tuple(present, position) }
      token = await this.#tokens.next()
      if (!isMark(token, ',')) return this.#toEnd(token)
    }
  }

  #present(order: readonly string[], position: Position): readonly (Column | null)[] {
    const present = order.map((name) => this.#names.columnOf(octetsOf(name).toString('utf8')))
    const missing = this.#names.missingFrom(present)
    if (missing.length > 0) throw this.#tokens.source.error(`there is no column ${missing.join(', ')}`, position)
    const repeated = this.#names.repeatedIn(present)
    if (repeated !== null) throw this.#tokens.source.error(`column ${repeated} is there twice`, position)
    return present
  }

  async #nameList(): Promise<readonly string[]> {
    const names: string[] = []
    for (;;) {
      const name = nameOf(await this.#tokens.next())
      if (name === null) throw this.#tokens.error('expected the name of a column here')
      names.push(name)
      const token = await this.#tokens.next()
      if (isMark(token, ')')) return names
      if (!isMark(token, ',')) throw this.#tokens.error('expected a comma or ) here')
    }
  }

  /** The values of one row; its opening parenthesis has been read. */
  async #tuple(present: readonly (Column | null)[], position: Position): Promise<Fields> {
    const fields: Partial<Record<Column, Buffer | null>> = {}
    let count = 0
    for (;;) {
      const column = present[count] ?? null
      const value = this.#valueOf(await this.#tokens.next(), column)
      if (column !== null) fields[column] = value
      count += 1
      let token = await this.#tokens.next()
      // 'text'::type of PostgreSQL.
      while (isMark(token, ':') || token.kind === 'name') token = await this.#tokens.next()
      if (isMark(token, ')')) break
      if (!isMark(token, ',')) throw this.#tokens.error('expected a comma or ) here')
    }
    if (count !== present.length)
      throw this.#tokens.source.error(`${count} values for ${present.length} columns`, position)
    return fields
  }

  #valueOf(token: SqlToken, column: Column | null): Buffer | null {
    if (isWord(token, /^null$/i)) return null
    if (token.kind === 'number' || token.kind === 'octets') return octetsOf(token.text)
    if (token.kind !== 'string') throw this.#tokens.error("expected a value here: text, a number, 0x…, X'…' or NULL")
    // How PostgreSQL writes BYTEA; in MySQL it is text.
    const bytea = column === 'body' && this.#tokens.standardStrings ? hexadecimalBytea.exec(token.text) : null
    return bytea === null ? octetsOf(token.text) : Buffer.from(bytea[1]!, 'hex')
  }

  /** CREATE TABLE name (definitions …): which columns there are. */
  async #create(): Promise<void> {
    let token = await this.#tokens.next()
    if (!isWord(token, /^table$/i)) return this.#toEnd(token)
    let created = ''
    for (token = await this.#tokens.next(); !isMark(token, '('); token = await this.#tokens.next()) {
      if (isMark(token, ';') || token.kind === 'end') return
      created = nameOf(token) ?? created
    }
    if (created.toLowerCase() !== this.#table) return this.#toEnd()
    const order: string[] = []
    let depth = 1
    let beginning = true
    while (depth > 0) {
      token = await this.#tokens.next()
      if (token.kind === 'end') throw this.#tokens.error('the script ends within CREATE TABLE')
      const name = nameOf(token)
      if (beginning && name !== null && !isWord(token, noColumn)) order.push(name)
      if (isMark(token, '(')) depth += 1
      else if (isMark(token, ')')) depth -= 1
      beginning = depth === 1 && isMark(token, ',')
    }
    this.#order = order
    await this.#toEnd()
  }

  /** SET standard_conforming_strings = on: a backslash in a string is just that. */
  async #set(): Promise<void> {
    let token = await this.#tokens.next()
    const strings = isWord(token, /^standard_conforming_strings$/i)
    for (; token.kind !== 'end' && !isMark(token, ';'); token = await this.#tokens.next())
      if (strings && isWord(token, /^(?:on|off)$/i)) this.#tokens.standardStrings = /^on$/i.test(token.text)
  }

  /** Skips what is left of a statement, of which `token` has been read. */
  async #toEnd(token: SqlToken | null = null): Promise<void> {
    let last = token ?? (await this.#tokens.next())
    while (last.kind !== 'end' && !isMark(last, ';')) last = await this.#tokens.next()
  }

  async #expect(mark: string): Promise<void> {
    if (!isMark(await this.#tokens.next(), mark)) throw this.#tokens.error(`expected ${mark} here`)
  }
}

function isMark(token: SqlToken, mark: string): boolean {
  return token.kind === 'mark' && token.text === mark
}

function isWord(token: SqlToken, words: RegExp): boolean {
  return token.kind === 'name' && words.test(token.text)
}

/** Null: no name. */
function nameOf(token: SqlToken): string | null {
  return token.kind === 'name' || token.quotation ? token.text : null
}
