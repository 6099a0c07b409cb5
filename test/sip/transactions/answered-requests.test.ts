import { memoryUsage } from 'node:process'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { TimerWheel } from '../../../src/sip/timer-wheel.ts'
import { AnsweredRequests } from '../../../src/sip/transactions/answered-requests.ts'
import { TransientMap } from '../../../src/transient-map.ts'
import { FakeTicker } from '../../support/fake-ticker.ts'
import { answer, Bench, FakeChannel, held, request } from './support.ts'

const lifeMs = 32_000
/** How much longer an answer may be kept than it has to be: what a batch lasts, and a tick of the wheel each. */
const laterMs = lifeMs / 32 + 20

function kept() {
  const clock = new FakeTicker()
  const wheel = new TimerWheel(clock)
  const forgotten: string[] = []
  const servers = new TransientMap<string, number | 'transaction'>()
  const answers = new AnsweredRequests(wheel, lifeMs, servers, (key) => forgotten.push(key))
  const answered = {
    get size() {
      return servers.size
    },
    remember: (name: string, octets: Buffer, channel: FakeChannel) =>
      answers.remember(name, servers.add(name, 'transaction'), octets, channel),
    repeat(name: string) {
      const id = servers.get(name)
      return typeof id === 'number' ? answers.repeat(id) : null
    },
    forget(name: string) {
      const place = placeOf(name)
      answers.forget(name, place)
    },
  }
  const placeOf = (name: string) => {
    for (let place = 0; ; place++) if (servers.at(place) === servers.get(name)) return place
  }
  return { clock, wheel, forgotten, answered, servers, channel: new FakeChannel(false, clock) }
}

/** Octets that tell which answer they are of. */
function octetsOf(name: string, length: number): Buffer {
  return Buffer.alloc(length, `${name};`)
}

describe('answers that are kept for copies (S-34)', () => {
  it('are sent again octet for octet until Timer J, and forgotten soon after it, however they come', () => {
    const step = fc.record({
      waitMs: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 40 }), fc.integer({ min: 0, max: 40_000 })),
      length: fc.oneof(fc.integer({ min: 1, max: 600 }), fc.integer({ min: 1, max: 300_000 })),
    })
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 60 }), (steps) => {
        const { clock, wheel, forgotten, answered, channel } = kept()
        const given: { readonly name: string; readonly at: number; readonly octets: Buffer }[] = []
        for (const [i, { waitMs, length }] of steps.entries()) {
          clock.advance(waitMs)
          const name = `answer ${i}`
          const octets = octetsOf(name, length)
          answered.remember(name, octets, channel)
          given.push({ name, at: clock.now(), octets })
          for (const { name, at, octets } of given) {
            const age = clock.now() - at
            if (age < lifeMs) expect(answered.repeat(name)).toBe('sent')
            else if (age > lifeMs + laterMs) expect(answered.repeat(name)).toBe(null)
            else if (answered.repeat(name) === null) continue
            for (const sent of channel.takeOctets()) expect(sent.equals(octets)).toBe(true)
          }
          expect(answered.size + forgotten.length).toBe(given.length)
        }
        clock.advance(lifeMs + laterMs)
        expect(forgotten).toEqual(given.map(({ name }) => name))
        expect([answered.size, wheel.size]).toEqual([0, 0])
      }),
      { numRuns: 50 },
    )
  })

  it('fill batch after batch, and none of them is missing', () => {
    const { clock, wheel, forgotten, answered, channel } = kept()
    const names = Array.from({ length: 2000 }, (_, i) => `answer ${i}`)
    for (const name of names) answered.remember(name, octetsOf(name, 300), channel)
    for (const name of names) expect(answered.repeat(name)).toBe('sent')
    expect(channel.takeOctets()).toEqual(names.map((name) => octetsOf(name, 300)))
    clock.advance(lifeMs - 1)
    expect([answered.size, forgotten.length]).toEqual([2000, 0])
    clock.advance(1)
    expect([answered.size, wheel.size]).toEqual([0, 0])
    expect(forgotten).toEqual(names)
  })

  it('tell when one cannot be sent, and keep it', () => {
    const { answered, channel } = kept()
    answered.remember('a', octetsOf('a', 10), channel)
    channel.works = false
    expect(answered.repeat('a')).toBe('unsendable')
    channel.works = true
    expect(answered.repeat('a')).toBe('sent')
  })

  it('may be forgotten early, and the same request answered anew outlives those of its first time', () => {
    const { clock, forgotten, answered, channel } = kept()
    for (const name of ['a', 'b']) answered.remember(name, octetsOf(name, 10), channel)
    answered.forget('a')
    expect(() => answered.forget('a')).toThrow()
    expect([answered.repeat('a'), forgotten]).toEqual([null, ['a']])
    clock.advance(lifeMs / 2)
    const anew = answered.remember('a', octetsOf('new', 10), channel)
    clock.advance(lifeMs / 2)
    expect(forgotten).toEqual(['a', 'b'])
    expect(anew.over).toBe(false)
    expect(answered.repeat('a')).toBe('sent')
    expect(channel.takeOctets()).toEqual([octetsOf('new', 10)])
    clock.advance(lifeMs / 2)
    expect(anew.over).toBe(true)
    expect(forgotten).toEqual(['a', 'b', 'a'])
  })
})

it('keeps an answered request in less than 600 octets besides its answer (S-34)', async () => {
  const bench = new Bench()
  const channel = new FakeChannel(false, bench.clock)
  const count = 20_000
  const serve = () => {
    const message = request('MESSAGE')
    bench.serve(message, channel).respond(answer(message, 200), 200)
    bench.user.requests.length = 0
    bench.user.endings.length = 0
    return channel.takeOctets()[0]!.length
  }
  const taken = async () => {
    await held([]) // collects garbage
    const { heapUsed, arrayBuffers } = memoryUsage()
    return heapUsed + arrayBuffers
  }
  for (let i = 0; i < 2000; i++) serve()
  const before = await taken()
  let answers = 0
  for (let i = 0; i < count; i++) answers += serve()
  const each = ((await taken()) - before - answers) / count
  expect(bench.layer.size).toBe(2000 + count)
  expect(each).toBeLessThan(600)
})
