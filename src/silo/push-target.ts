import { parseSipUri } from '../parser/sip/uri.ts'

/** How to wake a device (RFC 8599 section 14): what its contact told, unescaped. */
export interface PushTarget {
  /** `pn-provider`: `apns`, `fcm`, `webpush`, or another service. */
  readonly provider: string
  /** `pn-prid`: names the device at the service. Whoever has it can wake the device. */
  readonly prid: string
  /** `pn-param`: what the service needs besides, such as the topic of APNs. */
  readonly param: string | null
}

/** Null: the contact asks for no push, which takes both a provider and a PRID. */
export function pushTargetOf(contactUri: string): PushTarget | null {
  const params = parseSipUri(contactUri)?.params
  const provider = params?.get('pn-provider')
  const prid = params?.get('pn-prid')
  if (!params || !provider || !prid) return null
  return { provider, prid, param: params.get('pn-param') ?? null }
}
