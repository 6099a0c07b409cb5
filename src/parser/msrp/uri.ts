import { isIPv4, isIPv6, SocketAddress } from 'node:net'

/** An MSRP URI (U-1), its parts as they were written. */
export interface MsrpUri {
  readonly text: string
  readonly scheme: 'msrp' | 'msrps'
  readonly userinfo: string | null
  /** IPv6 without the brackets. */
  readonly host: string
  readonly port: number | null
  readonly sessionId: string | null
  readonly transport: string
  /** What follows the transport, with its semicolons; '' when nothing does. */
  readonly parameters: string
}

const grammar =
  /^(msrps?):\/\/(?:((?:[\w\-.~!$&'()*+,=:]|%[\da-f]{2})*)@)?(?:\[([\da-f:.]+)\]|((?:[\w\-.~!$&'()*+,=]|%[\da-f]{2})+))(?::(\d{1,10}))?(?:\/([\w\-.~+=/]+))?;([a-z\d]+)((?:;[!#-'*+\-.\w^`{|}~]+(?:=[!#-'*+\-.\w^`{|}~]+)?)*)$/i

/** Reads a URI; null when it is none (U-1, U-9). */
export function parseMsrpUri(text: string): MsrpUri | null {
  const match = grammar.exec(text)
  if (match === null) return null
  const [, scheme, userinfo, ipv6, name, digits, sessionId, transport, parameters] = match
  const port = digits === undefined ? null : Number(digits)
  if (port !== null && (port < 1 || port > 65_535)) return null
  if (ipv6 !== undefined && !isIPv6(ipv6)) return null
  return {
    text,
    scheme: scheme!.toLowerCase() as 'msrp' | 'msrps',
    userinfo: userinfo ?? null,
    host: (ipv6 ?? name)!,
    port,
    sessionId: sessionId ?? null,
    transport: transport!,
    parameters: parameters!,
  }
}

/** A host in the one form in which equal hosts are equal text: by value for addresses, without case and escapes (U-4). */
export function canonicalHost(host: string): string {
  if (isIPv6(host)) return `[${new SocketAddress({ address: host, family: 'ipv6' }).address.toLowerCase()}]`
  if (isIPv4(host)) return host
  return host
    .replace(/%([\da-f]{2})/gi, (escaped, hex: string) => {
      const character = String.fromCharCode(Number.parseInt(hex, 16))
      return /[\w\-.~]/.test(character) ? character : escaped
    })
    .toLowerCase()
}

/** Whether two URIs name the same resource (U-4; parameters do not count, U-5). */
export function sameMsrpUri(a: MsrpUri, b: MsrpUri): boolean {
  return (
    a.scheme === b.scheme &&
    a.port === b.port &&
    a.sessionId === b.sessionId &&
    a.transport.toLowerCase() === b.transport.toLowerCase() &&
    canonicalHost(a.host) === canonicalHost(b.host)
  )
}

/** As sameMsrpUri, for texts; null when one of them is no URI. */
export function uriEqual(a: string, b: string): boolean | null {
  const left = parseMsrpUri(a)
  const right = parseMsrpUri(b)
  return left === null || right === null ? null : sameMsrpUri(left, right)
}
