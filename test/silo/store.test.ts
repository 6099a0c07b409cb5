import { describe, expect, test } from 'vitest'
import type { SipRequest } from '../../src/parser/sip/message.ts'
import type { KeepRequest } from '../../src/silo/order.ts'
import { keepRequestOf, type StoreOptions } from '../../src/silo/store.ts'
import { decodeRecord } from '../../src/store/silo-record.ts'
import type { SiloMessage } from '../../src/store/silo-store.ts'
import { messageRequest, keptAt as now, siloConfig } from './support/texts.ts'

const owner = 'sip:bob@b.test'
const day = 86_400_000

interface Setting extends StoreOptions {
  readonly trusted?: boolean
  readonly lines?: string
  readonly owner?: string
}

function keep(request: SipRequest, { lines = '', owner: of = owner, trusted = false, ...options }: Setting = {}) {
  const source = { address: '192.0.2.1', port: 5060, transport: 'tcp', trusted }
  const context = { ...siloConfig(lines), now, source }
  return keepRequestOf(request, of, context, options)
}

function kept(request: SipRequest, setting?: Setting): KeepRequest {
  const made = keep(request, setting)
  if (!made.ok) throw new Error(made.error.reason)
  return made.value
}

const stored = (request: SipRequest, setting?: Setting): SiloMessage =>
  decodeRecord(kept(request, setting).message.record)

test('SILO-4: what is stored of a MESSAGE', () => {
  const request = messageRequest(['X-A: 1', 'Content-Type: text/plain; charset=utf-8'], 'grüezi')
  const { message, notice, noticeKey, imdn } = kept(request)
  const { record, ...rest } = message
  expect(rest).toEqual({ owner, srcAddr: 'sip:alice@a.test', expTime: now + 3 * day, sndTime: 0, octets: 7 })
  const { body, ...decoded } = decodeRecord(record)
  expect(Buffer.from(body).toString()).toBe('grüezi')
  expect(decoded).toEqual({
    owner,
    srcAddr: 'sip:alice@a.test',
    dstAddr: 'sip:bob@b.test',
    // SILO-7, Q-20
    contentType: 'text/plain; charset=utf-8',
    incTime: now,
    expTime: now + 3 * day,
    sndTime: 0,
    extraHeaders: 'X-A: 1\r\n',
    callId: '',
    messageId: expect.stringMatching(/^[\w-]{22}$/),
  })
  expect({ notice, noticeKey, imdn }).toEqual({
    notice: null,
    noticeKey: '',
    imdn: null,
  })
})

test('the octets of the body are those that came', () => {
  const octets = Uint8Array.from({ length: 256 }, (_, octet) => octet)
  expect(Buffer.from(stored(messageRequest(['Content-Type: image/png'], octets)).body)).toEqual(Buffer.from(octets))
})

describe('SILO-3: what cannot be stored is refused', () => {
  test.each<[why: string, request: SipRequest, setting: Setting, status: number, reason: string]>([
    ['no body', messageRequest([], ''), {}, 400, 'Missing Body'],
    ['no type', messageRequest(['Content-Type:']), {}, 400, 'Bad Content-Type'],
    ['a type that is none', messageRequest(['Content-Type: text']), {}, 400, 'Bad Content-Type'],
    ['a bad From', messageRequest(['From: <<']), {}, 400, 'Bad From'],
    ['a bad To', messageRequest(['To: bob']), {}, 400, 'Bad To'],
    ['an owner without user', messageRequest(), { owner: 'sip:b.test' }, 400, 'No User'],
    ['a body that is too large', messageRequest(), { lines: 'max_body_size: 5' }, 413, 'Request Entity Too Large'],
    ['headers of a routing that are none', messageRequest(), { extraHeaders: 'x' }, 500, 'Bad Extra Headers'],
    ['SILO-8: Expires 0', messageRequest(['Expires: 0']), {}, 480, 'Temporarily Unavailable'],
  ])('%s', (_why, request, setting, status, reason) => {
    expect(keep(request, setting)).toEqual({ ok: false, error: { status, reason } })
  })

  test('the largest body is not too large', () => {
    expect(keep(messageRequest(), { lines: 'max_body_size: 6' }).ok).toBe(true)
  })
})

