import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { contactHeaderValues, type RegisterOptions, register } from '../../../src/sip/registrar/bindings.ts'
import type { RegisterRequest } from '../../../src/sip/registrar/register-request.ts'
import type { Binding } from '../../../src/store/location-store.ts'
import { binding, connectionFlow, noon, udpFlow } from '../../support/location-records.ts'
import { contact, flowContact, options, registerRequest } from './register-requests.ts'

/** The bindings after these REGISTERs, all at noon; each must succeed. */
function registered(...requests: RegisterRequest[]): readonly Binding[] {
  return requests.reduce<readonly Binding[]>((current, request) => applied(current, request).bindings, [])
}

function applied(current: readonly Binding[], request: RegisterRequest, now = noon, given: RegisterOptions = options) {
  const outcome = register(current, request, given, now)
  if (!outcome.ok) throw new Error(`refused: ${outcome.error.reason}`)
  return outcome.value
}

function refusalOf(current: readonly Binding[], request: RegisterRequest, given: RegisterOptions = options) {
  const outcome = register(current, request, given, noon)
  return outcome.ok ? null : { reason: outcome.error.reason, status: outcome.error.status }
}

const uris = (bindings: readonly Binding[]) => bindings.map((each) => each.contact)
const nobody: readonly Binding[] = []

