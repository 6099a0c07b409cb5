import { randomBytes } from 'node:crypto'
import type { Ticker } from '../clock.ts'
import type { Config } from '../config/schema.ts'
import type { ConnectionId } from '../ids.ts'
import type { Logger } from '../log.ts'
import { C } from '../metrics/counters.ts'
import { openSilo, type SiloLanes, type SiloPrimary } from '../silo/primary.ts'
import { openLmdbLocation } from '../store/lmdb-location.ts'
import type { LocationReader, LocationVersions } from '../store/location-store.ts'
import { openSecretKey } from '../store/secret-key.ts'
import type { SipSetup } from '../workers/lane-sip.ts'
import type { SipListener } from './identity.ts'
import { Location, type RegisterAnswer } from './registrar/location.ts'
import type { RegisterRequest } from './registrar/register-request.ts'

/** SIP's part of the primary thread: the location service, and what lanes are made from. */
export interface SipPrimary {
  readonly setup: SipSetup
  /** For a lane in this thread; others open one of their own. */
  readonly location: LocationReader
  /** Null: there is none. */
  readonly silo: SiloPrimary | null
  register(request: RegisterRequest): Promise<RegisterAnswer>
  /** S-71: to be told of every connection that closes. */
  connectionClosed(connection: ConnectionId): void
  /** Brings the cells of registrations up to date. */
  measure(): void
  /** Begins nothing of its own any more, and waits a moment for answers; resolves when connections may be closed. */
  settle(): Promise<void>
  close(): Promise<void>
}

/** @throws SilopathError STORE_UNAVAILABLE */
export async function openSip(
  config: Config,
  listeners: readonly SipListener[],
  options: {
    readonly clock: Ticker
    readonly log: Logger
    /** The primary's row of counters. */
    readonly row: Float64Array
    readonly versions: LocationVersions
    readonly isOpen: (connection: ConnectionId) => boolean
    readonly lanes: number
    /** The way to the lanes, for the silo. */
    readonly out: SiloLanes
  },
): Promise<SipPrimary> {
  const { clock, log, row, versions, isOpen, lanes, out } = options
  const { registrar, data_dir } = config
  const routeKey = await openSecretKey(data_dir)
  const epoch = randomBytes(6).toString('base64url')
  const store = await openLmdbLocation({
    dataDir: data_dir,
    maxBindings: registrar.max_bindings,
    versions,
    onError: (err) => {
      row[C.storeWriteFailures]! += 1
      log.error({ err }, 'registrations could not be stored')
    },
  })
  let silo: SiloPrimary | null = null
  try {
    if (config.silo.enabled) silo = await openSilo(config, { location: store, clock, log, row, epoch, lanes, out })
  } catch (error) {
    await store.close()
    throw error
  }
  const location = new Location(
    store,
    {
      minExpires: registrar.min_expires,
      maxExpires: registrar.max_expires,
      defaultExpires: registrar.default_expires,
      maxContacts: registrar.max_contacts,
      epoch,
      isOpen,
    },
    clock,
  )
  return {
    setup: { listeners, routeKey, epoch },
    location: store,
    silo,
    register: async (request) => {
      const answer = await location.register(request)
      const { changes } = answer
      // SILO-20: behind the answer, which leaves in this turn.
      if (silo !== null && changes !== null) setImmediate(() => silo.registered(request.aor, changes))
      return answer
    },
    connectionClosed: (connection) => location.connectionClosed(connection),
    measure: () => {
      silo?.measure()
      const counts = location.counts()
      row[C.sipBindings] = location.registrations()
      for (const event of [
        'added',
        'refreshed',
        'removed',
        'displaced',
        'expired',
        'unreachable',
        'fetched',
      ] as const) {
        row[C[`sipRegistrations:${event}`]] = counts[event]
      }
      row[C['sipRegistrations:refused']] = Object.values(counts.refused).reduce((sum, count) => sum + count, 0)
    },
    settle: async () => {
      await silo?.settle()
    },
    close: async () => {
      await silo?.close()
      await location.close()
      await store.close()
    },
  }
}
