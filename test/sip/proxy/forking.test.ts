import { setImmediate as turn } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import type { SipResponse } from '../../../src/parser/sip/message.ts'
import type { Outcome } from '../../../src/sip/proxy/proxy.ts'
import { type Device, flowTo, located, ProxyBed } from '../../support/sip-proxy-bed.ts'
import { request } from '../transactions/support.ts'

/** A bed with three devices. */
function trio() {
  const bed = new ProxyBed()
  const [a, b, c] = [bed.device('a'), bed.device('b'), bed.device('c')] as const
  return { bed, a, b, c }
}

function lastAnswer(bed: ProxyBed): SipResponse {
  const answer = bed.client.got.findLast((message) => message.kind === 'response')
  if (answer?.kind !== 'response') throw new Error('no answer')
  return answer
}

describe('targets', () => {
  it('of equal q are tried at once (S-51)', () => {
    const { bed, a, b } = trio()
    bed.forward(request('MESSAGE'), [[flowTo(a), flowTo(b)]])
    expect([a.heard, b.heard]).toEqual([['MESSAGE'], ['MESSAGE']])
  })

  it('of lower q are tried when all of higher q have failed (S-51)', () => {
    const { bed, a, b, c } = trio()
    bed.forward(request('INVITE'), [[flowTo(a), flowTo(b)], [flowTo(c)]])
    a.answer(486)
    expect(c.heard).toEqual([])
    b.answer(480)
    expect(c.heard).toEqual(['INVITE'])
    expect(bed.answers('INVITE')).toEqual([])
    c.answer(404)
    expect(bed.answers('INVITE')).toEqual([486])
  })

  it('of lower q are not tried after a 2xx or a 6xx (S-46, S-51)', () => {
    for (const status of [200, 603]) {
      const { bed, a, b } = trio()
      bed.forward(request('INVITE'), [[flowTo(a)], [flowTo(b)]])
      a.answer(status)
      expect(b.heard).toEqual([])
      expect(bed.answers('INVITE')).toEqual([status])
    }
  })

  it('over the bound are left out: those of lowest q', () => {
    const bed = new ProxyBed({ settings: { maxBranches: 3 } })
    const devices = Array.from({ length: 5 }, (_, i) => bed.device(`d${i}`, true))
    const [d0, d1, d2, d3, d4] = devices.map((device) => flowTo(device))
    bed.forward(request('MESSAGE'), [[d0!], [d1!, d2!, d3!], [d4!]])
    devices[0]!.answer(480)
    expect(devices.map((device) => device.heard.length)).toEqual([1, 1, 1, 0, 0])
    devices[1]!.answer(480)
    devices[2]!.answer(480)
    expect(devices[4]!.heard).toEqual([])
    expect(bed.answers('MESSAGE')).toEqual([480])
    expect(bed.core.counters).toMatchObject({ targetsIgnored: 2, branches: 3, forwarded: 1 })
  })

  it('are 12 at most by default', () => {
    const bed = new ProxyBed()
    const devices = Array.from({ length: 20 }, (_, i) => bed.device(`d${i}`, true))
    bed.forward(request('MESSAGE'), [devices.map((device) => flowTo(device))])
    expect(devices.filter((device) => device.heard.length > 0)).toHaveLength(12)
  })
})

