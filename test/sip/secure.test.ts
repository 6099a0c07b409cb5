import { describe, expect, test } from 'vitest'
import { sipDomain, startSip, transports } from '../support/sip-server.ts'

const secure = ['tls', 'wss'] as const
const insecure = ['udp', 'tcp', 'ws'] as const

/** A REGISTER for the AoR of a user as a sips URI. */
const sipsOf = (user: string) => `sips:${user}@${sipDomain}`

describe('a REGISTER for a sips AoR (S-72)', () => {
  test.each(transports)('over %s needs contacts that are secure, or a flow that is', async (transport) => {
    const bed = await startSip()
    const bob = await bed.agent('bob', transport)
    const options = { to: `<${sipsOf('bob')}>`, from: `<${sipsOf('bob')}>` }
    const isSecure = transport === 'tls' || transport === 'wss'
    const plain = await bob.register({ ...options, contacts: ['<sip:bob@192.0.2.1>'] })
    expect([plain.status, plain.reason]).toEqual(isSecure ? [200, 'OK'] : [400, 'Contact Is Not Secure'])
    const mixed = ['<sips:bob@192.0.2.1>', '<sip:bob@192.0.2.2>']
    expect((await bob.register({ ...options, contacts: mixed })).status).toBe(isSecure ? 200 : 400)
    expect((await bob.register({ ...options, contacts: ['<sips:bob@192.0.2.1>'] })).status).toBe(200)
    // What is taken away need not be secure.
    expect((await bob.register({ ...options, contacts: ['<sip:bob@192.0.2.2>;expires=0'] })).status).toBe(200)
    expect((await bob.register({ contacts: ['<sip:bob@192.0.2.3>'] })).status).toBe(200)
  })
})

describe('a request to a sips URI of ours (S-72)', () => {
  test.each(insecure)('does not go over %s: its user is as good as offline', async (transport) => {
    const bed = await startSip()
    const alice = await bed.online('alice', 'tls')
    const bob = await bed.online('bob', transport)
    expect((await alice.message(sipsOf('bob'), 'secret')).status).toBe(480)
    expect(bob.received.every(({ message }) => message.kind === 'response')).toBe(true)
    bob.on('MESSAGE', (request) => request.reply(200))
    expect((await alice.message(bob.uri, 'no secret')).status).toBe(200)
  })

  test.each(secure)('goes over %s', async (transport) => {
    const bed = await startSip()
    const alice = await bed.online('alice', 'tls')
    const bob = await bed.online('bob', transport)
    bob.on('MESSAGE', (request) => request.reply(200))
    expect((await alice.message(sipsOf('bob'), 'secret')).status).toBe(200)
  })

  test('goes to the contacts alone that are reached over TLS', async () => {
    const bed = await startSip()
    const alice = await bed.online('alice', 'tls')
    const desk = await bed.online('bob', 'tcp')
    const phone = await bed.online('bob', 'tls')
    phone.on('MESSAGE', (request) => request.reply(200))
    desk.on('MESSAGE', (request) => request.reply(200))
    expect((await alice.message(sipsOf('bob'), 'secret')).status).toBe(200)
    expect((await alice.message(phone.uri, 'for both')).status).toBe(200)
    const got = desk.received.flatMap(({ message }) => (message.kind === 'request' ? [message.text] : []))
    expect(got).toEqual(['for both'])
  })

  test('goes along a Path only that begins with a sips URI', async () => {
    const bed = await startSip()
    const alice = await bed.online('alice', 'tls')
    const bob = await bed.agent('bob', 'tls')
    const viaEdge = (path: string) =>
      bob.register({
        headers: [
          ['Supported', 'path'],
          ['Path', path],
        ] as const,
      })
    expect((await viaEdge('<sip:127.0.0.1:9;transport=tcp;lr>')).status).toBe(200)
    expect((await alice.message(sipsOf('bob'), 'secret')).status).toBe(480)
    expect((await viaEdge('<sips:127.0.0.1:9;lr>')).status).toBe(200)
    // It is tried, and nobody is there.
    expect((await alice.message(sipsOf('bob'), 'secret')).status).toBe(500)
  })
})
