import { describe, expect, test } from 'vitest'
import { firstBatchMax } from '../../src/silo/delivery.ts'
import type { KeepAnswer } from '../../src/silo/order.ts'
import { settledTogetherMax, settleWithinMs } from '../../src/silo/settlements.ts'
import type { PutFailure } from '../../src/store/silo-store.ts'
import { binding } from '../support/location-records.ts'
import {
  answer,
  bob,
  carol,
  contact,
  hour,
  memoryBed,
  ok,
  outgoing,
  quiet,
  timedOut,
  unreachable,
} from './support/silo-bed.ts'

const phone = contact('phone')
const desk = contact('desk')
const plain = contact('')

describe('keeping', () => {
  test('SILO-1, S-81: a message is kept when the store has it', async () => {
    const bed = memoryBed()
    const kept = bed.silo.keep({ message: bed.newMessage('one'), notice: null, noticeKey: '', imdn: null })
    expect(await Promise.race([kept, 'not yet'])).toBe('not yet')
    expect(await kept).toEqual({ kept: true, delivered: false })
    expect(bed.stored).toEqual(['one'])
    expect(bed.counts).toEqual({ stored_messages: 1 })
    expect(bed.events).toMatchObject([
      { type: 'message.stored', owner: bob, from: 'sip:alice@a.test', octets: 3, id: 1 },
    ])
  })

  test.each<[PutFailure, number, string, number | null]>([
    ['over-messages', 403, 'Mailbox Full', null],
    ['over-octets', 403, 'Mailbox Full', null],
    ['over-share', 403, 'Mailbox Full', null],
    ['overloaded', 503, 'Service Unavailable', 5],
    ['unavailable', 503, 'Service Unavailable', 30],
  ])('SILO-10: what the store refuses as %s is answered %i', async (failure, status, reason, retryAfter) => {
    const bed = memoryBed()
    bed.store.putFailure = failure
    const notice = outgoing('notice')
    const kept = bed.silo.keep({ message: bed.newMessage('one'), notice, noticeKey: 'key', imdn: outgoing('stored') })
    expect(await kept).toEqual({ kept: false, status, reason, retryAfter })
    expect(bed.counts).toEqual({ [`refused_${failure.replace('-', '_')}`]: 1 })
    expect([bed.events, bed.originated]).toEqual([[], []])
  })

  test('SILO-12, SILO-13, C-9: the sender is told, once a minute for each owner; <stored/> comes each time', async () => {
    const bed = memoryBed()
    const keep = async (noticeKey: string) => {
      const message = bed.newMessage('one')
      await bed.silo.keep({ message, notice: outgoing(`notice ${noticeKey}`), noticeKey, imdn: outgoing('imdn') })
    }
    await keep('alice|bob')
    await keep('alice|bob')
    await keep('alice|carol')
    await bed.pass(60_000)
    await keep('alice|bob')
    const texts = bed.originated.map(({ callId }) => callId)
    expect(texts.filter((text) => text !== 'imdn')).toEqual([
      'notice alice|bob',
      'notice alice|carol',
      'notice alice|bob',
    ])
    expect(texts.filter((text) => text === 'imdn')).toHaveLength(4)
    expect(bed.counts).toMatchObject({ notices: 3, notices_held_back: 1, imdns: 4 })
  })
})

/** check_time times clean_period. */
const sweepMs = 150_000

describe('expiring', () => {
  test('C-9: <failed/> goes to whoever asked for it, and the event is told', async () => {
    const bed = memoryBed()
    await bed.keep('lost', { from: 'sip:imdn@a.test', forMs: hour })
    await bed.pass(hour)
    await bed.pass(sweepMs)
    expect(bed.originated.map(({ callId }) => callId)).toEqual(['failed lost'])
    expect(bed.counts).toMatchObject({ expired_messages: 1, imdns: 1 })
    expect(bed.events.at(-1)).toMatchObject({ type: 'message.expired', owner: bob })
  })

  test('C-6: what one device has and another never came for has not failed', async () => {
    const bed = memoryBed()
    bed.outcome = () => ok
    await bed.register(bob, [contact('phone'), contact('laptop')], 2)
    await bed.register(bob, [])
    await bed.keep('half', { from: 'sip:imdn@a.test', forMs: hour })
    await bed.register(bob, [contact('phone')], 1)
    expect(bed.sent).toEqual(['half'])
    expect(bed.stored).toEqual(['half'])
    await bed.pass(hour)
    await bed.pass(sweepMs)
    expect(bed.stored).toEqual([])
    expect(bed.originated).toEqual([])
    expect(bed.counts.expired_messages).toBeUndefined()
  })
})

