import fc from 'fast-check'
import { expect, test } from 'vitest'
import { ANSWERED, DELIVERED, Window } from '../../bench/load/window.ts'

test('a SEND leaves the window when it is answered and delivered, in either order', () => {
  const window = new Window(3)
  for (let i = 0; i < 3; i++) window.open(i)
  expect(window.hasRoom).toBe(false)
  expect(window.settle(0, ANSWERED)).toBe(true)
  expect(window.hasRoom).toBe(false)
  expect(window.settle(0, DELIVERED)).toBe(true)
  expect(window.hasRoom).toBe(true)
  window.settle(1, DELIVERED)
  window.settle(1, ANSWERED)
  expect([window.missing(ANSWERED), window.missing(DELIVERED)]).toEqual([1, 1])
})

test('what was never sent, or is settled already, does not settle', () => {
  const window = new Window(2)
  window.open(0)
  expect(window.settle(1, DELIVERED)).toBe(false)
  window.settle(0, DELIVERED)
  expect(window.settle(0, DELIVERED)).toBe(false)
  window.settle(0, ANSWERED)
  expect(window.settle(0, ANSWERED)).toBe(false)
})

test('every SEND settles once each way, whatever the order, and keeps its time until then', () => {
  const order = fc.integer({ min: 1, max: 70 }).chain((size) =>
    fc.tuple(
      fc.constant(size),
      fc.shuffledSubarray(
        Array.from({ length: 2 * size }, (_, i) => i),
        { minLength: 2 * size },
      ),
    ),
  )
  fc.assert(
    fc.property(order, ([size, halves]) => {
      const window = new Window(size)
      for (let round = 0; round < 2; round++) {
        const first = window.next
        for (; window.hasRoom; ) window.open(window.next + 0.5)
        expect(window.next - first).toBe(size)
        for (const half of halves) {
          const sequence = first + (half >> 1)
          expect(window.settle(sequence, half % 2 === 0 ? ANSWERED : DELIVERED)).toBe(true)
          expect(window.sentAt(sequence)).toBe(sequence + 0.5)
        }
        expect(window.missing(ANSWERED) + window.missing(DELIVERED)).toBe(0)
      }
    }),
  )
})
