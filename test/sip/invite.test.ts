import { describe, expect, test } from 'vitest'
import { FakeTicker } from '../support/fake-ticker.ts'
import type { SipAgent } from '../support/sip-agent.ts'
import type { Transport } from '../support/sip-agent-channel.ts'
import { type Call, type Dialog, msrpSdp } from '../support/sip-agent-dialog.ts'
import type { IncomingRequest } from '../support/sip-agent-request.ts'
import {
  eventually,
  type SipBed,
  type SipServerOptions,
  sipDomain,
  startSip,
  temporaryFolder,
} from '../support/sip-server.ts'

interface Talk {
  readonly bed: SipBed
  readonly alice: SipAgent
  readonly bob: SipAgent
  readonly call: Call
  readonly invite: IncomingRequest
}

/** Alice calls Bob, whose phone has got the INVITE. */
async function calling(from: Transport, to: Transport, options: SipServerOptions = {}): Promise<Talk> {
  const bed = await startSip(options)
  const alice = await bed.online('alice', from)
  const bob = await bed.online('bob', to)
  const call = alice.invite(bob.uri)
  return { bed, alice, bob, call, invite: await bob.expect('INVITE') }
}

/** Bob has answered; each side has its end of the dialog. */
async function talking(
  from: Transport,
  to: Transport,
  options: SipServerOptions = {},
): Promise<Talk & { here: Dialog; there: Dialog }> {
  const talk = await calling(from, to, options)
  const { call, invite, bob } = talk
  const answered = call.answered()
  const there = invite.accept(msrpSdp(bob.local))
  const here = await answered
  await bob.expect('ACK')
  return { ...talk, here, there }
}

async function answers(agent: SipAgent, method: string, asked: Promise<{ status: number }>): Promise<IncomingRequest> {
  const request = await agent.expect(method)
  request.reply(200)
  expect((await asked).status).toBe(200)
  return request
}

const pairs: readonly [Transport, Transport, number][] = [
  ['udp', 'udp', 0],
  ['tcp', 'tcp', 2],
  ['tls', 'tls', 0],
  ['ws', 'ws', 2],
  ['wss', 'wss', 0],
  ['udp', 'ws', 0],
  ['udp', 'ws', 2],
  ['ws', 'udp', 2],
  ['wss', 'udp', 0],
  ['tls', 'ws', 0],
  ['tcp', 'tls', 2],
]

test.each(pairs)(
  'a session from %s to %s is set up, changed and ended from both sides (S-33, S-35, S-44, S-71; workers: %i)',
  async (from, to, workers) => {
    const { bed, alice, bob, call, invite } = await calling(from, to, { workers })
    expect(invite.uri).toBe(bob.contact.slice(1, -1))
    expect(invite.text).toBe(msrpSdp(alice.local))
    expect(invite.header('Max-Forwards')).toBe('69')
    expect(invite.message.contacts.map(({ text }) => text)).toEqual([alice.contact])
    // One value for each transport that we are on the way of, that of the way out first (RFC 5658).
    const recordRoutes = invite.message.list('Record-Route')
    expect(recordRoutes).toHaveLength(from === to ? 1 : 2)
    for (const [i, transport] of (from === to ? [to] : [to, from]).entries()) {
      const { host, port } = bed.address(transport)
      expect(recordRoutes[i]).toContain(`@${host}:${port}`)
      expect(recordRoutes[i]).toMatch(/;lr>$/)
    }
    invite.reply(180, 'Ringing')
    expect((await call.response(180)).toTag).toBe(invite.localTag)
    const answered = call.answered()
    const there = invite.accept(msrpSdp(bob.local))
    const here = await answered
    expect(here.state.routes).toEqual(recordRoutes.toReversed())
    expect((await call.exchange.final()).text).toBe(msrpSdp(bob.local))
    const ack = await bob.expect('ACK')
    expect(ack.uri).toBe(bob.contact.slice(1, -1))
    expect(ack.header('Route')).toBeNull()

    const sdp = msrpSdp(bob.local, 'msrp://other.test:2855/again;tcp')
    const again = { headers: [['Contact', bob.contact]], body: sdp, contentType: 'application/sdp' } as const
    const reInvite = there.request('INVITE', again)
    const change = await alice.expect('INVITE')
    expect(change.uri).toBe(alice.contact.slice(1, -1))
    expect(change.text).toBe(sdp)
    expect(change.header('Record-Route')).toBeNull()
    change.accept(msrpSdp(alice.local))
    const changed = await reInvite
    expect(changed.status).toBe(200)
    there.ack({ cseq: changed.cseq.number })
    await alice.expect('ACK')

    await answers(bob, 'INFO', here.request('INFO', { body: 'between' }))
    await answers(alice, 'MESSAGE', there.request('MESSAGE', { body: 'us' }))
    const [bye] = await Promise.all([answers(alice, 'BYE', there.bye())])
    expect(bye.header('Route')).toBeNull()
    expect(bye.header('Max-Forwards')).toBe('69')

    const second = alice.invite(bob.uri)
    const next = await bob.expect('INVITE')
    next.accept(msrpSdp(bob.local))
    await second.answered()
    await bob.expect('ACK')
    await answers(bob, 'BYE', second.bye())
  },
)

