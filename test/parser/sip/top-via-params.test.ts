import fc from 'fast-check'
import { expect, test } from 'vitest'
import { response, rewrite } from '../../../src/parser/sip/encoder.ts'
import { parseSipRequest } from '../../support/sip-parser.ts'

const requests = [
  'MESSAGE sip:bob@sip.test SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.1:5060;rport;branch=z9hG4bKa\r\nVia: SIP/2.0/TCP far.test;branch=z9hG4bKb\r\nMax-Forwards: 70\r\nFrom: <sip:alice@sip.test>;tag=1\r\nTo: <sip:bob@sip.test>\r\nCall-ID: c1\r\nCSeq: 1 MESSAGE\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello',
  'OPTIONS sip:sip.test SIP/2.0\r\nMax-Forwards: 70\r\nv: SIP/2.0/UDP one.test;branch=z9hG4bKa;received=1.2.3.4 ,\r\n SIP/2.0/UDP two.test\r\nf: <sip:a@sip.test>;tag=1\r\nt: <sip:b@sip.test>\r\ni: c2\r\nCSeq: 2 OPTIONS\r\nl: 0\r\n\r\n',
  'BYE sip:b@sip.test SIP/2.0\r\nTo: x\r\nVia: SIP/2.0/WS x.invalid;branch=z9hG4bKa\r\nX: 1\r\n\r\n',
]

/** The request with what was noted of where it came from. */
function noted(text: string, params: string) {
  const request = parseSipRequest(text)
  request.noteTopViaParams(params)
  return request
}

test.each(requests)('S-21: what is noted of the top Via is in all that is made of the request: %#', (text) => {
  const params = ';received=192.0.2.1;rport=4711'
  const plain = parseSipRequest(text)
  const anew = parseSipRequest(rewrite(plain, { topViaParams: params }).toString())
  const edits = {
    maxForwards: 9,
    prependVia: 'SIP/2.0/UDP us.test;branch=z9hG4bKus',
    append: [['X-Last', 'é']] as const,
  }
  expect(rewrite(noted(text, params), {})).toEqual(anew.octets)
  expect(rewrite(noted(text, params), edits)).toEqual(rewrite(anew, edits))
  const options = { toTag: 'us', headers: [['Contact', '"é" <sip:x@y.test>']] as const, body: 'ü' }
  expect(response(noted(text, params), 200, 'Schön', options)).toEqual(response(anew, 200, 'Schön', options))
  expect(anew.topVia?.params.get('received')).toBe('192.0.2.1')
  // What came is as it came.
  expect(noted(text, params).octets.toString()).toBe(text)
})

test('S-21: whatever the parameters', () => {
  fc.assert(
    fc.property(fc.constantFrom(...requests), fc.stringMatching(/^[a-z]{1,8}$/), fc.nat(65_535), (text, name, port) => {
      const params = `;${name}=${port}`
      const anew = rewrite(parseSipRequest(text), { topViaParams: params })
      expect(rewrite(noted(text, params), {})).toEqual(anew)
      expect(response(noted(text, params), 486, 'Busy')).toEqual(
        response(parseSipRequest(anew.toString()), 486, 'Busy'),
      )
    }),
  )
})
