import fc from 'fast-check'
import { expect, it } from 'vitest'
import { LruMap } from '../src/lru.ts'
import { propertySeed } from './support/generators.ts'

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

it('does what a Map does that is put in order at each use', () => {
  const key = fc.constantFrom(...'abcdefgh')
  const step = fc.record({ does: fc.constantFrom('set', 'get', 'get', 'delete', 'clear'), key, value: fc.nat() })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200, size: 'max' }), fc.integer({ min: 1, max: 6 }), (steps, capacity) => {
      const [map, model] = [new LruMap<number>(capacity), new Map<string, number>()]
      for (const { does, key, value } of steps) {
        const before = model.get(key)
        if (does === 'get') {
          expect(map.get(key)).toBe(before)
          if (before !== undefined && model.delete(key)) model.set(key, before)
        } else if (does === 'set') {
          map.set(key, value)
          model.delete(key)
          if (model.size === capacity) model.delete([...model.keys()][0]!)
          model.set(key, value)
        } else if (does === 'delete') {
          map.delete(key)
          model.delete(key)
        } else if (value % 8 === 0) {
          map.clear()
          model.clear()
        }
        expect(map.size).toBe(model.size)
      }
      for (const [key, value] of [...model]) expect(map.get(key)).toBe(value)
    }),
    { seed: propertySeed() },
  )
})