describe('SILO-8, S-84: when it expires', () => {
  const date = (instant: number) => `Date: ${new Date(instant).toUTCString()}`
  const expiry = (headers: readonly string[], setting?: Setting) =>
    kept(messageRequest(headers), setting).message.expTime - now

  test.each<[headers: readonly string[], after: number]>([
    [[], 3 * day],
    [['Expires: 60'], 60_000],
    [['Expires: 4294967295'], 3 * day],
    // S-62
    [['Expires: soon'], 3 * day],
    [['Expires: 60', date(now - 20_000)], 40_000],
    // The sender's clock is ahead: it would be kept for longer than was asked for.
    [['Expires: 60', date(now + 20_000)], 60_000],
    // S-87: its clock was never set.
    [['Expires: 60', date(0)], 60_000],
    [['Expires: 60', 'Date: yesterday'], 60_000],
    [[date(now - 20_000)], 3 * day],
  ])('%j', (headers, after) => {
    expect(expiry(headers)).toBe(after)
  })

  test('expire_time bounds it', () => {
    expect(expiry(['Expires: 60'], { lines: 'expire_time: 10' })).toBe(10_000)
  })

  test('what has expired on its way is refused', () => {
    const late = keep(messageRequest(['Expires: 60', date(now - 60_000)]))
    expect(late).toEqual({ ok: false, error: { status: 480, reason: 'Temporarily Unavailable' } })
  })
})

describe('SILO-9: reminders', () => {
  const lines = 'reminder: sip:r@b.test\nsend_time: 60\nsnd_time_avp: $avp(when)'
  const avp = (name: string) => (name === 'when' ? '20070220120000' : null)
  const due = Date.UTC(2007, 1, 20, 12)

  test('are set by the AVP, or by what a routing says', () => {
    expect(kept(messageRequest(), { lines, avp }).message.sndTime).toBe(due)
    expect(stored(messageRequest(), { lines, avp }).sndTime).toBe(due)
    expect(kept(messageRequest(), { lines, avp, sendTime: '2008' }).message.sndTime).toBe(Date.UTC(2008, 0, 1))
    expect(kept(messageRequest(), { lines, sendTime: new Date(due) }).message.sndTime).toBe(due)
  })

  test('are set by a header, if the operator lets senders do that', () => {
    const byHeader = 'reminder: sip:r@b.test\nsend_time: 60\nsnd_time_avp: $hdr(X-Send-At)'
    const request = messageRequest([`X-Send-At: ${avp('when')}`])
    expect(kept(request, { lines: byHeader }).message.sndTime).toBe(due)
    expect(kept(request, { lines }).message.sndTime).toBe(0)
    expect(kept(messageRequest(), { lines: byHeader }).message.sndTime).toBe(0)
  })

  test('by the clock of date_zone', () => {
    const zoned = `${lines}\ndate_zone: Europe/Berlin`
    expect(kept(messageRequest(), { lines: zoned, avp }).message.sndTime).toBe(due - 3_600_000)
  })

  test.each([
    ['a bad time', lines, { sendTime: 'soon' }],
    ['no time', lines, {}],
    ['SILO-40: no address for reminders', 'send_time: 60', { sendTime: '2008' }],
    ['SILO-40: no timer for reminders', 'reminder: sip:r@b.test', { sendTime: '2008' }],
    ['no name of an AVP', 'reminder: sip:r@b.test\nsend_time: 60', { avp }],
  ])('%s makes an ordinary message', (_why, settings, options) => {
    expect(kept(messageRequest(), { lines: settings, ...options }).message.sndTime).toBe(0)
  })

  test('do not expire before they are due, unless their sender says so', () => {
    const sendTime = new Date(now + 10 * day)
    expect(kept(messageRequest(), { lines, sendTime }).message.expTime).toBe(now + 13 * day)
    expect(kept(messageRequest(['Expires: 60']), { lines, sendTime }).message.expTime).toBe(now + 60_000)
  })
})

