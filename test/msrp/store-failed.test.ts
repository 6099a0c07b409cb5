import { describe, expect, test } from 'vitest'
import { header, randomTid } from '../support/msrp-client.ts'
import {
  type Endpoint,
  laneSetups,
  passwords,
  type Relay,
  type RelayOptions,
  settle,
  startRelay,
} from '../support/relay.ts'
import { SipAgent } from '../support/sip-agent.ts'

const both = {
  own: true,
  config: {
    listen: [{ url: 'msrp://127.0.0.1:0' }, { url: 'sip://127.0.0.1:0' }],
    msrp: { store_failed: true, store_failed_max: 100 },
    silo: { add_date: 0 },
  },
}

interface Sent {
  readonly body: string
  readonly contentType?: string
  readonly range?: string
  readonly flag?: '$' | '+' | '#'
  readonly failureReport?: 'yes' | 'no' | 'partial'
}

function send(
  from: Endpoint,
  to: Endpoint,
  { body, contentType = 'text/plain', range, flag = '$', failureReport }: Sent,
) {
  return from.client.transact({
    method: 'SEND',
    toPath: [from.relayUri, ...to.path],
    headers: [
      ['Message-ID', randomTid()],
      ['Byte-Range', range ?? `1-${body.length}/${body.length}`],
      ...(failureReport === undefined ? [] : [['Failure-Report', failureReport] as const]),
      ['Content-Type', contentType],
    ],
    flag,
    body,
  })
}

/** Alice, and bob who has gone. */
async function partedFromBob(how: RelayOptions, config: object = {}) {
  const relay = await startRelay({ ...both, ...how, config: { ...both.config, ...config } })
  const [alice, bob] = [await relay.session('alice'), await relay.session('bob')]
  await bob.client.close()
  await gone(relay)
  return { relay, alice, bob }
}

async function gone(relay: Relay): Promise<void> {
  await expect.poll(() => relay.metric('silopath_connections')).toBe(1)
}

async function bobRegisters(relay: Relay): Promise<SipAgent> {
  const { port } = relay.server.listeners[1]!
  const agent = await SipAgent.create({
    transport: 'tcp',
    server: { host: '127.0.0.1', port },
    user: 'bob',
    password: passwords.bob,
    domain: 'relay.test',
  })
  expect((await agent.register()).status).toBe(200)
  return agent
}

describe.each(laneSetups)('msrp.store_failed ($setup): a text whose far end is gone', ({ how }) => {
  test('is kept, its sender told by REPORT, and its reader gets it as MESSAGE (R-40, R-47, SILO-20)', async () => {
    const { relay, alice, bob } = await partedFromBob(how)
    expect((await send(alice, bob, { body: 'are you there?' })).status).toBe(200)
    const report = await alice.client.nextRequest('REPORT')
    expect(header(report, 'Status')).toBe('000 202 Stored')
    expect(header(report, 'Byte-Range')).toBe('1-14/14')
    const agent = await bobRegisters(relay)
    const message = await agent.expect('MESSAGE')
    expect(message.message.text).toBe('are you there?')
    expect(message.message.header('From')).toContain('<sip:alice@relay.test>')
    message.reply(200)
    await expect.poll(() => relay.metric('silopath_silo_messages', { state: 'waiting' })).toBe(0)
    await agent.close()
  })

  test('that the silo has no room for gets 481 by REPORT', async () => {
    const { alice, bob } = await partedFromBob(how, { silo: { max_messages: 1 } })
    expect((await send(alice, bob, { body: 'one' })).status).toBe(200)
    expect(header(await alice.client.nextRequest('REPORT'), 'Status')).toBe('000 202 Stored')
    expect((await send(alice, bob, { body: 'two' })).status).toBe(200)
    expect(header(await alice.client.nextRequest('REPORT'), 'Status')).toBe('000 481 No Such Session')
  })

  test.each([
    ['larger than store_failed_max', { body: 'x'.repeat(101) }],
    ['no text', { body: 'GIF', contentType: 'image/gif' }],
    ['a part of a message', { body: 'half', range: '1-4/8' }],
    ['not the end of its message', { body: 'half', range: '1-*/8', flag: '+' as const }],
  ])('is answered 481 when it is %s', async (_what, sent) => {
    const { alice, bob } = await partedFromBob(how)
    expect((await send(alice, bob, sent)).status).toBe(481)
  })

  test('is answered 481 when nobody says that it should be kept', async () => {
    const { alice, bob } = await partedFromBob(how, { msrp: {} })
    expect((await send(alice, bob, { body: 'lost' })).status).toBe(481)
  })

  test('goes into no inbox when its session is none that was ours', async () => {
    const { alice, bob, relay } = await partedFromBob(how)
    const [first, ...others] = bob.path
    const forged = { ...bob, path: [first!.replace(/[^/]{22};tcp$/, 'AAAAAAAAAAAAAAAAAAAAAA;tcp'), ...others] }
    expect((await send(alice, forged, { body: 'guess' })).status).toBe(200)
    expect(header(await alice.client.nextRequest('REPORT'), 'Status')).toBe('000 481 No Such Session')
    expect(await relay.metric('silopath_silo_stored_messages_total')).toBe(0)
  })

  test('is not reported about when its sender does not want that (M-51)', async () => {
    const { alice, bob, relay } = await partedFromBob(how)
    alice.client.request({
      method: 'SEND',
      toPath: [alice.relayUri, ...bob.path],
      headers: [
        ['Message-ID', randomTid()],
        ['Failure-Report', 'no'],
        ['Content-Type', 'text/plain'],
      ],
      body: 'quiet',
    })
    await expect.poll(() => relay.metric('silopath_silo_stored_messages_total')).toBe(1)
    await settle(alice)
    expect(alice.client.frames.filter(({ kind }) => kind === 'request')).toEqual([])
  })
})
