import { expect, test } from 'vitest'
import { crash } from '../crash/run.ts'

// `npm run test:crash` does the same for much longer.
test('what was answered 202 survives SIGKILL: it is delivered, in order, a repeat marked as such (SILO-24, SILO-30, SILO-31)', async () => {
  const seed = Math.floor(Math.random() * 2 ** 32)
  const { rounds, counts, faults } = await crash({ rounds: 3, seed })
  expect(faults, `npm run test:crash -- --rounds 3 --seed ${seed}`).toEqual([])
  expect(rounds).toBe(3)
  expect(counts.accepted).toBeGreaterThan(20)
  expect(counts.delivered).toBeGreaterThan(20)
}, 60_000)
