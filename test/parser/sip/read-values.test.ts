import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { SI_READ } from '../../../src/parser/kernel/sip-record.ts'
import { parseCSeq, parseNameAddr, parseVia } from '../../../src/parser/sip/values.ts'
import { propertySeed } from '../../support/generators.ts'
import { parseSipRequest } from '../../support/sip-parser.ts'

interface Values {
  readonly via: string
  readonly from: string
  readonly to: string
  readonly callId: string
  readonly cseq: string
}

const usual: Values = {
  via: 'SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKa;rport',
  from: '"Alice" <sip:alice@a.test;x=y>;tag=a1',
  to: '<sip:bob@b.test>',
  callId: 'c1@a.test',
  cseq: '1 MESSAGE',
}

function build(values: Partial<Values>) {
  const { via, from, to, callId, cseq } = { ...usual, ...values }
  return parseSipRequest(
    `MESSAGE sip:bob@b.test SIP/2.0\r\nVia: ${via}\r\nFrom: ${from}\r\nTo: ${to}\r\nCall-ID: ${callId}\r\nCSeq: ${cseq}\r\nContent-Length: 0\r\n\r\n`,
  )
}

const isRead = (values: Partial<Values>) => build(values).index[SI_READ] === 1

describe('values that nearly all messages have are read by the kernel', () => {
  test.each<Partial<Values>>([
    {},
    { via: 'SIP/2.0/TCP a.test;branch=z9hG4bKa;received=192.0.2.7;rport=4711' },
    { via: 'SIP/2.0/WSS df7jal23ls0d.invalid;branch=z9hG4bKa;alias' },
    { via: 'SIP/2.0/TLS proxy_1.a-b.test:5061;maddr=192.0.2.1' },
    { via: 'SIP/2.0/WS a.test' },
    { from: 'sip:alice@a.test;tag=x%y!~' },
    { from: 'Alice B <sips:alice@a.test?x=y>;tag=1;x' },
    { to: '<tel:+49123>;x=y;tag=2' },
    { cseq: '4294967295  MESSAGE' },
  ])('%o', (values) => {
    expect(isRead(values)).toBe(true)
    expect(build(values).problem).toBe(null)
  })

  test.each<[Partial<Values>, string | null]>([
    [{ via: 'SIP / 2.0 / UDP a.test;branch=z9hG4bKa' }, null],
    [{ via: 'SIP/2.0/UDP [2001:db8::1]:5060;branch=z9hG4bKa' }, null],
    [{ via: 'SIP/2.0/UDP a.test;branch=z9hG4bKa, SIP/2.0/UDP b.test' }, null],
    [{ via: 'SIP/2.0/UDP 256.0.2.1;branch=z9hG4bKa' }, 'bad-via'],
    [{ via: 'SIP/2.0/UDP 192.0.2.01' }, 'bad-via'],
    [{ via: 'SIP/2.0/UDP a-.test' }, 'bad-via'],
    [{ via: 'SIP/2.0/UDP a.test:0' }, 'bad-via'],
    [{ via: 'SIP/2.0/UDP a.test;' }, 'bad-via'],
    [{ from: '"A \\" B" <sip:alice@a.test>;tag=1' }, null],
    [{ from: '"Älice" <sip:alice@a.test>;tag=1' }, null],
    [{ from: '<sip:alice@a.test> ; tag = 1' }, null],
    [{ from: '<sip:alice@a.test>;tag="1"' }, null],
    [{ from: '<sip:alice@a.test>;tag=1;tag=2' }, null],
    [{ from: '<sip:ali ce@a.test>;tag=1' }, 'bad-from'],
    [{ from: '<sip:alice@a.test' }, 'bad-from'],
    [{ to: 'bob' }, 'bad-to'],
    [{ to: '<sip:bob@b.test>,' }, 'bad-to'],
    [{ callId: 'a b' }, 'bad-call-id'],
    [{ cseq: '4294967296 MESSAGE' }, 'bad-cseq'],
    [{ cseq: '1 message' }, 'cseq-method'],
  ])('others are left to those who read all: %o', (values, problem) => {
    expect(isRead(values)).toBe(false)
    expect(build(values).problem).toBe(problem)
  })
})

test('whatever is written, what the kernel has read is what is read otherwise (S-2 … S-13)', () => {
  const piece = fc.oneof(
    fc.constantFrom('<', '>', ';', '=', '"', ':', '@', ',', '.', ' ', '\t', '-', '_', '\\', '?', '[', ']', '%', 'é'),
    fc.constantFrom('sip:', 'tag', 'TAG=', ';tag=', ';branch=', 'rport', ';received=', 'a.test', '192.0.2.1', '5060'),
    fc.constantFrom('SIP/2.0/UDP ', 'SIP/2.0/', 'TCP', 'MESSAGE', 'alice', 'z9hG4bK', '4294967295', '0'),
  )
  /** A value that is written as usual, but for a piece here and there. */
  const damaged = (value: string) =>
    fc
      .array(fc.tuple(fc.nat(value.length), fc.nat(3), piece), { maxLength: 2 })
      .map((changes) => changes.reduce((text, [at, cut, put]) => text.slice(0, at) + put + text.slice(at + cut), value))
      .map((text) => text.replace(/^[ \t]+|[ \t]+$/g, ''))
  const values = fc.record({
    via: damaged(usual.via),
    from: damaged(usual.from),
    to: damaged(`${usual.to};tag=b1`),
    callId: damaged(usual.callId),
    cseq: damaged(usual.cseq),
  })
  let read = 0
  fc.assert(
    fc.property(values, (values) => {
      const message = build(values)
      if (message.index[SI_READ] !== 1) return
      read++
      for (const [found, text] of [
        [message.from!, values.from],
        [message.to!, values.to],
      ] as const) {
        const { displayName, uriText, uri, tag, params } = parseNameAddr(text)!
        expect([found.displayName, found.uriText, found.uri, found.tag, found.text]).toEqual([
          displayName,
          uriText,
          uri,
          tag,
          text,
        ])
        expect([...found.params]).toEqual([...params])
      }
      const { host, port, branch, rport, maddr, protocol } = parseVia(values.via)!
      const top = message.topVia!
      const found = [top.host, top.port, top.branch, top.rport, top.maddr, top.protocol, message.viaCount]
      expect(found).toEqual([host, port, branch, rport, maddr, protocol, 1])
      expect(message.cseq).toEqual(parseCSeq(values.cseq))
      expect(message.callId).toBe(values.callId)
    }),
    { numRuns: 20_000, seed: propertySeed() },
  )
  expect(read).toBeGreaterThan(1000)
})