describe('delivering', () => {
  test('SILO-20, SILO-24, S-83: who registers gets what was kept, in order, one at a time', async () => {
    const bed = memoryBed()
    for (const text of ['one', 'two', 'three']) await bed.keep(text)
    await bed.register(bob, [phone], 1)
    for (const text of ['one', 'two', 'three']) {
      const sent = bed.awaited()
      expect([sent.text, sent.to]).toEqual([text, phone.contact])
      expect(sent.order).toMatchObject({
        kind: 'offline',
        sndTime: 0,
        attempt: 1,
        target: { kind: 'contact', aor: bob, contact: phone.contact },
      })
      await sent.answer(ok)
    }
    expect([bed.pending, bed.stored]).toEqual([[], []])
    expect(bed.counts).toEqual({ stored_messages: 3, dumped_messages: 3 })
    expect(bed.events.map(({ type }) => type).slice(3)).toEqual([
      'user.registered',
      'message.delivered',
      'message.delivered',
      'message.delivered',
    ])
    expect(bed.events.at(-1)).toMatchObject({ owner: bob, device: 'phone', id: 3, octets: 5 })
  })

  test('SILO-31: the next message does not wait until the disk has that the one before was delivered', async () => {
    const bed = memoryBed()
    await bed.keep('one')
    await bed.keep('two')
    await bed.register(bob, [phone], 1)
    void bed.awaited().answer(ok)
    // Promises are done before the turn in which the store writes.
    await Promise.resolve().then(() => new Promise(process.nextTick))
    expect([bed.awaited().text, bed.stored]).toEqual(['two', ['one', 'two']])
    await bed.pass(settleWithinMs - 1)
    expect(bed.stored).toEqual(['one', 'two'])
    await bed.pass(100)
    expect(bed.stored).toEqual(['two'])
  })

  test('SILO-31: that some were delivered is written together, and at the end of the batch at once', async () => {
    const bed = memoryBed()
    for (let index = 0; index < firstBatchMax + settledTogetherMax + 2; index++) await bed.keep(`${index}`)
    await bed.register(bob, [phone], 1)
    const left: number[] = []
    while (bed.pending.length > 0) {
      await bed.awaited().answer(ok)
      left.push(bed.stored.length)
    }
    expect(left).toEqual([14, 14, 14, 10, 10, 10, 10, 10, 10, 10, 10, 2, 2, 0])
  })

  test('more than a batch is delivered in order, and others get their turn between', async () => {
    const bed = memoryBed('deliveries_max: 1')
    for (let index = 0; index < 45; index++) await bed.keep(`bob ${index}`)
    await bed.keep('carol 0', { owner: carol })
    bed.outcome = () => ok
    bed.contacts.set(bob, [phone])
    bed.contacts.set(carol, [phone])
    bed.silo.registered(bob, { added: 1, refreshed: 0 })
    bed.silo.registered(carol, { added: 1, refreshed: 0 })
    for (let turns = 0; turns < 10; turns++) await quiet()
    expect(bed.sent.filter((text) => text.startsWith('bob'))).toEqual(
      Array.from({ length: 45 }, (_, index) => `bob ${index}`),
    )
    expect(bed.sent.indexOf('carol 0')).toBe(firstBatchMax)
    expect(bed.store.claims).toBe(5)
    expect(bed.stored).toEqual([])
  })

  test('no more than deliveries_max messages are on their way', async () => {
    const bed = memoryBed('deliveries_max: 2')
    const owners = ['sip:a@b.test', 'sip:b@b.test', 'sip:c@b.test']
    for (const owner of owners) await bed.keep(owner, { owner })
    for (const owner of owners) await bed.register(owner, [phone], 1)
    expect([bed.pending.length, bed.silo.depth()]).toEqual([2, { sending: 2, waiting: 1, resting: 0 }])
    await bed.pending[0]!.answer(ok)
    expect(bed.pending.map(({ text }) => text)).toEqual(['sip:b@b.test', 'sip:c@b.test'])
  })

  test('SILO-21: not to a device that takes no MESSAGE', async () => {
    const bed = memoryBed()
    await bed.keep('one')
    await bed.register(bob, [{ ...phone, methods: ['INVITE'] }], 1)
    expect(bed.pending).toEqual([])
    await bed.register(bob, [{ ...phone, methods: ['INVITE', 'MESSAGE'] }])
    expect(bed.awaited().text).toBe('one')
  })

  test('a REGISTER that only asks delivers nothing, and one with nothing waiting asks for nothing', async () => {
    const bed = memoryBed()
    await bed.register(bob, [phone], 1)
    expect(bed.store.claims).toBe(0)
    await bed.keep('one', { owner: carol })
    bed.contacts.set(carol, [phone])
    bed.silo.registered(carol, { added: 0, refreshed: 0 })
    await quiet()
    expect(bed.store.claims).toBe(0)
  })

  test('SILO-30: what expires is not delivered, though the one before it took long', async () => {
    const bed = memoryBed()
    await bed.keep('one')
    await bed.keep('two', { forMs: 10_000 })
    await bed.keep('three')
    await bed.register(bob, [phone], 1)
    await bed.pass(10_000)
    await bed.awaited().answer(ok)
    expect(bed.awaited().text).toBe('three')
    await bed.awaited().answer(ok)
    expect(bed.sent).toEqual(['one', 'three'])
  })

  test('a message that is kept while its owner registers is delivered at once', async () => {
    const bed = memoryBed()
    const kept = bed.keep('one')
    await bed.register(bob, [phone], 1)
    await kept
    expect(bed.awaited().text).toBe('one')
  })

  test('a message that is kept while others are delivered follows them', async () => {
    const bed = memoryBed()
    await bed.keep('one')
    await bed.register(bob, [phone], 1)
    await bed.keep('two')
    expect(bed.awaited().text).toBe('one')
    await bed.awaited().answer(ok)
    await bed.awaited().answer(ok)
    expect([bed.sent, bed.stored]).toEqual([['one', 'two'], []])
  })
})

