import { describe, expect, test } from 'vitest'
import type { BatchEnd } from '../../src/silo/delivery.ts'
import { restMaxMs, restMs, Schedule, type Scheduled } from '../../src/silo/schedule.ts'
import { TimerWheel } from '../../src/sip/timer-wheel.ts'
import { FakeTicker } from '../support/fake-ticker.ts'
import { quiet } from './support/silo-bed.ts'

/** A schedule of deliveries whose batches end as they are told to. */
function bed(options: { sendingMax?: number; waitingMax?: number; restingMax?: number } = {}) {
  const clock = new FakeTicker()
  const running: {
    readonly who: string
    readonly delivery: Scheduled
    readonly end: (end: BatchEnd) => Promise<void>
  }[] = []
  const told = { putOff: 0, errors: [] as unknown[], begun: [] as string[], finished: 0, abandoned: 0 }
  const schedule = new Schedule({
    wheel: new TimerWheel(clock, { tickMs: 100, catchUpMaxMs: 10_000 }),
    sendingMax: 2,
    ...options,
    open: (owner, device) => {
      const delivery: Scheduled = {
        owner,
        device,
        failures: 0,
        way: '',
        batch: () => {
          const { promise, resolve, reject } = Promise.withResolvers<BatchEnd>()
          told.begun.push(owner)
          const run = {
            who: owner,
            delivery,
            end: async (end: BatchEnd | 'thrown') => {
              running.splice(running.indexOf(run), 1)
              if (end === 'failed') delivery.failures++
              if (end === 'thrown') reject(new Error('broken'))
              else resolve(end)
              await quiet()
            },
          }
          running.push(run)
          return promise
        },
        finish: () => void told.finished++,
        abandon: () => void told.abandoned++,
      }
      return delivery
    },
    putOff: () => void told.putOff++,
    onError: (error) => told.errors.push(error),
  })
  const pass = async (milliseconds: number) => {
    clock.advance(milliseconds)
    await quiet()
  }
  const run = (who: string) => running.find((each) => each.who === who)!
  return { schedule, running, told, pass, run, names: () => running.map(({ who }) => who) }
}

