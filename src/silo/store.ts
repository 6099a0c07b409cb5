import type { Config } from '../config/schema.ts'
import type { Result } from '../errors.ts'
import type { SipRequest } from '../parser/sip/message.ts'
import { aorOf } from '../parser/sip/uri.ts'
import type { VariableSource } from '../routing/pseudo-variables.ts'
import { encodeRecord } from '../store/silo-record.ts'
import type { SiloMessage } from '../store/silo-store.ts'
import { mediaTypeOf } from './content.ts'
import { parseSendTime, parseSipDate } from './dates.ts'
import { messageIdOf } from './delivery-id.ts'
import { keptHeaders, readExtraHeaders } from './headers.ts'
import { imdnOf } from './imdn.ts'
import { noticeOf } from './notification.ts'
import type { KeepRequest } from './order.ts'
import type { SiloTemplates } from './templates.ts'
import { type RequestSource, requestVariables } from './variables.ts'

/** What a MESSAGE is stored with. */
export interface StoreContext {
  readonly config: Config['silo']
  readonly templates: SiloTemplates
  /** When it came, milliseconds since the Unix epoch. */
  readonly now: number
  /** `trusted`: what it says of identities is believed, as it comes from a peer of ours (S-55). */
  readonly source: RequestSource & { readonly trusted: boolean }
}

/** What a routing can say about it. */
export interface StoreOptions {
  /** When to send it as a reminder, instead of what `snd_time_avp` says (SILO-9). */
  readonly sendTime?: string | Date
  /** Header lines to send it with, instead of what `extra_hdrs_avp` says and of its own (SILO-6). */
  readonly extraHeaders?: string
  /** Its sender is told nothing. */
  readonly skipNotification?: boolean
  /** Flags of the message, a bit each (SILO-14). */
  readonly flags?: number
  readonly avp?: (name: string) => string | null
  /** It has gone out to a contact, of which nothing good was heard. */
  readonly sent?: boolean
}

/** The answer to a MESSAGE that is not stored. */
export interface Refusal {
  readonly status: number
  readonly reason: string
}

/** A Date header that is further off is that of a clock which was never set: it says nothing (S-87). */
const clockErrorMax = 86_400_000

const noAvp = () => null

/**
 * What is to be stored of a MESSAGE (m_store): its record, what its sender is told (SILO-12), and the `<stored/>`
 * notification (C-9). `owner` is the canonical AoR in whose inbox it goes (SILO-2). The request has no problem (S-1 … S-13).
 */
export function keepRequestOf(
  request: SipRequest,
  owner: string,
  { config, templates, now, source }: StoreContext,
  options: StoreOptions = {},
): Result<KeepRequest, Refusal> {
  const { from, to, body } = request
  const contentType = request.header('Content-Type')
  // SILO-3. No Content-Length is needed where the datagram says how long the body is (S-5).
  if (body.length === 0) return refuse(400, 'Missing Body')
  if (contentType === null || mediaTypeOf(contentType) === null) return refuse(400, 'Bad Content-Type')
  if (from === null) return refuse(400, 'Bad From')
  if (to === null) return refuse(400, 'Bad To')
  if (!owner.includes('@')) return refuse(400, 'No User')
  if (body.length > config.max_body_size) return refuse(413, 'Request Entity Too Large')
  const avp = options.avp ?? noAvp
  const variables = requestVariables(request, source, now, templates.zone, avp)
  const sndTime = sendTimeOf(config, templates, now, options, variables)
  const expTime = expiryOf(request, config, now, sndTime)
  if (expTime <= now) return refuse(480, 'Temporarily Unavailable')
  const extra = extraHeadersOf(request, templates, source.trusted, options, avp)
  // Not the sender's mistake.
  if (!extra.ok) return refuse(500, 'Bad Extra Headers')
  const message: SiloMessage = {
    owner,
    srcAddr: from.uriText,
    dstAddr: to.uriText,
    contentType,
    body,
    incTime: now,
    expTime,
    sndTime,
    extraHeaders: extra.value,
    // SILO-11; SILO-31: whoever may have it already knows it by its Call-ID.
    callId: (config.use_mode & 1) === 1 || options.sent === true ? request.callId : '',
    messageId: messageIdOf(request, owner),
  }
  const notice = isSilent(config, options) ? null : noticeOf(request, message.messageId, config, templates, variables)
  return {
    ok: true,
    value: {
      message: {
        record: encodeRecord(message),
        owner,
        srcAddr: message.srcAddr,
        expTime,
        sndTime,
        octets: body.length,
      },
      notice,
      noticeKey: notice === null ? '' : `${from.uri === null ? from.uriText : aorOf(from.uri)}|${owner}`,
      imdn: imdnOf(message, 'stored', config, now),
    },
  }
}

function refuse(status: number, reason: string): { readonly ok: false; readonly error: Refusal } {
  return { ok: false, error: { status, reason } }
}

/** SILO-14 */
function isSilent({ skip_notification_flag: flag }: Config['silo'], options: StoreOptions): boolean {
  if (options.skipNotification === true) return true
  return flag >= 0 && ((options.flags ?? 0) & (1 << flag)) !== 0
}

/** SILO-9. Where there are no reminders it would never be sent: it is an ordinary message then. */
function sendTimeOf(
  config: Config['silo'],
  { sendTime, zone }: SiloTemplates,
  now: number,
  options: StoreOptions,
  variables: VariableSource,
): number {
  if (config.reminder === undefined || config.send_time === 0) return 0
  const given = options.sendTime ?? sendTime?.evaluate(variables) ?? ''
  return given === '' ? 0 : parseSendTime(given, zone, now)
}

/**
 * When it expires (SILO-8): after expire_time, or earlier when its Expires says so, which counts from its Date (S-84). A
 * reminder has that long from when it is to be sent [project], or it could be gone by then.
 */
function expiryOf(request: SipRequest, { expire_time }: Config['silo'], now: number, sndTime: number): number {
  const last = Math.max(now, sndTime) + expire_time * 1000
  if (request.expires === null) return last
  const date = parseSipDate(request.header('Date') ?? '')
  // One from the future would keep it for longer than was asked for.
  const sent = date === null || now - date > clockErrorMax ? now : Math.min(date, now)
  return Math.min(last, sent + request.expires * 1000)
}

/** SILO-6 */
function extraHeadersOf(
  request: SipRequest,
  { extraHeadersAvp }: SiloTemplates,
  trusted: boolean,
  options: StoreOptions,
  avp: (name: string) => string | null,
): Result<string, string> {
  const given = options.extraHeaders ?? (extraHeadersAvp === null ? null : avp(extraHeadersAvp))
  return given === null ? { ok: true, value: keptHeaders(request, trusted) } : readExtraHeaders(given)
}
