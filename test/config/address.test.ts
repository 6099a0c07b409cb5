import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { formatEndpoint, parseEndpoint, parseListenUrl } from '../../src/config/address.ts'

describe('parseEndpoint', () => {
  test.each([
    ['127.0.0.1:2855', { host: '127.0.0.1', port: 2855 }],
    ['relay.example.org:1', { host: 'relay.example.org', port: 1 }],
    ['[::1]:0', { host: '::1', port: 0 }],
    ['[2001:db8::1]:65535', { host: '2001:db8::1', port: 65_535 }],
  ])('reads %s', (text, value) => {
    expect(parseEndpoint(text)).toEqual({ ok: true, value })
  })

  test.each([
    ['', 'the host is missing'],
    [':2855', 'the host is missing'],
    ['localhost', 'the port is missing'],
    ['localhost:', 'the port is missing'],
    ['localhost:65536', 'the port is not a number up to 65535'],
    ['localhost:28x', 'the port is not a number up to 65535'],
    ['::1:2855', 'an IPv6 address stands in brackets'],
    ['::1', 'an IPv6 address stands in brackets'],
    ['[127.0.0.1]:2855', 'no IPv6 address between the brackets'],
    ['-x-:2855', 'not a host name'],
    ['a b:2855', 'not a host and a port'],
    ['host:1:2', 'not a host and a port'],
  ])('refuses "%s": %s', (text, error) => {
    expect(parseEndpoint(text)).toEqual({ ok: false, error })
  })

  test('reads back what formatEndpoint writes', () => {
    const host = fc.oneof(fc.ipV4(), fc.ipV6(), fc.domain())
    fc.assert(
      fc.property(host, fc.integer({ min: 0, max: 65_535 }), (host, port) => {
        expect(parseEndpoint(formatEndpoint({ host, port }))).toEqual({ ok: true, value: { host, port } })
      }),
    )
  })
})

describe('parseListenUrl', () => {
  test('reads scheme, host and port, the scheme in any case', () => {
    const value = { scheme: 'msrp', host: '::1', port: 2855 }
    expect(parseListenUrl('msrp://[::1]:2855')).toEqual({ ok: true, value })
    expect(parseListenUrl('MSRP://[::1]:2855')).toEqual({ ok: true, value })
  })

  test.each(['msrps', 'sip', 'sips', 'tcp', 'tls', 'ws', 'wss'])('knows %s', (scheme) => {
    expect(parseListenUrl(`${scheme}://127.0.0.1:2855`)).toEqual({
      ok: true,
      value: { scheme, host: '127.0.0.1', port: 2855 },
    })
  })

  test.each([
    ['127.0.0.1:2855', 'the scheme is missing'],
    ['http://127.0.0.1:2855', 'an unknown scheme; known are msrp, msrps, sip, sips, tcp, tls, ws, wss'],
    ['msrp://alice@127.0.0.1:2855', 'users do not belong in a listen URL'],
    ['msrp://127.0.0.1:2855/', 'nothing may follow the port'],
    ['msrp://127.0.0.1:2855;tcp', 'nothing may follow the port'],
    ['msrp://127.0.0.1', 'the port is missing'],
  ])('refuses %s: %s', (url, error) => {
    expect(parseListenUrl(url)).toEqual({ ok: false, error })
  })
})
