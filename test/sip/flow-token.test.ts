import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { ConnectionId } from '../../src/ids.ts'
import { type DialogFlows, type FlowEnd, FlowTokens } from '../../src/sip/flow-token.ts'
import { parseSipRequest } from '../support/sip-parser.ts'

const tokens = new FlowTokens(Buffer.from('the key of all lanes and runs'))

const caller: FlowEnd = { kind: 'connection', listener: 2, connection: 1_048_577 as ConnectionId, epoch: 'run-1' }
const callee: FlowEnd = { kind: 'udp', listener: 0, address: '2001:db8::1', port: 5070 }
const flows: DialogFlows = { caller, callee }

const alice = '<sip:alice@sip.test>;tag=a1'
const bob = '<sip:bob@sip.test>'

function request(from: string, to: string, callId = 'c1') {
  return parseSipRequest(
    [
      'INFO sip:bob@192.0.2.1 SIP/2.0',
      'Via: SIP/2.0/UDP 192.0.2.2;branch=z9hG4bK1',
      `From: ${from}`,
      `To: ${to}`,
      `Call-ID: ${callId}`,
      'CSeq: 1 INFO',
      'Content-Length: 0',
      '\r\n',
    ].join('\r\n'),
  )
}

const token = tokens.make(request(alice, bob), flows)

describe('a flow token (S-54, S-70)', () => {
  test('leads the caller to the callee, and the callee to the caller', () => {
    expect(tokens.read(request(alice, `${bob};tag=b1`), token)).toEqual(callee)
    expect(tokens.read(request(`${bob};tag=b1`, alice), token)).toEqual(caller)
    // To one who forks, each of whom has a tag of its own.
    expect(tokens.read(request(`${bob};tag=b2`, alice), token)).toEqual(caller)
  })

  test('means who is called, not how that is written', () => {
    const from = '"Alice" <sip:%61lice@SIP.test;transport=tcp>;tag=a1'
    expect(tokens.read(request(from, `Bob <${bob.slice(1, -1)}>;tag=b1`), token)).toEqual(callee)
  })

  test.each([
    ['another dialog', request(alice, `${bob};tag=b1`, 'c2')],
    ['another caller’s tag', request('<sip:alice@sip.test>;tag=a2', `${bob};tag=b1`)],
    ['a caller without tag', request('<sip:alice@sip.test>', `${bob};tag=b1`)],
    ['another name for the caller', request('<sip:mallory@sip.test>;tag=a1', `${bob};tag=b1`)],
    ['another callee', request(alice, '<sip:carol@sip.test>;tag=b1')],
    ['another name for the callee', request('<sip:carol@sip.test>;tag=b1', alice)],
    ['the callee with the caller’s tag', request(`${bob};tag=a1`, '<sip:alice@sip.test>;tag=b1')],
  ])('is none for %s', (_what, other) => {
    expect(tokens.read(other, token)).toBeNull()
  })

  test('is none when made with another key', () => {
    expect(new FlowTokens(Buffer.from('another key')).read(request(alice, `${bob};tag=b1`), token)).toBeNull()
  })

  test('fits the user part of a URI as it is, and holds any flow', () => {
    const end = fc.oneof(
      fc.record({
        kind: fc.constant('connection' as const),
        listener: fc.integer({ min: -1, max: 100 }),
        connection: fc.integer({ min: 1, max: 2 ** 31 - 1 }).map((id) => id as ConnectionId),
        epoch: fc.stringMatching(/^[A-Za-z0-9_-]{1,22}$/),
      }),
      fc.record({
        kind: fc.constant('udp' as const),
        listener: fc.integer({ min: 0, max: 100 }),
        address: fc.oneof(fc.ipV4(), fc.ipV6()),
        port: fc.integer({ min: 1, max: 65_535 }),
      }),
    )
    fc.assert(
      fc.property(end, end, (one, other) => {
        const made = tokens.make(request(alice, bob), { caller: one, callee: other })
        expect(made).toMatch(/^[A-Za-z0-9_-]{16,400}$/)
        expect(tokens.read(request(alice, `${bob};tag=b1`), made)).toEqual(other)
        expect(tokens.read(request(`${bob};tag=b1`, alice), made)).toEqual(one)
      }),
      { numRuns: 200 },
    )
  })

  test('with anything changed in it, or anything else, is none, and no error', () => {
    const inside = request(alice, `${bob};tag=b1`)
    const octets = Buffer.from(token, 'base64url')
    fc.assert(
      fc.property(fc.nat(octets.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
        const changed = Buffer.from(octets)
        changed[at]! ^= change
        expect(tokens.read(inside, changed.toString('base64url'))).toBeNull()
      }),
      { numRuns: 300 },
    )
    fc.assert(fc.property(fc.string({ maxLength: 500 }), (text) => tokens.read(inside, text) === null))
    for (const length of [0, 15, 16, octets.length - 1]) {
      expect(tokens.read(inside, octets.subarray(0, length).toString('base64url'))).toBeNull()
    }
  })
})
