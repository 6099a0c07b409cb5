import { describe, expect, it } from 'vitest'
import type { Outcome } from '../../../src/sip/proxy/proxy.ts'
import { flowTo, located, ProxyBed } from '../../support/sip-proxy-bed.ts'
import { request } from '../transactions/support.ts'

/** A bed where `many.test` leads to three hops: one that cannot be had, and two devices. */
function bedOfHops(settings = {}) {
  const bed = new ProxyBed({ settings })
  const [a, b] = [bed.device('a', true), bed.device('b', true)] as const
  bed.host('many.test', [
    { device: null, transport: 'tcp' },
    { device: a, transport: 'tcp' },
    { device: b, transport: 'tcp' },
  ])
  return { bed, a, b, target: located('sip:bob@many.test') }
}

describe('the next hop of a target', () => {
  it('is tried when the one before cannot be had, or breaks (S-49)', () => {
    const { bed, a, b, target } = bedOfHops()
    a.works = false
    bed.forward(request('MESSAGE'), [[target]])
    bed.clock.advance(20)
    expect(b.heard).toEqual(['MESSAGE'])
    b.answer(200)
    expect(bed.answers('MESSAGE')).toEqual([200])
    expect(bed.core.counters.failovers).toBe(2)
  })

  it('is tried with a new branch when the one before says 503 (S-49)', () => {
    const { bed, a, b, target } = bedOfHops()
    bed.forward(request('INVITE'), [[target]])
    a.answer(503)
    expect(a.heard).toEqual(['INVITE', 'ACK'])
    expect(b.last().topVia?.branch).not.toBe(a.last().topVia?.branch)
    b.answer(200)
    expect(bed.answers('INVITE')).toEqual([200])
  })

  it('is tried when an INVITE is not answered at all (S-49)', () => {
    const { bed, b, target } = bedOfHops()
    bed.forward(request('INVITE'), [[target]])
    bed.clock.advance(32_100)
    expect(b.heard).toEqual(['INVITE'])
  })

  it('is not tried after any other answer (S-49)', () => {
    const { bed, a, b, target } = bedOfHops()
    bed.forward(request('MESSAGE'), [[target]])
    a.answer(500)
    expect(b.heard).toEqual([])
    expect(bed.answers('MESSAGE')).toEqual([500])
  })

  it('is not there any more: the last failure counts, no way at all as 503, which is 500 upstream (S-47, S-49)', () => {
    const { bed, a, b, target } = bedOfHops()
    const outcomes: Outcome[] = []
    a.works = false
    b.works = false
    const onFailure = (outcome: Outcome) => {
      outcomes.push(outcome)
      return 'send' as const
    }
    bed.forward(request('MESSAGE'), [[target]], { onFailure })
    bed.clock.advance(100)
    expect(outcomes).toEqual([{ status: 503, response: null, timedOut: false, unreachable: true }])
    expect(bed.answers('MESSAGE')).toEqual([500])
  })

  it('is not tried beyond the bound on attempts', () => {
    const { bed, a, b, target } = bedOfHops({ maxAttempts: 2 })
    bed.forward(request('MESSAGE'), [[target]])
    a.answer(503)
    expect(b.heard).toEqual([])
    expect(bed.answers('MESSAGE')).toEqual([500])
  })

  it('cannot be found: nothing by that name (S-53)', () => {
    const { bed } = bedOfHops()
    bed.forward(request('MESSAGE'), [[located('sip:bob@nowhere.test')]])
    expect(bed.answers('MESSAGE')).toEqual([500])
  })
})

describe('a connection that closes', () => {
  it('is not waited for: its requests go to the next hop or flow at once (S-49, S-70, S-71)', () => {
    const bed = new ProxyBed()
    const [first, second] = [bed.device('first', true), bed.device('second', true)]
    bed.forward(request('MESSAGE'), [[flowTo(first, { fallbacks: [flowTo(second)] })]])
    bed.forward(request('INVITE'), [[flowTo(first, { fallbacks: [flowTo(second)] })]])
    first.answer(180)
    expect(bed.core.channels).toBe(1)
    bed.core.channelFailed(first)
    expect(second.heard).toEqual(['MESSAGE', 'INVITE'])
    bed.core.channelFailed(second)
    expect([bed.answers('MESSAGE'), bed.answers('INVITE')]).toEqual([[500], [180, 500]])
    expect(bed.core.channels).toBe(0)
  })

  it('means nothing to what has been answered (S-71)', () => {
    const bed = new ProxyBed()
    const [device, other] = [bed.device('device', true), bed.device('other', true)]
    bed.forward(request('INVITE'), [[flowTo(device), flowTo(other)]])
    device.answer(486)
    expect(bed.core.channels).toBe(1)
    bed.core.channelFailed(device)
    expect(bed.answers('INVITE')).toEqual([])
    other.answer(200)
    expect(bed.core.channels).toBe(0)
    bed.core.channelFailed(other)
    expect(bed.answers('INVITE')).toEqual([200])
  })
})

