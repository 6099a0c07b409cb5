import fc from 'fast-check'
import { type SipLimits, sipLimits } from '../../src/parser/sip/parse.ts'
import { Random } from './random.ts'

/*
 * SIP messages for property tests, as test/support/generators.ts makes MSRP frames: fast-check draws a few integers, and
 * these make the octets. Strings hold an octet a character, until they are made octets.
 */

export type SipCaseKind = 'well-formed' | 'odd' | 'mutated' | 'small-limits' | 'garbage'

export interface SipCaseSeed {
  readonly seed: number
  readonly messages: number
  readonly mutations: number
  readonly cuts: number
}

export interface SipCase {
  readonly octets: Buffer
  readonly cuts: readonly number[]
  readonly limits: SipLimits
}

export const sipCaseSeeds: fc.Arbitrary<SipCaseSeed> = fc.record({
  seed: fc.integer(),
  messages: fc.integer({ min: 1, max: 3 }),
  mutations: fc.integer({ min: 1, max: 4 }),
  cuts: fc.integer({ min: 0, max: 6 }),
})

const utf8 = (text: string) => Buffer.from(text).toString('latin1')
const methods = ['INVITE', 'MESSAGE', 'REGISTER', 'OPTIONS', 'ACK', 'CANCEL', 'BYE', 'NEWMETHOD', "a-.!%*_+`'~9"]
const users = ['alice', 'bob', '%61lice', 'a;b=c', 'a%3Bb', '+1-555;x=y?z/&', 'nul%00l', '%C3%A9', '%e9', '%', "o'x(y)"]
const hosts = [
  'example.com',
  'EXAMPLE.org',
  '192.0.2.1',
  '[2001:db8::1]',
  'a_b.test',
  'host.invalid',
  'x.',
  '1.2.3',
  '[::g]',
]
const uriParams = [
  ';lr',
  ';transport=tcp',
  ';Transport=UDP',
  ';%6c%72',
  ';maddr=192.0.2.9',
  ';x=%25%34%31',
  ';a=b;a=c',
  ';user=phone',
]
const headerParams = [
  ';tag=1234',
  '; tag = x',
  ';expires=60',
  ';q="0.5"',
  ';a="x,;\\"y"',
  ';TAG=a=b',
  ';lr',
  `;u="${utf8('é')}"`,
]
const badParams = [';', ';;', ';=', ';a=', ';a="x', ' x', ',', ';a b']
const displayNames = [
  '',
  'Alice ',
  '"Alice, B" ',
  'A. B-C\t',
  '"\\"<sip:x>\\" \\\\"',
  `"${utf8('Ünïcødé')}" `,
  '"\\\u0000" ',
  'a',
]
const badNames = ['A, B ', '"open ', `${utf8('Ü')} `, 'a:b ', '"x" y ']
const unknownUris = ['tel:+1555', 'isbn:2983792873', 'urn:x:y', 'sip:', 'nouri', 'sip:a b@c', 'sip:@x', 'http://x/?y']
const folds = ['\r\n ', ' \r\n\t', '\r\n \r\n ', '  ', '\t', ' ']

/** One in so many choices is odd: legal or not, but rare. */
class Composer {
  readonly #random: Random
  readonly #odd: number

  constructor(random: Random, odd: number) {
    this.#random = random
    this.#odd = odd
  }

