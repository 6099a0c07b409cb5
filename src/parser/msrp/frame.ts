import assert from 'node:assert/strict'
import { Buffer } from 'node:buffer'
import {
  FROM_URIS,
  HEADER_WORDS,
  HEADERS,
  KIND_AUTH,
  KIND_REPORT,
  KIND_RESPONSE,
  KIND_SEND,
  R_BODY_LENGTH,
  R_COMMENT,
  R_COMMENT_LENGTH,
  R_EXPIRES,
  R_FAILURE_REPORT,
  R_FLAG,
  R_FROM_COUNT,
  R_HAS_BODY,
  R_HEAD_END,
  R_HEADER_COUNT,
  R_KIND,
  R_MESSAGE_ID,
  R_MESSAGE_ID_LENGTH,
  R_METHOD,
  R_METHOD_LENGTH,
  R_RANGE,
  R_RANGE_END,
  R_RANGE_START,
  R_RANGE_TOTAL,
  R_STATUS,
  R_SUCCESS_REPORT,
  R_TID,
  R_TID_LENGTH,
  R_TO_COUNT,
  REPORT_NO,
  REPORT_PARTIAL,
  TO_URIS,
} from '../kernel/record.ts'
import type { Kernel } from '../kernel.ts'
import { type MsrpUri, parseMsrpUri } from './uri.ts'

/** Byte-Range (M-31): octets counted from 1; null is `*`, unknown. */
export interface ByteRange {
  readonly start: number
  readonly end: number | null
  readonly total: number | null
}

export type ReportWish = 'yes' | 'no' | 'partial'

/**
 * One MSRP frame, decoded as it is asked for. It looks at octets that are reused for the next frame, so it is good only
 * while the one who got it has not returned or awaited; later use throws.
 */
export class MsrpFrame {
  readonly #kernel: Kernel
  readonly #text: Buffer
  #live = false
  #toPath: readonly MsrpUri[] | null = null
  #fromPath: readonly MsrpUri[] | null = null

  constructor(kernel: Kernel) {
    this.#kernel = kernel
    this.#text = Buffer.from(kernel.octets.buffer as ArrayBuffer)
  }

  /** Points the view at the frame that the kernel has just read. */
  attach(): this {
    this.#live = true
    this.#toPath = null
    this.#fromPath = null
    return this
  }

  /** The frame is gone. */
  detach(): void {
    this.#live = false
  }

  #word(index: number): number {
    assert(this.#live, 'an MsrpFrame was used after its handler returned or awaited')
    return this.#kernel.record[index]!
  }

  #float(index: number): number {
    this.#word(index)
    return this.#kernel.recordFloats[index >> 1]!
  }

  /** Octets as text, a character an octet: what is written back is what was read. */
  #octets(start: number, length: number): string {
    return this.#text.toString('latin1', start, start + length)
  }

  get isRequest(): boolean {
    return this.#word(R_KIND) !== KIND_RESPONSE
  }

  get transactionId(): string {
    return this.#octets(this.#word(R_TID), this.#word(R_TID_LENGTH))
  }

  /** Method of a request, '' in a response. */
  get method(): string {
    switch (this.#word(R_KIND)) {
      case KIND_SEND:
        return 'SEND'
      case KIND_REPORT:
        return 'REPORT'
      case KIND_AUTH:
        return 'AUTH'
      case KIND_RESPONSE:
        return ''
      default:
        return this.#octets(this.#word(R_METHOD), this.#word(R_METHOD_LENGTH))
    }
  }

  /** Status code of a response, 0 in a request. */
  get status(): number {
    return this.#word(R_STATUS)
  }

  /** Comment of a response (UTF-8), '' when there is none. */
  get comment(): string {
    const length = this.#word(R_COMMENT_LENGTH)
    const start = this.#word(R_COMMENT)
    return length > 0 ? this.#text.toString('utf8', start, start + length) : ''
  }

  /** To-Path, next hop first (M-27). */
  get toPath(): readonly MsrpUri[] {
    return (this.#toPath ??= this.#path(TO_URIS, this.#word(R_TO_COUNT)))
  }

  /** From-Path, previous hop first (M-27). */
  get fromPath(): readonly MsrpUri[] {
    return (this.#fromPath ??= this.#path(FROM_URIS, this.#word(R_FROM_COUNT)))
  }

  /** URIs in To-Path after the first: 0 means that the frame ends here. Kamailio's `$msrp(nexthops)` (K-6). */
  get nextHops(): number {
    return this.#word(R_TO_COUNT) - 1
  }

  get messageId(): string | null {
    const start = this.#word(R_MESSAGE_ID)
    return start === 0 ? null : this.#octets(start, this.#word(R_MESSAGE_ID_LENGTH))
  }

  get byteRange(): ByteRange | null {
    if (this.#word(R_RANGE) === 0) return null
    const known = (value: number) => (value < 0 ? null : value)
    return {
      start: this.#float(R_RANGE_START),
      end: known(this.#float(R_RANGE_END)),
      total: known(this.#float(R_RANGE_TOTAL)),
    }
  }

  /** Effective Failure-Report (M-30). */
  get failureReport(): ReportWish {
    const wish = this.#word(R_FAILURE_REPORT)
    return wish === REPORT_NO ? 'no' : wish === REPORT_PARTIAL ? 'partial' : 'yes'
  }

  /** Effective Success-Report (M-30). */
  get successReport(): boolean {
    return this.#word(R_SUCCESS_REPORT) === 1
  }

  /** Seconds of the Expires header; null when there is none (M-38). */
  get expires(): number | null {
    const seconds = this.#float(R_EXPIRES)
    return seconds < 0 ? null : seconds
  }

  /** `$` the message ends here, `+` more follows, `#` given up (M-6). */
  get flag(): '$' | '+' | '#' {
    return String.fromCharCode(this.#word(R_FLAG)) as '$' | '+' | '#'
  }

  /** The body's octets where they lie; null when there is none (M-11). */
  get body(): Uint8Array | null {
    if (this.#word(R_HAS_BODY) === 0) return null
    const start = this.#word(R_HEAD_END)
    return this.#kernel.octets.subarray(start, start + this.#word(R_BODY_LENGTH))
  }

  /** Values of all headers of that name (in any case), in order, blanks around them stripped; UTF-8. */
  headers(name: string): string[] {
    const found: string[] = []
    const words = this.#kernel.words
    const wanted = name.toLowerCase()
    const count = this.#word(R_HEADER_COUNT)
    for (let i = 0, at = (this.#kernel.scratch + HEADERS) >> 2; i < count; i++, at += HEADER_WORDS) {
      if (words[at + 2] !== wanted.length) continue
      if (this.#octets(words[at + 1]!, words[at + 2]!).toLowerCase() !== wanted) continue
      found.push(this.#text.toString('utf8', words[at + 3]!, words[at + 3]! + words[at + 4]!))
    }
    return found
  }

  /** Value of the first header of that name, null when there is none. */
  header(name: string): string | null {
    return this.headers(name)[0] ?? null
  }

  #path(table: number, count: number): MsrpUri[] {
    const words = this.#kernel.words
    const first = (this.#kernel.scratch + table) >> 2
    return Array.from({ length: count }, (_, i) => {
      const start = words[first + 2 * i]!
      const uri = parseMsrpUri(this.#octets(start, words[first + 2 * i + 1]! - start))
      assert(uri !== null, 'what the kernel takes for a URI is one')
      return uri
    })
  }
}
