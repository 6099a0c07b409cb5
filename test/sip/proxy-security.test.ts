import { SignJWT } from 'jose'
import { describe, expect, test } from 'vitest'
import type { SipAgent } from '../support/sip-agent.ts'
import type { Transport } from '../support/sip-agent-channel.ts'
import { type Dialog, msrpSdp } from '../support/sip-agent-dialog.ts'
import { messageText, token } from '../support/sip-agent-message.ts'
import { passwordOf, type SipBed, sipDomain, startSip, transports, uriOf } from '../support/sip-server.ts'

/** Statuses of the final responses that an agent has got, in order. */
function finals(agent: SipAgent): number[] {
  return agent.received.flatMap(({ message }) =>
    message.kind === 'response' && message.status >= 200 ? [message.status] : [],
  )
}

function flipped(text: string): string {
  return text.replace(/<sips?:(.)/, (found, first: string) => found.slice(0, -1) + (first === 'A' ? 'B' : 'A'))
}

/** A dialog between Alice and Bob; and the number of challenges that it took. */
async function dialogOf(alice: SipAgent, bob: SipAgent): Promise<{ here: Dialog; there: Dialog }> {
  const call = alice.invite(bob.uri)
  const invite = await bob.expect('INVITE')
  const answered = call.answered()
  const there = invite.accept(msrpSdp(bob.local))
  const here = await answered
  await bob.expect('ACK')
  return { here, there }
}

describe.each(transports)('over %s, a stranger (S-54)', (transport) => {
  test('reaches our users, but nobody elsewhere, and is nobody of ours', async () => {
    const bed = await startSip()
    const eve = await bed.stranger(transport)
    const frank = await bed.foreign('udp')
    const bob = await bed.online('bob', 'tcp')
    bob.on('MESSAGE', (request) => request.reply(200))
    expect((await eve.message(bob.uri, 'hello')).status).toBe(200)
    expect((await eve.message(uriOf(frank), 'hello')).status).toBe(403)
    expect((await eve.message('sip:someone@far.test', 'hello')).status).toBe(403)
    const refused = await eve.message(bob.uri, 'it is me', { from: `<sip:alice@${sipDomain}>` })
    expect(refused.status).toBe(407)
    expect(refused.all('Proxy-Authenticate')).toHaveLength(2)
    expect(frank.received).toEqual([])
    expect(bob.received.filter(({ message }) => message.kind === 'request')).toHaveLength(1)
  })
})

