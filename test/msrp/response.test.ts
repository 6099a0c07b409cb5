import { describe, expect, test } from 'vitest'
import { frameText, header, type ReceivedRequest } from '../support/msrp-client.ts'
import { type Endpoint, eventually, laneSetups, settle, startRelay } from '../support/relay.ts'

/** A chunk of alice's that bob has got and not answered. */
async function sendToBob(how: Parameters<typeof startRelay>[0], method = 'SEND') {
  const relay = await startRelay(how)
  const [alice, bob, mallory] = [
    await relay.session('alice'),
    await relay.session('bob'),
    await relay.session('mallory'),
  ]
  const headers = method === 'SEND' ? ([['Message-ID', 'm123']] as const) : []
  const tid = alice.client.request({ method, toPath: [alice.relayUri, ...bob.path], headers, body: 'hello' })
  const received = await bob.client.nextRequest(method)
  const strays = () => relay.metric('silopath_msrp_frames_dropped_total', { reason: 'stray_response' })
  const settled = () => relay.metric('silopath_msrp_deliveries_total', { outcome: 'acknowledged' })
  return { relay, alice, bob, mallory, tid, received, strays, settled }
}

/** A character that may stand there, but another. */
function replaced(tid: string, at: number): string {
  return `${tid.slice(0, at)}${tid[at] === 'x' ? 'y' : 'x'}${tid.slice(at + 1)}`
}

/** The transaction was not ended by what came before: an error still is news to alice, and the first. */
async function expectOpen(alice: Endpoint, bob: Endpoint, received: ReceivedRequest): Promise<void> {
  bob.client.respond(received, 415)
  expect(header(await alice.client.nextRequest('REPORT'), 'Status')).toMatch(/^000 415/)
}