describe('devices', () => {
  test('each of them gets every message once, at its own pace', async () => {
    const bed = memoryBed()
    await bed.keep('one')
    await bed.keep('two')
    await bed.register(bob, [phone, desk], 2)
    await bed.awaited('phone').answer(ok)
    await bed.awaited('phone').answer(ok)
    expect([bed.stored, bed.awaited('desk').text]).toEqual([['one', 'two'], 'one'])
    await bed.awaited('desk').answer(ok)
    await bed.pass(settleWithinMs + 100)
    expect(bed.stored).toEqual(['two'])
    await bed.awaited('desk').answer(ok)
    expect([bed.stored, bed.sent.toSorted()]).toEqual([[], ['one', 'one', 'two', 'two']])
  })

  test('a message stays for a device that was seen within expire_time, and for no other', async () => {
    const bed = memoryBed('expire_time: 100')
    await bed.register(bob, [desk], 1)
    await bed.keep('one')
    await bed.register(bob, [phone], 1)
    await bed.awaited().answer(ok)
    expect(bed.stored).toEqual(['one'])
    await bed.register(bob, [phone, desk])
    expect(bed.awaited().to).toBe(desk.contact)
    await bed.awaited().answer(ok)
    expect(bed.stored).toEqual([])
    await bed.pass(101_000)
    await bed.keep('two')
    await bed.register(bob, [phone], 1)
    await bed.awaited().answer(ok)
    expect(bed.stored).toEqual([])
  })

  test('contacts that name no device are one: the best of them gets it', async () => {
    const bed = memoryBed()
    await bed.keep('one')
    await bed.register(
      bob,
      [
        { ...plain, contact: 'sip:first@a' },
        { ...plain, contact: 'sip:second@a' },
      ],
      2,
    )
    expect(bed.awaited().to).toBe('sip:first@a')
    await bed.awaited().answer(ok)
    expect([bed.stored, bed.sent]).toEqual([[], ['one']])
  })

  test('deliver: any: one of them gets it; the next is asked when one does not take it', async () => {
    const bed = memoryBed('deliver: any')
    for (const text of ['one', 'two', 'three']) await bed.keep(text)
    await bed.register(bob, [phone, { ...phone, flow: 'other' }, desk], 2)
    await bed.awaited('phone').answer(ok)
    await bed.awaited('phone').answer(answer(488))
    expect(bed.awaited().to).toBe(desk.contact)
    await bed.awaited('desk').answer(ok)
    await bed.awaited('phone').answer(answer(603, 'Decline'))
    expect([bed.stored, bed.dead, bed.sent]).toEqual([[], ['three'], ['one', 'two', 'two', 'three']])
    expect(bed.events.filter(({ device }) => device !== undefined)).toEqual([])
  })

  test('SILO-22: outbound_proxy gets all, once the owner is there', async () => {
    const bed = memoryBed('outbound_proxy: sip:proxy.b.test')
    await bed.keep('one')
    await bed.register(bob, [], 0)
    expect(bed.pending).toEqual([])
    await bed.register(bob, [phone, desk], 2)
    expect(bed.awaited().order.target).toEqual({ kind: 'outbound-proxy' })
    await bed.awaited().answer(ok)
    expect([bed.stored, bed.sent]).toEqual([[], ['one']])
  })
})

