import { describe, expect, test } from 'vitest'
import { FakeTicker } from '../support/fake-ticker.ts'
import { parseParameters } from '../support/msrp-client.ts'
import type { TextResponse } from '../support/sip-agent-message.ts'
import { eventually, sipDomain, startSip, temporaryFolder, transports } from '../support/sip-server.ts'

const day = 86_400

/** The contacts of an answer, as they were registered, and the seconds that each has left. */
function contactsOf(response: TextResponse): Record<string, number> {
  return Object.fromEntries(response.contacts.map(({ uri, params }) => [uri, Number(params.get('expires'))]))
}

const algorithmsOf = (response: TextResponse) =>
  response.all('WWW-Authenticate').map((value) => parseParameters(value).algorithm)

describe.each(transports)('REGISTER over %s', (transport) => {
  test('is challenged with SHA-256 first and MD5 second, and either is taken (S-60, D-8)', async () => {
    const bed = await startSip()
    const alice = await bed.agent('alice', transport)
    const challenged = await alice.register({ auth: false })
    expect(challenged.status).toBe(401)
    expect(algorithmsOf(challenged)).toEqual(['SHA-256', 'MD5'])
    for (const algorithm of ['SHA-256', 'MD5'] as const) {
      const registered = await alice.register({ auth: { algorithm } })
      expect(registered.status).toBe(200)
      expect(registered.contacts.map(({ uri }) => `<${uri}>`)).toEqual([alice.contact])
      expect(contactsOf(registered)).toEqual({ [alice.contact.slice(1, -1)]: 3600 })
      expect(Date.parse(registered.header('Date') ?? '')).toBeGreaterThan(Date.now() - 60_000)
    }
  })

  test('without Contact tells what is registered, and Expires 0 takes it away (S-62, S-65)', async () => {
    const bed = await startSip()
    const alice = await bed.online('alice', transport, { expires: 600 })
    const fetched = await alice.register({ contacts: [] })
    expect(contactsOf(fetched)).toEqual({ [alice.contact.slice(1, -1)]: 600 })
    expect((await alice.register({ expires: 0 })).contacts).toEqual([])
    expect((await alice.register({ contacts: [] })).contacts).toEqual([])
  })
})

describe('who may register', () => {
  test('nobody with a wrong password (S-60, D-5)', async () => {
    const bed = await startSip({ own: true })
    const alice = await bed.agent('alice', 'tcp', { password: 'a guess' })
    expect((await alice.register()).status).toBe(401)
    const right = await bed.agent('alice', 'tcp')
    expect((await right.register({ contacts: [] })).contacts).toEqual([])
    expect(await bed.metric('silopath_sip_auth_total', { outcome: 'rejected' })).toBe(1)
  })

  test('nobody whom nobody knows, and that is not told (S-60)', async () => {
    const bed = await startSip()
    const nobody = await bed.agent('nobody', 'tcp')
    const refused = await nobody.register()
    expect(refused.status).toBe(401)
    expect(algorithmsOf(refused)).toEqual(['SHA-256', 'MD5'])
  })

  test('nobody for somebody else: 403 (S-60)', async () => {
    const bed = await startSip({ own: true })
    const mallory = await bed.agent('mallory', 'tcp')
    expect((await mallory.register({ to: `<sip:alice@${sipDomain}>` })).status).toBe(403)
    const alice = await bed.agent('alice', 'tcp')
    expect((await alice.register({ contacts: [] })).contacts).toEqual([])
    expect(await bed.metric('silopath_sip_auth_total', { outcome: 'forbidden' })).toBe(1)
  })

  test('an AoR of a domain that is not ours is not found: 404 (S-60)', async () => {
    const bed = await startSip()
    const alice = await bed.agent('alice', 'tcp')
    expect((await alice.register({ to: '<sip:alice@other.test>' })).status).toBe(404)
  })

  test('an AoR that is no SIP URI: 400 (S-60)', async () => {
    const bed = await startSip()
    const alice = await bed.agent('alice', 'tcp')
    expect((await alice.register({ to: '<tel:+4512345678>' })).status).toBe(400)
  })

  test('an extension that we do not know is refused: 420 with Unsupported (S-60)', async () => {
    const bed = await startSip()
    const alice = await bed.agent('alice', 'tcp')
    const refused = await alice.register({ headers: [['Require', 'path, foo']] })
    expect(refused.status).toBe(420)
    expect(refused.header('Unsupported')).toBe('foo')
  })

  test('a nonce is taken once for each nc (D-5)', async () => {
    const bed = await startSip({ own: true })
    const alice = await bed.agent('alice', 'tcp')
    const sent: string[] = []
    const note = (credentials: Record<string, string>) => {
      sent.push(credentials.nc!)
      return credentials
    }
    expect((await alice.register({ auth: { tamper: note } })).status).toBe(200)
    expect((await alice.register({ auth: { reuse: true, tamper: note } })).status).toBe(200)
    expect(sent).toEqual(['00000001', '00000002'])
    const octets = alice.received.length
    // The very same credentials in another transaction: a replay gets a fresh nonce.
    const [header, value] = alice.authorizer.header('REGISTER', `sip:${sipDomain}`, {})!
    const replayed = { auth: false, headers: [[header, value]] } as const
    expect((await alice.register(replayed)).status).toBe(200)
    const refused = await alice.register(replayed)
    expect(refused.status).toBe(401)
    expect(alice.received).toHaveLength(octets + 2)
    expect(await bed.metric('silopath_sip_auth_total', { outcome: 'replayed' })).toBe(1)
  })
})

