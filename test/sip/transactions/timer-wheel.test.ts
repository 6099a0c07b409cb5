import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Ticker } from '../../../src/clock.ts'
import { TimerWheel, WheelTimer } from '../../../src/sip/timer-wheel.ts'
import { FakeTicker } from '../../support/fake-ticker.ts'

const tickMs = 10

/** A clock whose thread may be stalled, and which may be set: the ticker is called once, however much has passed. */
class JumpingTicker implements Ticker {
  #now = 0
  #tick: (() => void) | null = null

  now(): number {
    return this.#now
  }

  every(_milliseconds: number, tick: () => void): () => void {
    this.#tick = tick
    return () => {
      this.#tick = null
    }
  }

  get ticking(): boolean {
    return this.#tick !== null
  }

  jump(milliseconds: number): void {
    this.#now += milliseconds
    this.#tick?.()
  }
}

function make(): { clock: FakeTicker; wheel: TimerWheel; timer: (onExpiry?: () => void) => WheelTimer; log: number[] } {
  const clock = new FakeTicker()
  const start = clock.now()
  const log: number[] = []
  const timer = (onExpiry = () => {}) =>
    new WheelTimer({
      expired: () => {
        log.push(clock.now() - start)
        onExpiry()
      },
    })
  return { clock, wheel: new TimerWheel(clock, { tickMs }), timer, log }
}

