import { printable } from '../log.ts'

/** Title of a column, and what stands in it. */
export type TextColumn<Row> = readonly [title: string, cell: (row: Row) => string | number]

/** Lines of columns; texts are aligned to the left, numbers to the right. */
export function textTable<Row>(columns: readonly TextColumn<Row>[], rows: readonly Row[]): string {
  const laidOut = columns.map(([title, cell]) => {
    const cells = rows.map(cell)
    const texts = [title, ...cells.map((value) => printable(String(value)))]
    const width = Math.max(...texts.map(({ length }) => length))
    return texts.map((text) => (typeof cells[0] === 'number' ? text.padStart(width) : text.padEnd(width)))
  })
  const lines = Array.from({ length: rows.length + 1 }, (_, row) => laidOut.map((column) => column[row]).join('  '))
  return lines.map((line) => `${line.trimEnd()}\n`).join('')
}

/** An ISO 8601 time without fractions of a second. */
export function toSeconds(time: string): string {
  return time.replace(/\.\d+/, '')
}
