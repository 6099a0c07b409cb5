import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { MessageId } from '../../src/ids.ts'
import {
  type Claim,
  deviceDayMs,
  devicesMax,
  type FencingToken,
  type NewMessage,
  type Settlement,
  type SiloMessage,
  type SiloQuota,
  type SiloStore,
} from '../../src/store/silo-store.ts'
import { asNew, bob, newMessage, noon, siloMessage } from '../support/silo-messages.ts'
import { type OpenedSilo, type OpenSilo, siloAgreesWithModel } from './silo-store.property.ts'

const unlimited: SiloQuota = { messages: 0, octets: 0, perSender: 0 }
const carol = 'sip:carol@example.org'
const lease = { now: noon, leaseMs: 1_000, max: 100 }
const delivered = (...devices: string[]): Settlement => ({ kind: 'delivered', devices })
const refused = (...devices: string[]): Settlement => ({ kind: 'refused', devices, reason: '415 Unsupported' })
const later = (attempted: boolean): Settlement => ({ kind: 'later', attempted })
const dead: Settlement = { kind: 'dead', reason: 'tried 3 times' }

/** What every silo store does, whatever it stores in. */
export function siloStoreConformance(name: string, open: OpenSilo): void {
  describe(`${name} as a silo store`, () => {
    let now = noon
    let opened: OpenedSilo
    let store: SiloStore

    const begin = async (quota: Partial<SiloQuota> = {}, deadMax = 100) => {
      opened = await open({ quota: { ...unlimited, ...quota }, deadMax, now: () => now })
      store = opened.store
    }
    beforeEach(async () => {
      now = noon
      await begin()
    })
    afterEach(() => opened.dispose())

    const restart = async (quota: Partial<SiloQuota>, deadMax?: number) => {
      await opened.dispose()
      await begin(quota, deadMax)
    }
    const reopen = async () => {
      store = await opened.reopen()
    }
    const put = async (message: NewMessage): Promise<MessageId> => {
      const stored = await store.put(message)
      if (!stored.ok) throw new Error(stored.error)
      return stored.value
    }
    const failureOf = async (message: NewMessage) => {
      const stored = await store.put(message)
      return stored.ok ? null : stored.error
    }
    const claim = async (device = '', options: Partial<typeof lease> = {}, owner = bob): Promise<Claim> => {
      const claimed = await store.claim(owner, device, { ...lease, ...options })
      if (claimed === null || claimed === 'busy') throw new Error(`no claim: ${claimed}`)
      return claimed
    }
    const idsOf = ({ messages }: Claim) => messages.map(({ id }) => id)
    const listed = (isDead = false, owner: string | null = null) =>
      store.list({ owner, dead: isDead, after: null, limit: 1_000 })

    test('SILO-4, SILO-51: has a message with every field, as soon as it is reported', async () => {
      const message = siloMessage('hello', {
        contentType: 'message/cpim; x="é"',
        body: Buffer.from([0, 255, 13, 10]),
        expTime: noon + 7,
        sndTime: noon - 3,
        extraHeaders: 'Subject: ✓\r\nPriority: urgent\r\n',
        callId: 'call@host',
      })
      const id = await put(asNew(message))
      const stored = { id, message, attempts: 0, delivered: false, status: 0, reason: null }
      expect(store.get(id)).toEqual(stored)
      expect(listed()).toEqual([stored])
      expect(store.counts()).toEqual({ messages: 1, octets: 4, dead: 0 })
      const { messages } = await claim()
      expect(messages).toEqual([
        { id, record: Buffer.from(asNew(message).record), expTime: noon + 7, sndTime: noon - 3, attempts: 0 },
      ])
    })

    test('SILO-24: gives ids in the order of the calls, and never one twice, in later runs neither', async () => {
      const first = await Promise.all(Array.from({ length: 2_500 }, (_, n) => put(newMessage(`${n}`))))
      expect(first).toEqual(first.map((id) => id).sort((a, b) => a - b))
      expect(new Set(first).size).toBe(2_500)
      expect(await store.remove(first)).toEqual({ ok: true, value: 2_500 })
      await reopen()
      expect(await put(newMessage('next'))).toBeGreaterThan(first.at(-1)!)
    })

    test('what is told as stored can be read at once, and is told in the order of the calls', async () => {
      const told: number[] = []
      const puts = Array.from({ length: 1_000 }, async (_, n) => {
        const id = await put(newMessage(`${n}`))
        expect(store.get(id)?.id).toBe(id)
        told.push(id)
      })
      await Promise.all(puts)
      expect(told).toEqual(told.toSorted((a, b) => a - b))
      expect(store.counts().messages).toBe(1_000)
    })

    test('SILO-31: has in a later run what it had, with attempts and devices, and no claims', async () => {
      const ids = [await put(newMessage('one')), await put(newMessage('two')), await put(newMessage('three'))]
      await store.seen(bob, 'desk', noon)
      const { token } = await claim('desk')
      await store.settle(token, ids[0]!, delivered('desk', 'phone'))
      await store.settle(token, ids[1]!, later(true))
      await store.settle(token, ids[2]!, dead)
      const [before, beforeDead] = [listed(), listed(true)]
      await reopen()
      expect(listed().map((message) => ({ ...message, status: 0 }))).toEqual(before)
      expect(listed(true)).toEqual(beforeDead)
      expect(store.counts()).toEqual({ messages: 2, octets: 6, dead: 1 })
      expect(store.devices(bob, noon)).toEqual(['desk'])
      const again = await claim('desk')
      expect(idsOf(again)).toEqual([ids[1]])
      expect(again.messages[0]?.attempts).toBe(1)
      expect(again.token).toBeGreaterThan(token)
      expect(await store.settle(token, ids[1]!, delivered('desk'))).toEqual({ ok: false, error: 'fenced' })
    })

    test('SILO-31: tokens grow from run to run, though nothing else was done in one', async () => {
      await put(newMessage('one'))
      const tokens: number[] = []
      for (let run = 0; run < 3; run += 1) {
        await reopen()
        tokens.push((await claim('desk')).token, (await claim('phone')).token)
      }
      expect(tokens).toEqual([...new Set(tokens)].sort((a, b) => a - b))
      expect(tokens).toHaveLength(6)
    })

    test('SILO-30, SILO-40: a claim has what can be delivered now, oldest first, and not more than asked for', async () => {
      const soon = await put(newMessage('a reminder for later', { sndTime: noon + 10 }))
      const ids = [await put(newMessage('one')), await put(newMessage('short', { expTime: noon + 5 }))]
      ids.push(await put(newMessage('a reminder', { sndTime: noon })))
      await put(newMessage('for carol', { owner: carol }))
      expect(idsOf(await claim('a'))).toEqual(ids)
      expect(idsOf(await claim('b', { max: 2 }))).toEqual(ids.slice(0, 2))
      expect(idsOf(await claim('c', { now: noon + 5 }))).toEqual([ids[0], ids[2]])
      expect(idsOf(await claim('d', { now: noon + 10 }))).toEqual([soon, ids[0], ids[2]])
      expect(await store.claim('sip:dave@example.org', '', lease)).toBe(null)
    })

    test('SILO-30, SILO-40: tells whether there is something to deliver now', async () => {
      expect(store.hasMessages(bob, noon)).toBe(false)
      await put(newMessage('a reminder', { sndTime: noon + 10, expTime: noon + 20 }))
      expect([noon, noon + 9, noon + 10, noon + 19, noon + 20].map((at) => store.hasMessages(bob, at))).toEqual([
        false,
        false,
        true,
        true,
        false,
      ])
      expect(store.hasMessages(carol, noon + 10)).toBe(false)
    })

    test('SILO-24: one at a time delivers to a device, others to other devices and owners', async () => {
      await put(newMessage('one'))
      await put(newMessage('two', { owner: carol }))
      const held = await claim('desk')
      expect(await store.claim(bob, 'desk', lease)).toBe('busy')
      expect(await store.claim(bob, 'desk', { ...lease, now: noon + 999 })).toBe('busy')
      const others = [await claim('phone'), await claim('desk', {}, carol)]
      expect(new Set([held, ...others].map(({ token }) => token)).size).toBe(3)
      store.release(held.token)
      expect((await claim('desk')).token).toBeGreaterThan(held.token)
    })

    test('an empty claim is none: nobody has to release it', async () => {
      expect(await store.claim(bob, 'desk', lease)).toBe(null)
      await put(newMessage('one'))
      expect((await claim('desk')).messages).toHaveLength(1)
    })

    test('SILO-31: whose lease has ended is fenced by the next, who gets everything again', async () => {
      const id = await put(newMessage('one'))
      const first = await claim()
      expect(store.extend(first.token, noon + 500, 1_000)).toBe(true)
      expect(await store.claim(bob, '', { ...lease, now: noon + 1_499 })).toBe('busy')
      const second = await claim('', { now: noon + 1_500 })
      expect(idsOf(second)).toEqual([id])
      expect(await store.settle(first.token, id, delivered(''))).toEqual({ ok: false, error: 'fenced' })
      expect(store.extend(first.token, noon + 1_500, 1_000)).toBe(false)
      store.release(first.token)
      expect(await store.claim(bob, '', { ...lease, now: noon + 1_600 })).toBe('busy')
      expect(await store.settle(second.token, id, delivered(''))).toEqual({ ok: true, value: 'removed' })
      expect(store.counts()).toEqual({ messages: 0, octets: 0, dead: 0 })
    })

    test('a lease that has ended cannot be extended, and one that was given back cannot be used', async () => {
      const id = await put(newMessage('one'))
      const ended = await claim()
      expect(store.extend(ended.token, noon + 1_000, 1_000)).toBe(false)
      expect(await store.settle(ended.token, id, delivered(''))).toEqual({ ok: false, error: 'fenced' })
      const given = await claim()
      store.release(given.token)
      expect(store.extend(given.token, noon, 1_000)).toBe(false)
      expect(await store.settle(given.token, id, delivered(''))).toEqual({ ok: false, error: 'fenced' })
      expect(await store.settle(12_345 as FencingToken, id, delivered(''))).toEqual({ ok: false, error: 'fenced' })
    })

    test('what is being written when the claim is released counts, before anybody else gets one', async () => {
      const ids = [await put(newMessage('one')), await put(newMessage('two'))]
      const first = await claim()
      const settled = store.settle(first.token, ids[0]!, delivered(''))
      store.release(first.token)
      expect(await store.claim(bob, '', { ...lease, now: noon + 5_000 })).toBe('busy')
      expect(await settled).toEqual({ ok: true, value: 'removed' })
      expect(idsOf(await claim())).toEqual([ids[1]])
    })

    test('every device gets a message once, and it goes when all have it', async () => {
      const id = await put(newMessage('one'))
      const all = delivered('desk', 'phone', '')
      const desk = await claim('desk')
      expect(await store.settle(desk.token, id, all)).toEqual({ ok: true, value: 'kept' })
      store.release(desk.token)
      expect(await store.claim(bob, 'desk', lease)).toBe(null)
      expect(store.hasMessages(bob, noon)).toBe(true)
      expect(await store.settle((await claim('phone')).token, id, all)).toEqual({ ok: true, value: 'kept' })
      expect(await store.settle((await claim('')).token, id, all)).toEqual({ ok: true, value: 'removed' })
      expect(store.get(id)).toBe(null)
    })

    test('SILO-32: what all devices have refused is a dead letter; what one has taken is not', async () => {
      const [hated, loved] = [await put(newMessage('hated')), await put(newMessage('loved'))]
      const desk = await claim('desk')
      const phone = await claim('phone')
      expect(await store.settle(desk.token, hated, refused('desk', 'phone'))).toEqual({ ok: true, value: 'kept' })
      expect(await store.settle(desk.token, loved, delivered('desk', 'phone'))).toEqual({ ok: true, value: 'kept' })
      store.release(desk.token)
      expect(await store.claim(bob, 'desk', lease)).toBe(null)
      expect(await store.settle(phone.token, hated, refused('desk', 'phone'))).toEqual({ ok: true, value: 'dead' })
      expect(await store.settle(phone.token, loved, refused('desk', 'phone'))).toEqual({ ok: true, value: 'removed' })
      expect(listed()).toEqual([])
      expect(listed(true)).toEqual([
        {
          id: hated,
          message: siloMessage('hated'),
          attempts: 0,
          delivered: false,
          status: 3,
          reason: '415 Unsupported',
        },
      ])
      expect(store.counts()).toEqual({ messages: 0, octets: 0, dead: 1 })
      expect(store.hasMessages(bob, noon)).toBe(false)
    })

    test('SILO-32, K-30: attempts are counted, until it is enough', async () => {
      const id = await put(newMessage('one'))
      const { token } = await claim()
      expect(store.get(id)).toMatchObject({ attempts: 0, status: 1 })
      expect(await store.settle(token, id, later(true))).toEqual({ ok: true, value: 'kept' })
      expect(store.get(id)).toMatchObject({ attempts: 1, status: 0 })
      expect(await store.settle(token, id, later(false))).toEqual({ ok: true, value: 'kept' })
      store.release(token)
      const again = await claim()
      expect(again.messages[0]?.attempts).toBe(1)
      expect(await store.settle(again.token, id, dead)).toEqual({ ok: true, value: 'dead' })
      expect(store.get(id)).toMatchObject({ attempts: 1, status: 3, reason: 'tried 3 times' })
      expect(await store.settle(again.token, id, delivered(''))).toEqual({ ok: true, value: 'dead' })
    })

    test('a message that was removed while it was on its way is removed, whatever became of it', async () => {
      const ids = await Promise.all(['one', 'two', 'three'].map((text) => put(newMessage(text))))
      const { token } = await claim()
      expect(await store.remove(ids)).toEqual({ ok: true, value: 3 })
      const settlements = [delivered(''), later(true), dead]
      for (const [n, settlement] of settlements.entries()) {
        expect(await store.settle(token, ids[n]!, settlement)).toEqual({ ok: true, value: 'removed' })
      }
      expect(store.counts()).toEqual({ messages: 0, octets: 0, dead: 0 })
    })

    test('SILO-42: a reminder that was not delivered, or could not be, is an offline message', async () => {
      const ids = await Promise.all(['one', 'two'].map((text) => put(newMessage(text, { sndTime: noon - 1 }))))
      const { token } = await claim('', { max: 1 })
      await store.settle(token, ids[0]!, later(true))
      store.release(token)
      expect(store.due(noon, 10)).toEqual([{ id: ids[1], owner: bob }])
      expect(await store.demote(ids)).toMatchObject({ ok: true })
      expect(store.due(noon, 10)).toEqual([])
      expect((await claim()).messages.map(({ sndTime, attempts }) => [sndTime, attempts])).toEqual([
        [0, 1],
        [0, 0],
      ])
      expect(listed().map(({ message }) => message.sndTime)).toEqual([0, 0])
    })

    test('SILO-40, SILO-30: tells which reminders are due, the oldest first', async () => {
      const at = (sndTime: number, changes: Partial<SiloMessage> = {}) =>
        put(newMessage(`at ${sndTime}`, { sndTime, ...changes }))
      const [third, first] = [await at(noon), await at(noon - 2)]
      const second = await at(noon - 1, { owner: carol })
      await at(noon + 1)
      await at(noon - 5, { expTime: noon })
      await put(newMessage('an offline message'))
      const due = [
        { id: first, owner: bob },
        { id: second, owner: carol },
        { id: third, owner: bob },
      ]
      expect(store.due(noon, 10)).toEqual(due)
      expect(store.due(noon, 2)).toEqual(due.slice(0, 2))
      expect(store.due(noon - 6, 10)).toEqual([])
      await claim()
      expect(store.due(noon, 10)).toEqual(due)
    })

    test('SILO-29: sweeps what has expired, dead letters too, soonest first, and not more than asked for', async () => {
      const at = (expTime: number) => put(newMessage(`till ${expTime}`, { expTime }))
      const ids = [await at(noon + 30), await at(noon + 20), await at(noon + 10), await at(noon + 40)]
      const { token } = await claim()
      await store.settle(token, ids[2]!, dead)
      await store.settle(token, ids[1]!, delivered('', 'another'))
      const sweep = async (when: number, max: number) => {
        const swept = await store.sweep(when, max)
        return swept.ok ? swept.value : swept.error
      }
      expect(await sweep(noon + 9, 10)).toEqual([])
      const stored = ids.map((id) => store.get(id))
      expect(await sweep(noon + 30, 2)).toEqual([stored[2], stored[1]])
      expect(await sweep(noon + 30, 2)).toEqual([stored[0]])
      expect(await sweep(noon + 30, 2)).toEqual([])
      expect(listed()).toEqual([stored[3]])
      expect(store.counts()).toEqual({ messages: 1, octets: stored[3]!.message.body.length, dead: 0 })
    })

    test('SILO-29: sweeps any number at once', async () => {
      await Promise.all(Array.from({ length: 1_300 }, (_, n) => put(newMessage(`${n}`, { expTime: noon + n }))))
      const swept = await store.sweep(noon + 1_249, 1_300)
      expect(swept.ok && swept.value.length).toBe(1_250)
      expect(store.counts().messages).toBe(50)
    })

    test('SILO-10: stores what the quota of messages allows, in the order of the calls', async () => {
      await restart({ messages: 3 })
      const outcomes = await Promise.all(['one', 'two', 'three', 'four'].map((text) => failureOf(newMessage(text))))
      expect(outcomes).toEqual([null, null, null, 'over-messages'])
      expect(await failureOf(newMessage('for carol', { owner: carol }))).toBe(null)
      await reopen()
      expect(await failureOf(newMessage('five'))).toBe('over-messages')
      const { token, messages } = await claim()
      await store.settle(token, messages[0]!.id, delivered(''))
      expect(await failureOf(newMessage('six'))).toBe(null)
      expect(await failureOf(newMessage('seven'))).toBe('over-messages')
    })

    test('quotas count octets of bodies', async () => {
      await restart({ octets: 10 })
      const of = (octets: number) => newMessage('x'.repeat(octets))
      expect(await failureOf(of(11))).toBe('over-octets')
      expect(await Promise.all([failureOf(of(6)), failureOf(of(5)), failureOf(of(4))])).toEqual([
        null,
        'over-octets',
        null,
      ])
      expect(await failureOf(of(1))).toBe('over-octets')
      await store.remove(listed().map(({ id }) => id))
      expect(await failureOf(of(10))).toBe(null)
    })

    test('quotas count the share of a sender', async () => {
      await restart({ perSender: 2, messages: 4 })
      const from = (user: string, owner = bob) => newMessage('hello', { srcAddr: `sip:${user}@example.org`, owner })
      expect(await failureOf(from('alice'))).toBe(null)
      expect(await failureOf(from('alice'))).toBe(null)
      expect(await failureOf(from('alice'))).toBe('over-share')
      expect(await failureOf(from('alice', carol))).toBe(null)
      expect(await failureOf(from('dave'))).toBe(null)
      expect(await failureOf(from('eve'))).toBe(null)
      expect(await failureOf(from('mallory'))).toBe('over-messages')
      await store.remove([listed(false, bob)[0]!.id])
      expect(await failureOf(from('alice'))).toBe(null)
    })

    test('SILO-10: what has expired takes no room, swept or not; neither do dead letters', async () => {
      await restart({ messages: 2, octets: 1_000, perSender: 2 })
      const [short, long] = [await put(newMessage('short', { expTime: noon + 10 })), await put(newMessage('long'))]
      now = noon + 9
      expect(await failureOf(newMessage('no'))).toBe('over-messages')
      now = noon + 10
      const both = await Promise.all([failureOf(newMessage('yes')), failureOf(newMessage('no'))])
      expect(both).toEqual([null, 'over-messages'])
      await store.sweep(now, 10)
      expect(store.get(short)).toBe(null)
      expect(await failureOf(newMessage('no'))).toBe('over-messages')
      await store.settle((await claim('', { now })).token, long, dead)
      expect(await failureOf(newMessage('yes'))).toBe(null)
      expect(await failureOf(newMessage('no'))).toBe('over-messages')
      // It may come back when there is no room: it was there before.
      expect(await store.revive([long])).toEqual({ ok: true, value: 1 })
      expect(await failureOf(newMessage('no'))).toBe('over-messages')
    })

    test('SILO-10: what expires while messages wait to be stored makes room for those behind them', async () => {
      await restart({ messages: 2 })
      await put(newMessage('short', { expTime: noon + 10 }))
      const outcomes = [failureOf(newMessage('yes')), failureOf(newMessage('also'))]
      now = noon + 10
      outcomes.push(failureOf(newMessage('no')))
      expect(await Promise.all(outcomes)).toEqual([null, null, 'over-messages'])
    })

    test('keeps the latest dead letters that there is room for', async () => {
      await restart({}, 2)
      const ids = await Promise.all(['one', 'two', 'three', 'four', 'five'].map((text) => put(newMessage(text))))
      const { token } = await claim()
      await Promise.all(ids.slice(1).map((id) => store.settle(token, id, dead)))
      expect(listed(true).map(({ id }) => id)).toEqual(ids.slice(3))
      await store.settle(token, ids[0]!, dead)
      expect(listed(true).map(({ id }) => id)).toEqual([ids[0], ids[4]])
      expect(store.counts()).toEqual({ messages: 0, octets: 0, dead: 2 })
    })

    test('keeps no dead letters when there is room for none', async () => {
      await restart({}, 0)
      const id = await put(newMessage('one'))
      expect(await store.settle((await claim()).token, id, dead)).toEqual({ ok: true, value: 'dead' })
      expect(store.get(id)).toBe(null)
      expect(store.counts()).toEqual({ messages: 0, octets: 0, dead: 0 })
    })

    test('who was found to have nothing has something as soon as it is stored, or revived', async () => {
      expect(store.hasMessages(bob, noon)).toBe(false)
      const id = await put(newMessage('one'))
      expect(store.hasMessages(bob, noon)).toBe(true)
      const { token } = await claim()
      expect(await store.settle(token, id, dead)).toEqual({ ok: true, value: 'dead' })
      expect(store.hasMessages(bob, noon)).toBe(false)
      await store.revive([id])
      expect(store.hasMessages(bob, noon)).toBe(true)
    })

    test('a dead letter that is revived is delivered once more, but not to who has it', async () => {
      const id = await put(newMessage('one', { sndTime: noon - 1 }))
      const all = ['desk', 'phone', 'tablet']
      await store.settle((await claim('desk')).token, id, delivered(...all))
      await store.settle((await claim('phone')).token, id, refused(...all))
      await store.settle((await claim('tablet')).token, id, dead)
      expect(await store.revive([id, id, 999 as MessageId])).toEqual({ ok: true, value: 1 })
      expect(await store.revive([id])).toEqual({ ok: true, value: 0 })
      expect(store.get(id)).toMatchObject({ attempts: 0, status: 0, reason: null, message: { sndTime: noon - 1 } })
      await reopen()
      expect(await store.claim(bob, 'desk', lease)).toBe(null)
      expect(idsOf(await claim('phone'))).toEqual([id])
      expect(store.counts()).toEqual({ messages: 1, octets: 3, dead: 0 })
    })

    test('lists by id, page by page, all or those of one owner, those that wait or dead letters', async () => {
      const ids: MessageId[] = []
      for (let n = 0; n < 7; n += 1) ids.push(await put(newMessage(`${n}`, { owner: n % 2 === 0 ? bob : carol })))
      const { token } = await claim()
      await store.settle(token, ids[2]!, dead)
      await store.settle(token, ids[6]!, dead)
      const pages = (owner: string | null, isDead: boolean) => {
        const found: MessageId[] = []
        for (let after: MessageId | null = null; ; after = found.at(-1)!) {
          const page = store.list({ owner, dead: isDead, after, limit: 2 }).map(({ id }) => id)
          expect(page.length).toBeLessThanOrEqual(2)
          found.push(...page)
          if (page.length === 0) return found
        }
      }
      expect(pages(null, false)).toEqual([0, 1, 3, 4, 5].map((n) => ids[n]))
      expect(pages(bob, false)).toEqual([0, 4].map((n) => ids[n]))
      expect(pages(carol, false)).toEqual([1, 3, 5].map((n) => ids[n]))
      expect(pages(null, true)).toEqual([ids[2], ids[6]])
      expect(pages(bob, true)).toEqual([ids[2], ids[6]])
      expect(pages(carol, true)).toEqual([])
      expect(store.list({ owner: null, dead: false, after: null, limit: 0 })).toEqual([])
    })

    test('removes what there is, once, waiting or dead', async () => {
      const ids = await Promise.all(['one', 'two', 'three'].map((text) => put(newMessage(text))))
      await store.settle((await claim()).token, ids[0]!, dead)
      const asked = [ids[0]!, ids[1]!, ids[1]!, 999 as MessageId]
      expect(await store.remove(asked)).toEqual({ ok: true, value: 2 })
      expect(await store.remove(asked)).toEqual({ ok: true, value: 0 })
      expect(listed().map(({ id }) => id)).toEqual([ids[2]])
    })

    test('keeps owners of any length and characters apart', async () => {
      const long = `sip:${'a'.repeat(3_000)}@example.org`
      const owners = [long, `${long}x`, 'sip:a b@example.org', 'sip:\0@example.org', 'sip:\n', 'sip:é@example.org']
      for (const owner of owners) {
        await put(newMessage('hello', { owner }))
        await store.seen(owner, `device of ${owner}`, noon)
      }
      for (const owner of owners) {
        expect(listed(false, owner).map(({ message }) => message.owner)).toEqual([owner])
        expect(store.devices(owner, noon)).toEqual([`device of ${owner}`])
      }
    })

    test('remembers the devices of an owner, to the day, and the latest if there are many', async () => {
      expect(store.devices(bob, 0)).toEqual([])
      await store.seen(bob, 'desk', noon)
      await store.seen(bob, 'desk', noon + deviceDayMs - 1)
      await store.seen(bob, 'phone', noon + 1)
      expect(store.devices(bob, noon)).toEqual(['phone', 'desk'])
      expect(store.devices(bob, noon + deviceDayMs)).toEqual(['phone'])
      expect(store.devices(bob, noon + deviceDayMs + 1)).toEqual([])
      expect(store.devices(carol, 0)).toEqual([])
      await store.seen(bob, 'desk', noon + deviceDayMs)
      expect(store.devices(bob, noon)).toEqual(['desk', 'phone'])
      const many = Array.from({ length: devicesMax }, (_, n) => `device ${n}`)
      const seen = await Promise.all(many.map((device, n) => store.seen(bob, device, noon + 2 * deviceDayMs + n)))
      expect(seen.every(({ ok }) => ok)).toBe(true)
      expect(store.devices(bob, noon)).toEqual(many.toReversed())
    })

    test('agrees with the plainest model, whatever is done to it, in later runs too', () => siloAgreesWithModel(open))
  })
}
