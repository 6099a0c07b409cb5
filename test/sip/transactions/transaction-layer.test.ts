import { describe, expect, it } from 'vitest'
import { cancelFor, response } from '../../../src/parser/sip/encoder.ts'
import type { SipRequest } from '../../../src/parser/sip/message.ts'
import {
  answer,
  answered,
  Bench,
  ClientLog,
  nameOf,
  newBranch,
  parse,
  type RequestParts,
  request,
  UserLog,
} from './support.ts'

/** How many requests the user got of these, received one after the other. */
function opened(...messages: readonly SipRequest[]): number {
  const bench = new Bench()
  for (const message of messages) bench.layer.receive(message, bench.channel(false))
  return bench.user.requests.length
}

describe('a request whose branch has the cookie (S-30)', () => {
  const branch = newBranch()

  it('is a copy when branch, sent-by and method are the same, whatever else it says', () => {
    expect(opened(request('MESSAGE', { branch }), request('MESSAGE', { branch }))).toBe(1)
    const changed = { branch, uri: 'sip:eve@silo.test', callId: 'c2', fromTag: 'a2', toTag: 'b2', cseq: 9 }
    expect(opened(request('MESSAGE', { branch }), request('MESSAGE', changed))).toBe(1)
  })

  it.each<[string, string, RequestParts]>([
    ['branch', 'MESSAGE', { branch: newBranch() }],
    ['case of the branch', 'MESSAGE', { branch: branch.toUpperCase().replace('Z9HG4BK', 'z9hG4bK') }],
    ['host of sent-by', 'MESSAGE', { branch, sentBy: 'other.test:5060' }],
    ['port of sent-by', 'MESSAGE', { branch, sentBy: 'client.test:5070' }],
    ['port of sent-by, which is missing', 'MESSAGE', { branch, sentBy: 'client.test' }],
    ['method', 'OPTIONS', { branch }],
  ])('is a new one when the %s differs', (_what, method, parts) => {
    expect(opened(request('MESSAGE', { branch }), request(method, parts))).toBe(2)
  })

  it('is a copy whatever channel it comes on, and is answered on the first', () => {
    const bench = new Bench()
    const [first, second] = [bench.channel(false), bench.channel(false)]
    const message = request('MESSAGE', { branch })
    const server = bench.serve(message, first)
    server.respond(answer(message, 200), 200)
    bench.layer.receive(request('MESSAGE', { branch }), second)
    expect(first.names()).toEqual(['200', '200'])
    expect(second.names()).toEqual([])
  })

  it('gives its ACK to the INVITE with its branch and sent-by', () => {
    const bench = new Bench()
    const channel = bench.channel(false)
    const invite = request('INVITE', { branch })
    const server = bench.serve(invite, channel)
    server.respond(answer(invite, 486), 486)
    for (const stranger of [
      request('ACK', { branch: newBranch(), toTag: 'b1' }),
      request('ACK', { branch, sentBy: 'other.test', toTag: 'b1' }),
    ]) {
      bench.layer.receive(stranger, channel)
      expect(server.state).toBe('completed')
      expect(bench.user.acks.splice(0)).toEqual([stranger])
    }
    bench.layer.receive(request('ACK', { branch, toTag: 'b1' }), channel)
    expect(server.state).toBe('confirmed')
    expect(bench.user.acks).toEqual([])
  })
})

