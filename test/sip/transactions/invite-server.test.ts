import { describe, expect, it } from 'vitest'
import type { SipRequest } from '../../../src/parser/sip/message.ts'
import type { RespondOutcome, ServerTransaction } from '../../../src/sip/transactions/transaction.ts'
import { answer, Bench, type FakeChannel, nameOf, newBranch, request } from './support.ts'

interface Call {
  readonly bench: Bench
  readonly channel: FakeChannel
  readonly invite: SipRequest
  readonly server: ServerTransaction
  respond(status: number, toTag?: string): RespondOutcome
  copy(): void
  ack(): void
}

function call(reliable: boolean, more: readonly string[] = []): Call {
  const bench = new Bench()
  const channel = bench.channel(reliable)
  const parts = { branch: newBranch(), more }
  const invite = request('INVITE', parts)
  const server = bench.serve(invite, channel)
  return {
    bench,
    channel,
    invite,
    server,
    respond: (status, toTag) => server.respond(answer(invite, status, toTag), status),
    copy: () => bench.layer.receive(request('INVITE', parts), channel),
    ack: () => bench.layer.receive(request('ACK', { branch: parts.branch, toTag: 'b1' }), channel),
  }
}

const both = [
  { over: 'unreliable', reliable: false },
  { over: 'reliable', reliable: true },
]

describe.each(both)('INVITE server, Proceeding, over a channel that is $over (S-33)', ({ reliable }) => {
  it('sends 100 after 200 ms, once, without To tag and with the Timestamp', () => {
    const { bench, channel, invite, server } = call(reliable, ['Timestamp: 54.21'])
    bench.clock.advance(199)
    expect(channel.names()).toEqual([])
    bench.clock.advance(1)
    const [trying] = channel.take()
    expect(nameOf(trying!)).toBe('100')
    expect(trying!.to!.tag).toBe(null)
    expect(trying!.header('Timestamp')).toBe('54.21')
    expect(trying!.topVia!.text).toBe(invite.topVia!.text)
    bench.clock.advance(600_000)
    expect(channel.names()).toEqual([])
    expect(server.state).toBe('proceeding')
    expect(bench.wheel.size).toBe(0)
  })

  it.each([100, 180, 200, 486])('sends no 100 of its own when its user has answered %i by then', (status) => {
    const { bench, channel, respond } = call(reliable)
    bench.clock.advance(190)
    expect(respond(status)).toBe('sent')
    bench.clock.advance(300)
    expect(channel.names()).toEqual([`${status}`])
  })

  it('answers copies with the last provisional response, or silence before there is one', () => {
    const { bench, channel, copy, respond } = call(reliable)
    copy()
    expect(channel.names()).toEqual([])
    bench.clock.advance(200)
    copy()
    respond(180)
    respond(183)
    copy()
    copy()
    expect(channel.names()).toEqual(['100', '100', '180', '183', '183', '183'])
    expect(bench.user.requests).toHaveLength(1)
    expect(bench.layer.counters).toMatchObject({ retransmissionsAbsorbed: 4, retransmissionsSent: 3 })
  })

  it('absorbs an ACK, which is for nothing', () => {
    const { bench, ack, server } = call(reliable)
    ack()
    expect(server.state).toBe('proceeding')
    expect(bench.user.acks).toEqual([])
  })

  it('outlives a response that cannot be sent', () => {
    const { bench, channel, copy, respond, server } = call(reliable)
    channel.works = false
    expect(respond(180)).toBe('unsendable')
    copy()
    channel.works = true
    copy()
    expect(server.state).toBe('proceeding')
    expect(channel.names()).toEqual(['180'])
    expect(bench.layer.counters).toMatchObject({ transportErrors: 2, retransmissionsSent: 1 })
  })

  it('ends without a word when its user says so; a copy is a new request then', () => {
    const { bench, channel, copy, respond, server } = call(reliable)
    server.terminate()
    server.terminate()
    expect(bench.user.endings).toEqual(['finished'])
    expect(bench.empty).toBe(true)
    expect(respond(200)).toBe('ignored')
    expect(channel.names()).toEqual([])
    copy()
    expect(bench.user.requests).toHaveLength(2)
  })
})

