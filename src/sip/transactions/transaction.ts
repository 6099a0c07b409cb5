import type { Buffer } from 'node:buffer'
import type { SipRequest, SipResponse } from '../../parser/sip/message.ts'
import type { TimerWheel } from '../timer-wheel.ts'
import type { Remembered } from './answered-requests.ts'
import type { SipChannel } from './channel.ts'
import type { Timers } from './timers.ts'

export type TransactionKind = 'invite-server' | 'non-invite-server' | 'invite-client' | 'non-invite-client'

export type InviteServerState = 'proceeding' | 'completed' | 'confirmed' | 'accepted' | 'terminated'
export type NonInviteServerState = 'trying' | 'proceeding' | 'completed' | 'terminated'
export type InviteClientState = 'calling' | 'proceeding' | 'completed' | 'accepted' | 'terminated'
export type NonInviteClientState = 'trying' | 'proceeding' | 'completed' | 'terminated'

/**
 * What became of a response. `unsendable`: the transaction has taken it, and answers copies of the request with it, but
 * the channel could not send it now. `ignored`: this transaction may not send it, in this state (S-33, S-34) or at all
 * (S-36); nothing has changed.
 */
export type RespondOutcome = 'sent' | 'unsendable' | 'ignored'

/**
 * Why a server transaction ended. `unacknowledged`: no ACK came for the final response to an INVITE (Timer H).
 * `unanswered`: a non-INVITE request got no final response while its client could wait for one.
 */
export type ServerEnding = 'finished' | 'unacknowledged' | 'unanswered'

/** Whoever answers a request. */
export interface ServerUser {
  /**
   * Called once, however the transaction ends. One of another method than INVITE has ended for its user with the final
   * response: what is left of it answers copies.
   */
  terminated(ending: ServerEnding): void
}

/** A request that somebody has sent us, and what it is answered with. */
export interface ServerTransaction {
  readonly kind: 'invite-server' | 'non-invite-server'
  /** What copies of the request are told by (S-30). */
  readonly key: string
  readonly state: InviteServerState | NonInviteServerState
  /** Forgotten once a request other than INVITE has been answered. */
  readonly request: SipRequest
  /** The way responses go, which is where the request came from. */
  readonly channel: SipChannel
  user: ServerUser | null
  /** @param octets the whole response, whose status is `status`; left unchanged by its owner from now on */
  respond(octets: Buffer, status: number): RespondOutcome
  /** Ends it without another word. A copy of the request that comes later is a new request. */
  terminate(): void
}

/** A request other than INVITE as it goes out: all that its transaction needs. */
export interface SentRequest {
  readonly octets: Buffer
  readonly method: string
  /** Of our Via, on top. */
  readonly branch: string
}

/**
 * Whoever has sent a request. It hears exactly one of: a final response, `timedOut`, `transportError`; then `terminated`.
 * Before the final response there may be provisional ones, and after a 2xx to INVITE more 2xx (S-32); to anything else
 * `terminated` follows the final response at once, and what is left of the transaction absorbs copies. Only `terminated`
 * is called when it has ended the transaction itself. Nothing is called before `sendRequest` has returned.
 */
export interface ClientUser {
  response(response: SipResponse): void
  timedOut(): void
  transportError(): void
  terminated(): void
}

/** A request that we have sent, until its answers have come. */
export interface ClientTransaction {
  readonly kind: 'invite-client' | 'non-invite-client'
  readonly state: InviteClientState | NonInviteClientState
  readonly channel: SipChannel
  /** The transport tells that what was sent has not arrived, or that no answer can come any more. */
  transportFailed(): void
  /** Ends it without another word, as 64*T1 after a CANCEL that had no effect; responses that come later are strays. */
  terminate(): void
}

/** What one layer has counted since it was made. */
export interface TransactionCounters {
  /** Transactions that are open now. */
  readonly open: Record<TransactionKind, number>
  /** Messages sent again: requests by Timers A and E, responses by Timer G and for copies of requests, ACKs for copies. */
  retransmissionsSent: number
  /** Copies of requests, responses and ACKs that were for nobody above. */
  retransmissionsAbsorbed: number
  /** Responses that no transaction waits for, or that are malformed (S-37, S-13). */
  strayResponses: number
  /** Client transactions that got no final response, in time or at all (Timers B and F). */
  timeouts: number
  /** Final responses to INVITE that no ACK came for (Timer H). */
  unacknowledged: number
  /** Non-INVITE requests that had no final response while their client waited (S-36). */
  unanswered: number
  /** Messages that a channel could not send, and failures that the transport has told of later. */
  transportErrors: number
  /** New requests answered with 503, as the layer was full. */
  refused: number
  /** Requests without a Via that an answer could follow. */
  unanswerable: number
}

/** What a transaction needs of the layer that it belongs to. */
interface TransactionContext<Transaction> {
  readonly wheel: TimerWheel
  readonly timers: Timers
  readonly counters: TransactionCounters
  /** The transaction has ended: forget it. */
  readonly ended: (transaction: Transaction) => void
}

/** A server transaction as its layer sees it. */
export interface PlacedServer extends ServerTransaction {
  /** Where the layer keeps it. */
  place: number
}

/** A client transaction as its layer sees it. */
export interface PlacedClient extends ClientTransaction {
  /** Of the request's top Via: ours. */
  readonly branch: string
  /** Of the request, and of the CSeq in what answers it. */
  readonly method: string
  /** The next one in a list of the layer. */
  next: PlacedClient | null
  receive(response: SipResponse): void
}

/** What client transactions need of it. */
export type ClientContext = TransactionContext<PlacedClient>

/** What server transactions need of it. */
export interface ServerContext extends TransactionContext<PlacedServer> {
  /** The transaction has been answered, and needs no more than copies to be answered the same way until Timer J. */
  readonly remember: (server: PlacedServer, octets: Uint8Array) => Remembered
  /** No copy is to be answered any more. */
  readonly forget: (server: PlacedServer) => void
}