test('requests in the dialog are not challenged, over UDP neither (S-54)', async () => {
  const { bed, alice, bob, here, there } = await talking('udp', 'udp', { own: true })
  const challenged = await bed.metric('silopath_sip_auth_total', { outcome: 'challenged' })
  await answers(bob, 'INFO', here.request('INFO'))
  await answers(alice, 'BYE', there.bye())
  expect(await bed.metric('silopath_sip_auth_total', { outcome: 'challenged' })).toBe(challenged)
})

test('a session over UDP outlives the server (S-44, S-54)', async () => {
  const dataDir = await temporaryFolder()
  const { bed, alice, bob, here, there } = await talking('udp', 'udp', { dataDir })
  const { port } = bed.address('udp')
  await bed.server.close()
  await startSip({ dataDir, config: { listen: [{ url: `sip://127.0.0.1:${port}` }] } })
  await answers(bob, 'INFO', here.request('INFO', { auth: false }))
  await answers(alice, 'BYE', there.bye({ auth: false }))
})

test('who rings long gets 100 first, from us, and every 18x after (S-33, S-46)', async () => {
  const { call, invite } = await calling('udp', 'tcp')
  const trying = await call.response(100)
  expect(trying.toTag).toBeNull()
  invite.reply(180, 'Ringing')
  invite.reply(183, 'Progress', { headers: [['X-Odd', 'yes']] })
  await call.response(180)
  expect((await call.response(183)).header('X-Odd')).toBe('yes')
  invite.reply(100, 'Trying')
  invite.reply(603, 'Decline')
  expect((await call.final()).status).toBe(603)
  const statuses = call.exchange.current.responses.map(({ status }) => status)
  expect(statuses).toEqual([100, 180, 183, 603])
})

describe.each<[Transport, Transport]>([
  ['udp', 'udp'],
  ['tcp', 'ws'],
  ['ws', 'udp'],
])('from %s to %s', (from, to) => {
  test('a refusal is relayed, and ACKed hop by hop (S-35)', async () => {
    const { bob, alice, call, invite } = await calling(from, to)
    invite.reply(486, 'Busy Here', { headers: [['Retry-After', '5']] })
    const refused = await call.final()
    expect(refused.status).toBe(486)
    expect(refused.header('Retry-After')).toBe('5')
    const ack = await bob.expect('ACK')
    expect(ack.message.vias.map(({ text }) => text)).toEqual([invite.message.vias[0]!.text])
    expect(ack.message.cseq.number).toBe(invite.message.cseq.number)
    expect(ack.message.toTag).toBe(invite.localTag)
    expect(ack.uri).toBe(invite.uri)
    // That of Alice was for us.
    await answers(bob, 'OPTIONS', alice.request('OPTIONS', bob.uri))
    expect(bob.unclaimed).toEqual([])
  })

  test('CANCEL is answered 200 and sent on, the INVITE ends with 487 (S-50)', async () => {
    const { bob, call, invite } = await calling(from, to)
    invite.reply(180, 'Ringing')
    await call.response(180)
    expect((await call.cancel()).status).toBe(200)
    const cancel = await bob.expect('CANCEL')
    expect(cancel.message.vias.map(({ text }) => text)).toEqual([invite.message.vias[0]!.text])
    expect(cancel.uri).toBe(invite.uri)
    cancel.reply(200)
    invite.reply(487, 'Request Terminated')
    expect((await call.final()).status).toBe(487)
    await bob.expect('ACK')
  })
})

