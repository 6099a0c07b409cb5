import type { Result } from '../../errors.ts'
import { parseSipUri, sipUriEqual } from '../../parser/sip/uri.ts'
import { type Binding, bindingVersion } from '../../store/location-store.ts'
import { isReachable } from './lookup.ts'
import { type RegisterRefusal, refusal } from './refusal.ts'
import type { RegisterContact, RegisterRequest } from './register-request.ts'

export interface RegisterOptions {
  /** Seconds. Less is answered 423 (S-62). */
  readonly minExpires: number
  /** Seconds. What asks for more gets this much. */
  readonly maxExpires: number
  /** Seconds, for who asks for nothing in particular. */
  readonly defaultExpires: number
  /** Bound on the bindings of one AoR. */
  readonly maxContacts: number
  /** Names this run of the process, see `ConnectionFlow`. */
  readonly epoch: string
}

/** How many bindings of the AoR a REGISTER has … */
export interface BindingChanges {
  readonly added: number
  readonly refreshed: number
  readonly removed: number
  /** … removed to make room: unreachable ones, when there were too many. */
  readonly displaced: number
  /** … found expired, and removed with the change. */
  readonly expired: number
}

export interface Registered {
  /** Every binding of the AoR that is live now (S-64). */
  readonly bindings: readonly Binding[]
  /** False: there is nothing to store. */
  readonly changed: boolean
  readonly changes: BindingChanges
  /** Flows have been registered, which the answer has to say: Require with `outbound` (S-69). */
  readonly outbound: boolean
}

/** Least expiry that may not be refused, however little it is for the registrar: an hour (S-62). */
const refusableSeconds = 3_600
const nothing: BindingChanges = { added: 0, refreshed: 0, removed: 0, displaced: 0, expired: 0 }

/**
 * What a REGISTER makes of the bindings of its AoR. Pure: it changes all or nothing (S-64). `now` in milliseconds.
 */
export function register(
  current: readonly Binding[],
  request: RegisterRequest,
  options: RegisterOptions,
  now: number,
): Result<Registered, RegisterRefusal> {
  const live = current.filter((binding) => binding.expiresAt > now)
  const expired = current.length - live.length
  if (request.contacts === '*') return removeAll(live, expired, request)
  // S-65
  if (request.contacts.length === 0) {
    return { ok: true, value: { bindings: live, changed: false, changes: nothing, outbound: false } }
  }
  // As many as one could remove, and as many to add in their place.
  if (request.contacts.length > 2 * options.maxContacts) return refusal('too-many-contacts')

  const flows = request.contacts.filter((contact) => contact.instance !== null && contact.regId !== null)
  const kept = request.contacts.filter((contact) => contact.expires !== 0)
  if (kept.length > 1 && kept.some((contact) => flows.includes(contact))) return refusal('several-flows')
  // S-69: flows are kept by the first hop; who is not, and has not been told that it is one which does, cannot.
  const flowsKept = request.firstHop || request.pathKeepsFlows
  if (flows.length > 0 && !flowsKept && request.supportsOutbound) return refusal('lacks-outbound')

  let bindings = live
  let added = 0
  let refreshed = 0
  let removed = 0
  for (const contact of request.contacts) {
    const isFlow = flowsKept && flows.includes(contact)
    const seconds = secondsFor(contact, options)
    if (seconds === null) return refusal('interval-too-brief')
    const matches = matcherOf(contact, isFlow)
    // S-63: only what was there before can be newer; of one contact given twice, the last counts.
    if (live.some((binding) => matches(binding) && isAsNew(binding, request))) return refusal('out-of-order')
    const others = bindings.filter((binding) => !matches(binding))
    const replaced = bindings.length - others.length
    if (seconds === 0) removed += replaced
    else if (replaced === 0) added += 1
    else {
      refreshed += 1
      removed += replaced - 1
    }
    bindings = seconds === 0 ? others : [...others, bindingOf(contact, isFlow, request, now, seconds)]
  }

  // An AoR that has more than it may, because it was allowed more before, may still refresh them.
  const excess = Math.max(0, bindings.length - Math.max(options.maxContacts, live.length))
  const displaced = leastUseful(bindings, excess, options.epoch)
  if (displaced.length < excess) return refusal('too-many-contacts')
  if (displaced.length > 0) bindings = bindings.filter((binding) => !displaced.includes(binding))
  const changed = added + refreshed + removed > 0
  return {
    ok: true,
    value: {
      bindings,
      changed,
      changes: changed ? { added, refreshed, removed, displaced: displaced.length, expired } : nothing,
      outbound: flowsKept && request.supportsOutbound && kept.some((contact) => flows.includes(contact)),
    },
  }
}

