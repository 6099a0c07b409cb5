import type { BindRefusal, Decision, HeaderLines, MsrpActions, MsrpRequest, Routing, Verdict } from './routing.ts'

/** What the relay does when the operator gives no routing: AUTH for us is answered, everything else is relayed. */
export const defaultRouting: Required<Routing> = {
  onMsrpRequest(frame, msrp) {
    // an AUTH with more hops is for a relay further on.
    return frame.method === 'AUTH' && frame.nextHops === 0 ? authorize(frame, msrp) : msrp.relay()
  },
  onMsrpResponse(_frame, msrp) {
    return msrp.relay()
  },
}

/** AUTH for this relay (R-20 … R-26). */
function authorize(frame: MsrpRequest, msrp: MsrpActions): Decision {
  if (!msrp.auth.allowed()) return msrp.reply(403, 'AUTH needs TLS')
  const judged = msrp.auth.verify(frame)
  if (judged instanceof Promise) return judged
  if (judged.outcome === 'malformed') return msrp.reply(400, 'Bad Credentials') // D-6
  if (judged.outcome === 'challenge') {
    return msrp.reply(
      401,
      'Unauthorized',
      judged.challenges.map((challenge) => ['WWW-Authenticate', challenge] as const),
    )
  }
  // Not 401, which says that the password is wrong, nor 403, after which nobody tries again.
  if (judged.outcome === 'unavailable') return msrp.reply(408, 'Credentials Unavailable')
  // R-21 [project]: the bounds of Expires are checked after the credentials.
  const bound = msrp.sessions.bind(frame, judged.username)
  if (!bound.ok) return refuse(msrp, bound.error)
  const { authenticationInfo } = judged
  const proof: HeaderLines = authenticationInfo === null ? [] : [['Authentication-Info', authenticationInfo]]
  const headers: HeaderLines = [
    ['Use-Path', bound.value.usePath],
    ['Expires', String(bound.value.expires)],
  ]
  return msrp.reply(200, 'OK', [...headers, ...proof])
}

function refuse(msrp: MsrpActions, refusal: BindRefusal): Verdict {
  switch (refusal.reason) {
    case 'expires-too-small':
      return msrp.reply(423, 'Interval Out-of-Bounds', [['Min-Expires', String(refusal.bound)]])
    case 'expires-too-large':
      return msrp.reply(423, 'Interval Out-of-Bounds', [['Max-Expires', String(refusal.bound)]])
    case 'too-many-sessions':
      return msrp.reply(403, 'Too Many Sessions')
  }
}
