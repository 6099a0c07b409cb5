import { describe, expect, test } from 'vitest'
import type { SipRequest } from '../../src/parser/sip/message.ts'
import { noticeOf } from '../../src/silo/notification.ts'
import { requestVariables } from '../../src/silo/variables.ts'
import { keptAt, messageRequest, siloConfig } from './support/texts.ts'

const usual = `from_address: sip:$rU@b.test
offline_message: '*** User $rU is offline!'
content_type_hdr: 'Content-Type: text/plain; charset=utf-8'`
const source = { address: '192.0.2.1', port: 5062, transport: 'tcp' }

function notice(request: SipRequest, lines = usual) {
  const { config, templates } = siloConfig(lines)
  const variables = requestVariables(request, source, keptAt, templates.zone, () => null)
  return noticeOf(request, 'abcdefghijklmnopqrstuv', config, templates, variables)
}

test('SILO-12, SILO-13: the sender is told', () => {
  expect(notice(messageRequest())).toEqual({
    requestUri: 'sip:alice@a.test',
    from: '<sip:bob@b.test>',
    to: '<sip:alice@a.test>',
    callId: 'notice-abcdefghijklmnopqrstuv@b.test',
    cseq: 1,
    headers: [],
    contentType: 'text/plain; charset=utf-8',
    body: Buffer.from('*** User bob is offline!'),
    via: null,
  })
})

test.each(['from_address', 'offline_message'])('SILO-12: without %s nobody is told', (key) => {
  const lines = usual.split('\n').filter((line) => !line.startsWith(key))
  expect(notice(messageRequest(), lines.join('\n'))).toBeNull()
})

describe('SILO-13: where it goes', () => {
  const withContact = messageRequest(['Contact: <sip:alice@192.0.2.1:5070;transport=tcp>'])

  test('to the Contact, unless use_contact is off; To is the From URI', () => {
    expect(notice(withContact)).toMatchObject({
      requestUri: 'sip:alice@192.0.2.1:5070;transport=tcp',
      to: '<sip:alice@a.test>',
    })
    expect(notice(withContact, `${usual}\nuse_contact: 0`)?.requestUri).toBe('sip:alice@a.test')
  })

  test('to From, when the Contact is no SIP URI', () => {
    expect(notice(messageRequest(['Contact: <tel:+1>']))?.requestUri).toBe('sip:alice@a.test')
  })

  test('nowhere, when neither can be sent to', () => {
    expect(notice(messageRequest(['From: <tel:+1>;tag=1']))).toBeNull()
    expect(notice(messageRequest(['Contact: <sip:alice@a.test?Subject=x>']))).toBeNull()
  })

  test('by the outbound proxy, with contact_hdr', () => {
    const lines = `${usual}\noutbound_proxy: sip:p.test\ncontact_hdr: "Contact: <sip:$rU@null.test>\\r\\n"`
    expect(notice(messageRequest(), lines)).toMatchObject({
      via: 'sip:p.test',
      headers: [['Contact', '<sip:bob@null.test>']],
    })
  })
})

test('a from_address that the variables of a message make no address of gives no notice', () => {
  const lines = usual.replace('sip:$rU@b.test', '$hdr(X-From)')
  expect(notice(messageRequest(['X-From: sip:x@b.test']), lines)?.from).toBe('<sip:x@b.test>')
  expect(notice(messageRequest(['X-From: nobody']), lines)).toBeNull()
  expect(notice(messageRequest(), lines)).toBeNull()
})

describe('programs are told nothing', () => {
  test.each(['message/imdn+xml', 'application/im-isComposing+xml; charset=utf-8'])('%s', (type) => {
    expect(notice(messageRequest([`Content-Type: ${type}`]))).toBeNull()
  })

  test('a notification within CPIM (C-7); other CPIM is', () => {
    const body = (type: string) => `From: <im:a@a.test>\r\nTo: <im:b@b.test>\r\n\r\nContent-Type: ${type}\r\n\r\nx`
    expect(notice(messageRequest(['Content-Type: message/cpim'], body('message/imdn+xml')))).toBeNull()
    expect(notice(messageRequest(['Content-Type: message/cpim'], body('text/plain')))).not.toBeNull()
    expect(notice(messageRequest(['Content-Type: message/cpim'], 'no CPIM'))).not.toBeNull()
  })

  test('a notice that is stored causes none', () => {
    const first = notice(messageRequest())!
    expect(notice(messageRequest([`Call-ID: ${first.callId}`]))).toBeNull()
  })
})

test('every variable of a request has its value', () => {
  const text = [
    '$ru $rU $rd $rp $rP $ou $oU $od|$fu $fU $fd $fn $ft|$tu $tU $td $tn $tt|$ai $pu $pU $pd',
    '$ci $cs $ct $cT $rm $rb $ua|$si $sp $pr $proto|$Ts $Tf|$hdr(X-A) $(hdr(m))$$',
  ].join('|')
  const request = messageRequest([
    'To: "Bob" <sip:bob%40home@b.test:5080>',
    'P-Asserted-Identity: "A, B" <sip:boss@a.test>, <tel:+1>',
    'P-Preferred-Identity: <sip:pref@c.test>',
    'Contact: <sip:alice@192.0.2.1>',
    'User-Agent: phone/1',
    'x-a: 1',
  ])
  const filled = notice(
    request,
    usual.replace('*** User $rU is offline!', () => text),
  )!
  expect(Buffer.from(filled.body).toString().split('|')).toEqual([
    'sip:bob@b.test bob b.test 5060 udp sip:bob@b.test bob b.test',
    'sip:alice@a.test alice a.test Alice f1',
    'sip:bob%40home@b.test:5080 bob%40home b.test Bob ',
    'sip:boss@a.test sip:pref@c.test pref c.test',
    'call-1@a.test 7 <sip:alice@192.0.2.1> text/plain MESSAGE hi bob phone/1',
    '192.0.2.1 5062 tcp tcp',
    '1171910547 Mon Feb 19 18:42:27 2007',
    '1 <sip:alice@192.0.2.1>$',
  ])
})