describe('SILO-6: headers', () => {
  const lines = 'extra_hdrs_avp: $avp(s:hdrs)'
  const request = messageRequest(['X-A: 1', 'P-Asserted-Identity: <sip:boss@a.test>'])

  test('are those of the AVP, or of the routing, instead of its own', () => {
    expect(stored(request, { lines, avp: () => 'X-B: 2\r\n' }).extraHeaders).toBe('X-B: 2\r\n')
    expect(stored(request, { lines, avp: () => null }).extraHeaders).toBe('X-A: 1\r\n')
    expect(stored(request, { lines, avp: () => 'X-B: 2', extraHeaders: '' }).extraHeaders).toBe('')
    expect(stored(request, { avp: () => 'X-B: 2\r\n' }).extraHeaders).toBe('X-A: 1\r\n')
  })

  test('S-55: identities are believed of peers only', () => {
    expect(stored(request, { trusted: true }).extraHeaders).toBe('X-A: 1\r\nP-Asserted-Identity: <sip:boss@a.test>\r\n')
  })
})

test('SILO-31: the Call-ID is kept of what may have arrived before', () => {
  expect(stored(messageRequest(), { sent: true }).callId).toBe('call-1@a.test')
  expect(stored(messageRequest(), { sent: false }).callId).toBe('')
})

test('SILO-11: the Call-ID is kept with use_mode 1', () => {
  expect(stored(messageRequest(), { lines: 'use_mode: 1' }).callId).toBe('call-1@a.test')
})

test('SILO-31: the same MESSAGE has the same Message-ID again, and no other one has it', () => {
  const id = (headers: readonly string[], setting?: Setting) => stored(messageRequest(headers), setting).messageId
  // Over another way, as a sender does that has got no answer.
  expect(id(['Via: SIP/2.0/TCP 192.0.2.1:5060;branch=z9hG4bK2'])).toBe(id([]))
  const ids = [
    id([]),
    id([], { owner: 'sip:carol@b.test' }),
    id(['Call-ID: other']),
    id(['CSeq: 8 MESSAGE']),
    id(['From: <sip:alice@a.test>;tag=f2']),
  ]
  expect(new Set(ids).size).toBe(5)
})

describe('what the sender is told', () => {
  const lines = `from_address: sip:r@b.test
offline_message: 'kept: $avp(why)'
content_type_hdr: 'Content-Type: text/plain'
skip_notification_flag: 18`

  test('SILO-12: a notice, with what a routing has left', () => {
    const { notice } = kept(messageRequest(), { lines, avp: (name) => `${name}!` })
    expect(Buffer.from(notice!.body).toString()).toBe('kept: why!')
  })

  test('SILO-14: nothing, when the flag is set or a routing says so', () => {
    expect(kept(messageRequest(), { lines, flags: 1 << 18 }).notice).toBeNull()
    expect(kept(messageRequest(), { lines, flags: 1 << 17 }).notice).not.toBeNull()
    expect(kept(messageRequest(), { lines, skipNotification: true }).notice).toBeNull()
    const last = lines.replace('18', '31')
    expect(kept(messageRequest(), { lines: last, flags: 2 ** 31 }).notice).toBeNull()
    const off = lines.replace('18', '-1')
    expect(kept(messageRequest(), { lines: off, flags: 2 ** 32 - 1 }).notice).not.toBeNull()
  })

  test('the key of notices is the same however the sender writes its URI', () => {
    const { noticeKey } = kept(messageRequest(['From: <sip:%61lice@A.TEST:5060;transport=tcp>;tag=1']), { lines })
    expect(noticeKey).toBe('sip:alice@a.test|sip:bob@b.test')
    // Nobody can be told at such a URI.
    expect(kept(messageRequest(['From: <tel:+1>;tag=1']), { lines })).toMatchObject({ notice: null, noticeKey: '' })
  })

  test('C-9: that it is stored, when its CPIM asks for it', () => {
    const body = [
      'From: <im:alice@a.test>',
      'To: <im:bob@b.test>',
      'NS: imdn <urn:ietf:params:imdn>',
      'imdn.Message-ID: m1',
      'imdn.Disposition-Notification: processing',
      '',
      'Content-Type: text/plain',
      '',
      'hi',
    ].join('\r\n')
    const request = messageRequest(['Content-Type: message/cpim'], body)
    expect(kept(request).imdn).toBeNull()
    const { imdn, message } = kept(request, { lines: 'imdn: true' })
    expect(imdn?.contentType).toBe('message/cpim')
    // C-2
    expect(Buffer.from(decodeRecord(message.record).body).toString()).toBe(body)
  })
})
