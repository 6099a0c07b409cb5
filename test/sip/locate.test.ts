import { createSocket } from 'node:dgram'
import type { NaptrRecord, SrvRecord } from 'node:dns'
import { Resolver } from 'node:dns/promises'
import { once } from 'node:events'
import { describe, expect, it } from 'vitest'
import { parseSipUri, type SipUri } from '../../src/parser/sip/uri.ts'
import { type AddressRecord, byWeight, type DnsClient, Locator, type LocatorOptions } from '../../src/sip/locate.ts'
import { TimerWheel } from '../../src/sip/timer-wheel.ts'
import { FakeTicker } from '../support/fake-ticker.ts'
import { Random } from '../support/random.ts'

function uri(text: string): SipUri {
  const parsed = parseSipUri(text)
  if (parsed === null) throw new Error(text)
  return parsed
}

type Answer = readonly unknown[] | Error | 'silence'

/** DNS as a table of `TYPE name`; what is not in it does not exist. */
class FakeDns implements DnsClient {
  readonly asked: string[] = []
  readonly records: Record<string, Answer>
  /** Set: answers wait until it is resolved. */
  gate: Promise<void> | null = null

  constructor(records: Record<string, Answer>) {
    this.records = records
  }

  async #answer<Value>(key: string): Promise<Value[]> {
    this.asked.push(key)
    await this.gate
    const answer = this.records[key]
    if (answer === 'silence') return new Promise(() => {})
    if (answer instanceof Error) throw answer
    if (answer === undefined) throw Object.assign(new Error('no such name'), { code: 'ENOTFOUND' })
    return answer as Value[]
  }

  resolveNaptr = (name: string) => this.#answer<NaptrRecord>(`NAPTR ${name}`)
  resolveSrv = (name: string) => this.#answer<SrvRecord>(`SRV ${name}`)
  resolve4 = (name: string) => this.#answer<AddressRecord>(`A ${name}`)
  resolve6 = (name: string) => this.#answer<AddressRecord>(`AAAA ${name}`)
}

function a(address: string, ttl = 300): AddressRecord {
  return { address, ttl }
}

function srv(name: string, port: number, priority = 0, weight = 0): SrvRecord {
  return { name, port, priority, weight }
}

function naptr(service: string, replacement: string, order: number, preference = 0, flags = 's'): NaptrRecord {
  return { flags, service, regexp: '', replacement, order, preference }
}

function bed(records: Record<string, Answer>, options: Partial<LocatorOptions> = {}) {
  const clock = new FakeTicker()
  const wheel = new TimerWheel(clock)
  const dns = new FakeDns(records)
  const locator = new Locator({ clock, wheel, dns, random: () => 0, ...options })
  const locate = async (text: string) =>
    (await locator.locate(uri(text))).map(({ transport, address, port }) => `${transport} ${address} ${port}`)
  return { clock, wheel, dns, locator, locate }
}

describe('an address', () => {
  it.each([
    ['sip:bob@192.0.2.1', 'udp', '192.0.2.1', 5060],
    ['sip:192.0.2.1:5070', 'udp', '192.0.2.1', 5070],
    ['sip:192.0.2.1;transport=TCP', 'tcp', '192.0.2.1', 5060],
    ['sip:192.0.2.1;transport=tls', 'tls', '192.0.2.1', 5061],
    ['sips:192.0.2.1', 'tls', '192.0.2.1', 5061],
    ['sips:192.0.2.1:5070;transport=tcp', 'tls', '192.0.2.1', 5070],
    ['sip:[2001:DB8::1]', 'udp', '2001:db8::1', 5060],
    ['sip:bob@relay.test;maddr=192.0.2.7', 'udp', '192.0.2.7', 5060],
  ])('in %s is the hop, at once and without a question (S-53)', (text, transport, address, port) => {
    const { locator, dns } = bed({})
    const hops = locator.locate(uri(text))
    expect(hops).toMatchObject([{ transport, address, port }])
    expect(dns.asked).toEqual([])
  })

  it('goes with the name that a certificate has to have, which is not that of maddr (S-53)', () => {
    expect(bed({}).locator.locate(uri('sips:relay.test;maddr=192.0.2.7'))).toMatchObject([{ servername: 'relay.test' }])
  })
})

describe('nothing is located', () => {
  it.each([
    ['sip:bob@df7jal23ls0d.invalid', 'is only behind its connection (S-25, S-71)'],
    ['sip:bob@INVALID.;transport=tcp', 'is only behind its connection (S-25, S-71)'],
    ['sip:192.0.2.1;transport=ws', 'has a transport that servers do not open (S-25)'],
    ['sip:192.0.2.1;transport=sctp', 'has a transport that we do not have'],
    ['sips:192.0.2.1;transport=udp', 'is never sent in the clear (S-53)'],
  ])('of %s: it %s', (text) => {
    const { locator, dns } = bed({})
    expect(locator.locate(uri(text))).toEqual([])
    expect(dns.asked).toEqual([])
  })
})