/** Values of the Contact headers that list the bindings, with what is left of their time (S-64, S-67). */
export function contactHeaderValues(bindings: readonly Binding[], now: number): string[] {
  return bindings.map(({ contact, params, expiresAt }) =>
    [`<${contact}>`, ...params, `expires=${Math.ceil((expiresAt - now) / 1_000)}`].join(';'),
  )
}

/** S-61 */
function removeAll(
  live: readonly Binding[],
  expired: number,
  request: RegisterRequest,
): Result<Registered, RegisterRefusal> {
  if (request.expires !== 0) return refusal('bad-wildcard')
  if (live.some((binding) => isAsNew(binding, request))) return refusal('out-of-order')
  const changed = live.length > 0
  const changes = changed ? { ...nothing, removed: live.length, expired } : nothing
  return { ok: true, value: { bindings: [], changed, changes, outbound: false } }
}

/** Whether the binding is from this REGISTER or a later one of the same user agent (S-61, S-63). */
function isAsNew(binding: Binding, request: RegisterRequest): boolean {
  return binding.callId === request.callId && binding.cseq >= request.cseq
}

/** How long the contact may stay; null: it asks for less than may be asked for (S-62). */
function secondsFor({ expires }: RegisterContact, options: RegisterOptions): number | null {
  if (expires === 0) return 0
  if (expires === null) return Math.min(options.defaultExpires, options.maxExpires)
  if (expires < options.minExpires && expires < refusableSeconds) return null
  return Math.min(expires, options.maxExpires)
}

/** Which bindings a contact stands for: its flow's (S-69), or all with its URI (S-63). */
function matcherOf(contact: RegisterContact, isFlow: boolean): (binding: Binding) => boolean {
  if (isFlow) return ({ instance, regId }) => instance === contact.instance && regId === contact.regId
  const uri = parseSipUri(contact.uri)
  return (binding) => {
    if (binding.contact === contact.uri) return true
    const bound = parseSipUri(binding.contact)
    return uri !== null && bound !== null && sipUriEqual(uri, bound)
  }
}

function bindingOf(
  contact: RegisterContact,
  isFlow: boolean,
  request: RegisterRequest,
  now: number,
  seconds: number,
): Binding {
  return {
    version: bindingVersion,
    aor: request.aor,
    contact: contact.uri,
    params: contact.params,
    q: contact.q,
    callId: request.callId,
    cseq: request.cseq,
    expiresAt: now + seconds * 1_000,
    path: request.path,
    instance: contact.instance,
    regId: isFlow ? contact.regId : null,
    flow: request.source.flow,
    unreachable: false,
    received: request.source.received,
    userAgent: request.userAgent,
    methods: contact.methods,
    registeredAt: now,
  }
}

/**
 * At most so many unreachable bindings, the oldest first. They can only be of use again by being registered again: a
 * browser that has loaded its page anew comes with a new contact each time, and must not lock itself out.
 */
function leastUseful(bindings: readonly Binding[], count: number, epoch: string): readonly Binding[] {
  if (count === 0) return []
  return bindings
    .filter((binding) => !isReachable(binding, epoch))
    .sort((a, b) => a.registeredAt - b.registeredAt)
    .slice(0, count)
}
