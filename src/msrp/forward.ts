import assert from 'node:assert/strict'
import { Buffer } from 'node:buffer'
import { randomFillSync } from 'node:crypto'
import type { Address, ConnectionId, LaneIndex } from '../ids.ts'
import { C, type CounterKey } from '../metrics/counters.ts'
import {
  FORWARD_GROWTH,
  KIND_AUTH,
  KIND_OTHER,
  KIND_REPORT,
  KIND_SEND,
  R_BODY_LENGTH,
  R_END,
  R_FAILURE_REPORT,
  R_FORWARD_END,
  R_FROM_LENGTH,
  R_HAS_BODY,
  R_KIND,
  R_NEXT_FOREIGN,
  R_OK_END,
  R_SESSION_CONNECTION,
  R_SESSION_EXPIRES,
  R_START,
  R_STATUS,
  R_TO_COUNT,
  R_TO_LENGTH,
  R_TO_OURS,
  R_TRANSACTION_LANE,
  RANDOM,
  RANDOM_OCTETS,
  REPORT_NO,
  REPORT_YES,
  RUN_FRAMES,
  RUN_FROM,
  RUN_MOST,
  RUN_OCTETS,
  RUN_OK_END,
  RUN_OK_TO,
  RUN_OUT,
  RUN_POSITION,
  RUN_RANDOM,
  RUN_TO,
  RUN_TO_END,
  RUN_VISITED,
  S_PEER,
  S_PEER_HASH,
  SLOTS_MAX,
  TID_SECRET_OCTETS,
  TO_URIS,
} from '../parser/kernel/record.ts'
import { CLOSE, type Disposition, STALL, TAKEN } from '../parser/msrp/reader.ts'
import { type MsrpUri, parseMsrpUri } from '../parser/msrp/uri.ts'
import type { SendFlags } from '../routing/routing.ts'
import { failureReport } from './compose.ts'
import type { MsrpConnection } from './connection.ts'
import type { RelayContext } from './context.ts'
import { FailedTexts } from './failed-texts.ts'
import { SessionCounts } from './session-counts.ts'
import { type Ending, wantsTimeout } from './transactions.ts'

/** Body of a request other than SEND (M-43). */
const OTHER_BODY_MAX = 10_240
/** About what a 200 has besides its two paths. */
const OK_LINES = 64

/** What `Kernel.session` returns for a URI that is not written the way we write ours. */
const OTHER_SPELLING = 1

// Cells of the frame path: a constant is cheaper than looking it up in the table of all cells each time.
const FRAMES_RECEIVED_SEND = C.framesReceivedSend
const FRAMES_RECEIVED_RESPONSE = C.framesReceivedResponse
const RESPONSES_RECEIVED_2XX = C.responsesReceived2xx
const OCTETS_RECEIVED = C.octetsReceived
const FRAMES_SENT_SEND = C.framesSentSend
const FRAMES_SENT_RESPONSE = C.framesSentResponse
const RESPONSES_SENT_2XX = C.responsesSent2xx
const OCTETS_SENT = C.octetsSent
const RELAYED = C.deliveriesRelayed
const ACKNOWLEDGED = C.deliveriesAcknowledged

const noFlags: SendFlags = {}

/** What #route returns when it has found where the request goes. */
const FORWARD = 3

/** What the frames behind the one just taken may be like: see `more`. */
export const NOTHING = 0
const SENDS = 1
const ANSWERS = 2

/** For Kernel.relay: the 200 is to stand behind the frame. */
const OK_BEHIND = 1

/** For Kernel.uriHash: the leftmost URI of From-Path. */
const FIRST_FROM = -1

/** How a refused request is answered. */
export interface Answers {
  /** Answers the request in the record, as far as it may be answered (M-51, M-52), and counts it as refused. */
  refuse(stream: MsrpConnection, status: number, comment: string): Disposition
  /** The request in the record was accepted: it ends the peer's probation. */
  accept(stream: MsrpConnection): void
  /** A 200 to the request in the record. */
  ok(stream: MsrpConnection): void
}

/**
 * Where a frame goes next, and sending it there (R-10 … … … R-63). This is the frame path: in the
 * common case nothing here allocates, and octets are touched by the kernel alone.
 */
