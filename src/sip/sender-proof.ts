import type { BlockList } from 'node:net'
import { isIPv6 } from 'node:net'
import type { Authenticator, AuthOutcome } from '../auth/authenticator.ts'
import { C } from '../metrics/counters.ts'
import type { SipRequest } from '../parser/sip/message.ts'
import type { SipUri } from '../parser/sip/uri.ts'
import { sourceHash } from '../workers/datagram.ts'
import type { SipStream } from './endpoint.ts'
import { isSecureTransport } from './identity.ts'
import type { Way } from './sender.ts'

/**
 * What a sender has shown: `peer` is a server that may speak for anybody; `user` may act for the name it claims;
 * `challenge` has to show who it is, `malformed` to write it properly; `forbidden` is somebody else; `unavailable`, nobody
 * can say now.
 */
export type Proof =
  | { readonly kind: 'peer' | 'user' | 'malformed' | 'forbidden' | 'unavailable' }
  | { readonly kind: 'challenge'; readonly challenges: readonly string[] }

/** Addresses of which it is remembered whether they are peers. */
const judgedMax = 256

const user: Proof = { kind: 'user' }

export interface SenderProofOptions {
  readonly authenticator: Authenticator
  /** Null: there are none. */
  readonly peers: BlockList | null
  /** Whether a connection that has registered an AoR need not show again who it is. */
  readonly trustFlows: boolean
  /** The AoR that a URI of ours stands for. */
  readonly aor: (uri: SipUri) => string
  readonly row: Float64Array
}

/** Who may act for whom (S-60 step 3 and 4, S-87). */
export class SenderProof {
  readonly #options: SenderProofOptions
  /** Addresses looked up lately, each at a place of its own hash: several look-ups a message would be noticed. */
  readonly #known: ({ readonly address: string; readonly isPeer: boolean } | undefined)[] = []

  constructor(options: SenderProofOptions) {
    this.#options = options
  }

  isPeer({ address }: Way): boolean {
    const { peers } = this.#options
    if (peers === null) return false
    const place = sourceHash(address, 0) % judgedMax
    const known = this.#known[place]
    if (known?.address === address) return known.isPeer
    const isPeer = peers.check(address, isIPv6(address) ? 'ipv6' : 'ipv4')
    this.#known[place] = { address, isPeer }
    return isPeer
  }

  /**
   * Whether who has sent a request may act for a URI of our domains.
   * @param headers values of Authorization or Proxy-Authorization
   * @param flow whether a flow that has registered will do
   */
  prove(
    request: SipRequest,
    { way, aors }: SipStream,
    claimed: SipUri,
    headers: readonly string[],
    flow: boolean,
  ): Proof | Promise<Proof> {
    const { authenticator, trustFlows, row, aor } = this.#options
    if (this.isPeer(way)) {
      row[C['sipAuth:trusted']]! += 1
      return { kind: 'peer' }
    }
    if (flow && trustFlows && aors.has(aor(claimed))) {
      row[C['sipAuth:trusted']]! += 1
      return user
    }
    const outcome = authenticator.verify({
      // RFC 8898: a token is as good as a password, and must not be read on the way.
      authorization: isPrivate(way) ? headers : headers.filter((value) => !/^\s*bearer\b/i.test(value)),
      method: request.method,
      uri: request.requestUri,
      binding: bindingOf(way),
    })
    return outcome instanceof Promise
      ? outcome.then((settled) => this.#judge(settled, claimed))
      : this.#judge(outcome, claimed)
  }

  #judge(outcome: AuthOutcome, claimed: SipUri): Proof {
    const { row } = this.#options
    switch (outcome.outcome) {
      case 'accepted': {
        // S-60 step 4: who one is does not yet allow one to be somebody else.
        const host = claimed.host.replace(/\.$/, '')
        const allowed = outcome.username === claimed.user || outcome.username === `${claimed.user}@${host}`
        row[allowed ? C['sipAuth:accepted'] : C['sipAuth:forbidden']]! += 1
        return allowed ? user : { kind: 'forbidden' }
      }
      case 'challenge':
        row[challengeCells[outcome.reason]]! += 1
        return { kind: 'challenge', challenges: outcome.challenges }
      case 'malformed':
        row[C['sipAuth:malformed']]! += 1
        return { kind: 'malformed' }
      case 'unavailable':
        row[C['sipAuth:unavailable']]! += 1
        return { kind: 'unavailable' }
    }
  }
}

const challengeCells = {
  'no-credentials': C['sipAuth:challenged'],
  'other-realm': C['sipAuth:challenged'],
  'unknown-algorithm': C['sipAuth:challenged'],
  'wrong-credentials': C['sipAuth:rejected'],
  'wrong-token': C['sipAuth:rejected'],
  'expired-token': C['sipAuth:stale'],
  stale: C['sipAuth:stale'],
  forged: C['sipAuth:stale'],
  replayed: C['sipAuth:replayed'],
} as const

/** What a nonce is bound to: the connection, or the source that always comes to this lane (see Nonces.issue). */
export function bindingOf({ connection, address, port }: Way): number {
  return connection === 0 ? sourceHash(address, port) : connection
}

/** Whether nobody can read what travels there. */
function isPrivate({ transport, address }: Way): boolean {
  return isSecureTransport(transport) || address === '::1' || address.startsWith('127.')
}