describe('what a REGISTER makes of the bindings', () => {
  test('S-63: adds a contact, with all that was said of it and where it came from', () => {
    const flow = connectionFlow(7)
    const request = registerRequest(
      [contact('a', { params: ['q=0.5', 'methods="MESSAGE"'], q: 500, methods: ['MESSAGE'] })],
      {
        path: ['<sip:edge;lr>'],
        userAgent: 'phone',
        source: { flow, secure: false, received: '192.0.2.1:9' },
        cseq: 7,
      },
    )
    expect(applied(nobody, request)).toEqual({
      bindings: [
        binding('a', {
          params: ['q=0.5', 'methods="MESSAGE"'],
          q: 500,
          methods: ['MESSAGE'],
          path: ['<sip:edge;lr>'],
          userAgent: 'phone',
          flow,
          received: '192.0.2.1:9',
          cseq: 7,
          expiresAt: noon + 600_000,
        }),
      ],
      changed: true,
      changes: { added: 1, refreshed: 0, removed: 0, displaced: 0, expired: 0 },
      outbound: false,
    })
  })

  test('S-65: without a Contact only looks, at what is live', () => {
    const current = [binding('old', { expiresAt: noon }), binding('a')]
    expect(applied(current, registerRequest([]))).toMatchObject({ bindings: [binding('a')], changed: false })
  })

  describe('S-61: *', () => {
    const current = [binding('a'), binding('b', { callId: 'call-2', cseq: 99 })]

    test('with Expires 0 removes all: those of other Call-IDs, and of its own those with lower CSeq', () => {
      expect(applied(current, registerRequest('*', { expires: 0, cseq: 2 }))).toMatchObject({
        bindings: [],
        changed: true,
        changes: { removed: 2 },
      })
    })

    test.each([1, 0])('changes nothing when one of its own Call-ID has CSeq 1 and it has %i: 500', (cseq) => {
      expect(refusalOf(current, registerRequest('*', { expires: 0, cseq }))).toEqual({
        reason: 'out-of-order',
        status: 500,
      })
    })

    test.each([null, 1, 3_600])('with Expires %s: 400', (expires) => {
      expect(refusalOf(current, registerRequest('*', { expires, cseq: 2 }))).toEqual({
        reason: 'bad-wildcard',
        status: 400,
      })
    })

    test('of nothing is no change', () => {
      expect(applied([binding('old', { expiresAt: noon })], registerRequest('*', { expires: 0 }))).toMatchObject({
        bindings: [],
        changed: false,
      })
    })
  })

  describe('S-62: how long', () => {
    const granted = (expires: number | null, given = options) =>
      applied(nobody, registerRequest([contact('a', { expires })]), noon, given).bindings.map(
        ({ expiresAt }) => (expiresAt - noon) / 1_000,
      )

    test('as long as asked for, the default when not, and never longer than allowed', () => {
      expect(granted(60)).toEqual([60])
      expect(granted(null)).toEqual([3_600])
      expect(granted(7_201)).toEqual([7_200])
      expect(granted(2 ** 32 - 1)).toEqual([7_200])
      expect(granted(null, { ...options, maxExpires: 120 })).toEqual([120])
    })

    test.each([1, 59])('%i s is too brief: 423, and nothing changes, not even what was long enough', (expires) => {
      const request = registerRequest([contact('a'), contact('b', { expires })])
      expect(refusalOf(nobody, request)).toEqual({ reason: 'interval-too-brief', status: 423 })
    })

    test('an hour is never too brief, whatever the minimum', () => {
      const strict = { ...options, minExpires: 7_200 }
      expect(granted(3_600, strict)).toEqual([3_600])
      expect(refusalOf(nobody, registerRequest([contact('a', { expires: 3_599 })]), strict)).toMatchObject({
        status: 423,
      })
    })

    test('0 removes, and is not too brief', () => {
      expect(
        uris(
          applied([binding('a'), binding('b')], registerRequest([contact('a', { expires: 0 })], { cseq: 2 })).bindings,
        ),
      ).toEqual(uris([binding('b')]))
    })
  })

  describe('S-63: a known contact', () => {
    test('is known by the rules of URI equality, and takes the new spelling', () => {
      const current = [binding('a', { contact: 'sip:%61lice@Example.org;transport=tcp;x=1' })]
      const request = registerRequest([contact('', { uri: 'sip:alice@EXAMPLE.org;transport=TCP' })], { cseq: 2 })
      expect(uris(applied(current, request).bindings)).toEqual(['sip:alice@EXAMPLE.org;transport=TCP'])
      const other = registerRequest([contact('', { uri: 'sip:alice@example.org' })], { cseq: 2 })
      expect(applied(current, other).bindings).toHaveLength(2)
    })

    test('is refreshed by a higher CSeq, and by another Call-ID with any', () => {
      const current = [binding('a', { cseq: 5 })]
      const changes = { added: 0, refreshed: 1, removed: 0, displaced: 0, expired: 0 }
      expect(applied(current, registerRequest([contact('a')], { cseq: 6 })).changes).toEqual(changes)
      expect(applied(current, registerRequest([contact('a')], { cseq: 1, callId: 'call-2' })).changes).toEqual(changes)
    })

    test.each([
      ['refreshed', 600],
      ['removed', 0],
    ])('is not %s by the same CSeq or a lower one of its Call-ID: 500 for the whole request', (_how, expires) => {
      const current = [binding('a', { cseq: 5 })]
      for (const cseq of [5, 4]) {
        const request = registerRequest([contact('new'), contact('a', { expires })], { cseq })
        expect(refusalOf(current, request)).toEqual({ reason: 'out-of-order', status: 500 })
      }
    })

    test('that has expired is known no more: its CSeq binds nobody', () => {
      const current = [binding('a', { cseq: 5, expiresAt: noon })]
      expect(applied(current, registerRequest([contact('a')])).changes).toMatchObject({
        added: 1,
        refreshed: 0,
        expired: 1,
      })
    })

    test('given twice counts as given last', () => {
      const twice = registerRequest([contact('a', { q: 100 }), contact('a', { q: 200 })])
      expect(applied(nobody, twice).bindings.map(({ q }) => q)).toEqual([200])
      const undone = registerRequest([contact('a'), contact('a', { expires: 0 })])
      expect(applied(nobody, undone).bindings).toEqual([])
    })

    test('removed though unknown is no change', () => {
      expect(applied([binding('a')], registerRequest([contact('b', { expires: 0 })]))).toMatchObject({ changed: false })
    })
  })

  test('S-64: adds, refreshes and removes in one request, and lists all that is left', () => {
    const current = [binding('a'), binding('b'), binding('c')]
    const request = registerRequest([contact('a'), contact('b', { expires: 0 }), contact('d')], { cseq: 2 })
    const { bindings, changes } = applied(current, request)
    expect(uris(bindings)).toEqual(uris([binding('c'), binding('a'), binding('d')]))
    expect(changes).toEqual({ added: 1, refreshed: 1, removed: 1, displaced: 0, expired: 0 })
  })

  describe('S-69: flows', () => {
    test('are known by instance and reg-id, not by their URI', () => {
      const both = registered(
        registerRequest([flowContact('same', 1)]),
        registerRequest([flowContact('same', 2)], { cseq: 2 }),
      )
      expect(both.map(({ regId }) => regId)).toEqual([1, 2])
      const moved = applied(both, registerRequest([flowContact('elsewhere', 1)], { cseq: 3, callId: 'call-2' }))
      expect(uris(moved.bindings)).toEqual(uris([binding('same'), binding('elsewhere')]))
      expect(moved.changes).toMatchObject({ refreshed: 1, added: 0 })
    })

    test('of one user agent keep the order of CSeq, whatever their URI', () => {
      const current = registered(registerRequest([flowContact('a', 1)], { cseq: 5 }))
      const request = registerRequest([flowContact('b', 1)], { cseq: 5 })
      expect(refusalOf(current, request)).toEqual({ reason: 'out-of-order', status: 500 })
    })

    test('are replaced, all with that URI, by a contact that is no flow', () => {
      const both = registered(
        registerRequest([flowContact('same', 1)]),
        registerRequest([flowContact('same', 2)], { cseq: 2 }),
      )
      const { bindings, changes } = applied(both, registerRequest([contact('same')], { cseq: 3 }))
      expect(bindings.map(({ regId }) => regId)).toEqual([null])
      expect(changes).toMatchObject({ refreshed: 1, removed: 1 })
    })

    test('say Require: outbound when the user agent knows what that is', () => {
      const request = registerRequest([flowContact('a', 1)])
      expect(applied(nobody, { ...request, supportsOutbound: true }).outbound).toBe(true)
      expect(applied(nobody, request).outbound).toBe(false)
      const plain = registerRequest([contact('a')], { supportsOutbound: true })
      expect(applied(nobody, plain).outbound).toBe(false)
    })

    test('a reg-id without an instance counts for nothing', () => {
      const contacts = [contact('a', { regId: 1 }), contact('b', { regId: 2 })]
      const request = registerRequest(contacts, { supportsOutbound: true, firstHop: false })
      expect(applied(nobody, request)).toMatchObject({ outbound: false, changes: { added: 2 } })
    })

    test('come alone: another contact to register beside one is 400, one to remove is fine', () => {
      const two = [flowContact('a', 1), contact('b')]
      expect(refusalOf(nobody, registerRequest(two))).toEqual({ reason: 'several-flows', status: 400 })
      const changing = [flowContact('a', 1), flowContact('b', 2, { expires: 0 })]
      expect(applied(nobody, registerRequest(changing)).bindings.map(({ regId }) => regId)).toEqual([1])
    })

    test('through a proxy need ob in Path: else 439 for who asked for outbound, and reg-id counts for nothing for others', () => {
      const request = registerRequest([flowContact('a', 1)], { firstHop: false, path: ['<sip:edge;lr>'] })
      expect(refusalOf(nobody, { ...request, supportsOutbound: true })).toEqual({
        reason: 'lacks-outbound',
        status: 439,
      })
      const [ignored] = applied(nobody, request).bindings
      expect(ignored).toMatchObject({ regId: null, instance: expect.stringContaining('urn:uuid') })
      const kept = applied(nobody, { ...request, supportsOutbound: true, pathKeepsFlows: true })
      expect(kept).toMatchObject({ outbound: true, bindings: [{ regId: 1 }] })
    })
  })

  describe('with as many contacts as one AoR may have', () => {
    const full = [1, 2, 3, 4].map((n) => binding(n))

    test('refuses one more: 403, and takes refreshes and replacements', () => {
      const more = registerRequest([contact(5)], { cseq: 2 })
      expect(refusalOf(full, more)).toEqual({ reason: 'too-many-contacts', status: 403 })
      expect(applied(full, registerRequest([contact(4)], { cseq: 2 })).bindings).toHaveLength(4)
      const replaced = registerRequest([contact(5), contact(1, { expires: 0 })], { cseq: 2 })
      expect(uris(applied(full, replaced).bindings)).toEqual(uris([2, 3, 4, 5].map((n) => binding(n))))
    })

    test('has room again when one has expired', () => {
      const current = [...full.slice(1), binding(1, { expiresAt: noon })]
      expect(applied(current, registerRequest([contact(5)], { cseq: 2 })).bindings).toHaveLength(4)
    })

    test('S-71: unreachable ones make room, the oldest first', () => {
      const current = [
        binding(1),
        binding(2, { flow: connectionFlow(2), unreachable: true, registeredAt: noon - 1 }),
        binding(3, { flow: connectionFlow(3, { epoch: 'an earlier run' }), registeredAt: noon - 2 }),
        binding(4, { flow: connectionFlow(4), registeredAt: noon - 3 }),
      ]
      const one = applied(current, registerRequest([contact(5)], { cseq: 2 }))
      expect(uris(one.bindings)).toEqual(uris([1, 2, 4, 5].map((n) => binding(n))))
      expect(one.changes).toMatchObject({ added: 1, displaced: 1 })
      const three = registerRequest([contact(5), contact(6), contact(7)], { cseq: 2 })
      expect(refusalOf(current, three)).toEqual({ reason: 'too-many-contacts', status: 403 })
    })

    test('and more, from when more were allowed, may still refresh them', () => {
      const few = { ...options, maxContacts: 2 }
      expect(applied(full, registerRequest([contact(1)], { cseq: 2 }), noon, few).bindings).toHaveLength(4)
      expect(refusalOf(full, registerRequest([contact(5)], { cseq: 2 }), few)).toMatchObject({ status: 403 })
    })

    test('does not even look at a REGISTER with more than could be removed and added', () => {
      const removals = Array.from({ length: 9 }, (_, n) => contact(n, { expires: 0 }))
      expect(refusalOf(full, registerRequest(removals, { cseq: 2 }))).toMatchObject({ reason: 'too-many-contacts' })
    })
  })

  test('agrees with a naive model, whatever is registered when', () => {
    const lives = fc.constantFrom(null, 0, 30, 60, 100, 3_600, 99_999)
    const one = fc.record({ name: fc.nat(3), expires: lives, regId: fc.constantFrom(null, null, null, 1, 2) })
    const step = fc.record({
      wait: fc.constantFrom(0, 1_000, 50_000, 200_000),
      callId: fc.constantFrom('x', 'y'),
      cseq: fc.nat(6),
      contacts: fc.oneof(fc.array(one, { maxLength: 4 }), fc.constant('*' as const)),
      expires: fc.constantFrom(null, 0, 0, 600),
    })
    interface Entry {
      name: number
      regId: number | null
      callId: string
      cseq: number
      until: number
    }
    fc.assert(
      fc.property(fc.array(step, { maxLength: 25 }), (steps) => {
        let now = noon
        let current: readonly Binding[] = []
        let model: Entry[] = []
        for (const { wait, callId, cseq, contacts, expires } of steps) {
          now += wait
          const outcome = register(
            current,
            registerRequest(
              contacts === '*'
                ? '*'
                : contacts.map((c) =>
                    c.regId === null ? contact(c.name, c) : flowContact(c.name, c.regId, { expires: c.expires }),
                  ),
              { callId, cseq, expires },
            ),
            options,
            now,
          )
          const old = model.filter(({ until }) => until > now)
          let expected: Entry[] | number = old
          const late = (entry: Entry) => entry.callId === callId && entry.cseq >= cseq
          if (contacts === '*') {
            expected = expires !== 0 ? 400 : old.some(late) ? 500 : []
          } else {
            const asking = contacts.filter((c) => c.expires !== 0)
            if (asking.length > 1 && asking.some((c) => c.regId !== null)) expected = 400
            for (const c of contacts) {
              if (typeof expected === 'number') break
              const same = (e: Entry) => (c.regId === null ? e.name === c.name : e.regId === c.regId)
              const seconds = c.expires ?? 3_600
              if (seconds === 30) expected = 423
              else if (old.some((e) => same(e) && late(e))) expected = 500
              else {
                expected = expected.filter((e) => !same(e))
                const until = now + Math.min(seconds, 7_200) * 1_000
                if (seconds > 0) expected.push({ name: c.name, regId: c.regId, callId, cseq, until })
              }
            }
            if (typeof expected !== 'number' && expected.length > Math.max(4, old.length)) expected = 403
          }
          if (typeof expected === 'number') {
            expect(outcome).toMatchObject({ ok: false, error: { status: expected } })
            continue
          }
          if (!outcome.ok) throw new Error(`refused: ${outcome.error.reason}`)
          const { bindings, changed, changes } = outcome.value
          expect(
            bindings.map((b) => ({
              name: Number(b.contact[4]),
              regId: b.regId,
              callId: b.callId,
              cseq: b.cseq,
              until: b.expiresAt,
            })),
          ).toEqual(expected)
          expect(bindings.length).toBe(old.length + changes.added - changes.removed)
          if (changed) {
            current = bindings
            model = expected
          } else expect(expected).toEqual(old)
        }
      }),
      { numRuns: 300 },
    )
  })
})

describe('the Contact values of an answer', () => {
  test('S-64, S-67: have the URI as it came, the header parameters, and the seconds left', () => {
    const bindings = [
      binding('a', {
        contact: 'sip:a@192.0.2.7;transport=tcp?Route=%3Csip:x%3E',
        params: ['q=0.70', '+sip.instance="<urn:uuid:1>"', 'audio'],
      }),
      binding('b', { flow: udpFlow(), expiresAt: noon + 1 }),
    ]
    expect(contactHeaderValues(bindings, noon)).toEqual([
      '<sip:a@192.0.2.7;transport=tcp?Route=%3Csip:x%3E>;q=0.70;+sip.instance="<urn:uuid:1>";audio;expires=3600',
      '<sip:b@192.0.2.7:5062>;expires=1',
    ])
    expect(contactHeaderValues(bindings.slice(0, 1), noon + 500)[0]).toMatch(/;expires=3600$/)
    expect(contactHeaderValues(bindings.slice(0, 1), noon + 1_000)[0]).toMatch(/;expires=3599$/)
  })
})
