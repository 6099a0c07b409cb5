// Files of any size are read as text in which a character is an octet: values come through as they are, whatever they
// hold, and what the formats are made of is ASCII in all of them.
import { Buffer } from 'node:buffer'
import { SilopathError } from '../../errors.ts'

/** Where something stands in a file; both count from 1, columns in octets. */
export interface Position {
  readonly line: number
  readonly column: number
}

/** The most octets that one value, or one row of CSV or JSON, may have. */
export const valueOctetsMax = 32 * 2 ** 20

/** Text of octets, read piece by piece. What has been taken is forgotten. */
export class OctetText {
  /** What has been read and not yet been let go. */
  text = ''
  /** Index in `text` of what comes next. */
  at = 0
  /** All has been read: nothing comes behind `text`. */
  ended = false
  readonly #file: string
  readonly #pieces: AsyncIterator<Uint8Array>
  /** Line and column of index `#counted` of `text`. */
  #line = 1
  #column = 1
  #counted = 0
  /** Index of the line end behind `#counted`; -1: not known. */
  #nextLineEnd = -1

  constructor(file: string, pieces: AsyncIterable<Uint8Array>) {
    this.#file = file
    this.#pieces = pieces[Symbol.asyncIterator]()
  }

  /**
   * Reads on until there is twice as much as was left: whoever starts again from `at` with what has been added does so
   * only a few times. Lets go of what is before `at`.
   */
  async readOn(): Promise<void> {
    this.#count(this.at)
    const pieces = [this.text.slice(this.at)]
    const left = this.text.length - this.at
    if (left > valueOctetsMax) throw this.error(`more than ${valueOctetsMax} octets belong together here`)
    let length = left
    this.#counted = 0
    this.#nextLineEnd = -1
    this.at = 0
    while (length < 2 * left + 1 && !this.ended) {
      const { done, value } = await this.#pieces.next()
      if (done) this.ended = true
      else {
        pieces.push(octetTextOfOctets(value))
        length += value.byteLength
      }
    }
    this.text = pieces.join('')
  }

  /** Of an index that is not before any it was asked for earlier. */
  position(index = this.at): Position {
    this.#count(index)
    return { line: this.#line, column: this.#column }
  }

  error(message: string, { line, column }: Position = this.position()): SilopathError {
    return new SilopathError('TABLE_INVALID', `${this.#file}:${line}:${column}: ${message}`)
  }

  /** Ends the reading of what the pieces come from. */
  async close(): Promise<void> {
    await this.#pieces.return?.()
  }

  #count(index: number): void {
    while (this.#lineEnd() < index) {
      this.#counted = this.#lineEnd() + 1
      this.#line += 1
      this.#column = 1
      this.#nextLineEnd = -1
    }
    this.#column += index - this.#counted
    this.#counted = index
  }

  /** Looked for once a line: files may have few, and positions are asked for often. */
  #lineEnd(): number {
    if (this.#nextLineEnd < 0) {
      const end = this.text.indexOf('\n', this.#counted)
      this.#nextLineEnd = end < 0 ? this.text.length : end
    }
    return this.#nextLineEnd
  }
}

/** Octets of such a text. */
export function octetsOf(text: string): Buffer {
  return Buffer.from(text, 'latin1')
}

/** The octets as such a text. */
export function octetTextOfOctets(octets: Uint8Array): string {
  return Buffer.from(octets.buffer, octets.byteOffset, octets.byteLength).toString('latin1')
}

/** The octets of a text in UTF-8 as such a text. */
export function octetTextOf(text: string): string {
  return octetTextOfOctets(Buffer.from(text, 'utf8'))
}
