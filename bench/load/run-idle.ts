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

/** So many come and go before the second base is taken: it has in it what code takes once, when it first runs. */
const FIRST_SESSIONS = 200

/** Authenticates sessions, a connection each, leaves them alone, and says what the relay's memory has grown by. */
export const runIdle = async ({ target, sessions, settle }: IdleOptions): Promise<IdleResult> => {
  const { pid } = target
  if (pid === null) throw new SilopathError('CONFIG_INVALID', 'whose memory? Remedy: give --pid with --connect')
  requireOpenFiles(sessions)
  const inbox = new Inbox()
  const openSession = async (): Promise<Connection> => {
    const connection = await Connection.open(target, inbox)
    await authenticate(connection, target)
    return connection
  }

  const settled = async (): Promise<number> => {
    await sleep(settle * 1000)
    return residentOctets(pid)
  }

  const fresh = await settled()
  for (const { socket } of await inBatches(FIRST_SESSIONS, 'sessions that come and go', openSession)) socket.destroy()
  const before = await settled()
  const connections = await inBatches(sessions, 'sessions authenticated', openSession)
  const after = await settled()
  const closed = connections.filter(({ socket }) => socket.readyState !== 'open').length
  for (const { socket } of connections) socket.destroy()
  if (closed > 0) throw new Error(`the relay closed ${closed} of ${sessions} idle connections`)
  return {
    idle: sessions,
    rss_fresh_mib: mebi(fresh),
    rss_before_mib: mebi(before),
    rss_after_mib: mebi(after),
    octets_per_session: Math.round((after - fresh) / sessions),
    octets_per_session_warm: Math.round((after - before) / sessions),
  }
}
