import { describe, expect, test } from 'vitest'
import { bindingCharsMax, registerRequestOf } from '../../../src/sip/registrar/register-request.ts'
import { connectionFlow } from '../../support/location-records.ts'
import { parseSipRequest } from '../../support/sip-parser.ts'

const source = { flow: connectionFlow(7), secure: false, received: '192.0.2.7:40112' }

/** What the registrar reads in a REGISTER with these header lines. */
function read(lines: readonly string[] = [], to = '<sip:Alice@EXAMPLE.org>') {
  const head = [
    'REGISTER sip:example.org SIP/2.0',
    'Via: SIP/2.0/TCP 192.0.2.7;branch=z9hG4bK1',
    'Max-Forwards: 70',
    `To: ${to}`,
    'From: <sip:alice@example.org>;tag=1',
    'Call-ID: call-1',
    'CSeq: 0009 REGISTER',
    ...lines,
    'Content-Length: 0',
  ]
  return registerRequestOf(parseSipRequest(`${head.join('\r\n')}\r\n\r\n`), source)
}

function accepted(lines?: readonly string[], to?: string) {
  const outcome = read(lines, to)
  if (!outcome.ok) throw new Error(`refused: ${outcome.error.reason}`)
  return outcome.value
}

function refusedFor(lines: readonly string[], to?: string) {
  const outcome = read(lines, to)
  return outcome.ok ? null : `${outcome.error.status} ${outcome.error.reason}`
}

function contactsOf(...lines: string[]) {
  const { contacts } = accepted(lines)
  if (contacts === '*') throw new Error('a *')
  return contacts
}

