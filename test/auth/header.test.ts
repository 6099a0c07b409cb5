import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  type Challenge,
  type Credentials,
  formatAuthenticationInfo,
  formatBearerChallenge,
  formatChallenge,
  headerCharsMax,
  parametersMax,
  parseBearer,
  parseChallenge,
  parseCredentials,
  parseParameters,
  tokenCharsMax,
} from '../../src/auth/header.ts'
import { quoted } from './client.ts'

const response = '6629fae49393a05397450978507c4ef1'
const least = `username="Alice", realm="r", nonce="n", response="${response}"`

function credentials(value: string): Credentials {
  const parsed = parseCredentials(value)
  if (!parsed.ok) throw new Error(parsed.error)
  return parsed.value
}

function errorOf(value: string): string | null {
  const parsed = parseCredentials(value)
  return parsed.ok ? null : parsed.error
}

describe('credentials', () => {
  it('of RFC 4976 (49fi), which has no uri (D-11)', () => {
    const value = `Digest username="Alice", realm="intra.example.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", qop=auth, nc=00000001, cnonce="0a4f113b", response="${response}"`
    expect(credentials(value)).toEqual({
      username: 'Alice',
      realm: 'intra.example.com',
      nonce: 'dcd98b7102dd2f0e8b11d0f600bfb0c093',
      response,
      algorithm: 'MD5',
      uri: null,
      qop: 'auth',
      nc: '00000001',
      cnonce: '0a4f113b',
    })
  })

  it('of RFC 7977 (qy1hsow5), which has a uri (D-11)', () => {
    const value =
      'Digest username="alice", realm="example.com", nonce="UvtfpVL7XnnJ63EE244fXDthfLihlMHOY4+dd4A=", uri="msrps://alice@a.example.com:443;ws", response="5011d0d58fe975e0d0cdc007ae26f4b7", qop=auth, cnonce="zic5ml401prb", nc=00000001'
    expect(credentials(value).uri).toBe('msrps://alice@a.example.com:443;ws')
  })

  it('whose quoting is the other way round are the same (D-4)', () => {
    const proper = `Digest username="al", realm="r", nonce="n/+=", uri="msrps://r:1;tcp", response="${response}", algorithm=SHA-256, qop=auth, nc=0000000a, cnonce="c"`
    const swapped = `Digest username=al, realm=r, nonce=n/+=, uri=msrps://r:1;tcp, response=${response}, algorithm="SHA-256", qop="auth", nc="0000000a", cnonce=c`
    expect(credentials(swapped)).toEqual(credentials(proper))
  })

  it('may have blanks anywhere around "=" and ",", names in any case, and empty list elements (D-4)', () => {
    const value = ` DIGEST\tUsername = "Alice" ,\tREALM="r",, NONCE\t=\tn ,response=${response} , `
    expect(credentials(value)).toEqual(credentials(`Digest ${least}`))
  })

  it('may hold commas, "=", escaped quotes and UTF-8 inside quotes (D-4)', () => {
    const value = `Digest username="a\\"b\\\\c, d=\\e ü", realm="", nonce="n", response="${response}"`
    expect(credentials(value)).toMatchObject({ username: 'a"b\\c, d=e ü', realm: '' })
  })

  it('may hold parameters that nobody knows, and domain (D-10)', () => {
    expect(credentials(`Digest ${least}, domain="/x", userhash=false, __proto__="p"`)).toEqual(
      credentials(`Digest ${least}`),
    )
  })

  it('may spell the username in RFC 5987 (D-6)', () => {
    const value = `Digest username*=UTF-8''J%C3%A4s%c3%b8n%20Doe, realm="r", nonce="n", response="${response}"`
    expect(credentials(value).username).toBe('Jäsøn Doe')
    expect(credentials(value.replace("UTF-8''", "utf-8'en-GB'")).username).toBe('Jäsøn Doe')
  })

  it.each([
    ['another charset', "iso-8859-1''J%E4s"],
    ['octets that are not UTF-8', "UTF-8''J%E4s"],
    ['a half escape', "UTF-8''J%E"],
    ['no charset', 'J%C3%A4s'],
    ['a line end', "UTF-8''J%0D%0As"],
  ])('with username* in %s are refused (D-6)', (_, value) => {
    expect(errorOf(`Digest username*=${value}, realm="r", nonce="n", response="${response}"`)).toBe('bad-username')
  })

  it('with username and username* are refused (D-6)', () => {
    expect(errorOf(`Digest ${least}, username*=UTF-8''Alice`)).toBe('two-usernames')
  })

  it.each(['username', 'realm', 'nonce', 'response'])('without %s are refused (D-6)', (name) => {
    const value = `Digest ${least}`.replace(new RegExp(`${name}="[^"]*"(, )?`), '')
    expect(errorOf(value)).toBe('missing-parameter')
  })

  it('with a parameter twice are refused, in whatever case (D-6)', () => {
    expect(errorOf(`Digest ${least}, Nonce="n"`)).toBe('duplicate-parameter')
    expect(errorOf(`Digest ${least}, x=1, X=2`)).toBe('duplicate-parameter')
  })

  it.each(['1', '0000001', '000000001', '0000000g', '-0000001', '00000000'])(
    'with nc=%s are refused: eight hex digits, counting from 1 (D-5, D-6)',
    (nc) => {
      expect(errorOf(`Digest ${least}, nc=${nc}`)).toBe('bad-nc')
    },
  )

  it.each(['', response.slice(1), `${response}0`, `${response.slice(1)}g`])(
    'with response="%s" are refused: 32 or 64 hex digits (D-7)',
    (bad) => {
      expect(errorOf(`Digest username="a", realm="r", nonce="n", response="${bad}"`)).toBe('bad-response')
    },
  )

  it('with a response of 64 digits are taken (D-12)', () => {
    const long = response + response
    expect(credentials(`Digest username="a", realm="r", nonce="n", response="${long}"`).response).toBe(long)
  })

  it.each(['Basic YWxpY2U6c2VjcmV0', `Digestive ${least}`, 'Digest,', '', least])(
    'of another scheme are no digest: %s (D-9, D-10)',
    (value) => {
      expect(errorOf(value)).toBe('not-digest')
    },
  )

  it.each([
    'Digest username',
    'Digest username=',
    'Digest =x',
    'Digest username="a',
    'Digest username="a\\',
    'Digest username="a\\"',
    'Digest username="a"b',
    'Digest username="a" realm="r"',
    'Digest username=a b',
    'Digest username=a"b"',
    'Digest user name="a"',
    'Digest username="a\r\nb"',
    'Digest username="a\\\nb"',
    'Digest username="a\0b"',
    'Digest username=a\x7f',
    'Digest us(er)name=a',
    'Digest üsername=a',
  ])('with bad syntax are refused: %j', (value) => {
    expect(errorOf(value)).toBe('syntax')
  })

  it('longer than the bound, or of more parameters, are refused', () => {
    const filled = (length: number) => `Digest ${least}, x=`.padEnd(length, 'x')
    expect(errorOf(filled(headerCharsMax))).toBeNull()
    expect(errorOf(filled(headerCharsMax + 1))).toBe('too-long')
    const many = (extra: number) => `Digest ${least}${Array.from({ length: extra }, (_, i) => `, x${i}=1`).join('')}`
    expect(errorOf(many(parametersMax - 4))).toBeNull()
    expect(errorOf(many(parametersMax - 3))).toBe('too-many-parameters')
  })
})

