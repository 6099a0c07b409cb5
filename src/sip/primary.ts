import { randomBytes } from 'node:crypto'
import type { Ticker } from '../clock.ts'
import type { Config } from '../config/schema.ts'
import type { ConnectionId } from '../ids.ts'
import type { Logger } from '../log.ts'
import { C } from '../metrics/counters.ts'
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
  register(request: RegisterRequest): Promise<RegisterAnswer>
  /** S-71: to be told of every connection that closes. */
  connectionClosed(connection: ConnectionId): void
  /** Brings the cells of registrations up to date. */
  measure(): void
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
  },
): Promise<SipPrimary> {
  const { clock, log, row, versions, isOpen } = options
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
    register: (request) => location.register(request),
    connectionClosed: (connection) => location.connectionClosed(connection),
    measure: () => {
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
    close: async () => {
      await location.close()
      await store.close()
    },
  }
}
