import {
  SIP_H_ACCEPT_CONTACT,
  SIP_H_ALLOW_EVENTS,
  SIP_H_AUTHORIZATION,
  SIP_H_CALL_ID,
  SIP_H_CONTACT,
  SIP_H_CONTENT_ENCODING,
  SIP_H_CONTENT_LENGTH,
  SIP_H_CONTENT_TYPE,
  SIP_H_CSEQ,
  SIP_H_EVENT,
  SIP_H_EXPIRES,
  SIP_H_FROM,
  SIP_H_IDENTITY,
  SIP_H_MAX_FORWARDS,
  SIP_H_OTHER,
  SIP_H_PATH,
  SIP_H_PROXY_AUTHORIZATION,
  SIP_H_PROXY_REQUIRE,
  SIP_H_RECORD_ROUTE,
  SIP_H_REFER_TO,
  SIP_H_REFERRED_BY,
  SIP_H_REJECT_CONTACT,
  SIP_H_REQUEST_DISPOSITION,
  SIP_H_REQUIRE,
  SIP_H_ROUTE,
  SIP_H_SESSION_EXPIRES,
  SIP_H_SUBJECT,
  SIP_H_SUPPORTED,
  SIP_H_TO,
  SIP_H_VIA,
} from '../kernel/sip-record.ts'

/** The headers that the kernel tells apart, by full name; any other header is found by its name. */
const ids = {
  Via: SIP_H_VIA,
  From: SIP_H_FROM,
  To: SIP_H_TO,
  'Call-ID': SIP_H_CALL_ID,
  CSeq: SIP_H_CSEQ,
  'Max-Forwards': SIP_H_MAX_FORWARDS,
  'Content-Length': SIP_H_CONTENT_LENGTH,
  Contact: SIP_H_CONTACT,
  Route: SIP_H_ROUTE,
  'Record-Route': SIP_H_RECORD_ROUTE,
  Path: SIP_H_PATH,
  Expires: SIP_H_EXPIRES,
  'Content-Type': SIP_H_CONTENT_TYPE,
  'Content-Encoding': SIP_H_CONTENT_ENCODING,
  Supported: SIP_H_SUPPORTED,
  Require: SIP_H_REQUIRE,
  'Proxy-Require': SIP_H_PROXY_REQUIRE,
  Authorization: SIP_H_AUTHORIZATION,
  'Proxy-Authorization': SIP_H_PROXY_AUTHORIZATION,
  Subject: SIP_H_SUBJECT,
  Event: SIP_H_EVENT,
  'Refer-To': SIP_H_REFER_TO,
  'Referred-By': SIP_H_REFERRED_BY,
  'Allow-Events': SIP_H_ALLOW_EVENTS,
  'Accept-Contact': SIP_H_ACCEPT_CONTACT,
  'Reject-Contact': SIP_H_REJECT_CONTACT,
  'Request-Disposition': SIP_H_REQUEST_DISPOSITION,
  'Session-Expires': SIP_H_SESSION_EXPIRES,
  Identity: SIP_H_IDENTITY,
} as const

/** A header's name, in any case; known ones also by their compact form (S-2, S-4). */
export type HeaderName = keyof typeof ids | (string & {})

/** Headers that have a one-letter name as well (S-4). */
const compactForms = {
  a: 'Accept-Contact',
  b: 'Referred-By',
  c: 'Content-Type',
  d: 'Request-Disposition',
  e: 'Content-Encoding',
  f: 'From',
  i: 'Call-ID',
  j: 'Reject-Contact',
  k: 'Supported',
  l: 'Content-Length',
  m: 'Contact',
  o: 'Event',
  r: 'Refer-To',
  s: 'Subject',
  t: 'To',
  u: 'Allow-Events',
  v: 'Via',
  x: 'Session-Expires',
  y: 'Identity',
} as const satisfies Record<string, keyof typeof ids>

/** Names as the RFCs write them first, as they are asked for; then lower case, and the compact forms. */
const idsByName = new Map<string, number>([
  ...Object.entries(ids),
  ...Object.entries(ids).map(([name, id]) => [name.toLowerCase(), id] as const),
  ...Object.entries(compactForms).map(([letter, name]) => [letter, ids[name]] as const),
])

/** The kernel's id of a header; SIP_H_OTHER for one it does not tell apart. */
export function headerId(name: HeaderName): number {
  return idsByName.get(name) ?? idsByName.get(name.toLowerCase()) ?? SIP_H_OTHER
}

/**
 * Headers whose value is a list that commas part (S-2). All others are taken whole: credentials and challenges, which have
 * commas of their own, text, and what we do not know (S-3).
 */
const lists = new Set([
  'accept',
  'accept-contact',
  'a',
  'accept-encoding',
  'accept-language',
  'accept-resource-priority',
  'alert-info',
  'allow',
  'allow-events',
  'u',
  'call-info',
  'contact',
  'm',
  'content-encoding',
  'e',
  'content-language',
  'diversion',
  'error-info',
  'history-info',
  'in-reply-to',
  'p-asserted-identity',
  'p-preferred-identity',
  'path',
  'proxy-require',
  'reason',
  'record-route',
  'reject-contact',
  'j',
  'request-disposition',
  'd',
  'require',
  'resource-priority',
  'route',
  'security-client',
  'security-server',
  'security-verify',
  'service-route',
  'supported',
  'k',
  'unsupported',
  'via',
  'v',
  'warning',
])

/** Whether commas part the values of a header (S-2, S-3). */
export function isList(name: HeaderName): boolean {
  return lists.has(name.toLowerCase())
}
