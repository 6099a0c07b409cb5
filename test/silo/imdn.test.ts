import { describe, expect, test } from 'vitest'
import { readCpim } from '../../src/silo/cpim.ts'
import { imdnOf } from '../../src/silo/imdn.ts'
import { keptAt, siloConfig, storedMessage } from './support/texts.ts'

const { config } = siloConfig('imdn: true')
const now = keptAt + 1000

/** A CPIM message with these lines between its From and To and its content. */
function cpim(lines: readonly string[], content: readonly string[] = ['Content-Type: text/plain']): Buffer {
  const head = ['From: Alice <im:alice@a.test>', 'To: Bob <im:bob@b.test>', ...lines]
  return Buffer.from([...head, '', ...content, '', 'hi bob'].join('\r\n'))
}

const asking = (wishes: string) => [
  'NS: imdn <urn:ietf:params:imdn>',
  'imdn.Message-ID: m&1',
  `imdn.Disposition-Notification: ${wishes}`,
]

function sent(kind: 'stored' | 'failed', body: Buffer, contentType = 'message/cpim', settings = config) {
  return imdnOf(storedMessage({ contentType, body }), kind, settings, now)
}

describe('C-9: who has asked for it is told', () => {
  test('that the message is stored (C-5, C-7)', () => {
    const imdn = sent('stored', cpim([...asking('processing, display'), 'DateTime: 2007-02-19T19:42:00+01:00']))
    expect(imdn).toMatchObject({
      requestUri: 'sip:alice@a.test',
      from: '<sip:bob@b.test>',
      to: '<sip:alice@a.test>',
      cseq: 1,
      contentType: 'message/cpim',
      via: null,
    })
    const [head, mime, xml] = Buffer.from(imdn!.body).toString().split('\r\n\r\n')
    expect(head!.split('\r\n')).toEqual([
      'From: Bob <im:bob@b.test>',
      'To: Alice <im:alice@a.test>',
      'NS: imdn <urn:ietf:params:imdn>',
      expect.stringMatching(/^imdn\.Message-ID: [\w-]{22}$/),
      'DateTime: 2007-02-19T18:42:28.000Z',
    ])
    expect(mime!.split('\r\n')).toEqual([
      'Content-Type: message/imdn+xml',
      'Content-Disposition: notification',
      `Content-Length: ${Buffer.byteLength(xml!)}`,
    ])
    expect(xml!.split('\r\n')).toEqual([
      '<?xml version="1.0" encoding="UTF-8"?>',
      '<imdn xmlns="urn:ietf:params:xml:ns:imdn">',
      '<message-id>m&amp;1</message-id>',
      '<datetime>2007-02-19T19:42:00+01:00</datetime>',
      '<recipient-uri>im:bob@b.test</recipient-uri>',
      '<processing-notification><status><stored/></status></processing-notification>',
      '</imdn>',
      '',
    ])
  })

  test('that it has expired (C-6), in another message than the first', () => {
    const body = cpim([...asking('negative-delivery,processing'), 'imdn.Original-To: <im:all@b.test>'])
    const failed = sent('failed', body)!
    const text = Buffer.from(failed.body).toString()
    expect(text).toContain('<delivery-notification><status><failed/></status></delivery-notification>')
    expect(text).toContain('<original-recipient-uri>im:all@b.test</original-recipient-uri>')
    // No DateTime in it: when it came.
    expect(text).toContain('<datetime>2007-02-19T18:42:27.000Z</datetime>')
    expect(failed.callId).not.toBe(sent('stored', body)!.callId)
    expect(sent('failed', body)!.callId).toBe(failed.callId)
  })

  test('whatever prefix the namespace has (C-4)', () => {
    const lines = ['NS: d <urn:ietf:params:imdn>', 'd.Message-ID: m1', 'd.Disposition-Notification: processing']
    expect(sent('stored', cpim(lines))).not.toBeNull()
    expect(sent('stored', cpim([...lines.slice(0, 1), ...asking('processing').slice(1)]))).toBeNull()
  })

  test('C-8: through the servers that want to see it, the last one first', () => {
    const routes = ['imdn.IMDN-Record-Route: <sip:list@b.test>', 'imdn.IMDN-Record-Route: <sip:relay@a.test>']
    const imdn = sent('stored', cpim([...asking('processing'), ...routes]))!
    expect(imdn.requestUri).toBe('sip:list@b.test')
    expect(Buffer.from(imdn.body).toString()).toContain(
      'imdn.IMDN-Route: <sip:list@b.test>\r\nimdn.IMDN-Route: <sip:relay@a.test>\r\n',
    )
  })

  test('by the outbound proxy', () => {
    const { config: proxied } = siloConfig('imdn: true\noutbound_proxy: sip:p.test')
    expect(sent('stored', cpim(asking('processing')), 'message/cpim', proxied)?.via).toBe('sip:p.test')
  })
})

