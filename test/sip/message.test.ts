import { describe, expect, test } from 'vitest'
import { FakeTicker } from '../support/fake-ticker.ts'
import type { SipAgent } from '../support/sip-agent.ts'
import type { Transport } from '../support/sip-agent-channel.ts'
import { eventually, type SipBed, sipDomain, startSip, transports } from '../support/sip-server.ts'

/** Requests that an agent has got, copies included. */
function requestsTo(agent: SipAgent): number {
  return agent.received.filter(({ message }) => message.kind === 'request').length
}

/** Resolves when the server has dealt with all that the agent has sent on its connection so far. */
async function settled(agent: SipAgent): Promise<void> {
  expect((await agent.request('OPTIONS', `sip:${sipDomain}`)).status).toBe(200)
}

const pairs = transports.flatMap((from): [Transport, Transport][] => [
  [from, from],
  [from, transports[(transports.indexOf(from) + 2) % transports.length]!],
])

describe.each(pairs)('a MESSAGE from %s to %s', (from, to) => {
  test('arrives as it was sent, and its answer comes back (S-43, S-44, S-52, S-71, S-80, S-81)', async () => {
    const bed = await startSip()
    const alice = await bed.online('alice', from)
    const bob = await bed.online('bob', to)
    const headers = [
      ['Subject', 'a, b'],
      ['X-Odd', 'one'],
      ['x-odd', 'two'],
    ] as const
    const exchange = alice.exchange('MESSAGE', bob.uri, { headers, body: 'Grüße,\r\n\r\nAlice', maxForwards: 20 })
    const request = await bob.expect('MESSAGE')
    const { message } = request
    expect(message.uri).toBe(bob.contact.slice(1, -1))
    expect(message.text).toBe('Grüße,\r\n\r\nAlice')
    expect(message.header('Max-Forwards')).toBe('19')
    expect(message.all('X-Odd')).toEqual(['one', 'two'])
    expect(message.header('Subject')).toBe('a, b')
    expect(message.header('Record-Route')).toBeNull()
    expect(message.header('To')).toBe(`<${bob.uri}>`)
    expect(message.vias.map(({ protocol }) => protocol)).toEqual([to, from].map((name) => name.toUpperCase()))
    expect(message.vias[1]!.branch).toBe(exchange.current.request.vias[0]!.branch)
    request.reply(200, 'Got It', { headers: [['X-Seen', 'yes']] })
    const response = await exchange.final()
    expect(response).toMatchObject({ status: 200, reason: 'Got It', toTag: request.localTag })
    expect(response.header('X-Seen')).toBe('yes')
    expect(exchange.current.responses).toHaveLength(1)
  })
})

