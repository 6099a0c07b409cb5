import type { Address } from '../ids.ts'
import { C } from '../metrics/counters.ts'
import { KIND_SEND, R_BODY_LENGTH, R_HAS_BODY, R_KIND, R_TO_COUNT } from '../parser/kernel/record.ts'
import { MsrpFrame } from '../parser/msrp/frame.ts'
import { failureReport } from './compose.ts'
import type { MsrpConnection } from './connection.ts'
import type { RelayContext } from './context.ts'
import { publicIdOf } from './sessions.ts'
import type { ForwardedSend } from './transactions.ts'

/** A whole text whose far end is gone, as the silo takes it over. Plain data: it crosses threads. */
export interface FailedText {
  /** Public id of the session that it was for, which was that of a user of ours. */
  readonly session: string
  /** User of the session that it came from. */
  readonly sender: string
  readonly contentType: string
  readonly body: Uint8Array
  readonly messageId: string
}

/** Octets of texts that wait for the silo's word, of one lane: with more, texts are refused as without a silo. */
const waitingOctetsMax = 4 * 1024 * 1024

/**
 * Messages that cannot go on because their far end is gone, but may be kept for its user (`msrp.store_failed`): whole texts
 * of users of ours to users of ours. Such a SEND is answered as one that is relayed, and a REPORT tells what has
 * become of it: 202 when it is stored, 481 when not.
 */
export class FailedTexts {
  readonly #context: RelayContext
  readonly #keep: (text: FailedText) => Promise<boolean>
  readonly #frame: MsrpFrame
  readonly #octetsMax: number
  #waitingOctets = 0

  constructor(context: RelayContext, keep: (text: FailedText) => Promise<boolean>) {
    this.#context = context
    this.#keep = keep
    this.#frame = new MsrpFrame(context.kernel)
    this.#octetsMax = context.config.msrp.store_failed_max
  }

  /**
   * Takes over the request in the record, if it is one that is kept. The caller answers it then.
   * @param from entry of the session that it came from; 0: none of ours
   * @returns whether it does
   */
  take(stream: MsrpConnection, from: Address | 0): boolean {
    const { record } = this.#context.kernel
    const octets = record[R_BODY_LENGTH]!
    if (from === 0 || record[R_KIND] !== KIND_SEND || record[R_HAS_BODY] === 0 || record[R_TO_COUNT]! < 3) return false
    if (octets === 0 || octets > this.#octetsMax || this.#waitingOctets + octets > waitingOctetsMax) return false
    const sender = stream.sessions.find(({ entry }) => entry === from)
    const frame = this.#frame.attach()
    try {
      const contentType = frame.header('Content-Type')
      const { byteRange, flag, messageId, toPath, fromPath, body, successReport, failureReport: wish } = frame
      const [ours, theirs] = toPath
      const session = theirs!.sessionId
      if (sender === undefined || messageId === null || contentType === null || session === null) return false
      if (!/^text\//i.test(contentType)) return false
      // M-31: all of it is here.
      const whole = byteRange === null || (byteRange.start === 1 && (byteRange.total ?? octets) === octets)
      if (flag !== '$' || !whole) return false
      const send: ForwardedSend = {
        messageId,
        ourUris: `${ours!.text} ${theirs!.text}`,
        fromPath: fromPath.map(({ text }) => text).join(' '),
        range: byteRange === null ? null : { start: 1, total: octets },
        bodyLength: octets,
      }
      const text = {
        session: publicIdOf(session),
        sender: sender.username,
        contentType,
        body: new Uint8Array(body!),
        messageId,
      }
      void this.#settle(stream, text, send, successReport || wish !== 'no')
      return true
    } finally {
      this.#frame.detach()
    }
  }

  async #settle(stream: MsrpConnection, text: FailedText, send: ForwardedSend, tell: boolean): Promise<void> {
    const { row, connections, outbox } = this.#context
    this.#waitingOctets += send.bodyLength
    const kept = await this.#keep(text)
    this.#waitingOctets -= send.bodyLength
    row[kept ? C.deliveriesStored : C.deliveriesUnreachable]! += 1
    if (!tell || !connections.isOpen(stream.id)) return
    const report = kept ? failureReport(send, 202, 'Stored') : failureReport(send, 481, 'No Such Session')
    if (!outbox.write(stream.id, report)) {
      row[C.droppedClosedConnection]! += 1
      return
    }
    row[C.framesSentReport]! += 1
    row[C.octetsSent]! += report.length
    row[kept ? C.reportsMadeOther : C.reportsMade481]! += 1
  }
}
