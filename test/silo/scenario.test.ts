// The whole way: user agents, the server, its disk.
import { describe, expect, test } from 'vitest'
import { FakeTicker } from '../support/fake-ticker.ts'
import type { SipAgent } from '../support/sip-agent.ts'
import type { IncomingRequest } from '../support/sip-agent-request.ts'
import { eventually, type SipBed, sipDomain, startSip, temporaryFolder } from '../support/sip-server.ts'

const notices = {
  from_address: 'sip:registrar@sip.test',
  offline_message: '*** User $rU is offline!',
  content_type_hdr: 'Content-Type: text/plain',
}
const bobUri = `sip:bob@${sipDomain}`
const silo = (more: object = {}) => ({ silo: { add_date: 0, ...more } })

/** Contact of a device that names itself. */
function deviceContact(agent: SipAgent, name: string): string {
  return `${agent.contact};+sip.instance="<urn:uuid:00000000-0000-1000-8000-${name.padStart(12, '0')}>"`
}

/** Takes what comes with 200; gives the texts. */
function taking(agent: SipAgent): string[] {
  const texts: string[] = []
  agent.on('MESSAGE', (request) => {
    texts.push(request.message.text)
    request.reply(200)
  })
  return texts
}

async function emptied(bed: SipBed): Promise<void> {
  await eventually(() => bed.metric('silopath_silo_messages', { state: 'waiting' })).toBe(0)
}

describe.each([
  ['udp', 0],
  ['tcp', 0],
  ['tcp', 2],
  ['ws', 2],
] as const)('a user who is away, over %s, with %i workers', (transport, workers) => {
  test('gets what was sent meanwhile, in order, one after the other; the sender is told (SILO-1, 12, 20, 24, 28)', async () => {
    const bed = await startSip({ own: true, workers, config: silo(notices) })
    const alice = await bed.online('alice', transport)
    for (const text of ['one', 'two', 'three']) expect((await alice.message(bobUri, text)).status).toBe(202)
    const notice = await alice.expect('MESSAGE')
    notice.reply(200)
    expect(notice.message.text).toBe('*** User bob is offline!')
    expect(notice.message.header('From')).toContain('sip:registrar@sip.test')

    const bob = await bed.online('bob', transport)
    for (const text of ['one', 'two', 'three']) {
      const request = await bob.expect('MESSAGE')
      expect(request.message.text).toBe(text)
      expect(request.message.uri).toBe(bob.contact.slice(1, -1))
      expect(request.message.header('From')).toContain(alice.uri)
      expect(request.message.header('To')).toContain(bobUri)
      expect(request.message.header('Date')).toMatch(/GMT$/)
      expect(request.message.header('Message-ID')).toMatch(/^[\w-]{22}$/)
      expect(bob.unclaimed).toHaveLength(0)
      request.reply(200)
    }
    await emptied(bed)
    expect(await bed.metric('silopath_silo_stored_messages_total')).toBe(3)
    expect(await bed.metric('silopath_silo_dumped_messages_total')).toBe(3)
    // SILO-13: one notice a minute.
    expect(await bed.metric('silopath_silo_events_total', { event: 'notice_held_back' })).toBe(2)
  })

  test('gets what had no answer when the connection broke, or the device would not take it (S-81)', async () => {
    const bed = await startSip({ own: true, workers, config: silo() })
    const alice = await bed.online('alice', transport)
    const old = await bed.online('bob', transport)
    const sentAs: string[] = []
    // The failure route of MSILO's manual: a device that takes no MESSAGE.
    old.on('MESSAGE', (request) => request.reply(405, 'Method Not Allowed', { headers: [['Allow', 'INVITE']] }))
    expect((await alice.message(bobUri, 'refused')).status).toBe(202)
    if (transport !== 'udp') {
      old.off('MESSAGE')
      const sent = alice.message(bobUri, 'written, and never answered')
      const { callId } = (await old.expect('MESSAGE')).message
      sentAs.push(callId)
      await old.close()
      expect((await sent).status).toBe(202)
    } else await old.register({ expires: 0 })
    const bob = await bed.agent('bob', transport)
    const texts = taking(bob)
    await bob.register()
    // SILO-31: it may have arrived, so it comes as what it was sent as.
    const callIds = () => bob.received.flatMap(({ message }) => (message.kind === 'request' ? [message.callId] : []))
    await eventually(callIds).toEqual(expect.arrayContaining(sentAs))
    const all = transport === 'udp' ? ['refused'] : ['refused', 'written, and never answered']
    await eventually(() => texts).toEqual(all)
    await emptied(bed)
  })
})