describe('the schedule of deliveries', () => {
  test('no more send at a time than allowed; the others wait their turn, a batch each', async () => {
    const { schedule, told, run, names } = bed()
    for (const owner of ['a', 'b', 'c', 'd']) schedule.start(owner, '')
    expect([schedule.sending, schedule.waiting]).toEqual([2, 2])
    await run('a').end('more')
    expect(names()).toEqual(['b', 'c'])
    await run('b').end('drained')
    await run('c').end('drained')
    await run('d').end('drained')
    expect(names()).toEqual(['a'])
    await run('a').end('drained')
    expect(told.begun).toEqual(['a', 'b', 'c', 'd', 'a'])
    expect([schedule.sending, schedule.waiting, schedule.resting]).toEqual([0, 0, 0])
  })

  test('S-83: a device is never sent to twice at a time; what came meanwhile is seen to afterwards', async () => {
    const { schedule, names, run } = bed()
    expect(schedule.start('a', '1')).toBe('started')
    expect(schedule.start('a', '1')).toBe('underway')
    schedule.registered('a', '1', 'way', true)
    expect(names()).toEqual(['a'])
    await run('a').end('drained')
    expect(names()).toEqual(['a'])
    await run('a').end('drained')
    expect(names()).toEqual([])
  })

  test('Q-24: who fails rests, twice as long each time, up to an hour', async () => {
    const { schedule, pass, run, names } = bed()
    schedule.start('a', '')
    for (let rest = restMs; rest < restMaxMs; rest *= 2) {
      await run('a').end('failed')
      await pass(rest - 100)
      expect(names()).toEqual([])
      await pass(200)
      expect(names()).toEqual(['a'])
    }
    for (let times = 0; times < 3; times++) {
      await run('a').end('failed')
      await pass(restMaxMs - 100)
      expect(names()).toEqual([])
      await pass(200)
      expect(names()).toEqual(['a'])
    }
  })

  test('a rest is over when the device registers anew, or by another way, but not by a refresh', async () => {
    const { schedule, run, names } = bed()
    schedule.start('a', '')
    const { delivery } = run('a')
    delivery.way = 'way'
    await run('a').end('failed')
    expect(schedule.start('a', '')).toBe('resting')
    schedule.registered('a', '', 'way', false)
    expect(names()).toEqual([])
    schedule.registered('a', '', 'other way', false)
    expect(names()).toEqual(['a'])
    expect(delivery.failures).toBe(0)
    await run('a').end('failed')
    schedule.registered('a', '', 'way', true)
    expect(names()).toEqual(['a'])
  })

  test('whoever registered anew while a batch failed is tried at once', async () => {
    const { schedule, run, names } = bed()
    schedule.start('a', '')
    run('a').delivery.way = 'way'
    schedule.registered('a', '', 'other way', false)
    await run('a').end('failed')
    expect(names()).toEqual(['a'])
    run('a').delivery.way = 'other way'
    schedule.registered('a', '', 'other way', false)
    await run('a').end('failed')
    expect(names()).toEqual([])
  })

  test('a device that failed elsewhere is tried later, or when it registers, however it does', async () => {
    const { schedule, pass, run, names } = bed()
    schedule.startLater('a', '', false)
    schedule.startLater('a', '', false)
    expect(schedule.resting).toBe(1)
    schedule.registered('a', '', '', false)
    expect(names()).toEqual(['a'])
    await run('a').end('drained')
    schedule.startLater('a', '', false)
    await pass(restMs + 100)
    expect(names()).toEqual(['a'])
  })

  test('a push is answered by any REGISTER, once', async () => {
    const { schedule, run, names } = bed()
    schedule.start('a', '')
    await run('a').end('failed')
    schedule.startLater('a', '', true)
    expect(names()).toEqual([])
    schedule.registered('a', '', '', false)
    expect(names()).toEqual(['a'])
    await run('a').end('failed')
    schedule.registered('a', '', '', false)
    expect(names()).toEqual([])
  })

  test('beyond its bounds a delivery is put off to the next REGISTER, but none that has begun', async () => {
    const { schedule, told, run, names } = bed({ sendingMax: 1, waitingMax: 1, restingMax: 1 })
    for (const owner of ['a', 'b', 'c']) schedule.start(owner, '')
    expect([told.putOff, schedule.sending, schedule.waiting]).toEqual([1, 1, 1])
    await run('a').end('more')
    expect([told.putOff, schedule.waiting]).toEqual([1, 1])
    await run('b').end('failed')
    await run('a').end('failed')
    expect([told.putOff, schedule.resting]).toEqual([2, 1])
    schedule.registered('c', '', 'way', false)
    expect(names()).toEqual(['c'])
  })

  test('a batch that throws is told, and rests', async () => {
    const { schedule, told, run } = bed()
    schedule.start('a', '')
    await run('a').end('thrown' as BatchEnd)
    expect(told.errors).toEqual([new Error('broken')])
    expect([schedule.sending, schedule.resting]).toEqual([0, 1])
  })

  test('at its end nothing is started, and what was sent is waited for until it is given up', async () => {
    const { schedule, told, run, pass, names } = bed()
    for (const owner of ['a', 'b', 'c']) schedule.start(owner, '')
    await run('a').end('failed')
    let isClosed = false
    void schedule.close().then(() => {
      isClosed = true
    })
    schedule.start('d', '')
    schedule.startLater('e', '', false)
    await run('b').end('more')
    await pass(2 * restMs)
    expect([isClosed, told.finished, names()]).toEqual([false, 3, ['c']])
    schedule.abandon()
    await quiet()
    expect([isClosed, told.abandoned]).toEqual([true, 1])
    await run('c').end('more')
    expect(names()).toEqual([])
  })
})
