import { hash } from 'node:crypto'
import fc from 'fast-check'
import {
  type ByteRangeSnapshot,
  defaultLimits,
  type FrameSnapshot,
  type Limits,
  type Reader,
  type StartSnapshot,
} from './events.ts'
import { Random } from './random.ts'

/*
 * MSRP streams for property tests. fast-check draws only a handful of integers a case; a small generator of our own
 * turns them into octets, which keeps hundreds of thousands of cases cheap. Frames, mutations and cuts each draw from a
 * sequence of their own, so that shrinking one of the counts leaves the rest of the case as it was.
 */

const digits = '0123456789'
const capitals = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ'
const alphanumeric = `${capitals}${capitals.toLowerCase()}${digits}`
const identCharacters = `${alphanumeric}.-+%=`
const tokenCharacters = `${alphanumeric}!#$%&'*+-.^_\`{|}~`
const sessionCharacters = `${alphanumeric}-._~+=/`
const hostCharacters = `${alphanumeric}-._~!$&'()*+,=`
const visible = Array.from({ length: 0x7e - 0x20 }, (_, index) => String.fromCharCode(0x21 + index)).join('')
const words = [
  'OK',
  'a',
  'Стоп',
  '100%',
  'é',
  '\u{1f600}',
  '日本語',
  '\ufeff',
  '\u0080',
  '\u07ff',
  '\uffff',
  '"q"',
  ':',
  '-------',
  '€',
]
const ipv6 = [
  '::',
  '::1',
  '2001:db8::7',
  '1:2:3:4:5:6:7:8',
  '::ffff:192.0.2.1',
  'FE80::a:0',
  '1:2:3:4:5:6:1.2.3.4',
  '1::8',
  '1:2:3:4:5:6:7::',
]

/** One well-formed frame and what a reader must make of it. */
export interface GeneratedFrame {
  readonly octets: Buffer
  readonly frame: FrameSnapshot
}

export function generateUri(random: Random): string {
  const scheme = random.pick(['msrp', 'msrps', 'MSRP', 'mSrPs'])
  const userinfo = random.oneIn(4) ? `${random.pick(['', 'alice', '%41b', 'a:b', "~!$&'()*+,="])}@` : ''
  const host = random.oneIn(5)
    ? `[${random.pick(ipv6)}]`
    : random.oneIn(4)
      ? random.letters(hostCharacters, 1, 12) + random.pick(['', '%6F', '%fe'])
      : random.pick(['relay.example.net', 'alice.example.org', '192.0.2.1', 'h', 'df7jal23ls0d.invalid'])
  const port = random.oneIn(6)
    ? ''
    : `:${random.pick(['', '', '0', '00000'])}${random.pick(['1', '2855', '65535', '80'])}`
  const session = random.oneIn(6) ? '' : `/${random.letters(sessionCharacters, 1, 24)}`
  let parameters = ''
  while (random.oneIn(5)) {
    parameters += `;${random.letters(tokenCharacters, 1, 5)}${random.pick(['', `=${random.letters(tokenCharacters, 1, 5)}`])}`
  }
  return `${scheme}://${userinfo}${host}${port}${session};${random.pick(['tcp', 'ws', 'TCP', 'dc', 'sctp7'])}${parameters}`
}

function generatePath(random: Random): string[] {
  const count = random.oneIn(20) ? random.between(4, 20) : random.between(1, 3)
  return Array.from({ length: count }, () => generateUri(random))
}

function generateTid(random: Random): string {
  const least = random.oneIn(8) ? 31 : 3
  return (
    random.letters(alphanumeric, 1, 1) +
    random.letters(identCharacters, least, random.oneIn(8) ? 31 : Math.max(least, 9))
  )
}

function generateText(random: Random): string {
  const parts = Array.from({ length: random.between(0, 4) }, () =>
    random.oneIn(3) ? random.pick(words) : random.letters(visible, 1, 6),
  )
  return parts.join(random.pick([' ', '  ', '\t', '']))
}

/** What a reader strips: SP and HTAB only, so not `trim`, which takes other blanks and U+FEFF too. */
function strip(text: string): string {
  return text.replace(/^[ \t]+|[ \t]+$/g, '')
}

