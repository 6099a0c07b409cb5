import fc from 'fast-check'
import { expect, test } from 'vitest'
import { ParamList } from '../../../src/parser/sip/params.ts'

test('parameters are found by name, and of a repeated one the first, however many there are', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.stringMatching(/^[a-e]{1,3}$/), fc.option(fc.string()))), (given) => {
      const list = new ParamList()
      const table = new Map<string, string | null>()
      for (const [name, value] of given) {
        list.add(name, value)
        if (!table.has(name)) table.set(name, value)
      }
      expect([...list]).toEqual([...table])
      expect(list.size).toBe(table.size)
      for (const [name, value] of table) expect([list.has(name), list.get(name)]).toEqual([true, value])
      expect([list.has('f'), list.get('f')]).toEqual([false, undefined])
    }),
  )
})

test('a header of nothing but parameters does not take its square', () => {
  const list = new ParamList()
  for (let i = 0; i < 100_000; i++) list.add(`p${i}`, null)
  expect(list.size).toBe(100_000)
  expect(list.has('p99999')).toBe(true)
})