describe('challenges', () => {
  it('are quoted as D-4 says and name stale only when true', () => {
    const challenge: Challenge = { realm: 'a "b"\\c', nonce: 'n', algorithm: 'SHA-256', qop: ['auth'], stale: false }
    expect(formatChallenge(challenge)).toBe('Digest realm="a \\"b\\"\\\\c", nonce="n", algorithm=SHA-256, qop="auth"')
    expect(formatChallenge({ ...challenge, stale: true })).toMatch(/, stale=true$/)
  })

  it('of other servers are understood: no algorithm, several qop, stale in any case and quoting (D-4)', () => {
    const parsed = parseChallenge('Digest realm="r", domain="/", nonce=abc, qop="auth-int, AUTH", Stale="TRUE"')
    expect(parsed).toEqual({
      ok: true,
      value: { realm: 'r', nonce: 'abc', algorithm: 'MD5', qop: ['auth-int', 'auth'], stale: true },
    })
    expect(parseChallenge('Digest realm="r", nonce="n", stale=no')).toMatchObject({ value: { stale: false, qop: [] } })
  })

  it('without realm or nonce are refused', () => {
    expect(parseChallenge('Digest realm="r"')).toEqual({ ok: false, error: 'missing-parameter' })
    expect(parseChallenge('Digest nonce="n"')).toEqual({ ok: false, error: 'missing-parameter' })
  })
})

describe('Authentication-Info (R-22)', () => {
  it('holds rspauth, cnonce, nc and qop, the client’s cnonce escaped again', () => {
    const protection = { qop: 'auth', nc: '0000000a', cnonce: 'c", rspauth="x\\' }
    const value = formatAuthenticationInfo({ rspauth: response, protection })
    expect(value).toBe(`rspauth="${response}", cnonce="c\\", rspauth=\\"x\\\\", nc=0000000a, qop=auth`)
    expect(parseParameters(value)).toMatchObject({
      ok: true,
      value: new Map([['rspauth', response], ...Object.entries(protection)]),
    })
  })

  it('holds rspauth alone when the client sent no qop (D-2)', () => {
    expect(formatAuthenticationInfo({ rspauth: response, protection: null })).toBe(`rspauth="${response}"`)
  })
})

