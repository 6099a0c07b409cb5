import { execFileSync } from 'node:child_process'
import type { MessageId } from '../../src/ids.ts'
import { openLmdbSilo } from '../../src/store/lmdb-silo.ts'
import { bob, newMessage, noon } from '../support/silo-messages.ts'

/** Run as a process of its own with the data_dir as argument; prints as JSON what it saw. */
const dataDir = process.argv[2]!

/** Files cannot grow beyond this; the write fails, as on a full disk, if the signal that comes with it is handled. */
function limitFiles(octets: number | 'unlimited'): void {
  execFileSync('prlimit', ['--pid', String(process.pid), `--fsize=${octets}:`])
}
process.on('SIGXFSZ', () => {})

const codes = new Set<string>()
const store = await openLmdbSilo({
  dataDir,
  quota: { messages: 3, octets: 0, perSender: 0 },
  deadMax: 10,
  onError: ({ code }) => codes.add(code),
  now: () => noon,
})
const idOf = async (text: string): Promise<MessageId | string> => {
  const stored = await store.put(newMessage(text))
  return stored.ok ? stored.value : stored.error
}
const first = (await idOf('first')) as MessageId
const second = (await idOf('second')) as MessageId
const claim = await store.claim(bob, '', { now: noon, leaseMs: 1_000, max: 10 })
if (claim === null || claim === 'busy') throw new Error('no claim')
const settle = async (id: MessageId) => {
  const settled = await store.settle(claim.token, id, { kind: 'delivered', devices: [''] })
  return settled.ok ? settled.value : settled.error
}
const counted = () => store.counts().messages

// Less than any page of the file: nothing at all can be written.
limitFiles(1)
const whileFull = {
  settled: await settle(first),
  removed: await store.remove([first]),
  swept: await store.sweep(noon * 2, 10),
  seen: await store.seen(bob, 'desk', noon),
  put: await Promise.all([idOf('third'), idOf('fourth')]),
  codes: [...codes],
  counted: counted(),
  readable: store.list({ owner: bob, dead: false, after: null, limit: 10 }).map(({ id }) => id - first),
}

limitFiles('unlimited')
const third = (await idOf('third')) as MessageId
const withRoom = {
  // Whatever the disk may have kept, no id is used again …
  idsSkipped: third - second - 1,
  // … and the quota had room for one more: those that failed do not count.
  fourth: await idOf('fourth'),
  settled: await settle(first),
  counted: counted(),
}
await store.close()
process.stdout.write(JSON.stringify({ whileFull, withRoom }))
