import { Buffer } from 'node:buffer'
import type { SipRequest, SipResponse } from '../parser/sip/message.ts'
import { parseSipUri } from '../parser/sip/uri.ts'
import type { DeliveryOutcome, OutgoingMessage } from '../silo/order.ts'
import type { Contacts, ContactTarget } from './contacts.ts'
import type { SipIdentity } from './identity.ts'
import type { Failure } from './proxy/best-response.ts'
import { randomToken } from './proxy/branch.ts'
import type { BranchUser } from './proxy/client-branch.ts'
import type { ProxyCore } from './proxy/proxy.ts'
import { asRequestUri } from './proxy/route.ts'
import type { Target } from './proxy/target.ts'

const unreachable: DeliveryOutcome = { kind: 'unreachable' }

export interface UserAgentClientOptions {
  readonly proxy: ProxyCore
  readonly contacts: Contacts
  readonly identity: SipIdentity
  readonly parse: (octets: Buffer) => SipRequest
}

/** Sends MESSAGEs of our own (RFC 3261 8.1, RFC 3428): deliveries of the silo, notices, IMDNs. */
export class UserAgentClient {
  readonly #options: UserAgentClientOptions

  constructor(options: UserAgentClientOptions) {
    this.#options = options
  }

  /**
   * Sends to the device that has registered this contact; resolves with its final answer. Contacts that name no device
   * are one together: all of them get the message at once, and one 2xx is enough.
   */
  toContact(aor: string, contact: string, message: OutgoingMessage): Promise<DeliveryOutcome> {
    const targets = this.#options.contacts.of(aor, 'MESSAGE').flat()
    const meant = targets.find((target) => target.binding.contact === contact)
    if (meant === undefined) return Promise.resolve(unreachable)
    const { instance } = meant.binding
    return this.#send(message, instance === null ? targets.filter(({ binding }) => binding.instance === null) : [meant])
  }

  /** Sends to whom the message is for: to all contacts of a user of ours, else where its URI or its proxy leads. */
  toAddressee(message: OutgoingMessage): Promise<DeliveryOutcome> {
    return this.#send(message, this.#targets(message))
  }

  #targets({ requestUri, to, via }: OutgoingMessage): readonly Target[] {
    if (via !== null) {
      const route = `<${/;lr(?:[;=]|$)/i.test(via) ? via : `${via};lr`}>`
      return [{ requestUri, route: [route], destination: { kind: 'locate' } }]
    }
    const { identity, contacts } = this.#options
    const targets = (uri: ReturnType<typeof parseSipUri>): readonly ContactTarget[] =>
      uri !== null && uri.user !== null && identity.serves(uri) ? contacts.of(identity.aor(uri), 'MESSAGE').flat() : []
    const uri = parseSipUri(requestUri)
    if (uri === null) return []
    if (uri.user !== null && identity.serves(uri)) return targets(uri)
    // A contact of one of ours is reached over its flow (S-71), wherever its URI leads.
    const known = targets(parseSipUri(to)).filter(({ binding }) => binding.contact === requestUri)
    return known.length > 0 ? known : [{ requestUri, route: [], destination: { kind: 'locate' } }]
  }

  /** To all targets at once: the first 2xx counts, else the failure that says most. */
  #send(message: OutgoingMessage, targets: readonly Target[]): Promise<DeliveryOutcome> {
    if (targets.length === 0) return Promise.resolve(unreachable)
    const { proxy, parse } = this.#options
    const { promise, resolve } = Promise.withResolvers<DeliveryOutcome>()
    let pending = targets.length
    let best: DeliveryOutcome = unreachable
    const user: BranchUser = {
      provisional: () => {},
      succeeded: (_branch, response) => resolve(answered(response)),
      failed: (_branch, failure) => {
        best = better(best, outcomeOf(failure))
        if (--pending === 0) resolve(best)
      },
    }
    for (const target of targets) {
      const request = parse(encode(message, asRequestUri(target.requestUri)))
      // What was imported may be for anything. Where there is a flow, its registrar has looked at the URI.
      if (target.destination.kind === 'flow' || request.uri !== null) proxy.originate(request, target, user)
      else if (--pending === 0) resolve(best)
    }
    return promise
  }
}

function answered({ status, reason }: SipResponse): DeliveryOutcome {
  return { kind: 'answered', status, reason }
}

function outcomeOf({ response, timedOut }: Failure): DeliveryOutcome {
  if (response !== null) return answered(response)
  return timedOut ? { kind: 'timed-out' } : unreachable
}

/** An answer says more than silence, and silence more than that there was no way. */
function better(earlier: DeliveryOutcome, later: DeliveryOutcome): DeliveryOutcome {
  const rank = ({ kind }: DeliveryOutcome) => ['unreachable', 'timed-out', 'answered'].indexOf(kind)
  return rank(later) > rank(earlier) ? later : earlier
}

/** The request without Via and Max-Forwards, which are put in with its next hop. */
function encode(message: OutgoingMessage, requestUri: string): Buffer {
  const { from, to, callId, cseq, headers, contentType, body } = message
  let head = `MESSAGE ${requestUri} SIP/2.0\r\n`
  head += `From: ${inBrackets(from)};tag=${randomToken()}\r\nTo: ${inBrackets(to)}\r\n`
  head += `Call-ID: ${callId}\r\nCSeq: ${cseq} MESSAGE\r\n`
  for (const [name, value] of headers) head += `${name}: ${value}\r\n`
  head += `Content-Type: ${contentType}\r\nContent-Length: ${body.length}\r\n\r\n`
  return Buffer.concat([Buffer.from(head), body])
}

function inBrackets(address: string): string {
  return address.includes('<') ? address : `<${address}>`
}
