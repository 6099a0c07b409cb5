import { execFileSync } from 'node:child_process'
import type { ConnectionId } from '../../src/ids.ts'
import { openLmdbLocation } from '../../src/store/lmdb-location.ts'
import type { Binding } from '../../src/store/location-store.ts'
import { aliceAor, binding, connectionFlow, epoch, noon } from '../support/location-records.ts'

/** Run as a process of its own with the data_dir as argument; prints as JSON what it saw. */
const dataDir = process.argv[2]!
const connection = 7 as ConnectionId

/** Files cannot grow beyond this; the write fails, as on a full disk, if the signal that comes with it is handled. */
function limitFiles(octets: number | 'unlimited'): void {
  execFileSync('prlimit', ['--pid', String(process.pid), `--fsize=${octets}:`])
}
process.on('SIGXFSZ', () => {})

const codes = new Set<string>()
const store = await openLmdbLocation({ dataDir, maxBindings: 10_000, onError: ({ code }) => codes.add(code) })
const put = (aor: string, bindings: readonly Binding[]) => store.change(aor, () => ({ bindings, value: true }))
const look = (aor: string) => store.change(aor, () => ({ bindings: null, value: true }))
await put(aliceAor, [binding('alice', { flow: connectionFlow(connection), expiresAt: noon + 1_000 })])
const bob = 'sip:bob@example.org'
const bobs = Array.from({ length: 1_000 }, (_, n) => binding(n, { aor: bob, userAgent: 'x'.repeat(200) }))

// Less than any page of the file: nothing at all can be written.
limitFiles(1)
const [stored, looked] = await Promise.all([put(bob, bobs), look(aliceAor)])
const marked = await store.markUnreachable(connection, epoch)
const swept = await store.sweep(noon + 1_000, 10)
const whileFull = {
  stored: stored.ok || stored.error,
  looked: looked.ok,
  marked: marked.ok || marked.error,
  swept: swept.size,
  codes: [...codes],
  count: store.count(),
  readable: store.get(aliceAor, noon).length + store.get(bob, noon).length,
}

limitFiles('unlimited')
const storedNow = await put(bob, bobs)
const markedNow = await store.markUnreachable(connection, epoch)
const withRoom = {
  stored: storedNow.ok,
  marked: markedNow.ok && markedNow.value,
  count: store.count(),
  unreachable: store.get(aliceAor, noon)[0]?.unreachable,
}
await store.close()
process.stdout.write(JSON.stringify({ whileFull, withRoom }))
