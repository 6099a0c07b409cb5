import { allocateOctets, type Octets } from './octets.ts'

/** Octets of one frame's start line and headers at most; also the room kept in front of what is read. */
const HEAD_MAX = 8192
const READ_OCTETS = 65_536

/** The receive buffer that all connections share: each callback empties it before the next read fills it. */
export class Inbox implements Octets {
  readonly bytes: Buffer
  readonly view: DataView
  /** Where the kernel writes. What a connection kept of an unfinished frame is put right in front of it. */
  readonly readArea: Buffer
  /** When the octets now in it arrived, by performance.now(). */
  arrivedAt = 0

  constructor() {
    const { bytes, view } = allocateOctets(HEAD_MAX + READ_OCTETS)
    this.bytes = bytes
    this.view = view
    this.readArea = bytes.subarray(HEAD_MAX)
  }
}

/** Start line and headers of a frame. */
export interface Head {
  readonly tid: string
  /** Method of a request, undefined in a response. */
  readonly method: string | undefined
  /** Status code of a response, undefined in a request. */
  readonly status: number | undefined
  /** Names in lower case (M-25), in order. */
  readonly headers: readonly (readonly [name: string, value: string])[]
}

export const headerOf = (head: Head, name: string): string | undefined =>
  head.headers.find(([candidate]) => candidate === name)?.[1]

/** Whether the flag `$` and CRLF stand here. */
export const endsFrame = (bytes: Uint8Array, at: number): boolean =>
  bytes[at] === 0x24 && bytes[at + 1] === 0x0d && bytes[at + 2] === 0x0a

/** Who a connection's frames are for. */
export interface FrameHandler {
  /** Takes a frame that lies whole and exactly as expected at `at`: the offset after it; 0 if it is anything else. */
  whole(at: number, end: number): number
  /** Otherwise frames come in parts, as they arrive: head, body octets at inbox offsets, end-line flag. */
  head(head: Head): void
  body(at: number, end: number): void
  end(flag: string): void
  /** The octet stream makes no sense any more; nothing else will be read from it. */
  broken(why: string): void
  /** All that one read brought has been handed over. */
  drained(): void
}

const START_LINE = /^MSRP ([A-Za-z0-9][A-Za-z0-9.+%=-]{3,31}) (?:([A-Z]+)|(\d{3})(?: .*)?)$/
const CRLF = '\r\n'
const NOTHING = Buffer.alloc(0)

/**
 * Cuts one connection's octets into frames. Frames that the handler takes whole cost nothing here; the rest is read
 * the slow, strict way, in bounded memory whatever their size, delimited by the end-line alone (M-10, M-62, M-63).
 */
export class FrameReader {
  readonly #inbox: Inbox
  handler: FrameHandler
  /** The unfinished rest of the last read: part of a head, or what may be the beginning of an end-line. */
  #rest: Buffer = NOTHING
  /** CRLF and end-line up to the flag while in a frame's body, null between frames. */
  #endLine: Buffer | null = null
  #broken = false

  constructor(inbox: Inbox, handler: FrameHandler) {
    this.#inbox = inbox
    this.handler = handler
  }

  /** Takes the octets that the kernel has put into the inbox. */
  read(octets: number): void {
    if (this.#broken) return
    const inbox = this.#inbox
    inbox.arrivedAt = performance.now()
    const end = HEAD_MAX + octets
    let at = HEAD_MAX - this.#rest.length
    if (this.#rest.length > 0) {
      this.#rest.copy(inbox.bytes, at)
      this.#rest = NOTHING
    }
    while (at < end) {
      let next = this.#endLine === null ? this.handler.whole(at, end) : 0
      if (next === 0) next = this.#endLine === null ? this.#head(at, end) : this.#body(at, end, this.#endLine)
      if (next === at) break
      at = next
    }
    if (at < end) this.#rest = Buffer.from(inbox.bytes.subarray(at, end))
    this.handler.drained()
  }

  #head(at: number, end: number): number {
    const area = this.#inbox.bytes.subarray(at, end)
    const startLineEnd = area.indexOf(CRLF)
    if (startLineEnd < 0) return this.#waitForHead(at, end)
    const startLine = START_LINE.exec(area.toString('latin1', 0, startLineEnd))
    if (startLine === null) return this.#break('what should be a start line is none', end)

    const [, tid = '', method, status] = startLine
    const endLine = Buffer.from(`${CRLF}-------${tid}`, 'latin1')
    const blank = area.indexOf(CRLF + CRLF, startLineEnd)
    const bodiless = area.indexOf(endLine, startLineEnd)
    const isBodiless = bodiless >= 0 && (blank < 0 || bodiless < blank)
    const headersEnd = isBodiless ? bodiless : blank
    if (headersEnd < 0) return this.#waitForHead(at, end)

    const lines = headersEnd > startLineEnd ? area.toString('latin1', startLineEnd + 2, headersEnd).split(CRLF) : []
    const headers = lines.map((line): [string, string] => {
      const colon = line.indexOf(':')
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()]
    })
    this.#endLine = endLine
    this.handler.head({ tid, method, status: status === undefined ? undefined : Number(status), headers })
    return at + (isBodiless ? bodiless : blank + 4)
  }

  #body(at: number, end: number, endLine: Buffer): number {
    const area = this.#inbox.bytes.subarray(at, end)
    for (let from = 0; ; from++) {
      from = area.indexOf(endLine, from)
      if (from < 0) {
        // All but what may be the beginning of the end-line is body for sure.
        const sure = Math.max(0, area.length - endLine.length + 1)
        this.handler.body(at, at + sure)
        return at + sure
      }
      const flagAt = from + endLine.length
      if (flagAt + 3 > area.length) {
        this.handler.body(at, at + from)
        return at + from
      }
      const tail = area.toString('latin1', flagAt, flagAt + 3)
      if (/^[+$#]\r\n$/.test(tail)) {
        this.handler.body(at, at + from)
        this.#endLine = null
        this.handler.end(tail.charAt(0))
        return at + flagAt + 3
      }
    }
  }

  #waitForHead(at: number, end: number): number {
    return end - at > HEAD_MAX ? this.#break(`a head is longer than ${HEAD_MAX} octets`, end) : at
  }

  #break(why: string, end: number): number {
    this.#broken = true
    this.handler.broken(why)
    return end
  }
}
