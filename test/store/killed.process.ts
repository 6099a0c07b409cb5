import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { open as openEnvironment } from 'lmdb'
import { openLmdbSessions } from '../../src/store/lmdb-sessions.ts'
import { sessionRecord } from '../support/session-records.ts'

/** Run as a process of its own with the data_dir as argument: dies with its sessions stored and its store open. */
const dataDir = process.argv[2]!
const { store } = await openLmdbSessions({ dataDir, recordsMax: 10_000, onError: console.error })
const rows = openEnvironment({ path: join(dataDir, 'soft') }).openDB({ name: 'sessions' })
for (let n = 0; n < 1_000; n += 1) store.put(sessionRecord(n))
while (rows.getKeysCount() < 1_000) await sleep(10)
process.kill(process.pid, 'SIGKILL')