describe('a timer wheel', () => {
  it.each([0, 1, 9, 10, 11, 200, 500, 32_000, 40_950, 40_960, 40_970, 180_000, 3_600_000])(
    'runs a timer of %i ms out once, at its tick and no earlier',
    (delay) => {
      const { clock, wheel, timer, log } = make()
      wheel.start(timer(), delay)
      const due = Math.max(tickMs, Math.ceil(delay / tickMs) * tickMs)
      clock.advance(due - 1)
      expect(log).toEqual([])
      clock.advance(1)
      expect(log).toEqual([due])
      clock.advance(90_000)
      expect(log).toEqual([due])
      expect(wheel.size).toBe(0)
    },
  )

  it('counts from the moment of starting, not from the last tick', () => {
    const { clock, wheel, timer, log } = make()
    wheel.start(timer(), 1000)
    clock.advance(109)
    wheel.start(timer(), 500)
    clock.advance(2000)
    expect(log).toEqual([610, 1000])
  })

  it('forgets a timer that is cancelled, and one that is started anew has its new time only', () => {
    const { clock, wheel, timer, log } = make()
    const cancelled = timer()
    const restarted = timer()
    wheel.start(cancelled, 100)
    wheel.start(restarted, 100)
    expect(wheel.size).toBe(2)
    wheel.cancel(cancelled)
    wheel.cancel(cancelled)
    wheel.start(restarted, 300)
    expect(wheel.size).toBe(1)
    expect([cancelled.running, restarted.running]).toEqual([false, true])
    clock.advance(1000)
    expect(log).toEqual([300])
    expect(restarted.running).toBe(false)
  })

  it('lets a timer that runs out cancel others of its tick, and start itself and others', () => {
    const { clock, wheel, timer, log } = make()
    const victim = timer()
    let runs = 0
    const first = timer(() => {
      wheel.cancel(victim)
      if (++runs < 3) wheel.start(first, 0)
    })
    wheel.start(first, 50)
    wheel.start(victim, 50)
    clock.advance(1000)
    expect(log).toEqual([50, 60, 70])
    expect(wheel.size).toBe(0)
  })

  it('ticks only while a timer runs', () => {
    const clock = new JumpingTicker()
    const wheel = new TimerWheel(clock, { tickMs })
    const timer = new WheelTimer({ expired: () => {} })
    expect(clock.ticking).toBe(false)
    wheel.start(timer, 20)
    expect(clock.ticking).toBe(true)
    clock.jump(10)
    clock.jump(10)
    expect(clock.ticking).toBe(false)
    clock.jump(1_000_000) // what passes while nothing runs does not count
    wheel.start(timer, 20)
    clock.jump(10)
    expect(timer.running).toBe(true)
    clock.jump(10)
    expect(timer.running).toBe(false)
  })

  it('stops all timers when it is closed, and is as good as new', () => {
    const { clock, wheel, timer, log } = make()
    const timers = [10, 500, 50_000].map((delay) => {
      const each = timer()
      wheel.start(each, delay)
      return each
    })
    wheel.close()
    expect(wheel.size).toBe(0)
    expect(timers.some((each) => each.running)).toBe(false)
    clock.advance(100_000)
    expect(log).toEqual([])
    wheel.start(timer(), 10)
    clock.advance(20)
    expect(log).toHaveLength(1)
  })

  it('makes up for a short stall at once', () => {
    const clock = new JumpingTicker()
    const wheel = new TimerWheel(clock, { tickMs, catchUpMaxMs: 1000 })
    const order: number[] = []
    for (const delay of [900, 300, 600, 950]) {
      wheel.start(new WheelTimer({ expired: () => order.push(delay) }), delay)
    }
    clock.jump(940)
    expect(order).toEqual([300, 600, 900])
  })

  it('lets no more than its bound pass in a stall, so that waiting answers are read before all times out', () => {
    const clock = new JumpingTicker()
    const wheel = new TimerWheel(clock, { tickMs, catchUpMaxMs: 1000 })
    const order: number[] = []
    for (const delay of [1000, 1010, 32_000]) {
      wheel.start(new WheelTimer({ expired: () => order.push(delay) }), delay)
    }
    clock.jump(86_400_000)
    expect(order).toEqual([1000])
    clock.jump(10)
    expect(order).toEqual([1000, 1010])
    for (let ms = 1010; ms < 31_990; ms += tickMs) clock.jump(tickMs)
    expect(order).toEqual([1000, 1010])
    clock.jump(tickMs)
    expect(order).toEqual([1000, 1010, 32_000])
  })

  it('goes on when the clock is set back', () => {
    const clock = new JumpingTicker()
    const wheel = new TimerWheel(clock, { tickMs })
    const timer = new WheelTimer({ expired: () => {} })
    wheel.start(timer, 30)
    clock.jump(10)
    clock.jump(-3_600_000)
    clock.jump(10)
    expect(timer.running).toBe(true)
    clock.jump(10)
    expect(timer.running).toBe(false)
  })

  it('holds hundreds of thousands of timers', () => {
    const { clock, wheel, log } = make()
    let expired = 0
    const owner = { expired: () => expired++ }
    const timers = Array.from({ length: 300_000 }, () => new WheelTimer(owner))
    timers.forEach((timer, i) => {
      wheel.start(timer, i % 32_000)
    })
    expect(wheel.size).toBe(300_000)
    timers.forEach((timer, i) => {
      if (i % 3 === 0) wheel.cancel(timer)
    })
    clock.advance(32_000)
    expect(expired).toBe(200_000)
    expect(wheel.size).toBe(0)
    expect(log).toEqual([])
  })

  it('agrees with a sorted list, whatever is started, cancelled and waited for', () => {
    const step = fc.oneof(
      fc.record({ do: fc.constant('start' as const), timer: fc.nat(7), delay: fc.nat({ max: 60_000 }) }),
      fc.record({ do: fc.constant('cancel' as const), timer: fc.nat(7) }),
      fc.record({ do: fc.constant('wait' as const), ms: fc.nat({ max: 45_000 }) }),
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const clock = new FakeTicker()
        const wheel = new TimerWheel(clock, { tickMs })
        const expired: { timer: number; at: number }[] = []
        const timers = Array.from(
          { length: 8 },
          (_, i) => new WheelTimer({ expired: () => expired.push({ timer: i, at: clock.now() }) }),
        )
        const due = new Map<number, number>()
        for (const each of steps) {
          if (each.do === 'start') {
            wheel.start(timers[each.timer]!, each.delay)
            due.set(each.timer, clock.now() + each.delay)
          } else if (each.do === 'cancel') {
            wheel.cancel(timers[each.timer]!)
            due.delete(each.timer)
          } else {
            clock.advance(each.ms)
            for (const { timer, at } of expired.splice(0)) {
              expect(at).toBeGreaterThanOrEqual(due.get(timer)!)
              expect(at).toBeLessThanOrEqual(due.get(timer)! + tickMs)
              due.delete(timer)
            }
            for (const at of due.values()) expect(at).toBeGreaterThanOrEqual(clock.now() - tickMs)
          }
          expect(wheel.size).toBe(due.size)
        }
      }),
    )
  })
})
