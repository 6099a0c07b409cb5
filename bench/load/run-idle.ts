import { setTimeout as sleep } from 'node:timers/promises'
import { SilopathError } from '../../src/errors.ts'
import { authenticate } from './authenticate.ts'
import { inBatches } from './batches.ts'
import { Connection } from './connection.ts'
import { Inbox } from './frame-reader.ts'
import { requireOpenFiles } from './limits.ts'
import type { IdleOptions, IdleResult } from './options.ts'
import { residentOctets } from './process-stat.ts'

const mebi = (octets: number): number => Number((octets / 2 ** 20).toFixed(1))

/** Authenticates sessions, a connection each, leaves them alone, and says what the relay's memory has grown by. */
export const runIdle = async ({ target, sessions, settle, soon }: IdleOptions): Promise<IdleResult> => {
  const { pid } = target
  if (pid === null) throw new SilopathError('CONFIG_INVALID', 'whose memory? Remedy: give --pid with --connect')
  requireOpenFiles(sessions)
  const inbox = new Inbox()
  const openSession = async (): Promise<Connection> => {
    const connection = await Connection.open(target, inbox)
    await authenticate(connection, target)
    return connection
  }

  const restingFor = async (seconds: number): Promise<number> => {
    await sleep(seconds * 1000)
    return residentOctets(pid)
  }

  const before = await restingFor(settle)
  const connections = await inBatches(sessions, 'sessions authenticated', openSession)
  const first = await restingFor(soon)
  const after = await restingFor(settle - soon)
  const closed = connections.filter(({ socket }) => socket.readyState !== 'open').length
  for (const { socket } of connections) socket.destroy()
  if (closed > 0) throw new Error(`the relay closed ${closed} of ${sessions} idle connections`)
  return {
    idle: sessions,
    rss_before_mib: mebi(before),
    rss_soon_mib: mebi(first),
    rss_after_mib: mebi(after),
    octets_per_session: Math.round((after - before) / sessions),
    octets_per_session_soon: Math.round((first - before) / sessions),
  }
}
