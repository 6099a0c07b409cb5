import type { Buffer } from 'node:buffer'
import { randomBytes } from 'node:crypto'
import { link, mkdir, readFile, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { SilopathError } from '../errors.ts'

export const secretKeyOctets = 32

/**
 * The key in `<data_dir>/secret.key`, made at the first start and readable by its owner only. It seals what peers bring
 * back after a restart: losing it ends their dialogs, and nothing else.
 * @throws SilopathError STORE_UNAVAILABLE
 */
export async function openSecretKey(dataDir: string): Promise<Buffer> {
  const path = join(dataDir, 'secret.key')
  try {
    await mkdir(dataDir, { recursive: true })
    return (await read(path)) ?? (await make(path))
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause)
    throw new SilopathError(
      'STORE_UNAVAILABLE',
      `cannot use the key in ${path}: ${message}. Make it readable, or delete it: a new one is made at the next start`,
      { cause },
    )
  }
}

/** null when there is none. */
async function read(path: string): Promise<Buffer | null> {
  try {
    const key = await readFile(path)
    if (key.length !== secretKeyOctets) throw new Error(`it has ${key.length} octets instead of ${secretKeyOctets}`)
    return key
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null
    throw error
  }
}

/** Written aside first: who reads at the same time finds a whole key or none. */
async function make(path: string): Promise<Buffer> {
  const aside = `${path}.${process.pid}`
  await writeFile(aside, randomBytes(secretKeyOctets), { mode: 0o600 })
  try {
    await link(aside, path)
  } catch (error) {
    // Another process was quicker: its key counts.
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error
  } finally {
    await unlink(aside)
  }
  return (await read(path))!
}