describe.each([
  ['none', null],
  ['one of RFC 2543', '4b43c2ff8.1'],
  ['the bare cookie', 'z9hG4bK'],
  ['the cookie in another case', 'Z9HG4BKabc'],
])('a request whose branch is %s (S-30)', (_what, branch) => {
  it('is a copy when Request-URI, tags, Call-ID, CSeq and top Via are the same', () => {
    expect(opened(request('MESSAGE', { branch }), request('MESSAGE', { branch }))).toBe(1)
    expect(opened(request('MESSAGE', { branch, toTag: 'b1' }), request('MESSAGE', { branch, toTag: 'b1' }))).toBe(1)
  })

  it.each<[string, string, RequestParts]>([
    ['Request-URI', 'MESSAGE', { branch, uri: 'sip:carol@silo.test' }],
    ['To tag', 'MESSAGE', { branch, toTag: 'b2' }],
    ['From tag', 'MESSAGE', { branch, fromTag: 'a2' }],
    ['Call-ID', 'MESSAGE', { branch, callId: 'c2' }],
    ['CSeq number', 'MESSAGE', { branch, cseq: 2 }],
    ['method', 'OPTIONS', { branch }],
    ['top Via', 'MESSAGE', { branch, sentBy: 'client.test:5070' }],
  ])('is a new one when the %s differs', (_part, method, parts) => {
    expect(opened(request('MESSAGE', { branch }), request(method, parts))).toBe(2)
  })

  it('gives its ACK to the INVITE whose response has its To tag', () => {
    const bench = new Bench()
    const channel = bench.channel(false)
    const invite = request('INVITE', { branch })
    const server = bench.serve(invite, channel)
    const early = request('ACK', { branch, toTag: 'b1' })
    bench.layer.receive(early, channel)
    server.respond(answer(invite, 486, 'b1'), 486)
    const strangers = [
      request('ACK', { branch, toTag: 'b' }),
      request('ACK', { branch, toTag: 'a1' }),
      request('ACK', { branch }),
      request('ACK', { branch, toTag: 'b1', cseq: 2 }),
      request('ACK', { branch, toTag: 'b1', callId: 'c2' }),
    ]
    for (const stranger of strangers) bench.layer.receive(stranger, channel)
    expect(server.state).toBe('completed')
    expect(bench.user.acks.splice(0)).toEqual([early, ...strangers])
    bench.layer.receive(request('ACK', { branch, toTag: 'b1' }), channel)
    expect(server.state).toBe('confirmed')
    bench.layer.receive(request('ACK', { branch, toTag: 'b1' }), channel)
    expect(bench.user.acks).toEqual([])
  })

  it('gives its ACK to the INVITE within a dialog, whose To tag it shares', () => {
    const bench = new Bench()
    const channel = bench.channel(true)
    const invite = request('INVITE', { branch, toTag: 'b1' })
    const server = bench.serve(invite, channel)
    server.respond(answer(invite, 488), 488)
    bench.layer.receive(request('ACK', { branch, toTag: 'b1' }), channel)
    expect(server.state).toBe('terminated')
    expect(bench.empty).toBe(true)
  })

  it('hands up its ACK for a 2xx', () => {
    const bench = new Bench()
    const channel = bench.channel(false)
    const invite = request('INVITE', { branch })
    bench.serve(invite, channel).respond(answer(invite, 200), 200)
    bench.layer.receive(request('ACK', { branch, toTag: 'b1' }), channel)
    expect(bench.user.acks).toHaveLength(1)
  })

  it('cancels the INVITE that is the same but for the method (S-50)', () => {
    const bench = new Bench()
    const channel = bench.channel(false)
    const server = bench.serve(request('INVITE', { branch }), channel)
    bench.layer.receive(request('CANCEL', { branch }), channel)
    bench.layer.receive(request('CANCEL', { branch, callId: 'c2' }), channel)
    expect(bench.user.cancels.map(({ invite }) => invite)).toEqual([server, null])
  })
})

