import { describe, expect, it } from 'vitest'
import { asRequestUri, nextHop, preprocess, type Routed, targetOf } from '../../../src/sip/proxy/route.ts'
import { flowTo, located, ProxyBed, self } from '../../support/sip-proxy-bed.ts'
import { request } from '../transactions/support.ts'

const bed = new ProxyBed()
const ours = `<sip:${self};lr>`
const flow = flowTo(bed.device('far')).destination
bed.tokens.set('goodToken', flow)
bed.tokens.set('homeToken', { kind: 'locate' })

function route(uri: string, ...routes: string[]) {
  const message = request('MESSAGE', { uri, more: routes.map((value) => `Route: ${value}`) })
  return preprocess(message, bed.identity)
}

describe('our own part in a route', () => {
  it('is none: everything stays as it came (S-42)', () => {
    expect(route('sip:bob@silo.test', '<sip:edge.test;lr>;x=1')).toMatchObject({
      requestUri: 'sip:bob@silo.test',
      routes: ['<sip:edge.test;lr>;x=1'],
      untouched: true,
      destination: { kind: 'locate' },
    })
  })

  it('is the first Route, which is dropped (S-42)', () => {
    expect(route('sip:bob@silo.test', ours, '<sip:edge.test;lr>')).toMatchObject({
      routes: ['<sip:edge.test;lr>'],
      untouched: false,
    })
  })

  it('is the first two, one for each transport (S-42)', () => {
    expect(route('sip:bob@silo.test', `${ours}, <sip:${self};transport=tcp;lr>, <sip:edge.test;lr>`)).toMatchObject({
      routes: ['<sip:edge.test;lr>'],
    })
  })

  it('is not a later one: the request is to come back (S-42)', () => {
    expect(route('sip:bob@silo.test', ours, '<sip:edge.test;lr>', ours)).toMatchObject({
      routes: ['<sip:edge.test;lr>', ours],
    })
  })

  it('is the Request-URI, put there by a strict router: the last Route becomes the Request-URI (S-42)', () => {
    expect(route(`sip:${self};lr`, '<sip:edge.test;lr>', '<sip:bob@198.51.100.7>')).toMatchObject({
      requestUri: 'sip:bob@198.51.100.7',
      routes: ['<sip:edge.test;lr>'],
      untouched: false,
    })
  })

  it('is not a Request-URI that is no Record-Route value: ours, but for ourselves (S-42)', () => {
    expect(route(`sip:${self}`, '<sip:edge.test;lr>')).toMatchObject({ requestUri: `sip:${self}`, untouched: true })
    expect(route(`sip:${self};lr`)).toMatchObject({ requestUri: `sip:${self};lr` })
  })

  it('is a maddr that names us, with the port and transport that have led here (S-42)', () => {
    expect(route(`sip:bob@silo.test:5060;user=ip;maddr=${self};transport=tcp`)).toMatchObject({
      requestUri: 'sip:bob@silo.test;user=ip',
    })
    const other = 'sip:bob@silo.test;maddr=192.0.2.7'
    expect(route(other)).toMatchObject({ requestUri: other })
  })

  it('may carry a flow token, which says where the request goes (S-70)', () => {
    expect(route('sip:bob@x.invalid', `<sip:goodToken@${self};lr>`)).toMatchObject({ destination: flow, routes: [] })
    const both = `<sip:homeToken@${self};lr>, <sip:goodToken@${self};transport=ws;lr>`
    expect(route('sip:bob@x.invalid', both)).toMatchObject({ destination: flow })
    expect(route(`sip:goodToken@${self};lr`, '<sip:bob@x.invalid>')).toMatchObject({
      destination: flow,
      requestUri: 'sip:bob@x.invalid',
    })
    expect(route('sip:bob@x.invalid', `<sip:homeToken@${self};lr>`)).toMatchObject({ destination: { kind: 'locate' } })
  })

  it('with a token that was tampered with is refused: 403 (S-70)', () => {
    expect(route('sip:bob@x.invalid', `<sip:badToken@${self};lr>`)).toMatchObject({
      kind: 'refused',
      refusal: { status: 403 },
    })
  })
})

describe('the next hop', () => {
  const routed = (uri: string, ...routes: string[]) => route(uri, ...routes) as Routed

  it('is the target without a Route (S-44)', () => {
    const next = nextHop(routed('sip:bob@silo.test'), located('sip:bob@198.51.100.7'))
    expect(next).toMatchObject({ requestUri: 'sip:bob@198.51.100.7', routes: null, prepended: [] })
    expect(next.uri?.host).toBe('198.51.100.7')
  })

  it('is what the request says itself, when that is the target (S-43)', () => {
    const request = routed('sip:bob@else.test')
    expect(nextHop(request, targetOf(request))).toMatchObject({ requestUri: 'sip:bob@else.test', uri: request.uri })
  })

  it('is the first Route, when that is a loose router (S-44, S-52)', () => {
    const next = nextHop(routed('sip:bob@silo.test', '<sip:edge.test;lr>'), located('sip:bob@198.51.100.7'))
    expect(next).toMatchObject({ requestUri: 'sip:bob@198.51.100.7', routes: null })
    expect(next.uri?.host).toBe('edge.test')
  })

  it('is the Path of the target before the Route of the request (S-44, S-68)', () => {
    const target = located('sip:bob@198.51.100.7', { route: ['<sip:p1.test;lr>', '<sip:p2.test;lr>'] })
    const kept = nextHop(routed('sip:bob@silo.test', '<sip:edge.test;lr>'), target)
    expect(kept).toMatchObject({ routes: null, prepended: target.route })
    expect(kept.uri?.host).toBe('p1.test')
    const dropped = nextHop(routed('sip:bob@silo.test', ours, '<sip:edge.test;lr>'), target)
    expect(dropped.routes).toEqual([...target.route, '<sip:edge.test;lr>'])
  })

  it('is a strict router: it gets its URI as Request-URI, and the Request-URI as last Route (S-44)', () => {
    const next = nextHop(
      routed('sip:bob@silo.test', '<sip:strict.test;x=1?Subject=no>', '<sip:edge.test;lr>'),
      located('sip:bob@198.51.100.7'),
    )
    expect(next).toMatchObject({
      requestUri: 'sip:strict.test;x=1',
      routes: ['<sip:edge.test;lr>', '<sip:bob@198.51.100.7>'],
    })
    expect(next.uri?.host).toBe('strict.test')
  })

  it('has a Request-URI without headers and method (S-44)', () => {
    expect(asRequestUri('sip:b;method=x@h;method=INVITE;lr?To=x')).toBe('sip:b;method=x@h;lr')
    expect(asRequestUri('sip:b?x@h;transport=tcp')).toBe('sip:b?x@h;transport=tcp')
    expect(asRequestUri('sip:h;lr;METHOD=A')).toBe('sip:h;lr')
  })

  it('cannot be located when it is no SIP URI', () => {
    expect(nextHop(routed('sip:b@silo.test', '<tel:1>'), located('sip:bob@h.test')).uri).toBeNull()
  })
})
