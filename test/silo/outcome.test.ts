import { describe, expect, test } from 'vitest'
import { judge, settlementOf, together } from '../../src/silo/outcome.ts'

const answered = (status: number, reason = 'No') => judge({ kind: 'answered', status, reason })
const devices = ['a', 'b']
const settle = (status: number, attempts = 0) => settlementOf(answered(status), { attempts, attemptsMax: 3 }, devices)

describe('what an outcome means', () => {
  test.each([200, 202, 299])('SILO-28: %i: the device has the message', (status) => {
    expect(settle(status)).toEqual({ kind: 'delivered', devices })
  })

  test.each([408, 430, 480, 486, 503, 504])('%i: the device is away, which never counts', (status) => {
    expect(settle(status)).toEqual({ kind: 'later', attempted: false })
    expect(settle(status, 1000)).toEqual({ kind: 'later', attempted: false })
  })

  test('neither does no way to it, or no answer', () => {
    expect(judge({ kind: 'unreachable' })).toEqual({ kind: 'away' })
    expect(judge({ kind: 'timed-out' })).toEqual({ kind: 'away' })
  })

  test.each([400, 403, 406, 413, 415, 416, 420, 421, 488, 493, 505, 513, 600, 603, 604, 606])(
    'SILO-32, S-81: %i: the message is refused for good',
    (status) => {
      expect(settle(status)).toEqual({ kind: 'refused', devices, reason: `${status} No` })
    },
  )

  test.each([300, 302, 401, 402, 404, 405, 407, 410, 481, 482, 483, 500, 501, 502])(
    'SILO-32: %i: tried again, but not for ever',
    (status) => {
      expect(settle(status)).toEqual({ kind: 'later', attempted: true })
      expect(settle(status, 1)).toEqual({ kind: 'later', attempted: true })
      expect(settle(status, 2)).toEqual({ kind: 'refused', devices, reason: `${status} No` })
    },
  )

  test('a long reason is cut', () => {
    const judgement = answered(488, 'x'.repeat(10_000))
    expect(judgement).toEqual({ kind: 'refused', reason: `488 ${'x'.repeat(100)}`, everywhere: false })
  })

  test('any of several devices: the most hopeful outcome counts, but 6xx is for all (S-46)', () => {
    const away = answered(480)
    const failed = answered(405)
    const refused = answered(488)
    const declined = answered(603)
    expect(together(null, refused)).toBe(refused)
    expect(together(refused, failed)).toBe(failed)
    expect(together(failed, refused)).toBe(failed)
    expect(together(failed, away)).toBe(away)
    expect(together(away, answered(200))).toEqual({ kind: 'delivered' })
    expect(together(away, declined)).toBe(declined)
  })
})
