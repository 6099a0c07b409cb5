import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { makeBranch } from '../../../src/sip/proxy/branch.ts'
import { ClientTable } from '../../../src/sip/transactions/client-table.ts'
import type { PlacedClient } from '../../../src/sip/transactions/transaction.ts'
import { propertySeed } from '../../support/generators.ts'

function client(branch: string, method: string): PlacedClient {
  return { branch, method, next: null } as PlacedClient
}

describe('the table of client transactions (S-31)', () => {
  it('finds each by branch and method, whatever else comes and goes', () => {
    // Many that differ only where nobody looks first, so that chains are long.
    const branch = fc.oneof(
      fc.integer({ min: 0, max: 30 }).map((n) => `z9hG4bKAsame-beginning.${n}`),
      fc.integer({ min: 0, max: 5 }).map((n) => `z9hG4bK${n}`),
      fc.string({ maxLength: 12 }),
    )
    const step = fc.record({ adds: fc.boolean(), branch, method: fc.constantFrom('INVITE', 'CANCEL', 'MESSAGE') })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 300, size: 'max' }), (steps) => {
        const [table, model] = [new ClientTable(), new Map<string, PlacedClient>()]
        for (const { adds, branch, method } of steps) {
          const key = `${branch} ${method}`
          const there = model.get(key)
          if (adds && there === undefined) {
            const added = client(branch, method)
            table.add(added)
            model.set(key, added)
          } else if (!adds && there !== undefined) {
            table.delete(there)
            model.delete(key)
          }
          expect(table.size).toBe(model.size)
          expect(table.find(branch, method)).toBe(model.get(key) ?? null)
        }
        for (const there of model.values()) expect(table.find(there.branch, there.method)).toBe(there)
      }),
      { numRuns: 300, seed: propertySeed() },
    )
  })

  it('grows with what is in it, finds all of it, and begins anew when it is empty', () => {
    const table = new ClientTable()
    for (const _ of [1, 2]) {
      const clients = Array.from({ length: 5000 }, () => client(makeBranch(3, 'hash'), 'MESSAGE'))
      for (const added of clients) table.add(added)
      expect(table.size).toBe(5000)
      for (const added of clients) expect(table.find(added.branch, 'MESSAGE')).toBe(added)
      expect(table.find(clients[0]!.branch, 'INVITE')).toBe(null)
      for (const added of clients) table.delete(added)
      expect(table.size).toBe(0)
      expect(table.find(clients[0]!.branch, 'MESSAGE')).toBe(null)
    }
  })

  it('takes a branch for one transaction of a method only, and gives each up once', () => {
    const table = new ClientTable()
    const [first, second] = [client('z9hG4bKAabcd', 'INVITE'), client('z9hG4bKAabcd', 'INVITE')]
    table.add(first)
    expect(() => table.add(second)).toThrow('a branch is good for one transaction')
    table.delete(first)
    expect(() => table.delete(first)).toThrow('a transaction ends once')
  })
})