export class Forwarder {
  readonly #context: RelayContext
  readonly #answers: Answers
  readonly #record: Int32Array
  readonly #words: Int32Array
  readonly #text: Buffer
  readonly #row: Float64Array
  readonly #random = Buffer.alloc(RANDOM_OCTETS)
  #randomAt = RANDOM_OCTETS
  readonly #bodyMax: number
  /** Seconds since the server's epoch, as of the read that is being worked off. */
  nowSeconds = 0
  /** NOTHING, or what `more` may take: set by who takes a frame. */
  like = NOTHING
  // The route that `#route` has found for the request in the record.
  #destination = 0 as ConnectionId
  #visited = 0
  #fromEntry: Address | 0 = 0
  #toEntry: Address | 0 = 0
  readonly #counts: SessionCounts
  readonly #failedTexts: FailedTexts | null

  constructor(context: RelayContext, answers: Answers) {
    this.#context = context
    this.#answers = answers
    this.#record = context.kernel.record
    this.#words = context.kernel.words
    this.#text = Buffer.from(context.kernel.octets.buffer as ArrayBuffer)
    this.#row = context.row
    this.#bodyMax = context.config.msrp.limits.body
    this.#counts = new SessionCounts(context.kernel.words)
    this.#failedTexts = context.keepText === null ? null : new FailedTexts(context, context.keepText)
  }

  /** A read has been worked off. */
  settle(): void {
    this.#counts.settle()
  }

