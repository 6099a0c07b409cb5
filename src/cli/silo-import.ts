// Import into the silo from the layout of Kamailio's table, through the admin API of a running server.
import { Buffer } from 'node:buffer'
import { createReadStream } from 'node:fs'
import { z } from 'zod'
import { type Result, SilopathError } from '../errors.ts'
import { ColumnNames } from '../silo/table/column-names.ts'
import { readTable, type TableLayout } from '../silo/table/formats.ts'
import { importOctetsMax } from '../silo/table/import.ts'
import { jsonRow } from '../silo/table/json.ts'
import type { Position } from '../silo/table/octet-text.ts'
import { messageOf, rowOf, type SiloRow } from '../silo/table.ts'
import { askAdminJson, reasonOf } from './admin-client.ts'
import { progressOf, type Surroundings } from './surroundings.ts'

export interface ImportOptions {
  /** `-`: stdin. */
  readonly file: string
  readonly layout: TableLayout
  /** Rows at the beginning that are passed over: an earlier import has stored them. */
  readonly skip: number
  /** Only says what would come of it. */
  readonly dryRun: boolean
}

export interface Imported {
  /** A line to print. */
  readonly summary: string
  /** Rows that are no messages, or that their owners have no room for: problems, which have been told. */
  readonly refused: number
}

const ownNames = new ColumnNames()
const outcome = z.object({
  stored: z.number(),
  refused: z.array(z.object({ line: z.number(), reason: z.string(), detail: z.string() })),
})

/** Rows are sent in parts of at most so many, and of about so many octets. */
const partRowsMax = 500
const partOctets = 256 * 1024
const partTimeoutMs = 60_000
/** How long to wait before what the server could not store is sent again. */
const retryDelaysMs = [100, 300, 1_000, 3_000, 10_000]

/**
 * Stores the rows of a file, in their order. A file is read through before its first row is stored, so that one with a
 * mistake in it changes nothing.
 * @throws SilopathError TABLE_INVALID; IMPORT_INCOMPLETE when the server stores no more, with how to go on
 */
export async function importTable(admin: URL, options: ImportOptions, surroundings: Surroundings): Promise<Imported> {
  const name = nameOf(options.file)
  const tally = new Tally(name, surroundings)
  if (options.dryRun) {
    for await (const { position, row } of readRows(options, surroundings)) {
      const message = row.ok ? messageOf(row.value, surroundings.clock.now()) : null
      if (message?.ok) tally.stored(1)
      else if (message) tally.refused(position, message.error)
      else if (!row.ok) tally.refused(position, { reason: 'malformed', detail: row.error })
    }
    return tally.total('would be stored')
  }
  if (options.file !== '-') for await (const _ of readRows(options, surroundings));
  const sender = new Sender(admin, name, tally, surroundings)
  for await (const { position, number, row } of readRows(options, surroundings)) {
    if (row.ok) await sender.add({ position, number, line: `${jsonRow(row.value, ownNames)}\n` })
    else tally.refused(position, { reason: 'malformed', detail: row.error })
  }
  await sender.send()
  return tally.total('stored')
}

/** What the file is called in messages. */
function nameOf(file: string): string {
  return file === '-' ? 'stdin' : file
}

interface NumberedRow {
  readonly position: Position
  /** Counted from 1. */
  readonly number: number
  readonly row: Result<SiloRow, string>
}

async function* readRows({ file, layout, skip }: ImportOptions, { stdin }: Surroundings): AsyncGenerator<NumberedRow> {
  let number = 0
  const pieces = file === '-' ? stdin : piecesOf(file)
  for await (const { position, fields } of readTable(nameOf(file), pieces, layout)) {
    number += 1
    if (number <= skip) continue
    const row = rowOf(fields)
    // The number tells rows apart that have no id and say the same.
    if (row.ok && row.value.id === null)
      yield { position, number, row: { ok: true, value: { ...row.value, id: number } } }
    else yield { position, number, row }
  }
}

async function* piecesOf(file: string): AsyncGenerator<Uint8Array> {
  try {
    yield* createReadStream(file)
  } catch (error) {
    throw new SilopathError('TABLE_INVALID', `${file} cannot be read: ${reasonOf(error)}`, { cause: error })
  }
}

/** A row on its way to the server. */
interface SentRow {
  readonly position: Position
  readonly number: number
  readonly line: string
}