describe('the relay is not open', () => {
  test('to who knows its address, as Route, Request-URI or maddr (S-42, S-54)', async () => {
    const bed = await startSip()
    const frank = await bed.foreign('tcp')
    const eve = await bed.stranger('tcp')
    const { host, port } = bed.address('tcp')
    const { local } = frank
    const tries: [uri: string, routes: string[]][] = [
      [uriOf(frank), [bed.route('tcp')]],
      [uriOf(frank), [bed.route('tcp'), bed.route('udp')]],
      [uriOf(frank), [bed.route('tcp'), `<${uriOf(frank)};lr>`]],
      [`sip:bob@${sipDomain}`, [`<${uriOf(frank)};lr>`]],
      [`sip:bob@${sipDomain}`, [bed.route('tcp'), `<${uriOf(frank)};lr>`]],
      // A strict router's work.
      [bed.route('tcp').slice(1, -1), [`<${uriOf(frank)}>`]],
      [`sip:frank@${local.host}:${local.port};maddr=${host};transport=tcp`, []],
      [`sip:frank@${local.host}:${port};maddr=${local.host};transport=tcp`, []],
    ]
    for (const [uri, routes] of tries) {
      for (const toTag of [undefined, 'made-up']) {
        const refused = await eve.message(uri, 'x', { routes, ...(toTag !== undefined && { toTag }) })
        expect([403, 404], `${uri} by ${routes}`).toContain(refused.status)
      }
    }
    for (const made of ['x', 'a'.repeat(100), '%00', 'AAAA'.repeat(200)]) {
      const routes = [bed.route('tcp', made)]
      expect((await eve.message(uriOf(frank), 'x', { routes, toTag: 'made-up' })).status).toBe(403)
    }
    expect(frank.received).toEqual([])
  })

  test('to ACKs, which nobody can challenge (S-35, S-54)', async () => {
    const bed = await startSip()
    const frank = await bed.foreign('tcp')
    const eve = await bed.stranger('tcp')
    const alice = await bed.agent('alice', 'tcp')
    for (const agent of [eve, alice]) {
      agent.start('ACK', uriOf(frank), { toTag: 'x' })
      agent.start('ACK', uriOf(frank), { toTag: 'x', routes: [bed.route('tcp')] })
      expect((await agent.request('OPTIONS', `sip:${sipDomain}`)).status).toBe(200)
    }
    expect(frank.received).toEqual([])
  })

  test.each([
    `sip:alice@${sipDomain}`,
    `sips:alice@${sipDomain}`,
    'sip:%61lice@SIP.TEST:9;transport=tcp',
    'sip:nobody@sip.test',
    `sip:${sipDomain}`,
    'by address',
  ])('to strangers with the name of a user of ours, however it is written: 407 (S-10, S-54): %s', async (name) => {
    const bed = await startSip()
    const bob = await bed.online('bob', 'tcp')
    const eve = await bed.stranger('tcp')
    const { host, port } = bed.address('tcp')
    const from = `<${name === 'by address' ? `sip:alice@${host}:${port}` : name}>`
    expect((await eve.message(bob.uri, 'x', { from })).status).toBe(407)
    const credentials = { username: 'mallory', password: passwordOf('mallory') }
    expect((await eve.message(bob.uri, 'x', { from, auth: credentials })).status).toBe(403)
    expect(bob.unclaimed).toEqual([])
  })

  test('to a user who speaks for another: 403 (S-60, S-87)', async () => {
    const bed = await startSip()
    const mallory = await bed.online('mallory', 'tcp')
    const bob = await bed.online('bob', 'tcp')
    expect((await mallory.message(bob.uri, 'x', { from: `<sip:alice@${sipDomain}>` })).status).toBe(403)
    expect(
      (await mallory.message(bob.uri, 'x', { auth: { password: 'wrong' }, from: `<sip:bob@${sipDomain}>` })).status,
    ).toBe(407)
    expect(bob.unclaimed).toEqual([])
  })
})

describe('our users reach others', () => {
  test.each<[Transport, Transport]>([
    ['udp', 'udp'],
    ['udp', 'tcp'],
    ['tcp', 'udp'],
    ['tcp', 'tcp'],
    ['ws', 'tls'],
    ['tls', 'tls'],
  ])('from %s over %s, once they have shown who they are (S-43, S-53, S-54)', async (from, to) => {
    const bed = await startSip()
    const frank = await bed.foreign(to)
    const alice = await bed.agent('alice', from)
    frank.on('MESSAGE', (request) => request.reply(200))
    expect((await alice.message(uriOf(frank), 'hello', { auth: false })).status).toBe(407)
    expect(frank.received).toEqual([])
    expect((await alice.message(uriOf(frank), 'hello')).status).toBe(200)
    expect((await alice.message(uriOf(frank), 'again')).status).toBe(200)
    expect(frank.received.map(({ message }) => message.text)).toEqual(['hello', 'again'])
    const [first, second] = frank.received
    const { host, port } = bed.address(to)
    expect(first!.message.vias[0]!.sentBy).toBe(`${host}:${port}`)
    expect((first!.message as { uri?: string }).uri).toBe(uriOf(frank))
    // One connection for both (RFC 3261 18).
    expect(second!.flow.remote.port).toBe(first!.flow.remote.port)
  })

  test('with a session, in both directions (S-44)', async () => {
    const bed = await startSip()
    const frank = await bed.foreign('tcp')
    const alice = await bed.online('alice', 'ws')
    const call = alice.invite(uriOf(frank))
    const invite = await frank.expect('INVITE')
    const answered = call.answered()
    const there = invite.accept(msrpSdp(frank.local))
    const here = await answered
    await frank.expect('ACK')
    for (const [dialog, agent] of [
      [here, frank],
      [there, alice],
    ] as const) {
      const asking = dialog.request('INFO')
      const info = await agent.expect('INFO')
      info.reply(200)
      expect((await asking).status).toBe(200)
    }
  })

  test('and learn when nobody is there: 500 for what would be 503 (S-47, S-49)', async () => {
    const bed = await startSip()
    const frank = await bed.foreign('tcp')
    const gone = uriOf(frank)
    await frank.close()
    const alice = await bed.online('alice', 'tcp')
    expect((await alice.message(gone, 'hello?')).status).toBe(500)
  })
})

