import { expect, test } from 'vitest'
import type { MessageId } from '../../src/ids.ts'
import { messageOf, namedOwner, rowOf, rowOfStored, type SiloRow, tooNarrow } from '../../src/silo/table.ts'
import { bobsRow } from './support/table-rows.ts'

const now = bobsRow.inc_time * 1000

function message(row: Partial<SiloRow>) {
  const made = messageOf({ ...bobsRow, ...row }, now)
  if (!made.ok) throw new Error(made.error.detail)
  return made.value
}

test('a row is a message: times in milliseconds, the owner as AoR (SILO-51, S-60)', () => {
  const row = { ...bobsRow, snd_time: 1_767_300_000, ctype: 'text/html;charset="utf-8"', callid: 'a84b4c@192.0.2.1' }
  expect(messageOf({ ...row, extra_hdrs: 'X-A: 1\r\nX-B: 2\r\n\tfolded\r\n' }, now)).toEqual({
    ok: true,
    value: {
      owner: 'sip:bob@example.org',
      srcAddr: 'sip:alice@example.org',
      dstAddr: 'sip:bob@example.org',
      contentType: 'text/html;charset="utf-8"',
      body: Buffer.from('hello'),
      incTime: 1_767_225_600_000,
      expTime: 1_767_484_800_000,
      sndTime: 1_767_300_000_000,
      extraHeaders: 'X-A: 1\r\nX-B: 2\r\n\tfolded\r\n',
      callId: 'a84b4c@192.0.2.1',
      messageId: expect.stringMatching(/^[\w-]{22}$/),
    },
  })
})

test.each([
  ['bob', 'Example.ORG', 'sip:bob@example.org'],
  ['b%6Fb', 'example.org.', 'sip:bob@example.org'],
  ['bob', 'example.org:5060', 'sip:bob@example.org'],
  ['bob', 'example.org:5070', 'sip:bob@example.org:5070'],
  ['b#b', '[2001:db8::1]', 'sip:b#b@[2001:db8::1]'],
  ['jürgen', 'example.org', 'sip:jürgen@example.org'],
  ['50%', 'example.org', 'sip:50%@example.org'],
  ['a%40b', 'example.org', 'sip:a@b@example.org'],
])('username %s and domain %s are the AoR %s, and come back (S-60)', (username, domain, owner) => {
  expect(message({ username, domain }).owner).toBe(owner)
  const back = rowOfStored({
    id: 7 as MessageId,
    message: message({ username, domain }),
    attempts: 0,
    delivered: false,
    status: 0,
    reason: null,
  })
  expect(message({ username: back.username, domain: back.domain }).owner).toBe(owner)
})

test.each([
  ['bob@example.org', 'sip:bob@example.org'],
  ['sip:bob@example.org', 'sip:bob@example.org'],
  ['SIPS:bob@EXAMPLE.org', 'sip:bob@example.org'],
  ['sip:a@b@example.org', 'sip:a@b@example.org'],
  ['sip:a b@example.org', 'sip:a b@example.org'],
  ['bob', null],
  ['sip:example.org', null],
  ['bob@example.org;transport=tcp', null],
  ['tel:+123', null],
])('who operators mean by %s is %s', (text, owner) => {
  expect(namedOwner(text)).toBe(owner)
})

test.each<[Partial<SiloRow>, string, string]>([
  [{ status: 2 }, 'delivered', 'it was delivered (status 2)'],
  [{ status: 3 }, 'failed', 'it has failed for good (status 3)'],
  [{ exp_time: bobsRow.inc_time }, 'expired', 'it has expired'],
  [{ exp_time: 0 }, 'expired', 'it has expired'],
  [{ status: 4 }, 'malformed', 'status 4 is not known'],
  [{ username: '' }, 'malformed', 'username and domain make no SIP URI with a user (SILO-3)'],
  [{ domain: '' }, 'malformed', 'username and domain make no SIP URI with a user (SILO-3)'],
  [{ domain: 'example.org;lr' }, 'malformed', 'username and domain make no SIP URI with a user (SILO-3)'],
  [{ src_addr: '' }, 'malformed', 'src_addr is no URI'],
  [{ src_addr: 'sip:a@b>\r\nX: y' }, 'malformed', 'src_addr is no URI'],
  [{ dst_addr: 'bob' }, 'malformed', 'dst_addr is no URI'],
  [{ dst_addr: 'sip:a@b\u0000' }, 'malformed', 'dst_addr is no URI'],
  [{ ctype: 'text' }, 'malformed', 'ctype is no media type'],
  [{ ctype: 'text/plain\r\nX: y' }, 'malformed', 'ctype is no media type'],
  [{ body: Buffer.alloc(0) }, 'malformed', 'body is empty (SILO-3)'],
  [{ extra_hdrs: 'no header' }, 'malformed', 'extra_hdrs are no header lines'],
  [{ extra_hdrs: 'X: 1\r\n\r\nbody' }, 'malformed', 'extra_hdrs are no header lines'],
  [{ extra_hdrs: ' X: 1\r\n' }, 'malformed', 'extra_hdrs are no header lines'],
  [{ callid: 'a b' }, 'malformed', 'callid is no Call-ID'],
])('a row with %j is no message: %s, %s (SILO-30, K-30)', (change, reason, detail) => {
  expect(messageOf({ ...bobsRow, ...change }, now)).toEqual({ ok: false, error: { reason, detail } })
})

