import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { response } from '../../parser/sip/encoder.ts'
import type { SipMessage, SipRequest, SipResponse } from '../../parser/sip/message.ts'
import type { Via } from '../../parser/sip/values.ts'
import { TransientMap } from '../../transient-map.ts'
import type { TimerWheel } from '../timer-wheel.ts'
import { AnsweredRequests, type AnswerId } from './answered-requests.ts'
import type { SipChannel } from './channel.ts'
import { ClientTable } from './client-table.ts'
import { InviteClientTransaction } from './invite-client.ts'
import { InviteServerTransaction } from './invite-server.ts'
import { hasCookie, legacyServerKey, mergeKey, serverKey, toTagOf } from './matching.ts'
import { NonInviteClientTransaction } from './non-invite-client.ts'
import { NonInviteServerTransaction } from './non-invite-server.ts'
import { type BaseTimers, defaultBaseTimers, timersOf } from './timers.ts'
import type {
  ClientContext,
  ClientTransaction,
  ClientUser,
  SentRequest,
  ServerContext,
  ServerTransaction,
  TransactionCounters,
  TransactionKind,
} from './transaction.ts'

/** What a client that was refused waits before it comes back, seconds. */
const retryAfterSeconds = 5

/** The proxy and the cores above: it gets what opens a transaction, and ACKs, which belong to none. */
export interface TransactionUser {
  /**
   * A new request, a malformed one too (`request.problem`). Its transaction waits for a final response or for
   * `terminate`, an INVITE's without end.
   */
  request(request: SipRequest, server: ServerTransaction): void
  /** The ACK for a 2xx, or one that nothing here knows of; it is never answered (S-35). */
  ack(request: SipRequest): void
  /** A CANCEL, to be answered by its own transaction; `invite` is what it cancels, if that is open (S-50). */
  cancel(request: SipRequest, server: ServerTransaction, invite: ServerTransaction | null): void
}

type Server = InviteServerTransaction | NonInviteServerTransaction

/** All transactions of one lane: which message belongs to which, and what is new. */
export class TransactionLayer {
  readonly counters: TransactionCounters = {
    open: { 'invite-server': 0, 'non-invite-server': 0, 'invite-client': 0, 'non-invite-client': 0 },
    retransmissionsSent: 0,
    retransmissionsAbsorbed: 0,
    strayResponses: 0,
    timeouts: 0,
    unacknowledged: 0,
    unanswered: 0,
    transportErrors: 0,
    refused: 0,
    unanswerable: 0,
  }
  readonly #user: TransactionUser
  readonly #maxTransactions: number
  /** By their keys; those that have answered over UDP by what they have answered. */
  readonly #servers = new TransientMap<string, Server | AnswerId>()
  readonly #clients = new ClientTable()
  readonly #answered: AnsweredRequests
  /** Transactions of requests that a core answers itself, by what their merged copies share (S-38). */
  readonly #merging = new Map<string, string>()
  /** What each of them shares, by transaction: it is needed longer than the request is kept. */
  readonly #mergeKeys = new Map<string, string>()
  readonly #serverContext: ServerContext
  readonly #clientContext: ClientContext
  /** To tag of the 503s that no transaction knows of: the ACKs for them are told by it, and go nowhere. */
  readonly #refusalTag = randomBytes(8).toString('hex')