describe('a dialog’s token', () => {
  test.each<[Transport, Transport]>([
    ['udp', 'udp'],
    ['tcp', 'ws'],
  ])('lets its requests through without a challenge, changed it does not (S-54, S-70): %s, %s', async (from, to) => {
    const bed = await startSip()
    const alice = await bed.online('alice', from)
    const bob = await bed.online('bob', to)
    const { here, there } = await dialogOf(alice, bob)
    const before = alice.received.length
    const asking = here.request('INFO', { auth: false })
    const info = await bob.expect('INFO')
    info.reply(200)
    expect((await asking).status).toBe(200)
    const { routes } = here.state
    for (const [i, route] of routes.entries()) {
      const tampered = routes.with(i, flipped(route))
      expect((await here.request('INFO', { auth: false, routes: tampered })).status).toBe(403)
      expect((await here.request('INFO', { auth: false, callId: token(8), routes: [route] })).status).toBe(403)
    }
    expect(bob.unclaimed).toEqual([])
    expect(finals(alice).slice(-1 - 2 * routes.length)).toEqual([200, ...Array(2 * routes.length).fill(403)])
    expect(alice.received).toHaveLength(before + 1 + 2 * routes.length)
    const bye = there.bye({ auth: false })
    const request = await alice.expect('BYE')
    request.reply(200)
    expect((await bye).status).toBe(200)
  })

  test('leads to the other side only, from whichever connection and by whichever name it is used (S-54, S-70)', async () => {
    const bed = await startSip()
    const eve = await bed.stranger('tcp')
    const elsewhere = await bed.stranger('udp')
    const frank = await bed.foreign('tcp')
    const bob = await bed.online('bob', 'tcp')
    const call = eve.invite(bob.uri)
    const invite = await bob.expect('INVITE')
    invite.reply(180, 'Ringing')
    const { state } = call.dialogOf(await call.response(180))
    const { callId } = state
    const inside = { callId, auth: false, routes: state.routes, from: `<${eve.uri}>`, to: `<${bob.uri}>` } as const
    const tags = { fromTag: state.local.tag, toTag: state.remote.tag }

    // With all that is right, it reaches Bob, also from elsewhere: she may have got another address.
    for (const agent of [eve, elsewhere]) {
      const asking = agent.request('INFO', uriOf(frank), { ...inside, ...tags })
      const info = await bob.expect('INFO')
      info.reply(200)
      expect((await asking).status).toBe(200)
    }
    for (const agent of [eve, elsewhere]) {
      const alice = `<sip:alice@${sipDomain}>`
      expect((await agent.message(uriOf(frank), 'x', { ...inside, ...tags, fromTag: 'other' })).status).toBe(403)
      expect((await agent.message(bob.uri, 'x', { ...inside, ...tags, from: alice })).status).toBe(403)
      expect((await agent.message(uriOf(frank), 'x', { ...inside, ...tags, to: alice })).status).toBe(403)
      expect((await agent.message(bob.uri, 'x', { ...inside, fromTag: tags.fromTag, from: alice })).status).toBe(403)
      expect((await agent.message(uriOf(frank), 'x', { ...inside, fromTag: tags.fromTag })).status).toBe(403)
    }
    expect(frank.received).toEqual([])
    expect(bob.unclaimed).toEqual([])
  })

  test('leads home what the other side’s proxy sends on a connection of its own (S-71)', async () => {
    const bed = await startSip()
    const frank = await bed.foreign('tcp')
    const outgoing = await bed.stranger('tcp', { user: 'frank', domain: 'foreign.test' })
    const alice = await bed.online('alice', 'ws')
    const call = alice.invite(uriOf(frank))
    const invite = await frank.expect('INVITE')
    const answered = call.answered()
    const { state } = invite.accept(msrpSdp(frank.local))
    await answered
    await frank.expect('ACK')
    const ending = outgoing.request('BYE', state.target, {
      from: `<${state.local.uri}>`,
      fromTag: state.local.tag,
      to: `<${state.remote.uri}>`,
      toTag: state.remote.tag,
      callId: state.callId,
      routes: state.routes,
    })
    const bye = await alice.expect('BYE')
    bye.reply(200)
    expect((await ending).status).toBe(200)
  })

  test('leads to nobody when the connection it names is gone: 430 (S-70, S-71)', async () => {
    const bed = await startSip()
    const alice = await bed.online('alice', 'tcp')
    const bob = await bed.online('bob', 'ws')
    const { here } = await dialogOf(alice, bob)
    await bob.close()
    await expect.poll(async () => (await here.request('INFO', { auth: false })).status, { timeout: 5_000 }).toBe(430)
  })
})

