import { Buffer } from 'node:buffer'
import type { AuthOutcome } from '../auth/authenticator.ts'
import type { Result } from '../errors.ts'
import type { Address } from '../ids.ts'
import { C, type CounterKey } from '../metrics/counters.ts'
import {
  FRAME_BAD_START_LINE,
  type FRAME_HEADER_LIMIT,
  KIND_AUTH,
  KIND_OTHER,
  KIND_REPORT,
  KIND_RESPONSE,
  KIND_SEND,
  R_END,
  R_ERROR,
  R_FAILURE_REPORT,
  R_KIND,
  R_START,
  REPORT_NO,
  REPORT_YES,
  RUN_FRAMES,
} from '../parser/kernel/record.ts'
import { MsrpFrame } from '../parser/msrp/frame.ts'
import { mayAnswerMalformed } from '../parser/msrp/malformed.ts'
import { CLOSE, type Disposition, type FrameHandler, STALL, TAKEN } from '../parser/msrp/reader.ts'
import { defaultRouting } from '../routing/default-routing.ts'
import type {
  Auth,
  BindRefusal,
  Bound,
  Decision,
  HeaderLines,
  MsrpActions,
  MsrpRequest,
  SendFlags,
  Sessions,
  Verdict,
} from '../routing/routing.ts'
import { answer } from './compose.ts'
import type { MsrpConnection } from './connection.ts'
import type { RelayContext } from './context.ts'
import { Forwarder, NOTHING, responsesSent } from './forward.ts'
import type { Ending } from './transactions.ts'

/** Unsuccessful requests of a peer that has had no success: more, and it is closed. */
const REFUSALS_MAX = 5
/** AUTHs with wrong credentials on one connection. */
const FAILED_AUTHS_MAX = 5
/** Malformed frames in a row, and in a minute (M-60). */
const MALFORMED_IN_ROW_MAX = 3
const MALFORMED_IN_MINUTE_MAX = 10

/** What a verdict stands for inside. */
type Action =
  | { readonly do: 'relay'; readonly flags: SendFlags }
  | { readonly do: 'reply'; readonly status: number; readonly comment: string; readonly headers: HeaderLines }
  | { readonly do: 'drop' }
  /** The routing is asked again about the same frame, now that credentials have been judged. */
  | { readonly do: 'decide again'; readonly judged: AuthOutcome }

const verdictOf = (action: Action) => action as unknown as Verdict
const actionOf = (verdict: Verdict) => verdict as unknown as Action

const relayAction: Action = { do: 'relay', flags: {} }
const dropAction: Action = { do: 'drop' }

// Cells of the frame path, by kind of frame.
const framesReceived = [
  C.framesReceivedSend,
  C.framesReceivedReport,
  C.framesReceivedAuth,
  C.framesReceivedOther,
  C.framesReceivedResponse,
]
const OCTETS_RECEIVED = C.octetsReceived

/**
 * The MSRP relay of one lane (RFC 4976): takes the frames that the reader finds, has the routing decide, and does what
 * it has decided.
 */
export class Relay implements FrameHandler<MsrpConnection> {
  readonly #context: RelayContext
  readonly #record: Int32Array
  readonly #row: Float64Array
  readonly #text: Buffer
  readonly #forwarder: Forwarder
  readonly #frame: MsrpFrame
  readonly #actions: MsrpActions
  /** The unchanged default decides nothing about these but `relay`, so they need no view and no verdict. */
  readonly #relaysRequests: boolean
  readonly #relaysResponses: boolean
  /** Frames handled so far, malformed ones included. */
  handled = 0
  /** The connection whose frame is being handled: what the actions work on. */
  #stream!: MsrpConnection
  /** What `verify` says of the frame being handled, if it has been judged already. */
  #judged: AuthOutcome | null = null

