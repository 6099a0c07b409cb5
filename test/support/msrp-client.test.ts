import { readFileSync } from 'node:fs'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { connect, digest, frameText, header, MsrpClient, parseParameters } from './msrp-client.ts'

const alice = 'msrp://alice.example.org:7965/k1;tcp'
const bob = 'msrp://bob.example.com:8145/u7;tcp'

let server: Server
let client: MsrpClient
let peer: MsrpClient

beforeEach(async () => {
  server = createServer({ allowHalfOpen: true })
  const accepted = new Promise<Socket>((resolve) => server.once('connection', resolve))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  client = await connect((server.address() as AddressInfo).port)
  peer = new MsrpClient(await accepted)
})

afterEach(async () => {
  await client.close()
  await peer.close()
  await new Promise((resolve) => server.close(resolve))
})

test('a SEND arrives as composed and is answered to its nearest hop only (M-50)', async () => {
  peer.autoAnswer()
  const body = Buffer.from([0, 13, 10, 255])
  const response = await client.transact({
    method: 'SEND',
    toPath: bob,
    fromPath: [alice, client.uri],
    headers: [
      ['Message-ID', 'm1'],
      ['Content-Type', 'a/b'],
    ],
    body,
  })
  expect(response).toMatchObject({ status: 200, comment: 'OK', toPath: [alice], fromPath: [bob], body: null })
  const received = await peer.nextRequest('SEND')
  expect(received.content).toEqual(body)
  expect(header(received, 'message-id')).toBe('m1')
  expect(peer.frames).toHaveLength(1)
})

test('SENDs that want no 200 get none; an error goes to those with partial too (M-51)', async () => {
  peer.autoAnswer()
  const send = (tid: string, failureReport: string) =>
    client.request({ method: 'SEND', tid, toPath: bob, headers: [['Failure-Report', failureReport]] })
  send('none', 'no')
  send('partial', 'partial')
  await client.response(send('yes1', 'yes'))
  expect(client.frames.map(({ tid }) => tid)).toEqual(['yes1'])
  peer.autoAnswer(413, 'No')
  send('none', 'no')
  await client.response(send('partial', 'partial'))
  await client.response(send('yes2', 'yes'))
  expect(client.frames.map(({ tid }) => tid)).toEqual(['yes1', 'partial', 'yes2'])
})

test('frames not asked for stay to be awaited, in order', async () => {
  for (const method of ['A', 'B', 'C']) peer.request({ method, toPath: alice })
  expect((await client.nextRequest('B')).method).toBe('B')
  expect(await client.nextFrame()).toMatchObject({ method: 'A' })
  expect(await client.frameWhere('the last', ({ kind }) => kind === 'request')).toMatchObject({ method: 'C' })
  expect(client.unclaimed).toEqual([])
})

test('a wait in vain tells what did arrive', async () => {
  peer.request({ method: 'PING', tid: 'ping', toPath: alice, fromPath: bob })
  peer.send('MSRP bad1 SEND\r\nno header\r\n-------bad1$\r\n')
  await client.nextRequest('PING')
  peer.request({ method: 'PONG', tid: 'pong', toPath: alice, fromPath: bob })
  await expect(client.response('abcd', 200)).rejects.toThrow(
    /a response to abcd: not within 200 ms.*not awaited:\s+MSRP pong PONG.*MSRP ping PING.*bad-header-line in bad1/s,
  )
})

test('a wait ends when the connection does', async () => {
  const waiting = client.nextFrame()
  peer.halfClose()
  await expect(waiting).rejects.toThrow(/waited for a frame: the connection closed/)
  await expect(client.nextFrame()).rejects.toThrow(/the connection closed/)
  await client.closed
})

test('a half-closed client still reads', async () => {
  client.request({ method: 'LAST', toPath: bob })
  client.halfClose()
  await peer.nextRequest('LAST')
  peer.request({ method: 'LATE', toPath: alice })
  expect(await client.nextFrame()).toMatchObject({ method: 'LATE' })
})

test('a reset ends the wait of the peer', async () => {
  const waiting = peer.nextFrame()
  await client.reset()
  await expect(waiting).rejects.toThrow(/the connection (closed|failed)/)
})

