import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { NonceCounts, Nonces } from '../../src/auth/nonce.ts'
import { FakeClock } from './fake-clock.ts'

const key = randomBytes(32)
const lifeSeconds = 300

function make(options: { realm?: string; key?: Uint8Array } = {}): { nonces: Nonces; clock: FakeClock } {
  const clock = new FakeClock()
  return { nonces: new Nonces({ realm: 'relay.test', key, lifeSeconds, clock, ...options }), clock }
}

it('a nonce that has been recognised once still grows old, and is still good for its binding only (D-13)', () => {
  let now = 1_000_000
  const nonces = new Nonces({
    realm: 'relay.test',
    key: new Uint8Array(32),
    lifeSeconds: 300,
    clock: { now: () => now },
  })
  const nonce = nonces.issue(1)
  expect(nonces.check(nonce, 1)).toBe('valid')
  expect(nonces.check(nonce, 1)).toBe('valid')
  expect(nonces.check(nonce, 2)).toBe('stale')
  expect(nonces.check(`${nonce.slice(0, -1)}${nonce.endsWith('A') ? 'B' : 'A'}`, 1)).not.toBe('valid')
  now += 300_001
  expect(nonces.check(nonce, 1)).toBe('stale')
  now -= 600_000
  expect(nonces.check(nonce, 1)).toBe('stale')
})

describe('a nonce (D-13)', () => {
  it('is good on its connection for its life, to the millisecond', () => {
    const { nonces, clock } = make()
    const nonce = nonces.issue(7)
    expect(nonces.check(nonce, 7)).toBe('valid')
    clock.advance(lifeSeconds * 1000)
    expect(nonces.check(nonce, 7)).toBe('valid')
    clock.advance(1)
    expect(nonces.check(nonce, 7)).toBe('stale')
  })

  it('is stale on another connection, whose client cannot be blamed', () => {
    const { nonces } = make()
    expect(nonces.check(nonces.issue(7), 8)).toBe('stale')
    expect(nonces.check(nonces.issue(0xffffffff), 0)).toBe('stale')
  })

  it('is stale when the clock was set back before it was issued', () => {
    const { nonces, clock } = make()
    const nonce = nonces.issue(7)
    clock.advance(-1)
    expect(nonces.check(nonce, 7)).toBe('stale')
  })

  it('is recognised by every lane that has the key, of this realm only', () => {
    const nonce = make().nonces.issue(7)
    expect(make().nonces.check(nonce, 7)).toBe('valid')
    expect(make({ realm: 'other.test' }).nonces.check(nonce, 7)).toBe('forged')
    expect(make({ key: randomBytes(32) }).nonces.check(nonce, 7)).toBe('forged')
  })

  it('is never issued twice, and needs no quoting or escaping', () => {
    const { nonces } = make()
    const issued = Array.from({ length: 1000 }, () => nonces.issue(7))
    expect(new Set(issued).size).toBe(1000)
    for (const nonce of issued) expect(nonce).toMatch(/^[A-Za-z0-9_-]{54}$/)
  })

  it('with any character changed is not valid any more', () => {
    const { nonces } = make()
    const nonce = nonces.issue(7)
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/= "ü'
    fc.assert(
      fc.property(fc.nat(nonce.length - 1), fc.constantFrom(...alphabet), (at, character) => {
        const changed = nonce.slice(0, at) + character + nonce.slice(at + 1)
        if (changed !== nonce) expect(nonces.check(changed, 7)).not.toBe('valid')
      }),
    )
  })

  it('spelled otherwise is forged, or it could be counted twice (D-5)', () => {
    const { nonces } = make()
    const nonce = nonces.issue(7)
    for (const spelling of [`${nonce}=`, `${nonce}==`, ` ${nonce}`, `${nonce}!`, `${nonce}A`, nonce.slice(1)]) {
      expect(nonces.check(spelling, 7)).toBe('forged')
    }
  })

  it('made by somebody else is forged, whatever it is', () => {
    const { nonces } = make()
    const sized = fc.uint8Array({ minLength: 40, maxLength: 40 })
    const made = fc.oneof(
      fc.string({ unit: 'binary' }),
      sized.map((octets) => Buffer.from(octets).toString('base64url')),
    )
    fc.assert(
      fc.property(made, (nonce) => {
        expect(nonces.check(nonce, 7)).toBe('forged')
      }),
    )
  })

  it('needs a key as long as its hash', () => {
    expect(() => make({ key: randomBytes(31) })).toThrow('nonce key too short')
  })
})

describe('the count of a nonce (D-5)', () => {
  it('may rise with gaps, and neither repeat nor fall', () => {
    const nonce = make().nonces.issue(7)
    const counts = new NonceCounts()
    expect(counts.use(nonce, 1)).toBe('counted')
    expect(counts.use(nonce, 1)).toBe('replayed')
    expect(counts.use(nonce, 5)).toBe('counted')
    expect(counts.use(nonce, 3)).toBe('replayed')
    expect(counts.use(nonce, 0xffffffff)).toBe('counted')
  })

  it('is kept for each nonce by itself', () => {
    const { nonces } = make()
    const counts = new NonceCounts()
    const [first, second] = [nonces.issue(7), nonces.issue(7)]
    expect(counts.use(first, 2)).toBe('counted')
    expect(counts.use(second, 1)).toBe('counted')
    expect(counts.use(first, 1)).toBe('replayed')
  })

  it('is forgotten at the bound for the nonce used first, which is stale from then on', () => {
    const { nonces, clock } = make()
    const counts = new NonceCounts(2)
    const issueLater = () => {
      clock.advance(1)
      return nonces.issue(7)
    }
    const [oldest, middle, newest] = [issueLater(), issueLater(), issueLater()]
    for (const nonce of [oldest, middle, newest]) expect(counts.use(nonce, 1)).toBe('counted')
    expect(counts.use(oldest, 2)).toBe('stale')
    expect(counts.use(oldest, 3)).toBe('stale')
    expect(counts.use(middle, 2)).toBe('counted')
    expect(counts.use(newest, 2)).toBe('counted')
  })

  it('that was forgotten makes unused nonces of its age stale, and no younger ones', () => {
    const { nonces, clock } = make()
    const counts = new NonceCounts(1)
    const [used, unused] = [nonces.issue(7), nonces.issue(8)]
    clock.advance(1)
    const [younger, youngest] = [nonces.issue(7), nonces.issue(7)]
    expect(counts.use(used, 1)).toBe('counted')
    expect(counts.use(younger, 1)).toBe('counted')
    expect(counts.use(unused, 1)).toBe('stale')
    // `younger` gives way, and with it everything of its millisecond that is not in the table.
    expect(counts.use(youngest, 1)).toBe('counted')
    expect(counts.use(younger, 2)).toBe('stale')
  })

  it('never accepts the same (nonce, nc) twice, whatever is used in whatever order', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 4 }),
        fc.array(fc.tuple(fc.nat(7), fc.integer({ min: 1, max: 4 })), { maxLength: 60 }),
        (capacity, uses) => {
          const { nonces, clock } = make()
          const issued = Array.from({ length: 8 }, (_, index) => {
            clock.advance(index % 3 === 0 ? 1 : 0)
            return nonces.issue(7)
          })
          const counts = new NonceCounts(capacity)
          const counted = new Set<string>()
          for (const [index, nc] of uses) {
            if (counts.use(issued[index]!, nc) !== 'counted') continue
            expect(counted).not.toContain(`${index} ${nc}`)
            counted.add(`${index} ${nc}`)
          }
        },
      ),
    )
  })
})
