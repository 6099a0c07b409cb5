import { describe, expect, test } from 'vitest'
import type { MessageId } from '../../src/ids.ts'
import { claimsMax, SiloClaims } from '../../src/store/silo-claims.ts'
import { ownerHashOf } from '../../src/store/silo-tables.ts'

const bob = ownerHashOf('sip:bob@example.org')
const ids = (...numbers: number[]) => numbers as MessageId[]

describe('claims', () => {
  test('as many as there is room for are held; then nobody gets one until a lease has ended', () => {
    const claims = new SiloClaims(1)
    for (let n = 0; n < claimsMax; n += 1) claims.take(bob, `device ${n}`, n === 7 ? 1_000 : 2_000, ids(n))
    expect(claims.isBusy(bob, 'another', 999)).toBe(true)
    expect(claims.isBusy(bob, 'another', 1_000)).toBe(false)
    expect(claims.isInFlight(ids(7)[0]!)).toBe(false)
    expect(claims.isInFlight(ids(8)[0]!)).toBe(true)
    claims.take(bob, 'another', 2_000, ids(1))
    expect(claims.isBusy(bob, 'yet another', 1_999)).toBe(true)
  })

  test('a message is in flight until nobody delivers it any more', () => {
    const claims = new SiloClaims(1)
    const [one] = ids(1)
    const desk = claims.take(bob, 'desk', 1_000, ids(1, 2))
    const phone = claims.take(bob, 'phone', 1_000, ids(1))
    claims.release(desk)
    expect(claims.isInFlight(one!)).toBe(true)
    claims.release(phone)
    expect(claims.isInFlight(one!)).toBe(false)
  })

  test('SILO-24: what is being written keeps others out, after a release or the end of the lease too', () => {
    const claims = new SiloClaims(1)
    const token = claims.take(bob, 'desk', 1_000, ids(1))
    const claim = claims.held(token)!
    claims.settling(claim)
    expect(claims.isBusy(bob, 'desk', 5_000)).toBe(true)
    claims.release(token)
    expect(claims.held(token)).toBe(null)
    expect(claims.isBusy(bob, 'desk', 5_000)).toBe(true)
    claims.settled(claim, ids(1)[0]!, true)
    expect(claims.isBusy(bob, 'desk', 0)).toBe(false)
  })

  test('tokens are marked as given out before they are, and rarely', () => {
    const claims = new SiloClaims(1)
    const end = claims.reserve(1)
    expect(end).toBeGreaterThan(1_000_000)
    for (let n = 0; n < 1_000; n += 1) {
      const token = claims.take(bob, '', 1_000, ids(n))
      expect(token).toBeLessThan(end)
      claims.release(token)
    }
    expect(claims.reserve(end)).toBe(end)
    const next = new SiloClaims(end)
    expect(next.take(bob, '', 1_000, ids(1))).toBeGreaterThanOrEqual(end)
    expect(next.reserve(end)).toBeGreaterThan(end)
  })
})
