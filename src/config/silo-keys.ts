/** The section `silo`. MSILO's parameters keep their names and the defaults of its manual (9.6 of docs/protocol.md). */
import { z } from 'zod'
import { parseSipUri } from '../parser/sip/uri.ts'
import { parseNameAddr } from '../parser/sip/values.ts'
import { avpName, compileText, type Template } from '../routing/pseudo-variables.ts'
import { siloEventTypes } from '../silo/events.ts'
import { control, count, day, httpUrl, notes, seconds } from './key.ts'

/** Parameters of MSILO that say which SQL table to use: there is none here but in import and export (SILO-50). */
export const isTableKey = (key: string): boolean => /^(?:db_url|db_table|sc_\w+)$/.test(key)

/** One header line of the configuration. */
export interface HeaderText {
  readonly name: string
  readonly value: string
}

const headerLine = /^[\w\-.!%*+`'~]+[ \t]*:/
const endOfLine = /\r?\n|\\r\\n/
const controls = new RegExp(`[${control}]`)
const headersMax = 32

/**
 * The header lines of a text that the configuration has let through. Lines end in CRLF, as Kamailio wants it written, in
 * LF, as YAML's block texts do, or in the four characters `\r\n` that an unquoted text is left with; the last need not.
 */
export function headerTexts(text: string): readonly HeaderText[] {
  return linesOf(text).map((line) => {
    const colon = line.indexOf(':')
    return { name: line.slice(0, colon).trim(), value: line.slice(colon + 1).trim() }
  })
}

function linesOf(text: string): string[] {
  return text.split(endOfLine).filter((line) => line.trim() !== '')
}

/** Headers of a MESSAGE from the silo that are the server's to write, in lower case. */
export const ownHeaders: ReadonlySet<string> = new Set(
  'via v from f to t call-id i cseq max-forwards content-length l content-type c contact m date message-id route record-route'.split(
    ' ',
  ),
)

/** Text that the silo sends, pseudo-variables in it; compiled once more where it is used. */
const template = (check: (text: string, compiled: Template) => string | null) =>
  z
    .string()
    .min(1)
    .max(8192)
    .superRefine((text, context) => {
      if (text === '') return
      const compiled = compileText(text)
      if (!compiled.ok) {
        const { offset, message } = compiled.error
        context.addIssue({ code: 'custom', message: `text with pseudo-variables (${message})`, params: { at: offset } })
        return
      }
      const wanted = check(text, compiled.value)
      if (wanted !== null) context.addIssue(wanted)
    })
    .exactOptional()

const nothing = { variable: () => null, header: () => null, avp: () => null }

const address = template((text, { constant, evaluate }) => {
  if (controls.test(text)) return 'an address in one line'
  return constant && (parseNameAddr(evaluate(nothing))?.uri ?? null) === null ? 'a SIP URI' : null
})

const oneHeader = (name: string) =>
  template((text) => {
    const lines = linesOf(text)
    const only = lines.length === 1 && headerTexts(text)[0]?.name.toLowerCase() === name.toLowerCase()
    return only && !controls.test(lines[0]!) ? null : `one header line, \`${name}: ...\``
  })

const headers = template((text) => {
  const lines = linesOf(text)
  if (lines.length > headersMax) return `at most ${headersMax} header lines`
  if (lines.some((line) => !headerLine.test(line) || controls.test(line))) return 'header lines, `Name: value` each'
  const own = headerTexts(text).find(({ name }) => ownHeaders.has(name.toLowerCase()))
  return own === undefined ? null : `headers that the server does not write itself, as it does ${own.name}`
})

const avp = z
  .string()
  .refine((text) => avpName(text) !== null, 'a variable, `$avp(name)`')
  .exactOptional()

/** A header will do as well: without a routing nobody sets variables. */
const avpOrHeader = z
  .string()
  .refine(
    (text) => avpName(text) !== null || (/^\$hdr\([^()]+\)$/.test(text) && compileText(text).ok),
    'a variable, `$avp(name)` or `$hdr(Name)`',
  )
  .exactOptional()

/** 0 and 1, as Kamailio's configuration has them. */
const flag = (usual: 0 | 1) =>
  z
    .union([z.boolean(), z.literal(0), z.literal(1)])
    .transform((value) => value === true || value === 1)
    .prefault(usual)

const onOff = '0 or 1, false or true'
const quota = (most: number) => count(0, most).default(0)