describe('whose word counts', () => {
  test('that of sip.peers, whoever they speak for and wherever to (S-54)', async () => {
    const bed = await startSip({ config: { sip: { peers: ['192.0.2.0/24', '127.0.0.0/8'] } } })
    const frank = await bed.foreign('tcp')
    const eve = await bed.stranger('udp')
    const bob = await bed.online('bob', 'tcp')
    for (const agent of [frank, bob]) agent.on('MESSAGE', (request) => request.reply(200))
    expect((await eve.message(uriOf(frank), 'x', { auth: false })).status).toBe(200)
    expect((await eve.message(bob.uri, 'x', { from: `<sip:alice@${sipDomain}>` })).status).toBe(200)
  })

  test('that of nobody who only shares a network with them (S-54)', async () => {
    const bed = await startSip({ config: { sip: { peers: ['127.0.0.2', '::1'] } } })
    const frank = await bed.foreign('udp')
    const eve = await bed.stranger('udp')
    expect((await eve.message(uriOf(frank), 'x')).status).toBe(403)
  })

  test.each<[Transport, boolean]>([
    ['tcp', true],
    ['tls', true],
    ['ws', true],
    ['udp', false],
  ])('of a user who has registered over %s: without another challenge: %s (S-54)', async (transport, isTrusted) => {
    const bed = await startSip()
    const bob = await bed.online('bob', 'tcp')
    bob.on('MESSAGE', (request) => request.reply(200))
    const alice = await bed.agent('alice', transport)
    expect((await alice.message(bob.uri, 'x', { auth: false })).status).toBe(407)
    expect((await alice.register()).status).toBe(200)
    for (const _ of [1, 2]) {
      const { status } = await alice.message(bob.uri, 'x', { auth: false })
      expect(status).toBe(isTrusted ? 200 : 407)
    }
    // For that user only, and on that connection.
    expect((await alice.message(bob.uri, 'x', { auth: false, from: `<sip:carol@${sipDomain}>` })).status).toBe(407)
    const other = await bed.agent('alice', transport)
    expect((await other.message(bob.uri, 'x', { auth: false })).status).toBe(407)
  })

  test('of nobody without a challenge, if sip.trust_flows is off (S-54)', async () => {
    const bed = await startSip({ config: { sip: { trust_flows: false } } })
    const bob = await bed.online('bob', 'tcp')
    bob.on('MESSAGE', (request) => request.reply(200))
    const alice = await bed.online('alice', 'tls')
    for (const _ of [1, 2]) expect((await alice.message(bob.uri, 'x', { auth: false })).status).toBe(407)
    expect((await alice.message(bob.uri, 'x')).status).toBe(200)
  })

  test('a REGISTER is challenged every time', async () => {
    const bed = await startSip()
    const alice = await bed.online('alice', 'tcp')
    expect((await alice.register({ auth: false })).status).toBe(401)
  })

  test('tokens are credentials where auth.jwt says so, on connections that nobody can read (S-60)', async () => {
    const secret = 'a secret of thirty-two characters'
    const bed = await startSip({ config: { auth: { jwt: { secret } } } })
    const tokenFor = (user: string) =>
      new SignJWT({})
        .setProtectedHeader({ alg: 'HS256' })
        .setSubject(user)
        .setExpirationTime('5m')
        .sign(new TextEncoder().encode(secret))
    const bob = await bed.online('bob', 'tcp')
    bob.on('MESSAGE', (request) => request.reply(200))
    const alice = await bed.agent('alice', 'tls')
    const challenged = await alice.register({ auth: false })
    expect(challenged.all('WWW-Authenticate').some((value) => /^bearer/i.test(value))).toBe(true)
    const bearer = async (user: string) => [['Authorization', `Bearer ${await tokenFor(user)}`]] as const
    expect((await alice.register({ auth: false, headers: await bearer('mallory') })).status).toBe(403)
    expect((await alice.register({ auth: false, headers: await bearer('alice') })).status).toBe(200)
    expect((await alice.message(bob.uri, 'x', { auth: false })).status).toBe(200)
    const broken = [['Authorization', `Bearer ${await tokenFor('alice')}x`]] as const
    expect((await alice.register({ auth: false, headers: broken })).status).toBe(401)
  })
})

