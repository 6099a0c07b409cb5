/** Digits of a sequence number in branches, CSeq and bodies. They begin at 10^8, so that none has a leading zero. */
export const SEQUENCE_DIGITS = 9
export const FIRST_SEQUENCE = 100_000_000
export const USER_DIGITS = 6

const ZERO = 0x30

/** The number of exactly so many digits, -1 when there are others. */
export const readDigits = (octets: Uint8Array, at: number, digits: number): number => {
  let value = 0
  for (let i = 0; i < digits; i++) {
    const digit = (octets[at + i] ?? 0) - ZERO
    if (digit < 0 || digit > 9) return -1
    value = value * 10 + digit
  }
  return value
}

/** The status of a response, -1 for what is none. */
export const statusOf = (octets: Buffer): number =>
  octets[0] === 0x53 && octets.toString('latin1', 0, 8) === 'SIP/2.0 ' ? readDigits(octets, 8, 3) : -1

/** The head, with the CRLF of its last line; empty when no empty line ends it. */
export const headOf = (octets: Buffer): string => {
  const end = octets.indexOf('\r\n\r\n')
  return octets.toString('latin1', 0, end < 0 ? 0 : end + 2)
}

const COPIED = /^(?:Via|v|From|f|To|t|Call-ID|i|CSeq)[ \t]*:/i
const TO = /^(?:To|t)[ \t]*:/i

/** A bodiless 200 to a request: Via list, From, To with our tag, Call-ID and CSeq as they came (RFC 3261 8.2.6). */
export const answerTo = (head: string, tag: string): string => {
  let answer = 'SIP/2.0 200 OK\r\n'
  let at = head.indexOf('\r\n') + 2
  while (at < head.length) {
    const end = head.indexOf('\r\n', at)
    const line = head.slice(at, end)
    at = end + 2
    if (!COPIED.test(line)) continue
    answer += TO.test(line) && !line.includes(';tag=') ? `${line};tag=${tag}\r\n` : `${line}\r\n`
  }
  return `${answer}Content-Length: 0\r\n\r\n`
}
