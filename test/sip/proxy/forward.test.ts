import { describe, expect, it } from 'vitest'
import type { SipRequest } from '../../../src/parser/sip/message.ts'
import { laneOfBranch } from '../../../src/sip/proxy/branch.ts'
import { targetOf } from '../../../src/sip/proxy/route.ts'
import { flowTo, located, ProxyBed, self } from '../../support/sip-proxy-bed.ts'
import { parse, request } from '../transactions/support.ts'

const body = 'x'.repeat(1_200)

/** A MESSAGE of more octets than may go in a datagram. */
function large(method = 'MESSAGE'): SipRequest {
  const text = request(method).octets.toString()
  return parse(text.replace('Content-Length: 0\r\n\r\n', `Content-Length: ${body.length}\r\n\r\n${body}`)) as SipRequest
}

describe('a request that is forwarded', () => {
  it('gets our Via on top, one Max-Forwards less and the target as Request-URI; all else stays (S-41, S-44)', () => {
    const bed = new ProxyBed()
    const device = bed.device('phone')
    const message = parse(
      [
        'FLY sip:bob@silo.test SIP/2.0',
        'v: SIP/2.0/UDP client.test;branch=z9hG4bKc1 , SIP/2.0/TCP far.test;branch=z9hG4bKc0',
        'X-Odd:   one',
        'x-odd: two',
        'Subject : a,',
        '  b',
        'Max-Forwards: 12',
        'f: <sip:alice@silo.test>;tag=a1',
        't: <sip:bob@silo.test>',
        'i: c1',
        'CSeq: 7 FLY',
        'l: 4',
        '',
        'h\0i!',
      ].join('\r\n'),
    ) as SipRequest
    bed.forward(message, [[flowTo(device, { requestUri: 'sip:bob@198.51.100.7;ob?Subject=x' })]])
    const branch = device.last().topVia?.branch ?? ''
    const expected = message.octets
      .toString()
      .replace('FLY sip:bob@silo.test', 'FLY sip:bob@198.51.100.7;ob')
      .replace('v: ', `Via: SIP/2.0/UDP ${self};branch=${branch}\r\nv: `)
      .replace('Forwards: 12', 'Forwards: 11')
    expect(device.last().octets.toString()).toBe(expected)
    expect(laneOfBranch(branch)).toBe(3)
  })

  it('gets Max-Forwards 70 when it has none (S-44)', () => {
    const bed = new ProxyBed()
    const device = bed.device('phone')
    const text = request('MESSAGE').octets.toString().replace('Max-Forwards: 70\r\n', '')
    bed.forward(parse(text) as SipRequest, [[flowTo(device)]])
    expect(device.last().maxForwards).toBe(70)
  })

  it('gets a Content-Length where a stream needs it (S-44)', () => {
    const bed = new ProxyBed()
    const [stream, datagrams] = [bed.device('stream', true), bed.device('datagrams')]
    const text = request('MESSAGE').octets.toString().replace('Content-Length: 0\r\n\r\n', '\r\nhello')
    bed.forward(parse(text) as SipRequest, [[flowTo(stream), flowTo(datagrams)]])
    expect(stream.last().header('Content-Length')).toBe('5')
    expect(datagrams.last().header('Content-Length')).toBeNull()
  })

  it('goes by Path and Route, without what was ours (S-42, S-44, S-68)', () => {
    const bed = new ProxyBed()
    const device = bed.device('edge')
    bed.host('path.test', [{ device, transport: 'udp' }])
    const message = request('MESSAGE', { more: [`Route: <sip:${self};lr>, <sip:next.test;lr>`] })
    bed.forward(message, [[located('sip:bob@198.51.100.7', { route: ['<sip:path.test;lr>'] })]])
    expect(device.last().list('Route')).toEqual(['<sip:path.test;lr>', '<sip:next.test;lr>'])
    expect(device.last().requestUri).toBe('sip:bob@198.51.100.7')
    expect(bed.opened).toEqual(['udp 192.0.2.1'])
  })

  it('gets no Record-Route, unless we are to stay in the way; two when transports differ (S-44, S-52)', () => {
    const bed = new ProxyBed()
    const [tcp, udp] = [bed.device('tcp', true), bed.device('udp')]
    bed.forward(request('INVITE'), [[flowTo(udp)]])
    expect(udp.last().list('Record-Route')).toEqual([])
    const message = request('INVITE', { more: ['Record-Route: <sip:before.test;lr>'] })
    bed.forward(message, [[flowTo(udp), flowTo(tcp)]], { recordRoute: true })
    expect(udp.last().list('Record-Route')).toEqual([`<sip:${self};lr>`, '<sip:before.test;lr>'])
    expect(tcp.last().list('Record-Route')).toEqual([
      `<sip:${self};transport=tcp;lr>`,
      `<sip:${self};lr>`,
      '<sip:before.test;lr>',
    ])
  })

  it('goes where it says when we do not serve it (S-43)', () => {
    const bed = new ProxyBed()
    const device = bed.device('else')
    bed.host('else.test', [{ device, transport: 'udp' }])
    const message = request('MESSAGE', { uri: 'sip:carol@else.test;x=1' })
    const server = bed.receive(message)
    const routed = bed.routed(message)
    bed.core.forward(server, routed, [[targetOf(routed)]])
    expect(device.last().requestUri).toBe('sip:carol@else.test;x=1')
  })

  it('waits for names to be resolved and connections to be made (S-53)', async () => {
    const bed = new ProxyBed()
    const device = bed.device('slow', true)
    const hop = { transport: 'tcp', address: '192.0.2.9', port: 5060, servername: 'slow.test' } as const
    bed.hosts.set('slow.test', Promise.resolve([hop]))
    bed.channels.set('tcp 192.0.2.9', Promise.resolve(device))
    bed.forward(request('MESSAGE'), [[located('sip:bob@slow.test')]])
    expect(device.heard).toEqual([])
    await new Promise(setImmediate)
    expect(device.heard).toEqual(['MESSAGE'])
    device.answer(200)
    expect(bed.answers('MESSAGE')).toEqual([200])
  })
})

