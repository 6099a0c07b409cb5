import { Buffer } from 'node:buffer'
import type { Config } from '../config/schema.ts'
import type { SipRequest } from '../parser/sip/message.ts'
import { parseSipUri } from '../parser/sip/uri.ts'
import type { VariableSource } from '../routing/pseudo-variables.ts'
import { parseAddress } from './addresses.ts'
import { machineMade, mediaTypeOf } from './content.ts'
import { readCpim } from './cpim.ts'
import type { OutgoingMessage } from './order.ts'
import type { SiloTemplates } from './templates.ts'

/** A notice that is stored itself, as its reader has left meanwhile, causes none: two users who are away would get them for ever. */
const noticeCallId = /^notice-[\w-]{22}@/

/**
 * What tells the sender that its message was stored (SILO-12, SILO-13); null: it is told nothing, as it cannot be reached,
 * no text is configured, or its message was made by a program that would not read it.
 */
export function noticeOf(
  request: SipRequest,
  messageId: string,
  config: Config['silo'],
  templates: SiloTemplates,
  variables: VariableSource,
): OutgoingMessage | null {
  const { fromAddress, offlineMessage, contentType, contact } = templates
  if (fromAddress === null || offlineMessage === null || contentType === null) return null
  if (isMachineMade(request) || noticeCallId.test(request.callId)) return null
  const to = request.from?.uriText ?? ''
  const requestUri = senderOf(request, config.use_contact)
  // What variables make of these depends on what the sender has written.
  const from = parseAddress(fromAddress.evaluate(variables))
  const type = contentType.evaluate(variables)
  if (requestUri === null || from === null || mediaTypeOf(type) === null) return null
  return {
    requestUri,
    from: from.text,
    to: `<${to}>`,
    callId: `notice-${messageId}@${from.uri!.host}`,
    cseq: 1,
    headers: contact === null ? [] : [['Contact', contact.evaluate(variables)]],
    contentType: type,
    body: Buffer.from(offlineMessage.evaluate(variables)),
    via: config.outbound_proxy ?? null,
  }
}

function isMachineMade(request: SipRequest): boolean {
  const outer = mediaTypeOf(request.header('Content-Type') ?? '')
  const inner = outer === 'message/cpim' ? (readCpim(request.body)?.mediaType ?? null) : outer
  return inner !== null && machineMade.has(inner)
}

/** Where the sender is told: at its Contact, or at its From URI; null: neither can be sent to. */
function senderOf(request: SipRequest, useContact: boolean): string | null {
  const { contacts, from } = request
  const contact = useContact && contacts !== null && contacts !== '*' ? contacts[0]?.uri : null
  const uri = contact ?? parseSipUri(from?.uriText ?? '')
  // S-13: headers have no place in a Request-URI.
  return uri === null || uri.headers !== null ? null : uri.text
}