describe('a name', () => {
  it('with a port is asked for its addresses only (S-53)', async () => {
    const { locate, dns } = bed({ 'A h.test': [a('192.0.2.1'), a('192.0.2.2')], 'AAAA h.test': [a('2001:db8::1')] })
    expect(await locate('sip:h.test:5080')).toEqual([
      'udp 192.0.2.1 5080',
      'udp 192.0.2.2 5080',
      'udp 2001:db8::1 5080',
    ])
    expect(dns.asked).toEqual(['A h.test', 'AAAA h.test'])
  })

  it('with a transport is asked for the service of that transport (S-53)', async () => {
    const { locate, dns } = bed({ 'SRV _sip._tcp.h.test': [srv('s.test', 5070)], 'A s.test': [a('192.0.2.1')] })
    expect(await locate('sip:h.test;transport=tcp')).toEqual(['tcp 192.0.2.1 5070'])
    expect(dns.asked).not.toContain('NAPTR h.test')
  })

  it('is asked for NAPTR, then SRV, then addresses, in the order that the domain prefers (S-53)', async () => {
    const { locate } = bed({
      'NAPTR h.test': [
        naptr('SIP+D2U', 'u.h.test', 90),
        naptr('SIPS+D2T', 's.h.test', 50, 2),
        naptr('sip+d2t', 't.h.test', 50, 1),
        naptr('SIP+D2S', 'sctp.h.test', 10),
        naptr('E2U+email', 'x.h.test', 1, 0, 'u'),
      ],
      'SRV u.h.test': [srv('a.test', 5060)],
      'SRV s.h.test': [srv('a.test', 5061)],
      'SRV t.h.test': [srv('b.test', 5062, 2), srv('a.test', 5060, 1)],
      'A a.test': [a('192.0.2.1')],
      'A b.test': [a('192.0.2.2')],
    })
    expect(await locate('sip:h.test')).toEqual([
      'tcp 192.0.2.1 5060',
      'tcp 192.0.2.2 5062',
      'tls 192.0.2.1 5061',
      'udp 192.0.2.1 5060',
    ])
    expect(await locate('sips:h.test')).toEqual(['tls 192.0.2.1 5061'])
  })

  it('without NAPTR is asked for all services that we have, sips for that of TLS only (S-53)', async () => {
    const { locate, dns } = bed({
      'SRV _sip._udp.h.test': [srv('a.test', 5060)],
      'SRV _sips._tcp.h.test': [srv('a.test', 5061)],
      'A a.test': [a('192.0.2.1')],
    })
    expect(await locate('sip:h.test')).toEqual(['udp 192.0.2.1 5060', 'tls 192.0.2.1 5061'])
    dns.asked.length = 0
    expect(await locate('sips:h.test')).toEqual(['tls 192.0.2.1 5061'])
  })

  it('without NAPTR and SRV is asked for its addresses: UDP, or TLS for sips (S-53)', async () => {
    const { locate } = bed({ 'A h.test': [a('192.0.2.1')] })
    expect(await locate('sip:h.test')).toEqual(['udp 192.0.2.1 5060'])
    expect(await locate('sips:h.test')).toEqual(['tls 192.0.2.1 5061'])
    expect(await locate('sip:h.test;transport=tcp')).toEqual(['tcp 192.0.2.1 5060'])
    expect(await locate('sip:nobody.test')).toEqual([])
  })

  it('whose service is decidedly not there has no hop by it (S-53)', async () => {
    const { locate } = bed({
      'SRV _sip._udp.h.test': [srv('.', 0)],
      'SRV _sip._tcp.h.test': [srv('a.test', 5060)],
      'A a.test': [a('192.0.2.1')],
      'A h.test': [a('192.0.2.9')],
    })
    expect(await locate('sip:h.test')).toEqual(['tcp 192.0.2.1 5060'])
    expect(await locate('sip:h.test;transport=udp')).toEqual([])
  })

  it('localhost is never asked for', async () => {
    const { locate, dns } = bed({})
    expect(await locate('sip:localhost:5060')).toEqual(['udp 127.0.0.1 5060', 'udp ::1 5060'])
    expect(dns.asked).toEqual([])
  })

  it('leads to so many hops at most', async () => {
    const many = Array.from({ length: 50 }, (_, i) => a(`192.0.2.${i + 1}`))
    const { locate } = bed({ 'A h.test': many, 'SRV _sip._udp.s.test': [srv('h.test', 1), srv('h.test', 2)] })
    expect(await locate('sip:h.test:5060')).toHaveLength(16)
    expect(await locate('sip:s.test')).toHaveLength(16)
  })
})

describe('SRV records', () => {
  it('come by priority, and by weight among those of one (S-53)', () => {
    const records = [srv('low', 1, 5, 100), srv('a', 1, 1, 10), srv('b', 1, 1, 30), srv('zero', 1, 1, 0)]
    const orders = [0, 0.3, 0.99].map((drawn) => byWeight(records, () => drawn).map(({ name }) => name))
    expect(orders).toEqual([
      ['zero', 'a', 'b', 'low'],
      ['b', 'a', 'zero', 'low'],
      ['b', 'a', 'zero', 'low'],
    ])
  })

  it('are drawn as often as their weights say (S-53)', () => {
    const random = new Random(7, 1)
    const records = [srv('one', 1, 0, 10), srv('three', 1, 0, 30)]
    let first = 0
    for (let i = 0; i < 4_000; i++) {
      if (byWeight(records, () => random.below(1 << 30) / 2 ** 30)[0]?.name === 'three') first++
    }
    expect(first / 4_000).toBeGreaterThan(0.7)
    expect(first / 4_000).toBeLessThan(0.8)
  })
})

