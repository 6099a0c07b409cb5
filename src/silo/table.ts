// Rows of table `silo`, version 8, as Kamailio's msilo module lays it out, and what they are as messages of ours
// (SILO-50, SILO-51).
import { Buffer, isUtf8 } from 'node:buffer'
import { createHash } from 'node:crypto'
import type { Result } from '../errors.ts'
import { aorOf, parseSipUri } from '../parser/sip/uri.ts'
import type { SiloMessage, StoredMessage } from '../store/silo-store.ts'

/** The columns, in the order of the table. */
export const columns = [
  'id',
  'src_addr',
  'dst_addr',
  'username',
  'domain',
  'inc_time',
  'exp_time',
  'snd_time',
  'ctype',
  'body',
  'extra_hdrs',
  'callid',
  'status',
] as const
export type Column = (typeof columns)[number]

/** The parameters that rename columns (SILO-50). */
export const columnParameters = {
  sc_mid: 'id',
  sc_from: 'src_addr',
  sc_to: 'dst_addr',
  sc_uri_user: 'username',
  sc_uri_host: 'domain',
  sc_body: 'body',
  sc_ctype: 'ctype',
  sc_exp_time: 'exp_time',
  sc_inc_time: 'inc_time',
  sc_snd_time: 'snd_time',
  sc_stored_hdrs: 'extra_hdrs',
  sc_callid: 'callid',
  sc_status: 'status',
} as const satisfies Readonly<Record<string, Column>>

/** What a row has to have; the others have defaults. */
export const requiredColumns = ['src_addr', 'dst_addr', 'username', 'domain', 'inc_time', 'exp_time', 'body'] as const

/** A row as it was read: octets of each value, of numbers their digits. Null: SQL's NULL; missing: no such column. */
export type Fields = { readonly [column in Column]?: Buffer | null }

/** A row. Times are seconds since the Unix epoch. */
export interface SiloRow {
  /** Null: the table is to number it. */
  readonly id: number | null
  readonly src_addr: string
  readonly dst_addr: string
  /** As in a SIP URI: what may not stand there is escaped. */
  readonly username: string
  /** With the port where it is not the scheme's own. */
  readonly domain: string
  readonly inc_time: number
  readonly exp_time: number
  /** 0: an offline message (SILO-9). */
  readonly snd_time: number
  readonly ctype: string
  readonly body: Buffer
  /** Lines that each end in CRLF. */
  readonly extra_hdrs: string
  readonly callid: string
  /** See K-30. */
  readonly status: number
}

/** Why a row is no message to be stored: it has expired, was delivered, has failed for good (K-30); or makes no message. */
export interface RowRefusal {
  readonly reason: 'expired' | 'delivered' | 'failed' | 'malformed'
  /** For people. */
  readonly detail: string
}

const status = { queued: 0, inFlight: 1, delivered: 2, failed: 3 } as const

