import { parentPort, workerData } from 'node:worker_threads'
import { RingConsumer, RingProducer } from '../../../src/workers/ring.ts'
import { Random } from '../../support/random.ts'
import { FLOW_CONNECTION, FLOW_LANE, FLOW_MAX, FLOW_RECORDS, FLOW_RING, type FlowData, flowParts } from './flow.ts'

/** The lane's side of a flow. Answers how often it waited. */
const { memory, direction, seed, total } = workerData as FlowData
const { words, connections, primaryBell, laneBell } = flowParts(memory)
const random = new Random(seed, 1)

/** Works off input in pieces, and tells the primary when `consume` says so, never else. */
async function consumeInput(): Promise<number> {
  const ring = new RingConsumer(words, FLOW_RING, FLOW_RECORDS)
  let told = 0
  for (let done = 0; done < total; ) {
    laneBell.lower()
    const drained = ring.drain((_kind, connection, _address, length) => {
      for (let left = length; left > 0; ) {
        const piece = Math.min(left, random.between(1, 300))
        if (connections.consume(connection as typeof FLOW_CONNECTION, piece)) {
          told++
          primaryBell.ring()
        }
        left -= piece
        done += piece
      }
    })
    if (drained === 0 && done < total) await laneBell.wait()
  }
  return told
}

/** Queues output as long as it may, then asks to be told when it may again. */
async function queueOutput(): Promise<number> {
  const ring = new RingProducer(words, FLOW_RING, FLOW_RECORDS)
  let waits = 0
  for (let queued = 0; queued < total; ) {
    if (connections.waiting(FLOW_CONNECTION) >= FLOW_MAX) {
      laneBell.lower()
      connections.await(FLOW_CONNECTION, FLOW_LANE)
      if (connections.waiting(FLOW_CONNECTION) >= FLOW_MAX) {
        waits++
        await laneBell.wait()
      }
      continue
    }
    const octets = Math.min(random.between(1, 300), total - queued)
    connections.queue(FLOW_CONNECTION, octets)
    ring.push(1, FLOW_CONNECTION, 0, octets)
    ring.publish()
    primaryBell.ring()
    queued += octets
  }
  return waits
}

parentPort!.on('message', () => {})
parentPort!.postMessage(await (direction === 'input' ? consumeInput() : queueOutput()))
parentPort!.removeAllListeners('message')