describe('nobody is told', () => {
  const good = cpim(asking('processing, negative-delivery'))

  test('unless it is configured (C-9)', () => {
    expect(sent('stored', good)).not.toBeNull()
    expect(sent('stored', good, 'message/cpim', siloConfig().config)).toBeNull()
  })

  test.each([
    ['it is no CPIM', good, 'text/plain'],
    ['nothing was asked for', cpim([]), 'message/cpim'],
    ['something else was asked for', cpim(asking('positive-delivery, display')), 'message/cpim'],
    ['the names are in another case (C-1)', Buffer.from(String(good).replaceAll('imdn.D', 'imdn.d')), 'message/cpim'],
    ['it has no Message-ID', cpim(asking('processing').filter((line) => !line.includes('ID'))), 'message/cpim'],
    ['its Message-ID is endless', Buffer.from(String(good).replace('m&1', 'm'.repeat(600))), 'message/cpim'],
    ['it has no From (C-3)', Buffer.from(String(good).replace('From', 'Form')), 'message/cpim'],
    ['it is cut off', good.subarray(0, 60), 'message/cpim'],
    ['its head is endless', cpim([...asking('processing'), `X: ${'x'.repeat(20_000)}`]), 'message/cpim'],
    [
      'there are too many servers',
      cpim([...asking('processing'), ...Array(17).fill('imdn.IMDN-Record-Route: <sip:r@a.test>')]),
      'message/cpim',
    ],
    [
      'a server cannot be sent to',
      cpim([...asking('processing'), 'imdn.IMDN-Record-Route: <sip:r@a.test?X=y>']),
      'message/cpim',
    ],
  ])('when %s', (_why, body, contentType) => {
    expect(sent('stored', body, contentType)).toBeNull()
  })

  test('C-7: by what is a notification itself, however it is asked for', () => {
    const lines = asking('processing, negative-delivery')
    for (const kind of ['stored', 'failed'] as const) {
      expect(sent(kind, cpim(lines, ['Content-type: message/imdn+xml']))).toBeNull()
      expect(sent(kind, cpim(lines, ['Content-Type: text/xml', 'Content-Disposition: notification']))).toBeNull()
    }
    const own = sent('stored', cpim(lines))!
    expect(sent('stored', Buffer.from(own.body))).toBeNull()
  })

  test('when the sender is no SIP user', () => {
    const message = storedMessage({ contentType: 'message/cpim', body: good, srcAddr: 'tel:+1' })
    expect(imdnOf(message, 'stored', config, now)).toBeNull()
  })
})

test('what a sender writes into CPIM cannot become a header or markup of the notification', () => {
  const body = cpim([
    'NS: imdn <urn:ietf:params:imdn>',
    'imdn.Message-ID: <a>"&\u00e9',
    'imdn.Disposition-Notification: processing',
  ])
  expect(Buffer.from(sent('stored', body)!.body).toString()).toContain(
    '<message-id>&lt;a&gt;&quot;&amp;\u00e9</message-id>',
  )
  expect(sent('stored', cpim([...asking('processing'), 'X: a\nTo: evil']))).toBeNull()
})

describe('C-1: reading CPIM', () => {
  test('names of message headers are case-sensitive, those of the content are not; it may hold anything', () => {
    const body = Buffer.concat([
      cpim(['cc: a', 'cc: b'], ['content-type: Text/HTML; charset=utf-8']),
      Buffer.from([0xff, 0]),
    ])
    const read = readCpim(body)!
    expect(read.values('cc')).toEqual(['a', 'b'])
    expect(read.values('CC')).toEqual([])
    expect(read.mediaType).toBe('text/html')
    expect(read.disposition).toBeNull()
  })

  test('a head that is not UTF-8, or has lines that are no headers, is none', () => {
    expect(readCpim(Buffer.from('From: \xff\r\n\r\nContent-Type: a/b\r\n\r\n', 'latin1'))).toBeNull()
    expect(readCpim(Buffer.from('From\r\n\r\nContent-Type: a/b\r\n\r\n'))).toBeNull()
    expect(readCpim(Buffer.from(''))).toBeNull()
  })
})
