import { expect, test } from 'vitest'
import type { MessageId } from '../../src/ids.ts'
import { PushWaits } from '../../src/silo/push-waits.ts'
import { TimerWheel } from '../../src/sip/timer-wheel.ts'
import { FakeTicker } from '../support/fake-ticker.ts'

const [one, two] = [1 as MessageId, 2 as MessageId]

test('a wait ends with the delivery of its own message, or with its time; whichever is first', async () => {
  const clock = new FakeTicker()
  const waits = new PushWaits(new TimerWheel(clock, { tickMs: 100, catchUpMaxMs: 10_000 }), 1_000)
  const first = waits.wait(one)
  const second = waits.wait(two)
  waits.end(two, true)
  waits.end(two, false)
  clock.advance(1_200)
  waits.end(one, true)
  expect(await Promise.all([first, second])).toEqual([false, true])
})

test('there is a bound on the waits, and all end at the end', async () => {
  const clock = new FakeTicker()
  const waits = new PushWaits(new TimerWheel(clock), 1_000, 2)
  const first = waits.wait(one)
  expect(waits.full).toBe(false)
  const second = waits.wait(two)
  expect(waits.full).toBe(true)
  waits.close()
  expect([await first, await second, waits.full]).toEqual([false, false, false])
})