it('finds the To tag of a response however it is written (S-30)', () => {
  const branch = null
  for (const to of [
    'To: <sip:bob@silo.test;tag=no>;tag=b1',
    't:"x;tag=no" <sip:bob@silo.test> ; x=y ;TAG = b1',
    'TO : <sip:bob@silo.test>\r\n ;x=y\r\n\t;tag=b1;z',
  ]) {
    const bench = new Bench()
    const channel = bench.channel(false)
    const invite = request('INVITE', { branch })
    const server = bench.serve(invite, channel)
    const octets = answer(invite, 486)
      .toString()
      .replace(/^To:.*$/m, to)
    server.respond(Buffer.from(octets), 486)
    bench.layer.receive(request('ACK', { branch, toTag: 'no' }), channel)
    expect(server.state).toBe('completed')
    bench.layer.receive(request('ACK', { branch, toTag: 'b1' }), channel)
    expect(server.state).toBe('confirmed')
  }
})

describe('a response (S-31)', () => {
  it('goes to the client transaction of its top branch and CSeq method', () => {
    const bench = new Bench()
    const channel = bench.channel(false)
    const requests = ['INVITE', 'MESSAGE', 'OPTIONS'].map((method) => request(method))
    const logs = requests.map((each) => {
      const log = new ClientLog()
      bench.layer.sendRequest(each, channel, log)
      return log
    })
    requests.forEach((each, i) => {
      bench.layer.receive(answered(each, 200), channel)
      const heard = each.method === 'INVITE' ? ['200'] : ['200', 'terminated']
      expect(logs.map((log) => log.take())).toEqual(logs.map((_, k) => (k === i ? heard : [])))
    })
    expect(bench.layer.counters.strayResponses).toBe(0)
  })

  it('to a CANCEL is not mistaken for one to the INVITE whose branch it shares (S-50)', () => {
    const bench = new Bench()
    const channel = bench.channel(false)
    const invite = request('INVITE')
    const [inviteLog, cancelLog] = [new ClientLog(), new ClientLog()]
    bench.layer.sendRequest(invite, channel, inviteLog)
    bench.layer.receive(answered(invite, 180), channel)
    const cancel = parse(cancelFor(invite))
    if (cancel.kind !== 'request') throw new Error('not a request')
    bench.layer.sendRequest(cancel, channel, cancelLog)
    expect(channel.take().map((sent) => [nameOf(sent), sent.topVia!.branch])).toEqual([
      ['INVITE', invite.topVia!.branch],
      ['CANCEL', invite.topVia!.branch],
    ])
    bench.layer.receive(answered(cancel, 200), channel)
    bench.layer.receive(answered(invite, 487), channel)
    expect(inviteLog.take()).toEqual(['180', '487'])
    expect(cancelLog.take()).toEqual(['200', 'terminated'])
    expect(channel.names()).toEqual(['ACK'])
  })

  it('that nobody waits for is dropped and counted, as is one of another method (S-37)', () => {
    const bench = new Bench()
    const channel = bench.channel(false)
    const message = request('MESSAGE')
    const log = new ClientLog()
    bench.layer.sendRequest(message, channel, log)
    channel.take()
    bench.layer.receive(answered(request('MESSAGE'), 200), channel)
    bench.layer.receive(answered(request('INVITE'), 200), channel)
    bench.layer.receive(answered(request('OPTIONS', { branch: message.topVia!.branch }), 200), channel)
    bench.layer.receive(answered(request('MESSAGE', { branch: null }), 200), channel)
    expect(log.take()).toEqual([])
    expect(channel.names()).toEqual([])
    expect(bench.user).toMatchObject({ requests: [], acks: [], cancels: [] })
    expect(bench.layer.counters.strayResponses).toBe(4)
  })

  it.each<[string, (text: string) => string]>([
    ['a code over 699', (text) => text.replace('SIP/2.0 200', 'SIP/2.0 700')],
    ['no To', (text) => text.replace(/^To:.*\r\n/m, '')],
    ['a CSeq that is none', (text) => text.replace(/^CSeq:.*$/m, 'CSeq: many MESSAGE')],
    ['no Via', (text) => text.replace(/^Via:.*\r\n/m, '')],
  ])('with %s is dropped and counted (S-13)', (_what, spoil) => {
    const bench = new Bench()
    const channel = bench.channel(false)
    const message = request('MESSAGE')
    const log = new ClientLog()
    bench.layer.sendRequest(message, channel, log)
    bench.layer.receive(parse(spoil(answer(message, 200).toString())), channel)
    expect(log.take()).toEqual([])
    expect(bench.layer.counters.strayResponses).toBe(1)
    bench.layer.receive(answered(message, 200), channel)
    expect(log.take()).toEqual(['200', 'terminated'])
  })
})