describe('a request of over 1300 octets', () => {
  it('goes over TCP where UDP was found (S-24)', () => {
    const bed = new ProxyBed()
    const [udp, tcp] = [bed.device('udp'), bed.device('tcp', true)]
    bed.host('both.test', [{ device: udp, transport: 'udp' }])
    bed.channels.set('tcp 192.0.2.1', tcp)
    bed.forward(large(), [[located('sip:bob@both.test')]])
    expect(tcp.heard).toEqual(['MESSAGE'])
    bed.forward(request('MESSAGE'), [[located('sip:bob@both.test')]])
    expect(udp.heard).toEqual(['MESSAGE'])
  })

  it('goes over UDP after all when TCP is refused, but no MESSAGE does (S-24, S-82)', () => {
    const bed = new ProxyBed()
    const udp = bed.device('udp')
    bed.host('udp.test', [{ device: udp, transport: 'udp' }])
    bed.forward(large('NOTIFY'), [[located('sip:bob@udp.test')]])
    expect(udp.heard).toEqual(['NOTIFY'])
    expect(bed.opened).toEqual(['tcp 192.0.2.1', 'udp 192.0.2.1'])
    bed.forward(large(), [[located('sip:bob@udp.test')]])
    expect(udp.heard).toEqual(['NOTIFY'])
    expect(bed.answers('MESSAGE')).toEqual([500])
  })

  it('goes to a UDP source only when it is no MESSAGE, which gets 513 (S-82)', () => {
    const bed = new ProxyBed()
    const udp = bed.device('udp')
    bed.forward(large(), [[flowTo(udp)]])
    expect(bed.answers('MESSAGE')).toEqual([513])
    bed.forward(large('NOTIFY'), [[flowTo(udp)]])
    expect(udp.heard).toEqual(['NOTIFY'])
  })
})