describe('failures', () => {
  test.each([unreachable, timedOut, answer(480), answer(503), answer(500)])(
    'Q-24: after %o a device is left alone for 30 s, then twice as long, and no message overtakes',
    async (outcome) => {
      const bed = memoryBed()
      await bed.keep('one')
      await bed.keep('two')
      await bed.register(bob, [phone], 1)
      await bed.awaited().answer(outcome)
      await bed.register(bob, [phone])
      await bed.pass(29_000)
      expect(bed.pending).toEqual([])
      await bed.pass(1_100)
      expect([bed.awaited().text, bed.awaited().order.attempt]).toEqual(['one', 2])
      await bed.awaited().answer(outcome)
      await bed.pass(59_000)
      expect(bed.pending).toEqual([])
      await bed.pass(1_100)
      expect([bed.awaited().text, bed.awaited().order.attempt]).toEqual(['one', 3])
      await bed.awaited().answer(ok)
      await bed.awaited().answer(ok)
      expect([bed.stored, bed.silo.depth()]).toEqual([[], { sending: 0, waiting: 0, resting: 0 }])
      expect(bed.counts).toMatchObject({ failed_messages: 2, dumped_messages: 2, retries: 2 })
    },
  )

  test('a new way to the device ends its rest, a refresh does not', async () => {
    const bed = memoryBed()
    await bed.keep('one')
    await bed.register(bob, [phone], 1)
    await bed.awaited().answer(unreachable)
    await bed.register(bob, [phone])
    expect(bed.pending).toEqual([])
    await bed.register(bob, [{ ...phone, flow: 'second' }])
    await bed.awaited().answer(ok)
    expect(bed.stored).toEqual([])
  })

  test('one device that fails holds no other up', async () => {
    const bed = memoryBed()
    await bed.keep('one')
    await bed.register(bob, [phone, desk], 2)
    await bed.awaited('phone').answer(timedOut)
    await bed.awaited('desk').answer(ok)
    expect([bed.stored, bed.pending]).toEqual([['one'], []])
    await bed.pass(30_100)
    await bed.awaited('phone').answer(ok)
    expect(bed.stored).toEqual([])
  })

  test('a device that has gone is forgotten until it registers', async () => {
    const bed = memoryBed()
    await bed.keep('one')
    await bed.register(bob, [phone], 1)
    await bed.awaited().answer(unreachable)
    bed.contacts.delete(bob)
    await bed.pass(30_100)
    expect([bed.sent, bed.silo.depth()]).toEqual([['one'], { sending: 0, waiting: 0, resting: 0 }])
    await bed.register(bob, [phone])
    expect(bed.awaited().text).toBe('one')
  })

  test('Q-25, SILO-32: a refused message goes to the dead letters, and those behind it are delivered', async () => {
    const bed = memoryBed()
    for (const text of ['one', 'two', 'three']) await bed.keep(text)
    await bed.register(bob, [phone], 1)
    await bed.awaited().answer(ok)
    await bed.awaited().answer(answer(415, 'Unsupported Media Type'))
    await bed.awaited().answer(ok)
    expect([bed.sent, bed.stored, bed.dead]).toEqual([['one', 'two', 'three'], [], ['two']])
    expect(bed.counts).toMatchObject({ dead_messages: 1, failed_messages: 1, dumped_messages: 2 })
    const failed = bed.events.find(({ type }) => type === 'message.failed')
    expect(failed).toMatchObject({ id: 2, owner: bob, device: 'phone', reason: '415 Unsupported Media Type' })
  })

  test('what one device refuses is no dead letter as long as another takes it', async () => {
    const bed = memoryBed()
    await bed.keep('one')
    await bed.register(bob, [phone, desk], 2)
    await bed.awaited('phone').answer(answer(488))
    expect([bed.stored, bed.dead]).toEqual([['one'], []])
    await bed.awaited('desk').answer(ok)
    expect([bed.stored, bed.dead, bed.counts.dead_messages]).toEqual([[], [], undefined])
  })

  test('SILO-32: a device that takes no MESSAGE (405) is asked max_attempts times, then the message is dead', async () => {
    const bed = memoryBed('max_attempts: 3')
    await bed.keep('one')
    await bed.register(bob, [phone], 1)
    for (const attempt of [1, 2, 3]) {
      expect(bed.awaited().order.attempt).toBe(attempt)
      await bed.awaited().answer(answer(405, 'Method Not Allowed'))
      await bed.pass(attempt * 30_100)
    }
    expect([bed.pending, bed.stored, bed.dead]).toEqual([[], [], ['one']])
    await bed.pass(10 * hour)
    expect(bed.sent).toEqual(['one', 'one', 'one'])
  })

  test('SILO-1: a message that is kept as its reader has just refused it is tried again only later', async () => {
    const bed = memoryBed()
    bed.contacts.set(bob, [phone])
    await bed.keep('one')
    expect(bed.pending).toEqual([])
    await bed.pass(30_100)
    await bed.awaited().answer(ok)
    expect(bed.stored).toEqual([])
  })

  test('a disk that cannot write what was delivered ends the batch; it is tried again, as a repeat', async () => {
    const bed = memoryBed()
    await bed.keep('one')
    await bed.register(bob, [phone], 1)
    bed.store.broken = true
    await bed.awaited().answer(ok)
    expect([bed.stored, bed.silo.depth()]).toEqual([['one'], { sending: 0, waiting: 0, resting: 1 }])
    bed.store.broken = false
    await bed.pass(30_100)
    expect(bed.awaited().order.attempt).toBe(2)
    await bed.awaited().answer(ok)
    expect(bed.stored).toEqual([])
  })

  test('who has lost its claim sends nothing more', async () => {
    const bed = memoryBed()
    await bed.keep('one')
    await bed.keep('two')
    await bed.register(bob, [phone], 1)
    await bed.pass(400_000)
    await bed.awaited().answer(ok)
    expect([bed.sent, bed.silo.depth().resting]).toEqual([['one'], 1])
  })

  test('a device that somebody else delivers to is left to it for a while', async () => {
    const bed = memoryBed()
    await bed.keep('one')
    const claim = await bed.store.claim(bob, 'phone', { now: bed.clock.now(), leaseMs: 20_000, max: 1 })
    await bed.register(bob, [phone], 1)
    expect([bed.pending, bed.silo.depth().resting]).toEqual([[], 1])
    expect(claim).toMatchObject({ owner: bob })
    await bed.pass(30_100)
    expect(bed.awaited().text).toBe('one')
  })
})

