import { describe, expect, test } from 'vitest'
import { FakeTicker } from '../support/fake-ticker.ts'
import { eventually, type SipBed, sipDomain, startSip, transports, uriOf } from '../support/sip-server.ts'

type Labels = Readonly<Record<string, string>>

/** Waits until the metric has these values. */
async function expectMetrics(bed: SipBed, name: string, values: readonly (readonly [Labels, number])[]): Promise<void> {
  for (const [labels, value] of values) {
    await eventually(() => bed.metric(`silopath_sip_${name}`, labels)).toBe(value)
  }
}

describe.each([0, 2])('with %i workers', (workers) => {
  test.each(transports)('messages over %s are counted by direction, method and code', async (transport) => {
    const bed = await startSip({ workers, own: true })
    const alice = await bed.online('alice', transport)
    const bob = await bed.online('bob', transport)
    bob.on('*', (request) => request.reply(request.method === 'MESSAGE' ? 200 : 489))
    expect((await alice.message(bob.uri, 'x')).status).toBe(200)
    expect((await alice.request('FROBNICATE', bob.uri)).status).toBe(489)
    const challenges = transport === 'udp' ? 2 : 0
    await expectMetrics(bed, 'requests_total', [
      [{ direction: 'received', transport, method: 'REGISTER' }, 4],
      [{ direction: 'received', transport, method: 'MESSAGE' }, 1 + challenges / 2],
      [{ direction: 'sent', transport, method: 'MESSAGE' }, 1],
      [{ direction: 'received', transport, method: 'OTHER' }, 1 + challenges / 2],
      [{ direction: 'sent', transport, method: 'OTHER' }, 1],
      [{ direction: 'sent', method: 'INVITE' }, 0],
    ])
    await expectMetrics(bed, 'responses_total', [
      [{ direction: 'sent', transport, code: '401' }, 2],
      [{ direction: 'sent', transport, code: '407' }, challenges],
      [{ direction: 'sent', transport, code: '200' }, 3],
      [{ direction: 'received', transport, code: '200' }, 1],
      [{ direction: 'received', transport, code: '4xx' }, 1],
      [{ direction: 'sent', transport, code: '4xx' }, 1],
    ])
    for (const other of transports) {
      if (other !== transport) await expectMetrics(bed, 'requests_total', [[{ transport: other }, 0]])
    }
  })
})

test('registrations: how many there are, and what has become of them', async () => {
  const bed = await startSip({ own: true })
  const alice = await bed.online('alice', 'tcp')
  const bob = await bed.online('bob', 'udp', { contacts: ['<sip:bob@192.0.2.1>', '<sip:bob@192.0.2.2>'] })
  await expectMetrics(bed, 'registrations', [[{}, 3]])
  await alice.register()
  await alice.register({ contacts: [] })
  await alice.register({ expires: 1 })
  await bob.register({ contacts: ['*'], expires: 0 })
  await alice.close()
  await expectMetrics(bed, 'registrations', [[{}, 1]])
  await expectMetrics(bed, 'registrations_total', [
    [{ event: 'added' }, 3],
    [{ event: 'refreshed' }, 1],
    [{ event: 'removed' }, 2],
    [{ event: 'fetched' }, 1],
    [{ event: 'refused' }, 1],
    [{ event: 'unreachable' }, 1],
    [{ event: 'expired' }, 0],
    [{ event: 'displaced' }, 0],
  ])
})

test('credentials: what has come of them', async () => {
  const bed = await startSip({ own: true })
  const alice = await bed.online('alice', 'tcp')
  const bob = await bed.online('bob', 'tcp')
  bob.on('MESSAGE', (request) => request.reply(200))
  await alice.message(bob.uri, 'trusted')
  await alice.register({ auth: { password: 'wrong' } })
  await alice.register({ auth: false, headers: [['Authorization', 'Digest username="alice"']] })
  const mallory = await bed.agent('mallory', 'tcp')
  await mallory.register({ to: `<${alice.uri}>` })
  await expectMetrics(bed, 'auth_total', [
    [{ outcome: 'trusted' }, 1],
    [{ outcome: 'forbidden' }, 1],
    [{ outcome: 'rejected' }, 1],
    [{ outcome: 'malformed' }, 1],
  ])
  await eventually(() => bed.metric('silopath_sip_auth_total', { outcome: 'accepted' })).toBeGreaterThanOrEqual(2)
  await eventually(() => bed.metric('silopath_sip_auth_total', { outcome: 'challenged' })).toBeGreaterThanOrEqual(4)
})

