import { describe, expect, test } from 'vitest'
import { sliceMax } from '../../src/silo/expiry.ts'
import { answer, bob, contact, hour, memoryBed, quiet } from './support/silo-bed.ts'

describe('expiry', () => {
  test('SILO-29: what has expired is removed every check_time * clean_period seconds, and told', async () => {
    const bed = memoryBed('check_time: 10\nclean_period: 3')
    await bed.keep('short', { forMs: 29_000 })
    await bed.keep('long', { forMs: 31_000 })
    await bed.pass(29_900)
    expect(bed.stored).toEqual(['short', 'long'])
    await bed.pass(100)
    expect(bed.stored).toEqual(['long'])
    expect(bed.events.filter(({ type }) => type === 'message.expired')).toMatchObject([
      { id: 1, owner: bob, octets: 5 },
    ])
    await bed.pass(30_000)
    expect([bed.stored, bed.counts.expired_messages]).toEqual([[], 2])
  })

  test('C-9: who asked for it hears that the message has failed', async () => {
    const bed = memoryBed()
    await bed.keep('one', { forMs: 1_000, from: 'sip:imdn@a.test' })
    await bed.keep('two', { forMs: 1_000 })
    await bed.pass(150_000)
    expect(bed.originated.map(({ callId }) => callId)).toEqual(['failed one'])
    expect(bed.counts.imdns).toBe(1)
  })

  test('what expired while nothing ran is removed at the start, in slices', async () => {
    const bed = memoryBed()
    const messages = Array.from({ length: 2 * sliceMax + 1 }, (_, index) =>
      bed.newMessage(`${index}`, { forMs: 1_000 }),
    )
    await Promise.all(messages.map((message) => bed.store.put(message)))
    bed.clock.advance(1_000)
    bed.restart(bed.store.crash())
    await quiet()
    expect([bed.store.counts().messages, bed.counts.expired_messages]).toEqual([0, messages.length])
  })

  test('a dead letter goes silently: that it failed was told before', async () => {
    const bed = memoryBed()
    await bed.keep('one', { forMs: 10_000 })
    await bed.register(bob, [contact('phone')], 1)
    await bed.awaited().answer(answer(488))
    await bed.pass(150_000)
    expect([bed.dead, bed.counts.expired_messages]).toEqual([[], undefined])
    expect(bed.events.map(({ type }) => type)).toEqual(['message.stored', 'user.registered', 'message.failed'])
  })

  test('a disk that fails is tried again at the next sweep; an interval of years is one of a day', async () => {
    const bed = memoryBed('check_time: 86400\nclean_period: 100000')
    await bed.keep('one', { forMs: 1_000 })
    bed.store.broken = true
    await bed.pass(24 * hour)
    expect(bed.stored).toEqual(['one'])
    bed.store.broken = false
    await bed.pass(24 * hour)
    expect(bed.stored).toEqual([])
  })

  test('nothing is swept after the end', async () => {
    const bed = memoryBed()
    await bed.keep('one', { forMs: 1_000 })
    await bed.silo.close()
    await bed.pass(hour)
    expect(bed.stored).toEqual(['one'])
  })
})
