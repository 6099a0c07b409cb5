import { describe, expect, test } from 'vitest'
import { sipDomain, startSip, transports } from '../support/sip-server.ts'

describe.each(transports)('OPTIONS over %s', (transport) => {
  test('to the server says what it takes, also to strangers and when it may go no further (S-40, S-94)', async () => {
    const bed = await startSip()
    const eve = await bed.stranger(transport)
    const { host, port } = bed.address(transport)
    for (const uri of [`sip:${sipDomain}`, `sip:${host}:${port}`]) {
      for (const maxForwards of [70, 0]) {
        const response = await eve.request('OPTIONS', uri, { maxForwards })
        expect(response.status).toBe(200)
        expect(response.list('Allow')).toEqual(expect.arrayContaining(['REGISTER', 'MESSAGE', 'INVITE', 'ACK', 'BYE']))
        expect(response.list('Supported')).toEqual(['path', 'outbound'])
        expect(response.header('Accept')).not.toBeNull()
      }
    }
  })
})

test('OPTIONS to a user is answered by the user (S-43)', async () => {
  const bed = await startSip()
  const eve = await bed.stranger('udp')
  const bob = await bed.online('bob', 'ws')
  const answering = eve.request('OPTIONS', bob.uri)
  const request = await bob.expect('OPTIONS')
  request.reply(200, 'OK', { headers: [['Accept', 'text/plain']] })
  const response = await answering
  expect(response.status).toBe(200)
  expect(response.header('Accept')).toBe('text/plain')
})

test('OPTIONS to a user who is unknown, away, or one hop too far: 404, 480, 483 (S-40, S-43)', async () => {
  const bed = await startSip()
  const eve = await bed.stranger('tcp')
  expect((await eve.request('OPTIONS', `sip:nobody@${sipDomain}`)).status).toBe(404)
  expect((await eve.request('OPTIONS', `sip:bob@${sipDomain}`)).status).toBe(480)
  expect((await eve.request('OPTIONS', `sip:bob@${sipDomain}`, { maxForwards: 0 })).status).toBe(483)
})

test('another request to the server itself is for nobody: 404 (S-11)', async () => {
  const bed = await startSip()
  const eve = await bed.stranger('tcp')
  expect((await eve.message(`sip:${sipDomain}`, 'who are you?')).status).toBe(404)
})
