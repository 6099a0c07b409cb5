import { expect, it } from 'vitest'
import { LruMap } from '../src/lru.ts'

it('forgets at its bound what was used longest ago, whether read or written', () => {
  const map = new LruMap<number>(3)
  for (const [index, key] of ['a', 'b', 'c'].entries()) map.set(key, index)
  expect(map.get('a')).toBe(0)
  map.set('b', 11)
  map.set('d', 3)
  expect(['a', 'b', 'c', 'd'].map((key) => map.get(key))).toEqual([0, 11, undefined, 3])
  expect(map.size).toBe(3)
})

it('keeps its size when a value is replaced or deleted', () => {
  const map = new LruMap<number>(2)
  map.set('a', 1)
  map.set('b', 2)
  map.set('b', 3)
  expect(map.get('a')).toBe(1)
  map.delete('a')
  map.delete('a')
  expect(map.size).toBe(1)
  expect(map.get('a')).toBeUndefined()
})
