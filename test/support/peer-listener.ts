import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { expect, onTestFinished } from 'vitest'
import { MsrpClient } from './msrp-client.ts'

/** A foreign next hop that accepts connections. */
export interface PeerListener {
  /** `msrp://127.0.0.1:PORT/peer;tcp` */
  readonly uri: string
  readonly port: number
  /** Every connection it has accepted, in order. */
  readonly accepted: readonly MsrpClient[]
  /** The connection of that index, once it is there. */
  connection(index?: number): Promise<MsrpClient>
}

/** Listens on a free port until the test ends. */
export async function listenAsPeer(): Promise<PeerListener> {
  const accepted: MsrpClient[] = []
  const server = createServer({ noDelay: true }, (socket) => accepted.push(new MsrpClient(socket)))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(async () => {
    server.close()
    await Promise.all(accepted.map((client) => client.close()))
  })
  const { port } = server.address() as AddressInfo
  return {
    uri: `msrp://127.0.0.1:${port}/peer;tcp`,
    port,
    accepted,
    async connection(index = 0) {
      await expect.poll(() => accepted.length, { timeout: 5_000 }).toBeGreaterThan(index)
      return accepted[index]!
    },
  }
}