test('credentials with an old nonce are stale, which a client mends by itself (D-13)', async () => {
  const clock = new FakeTicker()
  const bed = await startSip({ clock })
  const alice = await bed.online('alice', 'tcp')
  clock.advance(301_000)
  const exchange = alice.exchange('REGISTER', `sip:${sipDomain}`, { to: `<${alice.uri}>`, auth: { reuse: true } })
  expect((await exchange.final()).status).toBe(200)
  const [stale] = exchange.transactions[0]!.responses
  expect(stale!.status).toBe(401)
  expect(stale!.all('WWW-Authenticate').every((value) => /stale=true/.test(value))).toBe(true)
  await expectMetrics(bed, 'auth_total', [[{ outcome: 'stale' }, 1]])
})

test('what the proxy has done with requests, and what was wrong with them', async () => {
  const bed = await startSip({ own: true })
  const alice = await bed.online('alice', 'tcp')
  const bob = await bed.online('bob', 'tcp')
  const frank = await bed.foreign('tcp')
  const eve = await bed.stranger('tcp')
  bob.on('MESSAGE', (request) => request.reply(request.text === 'yes' ? 200 : 486))
  await alice.message(bob.uri, 'yes')
  await alice.message(bob.uri, 'no')
  await alice.message(`sip:nobody@${sipDomain}`, 'x')
  await alice.message(`sip:carol@${sipDomain}`, 'x')
  await eve.message(uriOf(frank), 'x')
  await frank.close()
  await alice.message(uriOf(frank), 'x')
  await alice.startRaw(alice.compose('MESSAGE', 'tel:1', { body: 'x' })).final()
  await expectMetrics(bed, 'proxied_total', [
    [{ outcome: 'accepted' }, 1],
    [{ outcome: 'rejected' }, 1],
    [{ outcome: 'not_found' }, 1],
    [{ outcome: 'offline' }, 1],
    [{ outcome: 'refused' }, 1],
    [{ outcome: 'unreachable' }, 1],
    [{ outcome: 'timed_out' }, 0],
  ])
  await expectMetrics(bed, 'parse_errors_total', [
    [{ reason: 'unsupported-scheme' }, 1],
    [{}, 1],
  ])
})

test('transactions that are open: while a request waits for its answer', async () => {
  const bed = await startSip({ own: true })
  const alice = await bed.online('alice', 'tcp')
  const bob = await bed.online('bob', 'tcp')
  const answering = alice.message(bob.uri, 'x')
  const request = await bob.expect('MESSAGE')
  await expectMetrics(bed, 'transactions_open', [
    [{ kind: 'non-invite-server' }, 1],
    [{ kind: 'non-invite-client' }, 1],
  ])
  request.reply(200)
  await answering
  await expectMetrics(bed, 'transactions_open', [[{}, 0]])
})

test('no password, nonce or proof is ever in the log (D-14)', async () => {
  const bed = await startSip({ own: true, workers: 2 })
  const alice = await bed.online('alice', 'tcp')
  await alice.register({ auth: { password: 'wrong' } })
  await bed.online('alice', 'udp')
  const secrets = alice.received.flatMap(({ message }) =>
    message.all('WWW-Authenticate').map((value) => /nonce="([^"]+)"/.exec(value)![1]!),
  )
  expect(secrets.length).toBeGreaterThan(0)
  for (const secret of [...secrets, 'the secret of', 'Digest username'])
    expect(bed.log.join('\n')).not.toContain(secret)
})
