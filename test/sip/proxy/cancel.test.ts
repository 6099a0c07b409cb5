import { describe, expect, it } from 'vitest'
import { flowTo, located, ProxyBed } from '../../support/sip-proxy-bed.ts'
import { request } from '../transactions/support.ts'

function duo(settings = {}) {
  const bed = new ProxyBed({ settings })
  const [a, b] = [bed.device('a'), bed.device('b')] as const
  return { bed, a, b, invite: request('INVITE') }
}

describe('CANCEL', () => {
  it('is answered 200 and goes to the branches that ring, on the same way with the same Via (S-50)', () => {
    const { bed, a, b, invite } = duo()
    bed.forward(invite, [[flowTo(a)], [flowTo(b)]])
    a.answer(180)
    bed.cancel(invite)
    expect(bed.answers('CANCEL')).toEqual([200])
    expect(a.last('CANCEL').topVia?.text).toBe(a.last('INVITE').topVia?.text)
    expect(a.last('CANCEL').vias).toHaveLength(1)
    a.answer(200, [], 'CANCEL')
    a.answer(487)
    expect(bed.answers('INVITE')).toEqual([180, 487])
    expect(b.heard).toEqual([])
    expect(bed.core.counters.cancels).toBe(1)
    bed.clock.advance(70_000)
    expect(bed.empty).toBe(true)
  })

  it('waits for the first provisional response (S-50)', () => {
    const { bed, a, invite } = duo()
    bed.forward(invite, [[flowTo(a)]])
    bed.cancel(invite)
    expect(bed.answers('CANCEL')).toEqual([200])
    expect(a.heard).toEqual(['INVITE'])
    a.answer(100)
    expect(a.heard).toEqual(['INVITE', 'CANCEL'])
    a.answer(180)
    expect(a.heard).toEqual(['INVITE', 'CANCEL'])
  })

  it('is not sent when the final response comes first (S-50)', () => {
    const { bed, a, invite } = duo()
    bed.forward(invite, [[flowTo(a)]])
    bed.cancel(invite)
    a.answer(486)
    expect(a.heard).toEqual(['INVITE', 'ACK'])
    expect(bed.answers('INVITE')).toEqual([486])
  })

  it('ends the search: a branch that fails in any other way is over as well (S-50)', () => {
    const { bed, a, b, invite } = duo()
    bed.forward(invite, [[flowTo(a, { fallbacks: [flowTo(b)] })]])
    a.answer(180)
    bed.cancel(invite)
    a.answer(503)
    expect(b.heard).toEqual([])
    expect(bed.answers('INVITE')).toEqual([180, 487])
  })

  it('may come too late: the 2xx is forwarded (S-46, S-50)', () => {
    const { bed, a, invite } = duo()
    bed.forward(invite, [[flowTo(a)]])
    a.answer(180)
    bed.cancel(invite)
    a.answer(200)
    expect(bed.answers('INVITE')).toEqual([180, 200])
  })

  it('ends an INVITE that nobody answers: 487 when Timer B runs out (S-50)', () => {
    const { bed, a, b, invite } = duo()
    bed.forward(invite, [[flowTo(a, { fallbacks: [flowTo(b)] })]])
    bed.cancel(invite)
    bed.clock.advance(33_000)
    expect(bed.answers('INVITE')).toEqual([487])
    expect(b.heard).toEqual([]) // no further attempt
    bed.clock.advance(70_000)
    expect(bed.empty).toBe(true)
  })

  it('ends an INVITE whose callee answers the CANCEL only, after 64*T1 (S-50)', () => {
    const { bed, a, invite } = duo()
    bed.forward(invite, [[flowTo(a)]])
    a.answer(180)
    bed.cancel(invite)
    a.answer(200, [], 'CANCEL')
    bed.clock.advance(31_000)
    a.answer(183)
    expect(bed.answers('INVITE')).toEqual([180, 183])
    bed.clock.advance(2_000)
    expect(bed.answers('INVITE')).toEqual([180, 183, 487])
    bed.clock.advance(70_000)
    expect(bed.empty).toBe(true)
  })

  it('ends an INVITE whose next hop is still being looked for (S-50)', async () => {
    const { bed, a, invite } = duo()
    let resolve: (channel: typeof a) => void = () => {}
    bed.host('slow.test', [{ device: null, transport: 'udp' }])
    bed.channels.set('udp 192.0.2.1', new Promise((settle) => (resolve = settle)))
    bed.forward(invite, [[located('sip:bob@slow.test')]])
    bed.cancel(invite)
    expect(bed.answers('INVITE')).toEqual([487])
    resolve(a)
    await new Promise(setImmediate)
    expect(a.heard).toEqual([])
  })

  it('of nothing is answered 481 (S-50)', () => {
    const { bed, a, invite } = duo()
    bed.cancel(invite)
    expect(bed.answers('CANCEL')).toEqual([481])
    expect(a.heard).toEqual([])
  })

  it('leaves an INVITE alone that has its answer (S-50)', () => {
    const { bed, a, invite } = duo()
    bed.forward(invite, [[flowTo(a)]])
    a.answer(200)
    bed.cancel(invite)
    expect(bed.answers('CANCEL')).toEqual([200])
    expect(a.heard).toEqual(['INVITE'])
  })

  it('asks no failure route: the caller has hung up (S-50)', () => {
    const { bed, a, invite } = duo()
    let asked = 0
    const onFailure = () => {
      asked++
      return 'handled' as const
    }
    bed.forward(invite, [[flowTo(a)]], { onFailure })
    a.answer(180)
    bed.cancel(invite)
    a.answer(487)
    expect(bed.answers('INVITE')).toEqual([180, 487])
    expect(asked).toBe(0)
  })
})

