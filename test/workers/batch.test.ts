import { expect, test } from 'vitest'
import { Asking } from '../../src/workers/asking.ts'
import { Batch } from '../../src/workers/batch.ts'

const numbers = (from: number, to: number) => Array.from({ length: to - from }, (_, n) => from + n)

test('what a turn adds goes in one message', async () => {
  const sent: (readonly number[])[] = []
  const batch = new Batch<number>((items) => sent.push(items))
  for (const n of numbers(0, 70)) batch.add(n)
  expect(sent).toEqual([])
  await Promise.resolve()
  batch.add(70)
  await Promise.resolve()
  expect(sent).toEqual([numbers(0, 70), [70]])
})

test('of up to so many, at once, and none of them empty', async () => {
  const sent: (readonly number[])[] = []
  const batch = new Batch<number>((items) => sent.push(items), 10)
  for (const n of numbers(0, 20)) batch.add(n)
  expect(sent).toEqual([numbers(0, 10), numbers(10, 20)])
  await Promise.resolve()
  for (const n of numbers(20, 33)) batch.add(n)
  await Promise.resolve()
  expect(sent.slice(2)).toEqual([numbers(20, 30), numbers(30, 33)])
})

test('a lane asks before it has worked off a turn, and each question gets its answer', async () => {
  const asked: { numbers: readonly number[]; values: readonly string[] }[] = []
  const asking = new Asking<string, string>((questions) => asked.push(questions))
  const answers = numbers(0, 50).map((n) => asking.ask(`question ${n}`))
  expect(asked.map(({ values }) => values.length)).toEqual([32])
  await Promise.resolve()
  expect(asked.map(({ values }) => values.length)).toEqual([32, 18])
  for (const { numbers, values } of asked.toReversed()) {
    asking.answered({ numbers, values: values.map((question) => `answer to ${question}`) })
  }
  expect(await Promise.all(answers)).toEqual(numbers(0, 50).map((n) => `answer to question ${n}`))
})
