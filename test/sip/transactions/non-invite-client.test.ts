import { describe, expect, it } from 'vitest'
import type { ClientTransaction } from '../../../src/sip/transactions/transaction.ts'
import { answered, Bench, ClientLog, type FakeChannel, held, request } from './support.ts'

interface Exchange {
  readonly bench: Bench
  readonly channel: FakeChannel
  readonly client: ClientTransaction
  readonly log: ClientLog
  receive(status: number): void
}

function exchange(reliable: boolean, works = true): Exchange {
  const bench = new Bench()
  const channel = bench.channel(reliable)
  channel.works = works
  const message = request('MESSAGE')
  const log = new ClientLog()
  const client = bench.layer.sendRequest(message, channel, log)
  return { bench, channel, client, log, receive: (status) => bench.layer.receive(answered(message, status), channel) }
}

const both = [
  { over: 'unreliable', reliable: false },
  { over: 'reliable', reliable: true },
]

describe('non-INVITE client, Trying (S-34)', () => {
  it('sends again by Timer E, doubling up to T2, and gives up by Timer F', () => {
    const { bench, channel, client, log } = exchange(false)
    bench.clock.advance(31_999)
    const times = [0, 500, 1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500]
    expect(channel.times()).toEqual(times.map((at) => [at, 'MESSAGE']))
    expect(client.state).toBe('trying')
    expect(log.take()).toEqual([])
    bench.clock.advance(1)
    expect(log.take()).toEqual(['timedOut', 'terminated'])
    expect(bench.layer.counters).toMatchObject({ timeouts: 1, retransmissionsSent: 10 })
    bench.clock.advance(100_000)
    expect(channel.names()).toEqual([])
    expect(bench.empty).toBe(true)
  })

  it('sends once over a reliable channel, and gives up by Timer F', () => {
    const { bench, channel, log } = exchange(true)
    bench.clock.advance(31_999)
    expect(channel.names()).toEqual(['MESSAGE'])
    expect(log.take()).toEqual([])
    bench.clock.advance(1)
    expect(log.take()).toEqual(['timedOut', 'terminated'])
    expect(bench.empty).toBe(true)
  })

  it('tells of a first send that fails, after sendRequest has returned', () => {
    const { bench, log } = exchange(true, false)
    expect(log.take()).toEqual([])
    bench.clock.advance(10)
    expect(log.take()).toEqual(['transportError', 'terminated'])
    expect(bench.layer.counters).toMatchObject({ transportErrors: 1, timeouts: 0 })
    expect(bench.empty).toBe(true)
  })

  it('ends when a copy cannot be sent', () => {
    const { bench, channel, log } = exchange(false)
    channel.works = false
    bench.clock.advance(500)
    expect(log.take()).toEqual(['transportError', 'terminated'])
    expect(bench.empty).toBe(true)
  })
})

describe('non-INVITE client, Proceeding (S-34)', () => {
  it('hands up provisional responses, and sends again every T2 from the next copy on', () => {
    const { bench, channel, client, log, receive } = exchange(false)
    bench.clock.advance(600)
    receive(100)
    receive(100)
    expect(client.state).toBe('proceeding')
    expect(log.take()).toEqual(['100', '100'])
    bench.clock.advance(31_399)
    expect(channel.times().map(([at]) => at)).toEqual([
      0, 500, 1500, 5500, 9500, 13_500, 17_500, 21_500, 25_500, 29_500,
    ])
    expect(log.take()).toEqual([])
    bench.clock.advance(1)
    expect(log.take()).toEqual(['timedOut', 'terminated'])
    expect(bench.empty).toBe(true)
  })

  it('gives up by Timer F over a reliable channel', () => {
    const { bench, channel, log, receive } = exchange(true)
    receive(100)
    bench.clock.advance(31_999)
    expect(log.take()).toEqual(['100'])
    bench.clock.advance(1)
    expect(log.take()).toEqual(['timedOut', 'terminated'])
    expect(channel.names()).toEqual(['MESSAGE'])
    expect(bench.empty).toBe(true)
  })
})

