import type { SipRequest } from '../parser/sip/message.ts'

/** What became of a MESSAGE that was to be kept. */
export type Kept = { readonly kept: true } | { readonly kept: false; readonly status: number; readonly reason: string }

/** Where a MESSAGE goes whose reader is away (S-43, SILO-1). */
export interface SiloDoor {
  /** False: nothing is kept here, and nobody need be asked. */
  readonly open: boolean
  /** Keeps a MESSAGE for an AoR. Resolves when it is safe: only then may it be answered 202 (S-81). */
  keep(request: SipRequest, aor: string): Promise<Kept>
  /** The AoR has contacts again. */
  registered(aor: string): void
}

/** A server without a silo: who is away is not available (480). */
export const closedDoor: SiloDoor = {
  open: false,
  keep: async () => ({ kept: false, status: 480, reason: 'Temporarily Unavailable' }),
  registered: () => {},
}
