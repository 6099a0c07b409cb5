import { expect, it } from 'vitest'
import type { SipRequest } from '../../../src/parser/sip/message.ts'
import { validate } from '../../../src/sip/proxy/validate.ts'
import { flowTo, ProxyBed, self } from '../../support/sip-proxy-bed.ts'
import { parse, request } from '../transactions/support.ts'

const { identity } = new ProxyBed()

function edited(message: SipRequest, from: string, to: string): SipRequest {
  return parse(message.octets.toString().replace(from, to)) as SipRequest
}

it('lets through what it knows nothing of: method, headers (S-41)', () => {
  const odd = request('FLY', { more: ['X-Wings: two', 'Require: wings', 'Date: not at all'] })
  expect(validate(odd, identity)).toBeNull()
})

it('refuses a scheme that is not SIP with 416 (S-11, S-40)', () => {
  expect(validate(request('MESSAGE', { uri: 'tel:+4912345' }), identity)).toMatchObject({ status: 416 })
})

it('refuses Max-Forwards 0 with 483, and takes 1 or none (S-40)', () => {
  const message = request('MESSAGE')
  expect(validate(edited(message, 'Forwards: 70', 'Forwards: 0'), identity)).toMatchObject({ status: 483 })
  expect(validate(edited(message, 'Forwards: 70', 'Forwards: 1'), identity)).toBeNull()
  expect(validate(edited(message, 'Max-Forwards: 70\r\n', ''), identity)).toBeNull()
})

it('refuses an unknown Proxy-Require with 420, and names it (S-40)', () => {
  const message = request('MESSAGE', { more: ['Proxy-Require: privacy, sec-agree', 'Proxy-Require: Known'] })
  const refused = validate(message, identity, new Set(['known']))
  expect(refused).toEqual({ status: 420, reason: 'Bad Extension', headers: [['Unsupported', 'privacy, sec-agree']] })
})

it('judges in the order of RFC 3261 16.3 (S-40)', () => {
  const all = edited(request('MESSAGE', { uri: 'tel:1', more: ['Proxy-Require: x'] }), 'Forwards: 70', 'Forwards: 0')
  expect(validate(all, identity)).toMatchObject({ status: 416 })
  expect(validate(edited(all, 'tel:1', 'sip:a@b'), identity)).toMatchObject({ status: 483 })
})

/** What the proxy has sent, come back to it by another proxy. */
function cameBack(change: (text: string) => string = (text) => text): SipRequest {
  const bed = new ProxyBed()
  const device = bed.device('other')
  const message = request('MESSAGE')
  bed.forward(message, [[flowTo(device, { requestUri: message.requestUri })]])
  const sent = device.last().octets.toString()
  const text = sent.replace('Via:', 'Via: SIP/2.0/UDP other.test;branch=z9hG4bKother\r\nVia:')
  return parse(change(text)) as SipRequest
}

it('refuses what comes back unchanged: a loop (S-45)', () => {
  expect(validate(cameBack(), identity)).toMatchObject({ status: 482, reason: 'Loop Detected' })
})

it('lets through what comes back for somebody else: a spiral (S-45)', () => {
  expect(
    validate(
      cameBack((text) => text.replace('bob@silo.test SIP', 'carol@silo.test SIP')),
      identity,
    ),
  ).toBeNull()
  const routed = (text: string) => text.replace('Max-Forwards', 'Route: <sip:x.test;lr>\r\nMax-Forwards')
  expect(validate(cameBack(routed), identity)).toBeNull()
})

it("does not take another proxy's Via for its own (S-45)", () => {
  expect(
    validate(
      cameBack((text) => text.replaceAll(self, 'backup.test')),
      identity,
    ),
  ).toBeNull()
})
