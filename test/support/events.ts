import type { ParseErrorClass } from '../../src/parser/msrp/error-class.ts'

/*
 * What a reader of an MSRP stream reports, and which of several problems it reports.
 *
 * FRAME START. CRLF pairs before a start line are skipped, 8 pairs (16 octets) in a row at most (M-13). As soon as the
 * octets at hand cannot become a start line of at most `startLineOctets` octets (its CRLF not counted), the event is
 * bad-start-line and the reader reads nothing more.
 *
 * END OF STREAM. Nothing at hand, or only whole skipped CRLF pairs: no event. A lone CR, or a start line that could
 * still become valid: truncated. Inside a frame: truncated, whatever else is already wrong with it.
 *
 * LIMITS are fatal the moment they are certainly passed, before any other problem of the frame is looked at:
 *   - a header line with no CRLF after at most `headerLineOctets` octets;
 *   - a head (start line up to and with the empty line, or the end-line of a bodiless frame) of over `headOctets`;
 *   - the end of header line number `headerLines` + 1 (malformed lines count; the end-line and the empty line do not);
 *   - a well-formed To-Path, From-Path or Use-Path line, repeated or not, of over `pathUris` parts between blanks,
 *     whether or not the parts are URIs.
 * The line that passes a limit is not read: it cannot supply the From-Path that a 400 needs.
 *
 * ONE PROBLEM A FRAME. The frame is read to its end-line (M-62); of all its problems the one with the lowest line
 * number is reported, and among those of one line the first of this list:
 *   1. bad-header-line
 *   2. missing-to-path, path-order, missing-from-path: always counted as line 1. Line 1 is not To-Path: path-order if a
 *      To-Path comes later, else missing-to-path. Line 1 is To-Path: missing-from-path if there is no From-Path at all,
 *      path-order if line 2 is neither From-Path nor a second To-Path (which is a duplicate-header of line 2 instead).
 *      A malformed line has no name here.
 *   3. duplicate-header (a repeated line's value is not judged)
 *   4. bad-uri and the bad values of the other interpreted headers
 *   5. content-type-not-last: counted on every well-formed line after the first Content-Type
 * Then, as if after the last line, in this order: missing-message-id, missing-status, forbidden-header; then
 * body-in-response, mime-header-without-body, body-without-content-type; then bad-flag.
 *
 * INTERPRETED headers are To-Path, From-Path, Message-ID, Success-Report, Failure-Report, Byte-Range, Status, Expires,
 * Min-Expires, Max-Expires, Use-Path, Content-Type (value judged in every kind of frame), Authentication-Info and
 * Use-Nickname (any value); each at most once (M-39). Content-Type is
 * `token "/" token *( blanks ";" blanks token [ "=" ( token / quoted ) ] )`, where in a quoted string a backslash takes
 * any one character after it.
 *
 * ANSWER. Responses, REPORTs and SENDs whose first valid Failure-Report says `no` get none (M-51, M-61); nor does a
 * request whose first well-formed From-Path is absent or holds a bad URI.
 */

/** The start line of a frame. `comment` is null without a phrase, '' when only the SP before it is there (M-2). */
export type StartSnapshot =
  | { readonly kind: 'request'; readonly tid: string; readonly method: string }
  | { readonly kind: 'response'; readonly tid: string; readonly status: number; readonly comment: string | null }

/** A Byte-Range in octets counted from 1; `*` is unknown (M-31). */
export interface ByteRangeSnapshot {
  readonly start: number
  readonly end: number | '*'
  readonly total: number | '*'
}

interface FrameContent {
  /** URIs, octet for octet. */
  readonly toPath: readonly string[]
  readonly fromPath: readonly string[]
  /** Absent without the header, in any kind of frame. */
  readonly byteRange?: ByteRangeSnapshot
  /** Effective values (M-30): present in every SEND and in nothing else. */
  readonly failureReport?: 'yes' | 'no' | 'partial'
  readonly successReport?: 'yes' | 'no'
  /** Names as on the wire, values without the blanks around them, all headers in order. */
  readonly headers: readonly (readonly [name: string, value: string])[]
  readonly flag: '$' | '+' | '#'
  /** null: bodiless (M-11). `sha256` in lower-case hex. */
  readonly body: { readonly length: number; readonly sha256: string } | null
}

/** A well-formed frame, in the terms of the conformance vectors. Optional properties are absent, never undefined. */
export type FrameSnapshot = StartSnapshot & FrameContent

/** What a server does about a malformed frame (M-60, M-61). */
export type ErrorAction = 'respond-400' | 'drop' | 'close' | 'respond-400-and-close' | 'discard'

export interface FrameEvent {
  readonly type: 'frame'
  readonly frame: FrameSnapshot
}

export interface ErrorEvent {
  readonly type: 'error'
  readonly cls: ParseErrorClass
  /** Absent for bad-start-line and truncated, present for all other classes. */
  readonly start?: StartSnapshot
  readonly respond: ErrorAction
}

export type ReaderEvent = FrameEvent | ErrorEvent

/** Sizes a frame's head may have (M-44), in octets or pieces. */
export interface Limits {
  readonly startLineOctets: number
  readonly headerLineOctets: number
  readonly headOctets: number
  readonly headerLines: number
  readonly pathUris: number
}

export const defaultLimits: Limits = {
  startLineOctets: 1024,
  headerLineOctets: 16_384,
  headOctets: 65_536,
  headerLines: 1024,
  pathUris: 64,
}

/** A parser under test: fed a stream in any pieces (M-63), it lists what it found. */
export interface Reader {
  /** Reads some more octets, also none. They may change as soon as this returns. */
  feed(octets: Uint8Array): void
  /** The stream has ended: nothing may be fed after it. */
  end(): void
  readonly events: readonly ReaderEvent[]
}

export type CreateReader = (options?: { limits?: Partial<Limits> }) => Reader