describe('an answer', () => {
  it('goes back without our Via, and otherwise as it came (S-46)', () => {
    const bed = new ProxyBed()
    const device = bed.device('phone')
    const message = request('MESSAGE')
    bed.forward(message, [[flowTo(device)]])
    device.answer(202, ['X-Own:  kept  as it is'])
    const [answer] = bed.client.take()
    expect(answer?.vias.map(({ text }) => text)).toEqual(message.vias.map(({ text }) => text))
    expect(answer?.octets.toString()).toContain('\r\nX-Own:  kept  as it is\r\n')
    expect(bed.answers('MESSAGE')).toEqual([202])
  })

  it('with no Via but ours was for us: it is not forwarded (S-23)', () => {
    const bed = new ProxyBed()
    const device = bed.device('odd', true)
    bed.forward(request('MESSAGE'), [[flowTo(device)]])
    const [top] = device.last().vias
    const text = device.last().octets.toString()
    const only = text.replace(/^.*\r\n/, 'SIP/2.0 200 OK\r\n').replace(/Via: SIP\/2.0\/UDP client.*\r\n/, '')
    expect(top?.host).toBe(self)
    bed.layer.receive(parse(only), device)
    expect(bed.answers('MESSAGE')).toEqual([500])
  })
})

describe('an ACK for a 2xx', () => {
  const dialog = { toTag: 'b1', uri: 'sip:bob@198.51.100.7' }

  it('is sent on with a branch of its own, without a transaction (S-35)', async () => {
    const bed = new ProxyBed()
    const device = bed.device('phone')
    bed.host('198.51.100.7', [{ device, transport: 'udp' }])
    const ack = request('ACK', dialog)
    await bed.core.forwardAck(ack, bed.client, bed.routed(ack), targetOf(bed.routed(ack)))
    expect(device.heard).toEqual(['ACK'])
    expect(device.last('ACK')).toMatchObject({ maxForwards: 69, requestUri: dialog.uri })
    expect(device.last('ACK').vias).toHaveLength(2)
    expect(bed.empty).toBe(true)
    expect(bed.core.counters).toMatchObject({ acks: 1, acksDropped: 0 })
  })

  it('goes to a flow at once, and to the next hop when the first cannot be had (S-35, S-49, S-70)', async () => {
    const bed = new ProxyBed()
    const [flow, second] = [bed.device('flow', true), bed.device('second')]
    const ack = request('ACK', dialog)
    const done = bed.core.forwardAck(ack, bed.client, bed.routed(ack), flowTo(flow))
    expect(flow.heard).toEqual(['ACK'])
    await done
    bed.host('198.51.100.7', [
      { device: null, transport: 'udp' },
      { device: second, transport: 'udp' },
    ])
    await bed.core.forwardAck(ack, bed.client, bed.routed(ack), targetOf(bed.routed(ack)))
    expect(second.heard).toEqual(['ACK'])
  })

  it('is dropped when it can go nowhere, or has gone far enough; it is never answered (S-35)', async () => {
    const bed = new ProxyBed()
    const device = bed.device('phone')
    const ack = request('ACK', dialog)
    await bed.core.forwardAck(ack, bed.client, bed.routed(ack), targetOf(bed.routed(ack)))
    await bed.core.forwardAck(ack, bed.client, bed.routed(ack), flowTo(null))
    const tired = parse(ack.octets.toString().replace('Forwards: 70', 'Forwards: 0')) as SipRequest
    await bed.core.forwardAck(tired, bed.client, bed.routed(tired), flowTo(device))
    expect(device.heard).toEqual([])
    expect(bed.client.heard).toEqual([])
    expect(bed.core.counters).toMatchObject({ acks: 0, acksDropped: 3 })
  })

  it('is dropped when too many of them wait for their next hop', async () => {
    const bed = new ProxyBed()
    let resolve: (hops: readonly []) => void = () => {}
    bed.hosts.set('198.51.100.7', new Promise((settle) => (resolve = settle)))
    const ack = request('ACK', dialog)
    const routed = bed.routed(ack)
    const waiting = Array.from({ length: 1_024 }, () => bed.core.forwardAck(ack, bed.client, routed, targetOf(routed)))
    await bed.core.forwardAck(ack, bed.client, routed, flowTo(bed.device('phone')))
    expect(bed.core.counters.acksDropped).toBe(1)
    resolve([])
    await Promise.all(waiting)
    await bed.core.forwardAck(ack, bed.client, routed, flowTo(bed.device('phone')))
    expect(bed.core.counters).toMatchObject({ acks: 1, acksDropped: 1_025 })
  })
})
