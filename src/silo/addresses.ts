import { parseSipUri, type SipUri } from '../parser/sip/uri.ts'
import { type NameAddr, parseNameAddr } from '../parser/sip/values.ts'

/** A URI, or a name-addr, as the configuration holds it; null: neither, or of no SIP URI. */
export function parseAddress(text: string): NameAddr | null {
  // Parameters of a URI that stands by itself are the URI's: in a header they would be the header's (S-8).
  const address = parseNameAddr(parseSipUri(text) === null ? text : `<${text}>`)
  return address === null || address.uri === null ? null : address
}

/** The user of a URI as it was written, escapes and all: what can go into another URI. */
export function writtenUser(uri: SipUri): string | null {
  if (uri.user === null) return null
  const [user = ''] = uri.text.slice(uri.text.indexOf(':') + 1, uri.text.indexOf('@')).split(':', 1)
  return user
}

/** The key of an AoR in its two parts. */
export interface Owner {
  /** As a URI writes it. */
  readonly user: string
  /** With its port, where that is not the scheme's own. */
  readonly domain: string
}

const unescaped = /[^\w\-.!~*'()&=+$,;?/]+/g

/** The parts of an AoR (S-60), whose user may hold any character: escaped anew, as a URI of it needs it. */
export function ownerOf(aor: string): Owner {
  const at = aor.lastIndexOf('@')
  const user = aor.slice(aor.indexOf(':') + 1, at).replace(unescaped, encodeURIComponent)
  return { user, domain: aor.slice(at + 1) }
}

/** The URI of an AoR, to be sent. */
export function ownerUri(aor: string): string {
  const { user, domain } = ownerOf(aor)
  return `sip:${user}@${domain}`
}