function generateByteRange(random: Random): { text: string; value: ByteRangeSnapshot } {
  const start = random.pick([1, 1, 1, 5, 2049, 4_294_967_297, Number.MAX_SAFE_INTEGER])
  const end = random.oneIn(2)
    ? '*'
    : Math.min(Number.MAX_SAFE_INTEGER, start - 1 + random.pick([0, 1, 2048, 8_589_934_592]))
  const least = end === '*' ? 0 : end
  const total = random.oneIn(3) ? '*' : Math.min(Number.MAX_SAFE_INTEGER, least + random.pick([0, 0, 1, 10_000]))
  const written = (part: number | '*') =>
    part !== '*' && random.oneIn(10) ? String(part).padStart(20, '0') : String(part)
  return { text: `${written(start)}-${written(end)}/${written(total)}`, value: { start, end, total } }
}

function generateContentType(random: Random): string {
  let value = random.pick(['text/plain', 'TEXT/Plain', 'message/cpim', 'a!/b~', 'multipart/mixed'])
  while (random.oneIn(3)) {
    value += random.pick([';', '; ', ' ;', '\t; \t']) + random.letters(tokenCharacters, 1, 6)
    value += random.pick(['', '=utf-8', '=""', '="x;y"', '="--x y\\"z"', '="\\\\"', '="é\\é"', '="a b\tc"'])
  }
  return value
}

/** Everything a head may hold beside the paths and Content-Type. */
function generateHeaders(
  random: Random,
  start: StartSnapshot,
): { headers: [string, string][]; byteRange?: ByteRangeSnapshot } {
  const method = start.kind === 'request' ? start.method : null
  const headers: [string, string][] = []
  if (method === 'SEND' || method === 'REPORT' || random.oneIn(3)) {
    headers.push(['Message-ID', random.oneIn(12) ? random.letters(visible, 1, 256) : generateTid(random)])
  }
  if (method === 'REPORT' || random.oneIn(12)) {
    const comment = strip(generateText(random))
    headers.push([
      'Status',
      `${random.letters(digits, 3, 3)} ${random.letters(digits, 3, 3)}${comment === '' ? '' : ` ${comment}`}`,
    ])
  }
  if (method !== 'REPORT') {
    if (random.oneIn(4)) headers.push(['Failure-Report', random.pick(['yes', 'no', 'partial', 'YES', 'No', 'parTIAL'])])
    if (random.oneIn(4)) headers.push(['Success-Report', random.pick(['yes', 'no', 'YES', 'nO'])])
  }
  for (const name of ['Expires', 'Min-Expires', 'Max-Expires']) {
    if (random.oneIn(method === 'AUTH' ? 2 : 12))
      headers.push([name, random.pick(['0', '600', '4294967295', '0000000060'])])
  }
  if (random.oneIn(10)) headers.push(['Use-Path', generatePath(random).join(random.pick([' ', '   ']))])
  if (random.oneIn(12)) headers.push(['Authentication-Info', 'rspauth="aa", cnonce="c", nc=00000001, qop=auth'])
  if (random.oneIn(12)) headers.push(['Use-Nickname', '"Ällice"'])
  while (random.oneIn(8))
    headers.push([random.pick(['WWW-Authenticate', 'Authorization']), 'Digest realm="r", nonce="n"'])
  while (random.oneIn(3)) {
    headers.push([
      random.pick(['X-A', 'To', 'To-Path-', 'Statu', 'Contents', 'x']) +
        random.pick(['', `.${random.letters(tokenCharacters, 0, 8)}`]),
      strip(generateText(random)),
    ])
  }
  if (!random.oneIn(3)) return { headers: random.shuffle(headers) }
  const { text, value } = generateByteRange(random)
  headers.push(['Byte-Range', text])
  return { headers: random.shuffle(headers), byteRange: value }
}

