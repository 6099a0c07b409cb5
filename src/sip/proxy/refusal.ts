/** A final response of our own to a request that is not forwarded. */
export interface Refusal {
  readonly status: number
  readonly reason: string
  readonly headers: readonly (readonly [name: string, value: string])[]
}

const reasons = {
  200: 'OK',
  403: 'Forbidden',
  408: 'Request Timeout',
  416: 'Unsupported URI Scheme',
  420: 'Bad Extension',
  430: 'Flow Failed',
  480: 'Temporarily Unavailable',
  481: 'Call/Transaction Does Not Exist',
  482: 'Loop Detected',
  483: 'Too Many Hops',
  487: 'Request Terminated',
  500: 'Server Internal Error',
  503: 'Service Unavailable',
  513: 'Message Too Large',
} as const

/** What the proxy says of its own accord (S-93). */
export type LocalStatus = keyof typeof reasons

export function reasonOf(status: LocalStatus): string {
  return reasons[status]
}

export function refusal(status: LocalStatus, headers: Refusal['headers'] = []): Refusal {
  return { status, reason: reasons[status], headers }
}
