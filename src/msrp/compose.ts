import { Buffer } from 'node:buffer'
import { randomBytes } from 'node:crypto'
import {
  FROM_URIS,
  KIND_SEND,
  R_FROM,
  R_FROM_LENGTH,
  R_KIND,
  R_TID,
  R_TID_LENGTH,
  R_TO_COUNT,
  TO_URIS,
} from '../parser/kernel/record.ts'
import type { Kernel } from '../parser/kernel.ts'
import type { HeaderLines } from '../routing/routing.ts'
import { idAlphabet } from './sessions.ts'
import type { ForwardedSend } from './transactions.ts'

/*
 * Frames that the relay makes itself, other than the 200 to a SEND. They are rare, so they are made as text, a
 * character an octet: what is copied from a peer is copied octet for octet.
 */

/** An answer to the request in the kernel's record (M-50). `ourUri` stands in when its To-Path names nobody. */
export function answer(
  kernel: Kernel,
  text: Buffer,
  status: number,
  comment: string,
  headers: HeaderLines,
  ourUri: string,
): string {
  const { record, words, scratch } = kernel
  const slice = (start: number, length: number) => text.toString('latin1', start, start + length)
  const firstUri = (table: number) => {
    const at = (scratch + table) >> 2
    return slice(words[at]!, words[at + 1]! - words[at]!)
  }
  const tid = slice(record[R_TID]!, record[R_TID_LENGTH]!)
  // M-50: the answer to a SEND goes to the previous hop only, every other along the whole way back.
  const to = record[R_KIND] === KIND_SEND ? firstUri(FROM_URIS) : slice(record[R_FROM]!, record[R_FROM_LENGTH]!)
  const from = record[R_TO_COUNT]! > 0 ? firstUri(TO_URIS) : ourUri
  const lines = headers.map(([name, value]) => `${name}: ${Buffer.from(value).toString('latin1')}\r\n`).join('')
  return `MSRP ${tid} ${status} ${comment}\r\nTo-Path: ${to}\r\nFrom-Path: ${from}\r\n${lines}-------${tid}$\r\n`
}

/** A failure REPORT about a chunk that went on, to its original sender (R-49, M-54). */
export function failureReport(send: ForwardedSend, status: number, comment: string): string {
  const tid = reportTid()
  const start = send.range?.start ?? 1
  const total = send.range?.total ?? '*'
  return (
    `MSRP ${tid} REPORT\r\nTo-Path: ${send.fromPath.replace(/ +/g, ' ')}\r\nFrom-Path: ${send.ourUris.replace(/ +/g, ' ')}\r\n` +
    `Message-ID: ${send.messageId}\r\nByte-Range: ${start}-${start + send.bodyLength - 1}/${total}\r\n` +
    `Status: 000 ${String(status).padStart(3, '0')} ${comment}\r\n-------${tid}$\r\n`
  )
}

/** A transaction id that nobody answers: 16 characters, 90 random bits (M-4). */
function reportTid(): string {
  let tid = 'r'
  for (const octet of randomBytes(15)) tid += idAlphabet[octet & 63]
  return tid
}
