import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ackFor, cancelFor, response, rewrite } from '../../../src/parser/sip/encoder.ts'
import type { SipRequest } from '../../../src/parser/sip/message.ts'
import { propertySeed } from '../../support/generators.ts'
import { buildSipCase, sipCaseSeeds } from '../../support/sip-generators.ts'
import { parseSip, parseSipRequest, parseSipResponse } from '../../support/sip-parser.ts'

const head = [
  'INVITE sip:bob@example.com SIP/2.0',
  'v: SIP/2.0/TCP  a.test ;branch=z9hG4bKa;rport ,',
  '  SIP/2.0/UDP b.test;branch=z9hG4bKb',
  'Max-Forwards:  070 ',
  'Route: <sip:p1.test;lr>;x="a,b", <sip:p2.test;lr>',
  'f: "A, \\"B" <sip:a@a.test>;tag=1',
  't: <sip:bob@example.com>',
  'X-Odd:\t as  it came\t',
  'Via: SIP/2.0/TLS c.test;branch=z9hG4bKc',
  'i: call',
  'CSeq: 7 INVITE',
  'route: <sip:p3.test>',
  'l: 4',
]

function build(lines: readonly string[] = head, body = 'body'): SipRequest {
  return parseSipRequest(`${lines.join('\r\n')}\r\n\r\n${body}`)
}

/** The request with what was noted of where it came from. */
function noted(request: SipRequest, port: number): SipRequest {
  request.noteReceived({ address: '192.0.2.7', port })
  return request
}

/** The lines of a rewritten message. */
function linesOf(octets: Buffer): string[] {
  return octets.toString('utf8').split('\r\n')
}

/** Lines that are in one message and not in the other, and the reverse. */
function changes(octets: Buffer, from: readonly string[] = head) {
  const lines = linesOf(octets)
  return {
    gone: from.filter((line) => !lines.includes(line)),
    come: lines.slice(0, -2).filter((line) => !from.includes(line)),
  }
}

