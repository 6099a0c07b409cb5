import { Random } from '../../support/random.ts'
import type { Frame, Peer } from './peer.ts'
import { until } from './relay.ts'

export const BODY_MAX = 65_536

/** Bodies are pieces of this, so that they cost nothing to make and are compared octet by octet. */
const table = (() => {
  const random = new Random(4975, 0)
  return Buffer.from(Array.from({ length: 4 * BODY_MAX }, () => random.below(256)))
})()

let flows = 0

/**
 * What one peer sends another, a numbered SEND after the other, and what becomes of them: each must arrive once, in
 * order and whole, and be answered 200 once.
 */
export class Flow {
  readonly from: Peer
  readonly to: Peer
  /** What went wrong, in words. */
  readonly problems: string[] = []
  sent = 0
  arrived = 0
  accepted = 0
  /** Answers other than 200, by status. */
  readonly refused = new Map<number, number>()
  readonly #name = `f${(flows++).toString(36)}`
  readonly #sizes: number[] = []
  readonly #answered: boolean[] = []
  #progress = () => {}

  constructor(from: Peer, to: Peer) {
    this.from = from
    this.to = to
    const { onRequest } = to
    to.onRequest = (frame) => (frame.messageId.startsWith(`${this.#name}.`) ? this.#arrive(frame) : onRequest(frame))
    const { onResponse } = from
    from.onResponse = (frame) => (frame.tid.startsWith(`${this.#name}.`) ? this.#answer(frame) : onResponse(frame))
  }

  /** The octets of the next SEND, by parts. */
  compose(size: number): Buffer[] {
    const id = `${this.#name}.${this.sent}`
    const head =
      `MSRP ${id} SEND\r\nTo-Path: ${this.from.usePath} ${this.to.usePath} ${this.to.uri}\r\n` +
      `From-Path: ${this.from.uri}\r\nMessage-ID: ${id}\r\nByte-Range: 1-*/${size}\r\n` +
      'Content-Type: application/octet-stream\r\n\r\n'
    this.#sizes.push(size)
    this.sent++
    return [Buffer.from(head, 'latin1'), this.#body(this.sent - 1), Buffer.from(`\r\n-------${id}$\r\n`, 'latin1')]
  }

  /** Writes that many SENDs, whether or not the socket takes them now. */
  send(count: number, size: number): void {
    const { socket } = this.from
    for (let n = 0; n < count; n++) {
      socket.cork()
      for (const part of this.compose(size)) socket.write(part)
      socket.uncork()
    }
  }

  /** Sends with at most `window` SENDs on their way, until all have arrived and been answered. Returns SENDs a second. */
  async run(count: number, size: number, window = 16, patienceMs = 15_000): Promise<number> {
    const startedAt = performance.now()
    const target = this.sent + count
    this.#progress = () => {
      while (this.sent < target && this.sent - Math.min(this.arrived, this.accepted) < window) this.send(1, size)
    }
    this.#progress()
    await this.done(patienceMs, target)
    this.#progress = () => {}
    return (count / (performance.now() - startedAt)) * 1000
  }

  /** Resolves when everything sent has arrived and been answered 200. */
  async done(patienceMs = 15_000, target = this.sent): Promise<void> {
    const isDone = () => this.arrived === target && this.accepted === target
    const isOver = () => isDone() || this.problems.length > 0 || this.from.isClosed || this.to.isClosed
    await until('all SENDs arrived and answered', isOver, patienceMs).catch(() => {
      throw new Error(`after ${patienceMs} ms: ${this.describe()}`)
    })
    if (!isDone() || this.problems.length > 0) throw new Error(this.describe())
  }

  describe(): string {
    const refused = [...this.refused].map(([status, count]) => `, ${count} answered ${status}`).join('')
    const state = `${this.sent} sent, ${this.arrived} arrived, ${this.accepted} accepted${refused}`
    const ends = `${this.from.reports.length} reports${this.from.isClosed ? ', sender closed' : ''}${this.to.isClosed ? ', receiver closed' : ''}`
    return [`${this.#name}: ${state}, ${ends}`, ...this.problems.slice(0, 5)].join('\n')
  }

  #body(index: number): Buffer {
    const start = (index * 7919) % (table.length - BODY_MAX)
    return table.subarray(start, start + this.#sizes[index]!)
  }

  #arrive(frame: Frame): void {
    const index = Number(frame.messageId.slice(this.#name.length + 1))
    if (index !== this.arrived) this.problems.push(`SEND ${index} arrived, expected ${this.arrived}`)
    else if (!frame.body?.equals(this.#body(index))) this.problems.push(`the body of SEND ${index} has changed`)
    if (!frame.fromPath.endsWith(this.from.uri)) this.problems.push(`SEND ${index} came from ${frame.fromPath}`)
    this.arrived = index + 1
    this.to.accept(frame)
    this.#progress()
  }

  #answer(frame: Frame): void {
    const index = Number(frame.tid.slice(this.#name.length + 1))
    if (this.#answered[index] === true) this.problems.push(`SEND ${index} was answered twice`)
    this.#answered[index] = true
    if (frame.status === 200) this.accepted++
    else this.refused.set(frame.status!, (this.refused.get(frame.status!) ?? 0) + 1)
    this.#progress()
  }
}

/** Nothing was misdelivered, reported or closed. */
export function problemsOf(peers: readonly Peer[], flows: readonly Flow[]): string[] {
  return [
    ...flows.flatMap(({ problems }) => problems),
    ...peers.flatMap(({ strays, reports, isClosed, uri }) => [
      ...strays.map((stray) => `${uri} received what is not for it: ${stray}`),
      ...reports.map(({ fromPath, messageId }) => `${uri} received a REPORT on ${messageId} from ${fromPath}`),
      ...(isClosed ? [`${uri} was closed`] : []),
    ]),
  ]
}
