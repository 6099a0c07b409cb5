import fc from 'fast-check'
import { expect, test } from 'vitest'
import { rewrite } from '../../../src/parser/sip/encoder.ts'
import { parseSip, parseSipRequest } from '../../support/sip-parser.ts'

const requests = [
  'MESSAGE sip:bob@sip.test SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.1:5060;rport;branch=z9hG4bKa\r\nVia: SIP/2.0/TCP far.test;branch=z9hG4bKb\r\nMax-Forwards: 70\r\nFrom: <sip:alice@sip.test>;tag=1\r\nTo: <sip:bob@sip.test>\r\nCall-ID: c1\r\nCSeq: 1 MESSAGE\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello',
  'OPTIONS sip:sip.test SIP/2.0\r\nMax-Forwards: 70\r\nv: SIP/2.0/UDP one.test;branch=z9hG4bKa;received=1.2.3.4 ,\r\n SIP/2.0/UDP two.test\r\nf: <sip:a@sip.test>;tag=1\r\nt: <sip:b@sip.test>\r\ni: c2\r\nCSeq: 2 OPTIONS\r\nl: 0\r\n\r\n',
  'BYE sip:b@sip.test SIP/2.0\r\nTo: x\r\nVia: SIP/2.0/WS x.invalid;branch=z9hG4bKa\r\nX: 1\r\n\r\n',
]

test.each(requests)('S-21: what is noted in the top Via leaves the view as if it had come so: %#', (text) => {
  const request = parseSipRequest(text)
  const params = ';received=192.0.2.1;rport=4711'
  const noted = request.withTopViaParams(params)
  const anew = parseSip(rewrite(request, { topViaParams: params }))
  expect(noted.octets).toEqual(anew.octets)
  // All that the index says of positions, and so all that is read by it.
  expect(noted.body).toEqual(anew.body)
  for (const name of ['Via', 'From', 'To', 'Call-ID', 'CSeq', 'Max-Forwards', 'Content-Length', 'X']) {
    expect(noted.headers(name), name).toEqual(anew.headers(name))
  }
  expect(noted.problem).toBe(anew.problem)
  expect(noted.topVia?.params.get('received')).toBe('192.0.2.1')
  expect(rewrite(noted, { removeTopVia: true })).toEqual(rewrite(anew, { removeTopVia: true }))
  // The request it was made from is as it was.
  expect(request.octets.toString()).toBe(text)
})

test('S-21: whatever the parameters', () => {
  fc.assert(
    fc.property(fc.constantFrom(...requests), fc.stringMatching(/^[a-z]{1,8}$/), fc.nat(65_535), (text, name, port) => {
      const request = parseSipRequest(text)
      const params = `;${name}=${port}`
      const anew = parseSip(rewrite(request, { topViaParams: params }))
      const noted = request.withTopViaParams(params)
      expect([noted.octets, noted.headers('Via'), noted.body]).toEqual([anew.octets, anew.headers('Via'), anew.body])
    }),
  )
})
