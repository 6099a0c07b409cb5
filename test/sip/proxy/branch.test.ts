import { describe, expect, it } from 'vitest'
import { laneOfBranch, loopHash, loopHashOf, makeBranch } from '../../../src/sip/proxy/branch.ts'
import { request } from '../transactions/support.ts'

describe('branches', () => {
  it('begin with the cookie and are never the same (S-20)', () => {
    const branches = new Set(Array.from({ length: 5_000 }, () => makeBranch(0, 'x')))
    expect(branches.size).toBe(5_000)
    for (const branch of branches) expect(branch).toMatch(/^z9hG4bK[A-Za-z0-9_-]{13}\.x$/)
  })

  it('say which lane has made them, of 32', () => {
    for (let lane = 0; lane < 32; lane++) expect(laneOfBranch(makeBranch(lane, 'h'))).toBe(lane)
    expect(() => makeBranch(32, 'h')).toThrow('lane')
  })

  it('of others have neither lane nor hash', () => {
    const ours = makeBranch(1, 'hash')
    expect(loopHashOf(ours)).toBe('hash')
    for (const other of ['', 'z9hG4bK', 'z9hG4bKabc', ours.slice(1), ours.replace('.', 'x'), `Z${ours.slice(1)}`]) {
      expect(laneOfBranch(other)).toBeNull()
      expect(loopHashOf(other)).toBeNull()
    }
    expect(laneOfBranch(`z9hG4bK9${ours.slice(8)}`)).toBeNull()
  })
})

describe('the loop hash', () => {
  const parts = { uri: 'sip:bob@silo.test', more: ['Route: <sip:edge.test;lr>'] }
  const hash = loopHash(request('MESSAGE', parts))

  it('does not see method, Via and body: they differ at every turn of a loop (S-45)', () => {
    expect(loopHash(request('INVITE', { ...parts, branch: 'z9hG4bKother', sentBy: 'else.test' }))).toBe(hash)
  })

  it.each([
    ['Request-URI', { ...parts, uri: 'sip:carol@silo.test' }],
    ['To tag', { ...parts, toTag: 't' }],
    ['From tag', { ...parts, fromTag: 'x' }],
    ['Call-ID', { ...parts, callId: 'c2' }],
    ['CSeq number', { ...parts, cseq: 2 }],
    ['Route', { ...parts, more: [] }],
    ['Proxy-Require', { ...parts, more: [...parts.more, 'Proxy-Require: x'] }],
    ['Proxy-Authorization', { ...parts, more: [...parts.more, 'Proxy-Authorization: Digest username="a"'] }],
  ])('sees the %s (S-45)', (_name, changed) => {
    expect(loopHash(request('MESSAGE', changed))).not.toBe(hash)
  })
})
