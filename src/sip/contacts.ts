import { parseNameAddr } from '../parser/sip/values.ts'
import type { Binding, LocationReader } from '../store/location-store.ts'
import type { Hops } from './hops.ts'
import { isSecureTransport } from './identity.ts'
import type { Target } from './proxy/target.ts'
import { eligibleContacts } from './registrar/lookup.ts'

export interface ContactsOptions {
  readonly location: LocationReader
  readonly hops: Hops
  /** Names this run of the process. */
  readonly epoch: string
  readonly now: () => number
}

/** A contact to send to, and the target it makes. */
export interface ContactTarget extends Target {
  readonly binding: Binding
}

/** Where the users of ours can be reached, as a lane sees it. */
export class Contacts {
  readonly #options: ContactsOptions

  constructor(options: ContactsOptions) {
    this.#options = options
  }

  /**
   * Targets by preference (S-51); a contact that has said that it does not take the method is none.
   * @param secure only those that are reached over TLS (S-72)
   */
  of(aor: string, method: string, secure = false): readonly (readonly ContactTarget[])[] {
    const { location, hops, epoch, now } = this.#options
    const at = now()
    const bindings = location
      .get(aor, at)
      .filter((binding) => (binding.methods?.includes(method) ?? true) && (!secure || isSecure(binding, hops)))
    return eligibleContacts(bindings, at, epoch).map((group) =>
      group.map(({ binding, fallbacks }) => {
        const target = this.#target(binding)
        return fallbacks.length === 0 ? target : { ...target, fallbacks: fallbacks.map((other) => this.#target(other)) }
      }),
    )
  }

  #target(binding: Binding): ContactTarget {
    const { contact: requestUri, path: route } = binding
    if (route.length > 0) return { binding, requestUri, route, destination: { kind: 'locate' } }
    return { binding, requestUri, route, destination: { kind: 'flow', channel: this.#options.hops.along(binding) } }
  }
}

/** Whether what is sent to a contact goes over TLS from here (S-72): along its flow, or to the first URI of its Path. */
export function isSecure(binding: Binding, hops: Hops): boolean {
  const [first] = binding.path
  if (first !== undefined) return parseNameAddr(first)?.uri?.scheme === 'sips'
  const way = hops.along(binding)
  return way !== null && isSecureTransport(way.transport)
}