it('hands up an ACK that it knows no INVITE of, and never answers it (S-35)', () => {
  const bench = new Bench()
  const channel = bench.channel(false)
  const ack = request('ACK', { toTag: 'b1' })
  bench.layer.receive(ack, channel)
  bench.layer.receive(ack, channel)
  expect(bench.user.acks).toEqual([ack, ack])
  expect(channel.names()).toEqual([])
  expect(bench.empty).toBe(true)
})

it('drops and counts requests without a Via that an answer could follow', () => {
  const bench = new Bench()
  const channel = bench.channel(false)
  for (const method of ['MESSAGE', 'ACK', 'CANCEL']) {
    bench.layer.receive(
      parse(
        request(method)
          .octets.toString()
          .replace(/^Via:.*\r\n/m, ''),
      ),
      channel,
    )
  }
  expect(bench.layer.counters.unanswerable).toBe(3)
  expect(bench.user).toMatchObject({ requests: [], acks: [], cancels: [] })
  expect(channel.names()).toEqual([])
  expect(bench.empty).toBe(true)
})

it('opens a transaction for a malformed request too, so that it is answered once (S-6)', () => {
  const bench = new Bench()
  const channel = bench.channel(false)
  const text = request('MESSAGE')
    .octets.toString()
    .replace(/^CSeq:.*\r\n/m, 'Timestamp: 1\r\n')
  for (let copy = 0; copy < 2; copy++) bench.layer.receive(parse(text), channel)
  expect(bench.user.requests).toHaveLength(1)
  expect(bench.user.requests[0]!.request.problem).not.toBe(null)
  bench.clock.advance(3500)
  const [trying] = channel.take()
  expect(nameOf(trying!)).toBe('100')
  expect(trying!.header('Timestamp')).toBe(null)
})

describe('a CANCEL (S-50)', () => {
  it('has a transaction of its own, and is told with the INVITE that it cancels', () => {
    const bench = new Bench()
    const channel = bench.channel(false)
    const branch = newBranch()
    const invite = request('INVITE', { branch })
    const server = bench.serve(invite, channel)
    const cancel = request('CANCEL', { branch })
    bench.layer.receive(cancel, channel)
    const [told] = bench.user.cancels
    expect(told!.request).toBe(cancel)
    expect(told!.invite).toBe(server)
    expect(told!.server.kind).toBe('non-invite-server')
    told!.server.respond(answer(cancel, 200), 200)
    server.respond(answer(invite, 487), 487)
    bench.layer.receive(request('CANCEL', { branch }), channel)
    expect(bench.user.cancels).toHaveLength(1)
    expect(bench.user.requests).toHaveLength(1)
    expect(channel.names()).toEqual(['200', '487', '200'])
  })

  it('finds an INVITE that has been answered, and none that is over or was sent by another', () => {
    const bench = new Bench()
    const channel = bench.channel(true)
    const [ringing, over] = [newBranch(), newBranch()]
    const answeredInvite = request('INVITE', { branch: ringing })
    const server = bench.serve(answeredInvite, channel)
    server.respond(answer(answeredInvite, 200), 200)
    bench.serve(request('INVITE', { branch: over }), channel).terminate()
    bench.layer.receive(request('CANCEL', { branch: ringing }), channel)
    bench.layer.receive(request('CANCEL', { branch: ringing, sentBy: 'eve.test' }), channel)
    bench.layer.receive(request('CANCEL', { branch: over }), channel)
    expect(bench.user.cancels.map(({ invite }) => invite)).toEqual([server, null, null])
  })

  it('does not concern a request that is no INVITE', () => {
    const bench = new Bench()
    const branch = newBranch()
    bench.serve(request('MESSAGE', { branch }), bench.channel(false))
    bench.layer.receive(request('CANCEL', { branch }), bench.channel(false))
    expect(bench.user.cancels.map(({ invite }) => invite)).toEqual([null])
  })
})