describe('what the registrar reads in a REGISTER', () => {
  test('all of it, as plain data that crosses threads', () => {
    const request = accepted([
      'Contact: "A, B" <sip:a@192.0.2.7;transport=tcp?X=%20>;Q=0.5 ; +sip.instance="<urn:UUID:1>";reg-id=2;expires=77;methods="MESSAGE, options"',
      'Path: <sip:edge.example.org;lr;ob>, <sip:inner.example.org;lr>',
      'Supported: path, Outbound',
      'Expires: 600',
      'User-Agent: phone/1.0',
    ])
    expect(request).toEqual({
      aor: 'sip:Alice@example.org',
      callId: 'call-1',
      cseq: 9,
      contacts: [
        {
          uri: 'sip:a@192.0.2.7;transport=tcp?X=%20',
          params: ['Q=0.5', '+sip.instance="<urn:UUID:1>"', 'reg-id=2', 'methods="MESSAGE, options"'],
          q: 500,
          expires: 77,
          instance: '<urn:uuid:1>',
          regId: 2,
          methods: ['MESSAGE', 'OPTIONS'],
        },
      ],
      expires: 600,
      path: ['<sip:edge.example.org;lr;ob>', '<sip:inner.example.org;lr>'],
      pathKeepsFlows: true,
      firstHop: true,
      supportsOutbound: true,
      userAgent: 'phone/1.0',
      source,
    })
    expect(structuredClone(request)).toEqual(request)
  })

  test('S-60: the AoR of To, unescaped and without parameters; what is no sip or sips URI is 400', () => {
    expect(accepted([], '<sips:%61lice@example.org:5061;transport=tcp>').aor).toBe('sip:alice@example.org')
    expect(refusedFor([], '<tel:+1234>')).toBe('400 bad-to')
  })

  test('S-65: no Contact, nothing to register', () => {
    expect(accepted()).toMatchObject({
      contacts: [],
      expires: null,
      path: [],
      supportsOutbound: false,
      userAgent: null,
    })
  })

  test('S-61: * alone; beside a contact it is 400', () => {
    expect(accepted(['Contact: *', 'Expires: 0'])).toMatchObject({ contacts: '*', expires: 0 })
    expect(refusedFor(['Contact: *, <sip:a@192.0.2.7>', 'Expires: 0'])).toBe('400 malformed')
    expect(refusedFor(['Contact: *', 'Contact: <sip:a@192.0.2.7>', 'Expires: 0'])).toBe('400 malformed')
  })

  test('a contact that is no sip or sips URI is 400', () => {
    expect(refusedFor(['Contact: <mailto:alice@example.org>'])).toBe('400 bad-contact')
  })

  test('S-8, S-67: parameters after a bare URI are the header’s, within <> the URI’s', () => {
    expect(contactsOf('Contact: sip:a@192.0.2.7;x=1;q=0.1, <sip:b@192.0.2.7;y=1>;z')).toMatchObject([
      { uri: 'sip:a@192.0.2.7', params: ['x=1', 'q=0.1'], q: 100 },
      { uri: 'sip:b@192.0.2.7;y=1', params: ['z'] },
    ])
  })

  test('S-67: a display name that looks like the contact misleads nobody', () => {
    expect(contactsOf('Contact: "<sip:a@192.0.2.7>;x=\\"" <sip:a@192.0.2.7>;y="1;2"')).toMatchObject([
      { uri: 'sip:a@192.0.2.7', params: ['y="1;2"'] },
    ])
  })

  test.each([
    ['expires=30', 30],
    ['expires=0', 0],
    ['expires=00060', 60],
    ['x', 600],
    ['expires', null],
    ['expires=-1', null],
    ['expires=later', null],
    ['expires="60"', 60],
    ['expires=4294967295', 4_294_967_295],
    ['expires=4294967296', null],
    ['expires=99999999999999999999', null],
  ])('S-62: with Expires 600, %s asks for %s seconds', (param, expires) => {
    expect(contactsOf(`Contact: <sip:a@192.0.2.7>;${param}`, 'Expires: 600')).toMatchObject([{ expires }])
  })

  test.each(['', 'Expires: soon', 'Expires: 4294967296'])('S-62: with %j asks for the default', (header) => {
    expect(contactsOf('Contact: <sip:a@192.0.2.7>', ...(header ? [header] : []))).toMatchObject([{ expires: null }])
  })

  test.each([
    ['q=0', 0],
    ['q=0.', 0],
    ['q=0.001', 1],
    ['q=0.57', 570],
    ['q=1.000', 1_000],
    ['x', 1_000],
    ['q', 1_000],
    ['q=1.001', 1_000],
    ['q=0.0001', 1_000],
    ['q=2', 1_000],
  ])('S-66: %s is %i thousandths', (param, q) => {
    expect(contactsOf(`Contact: <sip:a@192.0.2.7>;${param}`)).toMatchObject([{ q }])
  })

  test.each([
    ['reg-id=1', 1],
    ['reg-id=2147483647', 2_147_483_647],
    ['reg-id=0', null],
    ['reg-id=2147483648', null],
    ['reg-id=x', null],
    ['reg-id', null],
  ])('S-69: %s is reg-id %s', (param, regId) => {
    expect(contactsOf(`Contact: <sip:a@192.0.2.7>;${param}`)).toMatchObject([{ regId, instance: null }])
  })

  test('methods are those of the contact, else of Allow, else unknown', () => {
    const lines = ['Contact: <sip:a@192.0.2.7>;methods="INVITE", <sip:b@192.0.2.7>']
    expect(contactsOf(...lines, 'Allow: ACK,', 'Allow: Message')).toMatchObject([
      { methods: ['INVITE'] },
      { methods: ['ACK', 'MESSAGE'] },
    ])
    expect(contactsOf(...lines)).toMatchObject([{ methods: ['INVITE'] }, { methods: null }])
    expect(contactsOf(...lines, 'Allow:')).toMatchObject([{ methods: ['INVITE'] }, { methods: [] }])
  })

  test('S-69: with two Vias we are not the first hop; a Path without ob keeps no flows', () => {
    const request = accepted(['Via: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK2', 'Path: <sip:ob@edge.example.org;lr>'])
    expect(request).toMatchObject({ firstHop: false, pathKeepsFlows: false })
  })

  test('keeps no more text than it says: 513, and a long User-Agent in part', () => {
    const long = (chars: number) => `Contact: <sip:${'a'.repeat(chars)}@h>`
    expect(contactsOf(long(bindingCharsMax - 'sip:@h'.length - 'call-1'.length))).toHaveLength(1)
    expect(refusedFor([long(bindingCharsMax - 'sip:@h'.length - 'call-1'.length + 1)])).toBe('513 too-large')
    expect(accepted([`User-Agent: ${'x'.repeat(9_000)}`]).userAgent).toHaveLength(256)
  })

  test('a malformed Contact or Path is answered as the parser says', () => {
    expect(refusedFor(['Contact: <sip:a@192.0.2.7'])).toBe('400 malformed')
    expect(read(['Contact: <sip:a@192.0.2.7>', 'Path: <sip:edge'])).toMatchObject({
      ok: false,
      error: { status: 400, phrase: 'Bad Path' },
    })
  })
})