describe('push', () => {
  const pushable = binding('phone', { contact: 'sip:bob@192.0.2.7;pn-provider=fcm;pn-prid=token;pn-param=project' })
  const target = { provider: 'fcm', prid: 'token', param: 'project' }

  async function woken(lines: string, bindings = [pushable]) {
    const bed = memoryBed(lines)
    bed.bindings.set(bob, bindings)
    let answered: KeepAnswer | null = null
    const notice = outgoing('notice')
    void bed.silo.keep({ message: bed.newMessage('one'), notice, noticeKey: 'key', imdn: null }).then((kept) => {
      answered = kept
    })
    await quiet()
    return { bed, answered: () => answered }
  }

  test('those who wake devices are told which, and the answer waits until the message is delivered', async () => {
    const { bed, answered } = await woken('push_wait_seconds: 5')
    expect(bed.events).toMatchObject([{ type: 'message.stored', push: [target] }])
    await bed.pass(4_000)
    expect(answered()).toBeNull()
    await bed.register(bob, [phone])
    await bed.awaited().answer(ok)
    expect(answered()).toEqual({ kept: true, delivered: true })
    expect(bed.originated).toEqual([])
    expect(bed.counts).toMatchObject({ push_waits: 1, push_delivered: 1 })
  })

  test('it waits push_wait_seconds and no longer, and the sender is told that it was kept', async () => {
    const { bed, answered } = await woken('push_wait_seconds: 5')
    await bed.pass(5_200)
    expect(answered()).toEqual({ kept: true, delivered: false })
    expect(bed.originated).toHaveLength(1)
    await bed.register(bob, [phone])
    await bed.awaited().answer(ok)
    expect(bed.counts).toMatchObject({ push_waits: 1, dumped_messages: 1 })
    expect(bed.counts.push_delivered).toBeUndefined()
  })

  test('it does not wait when nobody is woken, nor for a reminder', async () => {
    expect((await woken('push_wait_seconds: 5', [binding('desk')])).answered()).not.toBeNull()
    expect((await woken('push_wait_seconds: 0')).answered()).not.toBeNull()
    const bed = memoryBed('push_wait_seconds: 5')
    bed.bindings.set(bob, [pushable])
    expect(await bed.keep('later', { sndTime: bed.clock.now() + hour })).toEqual({ kept: true, delivered: false })
  })

  test('hooks.push: it waits for users of whom no parameters are known', async () => {
    const lines = 'push_wait_seconds: 5\nhooks: { url: "http://127.0.0.1:1/", secret: 0123456789abcdef, push: true }'
    expect((await woken(lines, [])).answered()).toBeNull()
  })

  test('a device in back-off that was woken is tried when it registers, though by the same way', async () => {
    const bed = memoryBed('push_wait_seconds: 5')
    bed.bindings.set(bob, [pushable])
    await bed.keepSoon('one')
    await bed.register(bob, [phone], 1)
    await bed.awaited().answer(timedOut)
    await bed.register(bob, [phone])
    expect(bed.pending).toEqual([])
    await bed.keepSoon('two')
    await bed.register(bob, [phone])
    expect(bed.awaited().text).toBe('one')
  })

  test('at the end nobody waits', async () => {
    const { bed, answered } = await woken('push_wait_seconds: 5')
    await bed.silo.close()
    await quiet()
    expect(answered()).toEqual({ kept: true, delivered: false })
  })
})

