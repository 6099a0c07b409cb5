import type { ConnectionId } from '../ids.ts'
import type { LanePort, NextHop } from './lane-port.ts'

/** Told the connection that was asked for; 0 when there is none. */
export type OnConnected = (connection: ConnectionId | 0) => void

/** Connections that a lane asks the primary for, and the answers. */
export class Connector {
  readonly #port: LanePort
  readonly #waiting = new Map<number, OnConnected>()
  #lastRequest = 0

  constructor(port: LanePort) {
    this.#port = port
  }

  connect(hop: NextHop, answer: OnConnected): void {
    const request = ++this.#lastRequest
    this.#waiting.set(request, answer)
    this.#port.post({ type: 'connect', request, hop })
  }

  answered(request: number, connection: ConnectionId | 0): void {
    const answer = this.#waiting.get(request)
    this.#waiting.delete(request)
    answer?.(connection)
  }
}
