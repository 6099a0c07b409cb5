import { randomBytes } from 'node:crypto'

/** Header lines, names as written. */
export type Headers = readonly (readonly [name: string, value: string])[]
export type Params = ReadonlyMap<string, string | null>

/** RFC 3261's compact names and those of its extensions (S-4). */
const longNames: Readonly<Record<string, string>> = {
  a: 'accept-contact',
  b: 'referred-by',
  c: 'content-type',
  d: 'request-disposition',
  e: 'content-encoding',
  f: 'from',
  i: 'call-id',
  j: 'reject-contact',
  k: 'supported',
  l: 'content-length',
  m: 'contact',
  o: 'event',
  r: 'refer-to',
  s: 'subject',
  t: 'to',
  u: 'allow-events',
  v: 'via',
  x: 'session-expires',
  y: 'identity',
}

const longName = (name: string): string => {
  const lower = name.trim().toLowerCase()
  return longNames[lower] ?? lower
}

/** A Via value. */
export interface TextVia {
  /** The value as written. */
  readonly text: string
  readonly protocol: string
  /** host, or host:port. */
  readonly sentBy: string
  readonly branch: string | null
  readonly params: Params
}

/** A From, To, Contact, Route … value. */
export interface TextAddress {
  readonly text: string
  readonly displayName: string
  readonly uri: string
  readonly params: Params
}

/** What SIP requests and responses have in common, read with string functions only. */
abstract class TextMessage {
  readonly octets: Buffer
  readonly start: string
  /** Names in long form and lower case, values unfolded, in order. */
  readonly fields: Headers
  readonly body: Buffer

  constructor(octets: Buffer, start: string, fields: Headers, body: Buffer) {
    this.octets = octets
    this.start = start
    this.fields = fields
    this.body = body
  }

  header(name: string): string | null {
    return this.all(name)[0] ?? null
  }

  /** Every line of this header. */
  all(name: string): readonly string[] {
    const wanted = longName(name)
    return this.fields.filter(([field]) => field === wanted).map(([, value]) => value)
  }

  /** Every value of this header, comma lists taken apart. */
  list(name: string): readonly string[] {
    return this.all(name).flatMap((value) => splitOutside(value, ','))
  }

  get text(): string {
    return this.body.toString('utf8')
  }

  get vias(): readonly TextVia[] {
    return this.list('via').map(viaOf)
  }

  get contacts(): readonly TextAddress[] {
    return this.list('contact').map(addressOf)
  }

  get callId(): string {
    return this.header('call-id') ?? ''
  }

  get cseq(): { readonly number: number; readonly method: string } {
    const [, number = 'NaN', method = ''] = /^(\d+)\s+(\S+)$/.exec(this.header('cseq') ?? '') ?? []
    return { number: Number(number), method }
  }

  get from(): TextAddress {
    return addressOf(this.header('from') ?? '')
  }

  get to(): TextAddress {
    return addressOf(this.header('to') ?? '')
  }

  get fromTag(): string | null {
    return this.from.params.get('tag') ?? null
  }

  get toTag(): string | null {
    return this.to.params.get('tag') ?? null
  }
}

export class TextRequest extends TextMessage {
  readonly kind = 'request'

  get method(): string {
    return this.start.split(' ')[0] ?? ''
  }

  get uri(): string {
    return this.start.split(' ')[1] ?? ''
  }
}

export class TextResponse extends TextMessage {
  readonly kind = 'response'

  get status(): number {
    return Number(this.start.slice(8, 11))
  }

  get reason(): string {
    return this.start.slice(12)
  }
}

/** Reads a whole message, good or bad: `faultsOf` says what is wrong with it. */
export function readMessage(octets: Buffer): TextRequest | TextResponse {
  const end = octets.indexOf('\r\n\r\n')
  const head = octets.subarray(0, end < 0 ? octets.length : end).toString('utf8')
  const [start = '', ...lines] = head.replace(/\r\n[ \t]+/g, ' ').split('\r\n')
  const fields = lines.map((line): [string, string] => {
    const colon = line.indexOf(':')
    return colon < 0 ? [line, ''] : [longName(line.slice(0, colon)), line.slice(colon + 1).trim()]
  })
  const body = end < 0 ? Buffer.alloc(0) : octets.subarray(end + 4)
  const Message = start.startsWith('SIP/') ? TextResponse : TextRequest
  return new Message(octets, start, fields, body)
}

const tokenChars = "[A-Za-z0-9\\-.!%*_+`'~]+"
const requestLine = new RegExp(`^${tokenChars} [A-Za-z][A-Za-z0-9+.-]*:[^\\s<>]+ SIP/2\\.0$`)
const statusLine = /^SIP\/2\.0 [1-6]\d\d [^\r\n]*$/
const headerLine = new RegExp(`^${tokenChars}[ \\t]*:`)
const viaShape = /^SIP\s*\/\s*2\.0\s*\/\s*[\w-]+\s+(\[[0-9a-f:.]+\]|[^\s;:]+)(\s*:\s*\d+)?\s*(;.*)?$/i
const once = ['from', 'to', 'call-id', 'cseq', 'max-forwards', 'content-length', 'content-type', 'expires']