describe('a MESSAGE to a user', () => {
  test.each([0, 2])(
    'who is called by our address is for one of the first domain (S-60; workers: %i)',
    async (workers) => {
      const bed = await startSip({ workers })
      const alice = await bed.online('alice', 'tcp')
      const bob = await bed.online('bob', 'ws')
      bob.on('MESSAGE', (request) => request.reply(200))
      const { host, port } = bed.address('tcp')
      expect((await alice.message(`sip:bob@${host}:${port}`, 'by address')).status).toBe(200)
      expect((await alice.message('sip:%62ob@SIP.test', 'written otherwise')).status).toBe(200)
    },
  )

  test('behind NAT comes to where the REGISTER came from, whatever the contact says (S-71)', async () => {
    const bed = await startSip()
    const alice = await bed.online('alice', 'tcp')
    for (const transport of transports) {
      const bob = await bed.agent('bob', transport)
      await bob.register({ contacts: ['<sip:bob@10.255.255.1:5060>'] })
      bob.on('MESSAGE', (request) => request.reply(200))
      expect((await alice.message(bob.uri, 'x')).status).toBe(200)
      const [request] = bob.received.flatMap(({ message }) => (message.kind === 'request' ? [message] : []))
      expect(request!.uri).toBe('sip:bob@10.255.255.1:5060')
    }
  })

  test('whom nobody knows: 404; who has no contact: 480 (S-43)', async () => {
    const bed = await startSip({ own: true })
    const alice = await bed.online('alice', 'tcp')
    expect((await alice.message(`sip:nobody@${sipDomain}`, 'x')).status).toBe(404)
    expect((await alice.message(`sip:bob@${sipDomain}`, 'x')).status).toBe(480)
    const bob = await bed.online('bob', 'tcp')
    await bob.register({ expires: 0 })
    expect((await alice.message(bob.uri, 'x')).status).toBe(480)
    expect(await bed.metric('silopath_sip_proxied_total', { outcome: 'not_found' })).toBe(1)
    expect(await bed.metric('silopath_sip_proxied_total', { outcome: 'offline' })).toBe(2)
  })

  test('whose devices do not take it: 480 (S-43)', async () => {
    const bed = await startSip()
    const alice = await bed.online('alice', 'tcp')
    const bob = await bed.agent('bob', 'tcp')
    await bob.register({ contacts: [`${bob.contact};methods="INVITE,BYE"`] })
    expect((await alice.message(bob.uri, 'x')).status).toBe(480)
  })

  test.each([
    [404, 404],
    [405, 405],
    [415, 415],
    [486, 486],
    [488, 488],
    [500, 500],
    [503, 500],
    [600, 600],
    [606, 606],
    [302, 302],
  ])('who answers %i: the sender gets %i (S-46, S-47, S-81)', async (status, relayed) => {
    const bed = await startSip({ own: true })
    const alice = await bed.online('alice', 'tcp')
    const bob = await bed.online('bob', 'tcp')
    bob.on('MESSAGE', (request) => request.reply(status, 'No', { headers: [['X-Why', 'so']] }))
    const response = await alice.message(bob.uri, 'x')
    expect(response.status).toBe(relayed)
    if (status === relayed) expect(response.header('X-Why')).toBe('so')
    expect(await bed.metric('silopath_sip_proxied_total', { outcome: 'rejected' })).toBe(1)
  })
})

describe('a MESSAGE to several contacts', () => {
  async function devices(bed: SipBed, qs: readonly string[]): Promise<SipAgent[]> {
    const all: SipAgent[] = []
    for (const [i, q] of qs.entries()) {
      const device = await bed.agent('bob', i % 2 === 0 ? 'tcp' : 'udp')
      expect((await device.register({ contacts: [`${device.contact};q=${q}`] })).status).toBe(200)
      all.push(device)
    }
    return all
  }

  test('of equal q goes to all at once; the first 2xx is the answer, and the only one (S-51, S-86)', async () => {
    const bed = await startSip()
    const [desk, phone, pad] = (await devices(bed, ['0.5', '0.5', '0.5'])) as [SipAgent, SipAgent, SipAgent]
    const alice = await bed.online('alice', 'tcp')
    const exchange = alice.exchange('MESSAGE', desk.uri, { body: 'all of you' })
    const requests = await Promise.all([desk, phone, pad].map((device) => device.expect('MESSAGE')))
    const branches = requests.map(({ message }) => message.vias[0]!.branch)
    expect(new Set(branches).size).toBe(3)
    requests[1]!.reply(486, 'Busy Here')
    requests[2]!.reply(200, 'Pad')
    expect(await exchange.final()).toMatchObject({ status: 200, reason: 'Pad' })
    requests[0]!.reply(200, 'Desk')
    await settled(desk)
    await settled(alice)
    expect(exchange.current.responses.map(({ status }) => status)).toEqual([200])
  })

  test('goes to the one of highest q first, to others when that has failed (S-51)', async () => {
    const bed = await startSip()
    const [low, high] = (await devices(bed, ['0.1', '1.0'])) as [SipAgent, SipAgent]
    const alice = await bed.online('alice', 'tcp')
    const exchange = alice.exchange('MESSAGE', low.uri, { body: 'one of you' })
    const first = await high.expect('MESSAGE')
    await settled(low)
    expect(requestsTo(low)).toBe(0)
    first.reply(480, 'Not Now')
    const second = await low.expect('MESSAGE')
    second.reply(200)
    expect((await exchange.final()).status).toBe(200)
  })

  test('that all refuse: the best of their answers (S-46)', async () => {
    const bed = await startSip()
    const [desk, phone, pad] = (await devices(bed, ['1', '1', '1'])) as [SipAgent, SipAgent, SipAgent]
    const alice = await bed.online('alice', 'tcp')
    desk.on('MESSAGE', (request) => request.reply(500, 'Desk'))
    phone.on('MESSAGE', (request) => request.reply(415, 'Phone'))
    pad.on('MESSAGE', (request) => request.reply(480, 'Pad'))
    expect(await alice.message(desk.uri, 'x')).toMatchObject({ status: 415, reason: 'Phone' })
  })

  test('more than sip.max_branches: the rest are left out (S-51)', async () => {
    const bed = await startSip({ config: { sip: { max_branches: 2 } } })
    const [low, one, two] = (await devices(bed, ['0.1', '0.9', '0.9'])) as [SipAgent, SipAgent, SipAgent]
    const alice = await bed.online('alice', 'tcp')
    for (const device of [low, one, two]) device.on('MESSAGE', (request) => request.reply(480, 'No'))
    expect((await alice.message(low.uri, 'x')).status).toBe(480)
    expect([low, one, two].map(requestsTo)).toEqual([0, 1, 1])
  })
})