describe.each([false, true])('non-INVITE client, Completed, after a provisional response: %s (S-34)', (provisional) => {
  it.each([200, 202, 302, 404, 408, 500, 603])('is over with %i, whose copies are absorbed until Timer K', (status) => {
    const { bench, channel, client, log, receive } = exchange(false)
    if (provisional) receive(100)
    log.take()
    channel.take()
    receive(status)
    expect(log.take()).toEqual([`${status}`, 'terminated'])
    receive(status)
    receive(100)
    expect(client.state).toBe('completed')
    expect(bench.layer.counters).toMatchObject({ retransmissionsAbsorbed: 2, strayResponses: 0 })
    bench.clock.advance(4999)
    receive(status)
    expect(client.state).toBe('completed')
    expect(bench.layer.counters.open['non-invite-client']).toBe(1)
    expect(bench.layer.counters).toMatchObject({ retransmissionsAbsorbed: 3, strayResponses: 0 })
    bench.clock.advance(1)
    expect(client.state).toBe('terminated')
    expect(bench.empty).toBe(true)
    receive(status)
    expect(bench.layer.counters.strayResponses).toBe(1)
    expect(log.take()).toEqual([])
    expect(channel.names()).toEqual([])
  })

  it('may be ended while copies could come: those are strays then, and its user has heard all', () => {
    const { bench, client, log, receive } = exchange(false)
    if (provisional) receive(100)
    receive(200)
    log.take()
    client.terminate()
    client.terminate()
    expect(client.state).toBe('terminated')
    expect(bench.empty).toBe(true)
    receive(200)
    expect(bench.layer.counters).toMatchObject({ retransmissionsAbsorbed: 0, strayResponses: 1 })
    expect(log.take()).toEqual([])
  })

  it('is over at once over a reliable channel, where K is 0', () => {
    const { bench, client, log, receive } = exchange(true)
    if (provisional) receive(100)
    log.take()
    receive(200)
    expect(log.take()).toEqual(['200', 'terminated'])
    expect(client.state).toBe('terminated')
    expect(bench.empty).toBe(true)
  })

  it('does not mind a transport that fails afterwards', () => {
    const { bench, client, log, receive } = exchange(false)
    if (provisional) receive(100)
    log.take()
    receive(200)
    client.transportFailed()
    expect(client.state).toBe('completed')
    expect(log.take()).toEqual(['200', 'terminated'])
    expect(bench.layer.counters.transportErrors).toBe(0)
    bench.clock.advance(5000)
    expect(log.take()).toEqual([])
    expect(bench.empty).toBe(true)
  })
})

describe.each(both)('non-INVITE client over a channel that is $over (S-34)', ({ reliable }) => {
  it.each(['trying', 'proceeding'])('ends in %s when the transport tells of a failure later', (state) => {
    const { bench, client, log, receive } = exchange(reliable)
    if (state === 'proceeding') receive(100)
    expect(client.state).toBe(state)
    log.take()
    client.transportFailed()
    client.transportFailed()
    expect(log.take()).toEqual(['transportError', 'terminated'])
    expect(bench.empty).toBe(true)
  })

  it('ends without a word more when its user says so', () => {
    const { bench, client, log, receive } = exchange(reliable)
    client.terminate()
    client.terminate()
    expect(log.take()).toEqual(['terminated'])
    expect(bench.empty).toBe(true)
    receive(200)
    expect(log.take()).toEqual([])
  })

  it('may be ended by its user in the middle of a response', () => {
    const bench = new Bench()
    const channel = bench.channel(reliable)
    const message = request('MESSAGE')
    const log = new ClientLog()
    const client = bench.layer.sendRequest(message, channel, {
      response: (response) => {
        log.response(response)
        client.terminate()
      },
      timedOut: () => log.timedOut(),
      transportError: () => log.transportError(),
      terminated: () => log.terminated(),
    })
    bench.layer.receive(answered(message, 200), channel)
    expect(log.take()).toEqual(['200', 'terminated'])
    expect(bench.empty).toBe(true)
  })
})

it('holds neither request nor response nor user while it waits for copies (S-34)', async () => {
  const bench = new Bench()
  const answeredBy = (status: number | null): WeakRef<object>[] => {
    const channel = { reliable: false, send: () => true }
    const [message, log] = [request('MESSAGE'), new ClientLog()]
    bench.layer.sendRequest(message, channel, log)
    if (status === null) return [new WeakRef(message.octets), new WeakRef(log)]
    const response = answered(message, status)
    bench.layer.receive(response, channel)
    return [new WeakRef(message.octets), new WeakRef(log), new WeakRef(response)]
  }
  const waiting = answeredBy(null)
  const over = [200, 404].flatMap(answeredBy)
  expect(await held(over)).toBe(0)
  expect(await held(waiting)).toBe(2)
  expect(bench.layer.size).toBe(3)
})
