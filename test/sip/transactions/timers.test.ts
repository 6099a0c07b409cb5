import { describe, expect, it } from 'vitest'
import { defaultBaseTimers, timersOf } from '../../../src/sip/transactions/timers.ts'

describe('the timers (RFC 3261 Table 4, RFC 6026)', () => {
  it('have the values of the RFCs by default (S-32, S-33, S-34)', () => {
    const { d, ...timers } = timersOf(defaultBaseTimers)
    expect(d).toBeGreaterThan(32_000)
    expect(timers).toEqual({
      a: 500,
      b: 32_000,
      e: 500,
      f: 32_000,
      g: 500,
      h: 32_000,
      i: 5000,
      j: 32_000,
      k: 5000,
      l: 32_000,
      m: 32_000,
      t2: 4000,
      tryingInvite: 200,
      tryingNonInvite: 3500,
    })
  })

  it('follow T1, T2 and T4, but D outlasts a peer that has the default T1', () => {
    expect(timersOf({ t1Ms: 100, t2Ms: 1000, t4Ms: 700 })).toMatchObject({ a: 100, b: 6400, i: 700, k: 700, t2: 1000 })
    expect(timersOf({ t1Ms: 100, t2Ms: 1000, t4Ms: 700 }).d).toBeGreaterThan(32_000)
    expect(timersOf({ t1Ms: 1000, t2Ms: 4000, t4Ms: 5000 }).d).toBeGreaterThan(64_000)
  })

  it.each([
    [500, 500, 0],
    [500, 600, 500],
    [500, 4000, 3500],
    [100, 1000, 1500],
    [1, 63, 63],
  ])('put the 100 of a non-INVITE server where Timer E from %i ms reaches %i ms (S-36)', (t1Ms, t2Ms, trying) => {
    const timers = timersOf({ t1Ms, t2Ms, t4Ms: 1 })
    expect(timers.tryingNonInvite).toBe(trying)
    expect(timers.tryingNonInvite).toBeLessThan(timers.f)
  })

  it.each([
    { t1Ms: 0, t2Ms: 4000, t4Ms: 5000 },
    { t1Ms: 500, t2Ms: 499, t4Ms: 5000 },
    { t1Ms: 500, t2Ms: 32_000, t4Ms: 5000 },
    { t1Ms: 500, t2Ms: 4000, t4Ms: 0 },
  ])('are refused when they make no sense: %o', (base) => {
    expect(() => timersOf(base)).toThrow('impossible timers')
  })
})
