/** Notifications about what became of a message, for senders that have asked for them in CPIM (RFC 5438). */
import { Buffer } from 'node:buffer'
import type { Config } from '../config/schema.ts'
import { parseSipUri } from '../parser/sip/uri.ts'
import { parseNameAddr } from '../parser/sip/values.ts'
import type { SiloMessage } from '../store/silo-store.ts'
import { machineMade, mediaTypeOf } from './content.ts'
import { type CpimHead, readCpim } from './cpim.ts'
import { hostOf, shortHash } from './delivery-id.ts'
import type { OutgoingMessage } from './order.ts'

const namespace = 'urn:ietf:params:imdn'
/** Servers on the way back that a message may name. */
const routesMax = 16
/** A Message-ID that is longer is not repeated to anybody. */
const messageIdMax = 512

/** What is told, and which wish of the sender it fulfils (C-5, C-6). */
const notifications = {
  stored: { wish: 'processing', element: 'processing-notification' },
  failed: { wish: 'negative-delivery', element: 'delivery-notification' },
} as const

/**
 * The notification that a message was stored, or that it has expired without being delivered (C-9): null when the
 * configuration has them off, or the sender has not asked for it. Nothing that is a notification itself causes one (C-7).
 * Of one message at most one that it failed may be sent, and none when a device has had it (C-6): the caller sees to that.
 */
export function imdnOf(
  message: SiloMessage,
  kind: keyof typeof notifications,
  config: Config['silo'],
  now: number,
): OutgoingMessage | null {
  if (!config.imdn || mediaTypeOf(message.contentType) !== 'message/cpim') return null
  const cpim = readCpim(message.body)
  if (cpim === null || machineMade.has(cpim.mediaType ?? '') || /^notification\b/i.test(cpim.disposition ?? ''))
    return null
  const prefix = cpim.prefixOf(namespace)
  if (prefix === null) return null
  const { wish, element } = notifications[kind]
  const wishes = cpim.values(`${prefix}.Disposition-Notification`).flatMap((value) => value.split(/ *, */))
  const [messageId = ''] = cpim.values(`${prefix}.Message-ID`)
  const [from] = cpim.values('From')
  const [to] = cpim.values('To')
  const routes = cpim.values(`${prefix}.IMDN-Record-Route`)
  if (!wishes.includes(wish) || messageId === '' || messageId.length > messageIdMax) return null
  if (from === undefined || to === undefined || routes.length > routesMax) return null
  const target = targetOf(message, routes)
  if (target === null) return null
  const id = shortHash(`${message.messageId} ${kind}`)
  const xml = [
    '<?xml version="1.0" encoding="UTF-8"?>',
    '<imdn xmlns="urn:ietf:params:xml:ns:imdn">',
    `<message-id>${escapeXml(messageId)}</message-id>`,
    `<datetime>${escapeXml(dateOf(cpim, message))}</datetime>`,
    `<recipient-uri>${escapeXml(uriIn(to))}</recipient-uri>`,
    ...originalRecipient(cpim, prefix),
    `<${element}><status><${kind}/></status></${element}>`,
    '</imdn>',
    '',
  ].join('\r\n')
  // C-8: whoever wants to see it on its way back has put itself on the list, the last one first.
  const head = [
    `From: ${to}`,
    `To: ${from}`,
    `NS: imdn <${namespace}>`,
    `imdn.Message-ID: ${id}`,
    `DateTime: ${new Date(now).toISOString()}`,
    ...routes.map((route) => `imdn.IMDN-Route: ${route}`),
    '',
    'Content-Type: message/imdn+xml',
    'Content-Disposition: notification',
    `Content-Length: ${Buffer.byteLength(xml)}`,
    '',
    '',
  ].join('\r\n')
  return {
    requestUri: target,
    from: `<${message.dstAddr}>`,
    to: `<${message.srcAddr}>`,
    callId: `${id}@${hostOf(message)}`,
    cseq: 1,
    headers: [],
    contentType: 'message/cpim',
    body: Buffer.from(head + xml),
    via: config.outbound_proxy ?? null,
  }
}

/**
 * Where it goes: to the last server that wants to see it, else back to whoever has sent the message, whatever name that has
 * given itself in it. Null: that is no SIP URI.
 */
function targetOf({ srcAddr }: SiloMessage, [route]: readonly string[]): string | null {
  const uri = route === undefined ? srcAddr : uriIn(route)
  const parsed = parseSipUri(uri)
  return parsed === null || parsed.headers !== null ? null : uri
}

function uriIn(address: string): string {
  // CPIM lets names be UTF-8 that SIP wants quoted.
  return parseNameAddr(address)?.uriText ?? /<([^<>]*)>$/.exec(address)?.[1] ?? address
}

/** When the message was written, else when it came. */
function dateOf(cpim: CpimHead, { incTime }: SiloMessage): string {
  const [written] = cpim.values('DateTime')
  return written ?? new Date(incTime).toISOString()
}

function originalRecipient(cpim: CpimHead, prefix: string): readonly string[] {
  const [original] = cpim.values(`${prefix}.Original-To`)
  return original === undefined
    ? []
    : [`<original-recipient-uri>${escapeXml(uriIn(original))}</original-recipient-uri>`]
}

const entities: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' }

function escapeXml(text: string): string {
  return text.replace(/[&<>"]/g, (character) => entities[character]!)
}