describe('operators', () => {
  test('a dead letter that is sent again goes at once, with what waits', async () => {
    const bed = memoryBed()
    await bed.keep('one')
    await bed.register(bob, [phone], 1)
    await bed.awaited().answer(answer(488))
    expect(bed.dead).toEqual(['one'])
    expect(await bed.silo.resend(bed.idOf('one'))).toBe('queued')
    await quiet()
    await bed.awaited().answer(ok)
    expect([bed.stored, bed.dead]).toEqual([[], []])
    expect(await bed.silo.resend(1_000 as never)).toBe('unknown')
  })

  test('a message in back-off that is sent again goes at once', async () => {
    const bed = memoryBed()
    await bed.keep('one')
    await bed.register(bob, [phone], 1)
    await bed.awaited().answer(timedOut)
    expect(await bed.silo.resend(bed.idOf('one'))).toBe('queued')
    await quiet()
    expect(bed.awaited().text).toBe('one')
  })

  test('on a disk that cannot be written nothing is revived', async () => {
    const bed = memoryBed()
    await bed.keep('one')
    await bed.register(bob, [phone], 1)
    await bed.awaited().answer(answer(488))
    bed.store.broken = true
    expect(await bed.silo.resend(bed.idOf('one'))).toBe('unavailable')
  })
})

describe('the end', () => {
  test('what was sent may be answered for 2 s, and what comes is kept; nothing else is sent, and afterwards nothing touched', async () => {
    const bed = memoryBed()
    await bed.keep('one')
    await bed.keep('two')
    await bed.keep('for carol', { owner: carol })
    await bed.register(bob, [phone], 1)
    await bed.register(carol, [desk], 1)
    let isClosed = false
    void bed.silo.close().then(() => {
      isClosed = true
    })
    await bed.awaited('phone').answer(ok)
    expect([isClosed, bed.pending.length, bed.stored]).toEqual([false, 1, ['two', 'for carol']])
    expect(await bed.keep('three')).toEqual({ kept: true, delivered: false })
    await bed.register(bob, [phone], 1)
    await bed.pass(2_000)
    expect(isClosed).toBe(true)
    expect(await bed.keep('four')).toMatchObject({ kept: false, status: 503 })
    await bed.awaited('desk').answer(ok)
    expect([bed.sent, bed.stored]).toEqual([
      ['one', 'for carol'],
      ['two', 'for carol', 'three'],
    ])
  })
})
