import assert from 'node:assert/strict'
import { parentPort, workerData } from 'node:worker_threads'
import type { Address } from '../../../src/ids.ts'
import { Doorbell, RingConsumer } from '../../../src/workers/ring.ts'
import { giveSegment, segmentCapacity } from '../../../src/workers/segments.ts'
import { GIVER_RING_RECORDS, type GiverData, giverBellWord, giverRing, STOP, wipe } from './giver.ts'

/** Gives segments back as fast as it is told to, while their owner takes. */
const { memory, giver } = workerData as GiverData
const words = new Int32Array(memory)
const ring = new RingConsumer(words, giverRing(giver), GIVER_RING_RECORDS)
const bell = new Doorbell(words, giverBellWord(giver))

parentPort!.on('message', () => {})
let given = 0
let running = true
while (running) {
  bell.lower()
  const drained = ring.drain((kind, mark, address, capacity) => {
    if (kind === STOP) {
      running = false
      return
    }
    const segment = address as Address
    assert.equal(segmentCapacity(words, segment), capacity)
    assert.equal(wipe(words, segment, capacity, mark), null)
    giveSegment(words, segment)
    given++
  })
  if (drained === 0) await bell.wait()
}
parentPort!.postMessage(given)
parentPort!.removeAllListeners('message')
