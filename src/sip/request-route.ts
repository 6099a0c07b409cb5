import { C } from '../metrics/counters.ts'
import { response } from '../parser/sip/encoder.ts'
import type { SipRequest } from '../parser/sip/message.ts'
import { answerOf } from '../parser/sip/problem.ts'
import type { SipUri } from '../parser/sip/uri.ts'
import type { KeepAnswer } from '../silo/order.ts'
import type { Contacts } from './contacts.ts'
import type { RequestReceiver, SipStream } from './endpoint.ts'
import type { Hops } from './hops.ts'
import type { SipIdentity } from './identity.ts'
import { randomToken } from './proxy/branch.ts'
import type { ProxyCore } from './proxy/proxy.ts'
import { refusal } from './proxy/refusal.ts'
import type { FailureRoute } from './proxy/response-context.ts'
import { preprocess, type Routed, targetOf } from './proxy/route.ts'
import type { Target } from './proxy/target.ts'
import { validate } from './proxy/validate.ts'
import type { Registrar } from './registrar/registrar.ts'
import type { Way } from './sender.ts'
import type { Proof, SenderProof } from './sender-proof.ts'
import type { SiloDoor } from './silo-door.ts'
import type { ServerTransaction } from './transactions/transaction.ts'
import type { TransactionLayer, TransactionUser } from './transactions/transaction-layer.ts'

type Headers = readonly (readonly [name: string, value: string])[]

/** S-94 */
const allow =
  'REGISTER, MESSAGE, INVITE, ACK, CANCEL, BYE, OPTIONS, SUBSCRIBE, NOTIFY, INFO, UPDATE, PRACK, REFER, PUBLISH'
const supported = 'path, outbound'
/** Extensions that a proxy of ours understands. */
const proxySupported: ReadonlySet<string> = new Set(['path', 'outbound'])

/** How long a 503 asks to wait, seconds. */
const retryAfterSeconds = 5

export interface RequestRouteOptions {
  readonly identity: SipIdentity
  readonly hops: Hops
  readonly contacts: Contacts
  readonly registrar: Registrar
  readonly proof: SenderProof
  readonly door: SiloDoor
  /** Whether there is such a user at all: 404 or 480 (S-43). */
  readonly isUser: (username: string) => boolean | Promise<boolean>
  readonly recordRoute: boolean
  /** Octets of a MESSAGE that has come over UDP. */
  readonly maxMessageUdp: number
  readonly row: Float64Array
}

/**
 * What is done with each request (Kamailio's request_route): who may send it, and whether it is answered here, forwarded to
 * the contacts of one of our users, or relayed elsewhere.
 */
export class RequestRoute implements TransactionUser, RequestReceiver {
  readonly #options: RequestRouteOptions
  /** Set right after they are made, as each needs the other. */
  #layer!: TransactionLayer
  #proxy!: ProxyCore
  #stream!: SipStream

  constructor(options: RequestRouteOptions) {
    this.#options = options
  }

  attach(layer: TransactionLayer, proxy: ProxyCore): void {
    this.#layer = layer
    this.#proxy = proxy
  }

  receiving(stream: SipStream): void {
    this.#stream = stream
  }