describe('a message is changed in nothing but what is asked for (S-41, S-44)', () => {
  test('no edits: every octet stays', () => {
    const request = build()
    expect(rewrite(request, {}).equals(request.octets)).toBe(true)
    expect(rewrite(request, {})).not.toBe(request.octets)
  })

  test('Request-URI and Max-Forwards are written over', () => {
    expect(changes(rewrite(build(), { requestUri: 'sip:bob@192.0.2.1', maxForwards: 69 }))).toEqual({
      gone: ['INVITE sip:bob@example.com SIP/2.0', 'Max-Forwards:  070 '],
      come: ['INVITE sip:bob@192.0.2.1 SIP/2.0', 'Max-Forwards:  69 '],
    })
  })

  test('a missing Max-Forwards comes below the Vias (S-44)', () => {
    const lines = linesOf(rewrite(build(head.filter((line) => !line.startsWith('Max'))), { maxForwards: 70 }))
    expect(lines[lines.indexOf('Max-Forwards: 70') - 1]).toBe(head[8])
  })

  test('a new Via stands above all others', () => {
    const octets = rewrite(build(), { prependVia: 'SIP/2.0/UDP us.test;branch=z9hG4bKus' })
    expect(linesOf(octets)[1]).toBe('Via: SIP/2.0/UDP us.test;branch=z9hG4bKus')
    expect(linesOf(octets).slice(2)).toEqual(linesOf(build().octets).slice(1))
  })

  test('a Via goes without the ones that share its line, or with its line', () => {
    const first = build()
    const second = parseSipRequest(rewrite(first, { removeTopVia: true }))
    expect(linesOf(second.octets)[1]).toBe('v: SIP/2.0/UDP b.test;branch=z9hG4bKb')
    const third = parseSipRequest(rewrite(second, { removeTopVia: true }))
    expect(third.vias.map(({ host }) => host)).toEqual(['c.test'])
    expect(linesOf(third.octets)[1]).toBe(head[3])
    const fourth = parseSip(rewrite(third, { removeTopVia: true }))
    expect([fourth.vias, fourth.problem]).toEqual([[], 'missing-header'])
    expect(rewrite(fourth, { removeTopVia: true }).equals(fourth.octets)).toBe(true)
  })

  test('parameters are added to the top Via, in the place of those of the same name (S-21)', () => {
    const octets = rewrite(noted(build(), 40_000), {})
    expect(linesOf(octets)[1]).toBe('v: SIP/2.0/TCP  a.test ;branch=z9hG4bKa;received=192.0.2.7;rport=40000 ,')
    const spoofed = head.with(1, 'Via: SIP/2.0/UDP a.test; RECEIVED = 1.1.1.1 ;rport=1;branch=z9hG4bKa;x="rport;,y"')
    spoofed.splice(2, 1)
    const [top] = parseSip(rewrite(noted(build(spoofed), 9), {})).vias
    expect([...(top?.params ?? [])]).toEqual([
      ['branch', 'z9hG4bKa'],
      ['x', 'rport;,y'],
      ['received', '192.0.2.7'],
      ['rport', '9'],
    ])
  })

  test('Routes are taken off one by one, replaced, and put in front', () => {
    const request = build()
    const one = parseSip(rewrite(request, { removeTopRoute: true }))
    expect(linesOf(one.octets)[4]).toBe('Route: <sip:p2.test;lr>')
    const two = parseSip(rewrite(one, { removeTopRoute: true }))
    expect(two.routes.map(({ uriText }) => uriText)).toEqual(['sip:p3.test'])
    expect(parseSip(rewrite(two, { removeTopRoute: true })).routes).toEqual([])
    const texts = (edits: Parameters<typeof rewrite>[1]) =>
      parseSip(rewrite(request, edits)).routes.map(({ uri }) => uri?.host)
    expect(texts({ replaceRoutes: ['<sip:x.test;lr>', '<sip:y.test;lr>'] })).toEqual(['x.test', 'y.test'])
    expect(texts({ replaceRoutes: [] })).toEqual([])
    expect(texts({ removeTopRoute: true, prependRoutes: ['<sip:x.test;lr>', '<sip:y.test>'] })).toEqual([
      'x.test',
      'y.test',
      'p2.test',
      'p3.test',
    ])
    const none = build(head.filter((line) => !/^route/i.test(line)))
    expect(parseSip(rewrite(none, { prependRoutes: ['<sip:x.test;lr>'] })).routes).toHaveLength(1)
    expect(rewrite(none, { removeTopRoute: true }).equals(none.octets)).toBe(true)
  })

  test('a Record-Route comes before those there are', () => {
    const one = parseSip(rewrite(build(), { prependRecordRoute: '<sip:us.test;lr>' }))
    const two = parseSip(rewrite(one, { prependRecordRoute: '<sip:them.test;lr>' }))
    expect(two.recordRoutes.map(({ uri }) => uri?.host)).toEqual(['them.test', 'us.test'])
  })

  test('headers go by any of their names, and come at the end of the head', () => {
    const octets = rewrite(build(), {
      remove: ['Call-ID', 'x-odd', 'Subject', 'c'],
      append: [
        ['Call-ID', 'other'],
        ['X-Note', 'é'],
      ],
    })
    expect(changes(octets)).toEqual({
      gone: ['X-Odd:\t as  it came\t', 'i: call'],
      come: ['Call-ID: other', 'X-Note: é'],
    })
    expect(linesOf(octets).slice(-4)).toEqual(['Call-ID: other', 'X-Note: é', '', 'body'])
  })

  test('Content-Length is written over, inserted, and never twice', () => {
    expect(parseSip(rewrite(build(), { contentLength: 2 })).body.toString()).toBe('bo')
    const without = build(head.filter((line) => !line.startsWith('l:')))
    expect(changes(rewrite(without, { contentLength: 4 })).come).toEqual(['Content-Length: 4'])
    const twice = build([...head, 'Content-Length: 4'])
    expect(parseSip(rewrite(twice, { contentLength: 3 })).headers('Content-Length')).toEqual(['3'])
  })

  test('an end of line in what is put in is a defect of ours', () => {
    const request = build()
    expect(() => rewrite(request, { append: [['X', 'a\r\nVia: b']] })).toThrow('end of line')
    expect(() => rewrite(request, { requestUri: 'sip:a\nb' })).toThrow('end of line')
    expect(() => response(request, 200, 'OK\r\nX: y')).toThrow('end of line')
    expect(() => rewrite(request, { requestUri: 'sip:a', removeTopVia: true, remove: ['Via'] })).toThrow('same octets')
  })
})

describe('responses', () => {
  test('Via, From, To, Call-ID and CSeq are copied as they came; To gets a tag (8.2.6)', () => {
    const request = build()
    request.noteReceived({ address: '192.0.2.1', port: 1 })
    const octets = response(request, 486, 'Busy Here', { toTag: 'us', headers: [['Retry-After', '5']], body: 'why' })
    expect(octets.toString()).toBe(
      [
        'SIP/2.0 486 Busy Here',
        'v: SIP/2.0/TCP  a.test ;branch=z9hG4bKa;received=192.0.2.1;rport=1 ,',
        head[2],
        head[8],
        head[5],
        't: <sip:bob@example.com>;tag=us',
        'i: call',
        'CSeq: 7 INVITE',
        'Retry-After: 5',
        'Content-Length: 3',
        '',
        'why',
      ].join('\r\n'),
    )
  })

  test('a To that has a tag, or is malformed, gets none', () => {
    const tagged = build(head.with(6, 't: <sip:bob@example.com>;tag=2 '))
    expect(response(tagged, 200, 'OK', { toTag: 'us' }).toString()).toContain('t: <sip:bob@example.com>;tag=2 \r\n')
    const malformed = build(head.with(6, 't: "x <sip:bob@example.com>'))
    expect(response(malformed, 400, 'Bad To', { toTag: 'us' }).toString()).toContain(`t: "x <sip:bob@example.com>\r\n`)
  })

  test('what a request has not is left out: it is answered all the same', () => {
    expect(
      response(build(['INVITE sip:x SIP/2.0', 'Via: SIP/2.0/UDP a.test'], ''), 400, 'Bad Request').toString(),
    ).toBe('SIP/2.0 400 Bad Request\r\nVia: SIP/2.0/UDP a.test\r\nContent-Length: 0\r\n\r\n')
  })
})