test('status 1 is a message that waits: whoever was delivering it is gone (K-30)', () => {
  expect(message({ status: 1 }).owner).toBe('sip:bob@example.org')
})

test.each([
  ['X: 1', 'X: 1\r\n'],
  ['X: 1\nY: 2\n', 'X: 1\r\nY: 2\r\n'],
])('header lines %j end in CRLF afterwards', (lines, mended) => {
  expect(message({ extra_hdrs: lines }).extraHeaders).toBe(mended)
})

test('a row that is imported again has the same Message-ID, another row another one (SILO-31)', () => {
  const same = message({}).messageId
  expect(message({}).messageId).toBe(same)
  expect(message({ status: 1, exp_time: bobsRow.exp_time + 1 }).messageId).toBe(same)
  const others: Partial<SiloRow>[] = [
    { id: 8 },
    { id: null },
    { src_addr: 'sip:carol@example.org' },
    { dst_addr: 'sip:b@example.org' },
    { username: 'carol' },
    { domain: 'example.com' },
    { inc_time: bobsRow.inc_time - 1 },
    { snd_time: 1 },
    { ctype: 'text/html' },
    { body: Buffer.from('hullo') },
    { extra_hdrs: 'X: 1\r\n' },
    { callid: 'x' },
  ]
  const ids = others.map((other) => message(other).messageId)
  expect(new Set([same, ...ids]).size).toBe(others.length + 1)
})

test('what is not there has its default, NULL too', () => {
  const octets = (text: string) => Buffer.from(text)
  const fields = {
    src_addr: octets('sip:a@b'),
    dst_addr: octets('sip:c@d'),
    username: octets('c'),
    domain: octets('d'),
    inc_time: octets('5'),
    exp_time: octets('6'),
    body: octets('x'),
  }
  const row = {
    id: null,
    src_addr: 'sip:a@b',
    dst_addr: 'sip:c@d',
    username: 'c',
    domain: 'd',
    inc_time: 5,
    exp_time: 6,
    snd_time: 0,
    ctype: 'text/plain',
    body: octets('x'),
    extra_hdrs: '',
    callid: '',
    status: 0,
  }
  expect(rowOf(fields)).toEqual({ ok: true, value: row })
  const nulls = { id: null, snd_time: null, ctype: null, extra_hdrs: null, callid: octets(''), status: octets('') }
  expect(rowOf({ ...fields, ...nulls })).toEqual({ ok: true, value: row })
})

test.each([
  [{ exp_time: '1.5' }, 'exp_time is no whole number, or too large'],
  [{ inc_time: '-1' }, 'inc_time is no whole number, or too large'],
  [{ snd_time: 'soon' }, 'snd_time is no whole number, or too large'],
  [{ id: '1234567890123456' }, 'id is no whole number, or too large'],
  [{ exp_time: '1000000000000' }, 'exp_time is no whole number, or too large'],
  [{ status: ' ' }, 'status is no whole number, or too large'],
])('values %j make no row: %s', (values, error) => {
  const fields = Object.fromEntries(Object.entries(values).map(([column, value]) => [column, Buffer.from(value)]))
  expect(rowOf(fields)).toEqual({ ok: false, error })
})

test('text that is not UTF-8 makes no row, a body may hold any octets', () => {
  const octets = Buffer.from([0xff])
  expect(rowOf({ extra_hdrs: octets })).toEqual({ ok: false, error: 'extra_hdrs is not UTF-8' })
  expect(rowOf({ body: octets })).toMatchObject({ ok: true, value: { body: octets } })
})

test('tells which columns of the table are too narrow for a row (SILO-51)', () => {
  expect(tooNarrow(bobsRow)).toEqual([])
  expect(tooNarrow({ ...bobsRow, ctype: 'x'.repeat(32), body: Buffer.alloc(65_535), exp_time: 2 ** 31 - 1 })).toEqual(
    [],
  )
  const wide: SiloRow = {
    id: 2 ** 32,
    src_addr: 'x'.repeat(256),
    dst_addr: 'x'.repeat(256),
    username: 'x'.repeat(65),
    domain: 'x'.repeat(65),
    inc_time: 2 ** 31,
    exp_time: 2 ** 31,
    snd_time: 2 ** 31,
    ctype: 'x'.repeat(33),
    body: Buffer.alloc(65_536),
    extra_hdrs: 'ü'.repeat(32_768),
    callid: 'x'.repeat(129),
    status: 3,
  }
  expect(tooNarrow(wide)).toEqual(Object.keys(wide).slice(0, -1))
})
