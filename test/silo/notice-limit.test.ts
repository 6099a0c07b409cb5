import { expect, test } from 'vitest'
import { NoticeLimit } from '../../src/silo/notice-limit.ts'
import { FakeTicker } from '../support/fake-ticker.ts'

test('SILO-13: one notice a minute for each sender and owner, whenever the minute begins', () => {
  const clock = new FakeTicker()
  const limit = new NoticeLimit(clock)
  clock.advance(59_000)
  expect(limit.allows('alice|bob')).toBe(true)
  expect(limit.allows('alice|bob')).toBe(false)
  expect(limit.allows('alice|carol')).toBe(true)
  clock.advance(59_999)
  expect(limit.allows('alice|bob')).toBe(false)
  clock.advance(1)
  expect(limit.allows('alice|bob')).toBe(true)
  clock.advance(30_000)
  expect(limit.allows('alice|bob')).toBe(false)
  clock.advance(30_000)
  expect(limit.allows('alice|bob')).toBe(true)
})

test('SILO-13: beyond its bound nobody is told until some are forgotten', () => {
  const clock = new FakeTicker()
  const limit = new NoticeLimit(clock, 2)
  expect([1, 2, 3, 4].map((pair) => limit.allows(`${pair}`))).toEqual([true, true, false, false])
  clock.advance(60_000)
  expect(['3', '4', '5'].map((pair) => limit.allows(pair))).toEqual([true, true, false])
})
