import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect as connectTcp, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect as connectTls } from 'node:tls'
import { describe, expect, onTestFinished, test } from 'vitest'
import { certificates } from '../support/certificates.ts'
import { startPrimary } from './support/primary.ts'

const eventually = <T>(probe: () => T) => expect.poll(probe, { timeout: 5000 })

/** What opening a listener fails with. */
async function failure(listener: object, keys: object = {}): Promise<string> {
  const error = await startPrimary({ listen: [listener], workers: 0, ...keys }).then(
    () => expect.fail('it listens'),
    (error: Error & { code: string }) => error,
  )
  return `${error.code}: ${error.message}`
}

describe('a listener that cannot be opened says what to do', () => {
  test('for want of a certificate that fits', async () => {
    const { certFile, keyFile } = await certificates()
    const other = await certificates('other')
    const folder = await mkdtemp(join(tmpdir(), 'silopath-'))
    onTestFinished(() => rm(folder, { recursive: true }))
    const noPem = join(folder, 'no.pem')
    await writeFile(noPem, 'not PEM')
    const broken = join(folder, 'broken.pem')
    await writeFile(broken, '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n')
    const url = 'msrps://127.0.0.1:0'
    const missing = join(folder, 'missing.pem')

    expect(await failure({ url, cert: missing, key: keyFile })).toMatch(
      /^CONFIG_INVALID: cert of listener msrps:.*missing\.pem cannot be read \(ENOENT\)\. Remedy: /,
    )
    expect(await failure({ url, cert: certFile, key: folder })).toMatch(/^CONFIG_INVALID: key .*\(EISDIR\)\. Remedy: /)
    expect(await failure({ url, cert: noPem, key: keyFile })).toMatch(/^CONFIG_INVALID: cert .* is not PEM\. Remedy: /)
    expect(await failure({ url, cert: broken, key: keyFile })).toMatch(/^CONFIG_INVALID: .* cannot be used .*Remedy: /)
    const unfit = await failure({ url, cert: certFile, key: other.keyFile })
    expect(unfit).toMatch(/^CONFIG_INVALID: .* cannot be used .*Remedy: /)
    expect(await failure({ url, cert: certFile, key: keyFile, client_ca: missing })).toMatch(
      /^CONFIG_INVALID: client_ca /,
    )
    expect(await failure({ url: 'msrp://127.0.0.1:0' }, { tls: { ca: missing } })).toMatch(/^CONFIG_INVALID: tls\.ca: /)
    // Nothing of the key is told.
    expect(unfit).not.toContain(other.key.slice(40, 60))
  })

  test('for want of its port, for TCP or for UDP alone', async () => {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as { port: number }
    for (const scheme of ['msrp', 'sip', 'ws']) {
      expect(await failure({ url: `${scheme}://127.0.0.1:${port}` })).toMatch(/^LISTEN_FAILED: .*EADDRINUSE\. Remedy: /)
    }
    server.close()
    await once(server, 'close')
    const first = await startPrimary({ listen: [{ url: 'sip://127.0.0.1:0' }], workers: 0 })
    expect(await failure({ url: `sip://127.0.0.1:${first.listeners[0]!.port}` })).toMatch(
      /^LISTEN_FAILED: .*EADDRINUSE/,
    )
    expect(await failure({ url: 'tcp://192.0.2.1:0' })).toMatch(/^LISTEN_FAILED: .*EADDRNOTAVAIL/)
  })
})

test('handshakes of TLS that fail are counted and logged, and leave nothing behind', async () => {
  const { certFile: cert, keyFile: key } = await certificates()
  const listen = ['msrps', 'wss'].map((scheme) => ({ url: `${scheme}://127.0.0.1:0`, cert, key }))
  const primary = await startPrimary({ listen, workers: 0 })
  for (const [index, { port }] of primary.listeners.entries()) {
    const socket = connectTcp(port, '127.0.0.1')
    socket.on('error', () => {})
    socket.write('MSRP in the clear\r\n\r\n'.repeat(20))
    await once(socket.resume(), 'close')
    await eventually(() => primary.count('handshakesFailedTls')).toBe(index + 1)
  }
  const lines = primary.log.map((line) => JSON.parse(line)).filter(({ msg }) => msg === 'TLS handshake failed')
  expect(lines).toHaveLength(2)
  expect(lines[0]).toMatchObject({ peer: '127.0.0.1', why: expect.stringMatching(/^ERR_SSL/) })
  expect(primary.transport.count).toBe(0)
})

test('R-2: with client_ca a certificate is asked for and not demanded; TLS before 1.2 is not spoken', async () => {
  const { certFile, keyFile, cert, key } = await certificates()
  const listen = [{ url: 'tls://127.0.0.1:0', cert: certFile, key: keyFile, client_ca: certFile }]
  const primary = await startPrimary({ listen, workers: 0 })
  const { port, protocols, transports } = primary.listeners[0]!
  expect([protocols, transports]).toEqual([['msrp', 'sip'], ['tls']])
  for (const own of [{}, { cert, key }]) {
    const socket = connectTls({ port, host: '127.0.0.1', ca: cert, ...own })
    await once(socket, 'secureConnect')
    socket.write(`hello ${Object.keys(own).length}`)
    await eventually(() => primary.lanes[0]!.received.at(-1)?.text).toBe(`hello ${Object.keys(own).length}`)
    socket.destroy()
  }
  // Both protocols: the first octets will tell.
  expect(primary.lanes[0]!.opens.map(({ flow }) => [flow.transport, flow.protocol])).toEqual([
    ['tls', null],
    ['tls', null],
  ])
  const old = connectTls({
    port,
    host: '127.0.0.1',
    ca: cert,
    minVersion: 'TLSv1.1',
    maxVersion: 'TLSv1.1',
    ciphers: 'ALL:@SECLEVEL=0',
  })
  await expect(once(old, 'secureConnect')).rejects.toThrow()
})

test('the half of a TLS connection that a peer closes leaves it the answers (R-14)', async () => {
  const { certFile, keyFile, cert } = await certificates()
  const listen = [{ url: 'msrps://127.0.0.1:0', cert: certFile, key: keyFile }]
  const primary = await startPrimary({ listen, workers: 0 })
  const [lane] = primary.lanes as [(typeof primary.lanes)[0]]
  lane.onClosed = (connection) => {
    primary.transport.write(connection, primary.segment('the answer'), 10)
    setImmediate(() => primary.transport.released(connection))
  }
  const socket = connectTls({
    port: primary.listeners[0]!.port,
    host: '127.0.0.1',
    ca: cert,
    allowHalfOpen: true,
  } as object)
  await once(socket, 'secureConnect')
  const answer = once(socket, 'data')
  socket.end('the question')
  expect(String((await answer)[0])).toBe('the answer')
  expect(lane.received.map(({ text }) => text)).toEqual(['the question'])
  await once(socket.resume(), 'close')
  await eventually(() => primary.transport.count).toBe(0)
})