  /**
   * @param options.maxTransactions open ones of all kinds. Beyond it new requests of others are answered with 503 and a
   *   Retry-After; a CANCEL of an INVITE that is open, and what we send ourselves, is not refused but counts: the user
   *   sees by `full` that it had better not begin anything of its own accord
   */
  constructor(options: {
    readonly wheel: TimerWheel
    readonly user: TransactionUser
    readonly maxTransactions: number
    readonly timers?: BaseTimers
  }) {
    const { wheel, user, maxTransactions } = options
    assert(maxTransactions > 0, 'no room for transactions')
    this.#user = user
    this.#maxTransactions = maxTransactions
    const timers = timersOf(options.timers ?? defaultBaseTimers)
    const shared = { wheel, timers, counters: this.counters }
    const forgotten = (key: string) => this.#serverEnded('non-invite-server', key)
    this.#answered = new AnsweredRequests(wheel, timers.j, this.#servers, forgotten)
    this.#serverContext = {
      ...shared,
      ended: ({ kind, key, place, channel }) => {
        this.#servers.remove(key, place)
        this.#serverEnded(kind, key)
        channel.release?.()
      },
      remember: ({ key, place, channel }, octets) => this.#answered.remember(key, place, octets, channel),
      forget: ({ key, place }) => this.#answered.forget(key, place),
    }
    this.#clientContext = {
      ...shared,
      ended: (client) => {
        this.counters.open[client.kind]--
        this.#clients.delete(client)
      },
    }
  }

  /** Open transactions of all kinds. */
  get size(): number {
    return this.#servers.size + this.#clients.size
  }

  get full(): boolean {
    return this.size >= this.#maxTransactions
  }

  /** Takes what has come in; answers to it go back by `channel`. */
  receive(message: SipMessage, channel: SipChannel): void {
    if (message.kind === 'response') this.#receiveResponse(message)
    else if (message.topVia === null) this.counters.unanswerable++
    else if (message.method === 'ACK') this.#receiveAck(message, message.topVia)
    else this.#receiveRequest(message, message.topVia, channel)
  }

  /**
   * Sends a request in a transaction of its own; not for ACK. CANCEL is sent like this too, on the channel of what it
   * cancels.
   *
   * @param request as it goes out, our Via with a new branch on top
   */
  sendRequest(request: SipRequest | SentRequest, channel: SipChannel, user: ClientUser): ClientTransaction {
    const branch = 'branch' in request ? request.branch : branchOf(request)
    assert(request.method !== 'ACK', 'ACK has no transaction')
    let client: InviteClientTransaction | NonInviteClientTransaction
    if (request.method === 'INVITE') {
      assert('kind' in request, 'of an INVITE its ACK and its CANCEL are made')
      client = new InviteClientTransaction(branch, request, channel, user, this.#clientContext)
    } else client = new NonInviteClientTransaction(branch, request, channel, user, this.#clientContext)
    this.#clients.add(client)
    this.counters.open[client.kind]++
    client.start()
    return client
  }

  /**
   * For a core that answers a request itself, asked once a transaction: whether the same request is already being
   * answered in another one, having come another way. Such a request gets 482 (S-38). A proxy does not ask.
   */
  isMerged(server: ServerTransaction): boolean {
    const key = mergeKey(server.request)
    if (key === null || server.state === 'terminated') return false
    const first = this.#merging.get(key)
    if (first === undefined) {
      this.#merging.set(key, server.key)
      this.#mergeKeys.set(server.key, key)
    }
    return first !== undefined && first !== server.key
  }

  #receiveResponse(response: SipResponse): void {
    const { topVia, cseq } = response
    const known = response.problem === null && cseq !== null && topVia !== null && topVia.branch !== null
    const client = known ? this.#clients.find(topVia.branch, cseq.method) : null
    if (client === null)
      this.counters.strayResponses++ // S-37, S-13
    else client.receive(response)
  }

  #receiveRequest(request: SipRequest, via: Via, channel: SipChannel): void {
    const key = keyOf(request, via, request.method)
    const known = this.#servers.get(key)
    if (known !== undefined) {
      if (typeof known === 'number') this.#answerAgain(known)
      else known.receiveCopy()
      return
    }
    const cancelled = request.method === 'CANCEL' ? this.#open(keyOf(request, via, 'INVITE')) : null
    // Who cancels gives room back, so that is never refused.
    if (this.full && cancelled === null) {
      this.#refuse(request, channel)
      return
    }
    const Kind = request.method === 'INVITE' ? InviteServerTransaction : NonInviteServerTransaction
    const server = new Kind(key, request, channel, this.#serverContext)
    server.place = this.#servers.add(key, server)
    this.counters.open[server.kind]++
    channel.hold?.()
    if (request.method === 'CANCEL') this.#user.cancel(request, server, cancelled)
    else this.#user.request(request, server)
  }

  #receiveAck(ack: SipRequest, via: Via): void {
    const invite = hasCookie(via) ? this.#open(serverKey(via, 'INVITE')) : this.#legacyInvite(ack, via)
    if (invite?.kind === 'invite-server' && invite.receiveAck() === 'absorbed') return
    if (ack.to?.tag === this.#refusalTag) this.counters.retransmissionsAbsorbed++
    else this.#user.ack(ack)
  }

  /** The INVITE of an ACK by RFC 2543: its To tag is that of the response, and of the INVITE only within a dialog. */
  #legacyInvite(ack: SipRequest, via: Via): Server | null {
    const tag = ack.to?.tag ?? ''
    const within = tag === '' ? null : this.#open(legacyServerKey(ack, via, 'INVITE', tag))
    if (within !== null) return within
    const initial = this.#open(legacyServerKey(ack, via, 'INVITE', ''))
    if (initial?.kind !== 'invite-server' || initial.lastResponse === null) return null
    return (toTagOf(initial.lastResponse) ?? '') === tag ? initial : null
  }

  #refuse(request: SipRequest, channel: SipChannel): void {
    this.counters.refused++
    const refusal = response(request, 503, 'Service Unavailable', {
      headers: [['Retry-After', String(retryAfterSeconds)]],
      ...(request.to?.tag === null ? { toTag: this.#refusalTag } : {}),
    })
    if (!channel.send(refusal)) this.counters.transportErrors++
  }

  #open(key: string): Server | null {
    const known = this.#servers.get(key)
    return known === undefined || typeof known === 'number' ? null : known
  }

  /** Answers a copy of a request that has been answered (S-34). */
  #answerAgain(id: AnswerId): void {
    this.counters.retransmissionsAbsorbed++
    if (this.#answered.repeat(id) === 'sent') this.counters.retransmissionsSent++
    else this.counters.transportErrors++
  }

  #serverEnded(kind: TransactionKind, key: string): void {
    this.counters.open[kind]--
    const merge = this.#mergeKeys.size > 0 ? this.#mergeKeys.get(key) : undefined
    if (merge === undefined) return
    this.#merging.delete(merge)
    this.#mergeKeys.delete(key)
  }
}

function branchOf({ topVia, cseq }: SipRequest): string {
  const branch = topVia?.branch ?? null
  assert(branch !== null && cseq !== null, 'a request that no response could be matched with')
  return branch
}

function keyOf(request: SipRequest, via: Via, method: string): string {
  return hasCookie(via) ? serverKey(via, method) : legacyServerKey(request, via, method, request.to?.tag ?? '')
}
