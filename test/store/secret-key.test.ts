import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { openSecretKey, secretKeyOctets } from '../../src/store/secret-key.ts'

async function folder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'silopath-key-'))
  onTestFinished(() => rm(path, { recursive: true }))
  return path
}

test('the key is made once, for its owner only, and stays', async () => {
  const data = join(await folder(), 'data')
  const key = await openSecretKey(data)
  expect(key).toHaveLength(secretKeyOctets)
  expect(await openSecretKey(data)).toEqual(key)
  expect((await stat(join(data, 'secret.key'))).mode & 0o777).toBe(0o600)
  expect(await readdir(data)).toEqual(['secret.key'])
})

test('a file that is no key is refused with a remedy, and left alone', async () => {
  const data = await folder()
  await writeFile(join(data, 'secret.key'), 'short')
  await expect(openSecretKey(data)).rejects.toThrow(/secret\.key: it has 5 octets instead of 32.*delete it/)
  expect((await stat(join(data, 'secret.key'))).size).toBe(5)
})
