import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { openLmdbSilo } from '../../src/store/lmdb-silo.ts'
import type { SiloStore } from '../../src/store/silo-store.ts'
import { answer, bob, carol, contact, hour, ok, quiet, SiloBed } from './support/silo-bed.ts'

const phone = contact('phone')
const desk = contact('desk')
/** However slow the disk is. */
const until = (holds: () => unknown) => vi.waitFor(holds, 10_000)

describe('the silo on disk', () => {
  let dataDir: string
  let store: SiloStore
  let bed: SiloBed<SiloStore>

  const open = () =>
    openLmdbSilo({
      dataDir,
      quota: { messages: 100, octets: 0, perSender: 0 },
      deadMax: 100,
      onError: (error) => {
        throw error
      },
      now: () => bed?.clock.now() ?? 0,
    })

  beforeEach(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'silo-'))
    store = await open()
    bed = new SiloBed(store, 'max_attempts: 2\nreminder: sip:registrar@b.test\nsend_time: 60')
  })

  afterEach(async () => {
    const closed = bed.silo.close()
    bed.clock.advance(2_000)
    await closed
    await store.close()
    await rm(dataDir, { recursive: true })
  })

  /** Ends the run, what was sent being unanswered, and begins another. */
  async function restart(): Promise<void> {
    const closed = bed.silo.close()
    await quiet()
    bed.clock.advance(2_000)
    await closed
    await store.close()
    store = await open()
    bed.restart(store)
  }

  test('SILO-20: three are kept, the next run delivers them in order, and the one after it has none', async () => {
    for (const text of ['one', 'two', 'three']) expect(await bed.keep(text)).toEqual({ kept: true, delivered: false })
    await restart()
    expect(bed.stored).toEqual(['one', 'two', 'three'])
    bed.outcome = () => ok
    await bed.register(bob, [phone], 1)
    await until(() => expect(bed.stored).toEqual([]))
    expect(bed.sent).toEqual(['one', 'two', 'three'])
    await restart()
    await bed.register(bob, [phone], 1)
    await quiet()
    expect([bed.sent.length, bed.stored]).toEqual([3, []])
  })

  test('SILO-31: what a device had taken is not delivered again after a restart, but what it had not answered', async () => {
    for (const text of ['one', 'two', 'three']) await bed.keep(text)
    await bed.register(bob, [phone, desk], 2)
    await until(() => expect(bed.pending.length).toBe(2))
    await bed.awaited('phone').answer(ok)
    await until(() => expect(bed.awaited('phone').text).toBe('two'))
    await restart()
    bed.sent.length = 0
    bed.outcome = () => ok
    await bed.register(bob, [phone], 1)
    await until(() => expect(bed.sent).toEqual(['two', 'three']))
    expect(bed.stored).toEqual(['one', 'two', 'three'])
    await bed.register(bob, [desk], 1)
    await until(() => expect(bed.stored).toEqual([]))
    expect(bed.sent).toEqual(['two', 'three', 'one', 'two', 'three'])
  })

  test('SILO-32: dead letters outlive the run, and go when they are sent again', async () => {
    await bed.keep('one')
    bed.outcome = () => answer(404)
    await bed.register(bob, [phone], 1)
    await until(() => expect(bed.silo.depth().resting).toBe(1))
    await bed.pass(30_100)
    await until(() => expect(bed.dead).toEqual(['one']))
    await restart()
    bed.outcome = () => ok
    bed.contacts.set(bob, [phone])
    expect(await bed.silo.resend(bed.idOf('one'))).toBe('queued')
    await until(() => expect([bed.stored, bed.dead]).toEqual([[], []]))
  })

  test('SILO-29, SILO-42: reminders and expiry', async () => {
    await bed.keep('short', { forMs: 1_000 })
    await until(async () => {
      await bed.pass(150_000)
      expect(bed.stored).toEqual([])
    })
    await bed.keep('remind carol', { owner: carol, sndTime: bed.clock.now() + hour })
    await bed.keep('remind bob', { sndTime: bed.clock.now() + hour })
    const kinds: string[] = []
    bed.outcome = ({ kind }) => {
      kinds.push(kind)
      return ok
    }
    await bed.register(bob, [phone], 1)
    await bed.pass(hour - 1)
    expect(bed.stored).toEqual(['remind carol', 'remind bob'])
    await bed.pass(60_000)
    await until(() => expect(bed.stored).toEqual(['remind carol']))
    await until(() => expect(bed.counts.demoted_reminders).toBe(1))
    await bed.register(carol, [phone], 1)
    await until(() => expect(bed.stored).toEqual([]))
    expect(kinds).toEqual(['reminder', 'offline'])
  })

  test('Q-26: many owners, each with two devices: all get everything once, in order', async () => {
    const owners = Array.from({ length: 20 }, (_, index) => `sip:user${index}@b.test`)
    const texts = (owner: string) => Array.from({ length: 45 }, (_, index) => `${owner} ${index}`)
    await Promise.all(
      owners.flatMap((owner) => texts(owner).map((text) => bed.store.put(bed.newMessage(text, { owner })))),
    )
    const got = new Map<string, string[]>()
    bed.outcome = ({ target }, text) => {
      if (target.kind === 'outbound-proxy') return answer(500)
      const place = `${target.aor} ${target.contact}`
      got.set(place, [...(got.get(place) ?? []), text])
      return ok
    }
    for (const owner of owners) bed.contacts.set(owner, [phone, desk])
    for (const owner of owners) bed.silo.registered(owner, { added: 2, refreshed: 0 })
    await until(() => expect(bed.stored).toEqual([]))
    expect(got.size).toBe(2 * owners.length)
    for (const owner of owners) {
      for (const { contact } of [phone, desk]) expect(got.get(`${owner} ${contact}`)).toEqual(texts(owner))
    }
  })

  test('SILO-10: a full inbox is answered 403', async () => {
    await Promise.all(Array.from({ length: 100 }, (_, index) => bed.store.put(bed.newMessage(`${index}`))))
    expect(await bed.keep('too many')).toEqual({ kept: false, status: 403, reason: 'Mailbox Full', retryAfter: null })
    expect(bed.counts).toEqual({ refused_over_messages: 1 })
  })
})
