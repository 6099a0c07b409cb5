import { describe, expect, test } from 'vitest'
import { aorOf, parseSipUri, type SipUri, sipUriEqual } from '../../../src/parser/sip/uri.ts'

function uri(text: string): SipUri {
  const parsed = parseSipUri(text)
  if (parsed === null) throw new Error(`not a URI: ${text}`)
  return parsed
}

describe('URIs are equal (S-9)', () => {
  const equal: readonly (readonly [string, string])[] = [
    ['sip:alice@example.com', 'sip:alice@example.com'],
    ['sip:%61lice@example.com;transport=TCP', 'sip:alice@EXAMPLE.com;Transport=tcp'],
    ['SIP:alice@example.com', 'sip:alice@example.com'],
    ['sip:carol@chicago.test', 'sip:carol@chicago.test;newparam=5'],
    ['sip:carol@chicago.test', 'sip:carol@chicago.test;security=on'],
    ['sip:carol@chicago.test;newparam=5', 'sip:carol@chicago.test;security=on'],
    [
      'sip:chicago.test;transport=tcp;method=REGISTER?to=sip:bob%40x.test',
      'sip:chicago.test;method=REGISTER;transport=tcp?to=sip:bob%40x.test',
    ],
    [
      'sip:alice@atlanta.test?subject=project%20x&priority=urgent',
      'sip:alice@atlanta.test?priority=urgent&subject=project%20x',
    ],
    ['sip:a%3bb@example.com', 'sip:a%3Bb@example.com'],
    ['sip:alice@[2001:db8::1]', 'sip:alice@[2001:DB8:0:0::1]'],
    ['sip:alice@example.com;x=%61', 'sip:alice@example.com;x=A'],
    ['sip:alice:pa%73s@example.com', 'sip:alice:pass@example.com'],
    ['sip:example.com;lr', 'sip:example.com'],
    ['sip:a@example.com?Subject=X', 'sip:a@example.com?subject=x'],
  ]
  test.each(equal)('%s and %s', (a, b) => {
    expect(sipUriEqual(uri(a), uri(b))).toBe(true)
    expect(sipUriEqual(uri(b), uri(a))).toBe(true)
  })
})

describe('URIs differ (S-9)', () => {
  const different: readonly (readonly [string, string])[] = [
    ['sip:alice@example.com', 'sips:alice@example.com'],
    ['sip:ALICE@example.com', 'sip:alice@example.com'],
    ['sip:alice:Pass@example.com', 'sip:alice:pass@example.com'],
    ['sip:alice@example.com', 'sip:alice:pass@example.com'],
    ['sip:example.com', 'sip:alice@example.com'],
    ['sip:bob@biloxi.test', 'sip:bob@biloxi.test:5060'],
    ['sip:bob@biloxi.test', 'sip:bob@biloxi.test;transport=udp'],
    ['sip:bob@biloxi.test', 'sip:bob@biloxi.test:6000;transport=tcp'],
    ['sip:bob@biloxi.test', 'sip:bob@biloxi.test;user=phone'],
    ['sip:bob@biloxi.test', 'sip:bob@biloxi.test;ttl=1'],
    ['sip:bob@biloxi.test', 'sip:bob@biloxi.test;maddr=192.0.2.1'],
    ['sip:bob@biloxi.test', 'sip:bob@biloxi.test;method=INVITE'],
    ['sip:carol@chicago.test;newparam=5', 'sip:carol@chicago.test;newparam=6'],
    ['sip:carol@chicago.test;newparam=5', 'sip:carol@chicago.test;newparam'],
    ['sip:carol@chicago.test', 'sip:carol@chicago.test?Subject=next%20meeting'],
    ['sip:carol@chicago.test?subject=a', 'sip:carol@chicago.test?subject=a&subject=a'],
    ['sip:bob@phone21.test', 'sip:bob@192.0.2.4'],
    ['sip:a;b@example.com', 'sip:a%3Bb@example.com'],
    ['sip:a%2525@example.com', 'sip:a%25@example.com'],
    ['sip:a%00@example.com', 'sip:a@example.com'],
  ]
  test.each(different)('%s and %s', (a, b) => {
    expect(sipUriEqual(uri(a), uri(b))).toBe(false)
    expect(sipUriEqual(uri(b), uri(a))).toBe(false)
  })

  test('equality is not transitive', () => {
    const [a, b, c] = ['sip:x.test;p=1', 'sip:x.test', 'sip:x.test;p=2'].map(uri) as [SipUri, SipUri, SipUri]
    expect([sipUriEqual(a, b), sipUriEqual(b, c), sipUriEqual(a, c)]).toEqual([true, true, false])
  })
})

