import { parentPort, workerData } from 'node:worker_threads'
import { type PumpOptions, pump } from './pump.ts'

// A listener keeps the thread alive while it waits for its bell.
parentPort!.on('message', () => {})
parentPort!.postMessage(await pump(workerData as PumpOptions))
parentPort!.removeAllListeners('message')
