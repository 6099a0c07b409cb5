import { Buffer, isUtf8 } from 'node:buffer'
import { mediaTypeOf } from './content.ts'

/** The head of a CPIM message (RFC 3862); its octets are never touched (C-2). */
export interface CpimHead {
  /** Values of a message header, in order; names are case-sensitive (C-1). */
  values(name: string): readonly string[]
  /** Prefix of the names of a namespace; null: it is not declared (C-4). */
  prefixOf(namespace: string): string | null
  /** Media type of what is inside, in lower case; null: none, or malformed. */
  readonly mediaType: string | null
  /** Content-Disposition of what is inside; null: none. */
  readonly disposition: string | null
}

/** A longer head is not read: nothing that we act upon takes as much. */
const headOctetsMax = 16_384

const empty = Buffer.from('\r\n\r\n')

/** Reads the two heads of a CPIM message; null: it is none. Only what stands in them is looked at, not the content. */
export function readCpim(body: Uint8Array): CpimHead | null {
  const octets = Buffer.from(body.buffer, body.byteOffset, Math.min(body.length, headOctetsMax))
  const first = octets.indexOf(empty)
  const second = first < 0 ? -1 : octets.indexOf(empty, first + empty.length)
  if (second < 0) return null
  const message = headersIn(octets.subarray(0, first))
  const content = headersIn(octets.subarray(first + empty.length, second))
  if (message === null || content === null) return null
  const values = (name: string) => message.filter((header) => header.name === name).map(({ value }) => value)
  // The names of MIME headers are not case-sensitive.
  const ofContent = (name: string) => content.find((header) => header.name.toLowerCase() === name)?.value ?? null
  return {
    values,
    prefixOf(namespace) {
      for (const value of values('NS')) {
        const [, prefix, uri] = /^([\w-]+) *<([^>]*)>$/.exec(value) ?? []
        if (prefix !== undefined && uri === namespace) return prefix
      }
      return null
    },
    mediaType: mediaTypeOf(ofContent('content-type') ?? ''),
    disposition: ofContent('content-disposition'),
  }
}

interface Header {
  readonly name: string
  readonly value: string
}

function headersIn(octets: Buffer): readonly Header[] | null {
  if (!isUtf8(octets)) return null
  const headers: Header[] = []
  for (const line of octets.toString('utf8').split('\r\n')) {
    const colon = line.indexOf(':')
    // C-1: no control characters; a bare CR or LF could become a line of its own where the value is copied to.
    if (colon <= 0 || /[\u0000-\u001f\u007f]/.test(line)) return null
    headers.push({ name: line.slice(0, colon), value: line.slice(colon + 1).trim() })
  }
  return headers
}