describe('parts of URIs', () => {
  test('a user part may hold semicolons, question marks and what looks like parameters (S-10)', () => {
    const { params, ...rest } = uri('sip:1;par=u%40example.net?/x@host.test:5070;lr?a=b')
    expect([...params]).toEqual([['lr', null]])
    expect(rest).toEqual({
      scheme: 'sip',
      user: '1;par=u@example.net?/x',
      password: null,
      host: 'host.test',
      port: 5070,
      headers: 'a=b',
      text: 'sip:1;par=u%40example.net?/x@host.test:5070;lr?a=b',
    })
  })

  test('escapes are decoded once, and a NUL does not end a text (S-10)', () => {
    expect(uri('sip:nul%00l%2541@h.test;n%61me=v%61lue%25%34%31').user).toBe('nul\u0000l%41')
    expect([...uri('sip:h.test;n%61me=v%61lue%25%34%31').params]).toEqual([['name', 'value%41']])
    expect(uri('sip:%C3%A9@h.test').user).toBe('é')
    expect(uri('sip:a:%70w@h.test').password).toBe('pw')
  })

  test('of a parameter that is repeated the first counts', () => {
    expect([...uri('sip:h.test;a=1;A=2').params]).toEqual([['a', '1']])
  })

  test.each([
    '',
    'sip:',
    'sip:@h.test',
    'sip: h.test',
    'sip:h.test ',
    '<sip:h.test>',
    'sip:a b@h.test',
    'sip:a@b@h.test',
    'sip:h.test;',
    'sip:h.test;;lr',
    'sip:h.test;=x',
    'sip:h.test;a=',
    'sip:h.test?',
    'sip:h.test?a',
    'sip:h.test:0',
    'sip:h.test:65536',
    'sip:h.test:',
    'sip:1.2.3',
    'sip:1.2.3.256',
    'sip:[::g]',
    'sip:[::1',
    'sip:-a.test',
    'sip:a..b',
    'sip:%61.test',
    'sip:a%4@h.test',
    'sip:a%zz@h.test',
    'sip:a%ff@h.test',
    'sip:h.test;a=%c3',
    'sip:é@h.test',
    'sip:a"b@h.test',
    'tel:+15551234',
    'msrp://h.test:1/x;tcp',
  ])('%s is none', (text) => {
    expect(parseSipUri(text)).toBeNull()
  })
})

describe('the key of an address-of-record (S-60)', () => {
  test.each([
    ['sip:alice@example.com', 'sip:alice@example.com'],
    ['sips:%61lice:pw@EXAMPLE.com.:5061;user=phone?a=b', 'sip:alice@example.com'],
    ['sip:alice@example.com:5060', 'sip:alice@example.com'],
    ['sip:alice@example.com:5061', 'sip:alice@example.com:5061'],
    ['sips:alice@example.com:5060', 'sip:alice@example.com:5060'],
    ['sip:Alice@example.com', 'sip:Alice@example.com'],
    ['sip:a%40b%00@example.com', 'sip:a@b\u0000@example.com'],
    ['sip:example.com', 'sip:example.com'],
    ['sip:a@[2001:DB8:0::1]', 'sip:a@[2001:db8::1]'],
  ])('%s is %j', (text, key) => {
    expect(aorOf(uri(text))).toBe(key)
  })
})
