// What all our LMDB environments have in common: how they are opened, and what is told when something fails.
import { type FileHandle, open as openFile } from 'node:fs/promises'

/**
 * With these two on, a failed commit leaves promises inside lmdb that nobody can handle (the process would die of an
 * unhandled rejection) or that never settle (close would hang). We batch ourselves and wait for every commit, so we lose
 * nothing; and nothing is less durable: a commit is flushed before it is reported.
 */
export const environmentOptions = { overlappingSync: false, eventTurnBatching: false } as const

/**
 * lmdb ends the process with a segmentation fault when it opens a file that no LMDB wrote, or one cut short. So look first:
 * a database begins with two pages, and the head of the first (24 octets) is followed by a magic number.
 */
export function refuseForeignFile(path: string): Promise<void> {
  return inspectFile(path, async (file, octets) => {
    const words = new Uint32Array(7)
    await file.read(words, { position: 0 })
    if (octets < 2 * 4_096 || words[6] !== 0xbeefc0de) throw new Error(`${path} is not an LMDB database`)
  })
}

/** Looks at the file of a database. Where there is none, or an empty one, LMDB makes one: there is nothing to look at. */
export async function inspectFile(
  path: string,
  inspect: (file: FileHandle, octets: number) => Promise<void>,
): Promise<void> {
  let file: FileHandle
  try {
    file = await openFile(path, 'r')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return
    throw error
  }
  try {
    const { size } = await file.stat()
    if (size > 0) await inspect(file, size)
  } finally {
    await file.close()
  }
}

/** lmdb hides the reason of a failed commit in a second promise, which must be handled too. */
export async function commitErrorOf(error: unknown): Promise<unknown> {
  if (!(error instanceof Error && 'commitError' in error)) return error
  try {
    await error.commitError
    return error
  } catch (reason) {
    return reason
  }
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