describe('large ones', () => {
  test('over UDP beyond the limit get 513 (S-82)', async () => {
    const bed = await startSip({ config: { sip: { max_message_udp: 2000 } } })
    const alice = await bed.agent('alice', 'udp')
    const bob = await bed.online('bob', 'tcp')
    bob.on('MESSAGE', (request) => request.reply(200))
    expect((await alice.message(bob.uri, 'x'.repeat(1000))).status).toBe(200)
    expect((await alice.message(bob.uri, 'x'.repeat(2000))).status).toBe(513)
    expect(requestsTo(bob)).toBe(1)
  })

  test('are never put into a datagram: 513 when the contact has no other way (S-24, S-82)', async () => {
    const bed = await startSip()
    const alice = await bed.online('alice', 'tcp')
    const bob = await bed.online('bob', 'udp')
    bob.on('MESSAGE', (request) => request.reply(200))
    expect((await alice.message(bob.uri, 'x'.repeat(700))).status).toBe(200)
    expect((await alice.message(bob.uri, 'x'.repeat(1300))).status).toBe(513)
    expect(requestsTo(bob)).toBe(1)
  })

  test.each(['tcp', 'tls', 'ws', 'wss'] as const)('over %s arrive whole (S-82)', async (transport) => {
    const bed = await startSip()
    const alice = await bed.online('alice', transport)
    const bob = await bed.online('bob', transport)
    bob.on('MESSAGE', (request) => request.reply(200))
    const body = Array.from({ length: 6_000 }, (_, i) => `line ${i}`)
      .join('\r\n')
      .slice(0, 60_000)
    expect((await alice.message(bob.uri, body)).status).toBe(200)
    const [received] = bob.received.filter(({ message }) => message.kind === 'request')
    expect(received!.message.text).toBe(body)
  })

  test('of more octets than anybody may send get 413, and the connection ends (S-5, S-82)', async () => {
    const bed = await startSip()
    const alice = await bed.online('alice', 'tcp')
    const transaction = alice.start('MESSAGE', `sip:bob@${sipDomain}`, { body: 'x'.repeat(70_000) })
    expect((await transaction.final()).status).toBe(413)
    await alice.disconnected
  })
})

