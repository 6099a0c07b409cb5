import { type Column, columnParameters, columns, type Fields, requiredColumns } from '../table.ts'
import type { Position } from './octet-text.ts'

/** A row, and where it begins in its file. */
export interface ReadRow {
  readonly position: Position
  readonly fields: Fields
}

/** By the parameters that name columns. */
export type GivenNames = { readonly [parameter in keyof typeof columnParameters]?: string }

/** What the columns are called (SILO-50). */
export class ColumnNames {
  readonly #names: ReadonlyMap<Column, string>
  readonly #columns: ReadonlyMap<string, Column>
  readonly #unknown: (name: string) => void

  /** @param unknown is told names of columns that are looked up and are none of the silo's */
  constructor(given: GivenNames = {}, unknown: (name: string) => void = () => {}) {
    const names = new Map<Column, string>(columns.map((column) => [column, column]))
    for (const [parameter, name] of Object.entries(given)) {
      const column = (columnParameters as Readonly<Record<string, Column>>)[parameter]
      if (column !== undefined) names.set(column, name)
    }
    this.#names = names
    // The module's manual calls the table's id mid.
    const byName = new Map<string, Column>(given.sc_mid === undefined ? [['mid', 'id']] : [])
    for (const [column, name] of names) byName.set(name.toLowerCase(), column)
    this.#columns = byName
    this.#unknown = unknown
  }

  nameOf(column: Column): string {
    return this.#names.get(column)!
  }

  /** Names are compared as databases do, without regard to case. Null: no column of the silo. */
  columnOf(name: string): Column | null {
    const column = this.#columns.get(name.toLowerCase())
    if (column === undefined) this.#unknown(name)
    return column ?? null
  }

  /** Names of columns that have to be there and are not. */
  missingFrom(present: readonly (Column | null)[]): string[] {
    return requiredColumns.filter((column) => !present.includes(column)).map((column) => this.nameOf(column))
  }

  /** The name of a column that is there twice. */
  repeatedIn(present: readonly (Column | null)[]): string | null {
    const repeated = present.find((column, at) => column !== null && present.indexOf(column) !== at)
    return repeated === undefined || repeated === null ? null : this.nameOf(repeated)
  }
}
