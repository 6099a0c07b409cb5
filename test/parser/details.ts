import type { Limits } from '../support/events.ts'

export const uri = 'msrp://h:1/a;tcp'
export const paths = `To-Path: ${uri}\r\nFrom-Path: ${uri}\r\n`

/** A SEND with more header lines; `body` comes with the CRLF after it. */
export function send(lines: string, body = '', flag = '$'): string {
  return `MSRP abcd SEND\r\n${paths}Message-ID: m\r\n${lines}${body === '' ? '' : `\r\n${body}`}-------abcd${flag}\r\n`
}

function toPath(value: string): string {
  return `MSRP abcd SEND\r\nTo-Path: ${value}\r\nFrom-Path: ${uri}\r\nMessage-ID: m\r\n-------abcd$\r\n`
}

function frame(start: string, lines: string, flag = '$'): string {
  return `MSRP abcd ${start}\r\n${lines}-------abcd${flag}\r\n`
}

const plain = 'Content-Type: text/plain\r\n'
const ok = 'SEND $ bodiless'

interface Detail {
  readonly rule: string
  readonly stream: string
  readonly gives: readonly string[]
  readonly limits?: Partial<Limits>
}

/** Streams, and what every reader makes of them. */
export const details: readonly Detail[] = [
  // Between frames
  { rule: 'an empty stream holds nothing', stream: '', gives: [] },
  {
    rule: '8 CRLF pairs between frames are skipped (M-13)',
    stream: send('') + '\r\n'.repeat(8) + send(''),
    gives: [ok, ok],
  },
  {
    rule: 'a 9th CRLF pair is no start line (M-13)',
    stream: send('') + '\r\n'.repeat(9) + send(''),
    gives: [ok, 'bad-start-line close'],
  },
  {
    rule: 'a CR after 8 pairs cannot begin anything',
    stream: `${'\r\n'.repeat(8)}\r`,
    gives: ['bad-start-line close'],
  },
  { rule: 'skipped CRLFs at the end of the stream are no loss', stream: `${send('')}\r\n\r\n`, gives: [ok] },
  {
    rule: 'a lone CR at the end of the stream is truncated',
    stream: `${send('')}\r`,
    gives: [ok, 'truncated discard'],
  },
  {
    rule: 'a lone LF between frames is no start line (M-13)',
    stream: `${send('')}\n${send('')}`,
    gives: [ok, 'bad-start-line close'],
  },
  // Start lines
  {
    rule: 'a start line that ends with the stream is truncated',
    stream: 'MSRP abcd SEN',
    gives: ['truncated discard'],
  },
  {
    rule: 'what can become no start line is refused before its line ends',
    stream: 'GET',
    gives: ['bad-start-line close'],
  },
  {
    rule: 'a transaction id begins with a letter or digit (M-3)',
    stream: 'MSRP .bcd',
    gives: ['bad-start-line close'],
  },
  {
    rule: 'a trailing SP after a status code is an empty comment (M-2)',
    stream: frame('200 ', paths),
    gives: ['200 $ bodiless'],
  },
  { rule: 'a status code has three digits (M-2)', stream: frame('2000', paths), gives: ['bad-start-line close'] },
  {
    rule: 'a method is not followed by a comment (M-2)',
    stream: frame('SEND now', paths),
    gives: ['bad-start-line close'],
  },
  {
    rule: 'a control character in a comment is refused (M-2)',
    stream: frame('200 O\u0001K', paths),
    gives: ['bad-start-line close'],
  },
  {
    rule: 'a bare CR in a comment is refused (M-13)',
    stream: frame('200 O\rK', paths),
    gives: ['bad-start-line close'],
  },
  {
    rule: 'nothing is read after a bad start line (M-60)',
    stream: `MSRP\r\n${send('')}`,
    gives: ['bad-start-line close'],
  },
  // Ends of frames
  {
    rule: 'flags + and # on a SEND (M-6)',
    stream: send('', '', '+') + send('', '', '#'),
    gives: ['SEND + bodiless', 'SEND # bodiless'],
  },
  {
    rule: "another frame's end-line among the headers is a bad header line (M-60)",
    stream: send('-------abce$\r\n'),
    gives: ['bad-header-line respond-400'],
  },
  {
    rule: 'an end-line with a bad flag among the headers is a bad header line (M-10)',
    stream: send('-------abcd!\r\n'),
    gives: ['bad-header-line respond-400'],
  },
  {
    rule: 'the CRLF before the end-line may be the empty line only once (M-11)',
    stream: send(plain, '\r\n'),
    gives: ['SEND $ 0'],
  },
  {
    rule: 'a body may begin with its own end-line text if more follows (M-10)',
    stream: send(plain, '-------abcd$\r\r\n'),
    gives: ['SEND $ 13'],
  },
  {
    rule: 'a body may end in its own end-line text without the CRLF (M-10)',
    stream: send(plain, 'x\r\n-------abcd\r\n'),
    gives: ['SEND $ 14'],
  },
  {
    rule: 'the stream ends inside a malformed frame: truncated',
    stream: 'MSRP abcd SEND\r\nbad\r\n',
    gives: ['truncated discard'],
  },
  // Header lines
  { rule: 'an empty value passes in an unknown header (M-24)', stream: send('X:\r\nY: \t\r\n'), gives: [ok] },
  { rule: 'a nameless header line (M-25)', stream: send(': x\r\n'), gives: ['bad-header-line respond-400'] },
  {
    rule: 'a header name begins with a letter (M-25)',
    stream: send('1x: x\r\n'),
    gives: ['bad-header-line respond-400'],
  },
  { rule: 'DEL in a value (M-12)', stream: send('X: \u007f\r\n'), gives: ['bad-header-line respond-400'] },
  {
    rule: 'a CR before the CRLF of a header (M-13)',
    stream: send('X: x\r\r\n'),
    gives: ['bad-header-line respond-400'],
  },
  {
    rule: 'sync is kept over a bad header (M-62)',
    stream: send('bad\r\n') + send(''),
    gives: ['bad-header-line respond-400', ok],
  },
  // Which problem
  { rule: 'no header at all: To-Path is missing (M-20)', stream: frame('SEND', ''), gives: ['missing-to-path drop'] },
  {
    rule: 'a malformed first line comes before the missing To-Path',
    stream: frame('SEND', 'bad\r\n'),
    gives: ['bad-header-line drop'],
  },
  {
    rule: 'a missing From-Path comes before a malformed second line',
    stream: frame('SEND', `To-Path: ${uri}\r\nbad\r\n`),
    gives: ['missing-from-path drop'],
  },
  {
    rule: 'the path order comes before a bad URI in the first line',
    stream: frame('SEND', `To-Path: x\r\nX: y\r\nFrom-Path: ${uri}\r\n`),
    gives: ['path-order respond-400'],
  },
  {
    rule: 'a second To-Path is a repeat, also where From-Path should stand (M-39)',
    stream: frame('SEND', `To-Path: ${uri}\r\nTo-Path: ${uri}\r\nX: y\r\nFrom-Path: ${uri}\r\n`),
    gives: ['duplicate-header respond-400'],
  },
  {
    rule: 'two To-Paths and no From-Path: From-Path is missing (M-20)',
    stream: frame('SEND', `To-Path: ${uri}\r\nTo-Path: ${uri}\r\n`),
    gives: ['missing-from-path drop'],
  },
  {
    rule: 'the shortest start lines (M-2, M-3)',
    stream: frame('A', paths) + frame('000', paths),
    gives: ['A $ bodiless', '0 $ bodiless'],
  },
  {
    rule: 'the first bad line is reported',
    stream: send(`Byte-Range: 0\r\nStatus: x\r\n`),
    gives: ['bad-byte-range respond-400'],
  },
  {
    rule: 'a repeat is reported before its bad value',
    stream: send('Message-ID: a b\r\n'),
    gives: ['duplicate-header respond-400'],
  },
  {
    rule: 'a bad value is reported before its place after Content-Type',
    stream: send(`${plain}Expires: x\r\n`, 'x\r\n'),
    gives: ['bad-expires respond-400'],
  },
  {
    rule: 'a missing Message-ID comes before a missing Status (M-52)',
    stream: frame('REPORT', paths),
    gives: ['missing-message-id drop'],
  },
  {
    rule: 'a missing Status comes before a forbidden header (M-52)',
    stream: frame('REPORT', `${paths}Message-ID: m\r\nSuccess-Report: no\r\n`),
    gives: ['missing-status drop'],
  },
  {
    rule: 'a body in a response comes before a bad flag (M-61)',
    stream: frame('200', `${paths}\r\n\r\n`, '+'),
    gives: ['body-in-response drop'],
  },
  {
    rule: 'a MIME header without a body comes before a bad flag (M-22)',
    stream: frame('AUTH', `${paths}Content-ID: x\r\n`, '#'),
    gives: ['mime-header-without-body respond-400'],
  },
  ...['Content-', 'content-X', 'Content-ID', 'Content-Disposition', 'CONTENT-WHATEVER-ELSE'].map((name) => ({
    rule: `${name} is a MIME header (M-21, M-22)`,
    stream: send(`${name}: x\r\n`),
    gives: ['mime-header-without-body respond-400'],
  })),
  { rule: 'Contents is no MIME header (M-22)', stream: send('Contents: x\r\n'), gives: [ok] },
  {
    rule: 'a MIME header in a response (M-22)',
    stream: frame('200', `${paths}Content-Language: x\r\n`),
    gives: ['mime-header-without-body drop'],
  },
  // Repeats
  ...[
    'Byte-Range: 1-1/1',
    'Success-Report: no',
    'Failure-Report: yes',
    'Status: 000 200',
    'Expires: 1',
    'Min-Expires: 1',
    'Max-Expires: 1',
    `Use-Path: ${uri}`,
    'Authentication-Info: a',
    'Use-Nickname: a',
  ].map((line) => ({
    rule: `a second ${line.slice(0, line.indexOf(':'))} is refused (M-39)`,
    stream: send(`${line}\r\n${line}\r\n`),
    gives: ['duplicate-header respond-400'],
  })),
  ...['WWW-Authenticate: Digest a=b', 'Authorization: Digest a=b', 'X: y'].map((line) => ({
    rule: `${line.slice(0, line.indexOf(':'))} may repeat (M-39)`,
    stream: send(`${line}\r\n${line}\r\n`),
    gives: [ok],
  })),
  // Answers
  {
    rule: 'a malformed SEND with Failure-Report no is not answered (M-51)',
    stream: send('Failure-Report: NO\r\nbad\r\n'),
    gives: ['bad-header-line drop'],
  },
  {
    rule: 'the first valid Failure-Report counts (M-51)',
    stream: send('Failure-Report: maybe\r\nFailure-Report: no\r\nFailure-Report: yes\r\n'),
    gives: ['bad-report-value drop'],
  },
  {
    rule: 'Failure-Report no means nothing in an AUTH (M-51)',
    stream: frame('AUTH', `${paths}Failure-Report: no\r\nbad\r\n`),
    gives: ['bad-header-line respond-400'],
  },
  {
    rule: 'without a parsable From-Path there is no answer (M-61)',
    stream: frame('SEND', `To-Path: ${uri}\r\nFrom-Path: ${uri} x\r\n`),
    gives: ['bad-uri drop'],
  },
  // Values
  ...[
    '1-1/1',
    '1-0/0',
    '01-01/01',
    '1-*/*',
    '9007199254740991-*/*',
    '10-*/5',
    '00000000000000000001-*/9007199254740991',
  ].map((value) => ({
    rule: `Byte-Range ${value} is good (M-31, M-34)`,
    stream: send(`Byte-Range: ${value}\r\n`),
    gives: [ok],
  })),
  ...[
    '',
    '0-1/1',
    '1-1',
    '1-/1',
    '-1/1',
    '1 - 1/1',
    '+1-1/1',
    '1-1/0x1',
    '*-1/1',
    '3-1/9',
    '1-5/4',
    '9007199254740992-*/*',
    '1-9007199254740992/*',
    '1-1/9007199254740992',
    '000000000000000000001-1/1',
    '1-1/1;a',
  ].map((value) => ({
    rule: `Byte-Range "${value}" is bad (M-34)`,
    stream: send(`Byte-Range: ${value}\r\n`),
    gives: ['bad-byte-range respond-400'],
  })),
  ...['000 200', '000 200 ', '999 999 a  b', '000 200 Стоп'].map((value) => ({
    rule: `Status "${value}" is good (M-35)`,
    stream: send(`Status: ${value}\r\n`),
    gives: [ok],
  })),
  ...['', '000', '000  200', '000\t200', '00 200', '000 20', '000 2000', '000 200OK'].map((value) => ({
    rule: `Status "${value}" is bad (M-35)`,
    stream: send(`Status: ${value}\r\n`),
    gives: ['bad-status respond-400'],
  })),
  ...['0', '4294967295', '0000000001'].map((value) => ({
    rule: `Expires ${value} is good (M-38)`,
    stream: send(`Expires: ${value}\r\n`),
    gives: [ok],
  })),
  ...['', '-1', '1 2', '4294967296', '9999999999', '00000000001', '1s'].map((value) => ({
    rule: `Max-Expires "${value}" is bad (M-38)`,
    stream: send(`Max-Expires: ${value}\r\n`),
    gives: ['bad-expires respond-400'],
  })),
  ...['a/b', 'a/b;c', 'a/b ; c=d\t;e="f;\\"g"', 'a/b;c="é\\\\"', '!/~'].map((value) => ({
    rule: `Content-Type ${value} is good (M-37)`,
    stream: send(`Content-Type: ${value}\r\n`, 'x\r\n'),
    gives: ['SEND $ 1'],
  })),
  ...[
    '',
    'a',
    'a/',
    '/b',
    'a /b',
    'a/b/c',
    'a/b;',
    'a/b;c=',
    'a/b;c = d',
    'a/b;"c"',
    'a/b;c="d',
    'a/b;c="d\\"',
    'a/b;c="d"e',
    'a/b c',
    'a/é',
  ].map((value) => ({
    rule: `Content-Type "${value}" is bad (M-37)`,
    stream: send(`Content-Type: ${value}\r\n`, 'x\r\n'),
    gives: ['bad-content-type respond-400'],
  })),
  {
    rule: 'a Message-ID of 256 octets is good (M-28)',
    stream: frame('SEND', `${paths}Message-ID: ${'x'.repeat(256)}\r\n`),
    gives: [ok],
  },
  ...['', 'x'.repeat(257), 'a b', 'é'].map((value) => ({
    rule: `a Message-ID of ${value.length} octets "${value.slice(0, 3)}" is bad (M-28)`,
    stream: frame('SEND', `${paths}Message-ID: ${value}\r\n`),
    gives: ['bad-message-id respond-400'],
  })),
  // URIs
  ...[
    'msrp://h;tcp',
    'MSRPS://h:0000002855/a;TCP',
    'msrp://@h;tcp',
    "msrp://a:b%41~!$&'()*+,=@h%6F.x;tcp",
    'msrp://[::]:1;tcp',
    'msrp://[1:2:3:4:5:6:1.2.3.4]:1/a;tcp',
    'msrp://h//;tcp',
    'msrp://h/a/b;x9;a;b=c',
    `${uri}  ${uri}`,
  ].map((value) => ({ rule: `path ${value} is good (U-1, M-27)`, stream: toPath(value), gives: [ok] })),
  ...[
    '',
    'msrp:',
    'msrp://',
    'msrp://;tcp',
    'sip://h;tcp',
    'msrp://h',
    'msrp://h;',
    'msrp://h;t-p',
    'msrp://h:;tcp',
    'msrp://h:0;tcp',
    'msrp://h:65536;tcp',
    'msrp://h:00000000001;tcp',
    'msrp://h:1a;tcp',
    'msrp://h/;tcp',
    'msrp://h/a%41;tcp',
    'msrp://h/a;tcp;',
    'msrp://h/a;tcp;a=',
    'msrp://h/a;tcp;a=b=c',
    'msrp://h%4;tcp',
    'msrp://a@b@h;tcp',
    'msrp://2001:db8::1:2855/a;tcp',
    'msrp://[::1;tcp',
    'msrp://[]:1;tcp',
    'msrp://[::1]a;tcp',
    'msrp://[fe80::1%1]:1;tcp',
    'msrp://[::1.2.3]:1;tcp',
    'msrp://[1:2:3:4:5:6:7]:1;tcp',
    'msrp://[1::2::3]:1;tcp',
    'msrp://é;tcp',
    `${uri}\t${uri}`,
    `${uri},${uri}`,
  ].map((value) => ({
    rule: `path "${value}" is bad (U-1, U-9)`,
    stream: toPath(value),
    gives: ['bad-uri respond-400'],
  })),
  // Limits
  {
    rule: 'start line limit: the last octet allowed (M-44)',
    stream: send(''),
    limits: { startLineOctets: 14 },
    gives: [ok],
  },
  {
    rule: 'start line limit: one octet over (M-44)',
    stream: send(''),
    limits: { startLineOctets: 13 },
    gives: ['bad-start-line close'],
  },
  {
    rule: 'header line limit: the last octet allowed (M-44)',
    stream: send('X: 4567890123456789012345678901\r\n'),
    limits: { headerLineOctets: 31 },
    gives: [ok],
  },
  {
    rule: 'header line limit: one octet over (M-44)',
    stream: send('X: 45678901234567890123456789012\r\n'),
    limits: { headerLineOctets: 31 },
    gives: ['header-limit respond-400-and-close'],
  },
  {
    rule: 'header line limit: a CR after the last octet allowed needs its LF (M-44)',
    stream: send('X: 4567890123456789012345678901\r?\r\n'),
    limits: { headerLineOctets: 31 },
    gives: ['header-limit respond-400-and-close'],
  },
  {
    rule: 'head limit: the last octet allowed (M-44)',
    stream: send(''),
    limits: { headOctets: send('').length },
    gives: [ok],
  },
  {
    rule: 'head limit: one octet over (M-44)',
    stream: send(''),
    limits: { headOctets: send('').length - 1 },
    gives: ['header-limit respond-400-and-close'],
  },
  {
    rule: 'head limit: the body does not count (M-44)',
    stream: send(plain, `${'x'.repeat(100)}\r\n`),
    limits: { headOctets: send(plain).length - 11 },
    gives: ['SEND $ 100'],
  },
  {
    rule: 'head limit: it counts for the second of two frames that end alike, too (M-44)',
    stream: send(plain, 'x\r\n') + send(plain, 'x\r\n').replace('ID: m', 'ID: mm'),
    limits: { headOctets: send(plain).length - 12 },
    gives: ['SEND $ 1', 'header-limit respond-400-and-close'],
  },
  {
    rule: 'header lines limit: the end-line is no header line (M-44)',
    stream: send(''),
    limits: { headerLines: 3 },
    gives: [ok],
  },
  {
    rule: 'header lines limit: malformed lines count (M-44)',
    stream: send('bad\r\n'),
    limits: { headerLines: 3 },
    gives: ['header-limit respond-400-and-close'],
  },
  {
    rule: 'header lines limit: a line that has not ended does not count yet',
    stream: send('').slice(0, -15),
    limits: { headerLines: 2 },
    gives: ['truncated discard'],
  },
  {
    rule: 'header lines limit: passed before the stream ends inside the next line (M-44)',
    stream: send('').slice(0, -10),
    limits: { headerLines: 2 },
    gives: ['header-limit respond-400-and-close'],
  },
  {
    rule: 'path limit: as many URIs as allowed (M-44)',
    stream: toPath(`${uri} ${uri}`),
    limits: { pathUris: 2 },
    gives: [ok],
  },
  {
    rule: 'path limit: no From-Path is known yet, so no answer (M-60)',
    stream: toPath(`${uri} ${uri} ${uri}`),
    limits: { pathUris: 2 },
    gives: ['header-limit close'],
  },
  {
    rule: 'a limit ends a response without an answer (M-61)',
    stream: frame('200', `${paths}X: y\r\n`),
    limits: { headerLines: 2 },
    gives: ['header-limit close'],
  },
]

/** Octets that are not UTF-8, as latin1 text. */
/** Header lines that are no UTF-8, octet by octet (M-12). */
export const badUtf8: readonly (readonly [rule: string, stream: string, gives: readonly string[]])[] = [
  ...[
    '\u0080',
    '\u00c0\u0080',
    '\u00e0\u0080\u0080',
    '\u00ed\u00a0\u0080',
    '\u00f4\u0090\u0080\u0080',
    '\u00f8',
    '\u00e2\u0082',
  ].map((bad) => {
    const octets = Buffer.from(bad, 'latin1').toString('hex')
    return [`octets ${octets} in a value (M-12)`, send(`X: ${bad}\r\n`), ['bad-header-line respond-400']] as const
  }),
  ['invalid UTF-8 in a comment (M-12)', frame('200 \u00e0\u0080', paths), ['bad-start-line close']],
  [
    'a comment that ends with the stream inside a UTF-8 sequence is truncated',
    'MSRP abcd 200 \u00e2\u0082',
    ['truncated discard'],
  ],
  ['a comment that can become no UTF-8 is refused at once', 'MSRP abcd 200 \u00e0\u0080', ['bad-start-line close']],
]
