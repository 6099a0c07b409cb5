import type { SipRequest } from '../../parser/sip/message.ts'
import { parseSipUri, type SipUri } from '../../parser/sip/uri.ts'
import { type NameAddr, parseNameAddr } from '../../parser/sip/values.ts'
import type { ProxyIdentity } from './identity.ts'
import { type Refusal, refusal } from './refusal.ts'
import type { Destination, Target } from './target.ts'

/** A request without what was in it for us: where it is to go from here (S-42). */
export interface Routed {
  readonly kind: 'routed'
  readonly requestUri: string
  readonly uri: SipUri
  /** The Route values that are left, as they came. */
  readonly routes: readonly string[]
  /** Whether `routes` are all that the request has. */
  readonly untouched: boolean
  /** It came with a flow token of ours, which leads where this says. */
  readonly destination: Destination
}

/** What its next hop is chosen by. `uri` null: it is read where it is needed. */
export type Onward = Pick<Routed, 'requestUri' | 'routes' | 'untouched'> & { readonly uri: SipUri | null }

export interface Refused {
  readonly kind: 'refused'
  readonly refusal: Refusal
}

const toLocate: Destination = { kind: 'locate' }
const noRoutes: readonly string[] = []

/** Takes our own part out of a request's route (S-42, RFC 3261 16.4). `request.uri` is not null: see `validate`. */
export function preprocess(request: SipRequest, identity: ProxyIdentity): Routed | Refused {
  let { requestUri, uri } = request
  if (uri === null) return { kind: 'refused', refusal: refusal(416) }
  let routes: readonly NameAddr[] = request.routes
  let untouched = true
  const tokens: string[] = []
  // S-42: a strict router has put our Record-Route value into the Request-URI, and the Request-URI at the end.
  const last = routes.at(-1)
  if (last !== undefined && last.uri !== null && uri.params.has('lr') && identity.isSelf(uri)) {
    if (uri.user !== null) tokens.push(uri.user)
    requestUri = last.uriText
    uri = last.uri
    routes = routes.slice(0, -1)
    untouched = false
  }
  const stripped = withoutOwnMaddr(uri, identity)
  if (stripped !== null) {
    requestUri = stripped.text
    uri = stripped
  }
  // A transport on either side of us has a value of its own, so both of the topmost may be ours (RFC 5658).
  let own = 0
  while (own < 2) {
    const route = routes[own]?.uri ?? null
    if (route === null || !identity.isSelf(route)) break
    if (route.user !== null) tokens.push(route.user)
    own++
  }
  if (own > 0) {
    routes = routes.slice(own)
    untouched = false
  }
  let destination: Destination = toLocate
  for (const token of tokens) {
    const flow = identity.flowOf(token, request)
    if (flow === null) return { kind: 'refused', refusal: refusal(403) } // S-70
    if (destination.kind === 'locate') destination = flow
  }
  const texts = routes.length === 0 ? noRoutes : routes.map(({ text }) => text)
  return { kind: 'routed', requestUri, uri, routes: texts, untouched, destination }
}

/** S-42: a maddr that names us has led here, and with it port and transport; null when there is none. */
function withoutOwnMaddr(uri: SipUri, identity: ProxyIdentity): SipUri | null {
  const maddr = uri.params.get('maddr')
  if (!maddr || !identity.isSelf({ host: maddr, port: uri.port })) return null
  const at = uri.text.indexOf('@') + 1
  const head = uri.text.slice(0, at)
  const [hostPort = '', ...params] = uri.text.slice(at).split(';')
  const kept = params.filter((param) => !/^(?:maddr|transport)(?:=|$)/i.test(param))
  const host = uri.port === null ? hostPort : hostPort.slice(0, hostPort.lastIndexOf(':'))
  return parseSipUri(`${head}${[host, ...kept].join(';')}`)
}

/** The target that the request itself names. */
export function targetOf({ requestUri, destination }: Routed): Target {
  return { requestUri, route: noRoutes, destination }
}

/** Where a request goes: what it says in its start line and in Route, and the URI to locate. */
export interface NextHop {
  readonly requestUri: string
  /** null: as they came. */
  readonly routes: readonly string[] | null
  /** Those to go before the ones that came, when these are kept. */
  readonly prepended: readonly string[]
  /** What is to be located; null: not a URI that can be, or the target has a flow. */
  readonly uri: SipUri | null
}

/** Chooses the next hop of a request that goes to a target (S-44, RFC 3261 16.6 steps 6 and 7). */
export function nextHop(routed: Onward, target: Target): NextHop {
  const requestUri = asRequestUri(target.requestUri)
  const first = target.route[0] ?? routed.routes[0]
  if (first === undefined) {
    const known = target.requestUri === routed.requestUri ? routed.uri : null
    const uri = target.destination.kind === 'flow' ? null : (known ?? parseSipUri(requestUri))
    return { requestUri, routes: routed.untouched ? null : noRoutes, prepended: noRoutes, uri }
  }
  const uri = uriOf(first)
  if (uri === null || uri.params.has('lr')) {
    return routed.untouched
      ? { requestUri, routes: null, prepended: target.route, uri }
      : { requestUri, routes: [...target.route, ...routed.routes], prepended: noRoutes, uri }
  }
  // A strict router finds itself in the Request-URI, and the Request-URI at the end of the route.
  const [, ...others] = [...target.route, ...routed.routes]
  const routes = [...others, `<${requestUri}>`]
  return { requestUri: asRequestUri(uri.text), routes, prepended: noRoutes, uri }
}

function uriOf(route: string): SipUri | null {
  return parseNameAddr(route)?.uri ?? null
}

/** A URI as the Request-URI may have it: without headers and method parameter (S-44). */
export function asRequestUri(text: string): string {
  const start = text.indexOf('@') + 1
  const question = text.indexOf('?', start)
  const uri = question < 0 ? text : text.slice(0, question)
  const params = uri.indexOf(';', start)
  if (params < 0 || !/;method=/i.test(uri.slice(params))) return uri
  return uri.slice(0, params) + uri.slice(params).replace(/;method=[^;]*/gi, '')
}
