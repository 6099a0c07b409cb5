import { describe, expect, test } from 'vitest'
import type { AgentOptions, SipAgent } from '../support/sip-agent.ts'
import type { Transport } from '../support/sip-agent-channel.ts'
import { msrpSdp } from '../support/sip-agent-dialog.ts'
import { eventually, type SipBed, sipDomain, startSip, transports } from '../support/sip-server.ts'

const names = (count: number) => Array.from({ length: count }, (_, i) => `user${i}`)

/** That many users, online, over all transports in turn. */
function crowd(bed: SipBed, count: number, options: Partial<AgentOptions> = {}): Promise<SipAgent[]> {
  const transportOf = (i: number): Transport => transports[i % transports.length]!
  return Promise.all(names(count).map((name, i) => bed.online(name, transportOf(i), { agent: options })))
}

function requestsTo(agent: SipAgent, method: string): string[] {
  return agent.received.flatMap(({ message }) =>
    message.kind === 'request' && message.method === method ? [message.text] : [],
  )
}

describe.each([2, 4])('with %i workers', (workers) => {
  const options = { workers, users: names(20) }

  test('200 messages at once between 20 users all arrive, once, and all are answered (S-31, S-86)', async () => {
    const bed = await startSip({ ...options, own: true })
    const agents = await crowd(bed, 20)
    for (const agent of agents) agent.on('MESSAGE', (request) => request.reply(200))
    const sent = Array.from({ length: 200 }, (_, i) => {
      const from = agents[i % 20]!
      const to = agents[(i * 7 + 3) % 20]!
      return { to, text: `message ${i}`, answer: from.message(to.uri, `message ${i}`, { timeoutMs: 20_000 }) }
    })
    const statuses = await Promise.all(sent.map(async ({ answer }) => (await answer).status))
    expect(statuses).toEqual(Array(200).fill(200))
    for (const agent of agents) {
      const expected = sent.filter(({ to }) => to === agent).map(({ text }) => text)
      // Over UDP a copy may have come, when the machine is slow; it is the same message.
      expect([...new Set(requestsTo(agent, 'MESSAGE'))].toSorted()).toEqual(expected.toSorted())
    }
    // Answers are read where their sender's connection is, and wanted where the request was.
    await eventually(() =>
      bed.metric('silopath_sip_transaction_events_total', { event: 'handed_over' }),
    ).toBeGreaterThan(20)
    await eventually(() => bed.metric('silopath_sip_transaction_events_total', { event: 'stray_response' })).toBe(0)
  })

  test('a copy of a request finds its transaction, whichever source it came from (S-30, S-34)', async () => {
    const bed = await startSip(options)
    const bob = await bed.online('user0', 'tcp')
    bob.on('MESSAGE', (request) => request.reply(200))
    for (const name of names(8)) {
      const alice = await bed.agent(name, 'udp')
      const exchange = alice.exchange('MESSAGE', bob.uri, { body: name })
      expect((await exchange.final()).status).toBe(200)
      const { current } = exchange
      for (let i = 0; i < 3; i++) current.retransmit()
      await eventually(() => current.responses.length).toBe(4)
      expect(new Set(current.responses.map(({ octets }) => octets.toString())).size).toBe(1)
    }
    expect(requestsTo(bob, 'MESSAGE')).toEqual(names(8))
  })

  test('sessions between any two connections are set up and ended (S-33, S-35)', async () => {
    const bed = await startSip(options)
    const agents = await crowd(bed, 10)
    const talks = agents.map(async (caller, i) => {
      const callee = agents[(i + 1) % agents.length]!
      const call = caller.invite(callee.uri)
      const invite = await callee.expect('INVITE')
      invite.reply(180)
      await call.response(180)
      const there = invite.accept(msrpSdp(callee.local))
      await call.answered()
      await callee.expect('ACK')
      const bye = there.bye()
      const request = await caller.expect('BYE')
      request.reply(200)
      expect((await bye).status).toBe(200)
    })
    await Promise.all(talks)
  })
})

test('CANCEL finds its INVITE, and 487 its way back, across lanes (S-50)', async () => {
  const bed = await startSip({ workers: 2 })
  const bobs = [await bed.online('bob', 'tcp'), await bed.online('bob', 'tcp'), await bed.online('bob', 'udp')]
  for (const transport of ['tcp', 'udp', 'ws'] as const) {
    const alice = await bed.online('alice', transport)
    const call = alice.invite(bobs[0]!.uri)
    const invites = await Promise.all(bobs.map((bob) => bob.expect('INVITE')))
    for (const invite of invites) invite.reply(180)
    await call.response(180)
    expect((await call.cancel()).status).toBe(200)
    for (const [i, bob] of bobs.entries()) {
      const cancel = await bob.expect('CANCEL')
      cancel.reply(200)
      invites[i]!.reply(487, 'Request Terminated')
      await bob.expect('ACK')
    }
    expect((await call.final()).status).toBe(487)
  }
})

test('a lane that dies takes its connections with it; others go on, and its users come back', async () => {
  const users = names(8)
  const bed = await startSip({ workers: 2, users, own: true })
  const agents = await Promise.all(users.map((name) => bed.online(name, 'tcp')))
  const gone = new Set<SipAgent>()
  for (const agent of agents) void agent.disconnected.then(() => gone.add(agent))
  bed.server.killWorker(0)
  await eventually(() => gone.size).toBe(4)
  const left = agents.filter((agent) => !gone.has(agent))
  for (const agent of left) agent.on('MESSAGE', (request) => request.reply(200))
  for (const [i, agent] of left.entries()) {
    const to = left[(i + 1) % left.length]!
    expect((await agent.message(to.uri, 'still here')).status).toBe(200)
  }
  const lost = users.filter((_, i) => gone.has(agents[i]!))
  expect((await left[0]!.message(`sip:${lost[0]}@${sipDomain}`, 'and you?')).status).toBe(480)

  await eventually(() => bed.metric('silopath_lane_replaced_total')).toBe(1)
  await eventually(() => bed.log.filter((line) => line.includes('a new worker runs the lane')).length).toBe(1)
  for (const [i, name] of lost.entries()) {
    // Of sources of datagrams, some are of the lane that died as well.
    const again = await bed.online(name, i % 2 === 0 ? 'tcp' : 'udp')
    again.on('MESSAGE', (request) => request.reply(200))
    expect((await left[0]!.message(again.uri, 'welcome back')).status).toBe(200)
    expect((await again.message(left[0]!.uri, 'thank you')).status).toBe(200)
  }
})
