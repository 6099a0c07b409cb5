import { setTimeout as sleep } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import { freePort } from '../../bench/load/sip/sip-server.ts'
import { certificates } from '../support/certificates.ts'
import { MsrpClient } from '../support/msrp-client.ts'
import { type MsrpSocket, type MsrpTransport, openMsrpSocket } from '../support/msrp-socket.ts'
import { passwords, startRelay } from '../support/relay.ts'

const schemes = { tcp: 'msrp', tls: 'msrps', ws: 'ws', wss: 'wss' } as const
const transports = Object.keys(schemes) as MsrpTransport[]

/** A connection to a listener that may not be there yet. */
async function openSoon(transport: MsrpTransport, port: number, ca: string): Promise<MsrpSocket> {
  for (;;) {
    try {
      return await openMsrpSocket(transport, port, ca)
    } catch (error) {
      if (!String(error).includes('ECONNREFUSED')) throw error
      await sleep(1)
    }
  }
}

// After a restart everybody comes back at once.
test.each(transports)(
  'who connects over %s and writes before the lanes run is served once they do',
  async (transport) => {
    const { cert, certFile, keyFile } = await certificates()
    const port = await freePort()
    const isSecure = transport === 'tls' || transport === 'wss'
    const listen = [
      { url: `${schemes[transport]}://127.0.0.1:${port}`, ...(isSecure && { cert: certFile, key: keyFile }) },
    ]
    let isStarted = false
    const starting = startRelay({ workers: 1, own: true, config: { listen } }).finally(() => {
      isStarted = true
    })
    const client = new MsrpClient(await openSoon(transport, port, cert), transport)
    onTestFinished(() => client.close())
    const served = client.auth({ username: 'alice', password: passwords.alice })
    expect(isStarted, 'the lanes run already').toBe(false)

    const relay = await starting
    expect((await served).final.status).toBe(200)
    expect(await relay.metric('silopath_connections')).toBe(1)
  },
)
