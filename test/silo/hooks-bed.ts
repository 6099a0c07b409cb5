import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished } from 'vitest'
import type { SiloEvent } from '../../src/silo/events.ts'
import { type HookCount, type HooksOptions, openHooks } from '../../src/silo/hooks.ts'
import { type Asked, keptLog } from '../auth/http-server.ts'
import { FakeTicker } from '../support/fake-ticker.ts'

export const secret = 'hunter2-hunter2-hunter2'

export async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'silopath-hooks-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  return folder
}

/** Looks often: each look is cheap, and most of these tests look. */
export function eventually<T>(probe: () => T) {
  return expect.poll(probe, { timeout: 5_000, interval: 2 })
}

/** The nth message that was stored. */
export function stored(n: number, more: Partial<SiloEvent> = {}): SiloEvent {
  return { type: 'message.stored', time: 1_000 + n, owner: 'sip:bob@example.org', id: n, ...more }
}

/** A clock that remembers what it was asked for. */
class KeptTicker extends FakeTicker {
  readonly periods: number[] = []

  override every(milliseconds: number, tick: () => void): () => void {
    this.periods.push(milliseconds)
    return super.every(milliseconds, tick)
  }
}

export interface BedOptions extends Partial<HooksOptions['config']> {
  readonly url: string
  readonly dataDir?: string
}

/** Hooks whose time passes only when told to, closed with the test. */
export async function openBed({ dataDir, ...config }: BedOptions) {
  const folder = dataDir ?? (await temporaryFolder())
  const clock = new KeptTicker()
  const { log, lines } = keptLog()
  const counts: Record<HookCount, number> = { posted: 0, refused: 0, dropped: 0, failed: 0, opened: 0 }
  let waiting: { readonly isOver: () => boolean; readonly resolve: () => void }[] = []
  const look = () => {
    waiting = waiting.filter(({ isOver, resolve }) => {
      if (!isOver()) return true
      resolve()
      return false
    })
  }
  const hooks = await openHooks({
    dataDir: folder,
    config: {
      secret,
      events: ['message.stored', 'message.delivered', 'message.failed', 'message.expired', 'user.registered'],
      batch_max: 100,
      batch_wait: 0,
      timeout: 5,
      queue_max: 1_000,
      ...config,
    },
    clock,
    log,
    count(what, by) {
      counts[what] += by
      // What follows in the same turn belongs to it.
      queueMicrotask(look)
    },
  })
  let closed: Promise<void> | undefined
  const close = () => (closed ??= hooks.close())
  onTestFinished(close)
  /** Resolves when so much has been counted. */
  const counted = (what: HookCount, number: number) =>
    new Promise<void>((resolve) => {
      waiting.push({ isOver: () => counts[what] >= number, resolve })
      look()
    })
  return { hooks, clock, lines, counts, counted, close, dataDir: folder }
}

interface Told extends SiloEvent {
  readonly event_id: string
}

/** The events of a post. */
export function eventsOf({ body }: Asked): readonly Told[] {
  return (JSON.parse(body) as { readonly events: readonly Told[] }).events
}

/** The numbers of messages in each post. */
export function idsOf(asked: readonly Asked[]): (number | undefined)[][] {
  return asked.map((post) => eventsOf(post).map(({ id }) => id))
}
