import { openLmdbSilo } from '../../src/store/lmdb-silo.ts'
import { newMessage } from '../support/silo-messages.ts'

/**
 * Run as a process of its own with the data_dir as argument: stores messages, 64 at a time, and says which are stored,
 * until it is killed.
 */
const dataDir = process.argv[2]!
const store = await openLmdbSilo({
  dataDir,
  quota: { messages: 0, octets: 0, perSender: 0 },
  deadMax: 10,
  onError: (error) => {
    throw error
  },
})
let next = 0
const putAll = async (): Promise<never> => {
  for (;;) {
    const n = next++
    const stored = await store.put(newMessage(`message ${n}`, { owner: `sip:user${n % 20}@example.org` }))
    if (!stored.ok) throw new Error(stored.error)
    process.stdout.write(`${stored.value} ${n}\n`)
  }
}
await Promise.all(Array.from({ length: 64 }, putAll))
