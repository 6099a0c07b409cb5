import { describe, expect, it } from 'vitest'
import type { SipRequest } from '../../../src/parser/sip/message.ts'
import type { ClientTransaction } from '../../../src/sip/transactions/transaction.ts'
import { answered, Bench, ClientLog, type FakeChannel, nameOf, request } from './support.ts'

interface Call {
  readonly bench: Bench
  readonly channel: FakeChannel
  readonly invite: SipRequest
  readonly client: ClientTransaction
  readonly log: ClientLog
  receive(status: number, toTag?: string): void
}

function call(reliable: boolean, works = true): Call {
  const bench = new Bench()
  const channel = bench.channel(reliable)
  channel.works = works
  const invite = request('INVITE', { more: ['Route: <sip:edge.test;lr>'] })
  const log = new ClientLog()
  const client = bench.layer.sendRequest(invite, channel, log)
  const receive = (status: number, toTag?: string) => bench.layer.receive(answered(invite, status, toTag), channel)
  return { bench, channel, invite, client, log, receive }
}

const both = [
  { over: 'unreliable', reliable: false },
  { over: 'reliable', reliable: true },
]

describe('INVITE client, Calling (S-32)', () => {
  it('sends again by Timer A, doubling without end, and gives up by Timer B', () => {
    const { bench, channel, client, log } = call(false)
    bench.clock.advance(31_999)
    expect(channel.times()).toEqual([0, 500, 1500, 3500, 7500, 15_500, 31_500].map((at) => [at, 'INVITE']))
    expect(client.state).toBe('calling')
    expect(log.take()).toEqual([])
    bench.clock.advance(1)
    expect(log.take()).toEqual(['timedOut', 'terminated'])
    expect(client.state).toBe('terminated')
    expect(bench.layer.counters).toMatchObject({ timeouts: 1, retransmissionsSent: 6 })
    bench.clock.advance(100_000)
    expect(channel.names()).toEqual([])
    expect(bench.empty).toBe(true)
  })

  it('sends once over a reliable channel, and gives up by Timer B', () => {
    const { bench, channel, log } = call(true)
    bench.clock.advance(31_999)
    expect(channel.names()).toEqual(['INVITE'])
    expect(log.take()).toEqual([])
    bench.clock.advance(1)
    expect(log.take()).toEqual(['timedOut', 'terminated'])
    expect(bench.empty).toBe(true)
  })

  it('sends the octets it was given', () => {
    const { channel, invite } = call(false)
    expect(channel.take()[0]!.octets).toEqual(invite.octets)
  })

  it('tells of a first send that fails, after sendRequest has returned', () => {
    const { bench, client, log } = call(false, false)
    expect(client.state).toBe('calling')
    expect(log.take()).toEqual([])
    bench.clock.advance(10)
    expect(log.take()).toEqual(['transportError', 'terminated'])
    expect(client.state).toBe('terminated')
    expect(bench.layer.counters).toMatchObject({ transportErrors: 1, timeouts: 0 })
    expect(bench.empty).toBe(true)
  })

  it('ends when a copy cannot be sent', () => {
    const { bench, channel, log } = call(false)
    channel.works = false
    bench.clock.advance(500)
    expect(log.take()).toEqual(['transportError', 'terminated'])
    expect(bench.layer.counters.retransmissionsSent).toBe(0)
    expect(bench.empty).toBe(true)
  })
})

describe.each(both)('INVITE client, Proceeding, over a channel that is $over (S-32)', ({ reliable }) => {
  it('sends nothing again and waits without end', () => {
    const { bench, channel, client, log, receive } = call(reliable)
    receive(100)
    receive(180)
    receive(180)
    expect(client.state).toBe('proceeding')
    expect(log.take()).toEqual(['100', '180', '180'])
    bench.clock.advance(600_000)
    expect(channel.names()).toEqual(['INVITE'])
    expect(client.state).toBe('proceeding')
    expect(bench.wheel.size).toBe(0)
  })

  it('is ended by its user, as 64*T1 after a CANCEL (S-50); what comes later is a stray (S-37)', () => {
    const { bench, client, log, receive } = call(reliable)
    receive(180)
    client.terminate()
    client.terminate()
    expect(log.take()).toEqual(['180', 'terminated'])
    expect(bench.empty).toBe(true)
    receive(200)
    expect(log.take()).toEqual([])
    expect(bench.layer.counters.strayResponses).toBe(1)
  })

  it('ends when the transport tells of a failure later', () => {
    const { bench, client, log, receive } = call(reliable)
    receive(180)
    client.transportFailed()
    client.transportFailed()
    expect(log.take()).toEqual(['180', 'transportError', 'terminated'])
    expect(bench.empty).toBe(true)
  })
})