const hooks = z
  .strictObject({
    url: httpUrl('Where events are posted to: see docs/hooks.md.'),
    secret: z
      .string()
      .regex(new RegExp(`^[^${control}]{16,1024}$`))
      .meta(
        notes('What the posts are signed with (HMAC-SHA-256).', {
          expects: 'text of 16 to 1024 characters',
          secret: true,
        }),
      ),
    events: z
      .array(z.enum(siloEventTypes))
      .min(1)
      .max(siloEventTypes.length)
      .default([...siloEventTypes])
      .meta(notes('Events that are told.', { expects: `a list of ${siloEventTypes.join(', ')}` })),
    batch_max: count(1, 1000)
      .default(100)
      .meta(notes('Events of one post.', { unit: 'events' })),
    batch_wait: z
      .number()
      .min(0)
      .max(60)
      .default(1)
      .meta(notes('How long an event waits for others to go with.', { unit: 's' })),
    timeout: seconds(60)
      .default(5)
      .meta(notes('How long an answer may take, connecting included.', { unit: 's' })),
    queue_max: count(1, 10_000_000)
      .default(100_000)
      .meta(notes('Events that wait on disk; beyond them the oldest are dropped.', { unit: 'events' })),
    push: z
      .boolean()
      .default(false)
      .meta(
        notes(
          'The receiver wakes phones: `push_wait_seconds` is also waited for users none of whose contacts has parameters for push (RFC 8599).',
        ),
      ),
  })
  .exactOptional()
  .meta(notes('Tell an HTTP endpoint what happens in the silo. Without this section nobody is told.'))