describe('contacts', () => {
  test('over many lines and comma lists are all registered, with q and parameters of their own (S-2, S-64, S-66, S-67)', async () => {
    const bed = await startSip()
    const alice = await bed.agent('alice', 'udp')
    const response = await alice.register({
      contacts: [
        '"Desk, 1" <sip:alice@192.0.2.1;x=y>;q=0.5;expires=120;+a.b="c,d"',
        '<sip:alice@192.0.2.2>, <sip:alice@192.0.2.3>;expires=7200;q=0.25',
      ],
      expires: 900,
    })
    expect(contactsOf(response)).toEqual({
      'sip:alice@192.0.2.1;x=y': 120,
      'sip:alice@192.0.2.2': 900,
      'sip:alice@192.0.2.3': 7200,
    })
    const [first, , third] = response.contacts
    expect(first!.params.get('q')).toBe('0.5')
    expect(first!.params.get('+a.b')).toBe('"c,d"')
    expect(third!.params.get('q')).toBe('0.25')
  })

  test.each([
    ['none: the default', [], undefined, 3600],
    ['in Expires', [], 100, 100],
    ['of its own, before that of Expires', ['expires=200'], 100, 200],
    ['garbled: the default', ['expires=soon'], undefined, 3600],
    ['larger than any number: the default', ['expires=99999999999'], undefined, 3600],
    ['more than there may be: as much as may be', [], 30 * day, day],
  ])('asked for time, %s (S-62)', async (_what, params, expires, granted) => {
    const bed = await startSip()
    const alice = await bed.agent('alice', 'udp')
    const contact = [alice.contact, ...params].join(';')
    const response = await alice.register({ contacts: [contact], ...(expires !== undefined && { expires }) })
    expect(response.status).toBe(200)
    expect(Object.values(contactsOf(response))).toEqual([granted])
  })

  test('asked for too little time: 423 with Min-Expires, and nothing is registered (S-62)', async () => {
    const bed = await startSip({ config: { registrar: { min_expires: 90 } } })
    const alice = await bed.agent('alice', 'udp')
    const refused = await alice.register({ contacts: ['<sip:a@192.0.2.1>', '<sip:a@192.0.2.2>;expires=89'] })
    expect(refused.status).toBe(423)
    expect(refused.header('Min-Expires')).toBe('90')
    expect((await alice.register({ contacts: [] })).contacts).toEqual([])
    expect((await alice.register({ contacts: ['<sip:a@192.0.2.2>;expires=90'] })).status).toBe(200)
  })

  test('`*` with Expires 0 takes all away; anything else of it is 400 (S-61)', async () => {
    const bed = await startSip()
    const alice = await bed.online('alice', 'udp', { contacts: ['<sip:a@192.0.2.1>', '<sip:a@192.0.2.2>'] })
    expect((await alice.register({ contacts: ['*'] })).status).toBe(400)
    expect((await alice.register({ contacts: ['*'], expires: 60 })).status).toBe(400)
    expect((await alice.register({ contacts: ['*', '<sip:a@192.0.2.3>'], expires: 0 })).status).toBe(400)
    expect((await alice.register({ contacts: [] })).contacts).toHaveLength(2)
    const removed = await alice.register({ contacts: ['*'], expires: 0 })
    expect(removed.status).toBe(200)
    expect(removed.contacts).toEqual([])
  })

  test('of a REGISTER that comes too late change nothing: 500 (S-63, S-64)', async () => {
    const bed = await startSip()
    const alice = await bed.online('alice', 'tcp', { cseq: 100, expires: 600 })
    const late = await alice.register({ cseq: 50, expires: 0 })
    expect(late.status).toBe(500)
    const late2 = await alice.register({ cseq: 50, contacts: ['<sip:a@192.0.2.1>', alice.contact] })
    expect(late2.status).toBe(500)
    expect(contactsOf(await alice.register({ contacts: [] }))).toEqual({ [alice.contact.slice(1, -1)]: 600 })
    // Another device, another Call-ID: its CSeq has nothing to do with that (S-63).
    expect((await alice.register({ cseq: 1, callId: 'another-device', expires: 700 })).status).toBe(200)
    expect(contactsOf(await alice.register({ contacts: [] }))).toEqual({ [alice.contact.slice(1, -1)]: 700 })
  })

  test('beyond registrar.max_contacts are refused: 403, and nothing is registered (S-64)', async () => {
    const bed = await startSip({ own: true, config: { registrar: { max_contacts: 2 } } })
    const alice = await bed.online('alice', 'udp', { contacts: ['<sip:a@192.0.2.1>'] })
    const many = ['<sip:a@192.0.2.2>', '<sip:a@192.0.2.3>']
    expect((await alice.register({ contacts: many })).status).toBe(403)
    expect((await alice.register({ contacts: [] })).contacts).toHaveLength(1)
    expect((await alice.register({ contacts: many.slice(1) })).contacts).toHaveLength(2)
    await eventually(() => bed.metric('silopath_sip_registrations_total', { event: 'refused' })).toBe(1)
  })

  test('of a browser that is gone give way to those of one that comes (S-71)', async () => {
    const bed = await startSip({ own: true, config: { registrar: { max_contacts: 1 } } })
    const before = await bed.online('alice', 'ws')
    const second = await bed.agent('alice', 'ws')
    expect((await second.register()).status).toBe(403)
    await before.close()
    await eventually(() => bed.metric('silopath_sip_registrations_total', { event: 'unreachable' })).toBe(1)
    const response = await second.register()
    expect(Object.keys(contactsOf(response))).toEqual([second.contact.slice(1, -1)])
    await eventually(() => bed.metric('silopath_sip_registrations_total', { event: 'displaced' })).toBe(1)
  })

  test('expire when their time is over, and are gone from what is listed (S-62)', async () => {
    const clock = new FakeTicker()
    const bed = await startSip({ clock })
    const alice = await bed.online('alice', 'tcp')
    const bob = await bed.online('bob', 'udp', { expires: 60 })
    clock.advance(59_000)
    expect(Object.values(contactsOf(await bob.register({ contacts: [] })))).toEqual([1])
    clock.advance(1_500)
    expect((await bob.register({ contacts: [] })).contacts).toEqual([])
    expect((await alice.message(bob.uri, 'too late')).status).toBe(480)
    await eventually(() => {
      clock.advance(1_000)
      return bed.metric('silopath_sip_registrations_total', { event: 'expired' })
    }).toBe(1)
  })

  test('a REGISTER that comes again over UDP is answered the same, and done once (S-34, S-63)', async () => {
    const bed = await startSip({ own: true })
    const alice = await bed.agent('alice', 'udp')
    const exchange = alice.exchange('REGISTER', `sip:${sipDomain}`, {
      to: `<${alice.uri}>`,
      headers: [['Contact', alice.contact]],
    })
    const answer = await exchange.final()
    expect(answer.status).toBe(200)
    exchange.current.retransmit()
    expect((await exchange.current.response(200)).octets).toEqual(answer.octets)
    await eventually(() => bed.metric('silopath_sip_registrations_total', { event: 'added' })).toBe(1)
    await eventually(() => bed.metric('silopath_sip_registrations_total', { event: 'refreshed' })).toBe(0)
  })
})