test('a CANCEL that comes before anybody rings is sent on as soon as somebody does (S-50)', async () => {
  const { bob, call, invite } = await calling('tcp', 'tcp')
  expect((await call.cancel()).status).toBe(200)
  expect(bob.unclaimed).toEqual([])
  invite.reply(180, 'Ringing')
  const cancel = await bob.expect('CANCEL')
  cancel.reply(200)
  invite.reply(487, 'Request Terminated')
  expect((await call.final()).status).toBe(487)
})

test('a CANCEL for no INVITE gets 481; one that comes too late, 200 and nothing more (S-50)', async () => {
  const { bob, alice, call } = await talking('tcp', 'tcp')
  expect((await call.cancel()).status).toBe(200)
  const stray = alice.start('CANCEL', bob.uri)
  expect((await stray.final()).status).toBe(481)
  await answers(bob, 'BYE', call.bye())
  expect(bob.unclaimed).toEqual([])
})

test('every 2xx reaches the caller, copies too, and every ACK the callee (S-32, S-33, S-46)', async () => {
  const { bob, call, invite, here } = await talking('tcp', 'udp')
  invite.resend()
  const { current } = call.exchange
  await eventually(() => current.responses.filter(({ status }) => status === 200).length).toBe(2)
  here.ack()
  await bob.expect('ACK')
})

describe('a call to several devices', () => {
  async function ringing(): Promise<{
    bed: SipBed
    call: Call
    desk: SipAgent
    phone: SipAgent
    invites: [IncomingRequest, IncomingRequest]
  }> {
    const bed = await startSip()
    const alice = await bed.online('alice', 'tcp')
    const desk = await bed.online('bob', 'tcp')
    const phone = await bed.online('bob', 'ws')
    const call = alice.invite(desk.uri)
    const invites = [await desk.expect('INVITE'), await phone.expect('INVITE')] as [IncomingRequest, IncomingRequest]
    for (const invite of invites) invite.reply(180, 'Ringing')
    const tags = [(await call.response(180)).toTag, (await call.response(180)).toTag]
    expect(tags.toSorted()).toEqual(invites.map(({ localTag }) => localTag).toSorted())
    return { bed, call, desk, phone, invites }
  }

  test('is cancelled at the others when one has answered (S-46, S-50, S-51)', async () => {
    const { call, desk, phone, invites } = await ringing()
    const answered = call.answered()
    invites[1].accept(msrpSdp(phone.local))
    const dialog = await answered
    expect(dialog.state.remote.tag).toBe(invites[1].localTag)
    await phone.expect('ACK')
    const cancel = await desk.expect('CANCEL')
    cancel.reply(200)
    invites[0].reply(487, 'Request Terminated')
    await desk.expect('ACK')
    await answers(phone, 'BYE', call.bye())
    expect(call.exchange.current.responses.map(({ status }) => status)).not.toContain(487)
  })

  test('is over when one declines for all: 6xx (S-46)', async () => {
    const { call, desk, invites } = await ringing()
    invites[1].reply(603, 'Decline')
    const cancel = await desk.expect('CANCEL')
    cancel.reply(200)
    invites[0].reply(487, 'Request Terminated')
    expect((await call.final()).status).toBe(603)
  })

  test('that two answer: both 2xx come to the caller, who ends one (S-46)', async () => {
    const { call, desk, phone, invites } = await ringing()
    invites[0].accept(msrpSdp(desk.local))
    invites[1].accept(msrpSdp(phone.local))
    const { current } = call.exchange
    const both = [await call.final(), await current.response(200)]
    const dialogs = both.map((response) => call.dialogOf(response))
    expect(new Set(dialogs.map(({ state }) => state.remote.tag)).size).toBe(2)
    for (const [i, agent] of [desk, phone].entries()) {
      const dialog = dialogs.find(({ state }) => state.remote.tag === invites[i]!.localTag)!
      dialog.ack()
      await agent.expect('ACK')
      await answers(agent, 'BYE', dialog.bye())
    }
  })
})

