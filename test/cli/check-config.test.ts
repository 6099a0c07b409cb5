import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { generate } from 'selfsigned'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { checkConfig } from '../../src/cli/check-config.ts'
import { certificates } from '../support/certificates.ts'
import { silopath } from './support.ts'

let folder: string
let file: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'silopath-cli-'))
  file = join(folder, 'relay.yaml')
})
afterEach(() => rm(folder, { recursive: true }))

/** Writes a config with a TLS listener whose files are these, and more lines. */
async function configure(listener: Readonly<Record<string, string>>, more = ''): Promise<void> {
  const keys = Object.entries(listener).map(([key, path]) => `    ${key}: ${path}\n`)
  await writeFile(file, `domains: [relay.test]\nlisten:\n  - url: sips://127.0.0.1:5061\n${keys.join('')}${more}`)
}

/** What the check says, without the name of the file's folder. */
async function problems(now?: number): Promise<string> {
  const text = await checkConfig(file, now).catch((error: Error) => error.message)
  return text.replaceAll(`${folder}/`, '')
}

describe('check-config reads the certificates of listeners as the server does', () => {
  test('and is silent when they can be used', async () => {
    const { certFile, keyFile } = await certificates()
    await configure({ cert: certFile, key: keyFile, client_ca: certFile }, `tls:\n  ca: ${certFile}\n`)
    expect(await problems()).toBe('')
  })

  test('and names file, line and remedy of one that cannot be read', async () => {
    const { certFile, keyFile } = await certificates()
    await configure({ cert: certFile, key: 'gone.pem' })
    expect(await problems()).toBe(
      '1 problem in the configuration:\nrelay.yaml:5:10: listen[0].key: key of listener sips://127.0.0.1:5061: ' +
        'gone.pem cannot be read (ENOENT). Remedy: name a file that this user may read',
    )
    await configure({ cert: 'gone.pem', key: keyFile })
    expect(await problems()).toContain('relay.yaml:4:11: listen[0].cert: ')
    await configure({ cert: certFile, key: keyFile, client_ca: 'gone.pem' })
    expect(await problems()).toContain('relay.yaml:6:16: listen[0].client_ca: ')
    await configure({ cert: certFile, key: keyFile }, 'tls:\n  ca: gone.pem\n')
    expect(await problems()).toContain('relay.yaml:7:7: tls.ca: ')
  })

  test('and tells of a key that belongs to another certificate, and of what is no certificate', async () => {
    const [own, other] = [await certificates(), await certificates('other')]
    await configure({ cert: own.certFile, key: other.keyFile })
    expect(await problems()).toMatch(/^1 problem .*\n.*:5:10: listen\[0\]\.key: .* cannot be used .*Remedy: /s)
    await configure({ cert: own.keyFile, key: own.keyFile })
    expect(await problems()).toMatch(/:4:11: listen\[0\]\.cert: .* cannot be used .*Remedy: /)
    await writeFile(join(folder, 'text.pem'), 'no certificate')
    await configure({ cert: 'text.pem', key: own.keyFile })
    expect(await problems()).toMatch(/:4:11: listen\[0\]\.cert: .* is not PEM\. Remedy: convert it/)
  })

  test('and tells of all listeners', async () => {
    await configure({ cert: 'a.pem', key: 'b.pem' }, '  - { url: "wss://127.0.0.1:8443", cert: c.pem, key: d.pem }\n')
    const text = await problems()
    expect(text).toMatch(/^2 problems /)
    expect(text).toContain('relay.yaml:4:11: listen[0].cert: ')
    expect(text).toContain('relay.yaml:6:42: listen[1].cert: ')
  })

  test('and warns of one that is not valid now', async () => {
    const { cert, private: key } = await generate([{ name: 'commonName', value: 'old' }], {
      keyType: 'ec',
      notBeforeDate: new Date('2020-01-01T00:00:00Z'),
      notAfterDate: new Date('2021-01-01T00:00:00Z'),
    })
    await Promise.all([writeFile(join(folder, 'cert.pem'), cert), writeFile(join(folder, 'key.pem'), key)])
    await configure({ cert: 'cert.pem', key: 'key.pem' })
    const warning = 'relay.yaml:4:11: listen[0].cert: warning:'
    expect(await problems()).toBe(`${warning} expired 2021-01-01T00:00:00.000Z. Remedy: renew the certificate\n`)
    expect(await problems(Date.parse('2020-06-01'))).toBe('')
    expect(await problems(Date.parse('2019-12-31'))).toMatch(`${warning} valid from 2020-01-01T00:00:00.000Z on only.`)
    const { code, stdout, stderr } = await silopath(['check-config', 'relay.yaml'], folder)
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'relay.yaml: ok\n' })
    expect(stderr).toContain('expired')
  })
})