/** Body octets as latin1 text: plain, binary, and everything that nearly is the end-line (M-10). */
function generateBody(random: Random, tid: string): string {
  let body = ''
  for (let parts = random.below(6); parts > 0; parts--) {
    switch (random.below(6)) {
      case 0:
        body += random.letters(visible, 0, 60)
        break
      case 1:
        for (let count = random.below(40); count > 0; count--) body += String.fromCharCode(random.below(256))
        break
      case 2:
        body += random.pick(['\r\n', '\r', '\n', '\r\n\r\n', '-', '\r\n-------', '\u0000'])
        break
      case 3: {
        const opening = random.pick(['\r\n', '\n', '\r', '', ' ', '\r\n\r\n', '\r\r\n'])
        const hyphens = random.pick(['-------', '-------', '-------', '--------', '------'])
        const id = random.pick([tid, tid, tid, tid.slice(0, -1), `${tid}x`, tid.toLowerCase(), 'othr1'])
        body +=
          opening +
          hyphens +
          id +
          random.pick(['$', '+', '#', '!', '', '$$']) +
          random.pick(['\r\n', '\r\n', '\n', '\r', '', ' \r\n'])
        break
      }
      case 4:
        body += generateFrame(new Random(random.below(1000), 7), true).octets.toString('latin1')
        break
      default:
        body += random.pick(words.slice(0, 2)).repeat(random.below(50))
    }
  }
  return body
}

