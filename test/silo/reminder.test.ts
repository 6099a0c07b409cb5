import { describe, expect, test } from 'vitest'
import type { Result } from '../../src/errors.ts'
import type { MessageId } from '../../src/ids.ts'
import { Reminders, readMax } from '../../src/silo/reminder.ts'
import { FakeTicker } from '../support/fake-ticker.ts'
import { answer, bob, carol, contact, hour, memoryBed, ok, quiet, timedOut } from './support/silo-bed.ts'

const phone = contact('phone')
const desk = contact('desk')
const lines = 'reminder: sip:registrar@b.test\nsend_time: 60'

describe('reminders', () => {
  test('SILO-40: sent when they are due, to an owner who is there', async () => {
    const bed = memoryBed(lines)
    const sndTime = bed.clock.now() + hour
    await bed.keep('wake up', { sndTime })
    await bed.register(bob, [phone], 1)
    await bed.pass(hour - 1)
    expect(bed.pending).toEqual([])
    await bed.pass(60_000)
    expect(bed.awaited().order).toMatchObject({ kind: 'reminder', sndTime, attempt: 1 })
    await bed.awaited().answer(ok)
    expect(bed.stored).toEqual([])
    // SILO-61
    expect(bed.counts).toEqual({ stored_messages: 1, dumped_reminders: 1 })
  })

  test('SILO-42: of an owner who is not there they become offline messages', async () => {
    const bed = memoryBed(lines)
    await bed.keep('wake up', { sndTime: bed.clock.now() + 1 })
    await bed.pass(60_000)
    expect(bed.counts.demoted_reminders).toBe(1)
    await bed.register(bob, [phone], 1)
    expect(bed.awaited().order).toMatchObject({ kind: 'offline', sndTime: 0 })
  })

  test('SILO-42: so they do when they fail', async () => {
    const bed = memoryBed(lines)
    await bed.register(bob, [phone], 1)
    await bed.keep('wake up', { sndTime: bed.clock.now() + 1 })
    await bed.pass(60_000)
    await bed.awaited().answer(timedOut)
    expect(bed.counts).toMatchObject({ failed_reminders: 1 })
    await bed.pass(30_100)
    expect(bed.awaited().order).toMatchObject({ kind: 'offline', sndTime: 0, attempt: 2 })
  })

  test('SILO-42: and when their owner is there, but all devices are in back-off', async () => {
    const bed = memoryBed(lines)
    await bed.keep('one')
    await bed.register(bob, [phone], 1)
    await bed.awaited().answer(answer(480))
    await bed.pass(30_100)
    await bed.awaited().answer(answer(480))
    await bed.keep('wake up', { sndTime: bed.clock.now() + 1 })
    await bed.pass(30_000)
    expect([bed.pending, bed.counts.demoted_reminders]).toEqual([[], 1])
  })

  test('one that a device has, and stays for another that is away, is no reminder any more', async () => {
    const bed = memoryBed(lines)
    await bed.register(bob, [phone, desk], 2)
    await bed.register(bob, [phone])
    await bed.keep('wake up', { sndTime: bed.clock.now() + 1 })
    await bed.pass(60_000)
    await bed.awaited().answer(ok)
    await bed.pass(120_000)
    expect([bed.sent, bed.counts.demoted_reminders]).toEqual([['wake up'], 1])
    const { claims } = bed.store
    await bed.pass(10 * 60_000)
    expect(bed.store.claims).toBe(claims)
    await bed.register(bob, [phone, desk])
    expect([bed.awaited().to, bed.awaited().order.kind]).toEqual([desk.contact, 'offline'])
  })

  test('one that waits for its turn stays one', async () => {
    const bed = memoryBed(`${lines}\ndeliveries_max: 1`)
    for (const owner of [bob, carol]) {
      await bed.register(owner, [phone], 1)
      await bed.keep(owner, { owner, sndTime: bed.clock.now() + 1 })
    }
    await bed.pass(240_000)
    await bed.awaited().answer(ok)
    expect(bed.awaited()).toMatchObject({ text: carol, order: { kind: 'reminder' } })
    expect(bed.counts.demoted_reminders).toBeUndefined()
  })

  test('without `reminder`, or send_time, none is looked for; those that are due come as offline messages or so', async () => {
    for (const [some, kind] of [
      ['send_time: 60', 'offline'],
      ['reminder: sip:registrar@b.test', 'reminder'],
    ] as const) {
      const bed = memoryBed(some)
      await bed.register(bob, [phone], 1)
      await bed.keep('wake up', { sndTime: bed.clock.now() + 1 })
      await bed.pass(hour)
      expect(bed.pending).toEqual([])
      await bed.register(bob, [phone])
      expect(bed.awaited().order.kind).toBe(kind)
    }
  })

  test('a disk that fails demotes nothing, and is asked again', async () => {
    const bed = memoryBed(lines)
    await bed.keep('wake up', { sndTime: bed.clock.now() + 1 })
    bed.store.broken = true
    await bed.pass(60_000)
    expect(bed.counts.demoted_reminders).toBeUndefined()
    bed.store.broken = false
    await bed.pass(60_000)
    expect(bed.counts.demoted_reminders).toBe(1)
  })

  test('however many are on their way, those behind them are found, and each owner is asked about once', async () => {
    const clock = new FakeTicker()
    const all = Array.from({ length: 5_000 }, (_, id) => ({ id: id as MessageId, owner: id < 3_000 ? bob : `${id}` }))
    const asked: string[] = []
    const limits: number[] = []
    const reminders = new Reminders({
      store: {
        due: (_now, limit) => {
          limits.push(limit)
          return all.slice(0, limit)
        },
        demote: async (): Promise<Result<void, 'unavailable'>> => ({ ok: true, value: undefined }),
      },
      clock,
      sendTime: 1,
      remind: (owner) => {
        asked.push(owner)
        return 'underway'
      },
      demoted: () => {},
    })
    clock.advance(1_000)
    await quiet()
    expect(limits).toEqual([1_000, 2_000, 4_000, 8_000])
    expect([asked.length, new Set(asked).size]).toEqual([2_001, 2_001])
    await reminders.close()
    clock.advance(10_000)
    expect(limits).toHaveLength(4)
  })

  test('more than one look finds is looked for every second, until it does', async () => {
    const clock = new FakeTicker()
    let due = Array.from({ length: readMax + 1 }, (_, id) => ({ id: id as MessageId, owner: `${id}` }))
    let looks = 0
    const reminders = new Reminders({
      store: {
        due: (_now, limit) => {
          if (limit === 1_000) looks++
          return due.slice(0, limit)
        },
        demote: async (): Promise<Result<void, 'unavailable'>> => ({ ok: true, value: undefined }),
      },
      clock,
      sendTime: 3_600,
      remind: () => 'underway',
      demoted: () => {},
    })
    const looksIn = async (seconds: number) => {
      looks = 0
      for (let second = 0; second < seconds; second++) {
        clock.advance(1_000)
        await quiet()
      }
      return looks
    }
    expect(await looksIn(3_600)).toBe(1)
    expect(await looksIn(3)).toBe(3)
    due = due.slice(0, 5)
    expect(await looksIn(10)).toBe(1)
    await reminders.close()
  })
})
