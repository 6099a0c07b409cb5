import type { Result } from '../../src/errors.ts'
import type { ConnectionId } from '../../src/ids.ts'
import {
  type Binding,
  type Change,
  type LocationFailure,
  type LocationStore,
  lifelineOf,
} from '../../src/store/location-store.ts'

/** The plainest store that conforms: for tests that need one and have no disk in their story. */
export class MemoryLocation implements LocationStore {
  /** What the next changes fail with, as they do on a full disk. */
  failing = false
  readonly #rows = new Map<string, readonly Binding[]>()
  readonly #maxBindings: number
  #turn: Promise<unknown> = Promise.resolve()

  constructor(maxBindings = 100_000) {
    this.#maxBindings = maxBindings
  }

  get(aor: string, now: number): readonly Binding[] {
    return (this.#rows.get(aor) ?? []).filter(({ expiresAt }) => expiresAt > now)
  }

  change<Value>(
    aor: string,
    decide: (current: readonly Binding[]) => Change<Value>,
  ): Promise<Result<Value, LocationFailure>> {
    const changed = this.#turn.then((): Result<Value, LocationFailure> => {
      const current = this.#rows.get(aor) ?? []
      const { bindings, value } = decide(current)
      if (bindings === null) return { ok: true, value }
      const grown = bindings.length - current.length
      if (grown > 0 && this.count() + grown > this.#maxBindings) return { ok: false, error: 'full' }
      if (this.failing) return { ok: false, error: 'unavailable' }
      if (bindings.length === 0) this.#rows.delete(aor)
      else this.#rows.set(aor, bindings)
      return { ok: true, value }
    })
    this.#turn = changed.catch(() => {})
    return changed
  }

  async sweep(now: number, max: number): Promise<ReadonlyMap<string, number>> {
    const isDue = (bindings: readonly Binding[]) => bindings.some(({ expiresAt }) => expiresAt <= now)
    const due = [...this.#rows].filter(([, bindings]) => isDue(bindings)).slice(0, max)
    const lost = new Map<string, number>()
    for (const [aor] of due) {
      const swept = await this.change(aor, (current) => {
        const bindings = current.filter(({ expiresAt }) => expiresAt > now)
        return { bindings, value: current.length - bindings.length }
      })
      if (swept.ok) lost.set(aor, swept.value)
    }
    return lost
  }

  async markUnreachable(connection: ConnectionId, epoch: string): Promise<Result<number, LocationFailure>> {
    let marked = 0
    for (const aor of [...this.#rows.keys()]) {
      const outcome = await this.change(aor, (current) => {
        const isCut = (binding: Binding) => {
          const lifeline = lifelineOf(binding)
          return !binding.unreachable && lifeline?.connection === connection && lifeline.epoch === epoch
        }
        const cut = current.filter(isCut).length
        const bindings = current.map((binding) => (isCut(binding) ? { ...binding, unreachable: true } : binding))
        return { bindings: cut === 0 ? null : bindings, value: cut }
      })
      if (!outcome.ok) return outcome
      marked += outcome.value
    }
    return { ok: true, value: marked }
  }

  count(): number {
    return [...this.#rows.values()].reduce((sum, bindings) => sum + bindings.length, 0)
  }

  list({ limit, after, now }: { limit: number; after: string | null; now: number }): readonly Binding[] {
    return [...this.#rows.keys()]
      .sort()
      .filter((aor) => (after === null || aor > after) && this.get(aor, now).length > 0)
      .slice(0, limit)
      .flatMap((aor) => this.get(aor, now))
  }

  async close(): Promise<void> {
    await this.#turn
  }
}
