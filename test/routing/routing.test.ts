import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { defaultRouting } from '../../src/routing/default-routing.ts'
import type { MsrpRequest, Routing } from '../../src/routing/routing.ts'
import { startRelay } from '../support/relay.ts'

/** alice and bob at a relay whose SENDs are decided by `onSend`; everything else as by default. */
async function withRouting(onSend: NonNullable<Routing['onMsrpRequest']>) {
  const routing: Routing = {
    onMsrpRequest: (frame, msrp) =>
      frame.method === 'SEND' ? onSend(frame, msrp) : defaultRouting.onMsrpRequest(frame, msrp),
  }
  const relay = await startRelay({ workers: 0, routing, own: true })
  const [alice, bob] = [await relay.session('alice'), await relay.session('bob')]
  return { relay, alice, bob, toBob: [alice.relayUri, ...bob.path] }
}

describe('a routing', () => {
  test('that promises its verdict holds its connection back meanwhile, in order, and nobody else', async () => {
    const waits = [60, 5, 30]
    const { alice, bob, toBob } = await withRouting(async (frame, msrp) => {
      const body = Buffer.from(frame.body ?? []).toString()
      if (body.startsWith('slow')) await sleep(waits.shift() ?? 0)
      return msrp.relay()
    })
    const bodies = ['slow 1', 'slow 2', 'slow 3', 'quick']
    const answers = bodies.map((body) => alice.client.transact({ method: 'SEND', toPath: toBob, body }))
    // bob's own connection is not held back by what is decided about alice's.
    const toAlice = [bob.relayUri, ...alice.path]
    expect((await bob.client.transact({ method: 'SEND', toPath: toAlice, body: 'meanwhile' })).status).toBe(200)
    expect(waits.length).toBeGreaterThan(0)
    for (const body of bodies) expect((await bob.client.nextRequest('SEND')).content?.toString()).toBe(body)
    expect((await Promise.all(answers)).map(({ status }) => status)).toEqual([200, 200, 200, 200])
  })

  test('answers with what it likes (msrp_reply, K-1), but never where the sender wants no answer (M-51)', async () => {
    const { alice, bob, toBob } = await withRouting((_frame, msrp) =>
      msrp.reply(415, 'Signed Messages Only', [['X-Policy', 'signed']]),
    )
    const refused = await alice.client.transact({ method: 'SEND', toPath: toBob, body: 'plain' })
    expect([refused.status, refused.headers.at(-1)]).toEqual([415, ['X-Policy', 'signed']])
    const before = alice.client.frames.length
    alice.client.request({
      method: 'SEND',
      toPath: toBob,
      headers: [
        ['Message-ID', 'm123'],
        ['Failure-Report', 'no'],
      ],
      body: 'x',
    })
    await alice.client.transact({ method: 'SEND', toPath: toBob, body: 'plain' })
    expect(alice.client.frames).toHaveLength(before + 1)
    expect(bob.client.frames.filter(({ kind }) => kind === 'request')).toEqual([])
  })

  test('that throws or rejects loses its frame alone: the error is logged and the connection goes on', async () => {
    const { relay, alice, bob, toBob } = await withRouting((frame, msrp) => {
      const body = Buffer.from(frame.body ?? []).toString()
      if (body === 'throw') throw new Error('a fault in the routing')
      return body === 'reject' ? Promise.reject(new Error('a later fault')) : msrp.relay()
    })
    for (const body of ['throw', 'reject'])
      alice.client.request({ method: 'SEND', toPath: toBob, headers: [['Message-ID', 'm123']], body })
    expect((await alice.client.transact({ method: 'SEND', toPath: toBob, body: 'good' })).status).toBe(200)
    expect((await bob.client.nextRequest('SEND')).content?.toString()).toBe('good')
    const log = JSON.stringify(relay.log)
    expect(log).toContain('the routing failed')
  })

  test('cannot look at a frame after it has returned: its octets are another frame by then', async () => {
    let kept: MsrpRequest | undefined
    const { alice, toBob } = await withRouting((frame, msrp) => {
      kept = frame
      return msrp.relay()
    })
    await alice.client.transact({ method: 'SEND', toPath: toBob, body: 'x' })
    expect(() => kept?.messageId).toThrow(/after its handler returned/)
  })

  test('sees what Kamailio shows of a frame (K-6)', async () => {
    const seen: unknown[] = []
    const { alice, toBob } = await withRouting((frame, msrp) => {
      seen.push(frame.method, frame.nextHops, frame.messageId, frame.failureReport, frame.flag, frame.byteRange)
      seen.push(
        frame.toPath.map(({ text }) => text),
        frame.fromPath.map(({ text }) => text),
        frame.header('x-NOTE'),
      )
      return msrp.relay()
    })
    const headers = [
      ['Message-ID', 'm123'],
      ['Byte-Range', '1-*/5'],
      ['X-Note', 'grüße'],
    ] as const
    await alice.client.transact({ method: 'SEND', toPath: toBob, headers, body: 'hello' })
    expect(seen).toEqual([
      'SEND',
      2,
      'm123',
      'yes',
      '$',
      { start: 1, end: null, total: 5 },
      toBob,
      [alice.uri],
      'grüße',
    ])
  })
})
