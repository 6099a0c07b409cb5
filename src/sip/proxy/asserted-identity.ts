import type { HeaderName, SipRequest } from '../../parser/sip/message.ts'
import type { SipChannel } from '../transactions/channel.ts'
import type { HopOpener } from './target.ts'

const none: readonly HeaderName[] = []

/**
 * The headers by which a sender's name must not go on from here (S-55, RFC 3325): what somebody says who is not trusted
 * to, and what the sender wants those only to know who are trusted.
 *
 * @param incoming null: the request is one of our own
 */
export function untoldIdentities(
  request: SipRequest,
  incoming: SipChannel | null,
  outgoing: SipChannel,
  hops: Pick<HopOpener, 'isTrusted'>,
): readonly HeaderName[] {
  const preferred = request.header('P-Preferred-Identity') !== null
  const asserted = request.header('P-Asserted-Identity') !== null
  if (!preferred && !asserted) return none
  const untold: HeaderName[] = preferred ? ['P-Preferred-Identity'] : []
  if (asserted) {
    const believed = incoming === null || hops.isTrusted(incoming)
    if (!believed || (wantsPrivacy(request) && !hops.isTrusted(outgoing))) untold.push('P-Asserted-Identity')
  }
  return untold
}

/** RFC 3323 separates with semicolons; commas come where headers were joined. */
function wantsPrivacy(request: SipRequest): boolean {
  return request.headers('Privacy').some((values) => values.split(/[;,]/).some((value) => /^\s*id\s*$/i.test(value)))
}
