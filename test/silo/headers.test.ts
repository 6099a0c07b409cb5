import { describe, expect, test } from 'vitest'
import {
  extraHeadersOctetsMax,
  headerOf,
  keptHeaders,
  readExtraHeaders,
  storedHeaders,
} from '../../src/silo/headers.ts'
import { messageRequest } from './support/texts.ts'

describe('SILO-6: which headers are kept of a MESSAGE', () => {
  test('those that nobody knows, those of the body, and Privacy, in their order and as they were written', () => {
    const request = messageRequest([
      'X-One: 1',
      's: lunch',
      'Privacy: id',
      'x-two:   a,  b ;c',
      'Content-Encoding: gzip',
      'Content-Disposition: render',
      'P-Access-Network-Info: 3GPP',
      'In-Reply-To: call-0@b.test',
      'X-One: again',
    ])
    expect(keptHeaders(request, false)).toBe(
      [
        'X-One: 1',
        's: lunch',
        'Privacy: id',
        'x-two: a,  b ;c',
        'Content-Encoding: gzip',
        'Content-Disposition: render',
        'P-Access-Network-Info: 3GPP',
        'In-Reply-To: call-0@b.test',
        'X-One: again',
        '',
      ].join('\r\n'),
    )
  })

  test('none that a later request has of its own, or that were between sender and server', () => {
    const request = messageRequest([
      'Route: <sip:p.test;lr>',
      'Record-Route: <sip:p.test;lr>',
      'm: <sip:alice@192.0.2.1>',
      'Date: Mon, 19 Feb 2007 18:42:27 GMT',
      'Expires: 60',
      'Proxy-Authorization: Digest username="alice"',
      'Authorization: Digest username="alice"',
      'User-Agent: phone/1',
      'Supported: path',
      'Allow: MESSAGE',
      'Message-ID: forged',
      'Require: x',
      'y: signature',
      'Identity-Info: x',
    ])
    expect(keptHeaders(request, true)).toBe('')
  })

  test('S-55: an identity only from somebody who is believed, and never what was a wish to us', () => {
    const request = messageRequest(['P-Asserted-Identity: <sip:boss@a.test>', 'p-preferred-identity: <sip:b@a.test>'])
    expect(keptHeaders(request, false)).toBe('')
    expect(keptHeaders(request, true)).toBe('P-Asserted-Identity: <sip:boss@a.test>\r\n')
  })

  test('a folded value becomes one line (S-2), UTF-8 stays', () => {
    expect(keptHeaders(messageRequest(['X-A: one\r\n  zwei\r\n\tdréi']), false)).toBe('X-A: one zwei dréi\r\n')
  })

  test('more than 1024 octets of them (Q-25)', () => {
    const value = 'v'.repeat(9000)
    expect(keptHeaders(messageRequest([`X-Long: ${value}`]), false)).toBe(`X-Long: ${value}\r\n`)
  })
})

describe('headers that a routing gives', () => {
  test('are taken as lines with either end', () => {
    expect(readExtraHeaders('X-A: 1\r\nX-B:2\nX-C : 3 \r\n')).toEqual({
      ok: true,
      value: 'X-A: 1\r\nX-B: 2\r\nX-C: 3\r\n',
    })
    expect(readExtraHeaders('')).toEqual({ ok: true, value: '' })
  })

  test('cannot be the server’s own, nor anything but headers', () => {
    expect(readExtraHeaders('X-A: 1\r\nvia: x')).toEqual({ ok: false, error: "via is the server's to write" })
    expect(readExtraHeaders('hello')).toEqual({ ok: false, error: 'not header lines' })
    expect(readExtraHeaders(': hello')).toEqual({ ok: false, error: 'not header lines' })
    expect(readExtraHeaders('X-A: 1\rVia: x')).toEqual({ ok: true, value: 'X-A: 1 Via: x\r\n' })
  })

  test('are bounded', () => {
    const name = 'X-A: '
    const most = `${name}${'v'.repeat(extraHeadersOctetsMax - name.length)}`
    expect(readExtraHeaders(most).ok).toBe(true)
    expect(readExtraHeaders(`${most}v`)).toEqual({ ok: false, error: 'too long' })
  })
})

test('of what was imported only header lines are sent, and none of the server’s own', () => {
  const text = 'X-A: 1\r\nnonsense\r\nCall-ID: x\r\n i: y\r\nX-B: a\nVia: z\r\nX-C:\r\n'
  expect(storedHeaders(text)).toEqual([
    ['X-A', '1'],
    ['X-B', 'a Via: z'],
    ['X-C', ''],
  ])
})

test('blanks in a value take no more time than others', () => {
  const value = `a${' '.repeat(60_000)}b`
  expect(storedHeaders(`X-A: ${value}\r\n`)).toEqual([['X-A', value]])
})

test('a stored header is found in any case', () => {
  const headers = storedHeaders('X-A: 1\r\nx-a: 2\r\n')
  expect(headerOf(headers, 'x-A')).toBe('1')
  expect(headerOf(headers, 'X-B')).toBeNull()
})