test('a paused client reads nothing until it resumes', async () => {
  client.pause()
  peer.request({ method: 'PING', toPath: alice })
  await peer.drained()
  await expect(client.nextFrame(100)).rejects.toThrow('not within 100 ms')
  client.resume()
  expect(await client.nextFrame()).toMatchObject({ method: 'PING' })
})

interface DigestCase {
  algorithm: string
  method: string
  qop: string
  username: string
  password: string
  realm: string
  nonce: string
  nc: string
  cnonce: string
  uri: string
  response: string
  rspauth: string
}

test('its digests are those of the vectors (D-1, D-3, D-7)', () => {
  const path = join(import.meta.dirname, '../vectors/digest.json')
  const { cases } = JSON.parse(readFileSync(path, 'utf8')) as { cases: readonly DigestCase[] }
  const usable = cases.filter(
    ({ algorithm, qop }) => ['MD5', 'SHA-256', 'SHA-512-256'].includes(algorithm) && qop === 'auth',
  )
  expect(usable.length).toBeGreaterThanOrEqual(6)
  for (const one of usable) {
    expect(digest(one.algorithm, one, one.method)).toBe(one.response)
    expect(digest(one.algorithm, one, '')).toBe(one.rspauth)
  }
})

/** A relay's side of the exchange, just enough to see what the client sends. */
async function challengeAndAccept(password: string): Promise<Record<string, string>> {
  const first = await peer.nextRequest('AUTH')
  peer.respond(first, 401, 'Unauthorized', [
    ['WWW-Authenticate', 'Digest realm="r \\"x\\"", nonce="n1", qop="auth", algorithm=SHA-256'],
    ['WWW-Authenticate', 'Digest realm="r \\"x\\"", nonce="n2", qop="auth", algorithm=MD5'],
  ])
  const second = await peer.nextRequest('AUTH')
  const given = parseParameters(header(second, 'Authorization') ?? '')
  const { username = '', realm = '', nonce = '', nc = '', cnonce = '', qop = '', algorithm = '' } = given
  const input = { username, password, realm, nonce, nc, cnonce, qop, uri: second.toPath.at(-1) ?? '' }
  if (digest(algorithm, input, 'AUTH') !== given.response) {
    peer.respond(second, 403, 'Forbidden')
    return given
  }
  const rspauth = digest(algorithm, input, '')
  peer.respond(second, 200, 'OK', [
    ['Use-Path', `${bob} ${alice}`],
    ['Expires', header(second, 'Expires') ?? '600'],
    ['Authentication-Info', `rspauth="${rspauth}", cnonce="${cnonce}", nc=${nc}, qop=auth`],
  ])
  return given
}

test('AUTH answers the first challenge it knows and checks the proof of the relay (R-20, R-22, D-8, D-10)', async () => {
  const relay = challengeAndAccept('s3cret')
  const outcome = await client.auth({ username: 'alice', password: 's3cret', expires: 900 })
  expect(await relay).toMatchObject({ realm: 'r "x"', nonce: 'n1', nc: '00000001', algorithm: 'SHA-256', qop: 'auth' })
  expect(outcome).toMatchObject({ usePath: [bob, alice], expires: 900, rspauthOk: true })
  expect([outcome.first.status, outcome.final.status]).toEqual([401, 200])
})

test('AUTH with another password is refused, and with an algorithm asked for answers that challenge', async () => {
  const relay = challengeAndAccept('other')
  const outcome = await client.auth({ username: 'alice', password: 's3cret', algorithm: 'MD5' })
  expect(await relay).toMatchObject({ nonce: 'n2', algorithm: 'MD5' })
  expect(outcome).toMatchObject({ usePath: [], expires: null, rspauthOk: null, final: { status: 403 } })
})

test('a composed response without comment and a body without Content-Type', () => {
  expect(frameText({ tid: 'abcd', status: 200, toPath: alice, fromPath: bob }).toString()).toBe(
    `MSRP abcd 200\r\nTo-Path: ${alice}\r\nFrom-Path: ${bob}\r\n-------abcd$\r\n`,
  )
  expect(
    frameText({ tid: 'abcd', method: 'X', toPath: [bob, alice], fromPath: bob, body: 'é', flag: '+' }).toString(),
  ).toBe(
    `MSRP abcd X\r\nTo-Path: ${bob} ${alice}\r\nFrom-Path: ${bob}\r\nContent-Type: text/plain\r\n\r\né\r\n-------abcd+\r\n`,
  )
})