describe('answers', () => {
  it('are kept as long as their TTL says', async () => {
    const { locate, dns, clock } = bed({
      'A h.test': [a('192.0.2.1', 40), a('192.0.2.2', 90)],
      'AAAA h.test': [a('::2', 90)],
    })
    await locate('sip:h.test:5060')
    clock.advance(39_000)
    await locate('sip:H.TEST:5060')
    expect(dns.asked).toHaveLength(2)
    clock.advance(2_000)
    await locate('sip:h.test:5060')
    expect(dns.asked).toEqual(['A h.test', 'AAAA h.test', 'A h.test'])
  })

  it('that say there is nothing are kept too, failures only shortly', async () => {
    const failure = Object.assign(new Error('server failure'), { code: 'ESERVFAIL' })
    const { locate, dns, clock } = bed({ 'A h.test': failure })
    expect(await locate('sip:h.test:5060')).toEqual([])
    clock.advance(4_000)
    await locate('sip:h.test:5060')
    expect(dns.asked).toHaveLength(2)
    clock.advance(2_000)
    await locate('sip:h.test:5060')
    expect(dns.asked.slice(2)).toEqual(['A h.test'])
    clock.advance(25_000)
    await locate('sip:h.test:5060')
    expect(dns.asked.slice(3)).toEqual(['A h.test', 'AAAA h.test'])
  })

  it('are kept up to a bound, the oldest go', async () => {
    const { locate, locator, dns } = bed({}, { maxCached: 4 })
    for (const host of ['a', 'b', 'c']) await locate(`sip:${host}.test:1`)
    expect(locator.cached).toBe(4)
    dns.asked.length = 0
    await locate('sip:c.test:1')
    expect(dns.asked).toEqual([])
    await locate('sip:a.test:1')
    expect(dns.asked).toEqual(['A a.test', 'AAAA a.test'])
  })

  it('are waited for by all who ask the same', async () => {
    const { locate, locator, dns, wheel } = bed({ 'A h.test': [a('192.0.2.1')] })
    const all = await Promise.all(Array.from({ length: 20 }, () => locate('sip:h.test:5060')))
    expect(new Set(all.flat())).toEqual(new Set(['udp 192.0.2.1 5060']))
    expect(dns.asked).toEqual(['A h.test', 'AAAA h.test'])
    expect([locator.pending, wheel.size]).toEqual([0, 0])
  })

  it('that do not come are given up in time, and nothing stays behind', async () => {
    const { locate, locator, clock, wheel } = bed({ 'A h.test': 'silence', 'AAAA h.test': [a('2001:db8::1')] })
    const located = locate('sip:h.test:5060')
    await new Promise(setImmediate)
    expect(locator.pending).toBe(1)
    clock.advance(5_100)
    expect(await located).toEqual(['udp 2001:db8::1 5060'])
    expect([locator.pending, wheel.size]).toEqual([0, 0])
  })
})

describe('questions', () => {
  it('are asked a bounded number at a time, wait in a bounded queue, and beyond it have no answer', async () => {
    const { locate, dns } = bed(
      { 'A a.test': [a('192.0.2.1')], 'A b.test': [a('192.0.2.2')] },
      { maxQueries: 2, maxWaiting: 2 },
    )
    let open = () => {}
    dns.gate = new Promise((resolve) => (open = resolve))
    const [first, second, third] = [locate('sip:a.test:1'), locate('sip:b.test:1'), locate('sip:c.test:1')]
    expect(await third).toEqual([])
    expect(dns.asked).toEqual(['A a.test', 'AAAA a.test'])
    open()
    expect([await first, await second]).toEqual([['udp 192.0.2.1 1'], ['udp 192.0.2.2 1']])
    await locate('sip:c.test:1')
    expect(dns.asked).toEqual(['A a.test', 'AAAA a.test', 'A b.test', 'AAAA b.test', 'A c.test', 'AAAA c.test'])
  })

  it('go to DNS as it is spoken', async () => {
    // Whatever is asked: no such name, the question repeated.
    const server = createSocket('udp4', (query, { port, address }) => {
      const answer = Buffer.from(query)
      answer.writeUInt16BE(0x8183, 2)
      server.send(answer, port, address)
    })
    server.bind(0, '127.0.0.1')
    await once(server, 'listening')
    const dns = new Resolver({ timeout: 5_000, tries: 1 })
    dns.setServers([`127.0.0.1:${server.address().port}`])
    const { locate, locator } = bed({}, { dns })
    expect(await locate('sip:nobody.test')).toEqual([])
    expect(locator.cached).toBe(6)
    server.close()
  })
})