describe('another flow of an instance', () => {
  it('is tried when the first is gone, one at a time (S-70)', () => {
    const bed = new ProxyBed()
    const [second, third] = [bed.device('second', true), bed.device('third', true)]
    const fallbacks = [flowTo(null), flowTo(second), flowTo(third)]
    bed.forward(request('MESSAGE'), [[flowTo(null, { fallbacks })]])
    expect([second.heard, third.heard]).toEqual([['MESSAGE'], []])
    second.answer(200)
    expect(bed.answers('MESSAGE')).toEqual([200])
  })

  it('is tried when the edge proxy says 430, and when sending fails (S-70)', () => {
    const bed = new ProxyBed()
    const [edge, broken, last] = [bed.device('edge', true), bed.device('broken', true), bed.device('last', true)]
    bed.host('edge.test', [
      { device: edge, transport: 'tcp' },
      { device: bed.device('same edge', true), transport: 'tcp' },
    ])
    broken.works = false
    const fallbacks = [flowTo(broken), flowTo(last, { requestUri: 'sip:bob@other.invalid' })]
    bed.forward(request('MESSAGE'), [[located('sip:bob@x.invalid', { route: ['<sip:edge.test;lr>'], fallbacks })]])
    edge.answer(430)
    bed.clock.advance(20)
    expect(last.last()).toMatchObject({ requestUri: 'sip:bob@other.invalid', routes: [] })
    expect(bed.opened).toEqual(['tcp 192.0.2.1'])
  })

  it('is not tried when the device has answered (S-70)', () => {
    const bed = new ProxyBed()
    const [first, second] = [bed.device('first', true), bed.device('second', true)]
    bed.forward(request('MESSAGE'), [[flowTo(first, { fallbacks: [flowTo(second)] })]])
    first.answer(486)
    expect(second.heard).toEqual([])
  })

  it('is not there: 480 to a caller, 430 to a proxy that named the flow (S-70)', () => {
    const bed = new ProxyBed()
    bed.forward(request('MESSAGE'), [[flowTo(null, { fallbacks: [flowTo(null)] })]])
    expect(bed.answers('MESSAGE')).toEqual([480])
    bed.forward(request('MESSAGE'), [[flowTo(null)]], { flowNamed: true })
    expect(bed.answers('MESSAGE')).toEqual([480, 430])
  })
})

describe('a MESSAGE that nobody answers', () => {
  function silent(groups: number, answer: 'send' | 'handled' | null) {
    const bed = new ProxyBed()
    const devices = Array.from({ length: groups }, (_, i) => bed.device(`d${i}`, true))
    const outcomes: (Outcome & { at: number })[] = []
    const start = bed.clock.now()
    const onFailure = (outcome: Outcome) => {
      outcomes.push({ ...outcome, at: bed.clock.now() - start })
      return answer ?? 'send'
    }
    const targets = devices.map((device) => [flowTo(device)])
    const server = bed.forward(request('MESSAGE'), targets, answer === null ? {} : { onFailure })
    return { bed, devices, outcomes, server }
  }

  it('is given up while there is still time to answer it, and then nothing is sent of it (S-36)', () => {
    const { bed, outcomes, server } = silent(1, 'handled')
    bed.clock.advance(30_100)
    expect(outcomes).toMatchObject([{ status: 408, response: null, timedOut: true, unreachable: false }])
    expect(outcomes[0]?.at).toBeCloseTo(30_000, -2)
    expect(server.state).toBe('proceeding')
    expect(bed.core.counters).toMatchObject({ gaveUp: 1, handled: 1 })
    expect(bed.layer.counters.open['non-invite-client']).toBe(0)
    bed.clock.advance(70_000)
    expect(bed.empty).toBe(true)
  })

  it('is never answered 408, and its late answers are not forwarded (S-36)', () => {
    const { bed, devices } = silent(1, null)
    bed.clock.advance(31_000)
    devices[0]!.answer(200)
    bed.clock.advance(5_000)
    expect(bed.answers('MESSAGE')).toEqual([])
    expect(bed.empty).toBe(true)
  })

  it('is answered with what another branch has said, when it is given up (S-46)', () => {
    const bed = new ProxyBed()
    const [a, b] = [bed.device('a', true), bed.device('b', true)]
    bed.forward(request('MESSAGE'), [[flowTo(a), flowTo(b)]])
    a.answer(486)
    bed.clock.advance(29_000)
    expect(bed.answers('MESSAGE')).toEqual([])
    bed.clock.advance(1_100)
    expect(bed.answers('MESSAGE')).toEqual([486])
  })

  it('goes to the next group in time for that to answer, and still counts if the first does (S-51)', () => {
    const { bed, devices, outcomes } = silent(3, 'send')
    bed.clock.advance(9_900)
    expect(devices.map((device) => device.heard.length)).toEqual([1, 0, 0])
    bed.clock.advance(200)
    expect(devices.map((device) => device.heard.length)).toEqual([1, 1, 0])
    devices[1]!.answer(480)
    bed.clock.advance(9_000)
    expect(devices.map((device) => device.heard.length)).toEqual([1, 1, 0]) // the first may answer yet
    bed.clock.advance(1_100)
    expect(devices.map((device) => device.heard.length)).toEqual([1, 1, 1])
    devices[0]!.answer(200)
    expect(bed.answers('MESSAGE')).toEqual([200])
    expect(outcomes).toEqual([])
  })

  it('gives the time that one group has not needed to the others (S-51)', () => {
    const { bed, devices, outcomes } = silent(2, 'handled')
    devices[0]!.answer(480)
    bed.clock.advance(29_900)
    expect(outcomes).toEqual([])
    bed.clock.advance(200)
    expect(outcomes).toMatchObject([{ status: 480, timedOut: true }])
  })

  it('times out by itself when no answer can be due before: Timer F (S-36)', () => {
    const bed = new ProxyBed({ settings: { finalWaitMs: 60_000 } })
    const device = bed.device('a', true)
    bed.forward(request('MESSAGE'), [[flowTo(device)]])
    bed.clock.advance(40_000)
    expect(bed.answers('MESSAGE')).toEqual([])
    bed.clock.advance(30_000)
    expect(bed.empty).toBe(true)
  })
})
