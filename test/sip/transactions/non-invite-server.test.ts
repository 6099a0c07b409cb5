import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { SipRequest } from '../../../src/parser/sip/message.ts'
import type { RespondOutcome, ServerTransaction } from '../../../src/sip/transactions/transaction.ts'
import { answer, Bench, type FakeChannel, held, newBranch, request } from './support.ts'

interface Exchange {
  readonly bench: Bench
  readonly channel: FakeChannel
  readonly message: SipRequest
  readonly server: ServerTransaction
  respond(status: number): RespondOutcome
  copy(): void
}

function exchange(reliable: boolean): Exchange {
  const bench = new Bench()
  const channel = bench.channel(reliable)
  const branch = newBranch()
  const message = request('MESSAGE', { branch })
  const server = bench.serve(message, channel)
  return {
    bench,
    channel,
    message,
    server,
    respond: (status) => server.respond(answer(message, status), status),
    copy: () => bench.layer.receive(request('MESSAGE', { branch }), channel),
  }
}

const both = [
  { over: 'unreliable', reliable: false },
  { over: 'reliable', reliable: true },
]

describe.each(both)('non-INVITE server, not answered, over a channel that is $over (S-34, S-36)', ({ reliable }) => {
  it('meets copies with silence, until it sends the 100 when Timer E would reach T2', () => {
    const { bench, channel, copy, server } = exchange(reliable)
    copy()
    bench.clock.advance(3499)
    copy()
    expect(channel.names()).toEqual([])
    expect(server.state).toBe('trying')
    bench.clock.advance(1)
    expect(channel.times()).toEqual([[3500, '100']])
    expect(server.state).toBe('proceeding')
    copy()
    expect(channel.names()).toEqual(['100'])
    expect(bench.user.requests).toHaveLength(1)
    expect(bench.layer.counters).toMatchObject({ retransmissionsAbsorbed: 3, retransmissionsSent: 1 })
  })

  it('ends when its client has given up, without 408; an answer is too late then', () => {
    const { bench, channel, respond, server } = exchange(reliable)
    bench.clock.advance(31_999)
    expect(server.state).toBe('proceeding')
    bench.clock.advance(1)
    expect(server.state).toBe('terminated')
    expect(bench.user.endings).toEqual(['unanswered'])
    expect(bench.layer.counters.unanswered).toBe(1)
    expect(respond(200)).toBe('ignored')
    expect(channel.names()).toEqual(['100'])
    expect(bench.empty).toBe(true)
  })

  it('lets no provisional response pass but 100', () => {
    const { bench, channel, respond, server } = exchange(reliable)
    for (const status of [101, 180, 183, 199]) expect(respond(status)).toBe('ignored')
    expect(server.state).toBe('trying')
    bench.clock.advance(5000)
    for (const status of [101, 180, 183, 199]) expect(respond(status)).toBe('ignored')
    expect(channel.names()).toEqual(['100'])
  })

  it.each(['trying', 'proceeding'])(
    'never sends 408, and absorbs copies as if nothing had been said, in %s',
    (state) => {
      const { bench, channel, copy, respond, server } = exchange(reliable)
      bench.clock.advance(state === 'trying' ? 100 : 4000)
      channel.take()
      expect(server.state).toBe(state)
      expect(respond(408)).toBe('ignored')
      expect(server.state).toBe(state)
      copy()
      expect(channel.names()).toEqual(state === 'trying' ? [] : ['100'])
      expect(bench.user.requests).toHaveLength(1)
    },
  )

  it('ends without a word when its user says so', () => {
    const { bench, channel, server } = exchange(reliable)
    server.terminate()
    server.terminate()
    bench.clock.advance(100_000)
    expect(bench.user.endings).toEqual(['finished'])
    expect(channel.names()).toEqual([])
    expect(bench.empty).toBe(true)
  })
})

it('sends no 100 of its user over UDP before Timer E would reach T2 (S-36)', () => {
  const { bench, channel, respond, server } = exchange(false)
  bench.clock.advance(3400)
  expect(respond(100)).toBe('ignored')
  expect(server.state).toBe('trying')
  bench.clock.advance(100)
  expect(channel.names()).toEqual(['100']) // its own
  expect(respond(100)).toBe('sent')
  expect(channel.names()).toEqual(['100'])
})

it('sends a 100 of its user at once over a reliable channel, and then none of its own (S-36)', () => {
  const { bench, channel, respond, server } = exchange(true)
  expect(respond(100)).toBe('sent')
  expect(server.state).toBe('proceeding')
  bench.clock.advance(31_999)
  expect(channel.times()).toEqual([[0, '100']])
  bench.clock.advance(1)
  expect(bench.user.endings).toEqual(['unanswered'])
})