  constructor(context: RelayContext) {
    this.#context = context
    this.#record = context.kernel.record
    this.#row = context.row
    this.#text = Buffer.from(context.kernel.octets.buffer as ArrayBuffer)
    this.#frame = new MsrpFrame(context.kernel)
    const { routing } = context
    this.#relaysRequests = routing === defaultRouting || routing.onMsrpRequest === undefined
    this.#relaysResponses = routing === defaultRouting || routing.onMsrpResponse === undefined
    this.#forwarder = new Forwarder(context, {
      refuse: (stream, status, comment) => this.#refuse(stream, status, comment),
      accept: (stream) => {
        stream.trusted = true
      },
      ok: (stream) => {
        stream.trusted = true
        this.#reply(stream, 200, 'OK', [])
      },
    })
    this.#actions = {
      sessions: this.#sessions(),
      auth: this.#auth(),
      relay: (flags) => verdictOf(flags === undefined ? relayAction : { do: 'relay', flags }),
      reply: (status, comment, headers = []) => verdictOf({ do: 'reply', status, comment, headers }),
      drop: () => verdictOf(dropAction),
    }
  }

  /** Time for the frames of the next read: looking at the clock for each would cost more than its parsing. */
  setTime(now: number): void {
    this.#forwarder.nowSeconds = (now - this.#context.epochMs) / 1000
  }

  frame(stream: MsrpConnection, swallowed: boolean): Disposition {
    const record = this.#record
    const kind = record[R_KIND]!
    const decided = stream.decided
    this.handled++
    this.#forwarder.like = NOTHING
    if (decided === null) {
      this.#row[framesReceived[kind]!]! += 1
      this.#row[OCTETS_RECEIVED]! += record[R_END]! - record[R_START]!
      if (record[R_ERROR] !== 0) return this.#malformed(stream)
      stream.malformedInRow = 0
    } else stream.decided = null

    let disposition: Disposition
    if (decided !== null) disposition = this.#do(stream, actionOf(decided), swallowed)
    else if (kind === KIND_RESPONSE) {
      disposition = this.#relaysResponses
        ? this.#forwarder.response(stream)
        : this.#decide(stream, swallowed, this.#context.routing.onMsrpResponse ?? defaultRouting.onMsrpResponse)
    } else if (this.#relaysRequests && kind !== KIND_AUTH && (kind !== KIND_OTHER || this.#unknownMethodsPass())) {
      disposition = this.#forwarder.request(stream, swallowed)
    } else if (kind === KIND_OTHER && !this.#unknownMethodsPass()) {
      disposition = this.#refuse(stream, 501, 'Method Not Understood')
    } else {
      disposition = this.#decide(stream, swallowed, this.#context.routing.onMsrpRequest ?? defaultRouting.onMsrpRequest)
    }
    if (disposition === CLOSE && !stream.closing) this.#context.services.close(stream, 'misdirected')
    // A stalled frame comes again: it has not been received yet.
    if (disposition === STALL && decided === null && !stream.deciding) this.#uncount(kind)
    if (disposition === STALL && decided !== null) stream.decided = decided
    return stream.closing ? CLOSE : disposition
  }

  more(stream: MsrpConnection, at: number, end: number): number {
    // An operator's routing decides about each frame, and a stream that is being closed takes no more.
    if (!this.#relaysRequests || !this.#relaysResponses || stream.closing) return at
    const next = this.#forwarder.more(stream, at, end)
    if (next > at) this.handled += this.#context.kernel.run[RUN_FRAMES]!
    return next
  }

  broken(stream: MsrpConnection, what: typeof FRAME_BAD_START_LINE | typeof FRAME_HEADER_LIMIT): void {
    const badStart = what === FRAME_BAD_START_LINE
    this.#row[badStart ? C['parseError:bad-start-line'] : C['parseError:header-limit']]! += 1
    if (!badStart && mayAnswerMalformed(this.#record)) this.#reply(stream, 400, 'Header Too Large', [])
    this.#context.services.close(stream, 'malformed')
  }

  memoryShort(stream: MsrpConnection): void {
    this.#row[C.stalledSegments]! += 1
    this.#context.services.resumeSoon(stream)
  }

  /** A read has been worked off. */
  settle(): void {
    this.#forwarder.settle()
  }

  /** See Forwarder.ended. */
  ended(transaction: Address, why: Ending): void {
    this.#forwarder.ended(transaction, why)
  }

  #unknownMethodsPass(): boolean {
    return this.#context.config.msrp.unknown_methods === 'forward'
  }

  #decide(
    stream: MsrpConnection,
    swallowed: boolean,
    handler: (frame: MsrpFrame, msrp: MsrpActions) => Decision,
  ): Disposition {
    this.#stream = stream
    let decision: Decision
    const frame = this.#frame.attach()
    try {
      // an AUTH that ends here must name us, if only by host (U-3); everything else is looked at when it goes on.
      if (this.#record[R_KIND] === KIND_AUTH && frame.nextHops === 0) {
        if (!this.#context.identity.isOurs(frame.toPath[0]!, true)) return CLOSE
      }
      decision = handler(frame, this.#actions)
    } catch (error) {
      return this.#routingFailed(stream, error)
    } finally {
      this.#frame.detach()
    }
    if (!(decision instanceof Promise)) return this.#do(stream, actionOf(decision), swallowed)
    if (swallowed) {
      // Its body is gone, so it cannot be kept until the routing has decided: it is too large in any case.
      return this.#refuse(stream, 413, 'Message Too Large')
    }
    stream.deciding = true
    decision
      .catch((error: unknown) => {
        this.#routingFailed(stream, error)
        return verdictOf(dropAction)
      })
      .then((decided) => {
        stream.deciding = false
        stream.decided = decided
        this.#context.services.resume(stream)
      })
    return STALL
  }

  #do(stream: MsrpConnection, action: Action, swallowed: boolean): Disposition {
    const response = this.#record[R_KIND] === KIND_RESPONSE
    switch (action.do) {
      case 'relay':
        return response ? this.#forwarder.response(stream) : this.#forwarder.request(stream, swallowed, action.flags)
      case 'reply': {
        if (response) return TAKEN
        if (action.status >= 300) return this.#refuse(stream, action.status, action.comment, action.headers)
        stream.trusted = true
        this.#reply(stream, action.status, action.comment, action.headers)
        return TAKEN
      }
      case 'drop':
        return TAKEN
      case 'decide again':
        this.#judged = action.judged
        try {
          return this.#decide(stream, swallowed, this.#context.routing.onMsrpRequest ?? defaultRouting.onMsrpRequest)
        } finally {
          this.#judged = null
        }
    }
  }

  #routingFailed(stream: MsrpConnection, error: unknown): Disposition {
    this.#context.log.error({ connection: stream.id, err: error }, 'the routing failed; the frame is dropped')
    return TAKEN
  }

  /** M-60: the frame has been read to its end, the connection goes on unless there were too many of them. */
  #malformed(stream: MsrpConnection): Disposition {
    const now = this.#context.clock.now()
    this.#row[C.parseErrorFirst + this.#record[R_ERROR]! - 1]! += 1
    if (mayAnswerMalformed(this.#record)) this.#reply(stream, 400, 'Bad Request', [])
    const recent = [...stream.malformedAt, now].slice(-MALFORMED_IN_MINUTE_MAX)
    stream.malformedAt = recent
    const inMinute = recent.length === MALFORMED_IN_MINUTE_MAX && now - recent[0]! < 60_000
    if (++stream.malformedInRow < MALFORMED_IN_ROW_MAX && !inMinute) return TAKEN
    this.#context.services.close(stream, 'malformed')
    return CLOSE
  }

  /** Answers a request that is not accepted. Several of them and no success end the connection. */
  #refuse(stream: MsrpConnection, status: number, comment: string, headers: HeaderLines = []): Disposition {
    this.#reply(stream, status, comment, headers)
    // A challenge is the beginning of an AUTH, not a failure; guessing passwords is, whoever does it.
    const tooMany =
      status === 401 ? stream.failedAuths >= FAILED_AUTHS_MAX : !stream.trusted && ++stream.refusals >= REFUSALS_MAX
    if (!tooMany) return TAKEN
    this.#context.services.close(stream, 'probation')
    return CLOSE
  }

  #reply(stream: MsrpConnection, status: number, comment: string, headers: HeaderLines): void {
    const { kernel, outbox, identity } = this.#context
    const record = this.#record
    const kind = record[R_KIND]
    if (kind === KIND_REPORT) return // M-52
    const wish = record[R_FAILURE_REPORT]
    // M-51: `no` wants no answer at all, `partial` none that is good.
    if (kind === KIND_SEND && (wish === REPORT_NO || (wish !== REPORT_YES && status < 300))) return
    const ourUri = `${identity.prefix(stream.listener).slice(0, -1)};tcp`
    const frame = answer(kernel, this.#text, status, comment, headers, ourUri)
    if (!outbox.write(stream.id, frame)) {
      this.#context.services.close(stream, 'pressure')
      return
    }
    this.#row[C.framesSentResponse]! += 1
    this.#row[responsesSent[(status / 100) | 0]!]! += 1
    this.#row[C.octetsSent]! += frame.length
  }

  #uncount(kind: number): void {
    this.#row[framesReceived[kind]!]! -= 1
    this.#row[OCTETS_RECEIVED]! -= this.#record[R_END]! - this.#record[R_START]!
  }

  #sessions(): Sessions {
    return { bind: (auth, username) => this.#bind(auth, username) }
  }

  /** R-21 … R-26; K-4's msrp_cmap_save. */
  #bind(auth: MsrpRequest, username: string): Result<Bound, BindRefusal> {
    const { config, clock, identity, sessions, port } = this.#context
    const { auth_min_expires, auth_max_expires, auth_default_expires } = config.msrp
    const stream = this.#stream
    const expires = auth.expires ?? auth_default_expires
    if (expires < auth_min_expires) {
      this.#count('authOutOfBounds')
      return { ok: false, error: { reason: 'expires-too-small', bound: auth_min_expires } }
    }
    if (expires > auth_max_expires) {
      this.#count('authOutOfBounds')
      return { ok: false, error: { reason: 'expires-too-large', bound: auth_max_expires } }
    }
    const now = clock.now()
    const session = sessions.open(stream.id, username, now, now + expires * 1000)
    if (session === null) {
      this.#count('authForbidden')
      return { ok: false, error: { reason: 'too-many-sessions' } }
    }
    stream.bind(session)
    this.#count('authAccepted')
    this.#count('sessionsOpened')
    port.post({
      type: 'session-opened',
      connection: stream.id,
      id: session.publicId,
      username: session.username,
      createdAt: session.createdAt,
      expiresAt: session.expiresAt,
    })
    // relays on the way, as seen in From-Path, nearest to the client first; then ourselves.
    const relays = auth.fromPath.slice(0, -1).reverse()
    const ours = `${identity.prefix(stream.listener)}${session.sessionId};tcp`
    return { ok: true, value: { usePath: [...relays.map(({ text }) => text), ours].join(' '), expires } }
  }

  #auth(): Auth {
    return {
      allowed: () => {
        const allowed = this.#context.identity.listener(this.#stream.listener).authAllowed
        if (!allowed) this.#count('authForbidden')
        return allowed
      },
      verify: (auth) => this.#verify(auth),
    }
  }

  #verify(auth: MsrpRequest): AuthOutcome | Promise<Verdict> {
    const stream = this.#stream
    const outcome =
      this.#judged ??
      this.#context.authenticator.verify({
        authorization: auth.headers('Authorization'),
        method: 'AUTH',
        // D-11: the rightmost URI of To-Path.
        uri: auth.toPath.at(-1)!.text,
        binding: stream.id,
      })
    if (outcome instanceof Promise) return outcome.then((judged) => verdictOf({ do: 'decide again', judged }))
    if (outcome.outcome === 'unavailable') this.#count('authUnavailable')
    if (outcome.outcome === 'malformed') this.#count('authMalformed')
    if (outcome.outcome === 'challenge') {
      switch (outcome.reason) {
        case 'wrong-credentials':
        case 'wrong-token':
          this.#count('authRejected')
          stream.failedAuths++
          break
        case 'stale':
        case 'forged':
        case 'expired-token':
          this.#count('authStale')
          break
        case 'replayed':
          this.#count('authReplayed')
          break
        default:
          this.#count('authChallenged')
      }
    }
    return outcome
  }

  #count(key: CounterKey): void {
    this.#row[C[key]]! += 1
  }
}
