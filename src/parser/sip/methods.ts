/** The methods that IANA lists, by SIP_M_* of kernel/sip-record.ts. */
const methods = [
  '',
  'ACK',
  'BYE',
  'CANCEL',
  'INFO',
  'INVITE',
  'MESSAGE',
  'NOTIFY',
  'OPTIONS',
  'PRACK',
  'PUBLISH',
  'REFER',
  'REGISTER',
  'SUBSCRIBE',
  'UPDATE',
] as const

const names: ReadonlySet<string> = new Set(methods.slice(1))

/** The method with an id other than SIP_M_OTHER: as a text that Maps know already, and that keeps no message. */
export function methodOf(id: number): string {
  return methods[id]!
}

/** Whether it is one of those that IANA lists: with another one a CSeq that does not match is 501 (S-7). */
export function isKnownMethod(method: string): boolean {
  return names.has(method)
}

/** The method as such a text. */
export function sameMethod(method: string): string {
  for (const known of methods) if (known === method) return known
  return method
}
