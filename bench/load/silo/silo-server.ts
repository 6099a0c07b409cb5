import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { randomIdent } from '../sequence.ts'
import { startServer } from '../server-process.ts'
import type { SipTarget } from '../sip/options.ts'
import { freePort } from '../sip/sip-server.ts'
import { awayName, readerName, type SiloLoadOptions, warmupRounds } from './options.ts'

export interface SiloServerProcess {
  readonly target: SipTarget
  stop(): Promise<void>
}

const HOST = '127.0.0.1'
export const DOMAIN = 'bench.test'

/**
 * Starts the server on a folder of data that is there already. The generator is a peer, whose requests need no
 * credentials: what digests cost is measured elsewhere.
 */
export const startSiloServer = async (
  dataDir: string,
  workers: number,
  { users, readers, rounds, warmup }: Pick<SiloLoadOptions, 'users' | 'readers' | 'rounds' | 'warmup'>,
): Promise<SiloServerProcess> => {
  const password = randomIdent(24)
  const port = await freePort()
  const names = [
    ...Array.from({ length: users }, (_, index) => awayName(index)),
    ...Array.from({ length: readers * (warmupRounds({ warmup }) + rounds) }, (_, index) => readerName('dump', index)),
    ...Array.from({ length: readers }, (_, index) => readerName('reminders', index)),
  ]
  const usersFile = join(dataDir, 'users.jsonl')
  const lines = names.map((username) => `${JSON.stringify({ username, password })}\n`)
  await writeFile(usersFile, lines.join(''), { mode: 0o600 })
  const { pid, stop } = await startServer(() => ({
    data_dir: dataDir,
    workers,
    listen: [{ url: `sip://${HOST}:${port}` }],
    domains: [DOMAIN],
    auth: { users_file: usersFile },
    sip: { peers: [HOST] },
    silo: {
      add_date: 0,
      reminder: `sip:reminder@${DOMAIN}`,
      send_time: 1,
      snd_time_avp: '$hdr(X-Send-At)',
      date_zone: 'utc',
    },
    admin: { listen: `${HOST}:0` },
    log: { level: 'warn' },
  }))
  return { target: { host: HOST, port, pid, domain: DOMAIN, password }, stop }
}
