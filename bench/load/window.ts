/** The relay's 200 has come back to the sender. */
export const ANSWERED = 1
/** The message has arrived at the receiver. */
export const DELIVERED = 2
const SETTLED = ANSWERED | DELIVERED

/** One pair's SENDs in flight: a sliding window over sequence numbers; a SEND leaves it answered and delivered. */
export class Window {
  readonly #size: number
  readonly #mask: number
  readonly #states: Uint8Array
  readonly #sentAt: Float64Array
  #oldest = 0
  #next = 0

  /** @param size SENDs in flight at most */
  constructor(size: number) {
    this.#size = size
    const slots = 2 ** Math.ceil(Math.log2(size))
    this.#mask = slots - 1
    this.#states = new Uint8Array(slots)
    this.#sentAt = new Float64Array(slots)
  }

  /** Sequence number of the next SEND; also how many there have been. */
  get next(): number {
    return this.#next
  }

  get hasRoom(): boolean {
    return this.#next - this.#oldest < this.#size
  }

  get isEmpty(): boolean {
    return this.#next === this.#oldest
  }

  /** Takes the next sequence number; `hasRoom` must hold. */
  open(sentAt: number): void {
    const slot = this.#next++ & this.#mask
    this.#states[slot] = 0
    this.#sentAt[slot] = sentAt
  }

  /** Notes that one half of a SEND has happened. False when it is not in flight, or that half was noted before. */
  settle(sequence: number, half: typeof ANSWERED | typeof DELIVERED): boolean {
    if (sequence < this.#oldest || sequence >= this.#next) return false
    const slot = sequence & this.#mask
    const before = this.#states[slot]!
    if ((before & half) !== 0) return false
    this.#states[slot] = before | half
    while (this.#oldest < this.#next && this.#states[this.#oldest & this.#mask] === SETTLED) this.#oldest++
    return true
  }

  /** When this SEND was written (or due, in an open loop); only for one that has just been settled or is in flight. */
  sentAt(sequence: number): number {
    return this.#sentAt[sequence & this.#mask]!
  }

  /** How many SENDs in flight still lack this half. */
  missing(half: typeof ANSWERED | typeof DELIVERED): number {
    let count = 0
    for (let sequence = this.#oldest; sequence < this.#next; sequence++) {
      if ((this.#states[sequence & this.#mask]! & half) === 0) count++
    }
    return count
  }
}