describe('a request that came another way as well (S-38)', () => {
  it('is merged for a core that asks, while the first is being answered', () => {
    const bench = new Bench()
    const channel = bench.channel(true)
    const first = request('MESSAGE')
    const one = bench.serve(first, channel)
    const two = bench.serve(request('MESSAGE'), channel)
    expect([bench.layer.isMerged(one), bench.layer.isMerged(one)]).toEqual([false, false])
    expect(bench.layer.isMerged(two)).toBe(true)
    two.respond(answer(two.request, 482), 482)
    expect(bench.layer.isMerged(bench.serve(request('MESSAGE'), channel))).toBe(true)
    one.respond(answer(first, 200), 200)
    expect(bench.layer.isMerged(one)).toBe(false)
    expect(bench.layer.isMerged(bench.serve(request('MESSAGE'), channel))).toBe(false)
  })

  it('is merged as well while copies of the first are answered, over UDP until Timer J', () => {
    const bench = new Bench()
    const channel = bench.channel(false)
    const first = request('MESSAGE')
    const one = bench.serve(first, channel)
    expect(bench.layer.isMerged(one)).toBe(false)
    one.respond(answer(first, 200), 200)
    bench.clock.advance(31_999)
    const two = bench.serve(request('MESSAGE'), channel)
    expect(bench.layer.isMerged(two)).toBe(true)
    two.respond(answer(two.request, 482), 482)
    bench.clock.advance(1) // the 482 is remembered for longer, but is nothing to merge with
    expect(bench.layer.size).toBe(1)
    expect(bench.layer.isMerged(bench.serve(request('MESSAGE'), channel))).toBe(false)
  })

  it.each<[string, string, RequestParts]>([
    ['From tag', 'MESSAGE', { fromTag: 'a2' }],
    ['Call-ID', 'MESSAGE', { callId: 'c2' }],
    ['CSeq number', 'MESSAGE', { cseq: 2 }],
    ['method', 'OPTIONS', {}],
  ])('is none when the %s differs', (_what, method, parts) => {
    const bench = new Bench()
    const channel = bench.channel(false)
    expect(bench.layer.isMerged(bench.serve(request('MESSAGE'), channel))).toBe(false)
    expect(bench.layer.isMerged(bench.serve(request(method, parts), channel))).toBe(false)
  })

  it('is none within a dialog', () => {
    const bench = new Bench()
    const channel = bench.channel(false)
    for (let i = 0; i < 2; i++) {
      expect(bench.layer.isMerged(bench.serve(request('MESSAGE', { toTag: 'b1' }), channel))).toBe(false)
    }
  })

  it('is an ordinary request for a proxy, which does not ask', () => {
    expect(opened(request('MESSAGE'), request('MESSAGE'))).toBe(2)
  })
})

