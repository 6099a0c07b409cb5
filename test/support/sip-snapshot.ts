import assert from 'node:assert/strict'
import type { SipMessage } from '../../src/parser/sip/message.ts'
import type { SipProblem } from '../../src/parser/sip/problem.ts'
import type { NameAddr, Via } from '../../src/parser/sip/values.ts'

/** What a reader makes of a message, as plain data: what vectors state, and what the parser and the oracle must agree on. */
export interface MessageSnapshot {
  readonly start: StartSnapshot
  readonly problem: SipProblem | null
  readonly callId: string
  readonly cseq: { readonly number: number; readonly method: string } | null
  readonly from: NameAddrSnapshot | null
  readonly to: NameAddrSnapshot | null
  readonly vias: readonly ViaSnapshot[]
  readonly maxForwards: number | null
  readonly expires: number | null
  readonly contacts: readonly NameAddrSnapshot[] | '*' | null
  readonly routes: readonly NameAddrSnapshot[]
  readonly recordRoutes: readonly NameAddrSnapshot[]
  readonly paths: readonly NameAddrSnapshot[]
  /** Of the names in `snapshotHeaders`, those that are there. */
  readonly headers: Readonly<Record<string, readonly string[]>>
  readonly lists: Readonly<Record<string, readonly string[]>>
  /** An octet a character. */
  readonly body: string
  readonly octets: number
}

export type StartSnapshot =
  | { readonly method: string; readonly requestUri: string; readonly uri: UriSnapshot | null }
  | { readonly status: number; readonly reason: string }

export interface UriSnapshot {
  readonly scheme: 'sip' | 'sips'
  readonly user: string | null
  readonly password: string | null
  readonly host: string
  readonly port: number | null
  readonly params: Readonly<Record<string, string | null>>
  readonly headers: string | null
}

export interface NameAddrSnapshot {
  readonly displayName: string | null
  readonly uriText: string
  readonly uri: UriSnapshot | null
  readonly params: Readonly<Record<string, string | null>>
}

export interface ViaSnapshot {
  readonly protocol: string
  readonly host: string
  readonly port: number | null
  readonly params: Readonly<Record<string, string | null>>
}

/** What a stream gives. `broken` has the request that can be answered, if there is one. */
export type SipEvent =
  | { readonly type: 'message'; readonly message: MessageSnapshot }
  | { readonly type: 'broken'; readonly problem: SipProblem; readonly message: MessageSnapshot | null }
  | { readonly type: 'keep-alive' }
  | { readonly type: 'cut-off' }

/** Headers that snapshots look into: known ones with and without a compact form, and unknown ones. */
export const snapshotHeaders = [
  'Via',
  'Contact',
  'Route',
  'Supported',
  'Allow-Events',
  'Subject',
  'Content-Length',
  'Authorization',
  'X-Unknown',
  'Allow',
] as const

export function snapshotOf(message: SipMessage): MessageSnapshot {
  assert.equal(message.viaCount, message.vias.length)
  assert.equal(message.topVia?.text, message.vias[0]?.text)
  return {
    start:
      message.kind === 'request'
        ? { method: message.method, requestUri: message.requestUri, uri: uriSnapshot(message.uri) }
        : { status: message.status, reason: message.reason },
    problem: message.problem,
    callId: message.callId,
    cseq: message.cseq,
    from: nameAddrSnapshot(message.from),
    to: nameAddrSnapshot(message.to),
    vias: message.vias.map(viaSnapshot),
    maxForwards: message.maxForwards,
    expires: message.expires,
    contacts:
      message.contacts === null || message.contacts === '*'
        ? message.contacts
        : message.contacts.map((value) => nameAddrSnapshot(value)!),
    routes: message.routes.map((value) => nameAddrSnapshot(value)!),
    recordRoutes: message.recordRoutes.map((value) => nameAddrSnapshot(value)!),
    paths: message.paths.map((value) => nameAddrSnapshot(value)!),
    headers: present((name) => message.headers(name)),
    lists: present((name) => message.list(name)),
    body: message.body.toString('latin1'),
    octets: message.octets.length,
  }
}

export function present(valuesOf: (name: string) => readonly string[]): Record<string, readonly string[]> {
  return Object.fromEntries(
    snapshotHeaders.map((name) => [name, valuesOf(name)] as const).filter(([, values]) => values.length > 0),
  )
}

function uriSnapshot(uri: NameAddr['uri']): UriSnapshot | null {
  if (uri === null) return null
  const { scheme, user, password, host, port, params, headers } = uri
  return { scheme, user, password, host, port, params: sorted(params), headers }
}

function nameAddrSnapshot(value: NameAddr | null): NameAddrSnapshot | null {
  if (value === null) return null
  const { displayName, uriText, uri, params } = value
  // Found by the kernel, the others mostly by TypeScript.
  assert.equal(value.tag, params.get('tag') ?? null)
  return { displayName, uriText, uri: uriSnapshot(uri), params: sorted(params) }
}

function viaSnapshot({ protocol, host, port, branch, rport, maddr, params }: Via): ViaSnapshot {
  assert.equal(branch, params.get('branch') ?? null)
  assert.equal(rport, params.has('rport') ? (params.get('rport') ? 'given' : 'asked') : null)
  assert.equal(maddr, params.has('maddr') ? (params.get('maddr') ?? '') : null)
  return { protocol, host, port, params: sorted(params) }
}

/** Entries in one order, so that equal snapshots are equal texts. */
export function sorted(entries: Iterable<readonly [string, string | null]>): Record<string, string | null> {
  return Object.fromEntries([...entries].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)))
}
