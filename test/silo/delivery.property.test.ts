import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { MessageId } from '../../src/ids.ts'
import type { DeliveryOutcome } from '../../src/silo/order.ts'
import { decodeRecord } from '../../src/store/silo-record.ts'
import {
  answer,
  bob,
  carol,
  contact,
  hour,
  memoryBed,
  ok,
  quiet,
  type Sent,
  type SiloBed,
  timedOut,
  unreachable,
} from './support/silo-bed.ts'

const owners = [bob, carol]
const devices = ['phone', 'desk', '']

/** What may happen; indices choose among what there is. */
type Step =
  | { readonly kind: 'keep'; readonly owner: number; readonly forMs: number; readonly reminder: boolean }
  | { readonly kind: 'register'; readonly owner: number; readonly there: readonly boolean[]; readonly flow: number }
  | { readonly kind: 'answer'; readonly which: number; readonly outcome: DeliveryOutcome }
  | { readonly kind: 'pass'; readonly milliseconds: number }
  | { readonly kind: 'crash'; readonly amid: boolean }
  | { readonly kind: 'disk'; readonly broken: boolean }

const owner = fc.nat(owners.length - 1)
const outcome = fc.constantFrom(
  ok,
  ok,
  ok,
  ok,
  unreachable,
  timedOut,
  answer(480),
  answer(488),
  answer(405),
  answer(603),
)
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({
        kind: fc.constant('keep' as const),
        owner,
        forMs: fc.constantFrom(20_000, 600_000, 72 * hour),
        reminder: fc.boolean(),
      }),
    },
    {
      weight: 3,
      arbitrary: fc.record({
        kind: fc.constant('register' as const),
        owner,
        there: fc.array(fc.boolean(), { minLength: devices.length, maxLength: devices.length }),
        flow: fc.nat(2),
      }),
    },
    { weight: 6, arbitrary: fc.record({ kind: fc.constant('answer' as const), which: fc.nat(), outcome }) },
    {
      weight: 2,
      arbitrary: fc.record({
        kind: fc.constant('pass' as const),
        milliseconds: fc.constantFrom(100, 5_000, 31_000, 200_000, 1_200_000),
      }),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('crash' as const), amid: fc.boolean() }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('disk' as const), broken: fc.boolean() }) },
  ),
  { minLength: 10, maxLength: 60, size: 'max' },
)

/** Looks at everything that is sent, and at what became of it. */
class Witness {
  /** Whose texts were answered as kept, and when they expire. */
  readonly kept = new Map<string, { readonly owner: string; readonly expTime: number }>()
  /** Texts that a place has taken, which is not on disk yet, and for which device. */
  readonly #taken = new Map<string, { readonly id: MessageId; readonly device: string }>()
  /** Texts that a place has taken, as the store has it. */
  readonly #settled = new Set<string>()
  /** Texts that a place has taken or refused, whether or not that could be written. */
  readonly #answered = new Set<string>()
  /** The latest message that each place has taken or refused. */
  readonly #latest = new Map<string, number>()
  readonly #looked = new WeakSet<object>()
  readonly #bed: SiloBed

  constructor(bed: SiloBed) {
    this.#bed = bed
  }