describe('a layer that is full', () => {
  function full(max: number): { bench: Bench; invite: string } {
    const bench = new Bench(max)
    const invite = newBranch()
    bench.serve(request('INVITE', { branch: invite }), bench.channel(true))
    while (bench.layer.size < max) bench.serve(request('MESSAGE'), bench.channel(true))
    expect(bench.layer.full).toBe(true)
    return { bench, invite }
  }

  it('answers new requests with 503 and Retry-After, and keeps nothing of them', () => {
    const { bench } = full(3)
    const channel = bench.channel(false)
    const before = bench.wheel.size
    const message = request('MESSAGE')
    bench.layer.receive(message, channel)
    bench.layer.receive(message, channel)
    const refusals = channel.take()
    expect(refusals.map(nameOf)).toEqual(['503', '503'])
    for (const refusal of refusals) {
      expect(refusal.header('Retry-After')).toBe('5')
      expect(refusal.topVia!.text).toBe(message.topVia!.text)
      expect(refusal.to!.tag).toMatch(/^[0-9a-f]{16}$/)
    }
    expect(refusals[0]!.to!.tag).toBe(refusals[1]!.to!.tag) // copies get the same tag (8.2.7)
    bench.layer.receive(request('MESSAGE', { toTag: 'b1' }), channel)
    expect(channel.take()[0]!.to!.tag).toBe('b1')
    expect(bench.layer.counters.refused).toBe(3)
    expect(bench.layer.size).toBe(3)
    expect(bench.wheel.size).toBe(before)
    expect(bench.user.requests).toHaveLength(3)
  })

  it('absorbs the ACKs for its 503s, with and without the cookie (S-35)', () => {
    const { bench } = full(1)
    const channel = bench.channel(false)
    for (const branch of [newBranch(), null]) {
      bench.layer.receive(request('INVITE', { branch }), channel)
      const [refusal] = channel.take()
      bench.layer.receive(request('ACK', { branch, toTag: refusal!.to!.tag! }), channel)
    }
    expect(bench.user.acks).toEqual([])
    expect(bench.layer.counters.retransmissionsAbsorbed).toBe(2)
  })

  it('counts a 503 that cannot be sent', () => {
    const { bench } = full(1)
    const channel = bench.channel(false)
    channel.works = false
    bench.layer.receive(request('MESSAGE'), channel)
    expect(bench.layer.counters).toMatchObject({ refused: 1, transportErrors: 1 })
  })

  it('loses nothing else: copies, ACKs, responses, requests of our own, and CANCELs of what is open', () => {
    const { bench, invite: branch } = full(2)
    const channel = bench.channel(true)
    const log = new ClientLog()
    const own = request('OPTIONS')
    bench.layer.sendRequest(own, channel, log)
    bench.layer.receive(answered(own, 200), channel)
    expect(log.take()).toEqual(['200', 'terminated'])

    bench.layer.receive(request('CANCEL', { branch }), channel)
    expect(bench.user.cancels).toHaveLength(1)
    bench.layer.receive(request('CANCEL'), channel)
    expect(bench.user.cancels).toHaveLength(1)
    bench.layer.receive(request('INVITE', { branch }), channel)
    expect(bench.layer.counters).toMatchObject({ refused: 1, retransmissionsAbsorbed: 1 })

    const invite = bench.user.requests[0]!
    invite.server.respond(answer(invite.request, 486), 486)
    bench.layer.receive(request('ACK', { branch, toTag: 'b1' }), channel)
    expect(invite.server.state).toBe('terminated')
  })

  it('takes new requests as soon as there is room', () => {
    const { bench } = full(2)
    const { server, request: message } = bench.user.requests[1]!
    server.respond(answer(message, 200), 200)
    expect(bench.layer.full).toBe(false)
    bench.serve(request('MESSAGE'), bench.channel(false))
    expect(bench.layer.counters.refused).toBe(0)
  })

  it('has no room for new requests while it answers copies over UDP, until Timer J', () => {
    const bench = new Bench(1)
    const channel = bench.channel(false)
    const branch = newBranch()
    const message = request('MESSAGE', { branch })
    bench.serve(message, channel).respond(answer(message, 200), 200)
    bench.clock.advance(31_999)
    bench.layer.receive(request('MESSAGE', { branch }), channel)
    bench.layer.receive(request('MESSAGE'), channel)
    expect(channel.names()).toEqual(['200', '200', '503'])
    bench.clock.advance(1)
    bench.serve(request('MESSAGE'), channel)
    expect(bench.layer.counters.refused).toBe(1)
  })
})

