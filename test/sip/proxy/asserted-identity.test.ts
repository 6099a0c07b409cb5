import { describe, expect, it } from 'vitest'
import { untoldIdentities } from '../../../src/sip/proxy/asserted-identity.ts'
import type { SipChannel } from '../../../src/sip/transactions/channel.ts'
import { sipDomain, startSip } from '../../support/sip-server.ts'
import { request } from '../transactions/support.ts'

const stranger: SipChannel = { reliable: true, send: () => true }
const peer: SipChannel = { reliable: true, send: () => true }
const hops = { isTrusted: (channel: SipChannel) => channel === peer }
const asserted = 'P-Asserted-Identity: "Alice" <sip:alice@silo.test>, <tel:+493012345>'
const preferred = 'P-Preferred-Identity: <sip:alice@silo.test>'

/** What does not go on of a request with these lines. */
function untold(from: SipChannel | null, to: SipChannel, ...more: string[]): readonly string[] {
  return untoldIdentities(request('MESSAGE', { more }), from, to, hops)
}

describe('who a sender is said to be (S-55)', () => {
  it('goes on when a peer says it, or we do', () => {
    for (const from of [peer, null]) {
      expect(untold(from, stranger, asserted)).toEqual([])
      expect(untold(from, peer, asserted, 'Privacy: id')).toEqual([])
      expect(untold(from, stranger, asserted, 'Privacy: none', 'Privacy: header;identity')).toEqual([])
    }
  })

  it('does not go on when anybody else says it', () => {
    expect(untold(stranger, peer, asserted)).toEqual(['P-Asserted-Identity'])
    expect(untold(stranger, stranger, asserted, asserted)).toEqual(['P-Asserted-Identity'])
  })

  it.each(['Privacy: id', 'privacy: ID', 'Privacy: header; id ;critical', 'Privacy: user,id'])(
    'is told to peers only when the sender asks for privacy: %s',
    (privacy) => {
      expect(untold(peer, stranger, asserted, privacy)).toEqual(['P-Asserted-Identity'])
      expect(untold(peer, peer, asserted, privacy)).toEqual([])
    },
  )

  it('is never a matter of preference further on', () => {
    expect(untold(peer, peer, preferred)).toEqual(['P-Preferred-Identity'])
    expect(untold(stranger, peer, asserted, preferred)).toEqual(['P-Preferred-Identity', 'P-Asserted-Identity'])
  })

  it('costs nothing where nothing is said', () => {
    expect(untold(stranger, stranger, 'Privacy: id')).toEqual([])
  })
})

const said = [
  ['P-Asserted-Identity', `"Alice" <sip:alice@${sipDomain}>`],
  ['p-asserted-identity', '<tel:+493012345>'],
  ['P-Preferred-Identity', `<sip:alice@${sipDomain}>`],
  ['X-Kept', 'yes'],
] as const

it.each(['udp', 'tcp', 'wss'] as const)('a user of ours over %s cannot assert who it is (S-55)', async (transport) => {
  const bed = await startSip()
  const alice = await bed.online('alice', transport)
  const bob = await bed.online('bob', transport)
  bob.on('MESSAGE', (request) => request.reply(200))
  expect((await alice.message(bob.uri, 'x', { headers: said })).status).toBe(200)
  const [got] = bob.received.flatMap(({ message }) => (message.kind === 'request' ? [message] : []))
  expect(got!.all('P-Asserted-Identity')).toEqual([])
  expect(got!.all('P-Preferred-Identity')).toEqual([])
  expect(got!.header('X-Kept')).toBe('yes')
})

it('a peer can, to users of ours and to other peers, as far as the sender wants it told (S-55)', async () => {
  // Everybody here is at the loopback address, so that all are peers.
  const bed = await startSip({ config: { sip: { peers: ['127.0.0.0/8'] } } })
  const peer = await bed.stranger('tcp')
  const bob = await bed.online('bob', 'tcp')
  bob.on('MESSAGE', (request) => request.reply(200))
  for (const headers of [said, [...said, ['Privacy', 'id'] as const]]) {
    expect((await peer.message(bob.uri, 'x', { headers })).status).toBe(200)
  }
  const got = bob.received.flatMap(({ message }) => (message.kind === 'request' ? [message] : []))
  for (const message of got) {
    expect(message.all('P-Asserted-Identity')).toEqual([`"Alice" <sip:alice@${sipDomain}>`, '<tel:+493012345>'])
    expect(message.all('P-Preferred-Identity')).toEqual([])
  }
  expect(got).toHaveLength(2)
})
