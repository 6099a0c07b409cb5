import assert from 'node:assert/strict'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Address } from '../../../src/ids.ts'
import {
  Doorbell,
  OctetRing,
  RING_CONTROL_OCTETS,
  RING_RECORD_OCTETS,
  RingConsumer,
  RingProducer,
} from '../../../src/workers/ring.ts'
import { Random } from '../../support/random.ts'

/*
 * Two threads that send each other records and octets at the same time. Both know the seed and so what has to come:
 * every record names its number, and its octets are a piece of a table that both have.
 */

const CAPACITY = 256
const RING_OCTETS = RING_CONTROL_OCTETS + CAPACITY * RING_RECORD_OCTETS
const OCTETS = 65_536
const PIECE_MAX = 2000
const BELL_WORD = 0
const READ_WORD = 16
/** From a ring's head to its tail. */
const TAIL_OCTETS = 64
const CONTROL_OCTETS = 128
/** What goes in one direction: control words, ring, octets. */
const LINE_OCTETS = CONTROL_OCTETS + RING_OCTETS + OCTETS

/** Memory for both directions, with counters that soon pass 2^32. */
export function newPumpMemory(): SharedArrayBuffer {
  const memory = new SharedArrayBuffer(2 * LINE_OCTETS)
  const words = new Int32Array(memory)
  for (const line of [0, LINE_OCTETS]) {
    for (const counter of [0, TAIL_OCTETS]) words[(line + CONTROL_OCTETS + counter) >> 2] = -1000
  }
  return memory
}

export interface PumpOptions {
  readonly memory: SharedArrayBuffer
  /** 0 or 1: which end this thread is. */
  readonly side: 0 | 1
  readonly seed: number
  /** Records in each direction. */
  readonly count: number
}

/** The sizes and places of the pieces that one side sends. */
class Pieces {
  readonly #random: Random
  readonly #table: Buffer

  constructor(seed: number, side: number) {
    this.#random = new Random(seed, side)
    const table = new Random(seed, 2)
    this.#table = Buffer.from(Array.from({ length: 2 * PIECE_MAX }, () => table.below(256)))
  }

  next(): Buffer {
    const length = this.#random.oneIn(10) ? this.#random.between(1, PIECE_MAX) : this.#random.between(1, 200)
    const start = this.#random.below(PIECE_MAX)
    return this.#table.subarray(start, start + length)
  }
}

/** Sends and receives until both are done. Returns how often this side had nothing to do and slept. */
export async function pump({ memory, side, seed, count }: PumpOptions): Promise<number> {
  const words = new Int32Array(memory)
  const octets = new Uint8Array(memory)
  const line = (of: number) => of * LINE_OCTETS
  const ringAt = (of: number) => (line(of) + CONTROL_OCTETS) as Address
  const readWord = (of: number) => (line(of) >> 2) + READ_WORD
  const other = 1 - side
  const producer = new RingProducer(words, ringAt(side), CAPACITY)
  const consumer = new RingConsumer(words, ringAt(other), CAPACITY)
  const outgoing = new OctetRing(words, readWord(side), (ringAt(side) + RING_OCTETS) as Address, OCTETS)
  const bell = new Doorbell(words, (line(side) >> 2) + BELL_WORD)
  const otherBell = new Doorbell(words, (line(other) >> 2) + BELL_WORD)

  const mood = new Random(seed, 3 + side)
  const sending = new Pieces(seed, side)
  const expected = new Pieces(seed, other)
  let sent = 0
  let received = 0
  let unsent: Buffer | null = null
  let sleeps = 0

  const receive = () => {
    const drained = consumer.drain((kind, connection, address, length) => {
      const piece = expected.next()
      assert.deepEqual([kind, connection, length], [received & 7, received, piece.length], 'record')
      assert.equal(piece.compare(octets, address, address + length), 0, `octets of record ${received}`)
      octets.fill(0xee, address, address + length)
      Atomics.store(words, readWord(other), address + length)
      received++
    })
    if (drained > 0) otherBell.ring()
    return drained
  }

  const send = () => {
    let batch = 0
    for (const most = mood.between(1, 2 * CAPACITY); batch < most && sent < count && producer.room > 0; batch++) {
      unsent ??= sending.next()
      const address = outgoing.place(unsent.length)
      if (address === 0) break
      octets.set(unsent, address)
      producer.push(sent & 7, sent, address, unsent.length)
      unsent = null
      sent++
    }
    if (producer.publish()) otherBell.ring()
    return batch
  }

  while (sent < count || received < count) {
    if (receive() + send() > 0) {
      // Sometimes the other side is left without work, and falls asleep.
      if (mood.oneIn(16)) await nextTurn()
      continue
    }
    bell.lower()
    if (receive() + send() > 0) continue
    sleeps++
    await bell.wait()
  }
  return sleeps
}