  /** Relays the request in the record, or answers as the rules say when it may not or cannot go on. */
  request(stream: MsrpConnection, swallowed: boolean, flags: SendFlags = noFlags): Disposition {
    const record = this.#record
    const { outbox, kernel, table } = this.#context
    const kind = record[R_KIND]!

    const routed = this.#route(stream, flags, swallowed)
    // A frame whose body is gone cannot wait for a connection: it is answered now.
    if (routed !== FORWARD) return routed === STALL && swallowed ? this.#tooLarge(stream) : routed
    const destination = this.#destination

    const body = record[R_BODY_LENGTH]!
    if (swallowed || body > this.#bodyMax || (kind !== KIND_SEND && body > OTHER_BODY_MAX))
      return this.#tooLarge(stream)
    if (!this.#context.connections.isOpen(destination)) {
      if (this.#stored(stream)) return TAKEN
      this.#count('deliveriesUnreachable')
      return this.#answers.refuse(stream, 481, 'No Such Session')
    }

    // whoever cannot take more holds back who sends to it; also the sender itself, if it does not read its 200s.
    if (outbox.isFull(destination)) return this.#stall(stream, destination)
    if (outbox.isFull(stream.id)) return this.#stall(stream, stream.id)
    const wish = record[R_FAILURE_REPORT]!
    const acknowledge = kind === KIND_SEND && wish === REPORT_YES
    // REPORTs have no answer, and a SEND whose sender wants to hear nothing needs none remembered.
    const tracked = kind === KIND_SEND ? wish !== REPORT_NO : kind !== KIND_REPORT
    if (tracked && table.allowance(stream.id, stream.begun) <= 0) return this.#wait(stream, 'stalledTransactions')

    // What goes on is what came, with our transaction id; the 200 repeats two of its URIs.
    const length = record[R_END]! - record[R_START]!
    const size = length + FORWARD_GROWTH
    const paths = record[R_TO_LENGTH]! + record[R_FROM_LENGTH]!
    const okSize = acknowledge ? paths + FORWARD_GROWTH : 0
    const room =
      destination === stream.id
        ? outbox.ensure(destination, size + okSize)
        : outbox.ensure(destination, size) &&
          (okSize === 0 || outbox.ensure(stream.id, okSize, outbox.share(paths + OK_LINES, length) + FORWARD_GROWTH))
    if (!room) return this.#wait(stream, 'stalledSegments')

    let transaction: Address | 0 = 0
    let slot = SLOTS_MAX - 1
    if (tracked) {
      transaction = table.take()
      if (transaction === 0) return this.#wait(stream, 'stalledTransactions')
      if (!table.begin(transaction, stream.id, destination)) {
        table.untake(transaction)
        return this.#wait(stream, 'stalledSegments')
      }
      slot = table.slotOf(transaction)
      stream.begun = (stream.begun + 1) | 0
    }

    // the 200 means that we have the chunk, not that it was delivered. Who sends to itself gets it after the chunk.
    const at = outbox.at(destination)
    const toItself = destination === stream.id
    const okAt = !acknowledge ? 0 : toItself ? OK_BEHIND : outbox.at(stream.id)
    kernel.relay(at, okAt, transaction, this.#context.lane, slot, this.#randomOctets(), this.#visited)
    const end = record[R_FORWARD_END]!
    const okEnd = record[R_OK_END]!
    if (!acknowledge || !toItself) outbox.commit(destination, end)
    else if (!outbox.commitTwo(destination, end, okEnd)) this.#context.services.close(stream, 'pressure')
    this.#countForwarded(kind, end - at)
    if (acknowledge) {
      if (!toItself) outbox.commit(stream.id, okEnd)
      this.#row[FRAMES_SENT_RESPONSE]! += 1
      this.#row[RESPONSES_SENT_2XX]! += 1
      this.#row[OCTETS_SENT]! += okEnd - (toItself ? end : okAt)
    }
    this.#counts.add(this.#fromEntry, this.#toEntry, 1, record[R_END]! - record[R_START]!, end - at)
    if (!stream.trusted) this.#answers.accept(stream)
    if (flags.closeAfterSend) this.#closeDestination(destination)
    else if (acknowledge && !toItself) this.like = SENDS
    return TAKEN
  }

  /**
   * Takes the frames from `at` on that differ from the one just taken in nothing that was decided about it: SENDs with the
   * same paths, in what room is left, or good answers to SENDs. Returns where the first frame begins that is another
   * matter; RUN_FRAMES tells how many were taken if that is not `at`.
   */
  more(stream: MsrpConnection, at: number, end: number): number {
    switch (this.like) {
      case SENDS:
        return this.#relayMore(stream, at, end)
      case ANSWERS:
        return this.#settleMore(stream, at, end)
      default:
        return at
    }
  }

  #relayMore(stream: MsrpConnection, at: number, end: number): number {
    const { kernel, outbox, table, connections } = this.#context
    const { run } = kernel
    const destination = this.#destination
    const to = outbox.at(destination)
    const okTo = outbox.at(stream.id)
    run[RUN_TO] = to
    run[RUN_TO_END] = to + outbox.room(destination)
    run[RUN_OK_TO] = okTo
    run[RUN_OK_END] = okTo + outbox.room(stream.id)
    const random = Math.floor((RANDOM_OCTETS - this.#randomAt) / TID_SECRET_OCTETS)
    run[RUN_MOST] = Math.min(table.allowance(stream.id, stream.begun), random)
    run[RUN_RANDOM] = kernel.scratch + RANDOM + this.#randomAt
    run[RUN_FROM] = stream.id
    run[RUN_OUT] = destination
    run[RUN_POSITION] = connections.queuedPosition(destination)
    run[RUN_VISITED] = this.#visited
    const next = kernel.relayRun(at, end)
    const frames = run[RUN_FRAMES]!
    if (frames === 0) return at
    this.#randomAt += frames * TID_SECRET_OCTETS
    stream.begun = (stream.begun + frames) | 0
    outbox.commit(destination, run[RUN_TO]!)
    outbox.commit(stream.id, run[RUN_OK_TO]!)
    const octetsIn = run[RUN_OCTETS]!
    const octetsOut = run[RUN_TO]! - to
    const row = this.#row
    row[FRAMES_RECEIVED_SEND]! += frames
    row[OCTETS_RECEIVED]! += octetsIn
    row[FRAMES_SENT_SEND]! += frames
    row[RELAYED]! += frames
    row[FRAMES_SENT_RESPONSE]! += frames
    row[RESPONSES_SENT_2XX]! += frames
    row[OCTETS_SENT]! += octetsOut + run[RUN_OK_TO]! - okTo
    this.#counts.add(this.#fromEntry, this.#toEntry, frames, octetsIn, octetsOut)
    return next
  }

  #settleMore(stream: MsrpConnection, at: number, end: number): number {
    const { kernel } = this.#context
    const { run } = kernel
    run[RUN_OUT] = stream.id
    const next = kernel.settleRun(at, end)
    const frames = run[RUN_FRAMES]!
    const row = this.#row
    row[FRAMES_RECEIVED_RESPONSE]! += frames
    row[OCTETS_RECEIVED]! += run[RUN_OCTETS]!
    row[RESPONSES_RECEIVED_2XX]! += frames
    row[ACKNOWLEDGED]! += frames
    return next
  }

  /** Settles the transaction of the response in the record, or drops it. */
  response(stream: MsrpConnection): Disposition {
    const { kernel, transactions, table, identity } = this.#context
    const record = this.#record
    this.#row[responsesReceived[(record[R_STATUS]! / 100) | 0]!]! += 1
    const transaction = kernel.transaction() as Address | 0
    // the first To-Path URI must be ours, whether or not its session still lives.
    if (record[R_TO_OURS] === 0 && !identity.isOurs(this.#uri(0), true)) return this.#stray()
    if (transaction === 0 || !transactions.claim(kernel, transaction, stream.id)) return this.#stray()
    const lane = record[R_TRANSACTION_LANE]! as LaneIndex
    const status = record[R_STATUS]!
    if (transactions.kind(transaction) === KIND_SEND) {
      // the answer to a SEND ends here.
      if (status >= 200 && status <= 299) {
        this.#row[ACKNOWLEDGED]! += 1
        this.like = ANSWERS
      } else {
        this.#count('deliveriesRejected')
        this.#report(transaction, status, this.#comment(status))
      }
    } else this.#respondUpstream(transaction)
    transactions.free(transaction, lane, table)
    return TAKEN
  }

  /** A transaction of this lane that gets no response. */
  ended(transaction: Address, why: Ending): void {
    const { transactions, table, lane } = this.#context
    const kind = transactions.kind(transaction)
    if (why === 'leg-gone') {
      if (kind === KIND_SEND) {
        this.#count('deliveriesUnreachable')
        this.#report(transaction, 481, 'Connection Lost')
      }
    } else if (wantsTimeout(kind, transactions.failureReport(transaction))) {
      this.#count('deliveriesTimedOut')
      this.#report(transaction, 408, 'Request Timeout')
    }
    transactions.free(transaction, lane, table)
  }

  /**
   * Finds where the request in the record goes: FORWARD, with #destination and #visited set, or what has become of it
   * instead.
   */
  #route(stream: MsrpConnection, flags: SendFlags, swallowed: boolean): Disposition | typeof FORWARD {
    const record = this.#record
    const { kernel } = this.#context
    const count = record[R_TO_COUNT]!

    let entry = kernel.home() as Address | 0 | null
    if (entry === OTHER_SPELLING) entry = this.#spelledOtherwise(0)
    if (entry === null) {
      // R-10 [project]: host and port are not ours at all.
      this.#count('deliveriesRefused')
      return CLOSE
    }
    if (entry === 0 || this.#expired()) return this.#noSession(stream)
    const home = record[R_SESSION_CONNECTION]! as ConnectionId
    this.#fromEntry = entry
    this.#toEntry = 0
    this.#visited = 1

    if (home !== stream.id) {
      // R-13 (a): from anybody, to the hop that leads back to the client.
      this.#fromEntry = 0
      this.#toEntry = entry
      if (count === 1) return this.#endsHere(stream)
      if (record[R_NEXT_FOREIGN] === 0 && this.#isOurs(1)) return this.#notPermitted(stream)
      // M-80: what the client answers can go back on this connection.
      const at = entry >> 2
      if (this.#words[at + S_PEER] !== stream.id) {
        this.#words[at + S_PEER_HASH] = kernel.uriHash(FIRST_FROM, stream.id)
        Atomics.store(this.#words, at + S_PEER, stream.id)
      }
      this.#destination = home
      return FORWARD
    }

    // R-13 (b): from the client's own hop, to anywhere.
    if (count === 1) return this.#endsHere(stream)
    let next = kernel.session(1) as Address | 0 | null
    if (next === OTHER_SPELLING) next = this.#spelledOtherwise(1)
    if (next === null) return this.#foreign(stream, flags)
    // the next URI is ours too; both are visited here.
    if (next === 0 || this.#expired() || count === 2) {
      return !swallowed && this.#stored(stream) ? TAKEN : this.#noSession(stream)
    }
    if (count > 2 && this.#isOurs(2)) return this.#notPermitted(stream)
    this.#toEntry = next
    this.#visited = 2
    this.#destination = record[R_SESSION_CONNECTION]! as ConnectionId
    return FORWARD
  }

  /** The next hop is a foreign relay or a peer without one. */
  #foreign(stream: MsrpConnection, flags: SendFlags): Disposition | typeof FORWARD {
    const { config, peers, clock, services, connections, kernel } = this.#context
    // R-46, M-80: on the connection that it made to us, if this session has heard from that very URI there.
    const at = this.#fromEntry >> 2
    const peer = Atomics.load(this.#words, at + S_PEER) as ConnectionId
    if (peer !== 0 && this.#words[at + S_PEER_HASH] === kernel.uriHash(1, peer) && connections.isOpen(peer)) {
      this.#destination = peer
      return FORWARD
    }
    const uri = this.#uri(1)
    if (uri.scheme === 'msrp' && !config.msrp.plaintext_peers) return this.#notPermitted(stream)
    const hop = peers.connectionTo(uri, clock.now(), flags.noConnect === true, () => services.resume(stream))
    if (hop === 'connecting') {
      this.#count('stalledConnecting')
      return STALL
    }
    if (hop === 'unreachable') {
      // known before we answered, so it is the answer and no REPORT.
      this.#count('deliveriesUnreachable')
      return this.#answers.refuse(stream, 408, 'Next Hop Unreachable')
    }
    this.#destination = hop
    return FORWARD
  }

  /** To-Path ends at a URI of ours. */
  #endsHere(stream: MsrpConnection): Disposition {
    const record = this.#record
    switch (record[R_KIND]) {
      case KIND_SEND:
        // W-8: a bodiless SEND to one's own URI keeps the connection alive.
        if (record[R_HAS_BODY] === 0 && this.#fromEntry !== 0) {
          this.#answers.ok(stream)
          return TAKEN
        }
        return this.#noSession(stream)
      case KIND_REPORT:
        this.#count('droppedUnknownReport')
        return TAKEN
      case KIND_OTHER:
        return this.#answers.refuse(stream, 501, 'Method Not Understood') // M-58
      default:
        return this.#noSession(stream)
    }
  }

  /** our host, but no session that is live (or none that the request may use). */
  #noSession(stream: MsrpConnection): Disposition {
    this.#count('deliveriesRefused')
    return this.#answers.refuse(stream, 481, 'No Such Session')
  }

  /** Whether the silo takes the SEND in the record, whose far end is gone, for the far end's user. */
  #stored(stream: MsrpConnection): boolean {
    if (this.#failedTexts?.take(stream, this.#fromEntry) !== true) return false
    if (this.#record[R_FAILURE_REPORT] === REPORT_YES) this.#answers.ok(stream)
    if (!stream.trusted) this.#answers.accept(stream)
    return true
  }

  /** Until chunks are streamed, none is larger than what can be kept. */
  #tooLarge(stream: MsrpConnection): Disposition {
    this.#count('deliveriesTooLarge')
    return this.#answers.refuse(stream, 413, 'Message Too Large')
  }

  #notPermitted(stream: MsrpConnection): Disposition {
    this.#count('deliveriesRefused')
    return this.#answers.refuse(stream, 403, 'Not Permitted')
  }

  /** Whether the session that the kernel has just found is over although it has not been swept. */
  #expired(): boolean {
    return this.nowSeconds >= this.#record[R_SESSION_EXPIRES]!
  }

  #isOurs(index: number): boolean {
    return !this.#context.kernel.foreign(index) && this.#context.identity.isOurs(this.#uri(index))
  }

  /** The session entry of a URI that is not written as we write ours: 0 not live, null not ours. */
  #spelledOtherwise(index: number): Address | 0 | null {
    return this.#context.identity.sessionOf(this.#context.kernel, this.#uri(index))
  }

  #uri(index: number): MsrpUri {
    const at = (this.#context.kernel.scratch + TO_URIS + index * 8) >> 2
    const uri = parseMsrpUri(this.#text.toString('latin1', this.#words[at]!, this.#words[at + 1]!))
    assert(uri !== null, 'what the kernel takes for a URI is one')
    return uri
  }

  /** Address of random octets for one transaction id (M-4). */
  #randomOctets(): number {
    const { kernel } = this.#context
    if (this.#randomAt + TID_SECRET_OCTETS > RANDOM_OCTETS) {
      randomFillSync(this.#random)
      kernel.octets.set(this.#random, kernel.scratch + RANDOM)
      this.#randomAt = 0
    }
    const at = this.#randomAt
    this.#randomAt += TID_SECRET_OCTETS
    return kernel.scratch + RANDOM + at
  }

  #stall(stream: MsrpConnection, receiver: ConnectionId): Disposition {
    this.#count('stalledReceiver')
    this.#context.services.resumeWhenDrained(stream, receiver)
    return STALL
  }

  #wait(stream: MsrpConnection, why: 'stalledTransactions' | 'stalledSegments'): Disposition {
    this.#count(why)
    this.#context.services.resumeSoon(stream)
    return STALL
  }

  /** a response to anything but a SEND goes back the way its request came; it never opens a connection. */
  #respondUpstream(transaction: Address): void {
    const { transactions, connections, outbox, kernel } = this.#context
    const upstream = transactions.upstream(transaction)
    const tid = transactions.upstreamTid(transaction)
    const visited = transactions.visited(transaction)
    if (this.#record[R_TO_COUNT]! <= visited || !connections.isOpen(upstream)) {
      this.#count('droppedClosedConnection')
      return
    }
    if (!outbox.ensure(upstream, this.#record[R_END]! - this.#record[R_START]! + FORWARD_GROWTH)) {
      this.#count('droppedClosedConnection')
      return
    }
    const at = outbox.at(upstream)
    const end = kernel.forward(at, tid.address, tid.length, visited)
    outbox.commit(upstream, end)
    this.#row[FRAMES_SENT_RESPONSE]! += 1
    this.#row[responsesSent[(this.#record[R_STATUS]! / 100) | 0]!]! += 1
    this.#row[OCTETS_SENT]! += end - at
  }

  /** tells the original sender, over the connection its SEND came on. */
  #report(transaction: Address, status: number, comment: string): void {
    const { transactions, connections, outbox } = this.#context
    const upstream = transactions.upstream(transaction)
    if (!connections.isOpen(upstream)) return
    const frame = failureReport(transactions.forwardedSend(transaction), status, comment)
    if (!outbox.write(upstream, frame)) {
      this.#count('droppedClosedConnection')
      return
    }
    this.#row[C.framesSentReport]! += 1
    this.#row[OCTETS_SENT]! += frame.length
    this.#row[reportCounters[status] ?? C.reportsMadeOther]! += 1
  }

  #comment(status: number): string {
    return status === 408 ? 'Request Timeout' : 'Rejected'
  }

