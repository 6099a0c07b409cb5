import fc from 'fast-check'
import { expect } from 'vitest'
import type { MessageId } from '../../src/ids.ts'
import { type Claim, deviceDayMs, type Settlement, type SiloQuota, type SiloStore } from '../../src/store/silo-store.ts'
import { asNew, bob, noon, siloMessage } from '../support/silo-messages.ts'
import { type ModelMessage, SiloModel } from '../support/silo-model.ts'

export interface OpenedSilo {
  readonly store: SiloStore
  /** Ends the run and begins another. */
  reopen(): Promise<SiloStore>
  /** Closes the store and leaves nothing behind. */
  dispose(): Promise<void>
}

/** Opens an empty store, whose quotas count by `now`. */
export type OpenSilo = (options: { quota: SiloQuota; deadMax: number; now: () => number }) => Promise<OpenedSilo>

/** Whatever is done to it, in whatever order, in one run or several: the store does what the model does. */
export function siloAgreesWithModel(open: OpenSilo): Promise<void> {
  const steps = fc.array(step, { minLength: 5, maxLength: 30 })
  return fc.assert(fc.asyncProperty(steps, fc.integer({ min: 0, max: 3 }), agrees(open)), { numRuns: 60 })
}

const carol = 'sip:carol@example.org'
const unlimited: SiloQuota = { messages: 0, octets: 0, perSender: 0 }
const dead: Settlement = { kind: 'dead', reason: 'tried 3 times' }
const owner = fc.constantFrom(bob, carol)
const device = fc.constantFrom('desk', 'phone')
const picks = fc.array(fc.nat(11), { maxLength: 3 })
const settlement: fc.Arbitrary<Settlement> = fc.oneof(
  fc.record({
    kind: fc.constantFrom('delivered' as const, 'refused' as const),
    devices: fc.constantFrom(['desk'], ['desk', 'phone'], ['desk', 'phone', 'tablet']),
    reason: fc.constant('refused'),
  }),
  fc.record({ kind: fc.constant('later' as const), attempted: fc.boolean() }),
  fc.constant(dead),
)
const message = fc.record({ owner, life: fc.integer({ min: 1, max: 40 }), wait: fc.nat(20), octets: fc.nat(9) })
/** `picks` and `pick` choose among ids, or claims, that were ever given out. */
const step = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant('put' as const), messages: fc.array(message, { maxLength: 4 }) }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant('claim' as const), owner, device, max: fc.integer({ min: 1, max: 3 }) }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('settle' as const),
      pick: fc.nat(3),
      settlements: fc.array(settlement, { maxLength: 3 }),
    }),
  },
  fc.record({ kind: fc.constant('release' as const), pick: fc.nat(3) }),
  fc.record({ kind: fc.constant('extend' as const), pick: fc.nat(3) }),
  fc.record({ kind: fc.constant('wait' as const), by: fc.integer({ min: 1, max: 15 }) }),
  fc.record({ kind: fc.constant('sweep' as const), max: fc.integer({ min: 1, max: 5 }) }),
  fc.record({ kind: fc.constant('admin' as const), removed: picks, revived: picks, demoted: picks }),
  fc.record({ kind: fc.constant('seen' as const), owner, device, later: fc.integer({ min: 0, max: 2 * deviceDayMs }) }),
  fc.record({ kind: fc.constant('reopen' as const) }),
)
type Step = typeof step extends fc.Arbitrary<infer Value> ? Value : never

const leaseMs = 12