export const siloKeys = z
  .strictObject({
    enabled: z
      .boolean()
      .default(true)
      .meta(notes('Keep messages for users who are away (SILO-1); without it their senders get 480.')),
    from_address: address.meta(
      notes('Who tells senders that their message has been kept; without it nobody does (SILO-12).', {
        kamailio: 'from_address (msilo)',
        expects: 'a SIP URI, in which pseudo-variables may stand',
      }),
    ),
    offline_message: template(() => null).meta(
      notes('What senders are told; without it nothing (SILO-12). Needs `content_type_hdr`.', {
        kamailio: 'offline_message (msilo)',
        expects: 'text, in which pseudo-variables may stand',
      }),
    ),
    content_type_hdr: oneHeader('Content-Type').meta(
      notes('The type of `offline_message`.', {
        kamailio: 'content_type_hdr (msilo)',
        expects: 'a header line, `Content-Type: ...`',
      }),
    ),
    contact_hdr: oneHeader('Contact').meta(
      notes('Contact of what senders are told. RFC 3428 has none in a MESSAGE (S-80).', {
        kamailio: 'contact_hdr (msilo)',
        expects: 'a header line, `Contact: ...`',
      }),
    ),
    use_contact: flag(1).meta(
      notes('What senders are told goes to the Contact of their message, if it has one, else to From (SILO-13).', {
        kamailio: 'use_contact (msilo)',
        expects: onOff,
      }),
    ),
    skip_notification_flag: count(-1, 31)
      .default(-1)
      .meta(
        notes('The flag of a message whose sender is told nothing; -1: none (SILO-14).', {
          unit: 'flag',
          kamailio: 'skip_notification_flag (msilo)',
        }),
      ),
    extra_hdrs: headers.meta(
      notes(
        'Headers of every message that leaves the silo, a line each (SILO-23); variables are those of the message.',
        {
          kamailio: 'extra_hdrs (msilo)',
          expects: 'header lines, `Name: value` each',
        },
      ),
    ),
    extra_hdrs_avp: avp.meta(
      notes('Variable that a routing leaves headers in that are to go with the message (SILO-6).', {
        kamailio: 'extra_hdrs_avp (msilo)',
        expects: 'a variable, `$avp(name)`',
      }),
    ),
    add_date: flag(1).meta(
      notes(
        'Begin plain text with the date it was kept, `[Offline message - Mon Feb 19 18:42:27 2007] ` (SILO-25). The Date header says the same.',
        { kamailio: 'add_date (msilo)', expects: onOff },
      ),
    ),
    date_zone: z
      .string()
      .refine(isZone, 'local, utc, or a zone such as Europe/Berlin')
      .default('local')
      .meta(
        notes('Time zone of dates in texts, and of those that reminders are set for.', {
          expects: 'local, utc, or a zone such as Europe/Berlin',
        }),
      ),
    add_contact: flag(0).meta(
      notes('Messages from the silo have a Contact, their sender (SILO-23). RFC 3428 has none (S-80).', {
        kamailio: 'add_contact (msilo)',
        expects: onOff,
      }),
    ),
    reminder: address.meta(
      notes('Who sends reminders; without it there are none (SILO-40).', {
        kamailio: 'reminder (msilo)',
        expects: 'a SIP URI, in which pseudo-variables may stand',
      }),
    ),
    snd_time_avp: avpOrHeader.meta(
      notes(
        'Variable that says when a message is to be sent, YYYYMMDDHHMMSS (SILO-9): what a routing has set, or a header, by which any sender can make a reminder.',
        {
          kamailio: 'snd_time_avp (msilo)',
          expects: 'a variable, `$avp(name)` or `$hdr(Name)`',
        },
      ),
    ),
    send_time: count(0, day)
      .default(0)
      .meta(
        notes('How often reminders are looked for that are due; 0: never (SILO-40).', {
          unit: 's',
          kamailio: 'send_time (msilo)',
        }),
      ),
    outbound_proxy: z
      .string()
      .refine((text) => parseSipUri(text) !== null, 'a SIP URI')
      .exactOptional()
      .meta(
        notes('Where all that the silo sends goes first; without it, to the contacts themselves (SILO-22).', {
          kamailio: 'outbound_proxy (msilo)',
          expects: 'a SIP URI',
        }),
      ),
    expire_time: count(1, 3650 * day)
      .default(259_200)
      .meta(
        notes('How long a message is kept that does not expire earlier (SILO-8).', {
          unit: 's',
          kamailio: 'expire_time (msilo)',
        }),
      ),
    check_time: count(1, day)
      .default(30)
      .meta(
        notes('The cycle that `clean_period` counts. A message is removed as soon as it is answered (SILO-28).', {
          unit: 's',
          kamailio: 'check_time (msilo)',
        }),
      ),
    clean_period: count(1, 100_000)
      .default(5)
      .meta(
        notes(
          'Cycles after which messages that have expired are removed (SILO-29). None of them is delivered (SILO-30).',
          {
            unit: 'cycles of check_time',
            kamailio: 'clean_period (msilo)',
          },
        ),
      ),
    use_mode: count(0, 1)
      .default(0)
      .meta(
        notes('1: messages are delivered with the Call-ID that they came with (SILO-11).', {
          unit: 'bit mask',
          kamailio: 'use_mode (msilo)',
        }),
      ),
    max_messages: quota(1_000_000_000).meta(
      notes('Messages kept for one user; more are answered 403 (SILO-10). 0: no limit, as with the next two.', {
        unit: 'messages',
        kamailio: 'max_messages (msilo)',
      }),
    ),
    max_octets: quota(2 ** 40).meta(
      notes('Octets of the bodies kept for one user; more are answered 403.', { unit: 'octets' }),
    ),
    max_per_sender: quota(1_000_000_000).meta(
      notes('Messages of one sender kept for one user; more are answered 403.', { unit: 'messages' }),
    ),
    max_body_size: count(1, 65_536)
      .default(65_536)
      .meta(notes('The largest body that is kept; others are answered 413.', { unit: 'octets' })),
    deliver: z
      .enum(['each', 'any'])
      .default('each')
      .meta(
        notes(
          "Each of a user's devices gets every message once, or any one of them does. Devices are told apart by `+sip.instance`.",
        ),
      ),
    store_refused: z
      .array(count(400, 699).meta(notes('A status code.', { unit: 'status' })))
      .max(64)
      .default([405, 501])
      .meta(
        notes("A message is also kept when its reader's user agent answers so (SILO-1).", {
          kamailio: 'failure_route with m_store',
          expects: 'a list of at most 64 status codes from 400 to 699',
        }),
      ),
    max_attempts: count(1, 1000)
      .default(10)
      .meta(notes('A message refused so often is put among the dead letters (SILO-32).', { unit: 'attempts' })),
    max_dead_letters: count(0, 100_000_000)
      .default(100_000)
      .meta(notes('Dead letters that are kept; beyond them the oldest go.', { unit: 'messages' })),
    deliveries_max: count(1, 100_000)
      .default(1000)
      .meta(notes('Messages from the silo that wait for an answer at the same time.', { unit: 'messages' })),
    imdn: z
      .boolean()
      .default(false)
      .meta(notes('Send the notifications that a CPIM message asks for: that it is kept, that it has expired (C-9).')),
    push_wait_seconds: z
      .number()
      .min(0)
      .max(30)
      .default(0)
      .meta(
        notes(
          'How long the answer to a MESSAGE waits for a device that a hook may wake: when it fetches the message meanwhile, the answer is 200, else 202.',
          { unit: 's' },
        ),
      ),
    hooks,
  })
  .prefault({})
  .meta(notes('The silo: messages for users who are away.'))

function isZone(zone: string): boolean {
  if (zone === 'local' || zone === 'utc') return true
  try {
    new Intl.DateTimeFormat('en', { timeZone: zone })
    return true
  } catch {
    // The only thing that can be wrong with these arguments is the zone.
    return false
  }
}
