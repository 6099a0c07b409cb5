import type { SiloAdmin } from '../admin/silo.ts'
import type { Ticker } from '../clock.ts'
import type { Config } from '../config/schema.ts'
import type { LaneIndex } from '../ids.ts'
import type { Logger } from '../log.ts'
import { C } from '../metrics/counters.ts'
import type { FailedText } from '../msrp/failed-texts.ts'
import { eligibleContacts } from '../sip/registrar/lookup.ts'
import { openLmdbSilo } from '../store/lmdb-silo.ts'
import type { Flow, LocationStore } from '../store/location-store.ts'
import { sourceHash } from '../workers/datagram.ts'
import { type SiloCount, siloCounts } from './counts.ts'
import type { SiloContact } from './delivery.ts'
import { noEvents } from './events.ts'
import { keepRequestOfText } from './failed-text.ts'
import { type Hooks, openHooks } from './hooks.ts'
import { imdnOf } from './imdn.ts'
import type { DeliveryOrder, DeliveryOutcome, KeepAnswer, KeepRequest, OutgoingMessage } from './order.ts'
import { type RegisteredChanges, Silo } from './silo.ts'

/** The way to the lanes, which send what the silo gives out. Nothing of it ever rejects. */
export interface SiloLanes {
  deliver(lane: LaneIndex, order: DeliveryOrder): Promise<DeliveryOutcome>
  send(lane: LaneIndex, message: OutgoingMessage): void
}

export interface SiloPrimaryOptions {
  readonly location: LocationStore
  readonly clock: Ticker
  readonly log: Logger
  /** The primary's row of counters. */
  readonly row: Float64Array
  /** Names this run of the process. */
  readonly epoch: string
  readonly lanes: number
  readonly out: SiloLanes
}

/** The silo's part of the primary thread: its store, its hooks, and the deliveries. */
export interface SiloPrimary {
  /** What operators may ask of it. */
  readonly admin: SiloAdmin
  keep(request: KeepRequest): Promise<KeepAnswer>
  /** @param user whom the session belonged to that the text was for; null: nobody knows */
  keepText(text: FailedText, user: string | null): Promise<boolean>
  /** Once the REGISTER has been stored, and answered. */
  registered(owner: string, changes: RegisteredChanges): void
  /** Brings the cells of gauges up to date. */
  measure(): void
  /** Gives out nothing more; what has been sent has a moment left to be answered. What comes is still kept. */
  settle(): Promise<void>
  close(): Promise<void>
}

/** As of nearly all whose messages are kept. */
const noContacts: readonly SiloContact[] = []

/** @throws SilopathError STORE_UNAVAILABLE */
export async function openSilo(config: Config, options: SiloPrimaryOptions): Promise<SiloPrimary> {
  const { location, clock, log, row, epoch, lanes, out } = options
  const { data_dir: dataDir, silo: section, domains } = config
  const store = await openLmdbSilo({
    dataDir,
    quota: { messages: section.max_messages, octets: section.max_octets, perSender: section.max_per_sender },
    deadMax: section.max_dead_letters,
    onError: (err) => {
      row[C.siloStoreFailures]! += 1
      log.error({ err }, 'the silo could not be written, or read')
    },
  })
  let hooks: Hooks | null = null
  if (section.hooks !== undefined) {
    try {
      const count = (what: string, by: number) => {
        row[C[`siloHooks:${what}` as keyof typeof C]]! += by
      }
      hooks = await openHooks({ dataDir, config: section.hooks, clock, log, count })
    } catch (error) {
      await store.close()
      throw error
    }
  }

  /** The lane that reads what comes back from there. */
  const laneOf = (flow: Flow): LaneIndex =>
    (flow.kind === 'connection' ? flow.lane : sourceHash(flow.address, flow.port) % lanes) as LaneIndex
  const bound = (owner: string) => location.get(owner, clock.now())
  const contacts = (owner: string): readonly SiloContact[] => {
    const now = clock.now()
    const groups = eligibleContacts(location.get(owner, now), now, epoch)
    if (groups.length === 0) return noContacts
    return groups.flatMap((group) =>
      group.map(({ binding: { instance, contact, methods, flow, received } }) => ({
        device: instance ?? '',
        contact,
        flow: flow.kind === 'connection' ? String(flow.connection) : received,
        methods,
      })),
    )
  }
  const deliver = (order: DeliveryOrder): Promise<DeliveryOutcome> => {
    const { target } = order
    if (target.kind !== 'contact') return out.deliver((order.id % lanes) as LaneIndex, order)
    const binding = bound(target.aor).find(({ contact }) => contact === target.contact)
    if (binding === undefined) return Promise.resolve({ kind: 'unreachable' })
    return out.deliver(laneOf(binding.flow), order)
  }
  let nextLane = 0
  const silo = new Silo({
    store,
    config: section,
    clock,
    log,
    deliver,
    originate: (message) => {
      nextLane = (nextLane + 1) % lanes
      out.send(nextLane as LaneIndex, message)
    },
    contacts,
    bound,
    events: hooks ?? noEvents,
    failedImdn: (message, now) => imdnOf(message, 'failed', section, now),
    count: (event, by = 1) => {
      row[C[`silo:${event}`]]! += by
    },
  })
  return {
    admin: {
      store,
      resend: (id) => silo.resend(id),
      expire: () => silo.expire(),
      statistics: () =>
        Object.fromEntries(Object.keys(siloCounts).map((name) => [name, row[C[`silo:${name as SiloCount}`]]!])),
    },
    keep: (request) => silo.keep(request),
    keepText: async (text, user) => {
      if (user === null || text.body.length > section.max_body_size) return false
      const context = { user, domain: domains[0]!.toLowerCase(), now: clock.now(), expireTime: section.expire_time }
      return (await silo.keep(keepRequestOfText(text, context))).kept
    },
    registered: (owner, changes) => silo.registered(owner, changes),
    measure: () => {
      const { messages, octets, dead } = store.counts()
      const { sending, waiting, resting } = silo.depth()
      row[C['siloMessages:waiting']] = messages
      row[C['siloMessages:dead']] = dead
      row[C.siloOctets] = octets
      row[C['siloDeliveries:sending']] = sending
      row[C['siloDeliveries:waiting']] = waiting
      row[C['siloDeliveries:resting']] = resting
      row[C.siloHooksWaiting] = hooks?.depth() ?? 0
    },
    settle: () => silo.settle(),
    close: async () => {
      await silo.close()
      await hooks?.close()
      await store.close()
    },
  }
}