describe('a forked MESSAGE', () => {
  it('is answered with the first 2xx; other answers vanish (S-47, S-51, S-86)', () => {
    const { bed, a, b, c } = trio()
    bed.forward(request('MESSAGE'), [[flowTo(a), flowTo(b), flowTo(c)]])
    a.answer(486)
    b.answer(202)
    c.answer(200)
    expect(bed.answers('MESSAGE')).toEqual([202])
    bed.clock.advance(70_000)
    expect(bed.empty).toBe(true)
  })

  it('is still delivered to the other devices after that (S-86)', () => {
    const { bed, a, b } = trio()
    bed.forward(request('MESSAGE'), [[flowTo(a), flowTo(b)]])
    a.answer(200)
    bed.clock.advance(600)
    expect(b.heard).toEqual(['MESSAGE', 'MESSAGE'])
    expect(b.heard).not.toContain('CANCEL') // S-50
  })

  describe.each(['UDP', 'TCP'])('from a client over %s, once one device has answered', (over) => {
    const clientReliable = over === 'TCP'

    it('is delivered to a device whose connection is still being opened (S-86)', async () => {
      const bed = new ProxyBed({ clientReliable })
      const [a, b] = [bed.device('a'), bed.device('b', true)]
      bed.host('b.test', [{ device: b, transport: 'tcp' }])
      bed.channels.set('tcp 192.0.2.1', Promise.resolve(b))
      bed.forward(request('MESSAGE'), [[flowTo(a), located('sip:bob@b.test')]])
      a.answer(200)
      expect(b.heard).toEqual([])
      await turn()
      expect(b.heard).toEqual(['MESSAGE'])
    })

    it('goes to the other flow of a device whose connection closes (S-71, S-86)', () => {
      const bed = new ProxyBed({ clientReliable })
      const [a, b, c] = [bed.device('a'), bed.device('b', true), bed.device('c', true)]
      bed.forward(request('MESSAGE'), [[flowTo(a), flowTo(b, { fallbacks: [flowTo(c)] })]])
      a.answer(200)
      bed.core.channelFailed(b)
      expect(c.heard).toEqual(['MESSAGE'])
    })
  })

  it.each([200, 486])('is done with by the proxy once %i is sent, while copies are still answered (S-34)', (status) => {
    const { bed, a } = trio()
    const message = request('MESSAGE')
    bed.forward(message, [[flowTo(a)]])
    a.answer(status)
    expect(bed.core.open).toBe(0)
    expect(bed.layer.counters.open).toMatchObject({ 'non-invite-server': 1, 'non-invite-client': 1 })
    bed.layer.receive(message, bed.client)
    expect(bed.client.heard).toEqual([`${status}`, `${status}`])
    expect(a.heard).toEqual(['MESSAGE'])
    bed.clock.advance(32_000)
    expect(bed.empty).toBe(true)
  })

  it('is answered with a late 2xx of one when another has refused it for good (S-46)', () => {
    const { bed, a, b } = trio()
    bed.forward(request('MESSAGE'), [[flowTo(a), flowTo(b)]])
    b.answer(100)
    a.answer(603)
    expect(bed.answers('MESSAGE')).toEqual([])
    b.answer(200)
    expect(bed.answers('MESSAGE')).toEqual([200])
    expect(b.heard).toEqual(['MESSAGE']) // S-50: it is not cancelled
  })

  it('forwards no provisional response (S-36)', () => {
    const { bed, a } = trio()
    bed.forward(request('MESSAGE'), [[flowTo(a)]])
    a.answer(100)
    a.answer(180)
    expect(bed.client.heard).toEqual([])
  })
})

describe('a forked INVITE', () => {
  it('forwards 101-199 of all branches at once, and no 100 (S-46)', () => {
    const { bed, a, b } = trio()
    bed.forward(request('INVITE'), [[flowTo(a), flowTo(b)]])
    a.answer(100)
    expect(bed.client.heard).toEqual([])
    a.answer(180)
    b.answer(183)
    expect(bed.answers('INVITE')).toEqual([180, 183])
  })

  it('forwards every 2xx, and cancels what still rings (S-46, S-50)', () => {
    const { bed, a, b, c } = trio()
    bed.forward(request('INVITE'), [[flowTo(a), flowTo(b), flowTo(c)]])
    for (const device of [a, b, c]) device.answer(180)
    bed.client.take()
    a.answer(200)
    expect([a.heard, b.heard, c.heard]).toEqual([['INVITE'], ['INVITE', 'CANCEL'], ['INVITE', 'CANCEL']])
    b.answer(200) // it was picked up just then
    c.answer(487)
    expect(c.heard).toEqual(['INVITE', 'CANCEL', 'ACK'])
    const tags = bed.client.take().map((message) => `${(message as SipResponse).status} ${message.to?.tag}`)
    expect(tags).toEqual(['200 a', '200 b'])
    bed.clock.advance(70_000)
    expect(bed.empty).toBe(true)
  })

  it('forwards a 2xx that comes again, as the caller has to acknowledge it again (S-32, S-33)', () => {
    const { bed, a } = trio()
    bed.forward(request('INVITE'), [[flowTo(a)]])
    a.answer(200)
    a.answer(200)
    expect(bed.client.names()).toEqual(['200', '200'])
  })

  it('is cancelled everywhere by a 6xx, which is the answer when all is over (S-46)', () => {
    const { bed, a, b, c } = trio()
    bed.forward(request('INVITE'), [[flowTo(a), flowTo(b)], [flowTo(c)]])
    b.answer(180)
    a.answer(603)
    expect(b.heard).toEqual(['INVITE', 'CANCEL'])
    expect(bed.answers('INVITE')).toEqual([180])
    b.answer(487)
    expect(bed.answers('INVITE')).toEqual([180, 603])
    expect(c.heard).toEqual([])
  })

  it('is answered with a 2xx that comes after a 6xx (S-46)', () => {
    const { bed, a, b } = trio()
    bed.forward(request('INVITE'), [[flowTo(a), flowTo(b)]])
    a.answer(603)
    b.answer(200)
    expect(bed.answers('INVITE')).toEqual([200])
  })
})

