import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { TransientMap } from '../src/transient-map.ts'
import { propertySeed } from './support/generators.ts'

const contents = <Key extends string | number>(map: TransientMap<Key, number>) => map.values().sort((a, b) => a - b)

describe('a map for what comes and goes', () => {
  it('does what a Map does, for any keys in any order', () => {
    // Few different keys, so that they are met again, and lie in one another's way.
    const key = fc.oneof(
      fc.integer({ min: 0, max: 60 }).map((n) => `z9hG4bK${n}`),
      fc.string({ maxLength: 2 }),
    )
    const step = fc.record({
      does: fc.constantFrom('set', 'set', 'add', 'replace', 'delete', 'remove', 'get', 'clear'),
      key,
      value: fc.nat(),
    })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 400, size: 'max' }), (steps) => {
        const [map, model] = [new TransientMap<string, number>(), new Map<string, number>()]
        /** Of those that were added. */
        const places = new Map<string, number>()
        for (const { does, key, value } of steps) {
          if (does === 'set') {
            map.set(key, value)
            model.set(key, value)
          } else if (does === 'add' && !model.has(key)) {
            places.set(key, map.add(key, value))
            model.set(key, value)
          } else if (does === 'replace' && places.has(key)) {
            map.replace(places.get(key)!, value)
            model.set(key, value)
          } else if (does === 'remove' && places.has(key)) {
            map.remove(key, places.get(key)!)
            expect(map.at(places.get(key)!)).toBe(undefined)
            model.delete(key)
          } else if (does === 'delete') expect(map.delete(key)).toBe(model.delete(key))
          // Seldom: else nothing would ever be in it.
          else if (does === 'clear' && value % 16 === 0) {
            map.clear()
            model.clear()
          }
          for (const added of places.keys()) if (!model.has(added)) places.delete(added)
          for (const [added, place] of places) expect(map.at(place)).toBe(model.get(added))
          expect([map.get(key), map.has(key), map.size]).toEqual([model.get(key), model.has(key), model.size])
        }
        expect(contents(map)).toEqual([...model.values()].sort((a, b) => a - b))
        for (const [key, value] of model) expect(map.get(key)).toBe(value)
      }),
      { numRuns: 300, seed: propertySeed() },
    )
  })

  it('goes through what is there in the order in which it came', () => {
    const map = new TransientMap<string, number>()
    for (const [value, key] of ['a', 'b', 'c', 'd'].entries()) map.set(key, value)
    map.delete('b')
    map.set('e', 4)
    map.set('a', 5)
    expect(map.values()).toEqual([5, 2, 3, 4])
  })

  it('keeps what is undefined or 0', () => {
    const map = new TransientMap<number, number | undefined>()
    map.set(0, undefined)
    map.set(-1, 0)
    expect([map.has(0), map.has(-1), map.has(1), map.size]).toEqual([true, true, false, 2])
  })
})
