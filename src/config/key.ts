/** What the schemas of all sections are written with. */
import { z } from 'zod'

/** What a key carries beside its type: the source of error texts, of docs/config.md and of docs/config.schema.json. */
export interface KeyNotes {
  /** Meaning, with the rule of docs/protocol.md where one is behind it. */
  readonly description: string
  readonly unit?: string
  /** Kamailio's name of the setting, with the module it belongs to when it is not the core's. */
  readonly kamailio?: string
  /** What a text value has to look like, where the type alone does not say. */
  readonly expects?: string
  /** The default in words, where it is not a constant. */
  readonly default_note?: string
  /** The value, or what stands by mistake in its place, may be a secret: error texts never show it. */
  readonly secret?: boolean
}

export const notes = (description: string, rest: Omit<KeyNotes, 'description'> = {}) => ({ description, ...rest })

// Not z.int(): its issue would keep the rules between other keys from running.
export const count = (min: number, max: number) => z.number().multipleOf(1).min(min).max(max)
export const seconds = (max: number) => z.number().min(0.1).max(max)

/** Seconds of a day. */
export const day = 86_400

/** Characters that no name and no secret may hold, as the inside of a character class. */
export const control = '\\u0000-\\u001f\\u007f'

const urlForm = 'an http:// or https:// URL without a user in it'
/** The address of a service that we ask or tell; what it is for goes into the reference. */
export const httpUrl = (meaning: string) =>
  z
    .string()
    .refine(isHttpUrl, urlForm)
    .meta(notes(meaning, { expects: urlForm, secret: true }))

function isHttpUrl(text: string): boolean {
  const url = URL.parse(text)
  return url !== null && /^https?:$/.test(url.protocol) && url.username === '' && url.password === ''
}