  request(request: SipRequest, server: ServerTransaction): void {
    const stream = this.#stream
    if (request.problem !== null) {
      const answer = answerOf(request.problem)
      if (answer === 'drop') server.terminate()
      else this.#reply(server, answer.status, answer.reason)
      return
    }
    const { identity, hops, maxMessageUdp } = this.#options
    if (request.method === 'MESSAGE' && !stream.way.reliable && request.octets.length > maxMessageUdp) {
      this.#reply(server, 513, 'Message Too Large') // S-82
      return
    }
    const isSelf = request.uri !== null && request.uri.user === null && identity.serves(request.uri)
    if (isSelf && request.method === 'OPTIONS' && request.routes.length === 0) {
      // S-40, S-94: also when it may go no further.
      this.#reply(server, 200, 'OK', [
        ['Allow', allow],
        ['Accept', '*/*'],
        ['Supported', supported],
      ])
      return
    }
    const refused = validate(request, hops, proxySupported)
    if (refused !== null) {
      this.#refuse(server, refused)
      return
    }
    // S-60: a REGISTER names the domain; one with a user is not for us to judge, but deployed clients send it.
    if (request.method === 'REGISTER' && identity.serves(request.uri!)) {
      this.#register(server, stream)
      return
    }
    const routed = preprocess(request, hops)
    if (routed.kind === 'refused') {
      this.#refuse(server, routed.refusal)
      return
    }
    this.#authorise(server, stream, routed)
  }

  ack(request: SipRequest): void {
    const { identity, hops } = this.#options
    if (request.problem !== null || validate(request, hops, proxySupported) !== null) return
    const { way } = this.#stream
    const routed = preprocess(request, hops)
    if (routed.kind === 'refused') return
    // An ACK cannot be challenged (S-35): what is not part of a dialog of ours goes to our own users only.
    const ours = routed.destination.kind === 'locate' && routed.routes.length === 0 && identity.serves(routed.uri)
    if (ours) {
      for (const target of this.#contacts(routed, request.method).flat()) {
        void this.#proxy.forwardAck(request, way, routed, target)
      }
    } else if (isInDialog(request, routed) || this.#options.proof.isPeer(way)) {
      void this.#proxy.forwardAck(request, way, routed, targetOf(routed))
    }
  }

  cancel(_request: SipRequest, server: ServerTransaction, invite: ServerTransaction | null): void {
    this.#proxy.cancel(server, invite)
  }

  /** S-60 */
  #register(server: ServerTransaction, stream: SipStream): void {
    const { registrar, identity, proof } = this.#options
    const { request } = server
    if (this.#layer.isMerged(server)) {
      this.#reply(server, 482, 'Merged Request') // S-38
      return
    }
    const unsupported = registrar.unsupported(request)
    if (unsupported.length > 0) {
      this.#reply(server, 420, 'Bad Extension', [['Unsupported', unsupported.join(', ')]])
      return
    }
    const aor = request.to?.uri ?? null
    if (aor === null) {
      this.#reply(server, 400, 'Bad To')
      return
    }
    if (!identity.serves(aor)) {
      this.#reply(server, 404, 'Not Found')
      return
    }
    const then = (shown: Proof) => {
      if (shown.kind === 'challenge') this.#challenge(server, 401, 'Unauthorized', 'WWW-Authenticate', shown.challenges)
      else if (shown.kind === 'user' || shown.kind === 'peer') {
        void registrar.register(server, stream, shown.kind === 'user')
      } else this.#refuseProof(server, shown)
    }
    this.#settle(proof.prove(request, stream, aor, request.headers('Authorization'), false), then)
  }

  /** Requests for our users from anybody, in our users' names only from them, and to elsewhere for nobody else (S-54). */
  #authorise(server: ServerTransaction, stream: SipStream, routed: Routed): void {
    const { identity, proof } = this.#options
    const { request } = server
    if (isInDialog(request, routed)) {
      this.#route(server, routed)
      return
    }
    const from = request.from?.uri ?? null
    if (from !== null && identity.serves(from)) {
      const then = (shown: Proof) => {
        if (shown.kind === 'challenge') {
          this.#challenge(server, 407, 'Proxy Authentication Required', 'Proxy-Authenticate', shown.challenges)
        } else if (shown.kind === 'user' || shown.kind === 'peer') {
          this.#route(server, routed)
        } else this.#refuseProof(server, shown)
      }
      this.#settle(proof.prove(request, stream, from, request.headers('Proxy-Authorization'), true), then)
      return
    }
    const inward = routed.destination.kind === 'locate' && routed.routes.length === 0 && identity.serves(routed.uri)
    if (inward || proof.isPeer(stream.way)) this.#route(server, routed)
    else {
      this.#count('sipProxied:refused')
      this.#reply(server, 403, 'Relaying Denied')
    }
  }

  /** S-43: to the contacts of our users, or to where the request says. */
  #route(server: ServerTransaction, routed: Routed): void {
    const { identity, recordRoute } = this.#options
    const { request } = server
    const stays = recordRoute && begins.has(request.method) && request.to?.tag === null
    if (routed.destination.kind === 'flow' || routed.routes.length > 0 || !identity.serves(routed.uri)) {
      this.#forward(server, routed, [[targetOf(routed)]], stays, null)
      return
    }
    if (routed.uri.user === null) {
      // To us, and nothing that we do.
      this.#reply(server, request.method === 'OPTIONS' ? 200 : 404, request.method === 'OPTIONS' ? 'OK' : 'Not Found')
      return
    }
    const groups = this.#contacts(routed, request.method)
    if (groups.length > 0) this.#forward(server, routed, groups, stays, routed.uri)
    else this.#nobodyThere(server, routed.uri)
  }

  /** S-72: a sips URI asks for TLS to the end. */
  #contacts({ uri }: Routed, method: string): readonly (readonly Target[])[] {
    return this.#options.contacts.of(this.#aor(uri), method, uri.scheme === 'sips')
  }

  #forward(
    server: ServerTransaction,
    routed: Routed,
    groups: readonly (readonly Target[])[],
    recordRoute: boolean,
    reader: SipUri | null,
  ): void {
    const { door } = this.#options
    const { request } = server
    const isKept = reader !== null && request.method === 'MESSAGE'
    const onFailure: FailureRoute = (best) => {
      this.#count(
        best.timedOut ? 'sipProxied:timed_out' : best.unreachable ? 'sipProxied:unreachable' : 'sipProxied:rejected',
      )
      if (!isKept || !door.keeps(best.timedOut || best.unreachable ? 408 : best.status)) return 'send'
      this.#keep(server, reader, true)
      return 'handled'
    }
    const flowNamed = routed.destination.kind === 'flow'
    this.#proxy.forward(server, routed, groups, { recordRoute, onFailure, flowNamed })
  }

  /** S-43: 404 for who does not exist; a MESSAGE for who is away is kept, anything else gets 480. */
  #nobodyThere(server: ServerTransaction, uri: SipUri): void {
    const { isUser } = this.#options
    this.#settle(isUser(uri.user!), (known) => {
      this.#count(known ? 'sipProxied:offline' : 'sipProxied:not_found')
      if (!known) this.#reply(server, 404, 'Not Found')
      else if (server.request.method === 'MESSAGE') this.#keep(server, uri, false)
      else this.#reply(server, 480, 'Temporarily Unavailable')
    })
  }

  #keep(server: ServerTransaction, uri: SipUri, sent: boolean): void {
    const { request } = server
    const kept = this.#options.door.keep(request, this.#aor(uri), server.channel as Way, sent)
    // Many wait for the disk at a time.
    request.forget()
    void kept.then((answer) => this.#kept(server, answer))
  }

  #kept(server: ServerTransaction, answer: KeepAnswer): void {
    if (!answer.kept) {
      const { status, reason, retryAfter } = answer
      this.#reply(server, status, reason, retryAfter === null ? [] : [['Retry-After', String(retryAfter)]])
    } else if (answer.delivered) this.#reply(server, 200, 'OK')
    else this.#reply(server, 202, 'Accepted') // S-81
  }

  /** The AoR of a user of ours; who is called by one of our addresses belongs to the first domain. */
  #aor(uri: SipUri): string {
    return this.#options.identity.aor(uri)
  }

  #refuseProof(server: ServerTransaction, { kind }: Proof): void {
    switch (kind) {
      case 'malformed':
        this.#reply(server, 400, 'Bad Credentials') // D-6
        break
      case 'unavailable':
        this.#reply(server, 503, 'Service Unavailable', [['Retry-After', String(retryAfterSeconds)]])
        break
      default:
        this.#refuse(server, refusal(403))
    }
  }

  #challenge(
    server: ServerTransaction,
    status: 401 | 407,
    reason: string,
    header: 'WWW-Authenticate' | 'Proxy-Authenticate',
    challenges: readonly string[],
  ): void {
    this.#reply(
      server,
      status,
      reason,
      challenges.map((challenge) => [header, challenge] as const), // D-8
    )
  }

  #refuse(
    server: ServerTransaction,
    { status, reason, headers }: { status: number; reason: string; headers: Headers },
  ): void {
    this.#reply(server, status, reason, headers)
  }

  #reply(server: ServerTransaction, status: number, reason: string, headers: Headers = []): void {
    server.respond(response(server.request, status, reason, { toTag: randomToken(), headers }), status)
  }

  /** Goes on at once if the answer is there: a promise costs more than most of what is done here. */
  #settle<Value>(value: Value | Promise<Value>, then: (value: Value) => void): void {
    if (value instanceof Promise) void value.then(then)
    else then(value)
  }

  #count(
    key:
      | 'sipProxied:timed_out'
      | 'sipProxied:unreachable'
      | 'sipProxied:rejected'
      | 'sipProxied:refused'
      | 'sipProxied:offline'
      | 'sipProxied:not_found',
  ): void {
    this.#options.row[C[key]]! += 1
  }
}

/** Methods that begin a dialog, whose requests are to pass here (S-44); for others Record-Route means nothing (S-52). */
const begins: ReadonlySet<string> = new Set(['INVITE', 'SUBSCRIBE', 'REFER'])

/** Whether a Record-Route value of ours has led the request to the other side of its dialog: it is let through (S-54). */
function isInDialog({ to }: SipRequest, { destination }: Routed): boolean {
  return destination.kind === 'flow' && to !== null && to.tag !== null
}