  /** Judges what has been sent since the last look. */
  look(): void {
    const { pending, clock, config, store } = this.#bed
    for (const [taken, { id, device }] of this.#taken) {
      if (!store.hasTaken(id, device)) continue
      this.#settled.add(taken)
      this.#taken.delete(taken)
    }
    const busy = new Set<string>()
    for (const sent of pending) {
      const { order, text } = sent
      const { owner, expTime, sndTime } = decodeRecord(order.record)
      const place = placeOf(sent)
      const recipient = config.deliver === 'any' ? owner : place
      expect(busy, `S-83: ${recipient} has two messages in flight`).not.toContain(recipient)
      busy.add(recipient)
      if (this.#looked.has(sent)) continue
      this.#looked.add(sent)
      expect(expTime, `SILO-30: ${text} is delivered after it has expired`).toBeGreaterThan(clock.now())
      expect(this.#settled, `${text} is sent to ${place}, which has it`).not.toContain(`${place} ${text}`)
      // A reminder comes when it is due; a repeat, of what could not be written, when the disk is well again.
      const isRepeat = this.#answered.has(config.deliver === 'any' ? text : `${place} ${text}`)
      if (sndTime !== 0 || isRepeat) continue
      expect(order.id, `SILO-24: ${text} is late`).toBeGreaterThan(this.#latest.get(place) ?? 0)
    }
  }

  /** @param isCrashing nothing of it comes to the disk */
  async answer(which: number, outcome: DeliveryOutcome, isCrashing = false): Promise<void> {
    const { pending, config } = this.#bed
    if (pending.length === 0) return
    const sent = pending[which % pending.length]!
    const place = placeOf(sent)
    if (outcome.kind === 'answered' && outcome.status !== 480) {
      this.#answered.add(sent.text).add(`${place} ${sent.text}`)
      this.#latest.set(place, Math.max(this.#latest.get(place) ?? 0, outcome.status === 405 ? 0 : sent.order.id))
    }
    const settled = sent.answer(outcome)
    if (isCrashing) return new Promise(process.nextTick)
    await settled
    if (outcome !== ok) return
    const device = config.deliver === 'any' ? '*' : devices.find((device) => contact(device).contact === sent.to)
    this.#taken.set(`${place} ${sent.text}`, { id: sent.order.id, device: device! })
  }

  /** All of these that have not expired have come to all devices. */
  arrived(texts: readonly string[]): void {
    for (const text of texts) {
      const { owner, expTime } = this.kept.get(text)!
      if (expTime <= this.#bed.clock.now()) continue
      for (const device of devices) expect(this.#answered).toContain(`${owner} ${contact(device).contact} ${text}`)
    }
  }

  /** Whatever was kept is stored, delivered, refused or expired. */
  nothingIsLost(): void {
    const there = new Set([...this.#bed.stored, ...this.#bed.dead])
    for (const [text, { expTime }] of this.kept) {
      const isAccounted = there.has(text) || this.#answered.has(text) || expTime <= this.#bed.clock.now()
      expect(isAccounted, `${text} is lost`).toBe(true)
    }
  }
}

function placeOf({ order, to }: Sent): string {
  return `${decodeRecord(order.record).owner} ${to}`
}

async function happen(step: Step, bed: SiloBed, witness: Witness, index: number): Promise<void> {
  switch (step.kind) {
    case 'keep': {
      const text = `message ${index}`
      const owner = owners[step.owner]!
      const now = bed.clock.now()
      const { forMs, reminder } = step
      const kept = await bed.keep(text, { owner, forMs, sndTime: reminder ? now + 10_000 : 0 })
      if (kept.kept) witness.kept.set(text, { owner, expTime: now + forMs })
      return
    }
    case 'register': {
      const there = devices.filter((_, device) => step.there[device])
      const contacts = there.map((device) => contact(device, { flow: `${step.flow}` }))
      return bed.register(owners[step.owner]!, contacts)
    }
    case 'answer':
      return witness.answer(step.which, step.outcome)
    case 'pass':
      return bed.pass(step.milliseconds)
    case 'crash':
      if (step.amid) await witness.answer(0, ok, true)
      bed.restart(bed.store.crash())
      return quiet()
    case 'disk':
      bed.store.broken = step.broken
      bed.store.putFailure = step.broken ? 'unavailable' : null
  }
}

test.each(['each', 'any'])(
  'whatever happens (deliver: %s), nothing is lost, doubled, late or out of order, and in the end all is delivered',
  async (deliver) => {
    await fc.assert(
      fc.asyncProperty(steps, async (story) => {
        const bed = memoryBed(`deliver: ${deliver}\nreminder: sip:registrar@b.test\nsend_time: 30\ndeliveries_max: 3`)
        const witness = new Witness(bed)
        for (const [index, step] of story.entries()) {
          await happen(step, bed, witness, index)
          witness.look()
          witness.nothingIsLost()
        }
        // In the end everybody is there and takes everything: whatever has not expired arrives.
        bed.store.broken = false
        bed.store.putFailure = null
        const waiting = bed.stored
        for (let round = 0; round < 3; round++) {
          for (const owner of owners)
            await bed.register(
              owner,
              devices.map((device) => contact(device, { flow: 'last' })),
              3,
            )
          while (bed.pending.length > 0) {
            await witness.answer(0, ok)
            witness.look()
          }
          await bed.pass(61_000)
          witness.nothingIsLost()
        }
        if (deliver === 'each') witness.arrived(waiting)
        expect(bed.store.list({ owner: null, dead: false, after: null, limit: 1_000 })).toEqual([])
        expect(bed.silo.depth()).toEqual({ sending: 0, waiting: 0, resting: 0 })
        await bed.silo.close()
      }),
      { numRuns: 100 },
    )
  },
)
