// What SQL scripts are made of, as far as INSERTs need it: those of mysqldump and of pg_dump, and our own.
import { Buffer } from 'node:buffer'
import type { SilopathError } from '../../errors.ts'
import { type OctetText, octetTextOfOctets, type Position } from './octet-text.ts'

export interface SqlToken {
  /**
   * `name`: a word that is no string, or a name in backquotes; `string`; `octets`: written in hexadecimal; `number`;
   * `mark`: a single character that is none of these; `end`: of the script.
   */
  readonly kind: 'name' | 'string' | 'octets' | 'number' | 'mark' | 'end'
  /** What a string or a name says, as octets, not how it is written. */
  readonly text: string
  /** It stood in quotation marks, which make a string in MySQL and a name in PostgreSQL. */
  readonly quotation: boolean
}

const endOfScript: SqlToken = { kind: 'end', text: '', quotation: false }

const blank = /(?:[ \t\r\n\f\v]+|--(?=[ \t\r\n])[^\n]*\n|#[^\n]*\n)+/y
/** A comment whose line has not ended. */
const openComment = /(?:--(?:[ \t\r]|$)|#)/y
const word = /[A-Za-z_$\u0080-\u00ff][\w$\u0080-\u00ff]*/y
const number = /[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?/y
const hexadecimalNumber = /0x[\da-fA-F]*/y
const hexadecimalString = /[xX]'[\da-fA-F]*/y
/** What may stand before a string and changes nothing for us: a character set, or N'…'. */
const introducer = /^(?:_\w+|[nN])$/

const mysqlEscapes: Readonly<Record<string, string>> = { 0: '\0', b: '\b', n: '\n', r: '\r', t: '\t', Z: '\u001a' }
const postgresqlEscapes: Readonly<Record<string, string>> = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t' }

/** Reads one token after the other. */
export class SqlTokens {
  readonly source: OctetText
  /** Whether a backslash in a plain string is just that, as in PostgreSQL. pg_dump says so on top of its scripts. */
  standardStrings = false
  /** Where the last token began. */
  position: Position = { line: 1, column: 1 }

  constructor(source: OctetText) {
    this.source = source
  }

  async next(): Promise<SqlToken> {
    const { source } = this
    let begin = this.#blankEnd()
    for (; begin === null; begin = this.#blankEnd()) await source.readOn()
    source.at = begin
    this.position = source.position()
    if (begin === source.text.length) return endOfScript
    for (;;) {
      const token = this.#token()
      if (token !== null) return token
      if (source.ended) throw this.error('this is never closed')
      await source.readOn()
    }
  }

  /** About the last token. */
  error(message: string): SilopathError {
    return this.source.error(message, this.position)
  }

  /** Behind the blanks and comments at `source.at`; null: where that is has not been read yet. */
  #blankEnd(): number | null {
    const { text, ended } = this.source
    let at = this.source.at
    for (;;) {
      blank.lastIndex = at
      if (blank.test(text)) at = blank.lastIndex
      // A single character may be half of what begins a comment.
      if (!ended && text.length - at < 2) return null
      openComment.lastIndex = at
      if (openComment.test(text)) return ended ? text.length : null
      if (!text.startsWith('/*', at)) return at
      const end = text.indexOf('*/', at + 2)
      if (end < 0) {
        if (ended) throw this.source.error('this comment is never closed', this.source.position(at))
        return null
      }
      at = end + 2
    }
  }

  /** The token at `source.at`, which is passed; null: its end has not been read yet. */
  #token(): SqlToken | null {
    const { text, at } = this.source
    const first = text[at]!
    if (first === '`') return this.#quoted(first, 'name', at + 1, null)
    if (first === "'" || first === '"') return this.#quoted(first, 'string', at + 1, this.#plainEscapes())
    const digits = endOf(hexadecimalNumber, text, at)
    if (digits !== null) return this.#isOpen(digits) ? null : this.#octets(at + 2, digits, digits)
    const digitsInQuotes = endOf(hexadecimalString, text, at)
    if (digitsInQuotes !== null) {
      if (digitsInQuotes === text.length) return null
      if (text[digitsInQuotes] !== "'") throw this.#noDigits()
      return this.#octets(at + 2, digitsInQuotes, digitsInQuotes + 1)
    }
    const wordEnd = endOf(word, text, at)
    if (wordEnd !== null) return this.#isOpen(wordEnd) ? null : this.#word(text.slice(at, wordEnd), wordEnd)
    const numberEnd = endOf(number, text, at)
    if (numberEnd === null) return this.#passed('mark', first, at + 1)
    return this.#isOpen(numberEnd) ? null : this.#passed('number', text.slice(at, numberEnd), numberEnd)
  }

  /** Whether what comes next might belong to what ends here. */
  #isOpen(end: number): boolean {
    return end === this.source.text.length && !this.source.ended
  }

  #octets(start: number, digitsEnd: number, end: number): SqlToken {
    if ((digitsEnd - start) % 2 !== 0) throw this.#noDigits()
    const octets = Buffer.from(this.source.text.slice(start, digitsEnd), 'hex')
    return this.#passed('octets', octetTextOfOctets(octets), end)
  }

  #noDigits() {
    return this.error('expected pairs of hexadecimal digits here')
  }

  /** A word, or the string that it introduces: in MySQL with blanks between them. */
  #word(value: string, end: number): SqlToken | null {
    const { text } = this.source
    if (/^e$/i.test(value) && text[end] === "'") return this.#quoted("'", 'string', end + 1, postgresqlEscapes)
    if (introducer.test(value)) {
      let at = end
      while (text[at] === ' ') at += 1
      if (this.#isOpen(at)) return null
      if (text[at] === "'") return this.#quoted("'", 'string', at + 1, this.#plainEscapes())
    }
    return this.#passed('name', value, end)
  }

  /** Null: a backslash is just that. */
  #plainEscapes(): Readonly<Record<string, string>> | null {
    return this.standardStrings ? null : mysqlEscapes
  }

  #quoted(
    quote: string,
    kind: 'name' | 'string',
    start: number,
    escapes: Readonly<Record<string, string>> | null,
  ): SqlToken | null {
    const { text, ended } = this.source
    const marks = escapes === null ? new RegExp(quote, 'g') : new RegExp(`[\\\\${quote}]`, 'g')
    marks.lastIndex = start
    let value = ''
    let from = start
    for (let mark = marks.exec(text); mark !== null; mark = marks.exec(text)) {
      const after = text[mark.index + 1]
      if (after === undefined && !ended) return null
      if (mark[0] === '\\') {
        if (after === undefined) return null
        // \% and \_ keep their backslash: they mean something in patterns only.
        const meant = escapes?.[after] ?? (escapes === mysqlEscapes && /[%_]/.test(after) ? `\\${after}` : after)
        value += text.slice(from, mark.index) + meant
      } else if (after === quote) value += text.slice(from, mark.index + 1)
      else return this.#passed(kind, value + text.slice(from, mark.index), mark.index + 1, quote === '"')
      from = mark.index + 2
      marks.lastIndex = from
    }
    return null
  }

  #passed(kind: SqlToken['kind'], text: string, end: number, quotation = false): SqlToken {
    this.source.at = end
    return { kind, text, quotation }
  }
}

/** Where what the expression describes ends, when that begins at `at`. */
function endOf(form: RegExp, text: string, at: number): number | null {
  form.lastIndex = at
  return form.test(text) ? form.lastIndex : null
}