  #rare(): boolean {
    return this.#odd > 0 && this.#random.oneIn(this.#odd)
  }

  uri(): string {
    const random = this.#random
    if (this.#rare()) return random.pick(unknownUris)
    const good = (choices: readonly string[], count: number) =>
      this.#rare() ? random.pick(choices) : choices[random.below(count)]!
    const user = random.oneIn(4) ? '' : `${good(users, 3)}${random.oneIn(8) ? ':pa$s' : ''}@`
    const port = random.oneIn(3)
      ? `:${this.#rare() ? random.pick(['0', '65536', '99999', 'x']) : random.between(1, 65_535)}`
      : ''
    const params = random.oneIn(2) ? good(uriParams, 5) : ''
    const headers = this.#rare() ? random.pick(['?subject=x', '?a=b&c=d', '?', '?a', '?a=%20']) : ''
    return `${random.pick(['sip', 'sip', 'sips', 'SIP'])}:${user}${good(hosts, 6)}${port}${params}${headers}`
  }

  params(): string {
    const random = this.#random
    let text = ''
    for (let count = random.below(3); count > 0; count--) text += random.pick(headerParams)
    return this.#rare() ? text + random.pick(badParams) : text
  }

  nameAddr(): string {
    const random = this.#random
    const uri = this.uri()
    if (random.oneIn(5)) return `${uri}${this.params()}`
    const name = this.#rare() ? random.pick(badNames) : random.pick(displayNames)
    return `${name}<${this.#rare() ? ` ${uri}` : uri}>${this.params()}`
  }

  via(): string {
    const random = this.#random
    const slash = this.#rare() ? random.pick([' / ', '/ ', '\t/']) : '/'
    const host = this.#rare() ? random.pick(hosts) : random.pick(hosts.slice(0, 6))
    const port = random.oneIn(2) ? `${this.#rare() ? ' : ' : ':'}${random.between(1, 65_535)}` : ''
    const branch = random.oneIn(8) ? '' : `;branch=z9hG4bK${random.letters('abc123-._', 1, 12)}`
    const params = this.#rare()
      ? random.pick([';rport', ';received=192.0.2.3', ';;', '; rport = 1 ;x', ';ttl=1;ttl=2'])
      : ''
    return `SIP${slash}2.0${slash}${random.pick(['UDP', 'tcp', 'TLS', 'WSS', 'X-y'])} ${host}${port}${branch}${params}`
  }

  list(one: () => string, most: number): string {
    let text = one()
    for (let count = this.#random.below(most); count > 0; count--)
      text += `${this.#random.pick([',', ', ', ' ,'])}${one()}`
    return this.#rare() ? `${text},` : text
  }

  #fold(text: string): string {
    return this.#rare() ? text.replace(/[ \t]/, this.#random.pick(folds)) : text
  }

  line(name: string, value: string): string {
    const random = this.#random
    const spelled = this.#rare() ? random.pick([name.toUpperCase(), name.toLowerCase(), `${name} `, `${name}\t`]) : name
    const blank = this.#rare() ? random.pick(['', '\t', '   ', ...folds]) : ' '
    return `${spelled}:${blank}${this.#fold(value)}${this.#rare() ? random.pick([' ', '\t ', '\r\n ']) : ''}\r\n`
  }

  message(stream: boolean): string {
    const random = this.#random
    const method = random.pick(methods)
    const isRequest = !random.oneIn(4)
    const cseqMethod = this.#rare() ? random.pick(methods) : method
    const cseq = this.#rare()
      ? random.pick(['4294967296', '-1', '007', 'x', '4294967295', ''])
      : `${random.below(2 ** 31)}`
    const pick = (...names: string[]) => random.pick(names)
    const some = (times: number, make: () => string) => (random.oneIn(times) ? [make()] : [])
    const lines = [
      this.line(
        pick('Via', 'v'),
        this.list(() => this.via(), 2),
      ),
      ...some(3, () => this.line(pick('Via', 'v'), this.via())),
      ...some(2, () =>
        this.line('Max-Forwards', this.#rare() ? random.pick(['256', '-1', 'x', '']) : `${random.below(256)}`),
      ),
      this.line(pick('From', 'f'), this.nameAddr()),
      this.line(pick('To', 't'), this.nameAddr()),
      this.line(
        pick('Call-ID', 'i'),
        this.#rare() ? random.pick(['', 'a b', utf8('é')]) : random.letters('abc@./"[]', 1, 20),
      ),
      this.line('CSeq', `${cseq} ${cseqMethod}`),
      ...some(2, () => this.line(pick('Contact', 'm'), this.#rare() ? '*' : this.list(() => this.nameAddr(), 2))),
      ...some(4, () =>
        this.line(
          'Route',
          this.list(() => this.nameAddr(), 2),
        ),
      ),
      ...some(6, () => this.line('Route', this.nameAddr())),
      ...some(6, () =>
        this.line(
          'Record-Route',
          this.list(() => this.nameAddr(), 2),
        ),
      ),
      ...some(6, () => this.line('Path', this.nameAddr())),
      ...some(4, () =>
        this.line('Expires', this.#rare() ? random.pick(['4294967296', '1.5', '']) : `${random.below(7200)}`),
      ),
      ...some(4, () => this.line(pick('Supported', 'k'), random.pick(['path, outbound', 'path', '', 'a,,b']))),
      ...some(6, () => this.line(pick('Subject', 's'), random.pick(['a, b', utf8('Grüße'), '']))),
      ...some(6, () => this.line('Authorization', 'Digest a="b, c", d="e"')),
      ...some(6, () => this.line('x-unknown', random.pick([';;,,;', '"', '<', 'a,b']))),
      ...some(6, () => this.line(pick('Allow-Events', 'u'), 'presence,x')),
      ...some(6, () => this.line(pick('Content-Type', 'c'), 'text/plain')),
    ]
    if (this.#rare()) lines.splice(random.below(lines.length), 1)
    if (this.#rare()) lines.push(random.pick(lines))
    if (this.#rare())
      lines.push(random.pick(['no colon\r\n', ': x\r\n', 'a b: c\r\n', 'X-Unknown: a\nb\r\n', 'x: \r y\r\n']))
    if (this.#rare()) random.shuffle(lines)
    const body = random.oneIn(2) ? '' : random.letters('ab\r\n\u0000\u00ff', 0, 60)
    if (stream || !random.oneIn(4)) {
      const length = this.#rare()
        ? random.pick([`0${body.length}`, '-1', '5x', `${body.length + 3}`, '99999999999'])
        : `${body.length}`
      lines.splice(random.below(lines.length + 1), 0, this.line(pick('Content-Length', 'l'), length))
    }
    const version = this.#rare() ? random.pick(['sip/2.0', 'SIP/7.0', 'SIP/2', 'SIP/2.0 ', 'HTTP/1.1']) : 'SIP/2.0'
    const status = this.#rare() ? random.pick(['99', '700', '099', 'abc', '4294967301']) : `${random.between(100, 699)}`
    const sp = this.#rare() ? random.pick(['  ', '\t']) : ' '
    const start = isRequest
      ? `${method}${sp}${this.#rare() ? `<${this.uri()}>` : this.uri()} ${version}`
      : `${version} ${status}${this.#rare() ? '' : ` ${random.pick(['OK', '', utf8('Не найдено'), 'a  b '])}`}`
    return `${start}\r\n${lines.join('')}\r\n${body}`
  }
}

/** Changes one place: octets taken out, put in, doubled or replaced, mostly by those that mean something. */
function mutate(octets: Buffer, random: Random): Buffer {
  const at = random.below(octets.length + 1)
  const length = random.oneIn(3) ? random.below(40) : random.below(3)
  const rest = octets.subarray(Math.min(octets.length, at + length))
  const put = random.pick([
    '',
    '\r\n',
    '\r',
    '\n',
    ' ',
    ':',
    ',',
    ';',
    '"',
    '<',
    '>',
    '\\',
    '=',
    '@',
    '%',
    '\u0000',
    '\u00e9',
    '\r\n\r\n',
    '\r\n ',
    '0',
    'a',
  ])
  const cut = octets.subarray(0, at)
  const again = random.oneIn(8) ? octets.subarray(at, at + random.below(60)) : Buffer.alloc(0)
  return Buffer.concat([cut, Buffer.from(put, 'latin1'), again, random.oneIn(2) ? rest : octets.subarray(at)])
}

/** The octets that a seed stands for: a stream of messages, or of something like it. */
export function buildSipCase(
  kind: SipCaseKind,
  { seed, messages, mutations, cuts }: SipCaseSeed,
  stream: boolean,
): SipCase {
  const random = new Random(seed, 1)
  const composer = new Composer(random, kind === 'well-formed' ? 0 : kind === 'odd' ? 24 : 80)
  let octets: Buffer = Buffer.alloc(0)
  if (kind === 'garbage') {
    octets = Buffer.from(random.letters('SIP/2.0 OPTIONS sip:a@b\r\n\r\n:,;"<>\u0000\u00ff', 0, 200), 'latin1')
  } else {
    for (let count = stream ? messages : 1; count > 0; count--) {
      const between = random.oneIn(3) ? random.pick(['\r\n', '\r\n\r\n', '\r\n\r\n\r\n', '\r']) : ''
      octets = Buffer.concat([
        octets,
        Buffer.from(kind === 'well-formed' ? '' : between, 'latin1'),
        Buffer.from(composer.message(stream), 'latin1'),
      ])
    }
  }
  if (kind === 'mutated' || kind === 'small-limits') {
    const changes = new Random(seed, 2)
    for (let count = mutations; count > 0; count--) octets = mutate(octets, changes)
  }
  const sizes = new Random(seed, 3)
  const limits =
    kind === 'small-limits'
      ? {
          startLine: sizes.between(20, 80),
          headerLine: sizes.between(30, 120),
          head: sizes.between(100, 900),
          headers: sizes.between(3, 20),
          body: sizes.between(0, 60),
        }
      : sipLimits
  const places = new Random(seed, 4)
  const at = Array.from({ length: cuts }, () => places.below(octets.length + 1)).sort((a, b) => a - b)
  return { octets, cuts: at, limits }
}
