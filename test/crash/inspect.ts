import { copyFile, mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { MessageId } from '../../src/ids.ts'
import { openLmdbSilo } from '../../src/store/lmdb-silo.ts'
import type { SiloStore, StoredMessage } from '../../src/store/silo-store.ts'

/** What a killed server leaves behind. */
export interface Remains {
  /** Bodies, latin1. */
  readonly waiting: readonly string[]
  readonly dead: readonly string[]
  /** What is wrong with the store itself. */
  readonly faults: readonly string[]
}

const listMax = 1_000

/** Opens a copy of the store, so that the next server finds the original as it was left, and reads all of it. */
export async function inspect(dataDir: string, folder: string): Promise<Remains> {
  const copy = join(folder, 'copy')
  await mkdir(join(copy, 'silo'), { recursive: true })
  try {
    await copyFile(join(dataDir, 'silo', 'data.mdb'), join(copy, 'silo', 'data.mdb'))
    return await readAll(copy)
  } finally {
    await rm(copy, { recursive: true, force: true })
  }
}

async function readAll(dataDir: string): Promise<Remains> {
  const faults: string[] = []
  const store = await openLmdbSilo({
    dataDir,
    quota: { messages: 0, octets: 0, perSender: 0 },
    deadMax: 100_000,
    onError: ({ message }) => faults.push(message),
  })
  try {
    const counts = store.counts()
    const waiting = listed(store, false)
    const dead = listed(store, true)
    const octets = waiting.reduce((sum, { message }) => sum + message.body.length, 0)
    const found = { messages: waiting.length, octets, dead: dead.length }
    if (JSON.stringify(found) !== JSON.stringify(counts)) {
      faults.push(`the store counts ${JSON.stringify(counts)}, and has ${JSON.stringify(found)}`)
    }
    const bodies = (messages: readonly StoredMessage[]) =>
      messages.map(({ message }) => Buffer.from(message.body).toString('latin1'))
    return { waiting: bodies(waiting), dead: bodies(dead), faults }
  } finally {
    await store.close()
  }
}

function listed(store: SiloStore, dead: boolean): readonly StoredMessage[] {
  const all: StoredMessage[] = []
  for (let after: MessageId | null = null; ; ) {
    const slice = store.list({ owner: null, dead, after, limit: listMax })
    all.push(...slice)
    if (slice.length < listMax) return all
    after = slice.at(-1)!.id
  }
}
