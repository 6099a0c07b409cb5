import { parentPort, workerData } from 'node:worker_threads'
import { openLocationReader } from '../../src/store/lmdb-location.ts'

/**
 * A thread that reads what another one stores: answers each number in `turn[0]`, by a number in `turn[1]`, with how many
 * bindings it sees. All in one turn of its event loop, as a lane may look often in one turn.
 */
const { dataDir, aor, now, turn, rounds, versions } = workerData as {
  dataDir: string
  aor: string
  now: number
  turn: Int32Array
  rounds: number
  versions: Int32Array | undefined
}
const reader = openLocationReader(dataDir, versions)
parentPort?.postMessage(reader.get(aor, now))
for (let round = 1; round <= rounds; round += 1) {
  Atomics.wait(turn, 0, round - 1)
  const [seen] = reader.get(aor, now)
  Atomics.store(turn, 1, seen?.cseq ?? -1)
  Atomics.notify(turn, 1)
}
await reader.close()