test('nobody there: 480; nobody of that name: 404 (S-43)', async () => {
  const bed = await startSip()
  const alice = await bed.online('alice', 'tcp')
  expect((await alice.invite(`sip:bob@${sipDomain}`).final()).status).toBe(480)
  expect((await alice.invite(`sip:nobody@${sipDomain}`).final()).status).toBe(404)
})

test('a callee who says nothing: the INVITE is repeated, and 408 after 64 T1 (S-32, S-46)', async () => {
  const clock = new FakeTicker()
  const bed = await startSip({ clock })
  const alice = await bed.online('alice', 'tcp')
  const bob = await bed.online('bob', 'udp')
  bob.answersCopies = false
  const call = alice.invite(bob.uri)
  const invite = await bob.expect('INVITE')
  clock.advance(500)
  await eventually(() => invite.copies).toBe(1)
  clock.advance(1_000)
  await eventually(() => invite.copies).toBe(2)
  clock.advance(31_000)
  expect((await call.final()).status).toBe(408)
})

test('a callee who rings and rings: CANCEL when timer C fires (S-48)', async () => {
  const clock = new FakeTicker()
  const bed = await startSip({ clock })
  const alice = await bed.online('alice', 'tcp')
  const bob = await bed.online('bob', 'tcp')
  const call = alice.invite(bob.uri)
  const invite = await bob.expect('INVITE')
  invite.reply(180, 'Ringing')
  await call.response(180)
  clock.advance(170_000)
  invite.reply(180, 'Ringing')
  await call.response(180)
  clock.advance(170_000)
  expect(bob.unclaimed).toEqual([])
  clock.advance(11_000)
  const cancel = await bob.expect('CANCEL')
  cancel.reply(200)
  invite.reply(487, 'Request Terminated')
  expect((await call.final()).status).toBe(487)
})

describe('other methods', () => {
  test.each(['SUBSCRIBE', 'NOTIFY', 'INFO', 'PUBLISH', 'REFER', 'UPDATE', 'PRACK', 'FROBNICATE'])(
    '%s is relayed, with Record-Route only where it begins a dialog (S-1, S-41, S-44, S-52)',
    async (method) => {
      const bed = await startSip()
      const alice = await bed.online('alice', 'tcp')
      const bob = await bed.online('bob', 'ws')
      const headers = [['X-Whatever', '<"?>'] as const]
      const asking = alice.request(method, bob.uri, { headers, body: 'anything' })
      const request = await bob.expect(method)
      expect(request.text).toBe('anything')
      expect(request.header('X-Whatever')).toBe('<"?>')
      expect(request.message.list('Record-Route')).toHaveLength(method === 'SUBSCRIBE' || method === 'REFER' ? 2 : 0)
      request.reply(202, 'Accepted')
      expect((await asking).status).toBe(202)
    },
  )

  test('NOTIFYs come back by the way of the SUBSCRIBE (S-44, S-71)', async () => {
    const bed = await startSip({ workers: 2 })
    const alice = await bed.online('alice', 'ws')
    const bob = await bed.online('bob', 'udp')
    const asking = alice.request('SUBSCRIBE', bob.uri, {
      headers: [
        ['Event', 'presence'],
        ['Contact', alice.contact],
      ],
    })
    const subscribe = await bob.expect('SUBSCRIBE')
    const recordRoute = subscribe.message.all('Record-Route').map((value) => ['Record-Route', value] as const)
    subscribe.reply(200, 'OK', { headers: [...recordRoute, ['Contact', bob.contact]] })
    expect((await asking).status).toBe(200)
    const notified = subscribe.dialog().request('NOTIFY', { headers: [['Event', 'presence']], body: '<presence/>' })
    const notify = await answers(alice, 'NOTIFY', notified)
    expect(notify.text).toBe('<presence/>')
    expect(notify.uri).toBe(alice.contact.slice(1, -1))
  })
})
