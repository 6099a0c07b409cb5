import { SilopathError } from '../../src/errors.ts'
import type { Target } from './options.ts'
import { randomIdent } from './sequence.ts'
import { startServer } from './server-process.ts'

const USER = 'load'

/** How large the relay has to be for a run. */
export interface Sizing {
  readonly workers: number
  readonly connections: number
  readonly sessions: number
  /** Forwarded chunks whose response is awaited, at most. */
  readonly transactions: number
}

export interface RelayProcess {
  readonly target: Target
  /** Ends the process and removes its files. */
  stop(): Promise<void>
}

// Head room over what the run needs, within what the config allows (docs/config.md) and never under its defaults.
const tableSize = (needed: number): number => Math.min(1_048_576, Math.max(65_536, 2 * needed))

const configOf = (sizing: Sizing, dataDir: string, password: string): object => ({
  data_dir: dataDir,
  workers: sizing.workers,
  max_connections: tableSize(sizing.connections),
  listen: [{ url: 'msrp://127.0.0.1:0' }],
  auth: { users: [{ username: USER, password }] },
  msrp: {
    allow_plaintext_auth: true,
    max_sessions: tableSize(sizing.sessions),
    max_transactions: tableSize(sizing.transactions),
  },
  admin: { listen: '127.0.0.1:0' },
  log: { level: 'warn' },
})

/** Starts a relay as a process of its own on loopback ports of its own, and waits until it accepts. */
export const startRelay = async (sizing: Sizing): Promise<RelayProcess> => {
  const password = randomIdent(24)
  const { pid, ready, stop } = await startServer((dataDir) => configOf(sizing, dataDir, password))
  const [, host, port] = /\bmsrp:\/\/([^\s:]+):(\d+)/.exec(ready) ?? []
  if (host !== undefined && port !== undefined) {
    return { target: { host, port: Number(port), pid, user: USER, password }, stop }
  }
  await stop()
  throw new SilopathError('LISTEN_FAILED', `no MSRP listener in "${ready}". Remedy: none; this is a defect.`)
}
