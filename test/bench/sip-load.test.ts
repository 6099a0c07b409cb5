import { afterEach, describe, expect, test } from 'vitest'
import { answerTo, headOf, readDigits, statusOf } from '../../bench/load/sip/messages.ts'
import type { SipLoadOptions, SipLoadResult } from '../../bench/load/sip/options.ts'
import { runSipLoad } from '../../bench/load/sip/run.ts'
import { sipFailuresOf } from '../../bench/load/sip/verdict.ts'
import { type SipBehaviour, type SipStub, startSipStub } from './sip-stub.ts'

let stub: SipStub

afterEach(() => stub.close())

/** The stub runs in this very process, so its CPU is this one's. */
async function load(behaviour: SipBehaviour, options: Partial<SipLoadOptions> = {}): Promise<SipLoadResult[]> {
  const transport = options.transport ?? 'udp'
  stub = await startSipStub(transport, behaviour)
  return runSipLoad({
    target: { host: '127.0.0.1', port: stub.port, pid: process.pid, domain: 'bench.test', password: 'stub' },
    transport,
    scenarios: ['register', 'message'],
    users: 6,
    window: 4,
    size: 60,
    digest: 'each',
    warmup: 0,
    seconds: 0.15,
    drainMs: 1500,
    ...options,
  })
}

describe.each(['udp', 'tcp'] as const)('a server that does everything right, over %s', (transport) => {
  test('loses nothing, is challenging every time, and keeps no binding (D-1, S-61, S-64)', async () => {
    const results = await load('right', { transport })
    expect(results.map(({ scenario }) => scenario)).toEqual(['register', 'message'])
    for (const result of results) {
      expect(sipFailuresOf(result)).toEqual([])
      expect(result.first_fault).toBeNull()
      expect(result.completed).toBeGreaterThan(0)
      // What is under way at either end of the measured time has its challenge on one side of it only.
      expect(Math.abs(result.challenges - result.completed)).toBeLessThanOrEqual(4)
      expect(result.latency_ms.p50).toBeGreaterThan(0)
    }
    expect(stub.faults).toEqual([])
    expect(stub.wrongProofs).toBe(0)
    expect(stub.bindings.size).toBe(0)
  })

  test('a nonce is used again with the next count, and challenged once only (D-5)', async () => {
    const results = await load('right', { transport, digest: 'reuse' })
    for (const result of results) expect(sipFailuresOf(result)).toEqual([])
    const [register, message] = results
    expect(register!.challenges).toBe(0)
    expect(message!.challenges).toBeLessThanOrEqual(6)
    expect(stub.wrongProofs).toBe(0)
    expect(stub.faults).toEqual([])
  })
})

describe('a server that is wrong in one message of seven is found out', () => {
  test.each<[behaviour: SipBehaviour, transport: 'udp' | 'tcp', what: 'duplicate' | 'failed', first: RegExp]>([
    ['deliver-twice', 'udp', 'duplicate', /MESSAGE was delivered twice/],
    ['deliver-twice', 'tcp', 'duplicate', /MESSAGE was delivered twice/],
    ['copy', 'tcp', 'duplicate', /MESSAGE was delivered twice/],
    ['answer-twice', 'tcp', 'duplicate', /second final response/],
    ['corrupt-body', 'udp', 'failed', /another body than was sent/],
    ['corrupt-from', 'udp', 'failed', /another From than was sent/],
    ['wrong-user', 'udp', 'failed', /no MESSAGE to the contact|at another user/],
    ['not-delivered', 'udp', 'failed', /recipient has not got/],
    ['refuse', 'tcp', 'failed', /message was answered SIP\/2.0 480/],
  ])('%s over %s: %s (S-81, S-86)', async (behaviour, transport, what, first) => {
    const [result] = await load(behaviour, { transport, scenarios: ['message'] })
    expect(result![what]).toBeGreaterThan(0)
    expect(result!.first_fault).toMatch(first)
    expect(sipFailuresOf(result!)).not.toEqual([])
  })

  test('a MESSAGE that is never answered over TCP is lost', async () => {
    const [result] = await load('drop', { transport: 'tcp', scenarios: ['message'], drainMs: 150 })
    expect(result!.lost).toBeGreaterThan(0)
    expect(sipFailuresOf(result!).join()).toMatch(/\d lost/)
  })

  test('over UDP it is sent again, which is no loss (S-34); a copy delivered is no duplicate', async () => {
    const [dropping] = await load('drop', { scenarios: ['message'], users: 3, window: 1, seconds: 0.7 })
    expect(dropping!.lost + dropping!.failed).toBe(0)
    expect(dropping!.retransmissions).toBeGreaterThan(0)
    await stub.close()
    const [copying] = await load('copy', { scenarios: ['message'] })
    expect(copying!.retransmissions).toBeGreaterThan(0)
    expect(sipFailuresOf(copying!)).toEqual([])
  })

  test('a REGISTER whose 200 lacks the contact (S-64), and an unregistration that leaves it (S-61)', async () => {
    const [result] = await load('forget-contact', { scenarios: ['register'], users: 3 })
    expect(result!.failed).toBeGreaterThan(0)
    expect(result!.first_fault).toMatch(/200 without the contact/)
    await stub.close()
    await expect(load('keep-contact', { scenarios: [] })).rejects.toThrow(
      /unregister failed for 6 of 6 users: a 200 to an unregistration that still lists the contact/,
    )
  })
})

test('a 200 has the Via list, From, To, Call-ID and CSeq of its request, compact forms too (S-4)', async () => {
  stub = await startSipStub('udp')
  const head = 'MESSAGE sip:a@b SIP/2.0\r\nv: SIP/2.0/UDP p;branch=z9hG4bK1\r\nVia: x\r\nf: <sip:c@d>;tag=1\r\n'
  const request = `${head}t: <sip:a@b>\r\nSubject: To: x\r\ni: c1\r\nCSeq: 1 MESSAGE\r\nl: 2\r\n\r\nhi`
  expect(answerTo(headOf(Buffer.from(request)), 'tag7')).toBe(
    'SIP/2.0 200 OK\r\nv: SIP/2.0/UDP p;branch=z9hG4bK1\r\nVia: x\r\nf: <sip:c@d>;tag=1\r\n' +
      't: <sip:a@b>;tag=tag7\r\ni: c1\r\nCSeq: 1 MESSAGE\r\nContent-Length: 0\r\n\r\n',
  )
})

test('numbers and statuses are read where they lie', async () => {
  stub = await startSipStub('udp')
  expect(readDigits(Buffer.from('ab000123456'), 2, 6)).toBe(123)
  expect(readDigits(Buffer.from('12x'), 0, 3)).toBe(-1)
  expect(readDigits(Buffer.from('12'), 0, 3)).toBe(-1)
  expect(statusOf(Buffer.from('SIP/2.0 407 No\r\n'))).toBe(407)
  expect(statusOf(Buffer.from('SUBSCRIBE sip:a@b SIP/2.0\r\n'))).toBe(-1)
})
