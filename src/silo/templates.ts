import assert from 'node:assert/strict'
import type { Config } from '../config/schema.ts'
import { headerTexts } from '../config/silo-keys.ts'
import { avpName, compileText, type Template, type VariableSource } from '../routing/pseudo-variables.ts'
import { type Zone, zoneOf } from './dates.ts'

/** A header line with variables in its value. */
export interface HeaderTemplate {
  readonly name: string
  readonly value: Template
}

/** What the section `silo` holds that has to be read before it can be used: once, when a lane starts. */
export interface SiloTemplates {
  readonly fromAddress: Template | null
  readonly offlineMessage: Template | null
  /** The value alone. */
  readonly contentType: Template | null
  readonly contact: Template | null
  readonly extraHeaders: readonly HeaderTemplate[]
  readonly reminder: Template | null
  /** An AVP, or a header. */
  readonly sendTime: Template | null
  /** Name of an AVP. */
  readonly extraHeadersAvp: string | null
  readonly zone: Zone
}

/** Compiles the texts of a configuration, all of which its schema has let through. */
export function siloTemplates(config: Config['silo']): SiloTemplates {
  const [contentType] = headerTemplates(config.content_type_hdr)
  const [contact] = headerTemplates(config.contact_hdr)
  return {
    fromAddress: optional(config.from_address),
    offlineMessage: optional(config.offline_message),
    contentType: contentType?.value ?? null,
    contact: contact?.value ?? null,
    extraHeaders: headerTemplates(config.extra_hdrs),
    reminder: optional(config.reminder),
    sendTime: optional(asVariable(config.snd_time_avp)),
    extraHeadersAvp: config.extra_hdrs_avp === undefined ? null : avpName(config.extra_hdrs_avp),
    zone: zoneOf(config.date_zone),
  }
}

/** Of an AVP the configuration may hold the name alone. */
function asVariable(text: string | undefined): string | undefined {
  return text === undefined || text.startsWith('$') ? text : `$avp(${text})`
}

function optional(text: string | undefined): Template | null {
  return text === undefined ? null : compiled(text)
}

function headerTemplates(text: string | undefined): readonly HeaderTemplate[] {
  if (text === undefined) return []
  return headerTexts(text).map(({ name, value }) => ({ name, value: compiled(value) }))
}

function compiled(text: string): Template {
  const read = compileText(text)
  assert(read.ok, 'a text that the schema has let through')
  return read.value
}

/** Header lines for a message. */
export function headersOf(
  templates: readonly HeaderTemplate[],
  source: VariableSource,
): readonly (readonly [name: string, value: string])[] {
  return templates.map(({ name, value }) => [name, value.evaluate(source)] as const)
}
