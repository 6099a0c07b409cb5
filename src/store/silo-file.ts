// LMDB maps its file into memory, so reading what a file has lost at its end kills the process. What is looked at here, in
// the pages of LMDB 1.0, is only whether every page that is in use is there.
import { Buffer } from 'node:buffer'
import type { FileHandle } from 'node:fs/promises'
import { inspectFile } from './lmdb-environment.ts'

/** Where things are, in octets: in a page, in what the first two pages say of the database, in an entry of a page. */
const page = { flagsAt: 18, endAt: 20, head: 24 } as const
const meta = {
  pageOctetsAt: 48,
  freeRootAt: 88,
  mainRootAt: 136,
  lastPageAt: 144,
  transactionAt: 152,
  end: 160,
} as const
const node = { flagsAt: 4, keyOctetsAt: 6, head: 8 } as const
/** Root of a table, in what the database has as its value. */
const tableRootAt = 40
const branch = 0x01
const leaf = 0x02
/** Flags of an entry: its value is on pages of its own; it is a table. */
const elsewhere = 0x01
const table = 0x02
/** Root of a table that is empty. */
const noPage = 2n ** 64n - 1n

/**
 * @throws Error when the file has lost pages that are in use. One that was given back before it was ever written may be
 * missing at the end of a sound database: only then are all looked at.
 */
export function refuseTruncatedFile(path: string): Promise<void> {
  return inspectFile(path, async (file, octets) => {
    const { pageOctets, lastPage, roots } = await latestOf(file)
    const pages = Math.floor(octets / pageOctets)
    if (pages <= lastPage && !(await isWhole(file, { pageOctets, pages, roots }))) {
      throw new Error(`${path} is cut short: it has ${pages} pages of ${lastPage + 1}`)
    }
  })
}

interface Latest {
  readonly pageOctets: number
  readonly lastPage: number
  readonly roots: readonly bigint[]
}

/** What the latest transaction left: the first two pages tell in turn. */
async function latestOf(file: FileHandle): Promise<Latest> {
  const [first, second] = [Buffer.alloc(meta.end), Buffer.alloc(meta.end)]
  await file.read(first, { position: 0 })
  const pageOctets = first.readUInt32LE(meta.pageOctetsAt)
  await file.read(second, { position: pageOctets })
  const transactionOf = (octets: Buffer) => octets.readBigUInt64LE(meta.transactionAt)
  const latest = transactionOf(second) > transactionOf(first) ? second : first
  return {
    pageOctets,
    lastPage: Number(latest.readBigUInt64LE(meta.lastPageAt)),
    roots: [latest.readBigUInt64LE(meta.freeRootAt), latest.readBigUInt64LE(meta.mainRootAt)],
  }
}

/** Whether all pages that can be reached from the roots are there. */
async function isWhole(
  file: FileHandle,
  {
    pageOctets,
    pages,
    roots,
  }: { readonly pageOctets: number; readonly pages: number; readonly roots: readonly bigint[] },
): Promise<boolean> {
  const octets = Buffer.alloc(pageOctets)
  const pending = roots.filter((root) => root !== noPage)
  // A page is reached once, or it is no tree.
  for (let read = 0; pending.length > 0; read += 1) {
    const number = Number(pending.pop())
    if (number >= pages || read >= pages) return false
    await file.read(octets, { position: number * pageOctets })
    const kind = octets.readUInt16LE(page.flagsAt) & (branch | leaf)
    if (kind === 0) return false
    // Where its entries are, two octets each.
    const entries = octets.subarray(page.head)
    const end = octets.readUInt16LE(page.endAt)
    for (let at = 0; at < end; at += 2) {
      const entry = entries.subarray(entries.readUInt16LE(at))
      if (kind === branch) {
        pending.push(BigInt(entry.readUIntLE(0, 6)))
        continue
      }
      const flags = entry.readUInt16LE(node.flagsAt)
      const valueAt = node.head + entry.readUInt16LE(node.keyOctetsAt)
      if ((flags & table) !== 0) {
        const root = entry.readBigUInt64LE(valueAt + tableRootAt)
        if (root !== noPage) pending.push(root)
      } else if ((flags & elsewhere) !== 0) {
        const first = Number(entry.readBigUInt64LE(valueAt))
        const length = Math.ceil((page.head + entry.readUInt32LE(0)) / pageOctets)
        if (first + length > pages) return false
      }
    }
  }
  return true
}
