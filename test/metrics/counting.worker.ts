import { workerData } from 'node:worker_threads'
import { C, countHandling } from '../../src/metrics/counters.ts'
import { countersIn } from '../support/counters.ts'

/** Counts as a lane does, into its own row. */
const { memory, lane, frames } = workerData as { memory: SharedArrayBuffer; lane: number; frames: number }
const row = countersIn(memory).row(lane)
for (let n = 0; n < frames; n += 1) {
  row[C.framesReceivedSend]! += 1
  countHandling(row, 3e-6, 1)
}
row[C.loopDelaySeconds] = lane + 0.5