describe.each([0, 4000])('non-INVITE server, Completed, answered after %i ms (S-34)', (delay) => {
  it.each([200, 202, 302, 404, 503, 603])('answers copies with %i until Timer J, over UDP', (status) => {
    const { bench, channel, copy, respond, server } = exchange(false)
    bench.clock.advance(delay)
    channel.take()
    expect(respond(status)).toBe('sent')
    expect(bench.user.endings).toEqual(['finished'])
    expect(server.state).toBe('completed')
    const [sent] = channel.takeOctets()
    copy()
    bench.clock.advance(31_999)
    copy()
    expect(channel.takeOctets()).toEqual([sent, sent])
    expect(bench.layer.counters).toMatchObject({ retransmissionsAbsorbed: 2, retransmissionsSent: 2 })
    expect(bench.layer.counters.open['non-invite-server']).toBe(1)
    expect(bench.user.requests).toHaveLength(1)
    bench.clock.advance(1)
    expect(server.state).toBe('terminated')
    expect(bench.layer.counters.unanswered).toBe(0)
    expect(bench.empty).toBe(true)
    expect(bench.user.endings).toEqual(['finished'])
    copy()
    expect(bench.user.requests).toHaveLength(2)
  })

  it('is over for its user when the response has been sent, before `respond` returns', () => {
    const { bench, channel, respond, server } = exchange(false)
    bench.clock.advance(delay)
    channel.take()
    const order: string[] = []
    server.user = { terminated: (ending) => order.push(...channel.names(), ending) }
    order.push(respond(200))
    expect(order).toEqual(['200', 'finished', 'sent'])
  })

  it('forgets its request as soon as it is answered', () => {
    const { bench, respond, server } = exchange(false)
    bench.clock.advance(delay)
    expect(server.request.method).toBe('MESSAGE')
    respond(200)
    expect(() => server.request).toThrow('forgotten')
  })

  it('may be ended while copies could come, also by its user there and then: a copy is a new request', () => {
    for (const early of [true, false]) {
      const { bench, channel, copy, respond, server } = exchange(false)
      const endings: string[] = []
      bench.clock.advance(delay)
      channel.take()
      server.user = {
        terminated: (ending) => {
          endings.push(ending)
          if (early) server.terminate()
        },
      }
      expect(respond(200)).toBe('sent')
      server.terminate()
      expect(server.state).toBe('terminated')
      expect(endings).toEqual(['finished'])
      expect(bench.empty).toBe(true)
      copy()
      expect(channel.names()).toEqual(['200'])
      expect(bench.user.requests).toHaveLength(2)
    }
  })

  it('is over at once over a reliable channel, where J is 0', () => {
    const { bench, channel, respond, server } = exchange(true)
    bench.clock.advance(delay)
    channel.take()
    expect(respond(200)).toBe('sent')
    expect(server.state).toBe('terminated')
    expect(bench.user.endings).toEqual(['finished'])
    expect(channel.names()).toEqual(['200'])
    expect(bench.empty).toBe(true)
  })

  it.each([100, 200, 404, 408])('lets its user add no %i', (status) => {
    const { bench, channel, copy, respond } = exchange(false)
    bench.clock.advance(delay)
    channel.take()
    respond(202)
    expect(respond(status)).toBe('ignored')
    copy()
    expect(channel.names()).toEqual(['202', '202'])
    expect(bench.user.endings).toEqual(['finished'])
  })

  it('outlives a response that cannot be sent: the next copy is answered, not processed again', () => {
    const { bench, channel, copy, respond, server } = exchange(false)
    bench.clock.advance(delay)
    channel.take()
    channel.works = false
    expect(respond(200)).toBe('unsendable')
    expect(bench.user.endings).toEqual(['finished'])
    copy()
    channel.works = true
    copy()
    expect(server.state).toBe('completed')
    expect(channel.names()).toEqual(['200'])
    expect(bench.user.requests).toHaveLength(1)
    expect(bench.layer.counters.transportErrors).toBe(2)
  })

  it('tells that a response cannot be sent over a reliable channel that is gone, and ends', () => {
    const { bench, channel, respond } = exchange(true)
    bench.clock.advance(delay)
    channel.works = false
    expect(respond(200)).toBe('unsendable')
    expect(bench.user.endings).toEqual(['finished'])
    expect(bench.empty).toBe(true)
  })
})

it('answers copies with the very octets of its response, whatever they are (S-34)', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 2000 }), fc.integer({ min: 1, max: 3 }), (body, copies) => {
      const { channel, copy, server } = exchange(false)
      const octets = Buffer.concat([Buffer.from('SIP/2.0 200 Gr\u00fc\u00dfe \u{1F44B}\r\n'), body])
      server.respond(octets, 200)
      for (let i = 0; i < copies; i++) copy()
      const sent = channel.takeOctets()
      expect(sent).toHaveLength(1 + copies)
      expect(sent.every((each) => each.equals(octets))).toBe(true)
    }),
  )
  const everyOctet = Buffer.from(Array.from({ length: 256 }, (_, i) => i))
  const { channel, copy, server } = exchange(false)
  server.respond(everyOctet, 200)
  copy()
  expect(channel.takeOctets()).toEqual([everyOctet, everyOctet])
})

it('holds neither request nor user nor any buffer while it waits for copies (S-34)', async () => {
  const bench = new Bench()
  const receive = (status: number | null): WeakRef<object>[] => {
    const sent: WeakRef<object>[] = []
    const channel = { reliable: false, send: (octets: Uint8Array) => sent.push(new WeakRef(octets)) > 0 }
    const message = request('MESSAGE')
    const server = bench.serve(message, channel)
    const user = { terminated: () => {} }
    server.user = user
    bench.user.requests.length = 0
    if (status === null) return [new WeakRef(message), new WeakRef(user)]
    bench.clock.advance(3500)
    server.respond(answer(message, status), status)
    expect(sent).toHaveLength(2) // a 100 before it
    return [new WeakRef(message), new WeakRef(user), ...sent]
  }
  const waiting = receive(null)
  const over = [200, 404].flatMap(receive)
  expect(await held(over)).toBe(0)
  expect(await held(waiting)).toBe(2)
  expect(bench.layer.size).toBe(3)
})
