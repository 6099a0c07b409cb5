import type { SipRequest } from '../../parser/sip/message.ts'
import { isLoop, loopHash } from './branch.ts'
import type { ProxyIdentity } from './identity.ts'
import { type Refusal, refusal } from './refusal.ts'

/**
 * What a request is judged by before it is forwarded, in order (S-40); its syntax has been judged already, by its
 * `problem`, and its sender is authenticated next. Unknown methods and headers are no fault (S-41).
 *
 * @param supported option tags that Proxy-Require may name, in lower case
 * @returns null: it may be forwarded. An OPTIONS that is refused for its Max-Forwards may as well be answered
 */
export function validate(
  request: SipRequest,
  identity: ProxyIdentity,
  supported: ReadonlySet<string> = noTags,
): Refusal | null {
  if (request.uri === null) return refusal(416)
  if (request.maxForwards === 0) return refusal(483)
  // The hash is only worth its while for a request that has been here before.
  const own = request.vias.filter((via) => identity.isSelf(via))
  if (own.length > 0 && isLoop(own, loopHash(request))) return refusal(482)
  const unsupported = request.list('Proxy-Require').filter((tag) => !supported.has(tag.toLowerCase()))
  return unsupported.length === 0 ? null : refusal(420, [['Unsupported', unsupported.join(', ')]])
}

const noTags: ReadonlySet<string> = new Set()
