import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { open as openEnvironment } from 'lmdb'
import { openLmdbSessions } from '../../src/store/lmdb-sessions.ts'
import { sessionRecord } from '../support/session-records.ts'

/** Run as a process of its own with the data_dir as argument; prints as JSON what it saw. */
const dataDir = process.argv[2]!

/** Files cannot grow beyond this; the write fails, as on a full disk, if the signal that comes with it is handled. */
function limitFiles(octets: number | 'unlimited'): void {
  execFileSync('prlimit', ['--pid', String(process.pid), `--fsize=${octets}:`])
}
process.on('SIGXFSZ', () => {})

const codes: string[] = []
const { store } = await openLmdbSessions({ dataDir, recordsMax: 10_000, onError: ({ code }) => codes.push(code) })
const rows = openEnvironment({ path: join(dataDir, 'soft') }).openDB({ name: 'sessions' })
const putAll = (from: number, to: number) => {
  for (let n = from; n < to; n += 1) store.put(sessionRecord(n))
}

limitFiles(64 * 1024)
putAll(0, 3_000)
while (codes.length < 2) await sleep(20)
const whileFull = { codes: [...codes], listed: [...store.list({ limit: 10_000 })].length, rows: rows.getKeysCount() }

limitFiles('unlimited')
for (let tries = 0; rows.getKeysCount() < 3_000 && tries < 500; tries += 1) await sleep(20)
const withRoom = { rows: rows.getKeysCount() }

limitFiles(64 * 1024)
putAll(3_000, 6_000)
await store.close()
limitFiles('unlimited')
process.stdout.write(JSON.stringify({ whileFull, withRoom }))
