import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { generate } from 'selfsigned'
import { afterAll } from 'vitest'

/** A certificate for `localhost` and 127.0.0.1 that is its own CA, and its private key, as PEM and as files. */
export interface Certificates {
  readonly cert: string
  readonly key: string
  readonly certFile: string
  readonly keyFile: string
}

const made = new Map<string, Promise<Certificates>>()

/** Certificates of that name: made once in a test file, and removed with it. */
export function certificates(name = 'relay'): Promise<Certificates> {
  const known = made.get(name)
  if (known !== undefined) return known
  const fresh = make(name)
  made.set(name, fresh)
  return fresh
}

afterAll(async () => {
  for (const each of made.values()) await rm(join((await each).certFile, '..'), { recursive: true, force: true })
  made.clear()
})

async function make(name: string): Promise<Certificates> {
  const altNames = [
    { type: 2 as const, value: 'localhost' },
    { type: 7 as const, ip: '127.0.0.1' },
  ]
  const { cert, private: key } = await generate([{ name: 'commonName', value: name }], {
    keyType: 'ec',
    extensions: [
      { name: 'basicConstraints', cA: true },
      { name: 'subjectAltName', altNames },
    ],
  })
  const folder = await mkdtemp(join(tmpdir(), 'silopath-certificates-'))
  const certFile = join(folder, 'cert.pem')
  const keyFile = join(folder, 'key.pem')
  await writeFile(certFile, cert)
  await writeFile(keyFile, key)
  return { cert, key, certFile, keyFile }
}
