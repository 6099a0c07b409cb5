import { Buffer } from 'node:buffer'
import type { Config } from '../config/schema.ts'
import type { SiloMessage } from '../store/silo-store.ts'
import { ownerUri, parseAddress } from './addresses.ts'
import { mediaTypeOf, takesAscii } from './content.ts'
import { ctime } from './dates.ts'
import { callIdOf } from './delivery-id.ts'
import { headerOf, type StoredHeaders, storedHeaders } from './headers.ts'
import type { DeliveryOrder, OutgoingMessage } from './order.ts'
import { headersOf, type SiloTemplates } from './templates.ts'
import { messageVariables } from './variables.ts'

export interface DumpContext {
  readonly config: Config['silo']
  readonly templates: SiloTemplates
  /** The contact it goes to. Null: whoever it was sent to, as the outbound proxy finds the way (SILO-22). */
  readonly requestUri: string | null
}

/** The MESSAGE that brings a stored one to its reader (m_dump; SILO-22 … SILO-26), or the reminder that it is (SILO-41). */
export function deliveryOf(
  message: SiloMessage,
  order: Pick<DeliveryOrder, 'kind' | 'sndTime' | 'attempt'>,
  context: DumpContext,
): OutgoingMessage {
  const { config, requestUri } = context
  const stored = storedHeaders(message.extraHeaders)
  const made = order.kind === 'reminder' ? reminder(message, order, stored, context) : offline(message, stored, context)
  return {
    ...made,
    requestUri: requestUri ?? made.requestUri,
    callId: callIdOf(message),
    cseq: order.attempt,
    // SILO-31
    headers: [...made.headers, ['Message-ID', message.messageId]],
    contentType: oneLine(message.contentType),
    via: config.outbound_proxy ?? null,
  }
}

type Made = Pick<OutgoingMessage, 'requestUri' | 'from' | 'to' | 'headers' | 'body'>

function offline(message: SiloMessage, stored: StoredHeaders, { config, templates }: DumpContext): Made {
  const to = oneLine(message.dstAddr)
  const from = oneLine(message.srcAddr)
  const variables = messageVariables(message, stored, templates.zone)
  return {
    requestUri: to,
    from: `<${from}>`,
    to: `<${to}>`,
    // SILO-23
    headers: [
      ['Date', new Date(message.incTime).toUTCString()],
      ...(config.add_contact ? [['Contact', `<${from}>;msilo=yes`] as const] : []),
      ...headersOf(templates.extraHeaders, variables),
      ...shown(stored, config.outbound_proxy === undefined),
    ],
    // SILO-25
    body:
      config.add_date && mediaTypeOf(message.contentType) === 'text/plain' && isPlain(message, stored)
        ? prefixed(`[Offline message - ${ctime(message.incTime, templates.zone)}] `, message.body)
        : message.body,
  }
}

function reminder(
  message: SiloMessage,
  { sndTime }: Pick<DeliveryOrder, 'sndTime'>,
  stored: StoredHeaders,
  { templates }: DumpContext,
): Made {
  const to = ownerUri(message.owner)
  const variables = messageVariables(message, stored, templates.zone)
  const from = parseAddress(templates.reminder?.evaluate(variables) ?? '')
  // MSILO writes this into bodies of any type, which makes nothing but text of them.
  const text = mediaTypeOf(message.contentType)?.startsWith('text/') ?? false
  return {
    requestUri: to,
    // Without the address of reminders, which a later configuration may no longer have, it is the sender's message.
    from: from?.text ?? `<${oneLine(message.srcAddr)}>`,
    to: `<${to}>`,
    // SILO-41: none of those that were stored, but what the body cannot be read without.
    headers: stored.filter(([name]) => /^(?:content-|mime-version$|e$)/i.test(name)),
    body:
      text && isPlain(message, stored)
        ? prefixed(`[Reminder message - ${ctime(sndTime, templates.zone)}] `, message.body)
        : message.body,
  }
}

/** Whether text can be put before the body: its octets are the text, and not another form of it. */
function isPlain({ contentType }: SiloMessage, stored: StoredHeaders): boolean {
  const encoding = headerOf(stored, 'Content-Encoding') ?? headerOf(stored, 'e') ?? 'identity'
  const transfer = headerOf(stored, 'Content-Transfer-Encoding') ?? '8bit'
  return takesAscii(contentType) && /^identity$/i.test(encoding) && /^(?:7bit|8bit|binary)$/i.test(transfer)
}

/** The octets of the body stay as they are (SILO-26), however many they are. */
function prefixed(prefix: string, body: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.from(prefix), body])
}

/** Who wants to stay unknown does, to whoever is not one of the servers that keep it so (S-55). */
function shown(stored: StoredHeaders, toUser: boolean): StoredHeaders {
  const hides = stored.some(([name, value]) => /^privacy$/i.test(name) && /(?:^|[;,\s])id(?:[;,\s]|$)/i.test(value))
  return toUser && hides ? stored.filter(([name]) => !/^p-asserted-identity$/i.test(name)) : stored
}

/** What was imported may hold what was never checked: no end of line may begin a header of its own. */
function oneLine(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f]+/g, ' ')
}