describe('requests that follow a request', () => {
  const answer = parseSipResponse(
    response(build(), 404, 'Not Found', { toTag: 'far' })
      .toString()
      .replace(/^v: .*,\r\n/m, 'v:'),
  )

  test('ACK: same Request-URI, top Via, Route, From, Call-ID and CSeq number, To of the response (S-35)', () => {
    expect(ackFor(build(), answer).toString()).toBe(
      [
        'ACK sip:bob@example.com SIP/2.0',
        'Via: SIP/2.0/TCP  a.test ;branch=z9hG4bKa;rport ',
        head[4],
        head[5],
        'i: call',
        'route: <sip:p3.test>',
        't: <sip:bob@example.com>;tag=far',
        'CSeq: 7 ACK',
        'Max-Forwards: 70',
        'Content-Length: 0\r\n\r\n',
      ].join('\r\n'),
    )
    expect(parseSip(ackFor(build(), answer)).problem).toBeNull()
  })

  test('CANCEL: the same, with the To of the request (S-50)', () => {
    const cancel = parseSipRequest(cancelFor(build()))
    expect([cancel.problem, cancel.method, cancel.requestUri]).toEqual([null, 'CANCEL', 'sip:bob@example.com'])
    expect([cancel.to?.tag, cancel.cseq, cancel.vias.length]).toEqual([null, { number: 7, method: 'CANCEL' }, 1])
    expect(cancel.routes).toHaveLength(3)
  })
})

describe('properties of rewriting', () => {
  const seed = propertySeed()
  const cases = (kind: 'well-formed' | 'odd', check: (request: SipRequest) => void, numRuns: number) =>
    fc.assert(
      fc.property(sipCaseSeeds, (caseSeed) => {
        const message = parseSip(buildSipCase(kind, caseSeed, false).octets)
        if (message.kind === 'request' && message.problem !== 'not-sip') check(message)
      }),
      { numRuns, seed },
    )

  test('without edits nothing changes, and what was put in front can be taken off (S-41)', () => {
    cases(
      'odd',
      (request) => {
        expect(rewrite(request, {}).equals(request.octets)).toBe(true)
        if (request.problem !== null) return
        const added = parseSipRequest(rewrite(request, { prependVia: 'SIP/2.0/UDP us.test;branch=z9hG4bKus' }))
        expect(rewrite(added, { removeTopVia: true }).equals(request.octets)).toBe(true)
        const routed = parseSipRequest(rewrite(request, { prependRoutes: ['<sip:us.test;lr>'] }))
        expect(rewrite(routed, { removeTopRoute: true }).equals(request.octets)).toBe(true)
      },
      3_000,
    )
  })

  test('what is read again has the edits, and all else as it was (S-44)', () => {
    cases(
      'well-formed',
      (request) => {
        const edits = {
          requestUri: 'sip:new@host.test',
          prependVia: 'SIP/2.0/TCP us.test;branch=z9hG4bKus',
          maxForwards: 12,
          prependRecordRoute: '<sip:us.test;lr>',
          prependRoutes: ['<sip:p.test;lr>'],
          append: [['X-New', 'x']],
          remove: ['Subject'],
          contentLength: request.body.length,
        } as const
        const again = parseSipRequest(rewrite(request, edits))
        expect(again.problem).toBeNull()
        expect([again.requestUri, again.maxForwards, again.header('X-New'), again.header('Subject')]).toEqual([
          edits.requestUri,
          12,
          'x',
          null,
        ])
        expect(again.vias.map(({ text }) => text)).toEqual([edits.prependVia, ...request.vias.map(({ text }) => text)])
        expect(again.routes.map(({ text }) => text)).toEqual([
          '<sip:p.test;lr>',
          ...request.routes.map(({ text }) => text),
        ])
        expect(again.recordRoutes).toHaveLength(request.recordRoutes.length + 1)
        expect(again.body.equals(request.body)).toBe(true)
        for (const name of ['From', 'To', 'Call-ID', 'CSeq', 'Contact', 'Path']) {
          expect(again.headers(name)).toEqual(request.headers(name))
        }
      },
      2_000,
    )
  })

  test('an answer to any request at all is well formed where the request was', () => {
    cases(
      'odd',
      (request) => {
        request.noteReceived({ address: '192.0.2.1', port: null })
        const octets = response(request, 400, 'Bad Request', { toTag: 'us' })
        if (request.problem !== null) return
        const answer = parseSipResponse(octets)
        expect([answer.problem, answer.status, answer.cseq]).toEqual([null, 400, request.cseq])
        expect(answer.to?.tag).toBe(request.to?.tag ?? 'us')
        expect(answer.topVia?.params.get('received')).toBe('192.0.2.1')
      },
      3_000,
    )
  })
})