describe('a message in the silo', () => {
  test('outlives the server, and keeps its Message-ID and Call-ID (SILO-31)', async () => {
    const dataDir = await temporaryFolder()
    const first = await startSip({ dataDir, config: silo() })
    const alice = await first.online('alice', 'tcp')
    expect((await alice.message(bobUri, 'lasting')).status).toBe(202)
    const bob = await first.online('bob', 'tcp')
    const lost = await bob.expect('MESSAGE')
    const id = lost.message.header('Message-ID')
    const { callId } = lost.message
    await first.leave()
    await first.server.close()

    const second = await startSip({ dataDir, config: silo() })
    const again = await second.online('bob', 'tcp')
    const request: IncomingRequest = await again.expect('MESSAGE')
    expect(request.message.text).toBe('lasting')
    expect(request.message.header('Message-ID')).toBe(id)
    expect(request.message.callId).toBe(callId)
    request.reply(200)
    await emptied(second)
  })

  test.each([
    ['udp', 0],
    ['tcp', 0],
    ['tcp', 2],
  ] as const)(
    'whose answer comes while the server stops, over %s with %i workers, is not delivered again (SILO-31)',
    async (transport, workers) => {
      const dataDir = await temporaryFolder()
      const first = await startSip({ dataDir, workers, config: silo() })
      const alice = await first.online('alice', transport)
      for (const text of ['answered', 'not sent any more']) expect((await alice.message(bobUri, text)).status).toBe(202)
      const bob = await first.online('bob', transport)
      const sent = await bob.expect('MESSAGE')
      const closed = first.server.close()
      // Who comes now is still served.
      expect((await alice.message(`sip:carol@${sipDomain}`, 'last')).status).toBe(202)
      sent.reply(200)
      await closed

      const second = await startSip({ dataDir, config: silo() })
      await eventually(() => second.metric('silopath_silo_messages', { state: 'waiting' })).toBe(2)
      const again = await second.online('bob', 'tcp')
      const request = await again.expect('MESSAGE')
      expect(request.message.text).toBe('not sent any more')
      request.reply(200)
    },
  )

  test('goes once to each device, and to none twice (silo.deliver: each)', async () => {
    const bed = await startSip({ own: true, config: silo() })
    const alice = await bed.online('alice', 'tcp')
    const phone = await bed.agent('bob', 'tcp')
    const laptop = await bed.agent('bob', 'ws')
    await phone.register({ contacts: [deviceContact(phone, '1')] })
    await laptop.register({ contacts: [deviceContact(laptop, '2')] })
    await phone.close()
    await laptop.close()
    for (const text of ['one', 'two']) expect((await alice.message(bobUri, text)).status).toBe(202)

    const back = await bed.agent('bob', 'tcp')
    const onPhone = taking(back)
    await back.register({ contacts: [deviceContact(back, '1')] })
    await eventually(() => onPhone).toEqual(['one', 'two'])
    const later = await bed.agent('bob', 'ws')
    const onLaptop = taking(later)
    await later.register({ contacts: [deviceContact(later, '2')] })
    await eventually(() => onLaptop).toEqual(['one', 'two'])
    await emptied(bed)
    await back.register({ contacts: [deviceContact(back, '1')] })
    expect((await back.request('OPTIONS', `sip:${sipDomain}`)).status).toBe(200)
    expect(onPhone).toEqual(['one', 'two'])
  })

  test('is refused with 403 when there are too many, and the others are kept (SILO-10)', async () => {
    const bed = await startSip({ own: true, config: silo({ max_messages: 2 }) })
    const alice = await bed.online('alice', 'tcp')
    const statuses = []
    for (const text of ['one', 'two', 'three']) statuses.push((await alice.message(bobUri, text)).status)
    expect(statuses).toEqual([202, 202, 403])
    const bob = await bed.agent('bob', 'tcp')
    const texts = taking(bob)
    await bob.register()
    await eventually(() => texts).toEqual(['one', 'two'])
    expect((await alice.message(`sip:carol@${sipDomain}`, 'x')).status).toBe(202)
  })

  test('that its reader will never take is put aside, and holds up nothing (SILO-32, Q-24, Q-25)', async () => {
    const bed = await startSip({ own: true, config: silo() })
    const alice = await bed.online('alice', 'tcp')
    for (const text of ['bad', 'good']) expect((await alice.message(bobUri, text)).status).toBe(202)
    const bob = await bed.agent('bob', 'tcp')
    const texts: string[] = []
    bob.on('MESSAGE', (request) => {
      texts.push(request.message.text)
      if (request.message.text === 'bad') request.reply(415, 'Unsupported Media Type')
      else request.reply(200)
    })
    await bob.register()
    await eventually(() => texts).toEqual(['bad', 'good'])
    await emptied(bed)
    await eventually(() => bed.metric('silopath_silo_messages', { state: 'dead' })).toBe(1)
  })

  test('is gone when it has expired, and a reminder comes when it is due (SILO-29, SILO-30, SILO-40, SILO-41)', async () => {
    const clock = new FakeTicker()
    const bed = await startSip({
      own: true,
      clock,
      config: silo({
        reminder: 'sip:reminder@sip.test',
        send_time: 1,
        snd_time_avp: '$hdr(X-Send-At)',
        date_zone: 'utc',
      }),
    })
    const alice = await bed.online('alice', 'tcp')
    expect((await alice.message(bobUri, 'short-lived', { headers: [['Expires', '10']] })).status).toBe(202)
    const due = new Date(clock.now() + 60_000).toISOString().replace(/[-:T]|\..*/g, '')
    expect((await alice.message(bobUri, 'call mum', { headers: [['X-Send-At', due]] })).status).toBe(202)
    clock.advance(11_000)
    const bob = await bed.agent('bob', 'tcp')
    const texts = taking(bob)
    await bob.register({ expires: 3600 })
    clock.advance(20_000)
    expect((await bob.request('OPTIONS', `sip:${sipDomain}`)).status).toBe(200)
    expect(texts).toEqual([])
    clock.advance(30_000)
    // A look at what is due takes a turn of the event loop, in which this clock stands still.
    await eventually(() => {
      clock.advance(1_000)
      return texts.length
    }).toBe(1)
    expect(texts[0]).toMatch(/^\[Reminder message - \w{3} \w{3} [ \d]\d [\d:]{8} \d{4}\] call mum$/)
    await eventually(() => {
      clock.advance(100_000)
      return bed.metric('silopath_silo_events_total', { event: 'expired' })
    }).toBe(1)
    clock.advance(1_000)
    await emptied(bed)
    expect(await bed.metric('silopath_silo_dumped_reminders_total')).toBe(1)
  })
})