  #stray(): Disposition {
    this.#count('droppedStrayResponse')
    return TAKEN
  }

  #closeDestination(destination: ConnectionId): void {
    this.#context.outbox.flush()
    this.#context.port.close(destination, 'routing')
  }

  #count(key: CounterKey): void {
    this.#row[C[key]]! += 1
  }

  #countForwarded(kind: number, octets: number): void {
    const row = this.#row
    row[OCTETS_SENT]! += octets
    if (kind === KIND_SEND) {
      row[FRAMES_SENT_SEND]! += 1
      row[RELAYED]! += 1
    } else if (kind === KIND_REPORT) row[C.framesSentReport]! += 1
    else if (kind === KIND_AUTH) {
      row[C.framesSentAuth]! += 1
      row[C.authForwarded]! += 1
    } else row[C.framesSentOther]! += 1
  }
}

const reportCounters: Readonly<Record<number, number>> = {
  403: C.reportsMade403,
  408: C.reportsMade408,
  413: C.reportsMade413,
  481: C.reportsMade481,
}

/** The cells that count responses, by the first digit of their code. */
const responsesReceived = byFirstDigit('Received')
export const responsesSent = byFirstDigit('Sent')

function byFirstDigit(direction: 'Received' | 'Sent'): readonly number[] {
  const classes = ['Other', 'Other', '2xx', '3xx', '4xx', '5xx', 'Other', 'Other', 'Other', 'Other'] as const
  return classes.map((name) => C[`responses${direction}${name}`])
}