describe('loss over UDP', () => {
  test('of an answer: the copy of the request gets the same answer, and goes nowhere (S-34)', async () => {
    const bed = await startSip({ own: true })
    const alice = await bed.agent('alice', 'udp', { t1Ms: 20 })
    const bob = await bed.online('bob', 'udp')
    bob.on('MESSAGE', (request) => request.reply(200))
    alice.lose((message) => message.kind === 'response' && message.status === 200, 2)
    expect((await alice.message(bob.uri, 'again?')).status).toBe(200)
    const answers = alice.received.filter(({ message }) => message.kind === 'response' && message.status === 200)
    expect(answers.length).toBeGreaterThanOrEqual(3)
    expect(new Set(answers.map(({ message }) => message.octets.toString())).size).toBe(1)
    expect(requestsTo(bob)).toBe(1)
    await eventually(() =>
      bed.metric('silopath_sip_transaction_events_total', { event: 'retransmission_absorbed' }),
    ).toBeGreaterThanOrEqual(2)
  })

  test('of a request that we have sent: we send it again, the very same octets (S-34)', async () => {
    const bed = await startSip({ own: true, config: { sip: { timer_t1: 0.1 } } })
    const alice = await bed.online('alice', 'tcp')
    const bob = await bed.online('bob', 'udp')
    bob.on('MESSAGE', (request) => request.reply(200))
    bob.lose((message) => message.kind === 'request', 2)
    expect((await alice.message(bob.uri, 'again')).status).toBe(200)
    const requests = bob.received.filter(({ message }) => message.kind === 'request')
    expect(requests.map(({ isLost }) => isLost)).toEqual([true, true, false])
    expect(requests[2]!.message.octets).toEqual(requests[0]!.message.octets)
    await eventually(() => bed.metric('silopath_sip_transaction_events_total', { event: 'retransmission_sent' })).toBe(
      2,
    )
  })

  test('of all answers: 100 when the client might be impatient, and never 408 (S-34, S-36)', async () => {
    const clock = new FakeTicker()
    const bed = await startSip({ clock })
    const alice = await bed.agent('alice', 'udp')
    const bob = await bed.online('bob', 'udp')
    bob.answersCopies = false
    const exchange = alice.exchange('MESSAGE', bob.uri, { body: 'hello?' })
    const request = await bob.expect('MESSAGE')
    expect(exchange.current.responses).toEqual([])
    // Timer E: 0.5, 1, 2 and then every 4 s.
    for (const copies of [1, 2, 3]) {
      clock.advance(500 * 2 ** (copies - 1))
      await eventually(() => request.copies).toBe(copies)
    }
    clock.advance(4_000)
    expect((await exchange.current.response(100)).toTag).toBeNull()
    clock.advance(60_000)
    await eventually(() => bed.metric('silopath_sip_proxied_total', { outcome: 'timed_out' })).toBe(1)
    await settled(alice)
    expect(exchange.current.responses.map(({ status }) => status)).toEqual([100])
  })

  test('a late answer is nobody’s (S-36)', async () => {
    const clock = new FakeTicker()
    const bed = await startSip({ clock })
    const alice = await bed.online('alice', 'tcp')
    const bob = await bed.online('bob', 'tcp')
    const exchange = alice.exchange('MESSAGE', bob.uri, { body: 'hello?' })
    const request = await bob.expect('MESSAGE')
    clock.advance(70_000)
    request.reply(200)
    await settled(bob)
    await settled(alice)
    expect(exchange.current.responses.every(({ status }) => status === 100)).toBe(true)
    clock.advance(1_000)
    expect(await bed.metric('silopath_sip_transaction_events_total', { event: 'stray_response' })).toBe(1)
  })

  test('a contact that does not answer does not keep the next from its turn (S-51)', async () => {
    const clock = new FakeTicker()
    const bed = await startSip({ clock })
    const alice = await bed.online('alice', 'tcp')
    const dead = await bed.agent('bob', 'udp')
    await dead.register({ contacts: [`${dead.contact};q=1`] })
    dead.answersCopies = false
    const alive = await bed.agent('bob', 'tcp')
    await alive.register({ contacts: [`${alive.contact};q=0.5`] })
    const exchange = alice.exchange('MESSAGE', alive.uri, { body: 'anybody?' })
    await dead.expect('MESSAGE')
    clock.advance(20_000)
    const request = await alive.expect('MESSAGE')
    request.reply(200)
    expect((await exchange.final()).status).toBe(200)
  })
})

test('a connection that closes while an answer is awaited: the message has failed at once (S-49, S-71)', async () => {
  const bed = await startSip({ own: true })
  const alice = await bed.online('alice', 'tcp')
  const bob = await bed.online('bob', 'ws')
  const exchange = alice.exchange('MESSAGE', bob.uri, { body: 'still there?' })
  await bob.expect('MESSAGE')
  await bob.close()
  expect((await exchange.final()).status).toBeGreaterThanOrEqual(480)
  expect(await bed.metric('silopath_sip_proxied_total', { outcome: 'unreachable' })).toBe(1)
})