describe('an INVITE whose server transaction is ended', () => {
  it('is cancelled downstream (S-50)', () => {
    const { bed, a, invite } = duo()
    const server = bed.forward(invite, [[flowTo(a)]])
    a.answer(180)
    server.terminate()
    expect(a.heard).toEqual(['INVITE', 'CANCEL'])
    a.answer(487)
    bed.clock.advance(70_000)
    expect(bed.answers('INVITE')).toEqual([180])
    expect(bed.empty).toBe(true)
  })
})

describe('Timer C', () => {
  const timerCMs = 185_000

  it('cancels what rings too long, and then acts as for 408 (S-48)', () => {
    const { bed, a, invite } = duo()
    bed.forward(invite, [[flowTo(a)]])
    a.answer(180)
    bed.clock.advance(timerCMs - 1_000)
    expect(a.heard).toEqual(['INVITE'])
    bed.clock.advance(1_100)
    expect(a.heard).toEqual(['INVITE', 'CANCEL'])
    expect(bed.core.counters.timerC).toBe(1)
    a.answer(200, [], 'CANCEL')
    bed.clock.advance(33_000)
    expect(bed.answers('INVITE')).toEqual([180, 408])
    bed.clock.advance(70_000)
    expect(bed.empty).toBe(true)
  })

  it('ends the search for another way as well (S-48)', () => {
    const { bed, a, b, invite } = duo()
    bed.forward(invite, [[flowTo(a, { fallbacks: [flowTo(b)] })]])
    a.answer(180)
    bed.clock.advance(timerCMs + 100)
    a.answer(503)
    expect(b.heard).toEqual([])
    expect(bed.answers('INVITE')).toEqual([180, 500])
  })

  it('begins anew with every 101-199, not with a 100 (S-48)', () => {
    const { bed, a, invite } = duo()
    bed.forward(invite, [[flowTo(a)]])
    a.answer(180)
    bed.clock.advance(timerCMs - 1_000)
    a.answer(183)
    bed.clock.advance(timerCMs - 1_000)
    a.answer(100)
    expect(a.heard).toEqual(['INVITE'])
    bed.clock.advance(1_100)
    expect(a.heard).toEqual(['INVITE', 'CANCEL'])
  })

  it('without any provisional response acts as for 408 at once (S-48)', () => {
    const { bed, a, invite } = duo({ timerCMs: 20_000 })
    bed.forward(invite, [[flowTo(a)]])
    bed.clock.advance(20_100)
    expect(a.heard).not.toContain('CANCEL')
    expect(bed.answers('INVITE')).toEqual([408])
    bed.clock.advance(70_000)
    expect(bed.empty).toBe(true)
  })
})