describe('what cannot be forwarded is answered', () => {
  async function pairOf(): Promise<{ bed: SipBed; alice: SipAgent; bob: SipAgent }> {
    const bed = await startSip()
    return { bed, alice: await bed.online('alice', 'tcp'), bob: await bed.online('bob', 'tcp') }
  }

  test('Max-Forwards 0: 483 (S-40)', async () => {
    const { alice, bob } = await pairOf()
    expect((await alice.message(bob.uri, 'x', { maxForwards: 0 })).status).toBe(483)
    expect(bob.unclaimed).toEqual([])
  })

  test('Max-Forwards 1 goes on with 0; none, or more than there may be, with 70 (S-6, S-7, S-44)', async () => {
    const { alice, bob } = await pairOf()
    bob.on('MESSAGE', (request) => request.reply(200))
    await alice.message(bob.uri, 'x', { maxForwards: 1 })
    await alice.message(bob.uri, 'x', { omit: ['Max-Forwards'] })
    await alice.message(bob.uri, 'x', { maxForwards: 300 })
    const requests = bob.received.flatMap(({ message }) => (message.kind === 'request' ? [message] : []))
    expect(requests.map((request) => request.header('Max-Forwards'))).toEqual(['0', '70', '70'])
  })

  test('an extension in Proxy-Require that we lack: 420 with Unsupported (S-40)', async () => {
    const { alice, bob } = await pairOf()
    const refused = await alice.message(bob.uri, 'x', { headers: [['Proxy-Require', 'path, foo, bar']] })
    expect(refused.status).toBe(420)
    expect(refused.header('Unsupported')).toBe('foo, bar')
    const passed = alice.message(bob.uri, 'x', { headers: [['Require', 'foo']] })
    const request = await bob.expect('MESSAGE')
    request.reply(420, 'Bad Extension')
    expect((await passed).status).toBe(420)
  })

  test.each([
    ['tel:+4512345678', 416],
    ['mailto:bob@sip.test', 416],
    ['im:bob@sip.test', 416],
    ['sip:bob@sip.test?Subject=x', 400],
    ['sip:bob@', 400],
  ])('a request to %s: %i (S-11, S-13)', async (uri, status) => {
    const { alice } = await pairOf()
    expect((await alice.message(uri, 'x', { to: '<sip:bob@sip.test>' })).status).toBe(status)
  })

  test.each<[what: string, from: string | RegExp, to: string, status: number]>([
    ['another version', 'SIP/2.0\r\n', 'SIP/3.0\r\n', 505],
    ['two spaces in the start line', 'MESSAGE sip', 'MESSAGE  sip', 400],
    ['two Call-IDs', /(Call-ID: .*\r\n)/, '$1i: other\r\n', 400],
    ['no From', /From: .*\r\n/, '', 400],
    ['no To', /To: .*\r\n/, '', 400],
    ['no CSeq', /CSeq: .*\r\n/, '', 400],
    ['a CSeq of another method', /CSeq: (\d+) MESSAGE/, 'CSeq: $1 INVITE', 400],
    ['a CSeq of 2^32', /CSeq: \d+/, 'CSeq: 4294967296', 400],
    ['a Max-Forwards that is none', 'Max-Forwards: 70', 'Max-Forwards: many', 400],
    ['a line without colon', 'Call-ID', 'nonsense\r\nCall-ID', 400],
    ['a display name that must be quoted', 'From: <', 'From: B, ob <', 400],
  ])('%s: %i, and the connection stays (S-1 … S-13)', async (_what, from, to, status) => {
    const bed = await startSip()
    const alice = await bed.agent('alice', 'tcp', { isLenient: true })
    const sound = alice.compose('MESSAGE', `sip:bob@${sipDomain}`, { body: 'x' }).toString()
    const faulty = sound.replace(from, to)
    expect(faulty).not.toBe(sound)
    alice.send(faulty)
    expect((await alice.expectStray(status)).status).toBe(status)
    expect((await alice.request('OPTIONS', `sip:${sipDomain}`)).status).toBe(200)
  })

  test('a loop: 482 (S-40, S-45)', async () => {
    const bed = await startSip({ config: { sip: { peers: ['127.0.0.1'] } } })
    const frank = await bed.foreign('udp')
    const alice = await bed.agent('alice', 'tcp')
    const server = bed.address('udp')
    frank.on('MESSAGE', ({ message, flow }) => {
      // Straight back, as a proxy would that takes us for the way to itself.
      const via = `SIP/2.0/UDP ${frank.local.host}:${frank.local.port};branch=z9hG4bK${token(8)}`
      const headers = message.fields.filter(([name]) => name !== 'content-length' && name !== 'max-forwards')
      const added = [
        ['Via', via],
        ['Max-Forwards', '60'],
      ] as const
      const octets = messageText(message.start, [...added, ...headers], message.body)
      expect(flow.remote.port).toBe(server.port)
      void frank
        .startRaw(octets, flow)
        .final()
        .then((response) => {
          const answer = response.octets.toString().replace(/^Via: .*\r\n/m, '')
          frank.send(answer, flow)
        })
    })
    expect((await alice.message(uriOf(frank), 'round and round')).status).toBe(482)
    const requests = frank.received.filter(({ message }) => message.kind === 'request')
    expect(requests).toHaveLength(1)
  })
})