/** What a correct server never sends (S-1 … S-7, S-20), in words; empty for a sound message. */
export function faultsOf(message: TextRequest | TextResponse, isStream: boolean): string[] {
  const faults: string[] = []
  const check = (isRight: boolean, what: string) => {
    if (!isRight) faults.push(what)
  }
  const end = message.octets.indexOf('\r\n\r\n')
  check(end >= 0, 'no empty line ends the head')
  const head = message.octets.subarray(0, end < 0 ? message.octets.length : end).toString('latin1')
  check(!/(?<!\r)\n|\r(?!\n)|\0/.test(head), 'a bare CR, a bare LF or a NUL in the head')
  const shape = message.kind === 'request' ? requestLine : statusLine
  check(shape.test(message.start), `a bad start line "${message.start}"`)
  const lines = head
    .replace(/\r\n[ \t]+/g, ' ')
    .split('\r\n')
    .slice(1)
  for (const line of lines) check(headerLine.test(line), `a bad header line "${line}"`)

  const required = ['via', 'from', 'to', 'call-id', 'cseq', ...(message.kind === 'request' ? ['max-forwards'] : [])]
  for (const name of required) check(message.all(name).length > 0, `no ${name}`)
  for (const name of once) check(message.all(name).length <= 1, `more than one ${name}`)

  const { number, method } = message.cseq
  check(number < 2 ** 32, `a bad CSeq "${message.header('cseq')}"`)
  for (const { text } of message.vias) check(viaShape.test(text), `a bad Via "${text}"`)
  check(/^z9hG4bK./.test(message.vias[0]?.branch ?? ''), 'a top Via without a branch that begins with z9hG4bK')
  if (message.kind === 'request') {
    check(method === message.method, `CSeq of ${method} in a ${message.method}`)
    check(/^(\d|[1-9]\d|1\d\d|2[0-4]\d|25[0-5])$/.test(message.header('max-forwards') ?? ''), 'a bad Max-Forwards')
  } else {
    check(message.status === 100 || message.toTag !== null, `${message.status} without a To tag`)
  }

  const length = message.header('content-length')
  check(length !== null || !isStream, 'no Content-Length on a stream')
  const isRight = length === null || (/^\d+$/.test(length) && Number(length) === message.body.length)
  check(isRight, `Content-Length ${length} for ${message.body.length}`)
  check(message.body.length === 0 || message.header('content-type') !== null, 'a body without Content-Type')
  return faults
}

/** What is wrong with a response as an answer to this request of ours (S-21, S-23, RFC 3261 8.2.6.2). */
export function mismatchesOf(response: TextResponse, request: TextRequest, sourcePort: number | null): string[] {
  const faults: string[] = []
  const same = (name: string, got: unknown, sent: unknown) => {
    if (got !== sent) faults.push(`${name} "${got}" where "${sent}" was sent`)
  }
  const hop = ({ sentBy, branch }: TextVia) => `${sentBy} ${branch}`
  same('Via list', response.vias.map(hop).join(', '), request.vias.map(hop).join(', '))
  same('From', response.header('from'), request.header('from'))
  same('To URI', response.to.uri, request.to.uri)
  if (request.toTag !== null) same('To tag', response.toTag, request.toTag)
  same('Call-ID', response.callId, request.callId)
  same('CSeq', response.cseq.number, request.cseq.number)
  same('CSeq method', response.cseq.method, request.cseq.method)
  const asked = request.vias[0]?.params.get('rport') === null
  const via = response.vias[0]
  if (asked && sourcePort !== null && via !== undefined) {
    same('rport', via.params.get('rport'), `${sourcePort}`)
    if (via.params.get('received') === undefined) faults.push('rport without received')
  }
  return faults
}

/** Octets of a message: the start line, the headers as given, Content-Length and the body. */
export function messageText(start: string, headers: Headers, body: string | Uint8Array = ''): Buffer {
  const octets = Buffer.from(body)
  const lines = [start, ...headers.map(([name, value]) => `${name}: ${value}`)]
  return Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\nContent-Length: ${octets.length}\r\n\r\n`), octets])
}

/** Splits at a separator, but not inside quotes or angle brackets. */
export function splitOutside(text: string, separator: ',' | ';'): string[] {
  const parts = text.match(new RegExp(`(?:"(?:[^"\\\\]|\\\\.)*"|<[^>]*>|[^${separator}])+`, 'g')) ?? []
  return parts.map((part) => part.trim()).filter((part) => part !== '')
}

export function addressOf(text: string): TextAddress {
  const [, displayName = '', bracketed, after] = /^((?:"(?:[^"\\]|\\.)*"|[^"<])*)<([^>]*)>(.*)$/.exec(text) ?? []
  if (bracketed !== undefined) {
    return { text, displayName: displayName.trim(), uri: bracketed, params: paramsOf(splitOutside(after ?? '', ';')) }
  }
  const [uri = '', ...params] = splitOutside(text, ';')
  return { text, displayName: '', uri, params: paramsOf(params) }
}

function viaOf(text: string): TextVia {
  const [sent = '', ...rest] = splitOutside(text, ';')
  const params = paramsOf(rest)
  const at = sent.lastIndexOf(' ')
  const protocol = sent.slice(0, at).replace(/\s/g, '').split('/')[2] ?? ''
  return {
    text,
    protocol: protocol.toUpperCase(),
    sentBy: sent.slice(at + 1),
    branch: params.get('branch') ?? null,
    params,
  }
}

function paramsOf(parts: readonly string[]): Params {
  return new Map(
    parts.map((part) => {
      const at = part.indexOf('=')
      if (at < 0) return [part.toLowerCase(), null]
      return [part.slice(0, at).trim().toLowerCase(), part.slice(at + 1).trim()]
    }),
  )
}

/** Random, of `length` octets, in hex. */
export function token(length: number): string {
  return randomBytes(length).toString('hex')
}