describe('Path and outbound', () => {
  test('Path is answered, and leads to the contact as Route, in order (S-68)', async () => {
    const bed = await startSip({ config: { sip: { peers: ['127.0.0.1'] } } })
    const edge = await bed.foreign('udp')
    const path = [`<sip:token@${edge.local.host}:${edge.local.port};lr;ob>`, '<sip:inner.test;lr>']
    const bob = await bed.agent('bob', 'tcp')
    const registered = await bob.register({
      contacts: ['<sip:bob@192.0.2.1>'],
      headers: [
        ['Supported', 'path'],
        ...path.map((value) => ['Path', value] as const),
        ['Via', 'SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKfirst'],
      ],
    })
    expect(registered.status).toBe(200)
    expect(registered.list('Path')).toEqual(path)
    const alice = await bed.agent('alice', 'tcp')
    const answering = alice.message(bob.uri, 'through the edge')
    const request = await edge.expect('MESSAGE')
    expect(request.uri).toBe('sip:bob@192.0.2.1')
    expect(request.message.list('Route')).toEqual(path)
    request.reply(200)
    expect((await answering).status).toBe(200)
  })

  test('a flow is registered for an instance, and the next with its reg-id takes its place (S-69, S-70)', async () => {
    const bed = await startSip({ own: true })
    const flowOf = (contact: string, regId: number) =>
      `${contact};+sip.instance="<urn:uuid:0-1-2>";reg-id=${regId};expires=600`
    const supported = [['Supported', 'outbound, path']] as const
    const first = await bed.agent('bob', 'tcp')
    const registered = await first.register({ contacts: [flowOf(first.contact, 1)], headers: supported })
    expect(registered.header('Require')).toBe('outbound')
    const second = await bed.agent('bob', 'tcp')
    const replaced = await second.register({ contacts: [flowOf(second.contact, 1)], headers: supported })
    expect(Object.keys(contactsOf(replaced))).toEqual([second.contact.slice(1, -1)])
    const both = await first.register({ contacts: [flowOf(first.contact, 2)], headers: supported })
    expect(Object.keys(contactsOf(both))).toHaveLength(2)

    // Never both flows of one instance at once; the second only when the first has failed.
    const alice = await bed.online('alice', 'tcp')
    first.on('MESSAGE', (request) => request.reply(200))
    second.on('MESSAGE', (request) => request.reply(200))
    expect((await alice.message(second.uri, 'one')).status).toBe(200)
    const messages = ({ received }: typeof first) => received.filter(({ message }) => message.kind === 'request').length
    expect([messages(first), messages(second)]).toEqual([0, 1])
    await second.close()
    await eventually(() => bed.metric('silopath_sip_registrations_total', { event: 'unreachable' })).toBe(1)
    expect((await alice.message(second.uri, 'two')).status).toBe(200)
    expect(messages(first)).toBe(1)
  })

  test('several contacts with a reg-id: 400; flows that nobody on the way keeps: 439 (S-69)', async () => {
    const bed = await startSip()
    const bob = await bed.agent('bob', 'tcp')
    const flow = (id: number) => `<sip:bob@192.0.2.${id}>;+sip.instance="<urn:uuid:0>";reg-id=${id}`
    expect((await bob.register({ contacts: [flow(1), flow(2)] })).status).toBe(400)
    const headers = [['Supported', 'outbound'] as const]
    const far = [...headers, ['Via', 'SIP/2.0/TCP 192.0.2.9;branch=z9hG4bKfar'] as const]
    expect((await bob.register({ contacts: [flow(1)], headers: far })).status).toBe(439)
    const plain = await bob.register({ contacts: [flow(1)] })
    expect(plain.status).toBe(200)
    expect(plain.header('Require')).toBeNull()
  })
})

