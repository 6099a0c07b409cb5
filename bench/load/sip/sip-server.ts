import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { randomIdent } from '../sequence.ts'
import { startServer } from '../server-process.ts'
import { DOMAIN } from './arguments.ts'
import { type SipTarget, userName } from './options.ts'

export interface SipServerProcess {
  readonly target: SipTarget
  /** Ends the process and removes its files. */
  stop(): Promise<void>
}

const HOST = '127.0.0.1'
const CONNECTIONS_MIN = 65_536

/** A port that is free for TCP and for UDP alike: the server listens on both (S-24). */
export const freePort = async (): Promise<number> => {
  for (;;) {
    const tcp = createServer().listen(0, HOST)
    await once(tcp, 'listening')
    const { port } = tcp.address() as AddressInfo
    const udp = createSocket('udp4')
    udp.bind(port, HOST)
    const isFree = await once(udp, 'listening').then(
      () => true,
      () => false,
    )
    udp.close()
    tcp.close()
    await once(tcp, 'close')
    if (isFree) return port
  }
}

/**
 * Starts the server with so many users, on a loopback port of its own.
 * @param peer whether it takes whoever is on this machine for a peer, and challenges nobody (`sip.peers`)
 */
export const startSipServer = async (workers: number, users: number, peer: boolean): Promise<SipServerProcess> => {
  const password = randomIdent(24)
  const port = await freePort()
  const { pid, stop } = await startServer((dataDir) => ({
    data_dir: dataDir,
    workers,
    max_connections: Math.max(CONNECTIONS_MIN, 2 * users),
    listen: [{ url: `sip://${HOST}:${port}` }],
    domains: [DOMAIN],
    ...(peer && { sip: { peers: [HOST] } }),
    auth: { users: Array.from({ length: users }, (_, index) => ({ username: userName(index), password })) },
    admin: { listen: `${HOST}:0` },
    log: { level: 'warn' },
  }))
  return { target: { host: HOST, port, pid, domain: DOMAIN, password }, stop }
}
