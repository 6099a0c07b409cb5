import { expect, test } from 'vitest'
import { sipDomain, startSip } from '../support/sip-server.ts'

test('a domain with the dot of a complete name is the same domain, in every place (S-43, S-54, S-60)', async () => {
  const bed = await startSip()
  const alice = await bed.agent('alice', 'tcp')
  expect((await alice.request('REGISTER', `sip:${sipDomain}.`, registering(alice.contact))).status).toBe(200)
  const bob = await bed.online('bob', 'tcp')
  bob.on('MESSAGE', (request) => request.reply(200))
  alice.on('MESSAGE', (request) => request.reply(200))
  expect((await alice.message(`sip:bob@${sipDomain}.`, 'with a dot')).status).toBe(200)
  expect((await bob.message(alice.uri, 'without one')).status).toBe(200)
  expect((await bob.message(alice.uri, 'x', { from: `<sip:bob@${sipDomain}.>` })).status).toBe(200)
  // It is no way around who one is, either.
  const stranger = await bed.agent('mallory', 'udp')
  expect((await stranger.message(bob.uri, 'x', { from: `<sip:alice@${sipDomain}.>` })).status).toBe(403)
})

test('a domain that is configured with the dot is the same as well (S-60)', async () => {
  const bed = await startSip({ config: { domains: [`${sipDomain}.`] }, own: true })
  const bob = await bed.online('bob', 'tcp')
  bob.on('MESSAGE', (request) => request.reply(200))
  expect((await bob.message(bob.uri, 'to oneself')).status).toBe(200)
  expect((await bob.message(`${bob.uri}.`, 'to oneself')).status).toBe(200)
})

function registering(contact: string) {
  return {
    to: `<sip:alice@${sipDomain}.>`,
    from: `<sip:alice@${sipDomain}.>`,
    headers: [['Contact', contact]] as const,
  }
}