describe('INVITE server, Completed (S-33)', () => {
  it('sends the response again by Timer G, doubling up to T2, and gives up by Timer H', () => {
    const { bench, channel, respond, server } = call(false)
    respond(486)
    bench.clock.advance(31_999)
    const times = [0, 500, 1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500]
    expect(channel.times()).toEqual(times.map((at) => [at, '486']))
    expect(server.state).toBe('completed')
    bench.clock.advance(1)
    expect(server.state).toBe('terminated')
    expect(bench.user.endings).toEqual(['unacknowledged'])
    expect(bench.layer.counters).toMatchObject({ unacknowledged: 1, retransmissionsSent: 10 })
    bench.clock.advance(100_000)
    expect(channel.names()).toEqual([])
    expect(bench.empty).toBe(true)
  })

  it('sends it once over a reliable channel, and gives up by Timer H', () => {
    const { bench, channel, respond } = call(true)
    respond(486)
    bench.clock.advance(31_999)
    expect(channel.names()).toEqual(['486'])
    expect(bench.user.endings).toEqual([])
    bench.clock.advance(1)
    expect(bench.user.endings).toEqual(['unacknowledged'])
    expect(bench.empty).toBe(true)
  })

  it.each(both)('answers copies of the INVITE with it, over a channel that is $over', ({ reliable }) => {
    const { bench, channel, copy, respond } = call(reliable)
    respond(180)
    respond(404)
    copy()
    copy()
    expect(channel.names()).toEqual(['180', '404', '404', '404'])
    expect(bench.user.requests).toHaveLength(1)
  })

  it.each([100, 180, 200, 404, 500])('lets its user add no %i', (status) => {
    const { channel, respond, server } = call(false)
    respond(486)
    expect(respond(status)).toBe('ignored')
    expect(channel.names()).toEqual(['486'])
    expect(server.state).toBe('completed')
  })

  it('outlives a response that cannot be sent, and goes on trying', () => {
    const { bench, channel, ack, respond, server } = call(false)
    channel.works = false
    expect(respond(486)).toBe('unsendable')
    bench.clock.advance(499)
    channel.works = true
    bench.clock.advance(1)
    expect(channel.names()).toEqual(['486'])
    ack()
    expect(server.state).toBe('confirmed')
    expect(bench.layer.counters.transportErrors).toBe(1)
  })
})

describe('INVITE server, Confirmed (S-33)', () => {
  it('absorbs ACKs and INVITEs over UDP until Timer I', () => {
    const { bench, channel, ack, copy, respond, server } = call(false)
    respond(486)
    bench.clock.advance(600)
    channel.take()
    ack()
    expect(server.state).toBe('confirmed')
    ack()
    copy()
    expect(respond(200)).toBe('ignored')
    bench.clock.advance(4999)
    expect(server.state).toBe('confirmed')
    expect(bench.user.endings).toEqual([])
    bench.clock.advance(1)
    expect(bench.user.endings).toEqual(['finished'])
    expect(channel.names()).toEqual([])
    expect(bench.user.acks).toEqual([])
    expect(bench.layer.counters).toMatchObject({ retransmissionsAbsorbed: 2, unacknowledged: 0 })
    expect(bench.empty).toBe(true)
  })

  it('is over at once over a reliable channel, where I is 0', () => {
    const { bench, ack, respond, server } = call(true)
    respond(486)
    ack()
    expect(server.state).toBe('terminated')
    expect(bench.user.endings).toEqual(['finished'])
    expect(bench.user.acks).toEqual([])
    expect(bench.empty).toBe(true)
  })
})

describe.each(both)('INVITE server, Accepted, over a channel that is $over (S-33)', ({ reliable }) => {
  it('absorbs copies of the INVITE and lets further 2xx pass until Timer L', () => {
    const { bench, channel, copy, respond, server } = call(reliable)
    respond(180)
    respond(200, 'fork1')
    expect(server.state).toBe('accepted')
    bench.clock.advance(10_000)
    copy()
    expect(respond(200, 'fork1')).toBe('sent')
    expect(respond(202, 'fork2')).toBe('sent')
    bench.clock.advance(21_999)
    expect(server.state).toBe('accepted')
    expect(channel.names()).toEqual(['180', '200', '200', '202'])
    bench.clock.advance(1)
    expect(server.state).toBe('terminated')
    expect(bench.user.endings).toEqual(['finished'])
    expect(respond(200)).toBe('ignored')
    expect(bench.empty).toBe(true)
  })

  it.each([100, 180, 300, 486, 603])('lets its user add no %i', (status) => {
    const { channel, respond } = call(reliable)
    respond(200)
    expect(respond(status)).toBe('ignored')
    expect(channel.names()).toEqual(['200'])
  })

  it('hands up ACKs that match it (S-35)', () => {
    const { bench, ack, respond, server } = call(reliable)
    respond(200)
    ack()
    ack()
    expect(bench.user.acks).toHaveLength(2)
    expect(server.state).toBe('accepted')
  })

  it('outlives a 2xx that cannot be sent', () => {
    const { bench, channel, respond, server } = call(reliable)
    channel.works = false
    expect(respond(200)).toBe('unsendable')
    expect(server.state).toBe('accepted')
    channel.works = true
    expect(respond(200)).toBe('sent')
    expect(bench.user.endings).toEqual([])
  })
})