const uriForm = /^[a-z][\w+.-]*:[^\s<>"\p{Cc}]+$/iu
const contentTypeForm = /^[\w!#$%&'*+.^`|~-]+\/[\w!#$%&'*+.^`|~-]+[ \t]*(?:;[^\p{Cc}]*)?$/u
const callIdForm = /^[^\s\p{Cc}]*$/u
const headerLinesForm = /^(?:[\w!%*+.`'~-]+[ \t]*:[^\r\n\0]*\r\n(?:[ \t][^\r\n\0]*\r\n)*)*$/
/** What may not stand in the user part of a SIP URI as it is. */
const notUser = /[^\w\-.!~*'()&=+$,;?/]/gu
/** The same, with the percent sign of an escape allowed. */
const notEscapedUser = /%(?![\da-f]{2})|[^\w\-.!~*'()&=+$,;?/%]/giu

/** Makes a row of values; the failure names the column and what is wrong with it. */
export function rowOf(fields: Fields): Result<SiloRow, string> {
  for (const column of ['id', 'inc_time', 'exp_time', 'snd_time', 'status'] as const) {
    const number = column === 'id' ? wholeNumber : seconds
    if (!number.test(fields[column]?.toString('latin1') ?? ''))
      return { ok: false, error: `${column} is no whole number, or too large` }
  }
  for (const column of ['src_addr', 'dst_addr', 'username', 'domain', 'ctype', 'extra_hdrs', 'callid'] as const)
    if (!isUtf8(fields[column] ?? noOctets)) return { ok: false, error: `${column} is not UTF-8` }
  const text = (column: Column) => fields[column]?.toString('utf8') ?? ''
  return {
    ok: true,
    value: {
      id: text('id') === '' ? null : Number(text('id')),
      src_addr: text('src_addr'),
      dst_addr: text('dst_addr'),
      username: text('username'),
      domain: text('domain'),
      inc_time: Number(text('inc_time')),
      exp_time: Number(text('exp_time')),
      snd_time: Number(text('snd_time')),
      ctype: text('ctype') || 'text/plain',
      body: fields.body ?? noOctets,
      extra_hdrs: text('extra_hdrs'),
      callid: text('callid'),
      status: Number(text('status')),
    },
  }
}

// Nothing, and NULL, is 0.
/** Of so many digits every number is exact. */
const wholeNumber = /^\d{0,15}$/
/** Of so many digits every number of seconds is a date. */
const seconds = /^\d{0,12}$/
const noOctets = Buffer.alloc(0)

/**
 * The message of a row. Its Message-ID comes of the row, so a row that is imported again gives a repeat that is marked as
 * one (SILO-31).
 */
export function messageOf(row: SiloRow, now: number): Result<SiloMessage, RowRefusal> {
  if (row.status === status.delivered) return refused('delivered', 'it was delivered (status 2)')
  if (row.status === status.failed) return refused('failed', 'it has failed for good (status 3)')
  if (row.status > status.failed) return refused('malformed', `status ${row.status} is not known`)
  const owner = ownerOf(row.username, row.domain)
  if (owner === null) return refused('malformed', 'username and domain make no SIP URI with a user (SILO-3)')
  if (!uriForm.test(row.src_addr)) return refused('malformed', 'src_addr is no URI')
  if (!uriForm.test(row.dst_addr)) return refused('malformed', 'dst_addr is no URI')
  if (!contentTypeForm.test(row.ctype)) return refused('malformed', 'ctype is no media type')
  if (row.body.length === 0) return refused('malformed', 'body is empty (SILO-3)')
  const extraHeaders = headerLines(row.extra_hdrs)
  if (extraHeaders === null) return refused('malformed', 'extra_hdrs are no header lines')
  if (!callIdForm.test(row.callid)) return refused('malformed', 'callid is no Call-ID')
  if (row.exp_time * 1000 <= now) return refused('expired', 'it has expired')
  return {
    ok: true,
    value: {
      owner,
      srcAddr: row.src_addr,
      dstAddr: row.dst_addr,
      contentType: row.ctype,
      body: row.body,
      incTime: row.inc_time * 1000,
      expTime: row.exp_time * 1000,
      sndTime: row.snd_time * 1000,
      extraHeaders,
      callId: row.callid,
      messageId: messageIdOf(row),
    },
  }
}

function refused(reason: RowRefusal['reason'], detail: string): Result<never, RowRefusal> {
  return { ok: false, error: { reason, detail } }
}

/** Null: no header lines. Line ends are made CRLF, which is what they have to be in a message. */
function headerLines(text: string): string | null {
  if (text === '') return ''
  const lines = text.replace(/\r?\n/g, '\r\n')
  const ended = lines.endsWith('\r\n') ? lines : `${lines}\r\n`
  return headerLinesForm.test(ended) ? ended : null
}

/** Two rows that say the same are two messages when their ids differ. */
function messageIdOf(row: SiloRow): string {
  const { id, src_addr, dst_addr, username, domain, inc_time, snd_time, ctype, extra_hdrs, callid } = row
  return createHash('sha256')
    .update(JSON.stringify([id, src_addr, dst_addr, username, domain, inc_time, snd_time, ctype, extra_hdrs, callid]))
    .update(row.body)
    .digest('base64url')
    .slice(0, 22)
}

/** The AoR of whose inbox a row is (S-60); null: there is none. */
function ownerOf(username: string, domain: string): string | null {
  return username === '' ? null : aorNamed(`sip:${username.replace(notEscapedUser, escaped)}@${domain}`)
}

/**
 * The AoR that an operator means by `bob@example.org`, `sip:bob@example.org` or an AoR of ours, in which the user is not
 * escaped; null: none.
 */
export function namedOwner(text: string): string | null {
  const { username, domain } = splitAor(text.replace(/^sip:/i, ''))
  return aorNamed(text) ?? ownerOf(username, domain)
}

/** Null: no URI of a user, or one that says more than who that is. */
function aorNamed(text: string): string | null {
  const uri = parseSipUri(text)
  const namesUser = uri !== null && uri.user !== null && uri.params.size === 0 && uri.headers === null
  return namesUser ? aorOf(uri) : null
}

/** Of `user@host`; a user that is not escaped may hold at-signs. */
function splitAor(text: string): { readonly username: string; readonly domain: string } {
  const at = text.lastIndexOf('@')
  return { username: text.slice(0, Math.max(0, at)), domain: text.slice(at + 1) }
}

/** The row of what is stored. */
export function rowOfStored({ id, message, status }: StoredMessage): SiloRow {
  const { username, domain } = splitAor(message.owner.slice('sip:'.length))
  return {
    id,
    src_addr: message.srcAddr,
    dst_addr: message.dstAddr,
    username: username.replace(notUser, escaped),
    domain,
    inc_time: secondsOf(message.incTime),
    exp_time: secondsOf(message.expTime),
    snd_time: secondsOf(message.sndTime),
    ctype: message.contentType,
    body: Buffer.from(message.body.buffer, message.body.byteOffset, message.body.byteLength),
    extra_hdrs: message.extraHeaders,
    callid: message.callId,
    status,
  }
}

function escaped(character: string): string {
  return encodeURIComponent(character)
}

function secondsOf(milliseconds: number): number {
  return Math.floor(milliseconds / 1000)
}

/** What a column of the table has room for: characters, octets of a body or of header lines, or a largest number. */
const room: { readonly [column in Column]?: number } = {
  id: 2 ** 32 - 1,
  src_addr: 255,
  dst_addr: 255,
  username: 64,
  domain: 64,
  inc_time: 2 ** 31 - 1,
  exp_time: 2 ** 31 - 1,
  snd_time: 2 ** 31 - 1,
  ctype: 32,
  body: 65_535,
  extra_hdrs: 65_535,
  callid: 128,
}

/** The columns that are too narrow for the row (SILO-51). */
export function tooNarrow(row: SiloRow): Column[] {
  return columns.filter((column) => sizeOf(column, row[column]) > (room[column] ?? Number.POSITIVE_INFINITY))
}

function sizeOf(column: Column, value: SiloRow[Column]): number {
  if (typeof value === 'string') return column === 'extra_hdrs' ? Buffer.byteLength(value) : value.length
  return typeof value === 'number' ? value : (value?.length ?? 0)
}
