import { copyFile, mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { MessageId } from '../../../src/ids.ts'
import { shortHash } from '../../../src/silo/delivery-id.ts'
import { openLmdbSilo } from '../../../src/store/lmdb-silo.ts'
import { encodeRecord } from '../../../src/store/silo-record.ts'
import type { NewMessage, SiloStore } from '../../../src/store/silo-store.ts'
import { FIRST_SEQUENCE } from '../sip/messages.ts'
import { Bodies, labelOf } from './bodies.ts'
import { awayName, type StoredRange, senderName } from './options.ts'
import { DOMAIN } from './silo-server.ts'

/** Puts at a time: as many as go into a few transactions. */
const AT_ONCE = 5000
/** A folder that is kept is good for as long. */
const KEPT_MS = 365 * 86_400_000
const LIST_MAX = 1000
const QUIET_MS = 5000
/** Who sends what is there beforehand: nobody that the generator is. */
const FILLER = 999_999

export interface FillOptions {
  readonly users: number
  readonly size: number
}

/** The silo of a folder that no server has open. @throws SilopathError STORE_UNAVAILABLE */
export const openSilo = (dataDir: string): Promise<SiloStore> =>
  openLmdbSilo({
    dataDir,
    quota: { messages: 0, octets: 0, perSender: 0 },
    deadMax: 100_000,
    onError: ({ message }) => process.stderr.write(`${message}\n`),
  })

/**
 * Folders `stored-N` with N messages each, made of one another and kept beside each other, for runs to copy.
 * @returns the folder with `count` messages
 */
export const filledFolder = async (
  parent: string,
  count: number,
  options: FillOptions,
  signal?: AbortSignal,
): Promise<string> => {
  // Of other owners or sizes they are other folders.
  const prefix = `stored-${options.users}x${options.size}-`
  const folder = join(parent, `${prefix}${count}`)
  await mkdir(parent, { recursive: true })
  const counts = (await readdir(parent))
    .filter((name) => name.startsWith(prefix) && /^\d+$/.test(name.slice(prefix.length)))
    .map((name) => Number(name.slice(prefix.length)))
  if (counts.includes(count)) return folder
  // It gets its name when it is complete.
  const making = join(parent, 'making')
  await rm(making, { recursive: true, force: true })
  const nearest = Math.max(0, ...counts.filter((other) => other < count))
  if (nearest > 0) await copyFolder(join(parent, `${prefix}${nearest}`), making)
  else await mkdir(making)
  await fill(making, count, options, signal)
  await rename(making, folder)
  return folder
}

/** Copies what a run is to change, and has it on disk before the run: it must not be written meanwhile. */
export const copyFolder = async (from: string, to: string): Promise<void> => {
  await mkdir(join(to, 'silo'), { recursive: true })
  const copy = join(to, 'silo', 'data.mdb')
  await copyFile(join(from, 'silo', 'data.mdb'), copy)
  const file = await open(copy, 'r+')
  await file.sync()
  await file.close()
}

/** Stores messages until there are so many, with progress on stderr. */
const fill = async (
  dataDir: string,
  count: number,
  { users, size }: FillOptions,
  signal: AbortSignal | undefined,
): Promise<void> => {
  const store = await openSilo(dataDir)
  const bodies = new Bodies(size)
  const now = Date.now()
  let saidAt = performance.now()
  try {
    for (let from = store.counts().messages; from < count; from += AT_ONCE) {
      signal?.throwIfAborted()
      const numbers = Array.from({ length: Math.min(AT_ONCE, count - from) }, (_, i) => from + i)
      const puts = await Promise.all(numbers.map((n) => store.put(messageOf(n, awayName(n % users), bodies, now))))
      const failed = puts.find((put) => !put.ok)
      if (failed?.ok === false) throw new Error(`the store cannot be filled: ${failed.error}`)
      if (performance.now() - saidAt < QUIET_MS) continue
      saidAt = performance.now()
      process.stderr.write(`messages stored beforehand: ${from + numbers.length} of ${count}\n`)
    }
  } finally {
    await store.close()
  }
}

const messageOf = (n: number, user: string, bodies: Bodies, now: number): NewMessage => {
  const owner = `sip:${user}@${DOMAIN}`
  const srcAddr = `sip:${senderName(n % 1000)}@${DOMAIN}`
  const body = Buffer.from(bodies.text(FILLER, FIRST_SEQUENCE + n), 'latin1')
  const expTime = now + KEPT_MS
  const record = encodeRecord({
    owner,
    srcAddr,
    dstAddr: owner,
    contentType: 'text/plain;charset=UTF-8',
    body,
    incTime: now,
    expTime,
    sndTime: 0,
    extraHeaders: '',
    callId: '',
    messageId: shortHash(`${n}`),
  })
  return { record, owner, srcAddr, expTime, sndTime: 0, octets: body.length }
}

export interface Stored {
  readonly messages: number
  /** Answered 202, and not there. */
  readonly missing: number
  /** There twice, or never answered 202, or what a reader has taken. */
  readonly excess: number
  /** That the database has, for each of its messages. */
  readonly diskOctetsPerMessage: number
}

/** Compares what the store has got on top of `before` messages with what was answered 202, message by message. */
export const compareStored = async (
  dataDir: string,
  before: number,
  stored: readonly StoredRange[],
): Promise<Stored> => {
  const store = await openSilo(dataDir)
  try {
    const { messages, dead } = store.counts()
    const kept = stored.map(({ first, last, others }) => {
      const isKept = new Uint8Array(last - first + 1).fill(1)
      for (const other of others) isKept[other - first] = 0
      return { first, isKept }
    })
    let excess = dead
    // Ids count up from 1: what was there before comes first, and nothing of it has gone.
    for (let after = before as MessageId; ; ) {
      const slice = store.list({ owner: null, dead: false, after, limit: LIST_MAX })
      for (const { message } of slice) {
        const { who, sequence } = labelOf(message.body)
        const range = kept[who]
        const at = range === undefined ? -1 : sequence - range.first
        if (range !== undefined && range.isKept[at] === 1) range.isKept[at] = 0
        else excess++
      }
      if (slice.length < LIST_MAX) break
      after = slice.at(-1)!.id
    }
    const missing = kept.reduce((sum, { isKept }) => sum + isKept.reduce((left, one) => left + one, 0), 0)
    return { messages, missing, excess, diskOctetsPerMessage: Math.round((await diskOctets(dataDir)) / messages) }
  } finally {
    await store.close()
  }
}

/** What the database takes on disk. */
const diskOctets = async (dataDir: string): Promise<number> =>
  (await stat(join(dataDir, 'silo', 'data.mdb'))).blocks * 512