describe.each([false, true])('INVITE client, Completed, after a provisional response: %s (S-32, S-35)', (ringing) => {
  it.each([300, 404, 487, 500, 603])('acknowledges %i and each of its copies until Timer D, over UDP', (status) => {
    const { bench, channel, client, log, invite, receive } = call(false)
    if (ringing) receive(180)
    channel.take()
    log.take()
    receive(status)
    expect(client.state).toBe('completed')
    expect(log.take()).toEqual([`${status}`])
    const [ack] = channel.take()
    expect(nameOf(ack!)).toBe('ACK')
    expect(ack).toMatchObject({ requestUri: 'sip:bob@silo.test', callId: invite.callId })
    expect(ack!.cseq).toEqual({ number: 1, method: 'ACK' })
    expect(ack!.topVia!.text).toBe(invite.topVia!.text)
    expect(ack!.vias).toHaveLength(1)
    expect(ack!.to!.tag).toBe('b1')
    expect(ack!.from!.text).toBe(invite.from!.text)
    expect(ack!.routes.map(({ uriText }) => uriText)).toEqual(['sip:edge.test;lr'])

    for (let copy = 0; copy < 3; copy++) {
      bench.clock.advance(8000)
      receive(status)
    }
    expect(channel.names()).toEqual(['ACK', 'ACK', 'ACK'])
    expect(log.take()).toEqual([])
    expect(bench.layer.counters).toMatchObject({ retransmissionsAbsorbed: 3, retransmissionsSent: 3 })

    bench.clock.advance(8000) // 32 s: D is more
    expect(client.state).toBe('completed')
    bench.clock.advance(1000)
    expect(log.take()).toEqual(['terminated'])
    expect(bench.empty).toBe(true)
    receive(status)
    expect(channel.names()).toEqual([])
    expect(bench.layer.counters.strayResponses).toBe(1)
  })

  it('is over at once over a reliable channel, where D is 0', () => {
    const { bench, channel, client, log, receive } = call(true)
    if (ringing) receive(180)
    log.take()
    receive(486)
    expect(log.take()).toEqual(['486', 'terminated'])
    expect(client.state).toBe('terminated')
    expect(channel.names()).toEqual(['INVITE', 'ACK'])
    expect(bench.empty).toBe(true)
  })

  it('hears nothing of a provisional response or a 2xx that comes now', () => {
    const { bench, channel, log, receive } = call(false)
    if (ringing) receive(180)
    receive(486)
    channel.take()
    log.take()
    receive(180)
    receive(200)
    expect(channel.names()).toEqual([])
    expect(log.take()).toEqual([])
    expect(bench.layer.counters.strayResponses).toBe(2)
  })

  it('has told the final response when its ACK cannot be sent, and ends', () => {
    const { bench, channel, log, receive } = call(false)
    if (ringing) receive(180)
    log.take()
    channel.works = false
    receive(486)
    expect(log.take()).toEqual(['486', 'terminated'])
    expect(bench.layer.counters.transportErrors).toBe(1)
    expect(bench.empty).toBe(true)
  })

  it.each(['a copy of the ACK cannot be sent', 'the transport fails'])('ends without a word more when %s', (how) => {
    const { bench, channel, client, log, receive } = call(false)
    if (ringing) receive(180)
    receive(486)
    log.take()
    if (how === 'the transport fails') client.transportFailed()
    else {
      channel.works = false
      receive(486)
    }
    expect(log.take()).toEqual(['terminated'])
    expect(bench.layer.counters.transportErrors).toBe(1)
    expect(bench.empty).toBe(true)
  })
})

it('acknowledges the final response of another fork with its own To tag (S-35)', () => {
  const { channel, receive } = call(false)
  receive(486, 'fork1')
  receive(486, 'fork2')
  expect(channel.take().map(({ to }) => to!.tag)).toEqual([null, 'fork1', 'fork2'])
})

describe.each(both)('INVITE client, Accepted, over a channel that is $over (S-32)', ({ reliable }) => {
  it('hands up every 2xx until Timer M, and sends no ACK', () => {
    const { bench, channel, client, log, receive } = call(reliable)
    receive(200, 'fork1')
    expect(client.state).toBe('accepted')
    bench.clock.advance(10_000)
    receive(200, 'fork1')
    receive(202, 'fork2')
    bench.clock.advance(21_999)
    expect(log.take()).toEqual(['200', '200', '202'])
    expect(channel.names()).toEqual(['INVITE'])
    bench.clock.advance(1)
    expect(log.take()).toEqual(['terminated'])
    expect(bench.empty).toBe(true)
    receive(200, 'fork1')
    expect(log.take()).toEqual([])
  })

  it('hears nothing of other responses, and none is acknowledged', () => {
    const { bench, channel, log, receive } = call(reliable)
    receive(200)
    log.take()
    channel.take()
    receive(180)
    receive(486)
    expect(log.take()).toEqual([])
    expect(channel.names()).toEqual([])
    expect(bench.layer.counters.strayResponses).toBe(2)
  })

  it('outlives its transport: a 2xx may come another way', () => {
    const { client, log, receive } = call(reliable)
    receive(200, 'fork1')
    client.transportFailed()
    receive(200, 'fork2')
    expect(client.state).toBe('accepted')
    expect(log.take()).toEqual(['200', '200'])
  })
})