/** Does the same to the store and to the model, and compares them after every step. */
function agrees(open: OpenSilo) {
  return async (steps: readonly Step[], deadMax: number): Promise<void> => {
    let now = noon
    let day = noon
    const opened = await open({ quota: unlimited, deadMax, now: () => now })
    let { store } = opened
    try {
      const model = new SiloModel(deadMax)
      const ids: MessageId[] = []
      let claims: { readonly claim: Claim; until: number }[] = []
      const holderOf = (owner: string, device: string) =>
        claims.find(({ claim, until }) => claim.owner === owner && claim.device === device && until > now)

      const perform = async (step: Step): Promise<void> => {
        switch (step.kind) {
          case 'put': {
            const messages = step.messages.map(({ owner, life, wait, octets }) =>
              siloMessage('x'.repeat(octets), { owner, expTime: now + life, sndTime: wait > 10 ? now + wait - 10 : 0 }),
            )
            const stored = await Promise.all(messages.map((message) => store.put(asNew(message))))
            stored.forEach((outcome, n) => {
              if (!outcome.ok) throw new Error(outcome.error)
              expect(outcome.value).toBeGreaterThan(ids.at(-1) ?? 0)
              ids.push(outcome.value)
              model.put(outcome.value, messages[n]!)
            })
            return
          }
          case 'claim': {
            const { owner, device, max } = step
            const claim = await store.claim(owner, device, { now, leaseMs, max })
            if (holderOf(owner, device) !== undefined) return expect(claim).toBe('busy')
            const found = model.claimable(owner, device, now).slice(0, max)
            if (found.length === 0) return expect(claim).toBe(null)
            if (claim === null || claim === 'busy') throw new Error(`${claim} instead of ${found.length} messages`)
            expect(claim.messages.map(({ id, sndTime, attempts }) => ({ id, sndTime, attempts }))).toEqual(
              found.map(({ id, sndTime, attempts }) => ({ id, sndTime, attempts })),
            )
            claims = claims.filter((held) => held.claim.owner !== owner || held.claim.device !== device)
            claims.push({ claim, until: now + leaseMs })
            return
          }
          case 'settle': {
            const held = claims[step.pick % claims.length]
            if (held === undefined) return
            const { token, device, messages } = held.claim
            const outcomes = await Promise.all(
              step.settlements.map((settlement, n) =>
                store.settle(token, messages[n % messages.length]!.id, settlement),
              ),
            )
            const expected = step.settlements.map((settlement, n) =>
              model.settle(messages[n % messages.length]!.id, device, settlement),
            )
            return expect(outcomes).toEqual(expected.map((value) => ({ ok: true, value })))
          }
          case 'release': {
            const held = claims[step.pick % claims.length]
            if (held === undefined) return
            store.release(held.claim.token)
            claims = claims.filter((other) => other !== held)
            return
          }
          case 'extend': {
            const held = claims[step.pick % claims.length]
            if (held === undefined) return
            expect(store.extend(held.claim.token, now, leaseMs)).toBe(held.until > now)
            if (held.until > now) held.until = now + leaseMs
            else claims = claims.filter((other) => other !== held)
            return
          }
          case 'wait':
            now += step.by
            return
          case 'sweep': {
            const swept = await store.sweep(now, step.max)
            return expect(swept.ok && swept.value.map(({ id }) => id)).toEqual(model.sweep(now, step.max))
          }
          case 'admin': {
            const [removed, revived, demoted] = [step.removed, step.revived, step.demoted].map((picks) =>
              picks.flatMap((pick) => ids.at(-1 - pick) ?? []),
            ) as [MessageId[], MessageId[], MessageId[]]
            const outcomes = [store.remove(removed), store.revive(revived), store.demote(demoted)]
            expect(await Promise.all(outcomes)).toEqual([
              { ok: true, value: model.remove(removed) },
              { ok: true, value: model.revive(revived) },
              { ok: true, value: model.demote(demoted) },
            ])
            return
          }
          case 'seen':
            day += step.later
            await store.seen(step.owner, step.device, day)
            return model.seen(step.owner, step.device, day)
          case 'reopen':
            store = await opened.reopen()
            claims = []
        }
      }

      const compare = () => {
        const show = ({ id, message, sndTime, attempts, reason }: ModelMessage) => ({
          id,
          message: { ...message, sndTime },
          attempts,
          reason,
        })
        for (const [isDead, expected] of [[false, model.waiting] as const, [true, model.dead] as const]) {
          const listed = store.list({ owner: null, dead: isDead, after: null, limit: 1_000 })
          expect(listed).toMatchObject(expected.map(show))
          expect(listed).toHaveLength(expected.length)
        }
        expect(store.counts()).toEqual({
          messages: model.waiting.length,
          octets: model.waiting.reduce((sum, { message }) => sum + message.body.length, 0),
          dead: model.dead.length,
        })
        const due = store.due(now, 1_000)
        expect(new Set(due)).toEqual(new Set(model.due(now).map(({ id, message }) => ({ id, owner: message.owner }))))
        for (const owner of [bob, carol]) {
          expect(store.hasMessages(owner, now)).toBe(model.deliverable(owner, now).length > 0)
          expect(store.devices(owner, day)).toEqual(model.devices(owner, day))
        }
      }

      for (const step of steps) {
        await perform(step)
        compare()
      }
      await store.sweep(Number.MAX_SAFE_INTEGER, 1_000)
      expect(store.counts()).toEqual({ messages: 0, octets: 0, dead: 0 })
    } finally {
      await opened.dispose()
    }
  }
}
