// Export of the silo in the layout of Kamailio's table, through the admin API of a running server.
import type { Buffer } from 'node:buffer'
import { createWriteStream } from 'node:fs'
import { rename, rm } from 'node:fs/promises'
import type { Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { SilopathError } from '../errors.ts'
import { ColumnNames } from '../silo/table/column-names.ts'
import { readTable, type TableLayout, writeTable } from '../silo/table/formats.ts'
import { type Column, rowOf, type SiloRow, tooNarrow } from '../silo/table.ts'
import { askAdmin, reasonOf, unreachable } from './admin-client.ts'
import { progressOf, type Surroundings } from './surroundings.ts'

const ownNames = new ColumnNames()
/** How long the server may take for the next part of what it exports. */
const partTimeoutMs = 60_000

export interface ExportOptions {
  readonly owner: string | null
  readonly dead: boolean
  readonly layout: TableLayout
  /** Whether SQL has the ids; the other formats always have. */
  readonly withId: boolean
  /** Null: stdout. */
  readonly output: string | null
}

/** Writes what the server stores. A file appears when it is complete; nobody else may read it. */
export async function exportTable(admin: URL, options: ExportOptions, surroundings: Surroundings): Promise<void> {
  const { owner, dead, layout, withId, output } = options
  const answer = await askAdmin(admin, '/api/silo/export', { query: { owner, dead }, timeoutMs: partTimeoutMs })
  const url = new URL('/api/silo/export', admin)
  const narrow = new Map<Column, number>()
  let count = 0
  const progress = progressOf(surroundings, () => `exported ${count} messages …\n`)
  async function* rows(): AsyncGenerator<SiloRow> {
    for await (const { fields } of readTable(url.href, received(url, answer), {
      ...layout,
      format: 'json',
      names: ownNames,
    })) {
      const row = rowOf(fields)
      if (!row.ok) throw new SilopathError('ADMIN_UNREACHABLE', `${url} gives a row that is none: ${row.error}`)
      for (const column of tooNarrow(row.value)) narrow.set(column, (narrow.get(column) ?? 0) + 1)
      count += 1
      progress()
      yield row.value
    }
  }
  const file = writeTable(rows(), { ...layout, withId })
  if (output === null) await toStdout(file, surroundings.stdout)
  else await toFile(file, output)
  for (const [column, times] of narrow)
    surroundings.tell(
      `${layout.names.nameOf(column)}: ${times} rows have more than the table has room for, and are written whole\n`,
    )
  surroundings.tell(`exported ${count} messages\n`)
}

async function* received(url: URL, body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    yield* body
  } catch (error) {
    throw unreachable(url, error)
  }
}

async function toStdout(octets: AsyncIterable<Buffer>, stdout: Writable): Promise<void> {
  try {
    await pipeline(octets, stdout, { end: false })
  } catch (error) {
    // `silopath silo export | head`: a reader that has seen enough is no failure.
    if (!(error instanceof Error && 'code' in error && error.code === 'EPIPE')) throw error
  }
}

async function toFile(octets: AsyncIterable<Buffer>, output: string): Promise<void> {
  const partial = `${output}.partial`
  try {
    await pipeline(octets, createWriteStream(partial, { mode: 0o600 }))
    await rename(partial, output)
  } catch (error) {
    await rm(partial, { force: true })
    if (error instanceof SilopathError) throw error
    throw new SilopathError('EXPORT_FAILED', `${output} cannot be written: ${reasonOf(error)}`, { cause: error })
  }
}