describe('tokens (RFC 6750, RFC 8898)', () => {
  it('stand behind their scheme, in any case, with blanks around', () => {
    expect(parseBearer('Bearer abc.DEF-_~+/9==')).toEqual({ ok: true, value: 'abc.DEF-_~+/9==' })
    expect(parseBearer(' \tbEARER \t x \t')).toEqual({ ok: true, value: 'x' })
  })

  it.each(['Digest x', 'Basic x', 'Bearerx', '', 'x'])('are none in %j', (value) => {
    expect(parseBearer(value)).toEqual({ ok: false, error: 'not-bearer' })
  })

  it.each(['Bearer', 'Bearer ', 'Bearer a b', 'Bearer a,b', 'Bearer a=b', 'Bearer "a"', 'Bearer ä', 'Bearer a\0'])(
    'of other characters are refused: %j',
    (value) => {
      expect(parseBearer(value)).toEqual({ ok: false, error: 'syntax' })
    },
  )

  it('longer than the bound are refused', () => {
    expect(parseBearer('Bearer '.padEnd(tokenCharsMax, 'x'))).toMatchObject({ ok: true })
    expect(parseBearer('Bearer '.padEnd(tokenCharsMax + 1, 'x'))).toEqual({ ok: false, error: 'too-long' })
  })

  it('are asked for with the realm, and what is known besides', () => {
    const challenge = { realm: 'a "b"', authzServer: null, invalid: false }
    expect(formatBearerChallenge(challenge)).toBe('Bearer realm="a \\"b\\""')
    expect(formatBearerChallenge({ realm: 'r', authzServer: 'https://idp.test/', invalid: true })).toBe(
      'Bearer realm="r", authz_server="https://idp.test/", error="invalid_token"',
    )
  })
})

describe('properties', () => {
  const text = fc.string({ unit: 'grapheme', maxLength: 30 }).filter((value) => !/[\x00-\x1f\x7f]/.test(value))
  const token = fc.stringMatching(/^[A-Za-z0-9.+~-]{1,12}$/)

  it('a challenge that was written reads as itself', () => {
    const challenge: fc.Arbitrary<Challenge> = fc.record({
      realm: text,
      nonce: text,
      algorithm: token,
      qop: fc.array(token.map((value) => value.toLowerCase())),
      stale: fc.boolean(),
    })
    fc.assert(
      fc.property(challenge, (value) => {
        expect(parseChallenge(formatChallenge(value))).toEqual({ ok: true, value })
      }),
    )
  })

  it('credentials read the same in any order, quoting, escaping and spacing (D-4)', () => {
    const fields: fc.Arbitrary<Credentials> = fc.record({
      username: text,
      realm: text,
      nonce: text,
      response: fc.stringMatching(/^(?:[0-9a-f]{32}|[0-9a-f]{64})$/),
      algorithm: token,
      uri: fc.option(text),
      qop: fc.option(token),
      nc: fc.option(fc.integer({ min: 1, max: 0xffffffff }).map((nc) => nc.toString(16).padStart(8, '0'))),
      cnonce: fc.option(text),
    })
    const blanks = fc.stringMatching(/^[ \t]{0,3}$/)
    const style = fc.infiniteStream(
      fc.record({ bare: fc.boolean(), before: blanks, after: blanks, escapes: fc.boolean() }),
    )
    const order = fc.shuffledSubarray(
      ['username', 'realm', 'nonce', 'response', 'algorithm', 'uri', 'qop', 'nc', 'cnonce'] as const,
      { minLength: 9 },
    )
    fc.assert(
      fc.property(fields, order, style, (value, names, styles) => {
        const list = names.flatMap((name) => {
          const field = value[name]
          if (field === null) return []
          const { bare, before, after, escapes } = styles.next().value
          const full = escapes ? `"${field.replace(/[\x20-\x7e]/g, '\\$&')}"` : quoted(field)
          return [`${before}${name}${after}=${before}${bare && /^[^", ]+$/.test(field) ? field : full}${after}`]
        })
        expect(parseCredentials(`Digest ${list.join(',')}`)).toEqual({ ok: true, value })
      }),
    )
  })

  it('no string makes the parsers throw, and no error holds any of it (D-14)', () => {
    const pieces = [
      'Digest ',
      '"',
      '\\',
      ',',
      '=',
      ' ',
      '\t',
      '\r\n',
      'nonce',
      'username*',
      "UTF-8''",
      '%C3',
      '%',
      'nc',
      'ü',
      '\ud800',
    ]
    const anything = fc.oneof(
      fc.string({ unit: 'binary', maxLength: headerCharsMax + 10 }),
      fc.array(fc.constantFrom(...pieces), { maxLength: 80 }).map((parts) => `Digest ${parts.join('')}`),
      fc.string({ unit: 'binary' }).map((value) => `Digest username*=${value}, realm=r, nonce=n, response=${response}`),
    )
    fc.assert(
      fc.property(anything, (value) => {
        for (const parsed of [
          parseCredentials(value),
          parseChallenge(value),
          parseParameters(value),
          parseBearer(value),
        ]) {
          if (!parsed.ok)
            expect(parsed.error).toMatch(
              /^(?:not-bearer|too-long|too-many-parameters|not-digest|syntax|duplicate-parameter|missing-parameter|two-usernames|bad-username|bad-response|bad-nc)$/,
            )
        }
      }),
    )
  })
})