describe('the best of several failures', () => {
  function best(method: string, ...statuses: readonly number[]): number[] {
    const bed = new ProxyBed()
    const devices = statuses.map((_, i) => bed.device(`d${i}`, true))
    bed.forward(request(method), [devices.map((device) => flowTo(device))])
    for (const [i, status] of statuses.entries()) devices[i]!.answer(status)
    return bed.answers(method)
  }

  it.each([
    [[500, 404, 486], 404],
    [[404, 302, 500], 302],
    [[404, 603, 302], 603],
    [[486, 480], 486],
    [[486, 415], 415],
    [[404, 484, 486], 484],
    [[486, 420], 420],
    [[404, 407], 407],
    [[503, 500], 500],
    [[503, 501], 501],
    [[503, 503], 500],
    [[430, 404], 404],
  ])('of %j is %i (S-46, S-47)', (statuses, expected) => {
    expect(best('INVITE', ...statuses)).toEqual([expected])
  })

  it('is not a 408 unless to INVITE: then nothing at all is said (S-36)', () => {
    expect(best('MESSAGE', 408, 500)).toEqual([500])
    expect(best('MESSAGE', 408)).toEqual([])
    expect(best('INVITE', 408, 500)).toEqual([408])
  })

  it('is what failed there, not that it failed here, if both are 4xx (S-46)', () => {
    const { bed, a } = trio()
    bed.forward(request('INVITE'), [[flowTo(null), flowTo(a)]])
    a.answer(486)
    expect(bed.answers('INVITE')).toEqual([486])
  })

  it('has the challenges of all 401 and 407, as they came (S-3, S-46)', () => {
    const { bed, a, b, c } = trio()
    bed.forward(request('MESSAGE'), [[flowTo(a), flowTo(b), flowTo(c)]])
    a.answer(407, ['Proxy-Authenticate: Digest realm="a", nonce="1"', 'Proxy-Authenticate: Digest realm="a2"'])
    b.answer(401, ['WWW-Authenticate: Digest realm="b", nonce="2"'])
    c.answer(403, ['WWW-Authenticate: Digest realm="not this"'])
    const answer = lastAnswer(bed)
    expect(answer.status).toBe(407)
    expect(answer.headers('Proxy-Authenticate')).toEqual(['Digest realm="a", nonce="1"', 'Digest realm="a2"'])
    expect(answer.headers('WWW-Authenticate')).toEqual(['Digest realm="b", nonce="2"'])
  })

  it('instead of a 503 is a 500 of ours: it says nothing of us being overloaded (S-47)', () => {
    const { bed, a } = trio()
    const message = request('MESSAGE')
    bed.forward(message, [[flowTo(a)]])
    a.answer(503, ['Retry-After: 3600'])
    const answer = lastAnswer(bed)
    expect(answer).toMatchObject({ status: 500, callId: message.callId })
    expect(answer.header('Retry-After')).toBeNull()
    expect(answer.to?.tag).toMatch(/^[\w-]{12}$/)
  })
})

describe('onFailure', () => {
  function failing(method: string, answer: 'send' | 'handled', ...devices: readonly (Device | null)[]) {
    const outcomes: Outcome[] = []
    return {
      outcomes,
      targets: [devices.map((device) => flowTo(device))],
      options: {
        onFailure: (outcome: Outcome) => {
          outcomes.push(outcome)
          return answer
        },
      },
      message: request(method),
    }
  }

  it('sees the best of the failures, and may leave it at that (S-46, S-49)', () => {
    const { bed, a } = trio()
    const { outcomes, targets, options, message } = failing('MESSAGE', 'send', a, null)
    bed.forward(message, targets, options)
    a.answer(486)
    expect(outcomes).toMatchObject([{ status: 486, response: { status: 486 }, timedOut: false, unreachable: true }])
    expect(bed.answers('MESSAGE')).toEqual([486])
  })

  it('may answer otherwise, also at once (S-81)', () => {
    const { bed } = trio()
    const { outcomes, targets, options, message } = failing('MESSAGE', 'handled', null)
    bed.forward(message, targets, options)
    expect(outcomes).toEqual([{ status: 430, response: null, timedOut: false, unreachable: true }])
    expect(bed.client.heard).toEqual([])
    expect(bed.core.counters.handled).toBe(1)
    bed.clock.advance(70_000)
    expect(bed.empty).toBe(true)
  })

  it('may forward the request anew', () => {
    const { bed, a, b } = trio()
    const message = request('MESSAGE')
    const server = bed.receive(message)
    const routed = bed.routed(message)
    bed.core.forward(server, routed, [[flowTo(a)]], {
      onFailure: () => {
        bed.core.forward(server, routed, [[flowTo(b)]])
        return 'handled'
      },
    })
    a.answer(480)
    expect(b.heard).toEqual(['MESSAGE'])
    b.answer(200)
    expect(bed.answers('MESSAGE')).toEqual([200])
    bed.clock.advance(70_000)
    expect(bed.empty).toBe(true)
  })

  it('is not asked when there was a 2xx', () => {
    const { bed, a, b } = trio()
    const { outcomes, targets, options, message } = failing('MESSAGE', 'send', a, b)
    bed.forward(message, targets, options)
    a.answer(200)
    b.answer(486)
    bed.clock.advance(70_000)
    expect(outcomes).toEqual([])
  })
})
