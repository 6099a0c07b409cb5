import { Buffer } from 'node:buffer'
import type { SipRequest } from '../parser/sip/message.ts'
import { parseSipUri, type SipUri } from '../parser/sip/uri.ts'
import { type NameAddr, parseNameAddr } from '../parser/sip/values.ts'
import type { VariableName, VariableSource } from '../routing/pseudo-variables.ts'
import type { SiloMessage } from '../store/silo-store.ts'
import { ownerOf, ownerUri, writtenUser } from './addresses.ts'
import { ctime, type Zone } from './dates.ts'
import { headerOf, type StoredHeaders } from './headers.ts'

/** Where a request came from. */
export interface RequestSource {
  readonly address: string
  readonly port: number
  /** In lower case, as `SipTransport` has it. */
  readonly transport: string
}

type Getter<Of> = (of: Of) => string | null
type Getters<Of> = Readonly<Partial<Record<VariableName, Getter<Of>>>>

interface Received {
  readonly request: SipRequest
  readonly source: RequestSource
  readonly time: number
  readonly zone: Zone
}

const user = (uri: SipUri | null) => uri && writtenUser(uri)
const domain = (uri: SipUri | null) => uri?.host ?? null

function identity({ request }: Received, name: string): NameAddr | null {
  const [first] = request.list(name)
  return first === undefined ? null : parseNameAddr(first)
}

const ofRequests: Getters<Received> = {
  ru: ({ request }) => request.requestUri,
  rU: ({ request }) => user(request.uri),
  rd: ({ request }) => domain(request.uri),
  rp: ({ request }) => request.uri && String(request.uri.port ?? (request.uri.scheme === 'sips' ? 5061 : 5060)),
  rP: ({ request }) => request.uri && (request.uri.params.get('transport') ?? 'udp'),
  ou: ({ request }) => request.requestUri,
  oU: ({ request }) => user(request.uri),
  od: ({ request }) => domain(request.uri),
  fu: ({ request }) => request.from?.uriText ?? null,
  fU: ({ request }) => user(request.from?.uri ?? null),
  fd: ({ request }) => domain(request.from?.uri ?? null),
  fn: ({ request }) => request.from?.displayName ?? null,
  ft: ({ request }) => request.from?.tag ?? null,
  tu: ({ request }) => request.to?.uriText ?? null,
  tU: ({ request }) => user(request.to?.uri ?? null),
  td: ({ request }) => domain(request.to?.uri ?? null),
  tn: ({ request }) => request.to?.displayName ?? null,
  tt: ({ request }) => request.to?.tag ?? null,
  ai: (of) => identity(of, 'P-Asserted-Identity')?.uriText ?? null,
  pu: (of) => identity(of, 'P-Preferred-Identity')?.uriText ?? null,
  pU: (of) => user(identity(of, 'P-Preferred-Identity')?.uri ?? null),
  pd: (of) => domain(identity(of, 'P-Preferred-Identity')?.uri ?? null),
  ci: ({ request }) => request.callId,
  cs: ({ request }) => request.cseq && String(request.cseq.number),
  ct: ({ request }) => request.header('Contact'),
  cT: ({ request }) => request.header('Content-Type'),
  rm: ({ request }) => request.method,
  rb: ({ request }) => request.body.toString('utf8'),
  ua: ({ request }) => request.header('User-Agent'),
  si: ({ source }) => source.address,
  sp: ({ source }) => String(source.port),
  pr: ({ source }) => source.transport,
  proto: ({ source }) => source.transport,
  Ts: ({ time }) => String(Math.floor(time / 1000)),
  Tf: ({ time, zone }) => ctime(time, zone),
}

/** The variables of a request that has come at `time`; `avp` gives what a routing has left. */
export function requestVariables(
  request: SipRequest,
  source: RequestSource,
  time: number,
  zone: Zone,
  avp: (name: string) => string | null,
): VariableSource {
  const received = { request, source, time, zone }
  return {
    variable: (name) => ofRequests[name]?.(received) ?? null,
    header: (name) => request.header(name),
    avp,
  }
}

interface Stored {
  readonly message: SiloMessage
  readonly headers: StoredHeaders
  readonly zone: Zone
}

const ofMessages: Getters<Stored> = {
  ru: ({ message }) => ownerUri(message.owner),
  rU: ({ message }) => ownerOf(message.owner).user,
  rd: ({ message }) => ownerOf(message.owner).domain,
  ou: ({ message }) => ownerUri(message.owner),
  oU: ({ message }) => ownerOf(message.owner).user,
  od: ({ message }) => ownerOf(message.owner).domain,
  fu: ({ message }) => message.srcAddr,
  fU: ({ message }) => user(parseSipUri(message.srcAddr)),
  fd: ({ message }) => domain(parseSipUri(message.srcAddr)),
  tu: ({ message }) => message.dstAddr,
  tU: ({ message }) => user(parseSipUri(message.dstAddr)),
  td: ({ message }) => domain(parseSipUri(message.dstAddr)),
  ci: ({ message }) => message.callId,
  cT: ({ message }) => message.contentType,
  rm: () => 'MESSAGE',
  rb: ({ message }) => Buffer.from(message.body).toString('utf8'),
  Ts: ({ message }) => String(Math.floor(message.incTime / 1000)),
  Tf: ({ message, zone }) => ctime(message.incTime, zone),
}

/** The variables of a message that is sent from the silo: what was kept of it. The Request-URI is its owner. */
export function messageVariables(message: SiloMessage, headers: StoredHeaders, zone: Zone): VariableSource {
  const stored = { message, headers, zone }
  return {
    variable: (name) => ofMessages[name]?.(stored) ?? null,
    header: (name) => headerOf(headers, name),
    avp: () => null,
  }
}
