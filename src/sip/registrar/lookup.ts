import { type Binding, lifelineOf } from '../../store/location-store.ts'

/** One device to send a request to. */
export interface Target {
  readonly binding: Binding
  /** Other contacts of the same instance, to be tried one after the other when the flow has failed (S-70). */
  readonly fallbacks: readonly Binding[]
}

/**
 * Whether a request can be sent to the binding at all: not when its connection has closed, or was one of an earlier run
 * of this process (S-71).
 */
export function isReachable(binding: Binding, epoch: string): boolean {
  const lifeline = lifelineOf(binding)
  return lifeline === null || (!binding.unreachable && lifeline.epoch === epoch)
}

const none: readonly never[] = []

/**
 * Where to send a request for an AoR with these bindings: groups of equal q, highest first, to be tried one after the
 * other; the targets of a group, latest registered first, all at once (S-51). No target: the user is offline.
 */
export function eligibleContacts(
  bindings: readonly Binding[],
  now: number,
  epoch: string,
): readonly (readonly Target[])[] {
  if (bindings.length === 0) return none
  const [only] = bindings
  if (only !== undefined && bindings.length === 1) {
    // As most users have.
    return only.expiresAt > now && isReachable(only, epoch) ? [[{ binding: only, fallbacks: none }]] : none
  }
  const eligible = bindings.filter((binding) => binding.expiresAt > now && isReachable(binding, epoch))
  const targets = targetsOf(eligible).sort((a, b) => byPreference(a.binding, b.binding))
  const groups: Target[][] = []
  let q = -1
  for (const target of targets) {
    if (target.binding.q !== q) groups.push([])
    q = target.binding.q
    groups.at(-1)?.push(target)
  }
  return groups
}

/** Never two targets of one instance: it would get the same request twice (S-70). */
function targetsOf(bindings: readonly Binding[]): Target[] {
  const targets: Target[] = []
  const instances = new Map<string, Binding[]>()
  for (const binding of bindings) {
    if (binding.instance === null) {
      targets.push({ binding, fallbacks: [] })
      continue
    }
    const same = instances.get(binding.instance)
    if (same === undefined) instances.set(binding.instance, [binding])
    else same.push(binding)
  }
  for (const contacts of instances.values()) {
    const [binding, ...fallbacks] = contacts.sort(byFlow)
    if (binding !== undefined) targets.push({ binding, fallbacks })
  }
  return targets
}

function byPreference(a: Binding, b: Binding): number {
  return b.q - a.q || b.registeredAt - a.registeredAt
}

/** Of one instance: user agents count their flows from 1, the main one. What is no flow comes last, latest first. */
function byFlow(a: Binding, b: Binding): number {
  const order = (a.regId ?? 2 ** 31) - (b.regId ?? 2 ** 31)
  return b.q - a.q || order || b.registeredAt - a.registeredAt
}
