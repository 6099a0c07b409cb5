import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { deliveryOf } from '../../src/silo/dump.ts'
import type { OutgoingMessage } from '../../src/silo/order.ts'
import type { SiloMessage } from '../../src/store/silo-store.ts'
import { keptAt, siloConfig, storedMessage } from './support/texts.ts'

const contact = 'sip:bob@192.0.2.7:5070;transport=tcp'

function offline(parts: Partial<SiloMessage> = {}, lines = ''): OutgoingMessage {
  return deliveryOf(
    storedMessage(parts),
    { kind: 'offline', sndTime: 0, attempt: 1 },
    { ...siloConfig(lines), requestUri: contact },
  )
}

function reminder(parts: Partial<SiloMessage> = {}, lines = 'reminder: sip:registrar@b.test'): OutgoingMessage {
  const order = { kind: 'reminder', sndTime: keptAt + 3_600_000, attempt: 1 } as const
  return deliveryOf(storedMessage(parts), order, { ...siloConfig(lines), requestUri: contact })
}

const textOf = ({ body }: OutgoingMessage) => Buffer.from(body).toString()

describe('an offline message', () => {
  test('goes to the contact, from and to whom it was (SILO-22), with its date and its mark (SILO-23, SILO-31)', () => {
    expect(offline({ body: Buffer.from('hi') }, 'add_date: 0')).toEqual({
      requestUri: contact,
      from: '<sip:alice@a.test>',
      to: '<sip:bob@b.test>',
      callId: 'abcdefghijklmnopqrstuv@b.test',
      cseq: 1,
      headers: [
        ['Date', 'Mon, 19 Feb 2007 18:42:27 GMT'],
        ['Message-ID', 'abcdefghijklmnopqrstuv'],
      ],
      contentType: 'text/plain',
      body: Buffer.from('hi'),
      via: null,
    })
  })

  test('SILO-22: through the outbound proxy it goes to whom it was sent to', () => {
    const { config, templates } = siloConfig('outbound_proxy: sip:proxy.test;transport=tcp')
    const order = { kind: 'offline', sndTime: 0, attempt: 1 } as const
    const sent = deliveryOf(storedMessage(), order, { config, templates, requestUri: null })
    expect(sent).toMatchObject({ requestUri: 'sip:bob@b.test', via: 'sip:proxy.test;transport=tcp' })
  })

  test('SILO-31, SILO-11: every attempt has the same Call-ID and Message-ID, and a CSeq of its own', () => {
    const message = storedMessage({ callId: 'call-1@a.test' })
    const context = { ...siloConfig(), requestUri: contact }
    const attempts = [1, 2].map((attempt) => deliveryOf(message, { kind: 'offline', sndTime: 0, attempt }, context))
    expect(attempts.map(({ callId }) => callId)).toEqual(['call-1@a.test', 'call-1@a.test'])
    expect(attempts.map(({ cseq }) => cseq)).toEqual([1, 2])
    expect(new Set(attempts.map(({ headers }) => headers.at(-1)?.join())).size).toBe(1)
  })

  test('SILO-23: Date, Contact, extra_hdrs with the variables of the message, and what was stored, in this order', () => {
    const lines = 'add_contact: 1\nextra_hdrs: "X-Extra: $fu to $tU ($rU, $hdr(x-a), $ua)\\r\\nY-Extra: foo\\r\\n"'
    expect(offline({ extraHeaders: 'X-A: 1\r\nX-B: 2\r\n' }, lines).headers).toEqual([
      ['Date', 'Mon, 19 Feb 2007 18:42:27 GMT'],
      ['Contact', '<sip:alice@a.test>;msilo=yes'],
      ['X-Extra', 'sip:alice@a.test to bob (bob, 1, )'],
      ['Y-Extra', 'foo'],
      ['X-A', '1'],
      ['X-B', '2'],
      ['Message-ID', 'abcdefghijklmnopqrstuv'],
    ])
  })

  test('S-55: who wants to stay unknown does to a user, and not to a proxy', () => {
    const extraHeaders = 'P-Asserted-Identity: <sip:alice@a.test>\r\nPrivacy: header;id\r\n'
    const names = (sent: OutgoingMessage) => sent.headers.map(([name]) => name)
    expect(names(offline({ extraHeaders }))).toEqual(['Date', 'Privacy', 'Message-ID'])
    expect(names(offline({ extraHeaders: extraHeaders.replace('id', 'user') }))).toContain('P-Asserted-Identity')
    expect(names(offline({ extraHeaders }, 'outbound_proxy: sip:p.test'))).toContain('P-Asserted-Identity')
  })

  test('no end of line in what was imported begins a header', () => {
    const evil = 'sip:a@a.test\r\nX-Evil: 1'
    const sent = offline({ srcAddr: evil, dstAddr: evil, contentType: 'text/plain\r\nX-Evil: 1' }, 'add_contact: 1')
    expect(JSON.stringify({ ...sent, body: '' })).not.toMatch(/\\[rn]/)
  })
})