describe('flows (S-71)', () => {
  test.each(['tcp', 'tls', 'ws', 'wss'] as const)(
    'a user whose %s connection has closed is offline, until it registers again (S-71, S-43)',
    async (transport) => {
      const bed = await startSip({ own: true })
      const alice = await bed.online('alice', 'tcp')
      const bob = await bed.online('bob', transport)
      await bob.close()
      await eventually(() => bed.metric('silopath_sip_registrations_total', { event: 'unreachable' })).toBe(1)
      expect((await alice.message(bob.uri, 'hello?')).status).toBe(480)
      const again = await bed.online('bob', transport)
      again.on('MESSAGE', (request) => request.reply(200))
      expect((await alice.message(bob.uri, 'hello!')).status).toBe(200)
    },
  )

  test.each([0, 2])(
    'UDP contacts outlive the server, those of connections do not reach anybody (S-71; workers: %i)',
    async (workers) => {
      const dataDir = await temporaryFolder()
      const first = await startSip({ dataDir, workers })
      const bob = await first.online('bob', 'udp')
      await first.online('carol', 'tcp')
      await first.server.close()
      const second = await startSip({ dataDir, workers })
      const alice = await second.online('alice', 'tcp')
      bob.on('MESSAGE', (request) => request.reply(200))
      expect((await alice.message(bob.uri, 'still there?')).status).toBe(200)
      expect((await alice.message(`sip:carol@${sipDomain}`, 'and you?')).status).toBe(480)
    },
  )
})