describe('responses', () => {
  test('that are not for us, or for nothing that we have asked, go nowhere (S-23, S-36, S-37)', async () => {
    const bed = await startSip({ own: true })
    const eve = await bed.stranger('tcp')
    const frank = await bed.foreign('udp')
    const { host, port } = bed.address('tcp')
    const responseFrom = (via: string, method: string) =>
      messageText('SIP/2.0 200 OK', [
        ['Via', via],
        ['Via', `SIP/2.0/UDP ${frank.local.host}:${frank.local.port};branch=z9hG4bKhim`],
        ['From', '<sip:frank@foreign.test>;tag=1'],
        ['To', '<sip:alice@sip.test>;tag=2'],
        ['Call-ID', 'made-up'],
        ['CSeq', `1 ${method}`],
      ])
    eve.send(responseFrom('SIP/2.0/TCP proxy.elsewhere.test;branch=z9hG4bKtheirs', 'MESSAGE'))
    for (const branch of ['z9hG4bKtheirs', 'z9hG4bKAaaaaaaaaaaaa.1x', 'z9hG4bKfaaaaaaaaaaaa.1x']) {
      for (const method of ['MESSAGE', 'INVITE']) {
        eve.send(responseFrom(`SIP/2.0/TCP ${host}:${port};branch=${branch}`, method))
      }
    }
    expect((await eve.request('OPTIONS', `sip:${sipDomain}`)).status).toBe(200)
    expect(frank.received).toEqual([])
    await expect
      .poll(() => bed.metric('silopath_sip_dropped_total', { reason: 'not_ours' }), { timeout: 5_000 })
      .toBe(1)
    await expect
      .poll(() => bed.metric('silopath_sip_transaction_events_total', { event: 'stray_response' }), { timeout: 5_000 })
      .toBe(6)
  })
})
