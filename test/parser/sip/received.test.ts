import fc from 'fast-check'
import { expect, test } from 'vitest'
import { response, rewrite } from '../../../src/parser/sip/encoder.ts'
import type { Received } from '../../../src/parser/sip/message.ts'
import { propertySeed } from '../../support/generators.ts'
import { parseSipRequest } from '../../support/sip-parser.ts'

const requests = [
  'MESSAGE sip:bob@sip.test SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.1:5060;rport;branch=z9hG4bKa\r\nVia: SIP/2.0/TCP far.test;branch=z9hG4bKb\r\nMax-Forwards: 70\r\nFrom: <sip:alice@sip.test>;tag=1\r\nTo: <sip:bob@sip.test>\r\nCall-ID: c1\r\nCSeq: 1 MESSAGE\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello',
  'OPTIONS sip:sip.test SIP/2.0\r\nMax-Forwards: 70\r\nv: SIP/2.0/UDP one.test;branch=z9hG4bKa;received=1.2.3.4 ,\r\n SIP/2.0/UDP two.test\r\nf: <sip:a@sip.test>;tag=1\r\nt: <sip:b@sip.test>\r\ni: c2\r\nCSeq: 2 OPTIONS\r\nl: 0\r\n\r\n',
  'BYE sip:b@sip.test SIP/2.0\r\nTo: x\r\nVia: SIP/2.0/WS x.invalid;branch=z9hG4bKa\r\nX: 1\r\n\r\n',
]

/** The request with what was noted of where it came from. */
function noted(text: string, received: Received) {
  const request = parseSipRequest(text)
  request.noteReceived(received)
  return request
}

test.each(requests)('S-21: what is noted of where it came from is in all that is made of the request: %#', (text) => {
  const received = { address: '192.0.2.1', port: 4711 }
  const anew = parseSipRequest(rewrite(noted(text, received), {}).toString())
  expect(anew.topVia?.params.get('received')).toBe('192.0.2.1')
  expect(anew.topVia?.params.get('rport')).toBe('4711')
  const edits = {
    maxForwards: 9,
    prependVia: 'SIP/2.0/UDP us.test;branch=z9hG4bKus',
    append: [['X-Last', 'é']] as const,
  }
  expect(rewrite(noted(text, received), edits)).toEqual(rewrite(anew, edits))
  const options = { toTag: 'us', headers: [['Contact', '"é" <sip:x@y.test>']] as const, body: 'ü' }
  expect(response(noted(text, received), 200, 'Schön', options)).toEqual(response(anew, 200, 'Schön', options))
  // What came is as it came.
  expect(noted(text, received).octets.toString()).toBe(text)
})

test('S-21: whatever the Via says already, what it says of that gives way, and all else stays', () => {
  const parameter = fc.oneof(
    fc.constantFrom('rport', 'RPort=5060', 'received=1.2.3.4', 'Received = 9.9.9.9', 'branch=z9hG4bKa', 'x="rport;,y"'),
    fc.stringMatching(/^[a-z]{1,8}$/),
  )
  const port = fc.option(fc.integer({ min: 1, max: 65_535 }), { nil: null })
  fc.assert(
    fc.property(fc.uniqueArray(parameter, { maxLength: 5 }), port, fc.constantFrom(';', ' ; '), (params, port, sep) => {
      const via = `SIP/2.0/UDP 10.0.0.1:5060${params.map((param) => sep + param).join('')}`
      const text = requests[0]!.replace(/SIP\/2\.0\/UDP 10[^\r]*/, () => via)
      const before = parseSipRequest(text)
      const after = parseSipRequest(rewrite(noted(text, { address: '192.0.2.1', port }), {}))
      const gives = (name: string) => name === 'received' || (name === 'rport' && port !== null)
      expect([...after.topVia!.params]).toEqual([
        ...[...before.topVia!.params].filter(([name]) => !gives(name)),
        ['received', '192.0.2.1'],
        ...(port === null ? [] : [['rport', `${port}`]]),
      ])
      expect(after.octets.toString().replace(/^Via: SIP\/2\.0\/UDP 10[^\r]*/m, () => `Via: ${via}`)).toBe(text)
    }),
    { seed: propertySeed() },
  )
})