it('counts open transactions by kind', () => {
  const bench = new Bench()
  const channel = bench.channel(false)
  bench.serve(request('INVITE'), channel)
  for (let i = 0; i < 2; i++) bench.serve(request('MESSAGE'), channel)
  for (let i = 0; i < 3; i++) bench.layer.sendRequest(request('INVITE'), channel, new ClientLog())
  for (let i = 0; i < 4; i++) bench.layer.sendRequest(request('REGISTER'), channel, new ClientLog())
  expect(bench.layer.counters.open).toEqual({
    'invite-server': 1,
    'non-invite-server': 2,
    'invite-client': 3,
    'non-invite-client': 4,
  })
  expect(bench.layer.size).toBe(10)
  bench.clock.advance(50_000)
  expect(bench.layer.counters.open).toEqual({
    'invite-server': 1,
    'non-invite-server': 0,
    'invite-client': 0,
    'non-invite-client': 0,
  })
})

it('refuses to send what no response could be matched with: a mistake of its user', () => {
  const bench = new Bench()
  const channel = bench.channel(false)
  const message = request('MESSAGE')
  bench.layer.sendRequest(message, channel, new ClientLog())
  for (const wrong of [message, request('ACK'), request('MESSAGE', { branch: null })]) {
    expect(() => bench.layer.sendRequest(wrong, channel, new ClientLog())).toThrow()
  }
  expect(bench.layer.size).toBe(1)
})

describe.each([
  { over: 'unreliable', reliable: false },
  { over: 'reliable', reliable: true },
])('ten thousand transactions over a channel that is $over', ({ reliable }) => {
  it('leave nothing behind', () => {
    const bench = new Bench()
    const channel = bench.channel(reliable)
    const log = new ClientLog()
    for (let i = 0; i < 2500; i++) {
      const [invite, message] = [request('INVITE'), request('MESSAGE')]
      const calling = bench.serve(invite, channel)
      const texting = bench.serve(message, channel)
      if (i % 2 === 0) bench.layer.isMerged(texting)
      const [call, text] = [request('INVITE'), request('MESSAGE')]
      bench.layer.sendRequest(call, channel, log)
      bench.layer.sendRequest(text, channel, log)
      if (i % 5 !== 0) bench.layer.receive(answered(text, 200), channel)
      if (i % 7 !== 0) bench.layer.receive(answered(call, i % 3 === 0 ? 200 : 486), channel)
      if (i % 11 !== 0) texting.respond(answer(message, 200), 200)
      if (i % 13 !== 0)
        calling.respond(response(invite, i % 3 === 0 ? 200 : 486, 'x', { toTag: 'b1' }), i % 3 === 0 ? 200 : 486)
      else calling.terminate()
      const branch = invite.topVia!.branch
      if (i % 17 !== 0) bench.layer.receive(request('ACK', { branch, toTag: 'b1' }), channel)
      if (i % 250 === 249) bench.clock.advance(100)
    }
    bench.clock.advance(70_000)
    expect(log.heard.filter((word) => word === 'terminated')).toHaveLength(5000)
    expect(bench.user.endings).toHaveLength(5000)
    expect(bench.empty).toBe(true)
    expect(bench.layer.isMerged(bench.serve(request('MESSAGE'), channel))).toBe(false)
  })
})

it.each([true, false])(
  'tells of a request by a transaction that may be answered at once (reliable: %s)',
  (reliable) => {
    const bench = new Bench()
    const channel = bench.channel(reliable)
    const user = new UserLog()
    bench.user.request = (message, server) => {
      user.request(message, server)
      server.respond(answer(message, 202), 202)
    }
    bench.layer.receive(request('MESSAGE'), channel)
    expect(channel.names()).toEqual(['202'])
    expect(user.endings).toEqual(['finished'])
    bench.clock.advance(reliable ? 0 : 32_000)
    expect(user.endings).toEqual(['finished'])
    expect(bench.empty).toBe(true)
  },
)
