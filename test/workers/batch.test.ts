import { expect, test } from 'vitest'
import { Batch, NumberedBatch } from '../../src/workers/batch.ts'

const numbers = (from: number, to: number) => Array.from({ length: to - from }, (_, n) => from + n)

test('what a turn adds goes together, and of much, 32 at a time at once', async () => {
  const sent: (readonly number[])[] = []
  const batch = new Batch<number>((items) => sent.push(items))
  for (const n of numbers(0, 70)) batch.add(n)
  expect(sent).toEqual([numbers(0, 32), numbers(32, 64)])
  await Promise.resolve()
  expect(sent).toEqual([numbers(0, 32), numbers(32, 64), numbers(64, 70)])
})

test('a message is never empty', async () => {
  const sent: (readonly number[])[] = []
  const batch = new Batch<number>((items) => sent.push(items))
  for (const n of numbers(0, 32)) batch.add(n)
  await Promise.resolve()
  batch.add(32)
  await Promise.resolve()
  expect(sent).toEqual([numbers(0, 32), [32]])
})

test('numbers stay with what they number', async () => {
  const sent: { numbers: readonly number[]; values: readonly string[] }[] = []
  const batch = new NumberedBatch<string>((values) => sent.push(values))
  for (const n of numbers(0, 50)) batch.add(n, `value ${n}`)
  await Promise.resolve()
  expect(sent.map(({ numbers }) => numbers)).toEqual([numbers(0, 32), numbers(32, 50)])
  expect(sent.flatMap(({ values }) => values)).toEqual(numbers(0, 50).map((n) => `value ${n}`))
})