describe('SILO-25: the date in front of the text', () => {
  const prefix = '[Offline message - Mon Feb 19 18:42:27 2007] '

  test.each(['text/plain', 'Text/Plain', 'text/plain;charset=utf-8', 'text/plain; charset="UTF-8"; format=flowed'])(
    '%s has it',
    (contentType) => {
      const sent = offline({ contentType })
      expect(textOf(sent)).toBe(`${prefix}hi`)
      expect(sent.contentType).toBe(contentType)
    },
  )

  test.each([
    'text/html',
    'message/cpim',
    'message/imdn+xml',
    'application/json',
    'multipart/mixed; boundary=b',
    'text/plain; charset=utf-16',
    'text/plainer',
  ])('%s stays as it is (Q-20, C-2)', (contentType) => {
    expect(textOf(offline({ contentType }))).toBe('hi')
  })

  test.each(['Content-Encoding: gzip', 'e: gzip', 'Content-Transfer-Encoding: base64'])(
    'octets that are not the text itself stay as they are: %s',
    (header) => {
      expect(textOf(offline({ extraHeaders: `${header}\r\n` }))).toBe('hi')
    },
  )

  test('in the zone of the configuration, and not with add_date: 0', () => {
    expect(textOf(offline({}, 'date_zone: Asia/Tokyo'))).toBe('[Offline message - Tue Feb 20 03:42:27 2007] hi')
    expect(textOf(offline({}, 'add_date: 0'))).toBe('hi')
  })

  test('SILO-26, Q-23: however long the text is, and whatever octets it has', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 3000 }), (body) => {
        expect(Buffer.from(offline({ body }).body)).toEqual(Buffer.concat([Buffer.from(prefix), body]))
      }),
    )
  })
})

describe('SILO-41: a reminder', () => {
  test('comes from the address of reminders, to the owner, without date and stored headers', () => {
    expect(reminder({ extraHeaders: 'X-A: 1\r\n' })).toEqual({
      requestUri: contact,
      from: '<sip:registrar@b.test>',
      to: '<sip:bob@b.test>',
      callId: 'abcdefghijklmnopqrstuv@b.test',
      cseq: 1,
      headers: [['Message-ID', 'abcdefghijklmnopqrstuv']],
      contentType: 'text/plain',
      body: Buffer.from('[Reminder message - Mon Feb 19 19:42:27 2007] hi'),
      via: null,
    })
  })

  test('through the outbound proxy it goes to its owner, whose user is escaped as a URI needs it (S-60)', () => {
    const { config, templates } = siloConfig('reminder: sip:r@b.test\noutbound_proxy: sip:p.test')
    const message = storedMessage({ owner: 'sip:bob <@>;é@b.test', dstAddr: 'sip:other@b.test' })
    const order = { kind: 'reminder', sndTime: keptAt, attempt: 1 } as const
    expect(deliveryOf(message, order, { config, templates, requestUri: null })).toMatchObject({
      requestUri: 'sip:bob%20%3C%40%3E;%C3%A9@b.test',
      to: '<sip:bob%20%3C%40%3E;%C3%A9@b.test>',
      via: 'sip:p.test',
    })
  })

  test('its address can have a name, parameters, and variables', () => {
    expect(reminder({}, 'reminder: \'"At $rd" <sip:r@$rd>\'').from).toBe('"At b.test" <sip:r@b.test>')
    expect(reminder({}, 'reminder: sip:r@b.test;x=y').from).toBe('<sip:r@b.test;x=y>')
  })

  test('text of any kind has the prefix, whatever add_date says; what is no text stays as it is', () => {
    const lines = 'reminder: sip:r@b.test\nadd_date: 0'
    expect(textOf(reminder({ contentType: 'text/html' }, lines))).toMatch(/^\[Reminder message - /)
    expect(textOf(reminder({ contentType: 'message/cpim' }, lines))).toBe('hi')
    expect(textOf(reminder({ contentType: 'image/png' }, lines))).toBe('hi')
  })

  test('what the body cannot be read without goes along', () => {
    const { headers, body } = reminder({ extraHeaders: 'X-A: 1\r\nContent-Encoding: gzip\r\nMIME-Version: 1.0\r\n' })
    expect(headers.map(([name]) => name)).toEqual(['Content-Encoding', 'MIME-Version', 'Message-ID'])
    expect(Buffer.from(body).toString()).toBe('hi')
  })
})