/** Sends rows in parts, one part after the other. */
class Sender {
  readonly #admin: URL
  readonly #file: string
  readonly #tally: Tally
  readonly #surroundings: Surroundings
  #rows: SentRow[] = []
  #octets = 0

  constructor(admin: URL, file: string, tally: Tally, surroundings: Surroundings) {
    this.#admin = admin
    this.#file = file
    this.#tally = tally
    this.#surroundings = surroundings
  }

  async add(row: SentRow): Promise<void> {
    const octets = Buffer.byteLength(row.line)
    if (octets > importOctetsMax) {
      const detail = `it has more than ${importOctetsMax} octets`
      this.#tally.refused(row.position, { reason: 'malformed', detail })
      return
    }
    if (this.#rows.length > 0 && this.#octets + octets > partOctets) await this.send()
    this.#rows.push(row)
    this.#octets += octets
    if (this.#rows.length >= partRowsMax) await this.send()
  }

  /** Sends what is left; what the server cannot store at the moment again, until it can. */
  async send(): Promise<void> {
    let rows: readonly SentRow[] = this.#rows
    this.#rows = []
    this.#octets = 0
    for (const delay of [...retryDelaysMs, null]) {
      if (rows.length === 0) return
      const { stored, refused } = await this.#post(rows)
      this.#tally.stored(stored)
      const again: SentRow[] = []
      for (const { line, reason, detail } of refused) {
        const row = rows[line - 1]
        if (row === undefined) continue
        if (reason === 'overloaded' || reason === 'unavailable') again.push(row)
        else this.#tally.refused(row.position, { reason, detail })
      }
      if (again.length > 0 && delay === null) throw this.#incomplete(again, refused.at(-1)!.detail)
      if (again.length > 0 && delay !== null) await this.#surroundings.wait(delay)
      rows = again
    }
  }

  async #post(rows: readonly SentRow[]): Promise<z.output<typeof outcome>> {
    const lines = rows.map(({ line }) => line).join('')
    try {
      return await askAdminJson(this.#admin, '/api/silo/import', outcome, {
        method: 'POST',
        lines,
        timeoutMs: partTimeoutMs,
      })
    } catch (error) {
      throw this.#incomplete(rows, reasonOf(error))
    }
  }

  #incomplete(rows: readonly SentRow[], reason: string): SilopathError {
    const { position, number } = rows[0]!
    return new SilopathError(
      'IMPORT_INCOMPLETE',
      `${this.#file}:${position.line}:${position.column}: stopped at row ${number}: ${reason}. ` +
        `${this.#tally.count} rows are stored. Go on with --skip ${number - 1}: what is stored twice has the same Message-ID.`,
    )
  }
}

interface Refusal {
  readonly reason: string
  readonly detail: string
}

const problemsTold = 20
/** Not stored either, but no reason to look into the matter. */
const expected = ['expired', 'delivered', 'failed']

/** Counts what becomes of rows. */
class Tally {
  /** Rows stored. */
  count = 0
  readonly #file: string
  readonly #surroundings: Surroundings
  readonly #progress: () => void
  readonly #byReason = new Map<string, number>()
  #problems = 0

  constructor(file: string, surroundings: Surroundings) {
    this.#file = file
    this.#surroundings = surroundings
    this.#progress = progressOf(surroundings, () => `${this.count + this.#refused()} rows …\n`)
  }

  stored(rows: number): void {
    this.count += rows
    this.#progress()
  }

  refused({ line, column }: Position, { reason, detail }: Refusal): void {
    this.#byReason.set(reason, (this.#byReason.get(reason) ?? 0) + 1)
    if (expected.includes(reason)) return
    this.#problems += 1
    if (this.#problems <= problemsTold)
      this.#surroundings.tell(`${this.#file}:${line}:${column}: not imported: ${detail}\n`)
  }

  total(stored: string): Imported {
    if (this.#problems > problemsTold)
      this.#surroundings.tell(`${this.#problems - problemsTold} more are not imported\n`)
    const reasons = [...this.#byReason]
      .sort()
      .map(([reason, rows]) => `, ${rows} ${reason}`)
      .join('')
    return {
      summary: `${this.count + this.#refused()} rows: ${this.count} ${stored}${reasons}\n`,
      refused: this.#problems,
    }
  }
  /** For whatever reason. */
  #refused(): number {
    return this.#byReason.values().reduce((sum, rows) => sum + rows, 0)
  }
}
