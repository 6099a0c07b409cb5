// What each character may be part of, a bit each. A look into a table for each character costs less than an expression does
// to get going, since nearly all texts in a message are short.

/** token of RFC 3261, section 25.1. */
export const TOKEN = 1 << 0
/** A value of a parameter that is not quoted: more than the grammar's tokens and hosts, since tags and branches in use hold other characters. */
export const PLAIN_VALUE = 1 << 1
/** A URI that stands without <> around it (S-8). */
export const BARE_URI = 1 << 2
/** A URI of any scheme, and its scheme. */
export const ANY_URI = 1 << 3
export const SCHEME = 1 << 4
export const HOST = 1 << 5
// Parts of a SIP URI; of an escape its percent sign.
export const USER = 1 << 6
export const PASSWORD = 1 << 7
export const URI_PARAMETER = 1 << 8
export const URI_HEADER = 1 << 9
export const DIGIT = 1 << 10
/** Anything that is seen. */
export const VISIBLE = 1 << 11

const ASCII = 0x80

const sets: readonly (readonly [bit: number, character: RegExp])[] = [
  [TOKEN, /[\w\-.!%*+`'~]/],
  [PLAIN_VALUE, /[^\x00-\x20\x7f;,"<>]/],
  [BARE_URI, /[^\x00-\x20\x7f;,?"<>]/],
  [ANY_URI, /[!#-;=?-~]/],
  [SCHEME, /[a-z\d+\-.]/i],
  [HOST, /[\w\-.]/],
  [USER, /[\w\-.!~*'()&=+$,;?/%]/],
  [PASSWORD, /[\w\-.!~*'()&=+$,%]/],
  [URI_PARAMETER, /[\w\-.!~*'()[\]/:&+$%]/],
  [URI_HEADER, /[\w\-.!~*'()[\]/?:+$%]/],
  [DIGIT, /\d/],
  [VISIBLE, /[!-~]/],
]

/** By character code; at the end all that are not ASCII. */
const bits = Uint16Array.from({ length: ASCII + 1 }, (_, code) =>
  sets.reduce((sum, [bit, character]) => (character.test(String.fromCharCode(code)) ? sum | bit : sum), 0),
)

/** First place from `at` on whose character is none of a set, or the text's end. */
export function runEnd(text: string, at: number, set: number): number {
  let end = at
  while (end < text.length) {
    if ((bits[Math.min(text.charCodeAt(end), ASCII)]! & set) === 0) break
    end++
  }
  return end
}

/** Whether the text, from `at` on, holds characters of a set and no others; true of none. */
export function isMadeOf(text: string, set: number, at = 0): boolean {
  return runEnd(text, at, set) === text.length
}