/** M-10, M-11: the body holds no end-line of its own frame, also not together with the octets around it. */
function isSafeBody(body: string, endLine: string): boolean {
  const opening = endLine.slice(0, -3)
  const around = `\r\n${body}\r\n${endLine}`
  for (let at = around.indexOf(`\r\n${opening}`); at < body.length + 2; at = around.indexOf(`\r\n${opening}`, at + 1)) {
    if (/^[$+#]\r\n/.test(around.slice(at + 2 + opening.length, at + 5 + opening.length))) return false
  }
  return true
}

/** A well-formed frame of any kind, with the spellings of names, blanks and URIs that readers must accept. */
export function generateFrame(random: Random, bodiless = false): GeneratedFrame {
  const tid = generateTid(random)
  const kind = random.below(20)
  const start: StartSnapshot =
    kind < 4
      ? {
          kind: 'response',
          tid,
          status: random.pick([200, 200, 400, 481, 799, 0, 99]),
          comment: random.oneIn(4) ? null : generateText(random),
        }
      : {
          kind: 'request',
          tid,
          method: kind < 14 ? 'SEND' : kind < 17 ? 'REPORT' : kind < 18 ? 'AUTH' : random.letters(capitals, 1, 9),
        }
  const isSend = start.kind === 'request' && start.method === 'SEND'
  const flag = isSend ? random.pick(['$', '$', '+', '#'] as const) : '$'
  const endLine = `-------${tid}${flag}\r\n`
  const toPath = generatePath(random)
  const fromPath = generatePath(random)
  const { headers: others, byteRange } = generateHeaders(random, start)
  const headers: [string, string][] = [
    ['To-Path', toPath.join(random.pick([' ', ' ', '  ']))],
    ['From-Path', fromPath.join(random.pick([' ', ' ', '   ']))],
    ...others,
  ]

  const candidate = start.kind === 'response' || bodiless || random.oneIn(4) ? null : generateBody(random, tid)
  const body = candidate === null || isSafeBody(candidate, endLine) ? candidate : 'plain'
  if (body !== null) {
    while (random.oneIn(6))
      headers.push([
        random.pick(['Content-ID', 'content-description', 'Content-Disposition', 'Content-X']),
        '<1@example.org>',
      ])
    headers.push(['Content-Type', generateContentType(random)])
  }

  let head = `MSRP ${tid} `
  if (start.kind === 'request') head += start.method
  else head += String(start.status).padStart(3, '0') + (start.comment === null ? '' : ` ${start.comment}`)
  head += '\r\n'
  for (const header of headers) {
    if (random.oneIn(5)) header[0] = random.oneIn(2) ? header[0].toUpperCase() : header[0].toLowerCase()
    head += `${header[0]}:${random.oneIn(4) ? random.pick(['', '  ', '\t', ' \t ']) : ' '}${header[1]}${random.oneIn(8) ? random.pick([' ', '\t ', '  ']) : ''}\r\n`
  }
  const afterHead =
    body === null ? endLine : body === '' && random.oneIn(2) ? `\r\n${endLine}` : `\r\n${body}\r\n${endLine}`
  const value = (name: string) => headers.find((header) => header[0].toLowerCase() === name)?.[1].toLowerCase()
  return {
    octets: Buffer.concat([Buffer.from(head, 'utf8'), Buffer.from(afterHead, 'latin1')]),
    frame: {
      ...start,
      toPath,
      fromPath,
      ...(byteRange === undefined ? {} : { byteRange }),
      ...(isSend
        ? {
            failureReport: (value('failure-report') ?? 'yes') as 'yes' | 'no' | 'partial',
            successReport: (value('success-report') ?? 'no') as 'yes' | 'no',
          }
        : {}),
      headers,
      flag,
      body: body === null ? null : { length: body.length, sha256: hash('sha256', Buffer.from(body, 'latin1'), 'hex') },
    },
  }
}

/** Lines that are wrong in some place: each error class of M-60 that needs a certain line is here. */
const poolOfLines = [
  'To-Path: msrp://h:1/a;tcp',
  'From-Path: msrp://h:1/a;tcp',
  'From-Path: msrp://h:0/a;tcp',
  'From-Path:',
  'To-Path: msrp://2001:db8::1:2855/a;tcp',
  'To-Path: msrp://[2001:db8::1::]:2855/a;tcp',
  'To-Path: msrp://[fe80::1%25eth0]:2855/a;tcp',
  'To-Path: msrp://h:65536/a;tcp msrp://h:1/a;tcp',
  'To-Path: msrp://h:1/a;tcp\tmsrp://h:1/a;tcp',
  'Use-Path: msrp://h:/a;tcp',
  'Use-Path: msrp://h:1/;tcp',
  'Message-ID: two words',
  `Message-ID: ${'x'.repeat(257)}`,
  'Message-ID:',
  'Success-Report: partial',
  'Failure-Report: NO',
  'Failure-Report: maybe',
  'Success-Report: yes',
  'Byte-Range: 0-1/1',
  'Byte-Range: 9007199254740992-*/*',
  'Byte-Range: 000000000000000000001-*/*',
  'Byte-Range: 5-3/9',
  'Byte-Range: 1-9/8',
  'Byte-Range: 1 -9/9',
  'Status: 000 200',
  'Status: 000  200 OK',
  'Status: 00 200',
  'Status: 000 2000',
  'Expires: 4294967296',
  'Min-Expires: 00000000001',
  'Max-Expires: -1',
  'Expires:',
  'Content-Type: text/plain',
  'Content-Type: text',
  'Content-Type: text/plain; charset',
  'Content-Type: text/plain;',
  'Content-Type: text/plain; a="b',
  'Content-Type: text/plain; a = b',
  'Content-ID: <x>',
  'content-x: y',
  'Content-: y',
  'Use-Nickname: a',
  'Authentication-Info: a',
  'Folded: a\r\n b',
  'No colon',
  'Blank : before',
  ': nameless',
  '1st: digit',
  'X-Control: a\u0001b',
  'X-Del: a\u007fb',
  'X-Bare: a\rb',
  'X-Bare: a\nb',
  'X-End: a\r',
  'X-Overlong: \u00c0\u0080',
  'X-Surrogate: \u00ed\u00a0\u0080',
  'X-Cut: \u00e2\u0082',
  'X-High: \u00f4\u0090\u0080\u0080',
  '-------',
  '-------abcd$',
  '',
]
const unfitLines = ['Success-Report: yes', 'Failure-Report: no', 'Content-ID: <x>', 'Status: 000 200']
const signs = [
  '\r',
  '\n',
  '\r\n',
  ' ',
  '\t',
  ':',
  '-',
  ';',
  '/',
  '$',
  '+',
  '#',
  '*',
  '0',
  '9',
  'A',
  'z',
  '"',
  '\\',
  '@',
  '[',
  ']',
  '%',
  '=',
  '\u0000',
  '\u007f',
  '\u0080',
  '\u00c3',
  '\u00ff',
]

/** One small or line-wise change of a stream, given and returned as latin1 text. */
function mutate(random: Random, stream: string, limits: Limits): string {
  const at = random.below(stream.length + 1)
  const few = random.between(1, 3)
  if (random.oneIn(2)) {
    switch (random.below(6)) {
      case 0:
        return stream.slice(0, at) + String.fromCharCode(random.below(256)) + stream.slice(at + 1)
      case 1:
        return stream.slice(0, at) + random.pick(signs) + stream.slice(at + 1)
      case 2:
        return stream.slice(0, at) + stream.slice(at + few)
      case 3:
        return stream.slice(0, at) + random.pick(signs) + stream.slice(at)
      case 4:
        return stream.slice(0, at)
      default: {
        const flagAt = stream.lastIndexOf('\r\n', at) - 1
        return flagAt < 0
          ? stream
          : stream.slice(0, flagAt) + random.pick(['$', '+', '#', '!']) + stream.slice(flagAt + 1)
      }
    }
  }
  const lines = stream.split('\r\n')
  const line = random.below(lines.length)
  switch (random.below(8)) {
    case 0:
      lines.splice(line, 1)
      break
    case 1:
      lines.splice(random.below(lines.length), 0, lines[line] ?? '')
      break
    case 2: {
      const other = Math.min(lines.length - 1, line + few)
      ;[lines[line], lines[other]] = [lines[other] ?? '', lines[line] ?? '']
      break
    }
    case 3:
      lines[line] = random.pick(poolOfLines)
      break
    case 4:
      if (limits.headOctets < defaultLimits.headOctets || random.oneIn(20))
        lines.splice(line, 0, ...generateBulk(random, limits))
      break
    case 5:
    case 6: {
      // Beside the paths, where only its presence can be wrong: a header that some kinds of frames must not have.
      const fromPathAt = lines.findIndex((text, index) => index >= line && /^from-path:/i.test(text))
      if (fromPathAt >= 0) lines.splice(fromPathAt + 1, 0, random.pick(unfitLines))
      break
    }
    default:
      lines.splice(line, 0, random.pick(poolOfLines))
  }
  return lines.join('\r\n')
}

/** Lines close to one of the limits, on either side of it. */
function generateBulk(random: Random, limits: Limits): string[] {
  const near = (limit: number) => Math.max(0, limit + random.between(-2, 2))
  switch (random.below(4)) {
    case 0:
      return [`X-Long: ${'y'.repeat(Math.max(0, near(limits.headerLineOctets) - 8))}`]
    case 1:
      return Array.from({ length: near(limits.headerLines) }, () => 'X:')
    case 2:
      return [`${random.pick(['To-Path', 'Use-Path', 'X'])}:${' msrp://h:1/a;tcp'.repeat(near(limits.pathUris))}`]
    default:
      return Array.from(
        { length: Math.ceil(near(limits.headOctets) / limits.headerLineOctets) },
        () => `X: ${'z'.repeat(Math.max(0, limits.headerLineOctets - 3))}`,
      )
  }
}

const morsels = [
  ...['MSRP ', 'MSRP abcd SEND\r\n', 'MSRP abcd REPORT\r\n', 'MSRP abcd 200\r\n', 'MSRP abcd 200 ', 'MSRP', 'msrp '],
  ...[
    'abcd',
    'SEND',
    ' ',
    '\r\n',
    '\r',
    '\n',
    '\r\n\r\n',
    '-------abcd$\r\n',
    '\r\n-------abcd$\r\n',
    '-------abcd',
    '$',
    '+\r\n',
  ],
  ...[
    'To-Path: msrp://h:1/a;tcp\r\n',
    'From-Path: msrp://h:1/a;tcp\r\n',
    'Message-ID: abcd\r\n',
    'Status: 000 200\r\n',
    'Content-Type: a/b\r\n',
  ],
  ...['\u00e2', '\u0082', '\u00ac', '\u0000', '200', 'GET / HTTP/1.1\r\n'],
]

/** Pieces of frames in no order at all, mostly after a start line so that the reader gets past it. */
function generateGarbage(random: Random): string {
  let stream = random.oneIn(4)
    ? ''
    : random.pick(['MSRP abcd SEND\r\n', 'MSRP abcd 200 OK\r\n', 'MSRP abcd REPORT\r\n'])
  for (let count = random.below(14); count > 0; count--) {
    stream += random.oneIn(12) ? String.fromCharCode(random.below(256)) : random.pick(morsels)
  }
  return stream
}

export type StreamKind = 'well-formed' | 'mutated' | 'mutated-small-limits' | 'garbage'

/** The integers that make a case; fast-check shrinks the three counts. `cuts` of 7 means octet by octet. */
export interface CaseSeed {
  readonly seed: number
  readonly frames: number
  readonly mutations: number
  readonly cuts: number
}

export interface StreamCase {
  readonly octets: Buffer
  /** Offsets at which the stream is cut into reads, ascending. */
  readonly cuts: readonly number[]
  readonly limits: Limits
  /** The frames of a well-formed stream, in order; null where the octets have been tampered with. */
  readonly frames: readonly FrameSnapshot[] | null
}

/** No stream is longer, so a reader under test needs to keep no larger body. */
export const streamOctetsMax = 196_608

const smallLimits: Limits = { startLineOctets: 60, headerLineOctets: 300, headOctets: 700, headerLines: 8, pathUris: 4 }

export const caseSeeds: fc.Arbitrary<CaseSeed> = fc.record({
  seed: fc.integer(),
  frames: fc.integer({ min: 1, max: 4 }),
  mutations: fc.integer({ min: 1, max: 4 }),
  // Octet by octet costs as much as ten other cases, so it is rarer.
  cuts: fc.oneof({ weight: 20, arbitrary: fc.integer({ min: 0, max: 6 }) }, { weight: 1, arbitrary: fc.constant(7) }),
})

export function buildCase(kind: StreamKind, { seed, frames, mutations, cuts }: CaseSeed): StreamCase {
  const limits = kind === 'mutated-small-limits' ? smallLimits : defaultLimits
  if (kind === 'garbage') {
    const octets = Buffer.from(generateGarbage(new Random(seed, 0)), 'latin1')
    return { octets, cuts: generateCuts(seed, cuts, octets.length), limits, frames: null }
  }
  const generated: GeneratedFrame[] = []
  const pieces: Buffer[] = []
  for (let index = 0; index < frames; index++) {
    const random = new Random(seed, 10 + index)
    const frame = generateFrame(random)
    generated.push(frame)
    // M-13: up to 16 octets of CRLF between frames.
    if (random.oneIn(6)) pieces.push(Buffer.from('\r\n'.repeat(random.below(9))))
    pieces.push(frame.octets)
  }
  let octets = Buffer.concat(pieces)
  if (kind !== 'well-formed') {
    const random = new Random(seed, 1)
    let stream = octets.toString('latin1')
    for (let index = 0; index < mutations; index++) stream = mutate(random, stream, limits)
    octets = Buffer.from(stream.slice(0, streamOctetsMax), 'latin1')
  }
  const expected = kind === 'well-formed' ? generated.map(({ frame }) => frame) : null
  return { octets, cuts: generateCuts(seed, cuts, octets.length), limits, frames: expected }
}

function generateCuts(seed: number, cuts: number, length: number): number[] {
  if (cuts === 7) return Array.from({ length: Math.max(0, length - 1) }, (_, index) => index + 1)
  const random = new Random(seed, 2)
  return Array.from({ length: cuts }, () => random.below(length + 1)).sort((a, b) => a - b)
}

/** Feeds the octets in reads that end at `cuts`, then the end of the stream. */
export function feedCut(reader: Reader, octets: Uint8Array, cuts: readonly number[]): void {
  let from = 0
  for (const cut of cuts) {
    reader.feed(octets.subarray(from, cut))
    from = cut
  }
  reader.feed(octets.subarray(from))
  reader.end()
}

/** The seed of this run: SILOPATH_SEED repeats an earlier one. Printed, so that every run can be repeated. */
export function propertySeed(): number {
  const given = process.env.SILOPATH_SEED
  const seed = given === undefined ? Math.floor(Math.random() * 0x7fff_ffff) : Number(given)
  if (!Number.isSafeInteger(seed)) throw new Error(`SILOPATH_SEED must be an integer, not ${given}`)
  console.log(`property seed ${seed} (repeat with SILOPATH_SEED=${seed})`)
  return seed
}