describe.each(laneSetups)('response ($setup)', ({ how }) => {
  test('R-60: a match ends the transaction; what comes after it is a stray', async () => {
    const { alice, bob, received, strays, settled } = await sendToBob(how)
    bob.client.respond(received, 200)
    await eventually(settled).toBe(1)
    bob.client.respond(received, 500)
    bob.client.respond(received, 200)
    await settle(bob)
    await eventually(strays).toBe(2)
    await settle(alice)
    expect(alice.client.frames.filter(({ kind }) => kind === 'request')).toEqual([])
  })

  test('R-60: an error that comes twice is reported once', async () => {
    const { alice, bob, received, strays } = await sendToBob(how)
    bob.client.respond(received, 413)
    bob.client.respond(received, 413)
    expect(header(await alice.client.nextRequest('REPORT'), 'Status')).toMatch(/^000 413/)
    await eventually(strays).toBe(1)
    await settle(alice)
    expect(alice.client.unclaimed.filter(({ kind }) => kind === 'request')).toEqual([])
  })

  test('R-60: no part of a transaction id can be guessed from the rest', async () => {
    const { alice, bob, received, strays } = await sendToBob(how)
    const guesses = [
      ...Array.from(received.tid, (_, at) => replaced(received.tid, at)),
      `${received.tid}x`,
      received.tid.slice(0, -1),
      received.tid.toLowerCase(),
      'unrelated',
      'AAAA',
      'A'.repeat(32),
      'AAAAAAAAAAAAAAAA',
    ].filter((tid) => tid !== received.tid)
    for (const tid of guesses) bob.client.respond({ ...received, tid }, 500)
    await settle(bob)
    await eventually(strays).toBe(guesses.length)
    await expectOpen(alice, bob, received)
  })

  test('R-60: a response on another connection is a stray, whoever sends it', async () => {
    const { relay, alice, bob, mallory, received, strays } = await sendToBob(how)
    const stranger = await relay.connect()
    for (const client of [mallory.client, alice.client, stranger]) client.respond(received, 500)
    await settle(mallory)
    await settle(alice)
    await eventually(strays).toBe(3)
    await expectOpen(alice, bob, received)
  })

  test('R-60: a response for another host is dropped', async () => {
    const { alice, bob, received, strays } = await sendToBob(how)
    const response = { tid: received.tid, status: 500, toPath: 'msrp://elsewhere.test:2855/x;tcp', fromPath: bob.uri }
    bob.client.send(frameText(response))
    await settle(bob)
    await eventually(strays).toBe(1)
    await expectOpen(alice, bob, received)
  })

  test('R-63: the response to a SEND ends here, also if its path goes on', async () => {
    const { alice, bob, received, settled } = await sendToBob(how)
    const response = { tid: received.tid, status: 200, toPath: received.fromPath, fromPath: bob.uri }
    bob.client.send(frameText(response))
    await eventually(settled).toBe(1)
    await settle(bob)
    await settle(alice)
    // Two for the AUTH, one for the SEND, one for the keep-alive.
    expect(alice.client.frames.map((frame) => frame.kind === 'response' && frame.status)).toEqual([401, 200, 200, 200])
  })

  test('R-60, M-61: a response that cannot be parsed is dropped, and the transaction stays open', async () => {
    const { alice, bob, received } = await sendToBob(how)
    const { tid } = received
    bob.client.send(`MSRP ${tid} 200 OK\r\nTo-Path: nonsense\r\nFrom-Path: ${bob.uri}\r\n-------${tid}$\r\n`)
    bob.client.send(`MSRP ${tid} 200 OK\r\nFrom-Path: ${bob.uri}\r\n-------${tid}$\r\n`)
    const before = bob.client.frames.length
    await settle(bob)
    expect(bob.client.frames).toHaveLength(before + 1)
    await expectOpen(alice, bob, received)
  })

  test('R-62: the response to another method goes back the way of its request', async () => {
    const { alice, bob, tid, received, strays } = await sendToBob(how, 'NICKNAME')
    const headers = [
      ['X-Detail', 'a  b'],
      ['Use-Path', 'msrp://far.test:2855/f;tcp'],
    ] as const
    bob.client.respond(received, 425, 'Nickname reserved', headers)
    const response = await alice.client.response(tid)
    expect([response.status, response.comment]).toEqual([425, 'Nickname reserved'])
    expect(response.toPath).toEqual([alice.uri])
    expect(response.fromPath).toEqual([alice.relayUri, bob.relayUri, bob.uri])
    //
    expect(response.headers.slice(2)).toEqual(headers)
    // it was the one.
    bob.client.respond(received, 200)
    await eventually(strays).toBe(1)
    await settle(alice)
    expect(alice.client.unclaimed).toEqual([])
  })

  test('R-62: transaction ids of any length and look are restored', async () => {
    const { relay, bob } = await sendToBob(how)
    const stranger = await relay.connect()
    const tids = ['abcd', 'a.-+%=', '0'.repeat(32), 'aaaaaaaaaaaaaaaa', 'Zz9.'.repeat(8)]
    const sent = tids.map((tid) => stranger.transact({ method: 'NICKNAME', tid, toPath: bob.path }))
    const received = await Promise.all(tids.map(() => bob.client.nextRequest('NICKNAME')))
    for (const request of received.toReversed()) bob.client.respond(request, 200)
    const responses = await Promise.all(sent)
    expect(responses.map(({ tid }) => tid)).toEqual(tids)
    for (const { toPath, fromPath } of responses) {
      expect(toPath).toEqual([stranger.uri])
      expect(fromPath).toEqual([bob.relayUri, bob.uri])
    }
  })

  test('R-62: with its requester gone a response is dropped silently', async () => {
    const { relay, alice, bob, received } = await sendToBob(how, 'NICKNAME')
    await alice.client.close()
    await eventually(() => relay.metric('silopath_msrp_sessions_total', { event: 'closed' })).toBe(1)
    bob.client.respond(received, 200)
    const dropped = () => relay.metric('silopath_msrp_frames_dropped_total', { reason: 'closed_connection' })
    await eventually(dropped).toBe(1)
    expect((await settle(bob)).status).toBe(200)
    expect(bob.client.frames.filter((frame) => frame.kind === 'request')).toHaveLength(1)
  })
})
