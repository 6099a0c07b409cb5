/** Dates in texts, and those that reminders are set for: by the clock on the wall of one time zone. */

/** How far the wall clock of a zone is ahead of UTC at an instant; both in milliseconds. */
export type Zone = (instant: number) => number

const minute = 60_000
/** A reminder later than this from now is a mistake: milliseconds. */
const sendTimeMax = 3650 * 86_400_000

/** A zone by its name in the configuration (`date_zone`). */
export function zoneOf(name: string): Zone {
  if (name === 'utc') return () => 0
  if (name === 'local') return (instant) => -new Date(instant).getTimezoneOffset() * minute
  const format = new Intl.DateTimeFormat('en', { timeZone: name, timeZoneName: 'longOffset' })
  return (instant) => {
    const { value = '' } = format.formatToParts(instant).find(({ type }) => type === 'timeZoneName') ?? {}
    // `GMT` alone is no offset at all.
    const [, sign, hours = 0, minutes = 0, seconds = 0] = /^GMT([+-])(\d+):(\d+)(?::(\d+))?$/.exec(value) ?? []
    const offset = (Number(hours) * 60 + Number(minutes)) * minute + Number(seconds) * 1000
    return sign === '-' ? -offset : offset
  }
}

/** `Mon Feb  9 18:42:27 2007`: 24 characters, as ctime() writes it (SILO-25). */
export function ctime(instant: number, zone: Zone): string {
  // `Fri, 09 Feb 2007 18:42:27 GMT`
  const text = new Date(instant + zone(instant)).toUTCString()
  const day = text.slice(5, 7).replace(/^0/, ' ')
  return `${text.slice(0, 3)} ${text.slice(8, 11)} ${day} ${text.slice(17, 25)} ${text.slice(12, 16)}`
}

const sipDate =
  /^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d (?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d{4} \d\d:\d\d:\d\d GMT$/

/** The instant that a Date header names, in milliseconds since the Unix epoch; null: none (S-13). */
export function parseSipDate(text: string): number | null {
  const instant = sipDate.test(text) ? Date.parse(text) : Number.NaN
  return Number.isNaN(instant) ? null : instant
}

const sendTime = /^(\d{4})(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:(\d\d)(\d\d)?)?)?)?)?$/

/**
 * When a message is to be sent as a reminder (SILO-9): a Date, or YYYYMMDDHHMMSS by the zone's clock, of which what is
 * finer may be left out. 0, an ordinary message: it is no such time, or one that is over ten years away.
 */
export function parseSendTime(value: string | Date, zone: Zone, now: number): number {
  const instant = typeof value === 'string' ? wallTime(value, zone) : value.getTime()
  return instant > 0 && instant <= now + sendTimeMax ? Math.floor(instant) : 0
}

/** NaN: there is no such date. */
function wallTime(text: string, zone: Zone): number {
  const match = sendTime.exec(text)
  if (match === null) return Number.NaN
  const [, years = '', months = '01', days = '01', hours = '00', minutes = '00', seconds = '00'] = match
  const iso = `${years}-${months}-${days}T${hours}:${minutes}:${seconds}.000Z`
  const asUtc = Date.parse(iso)
  // Date.parse takes the 30th of February for the 2nd of March.
  if (Number.isNaN(asUtc) || new Date(asUtc).toISOString() !== iso) return Number.NaN
  // The offset that holds at the instant itself; in an hour that a change of clocks repeats or skips, the one before it.
  const guess = asUtc - zone(asUtc)
  const better = asUtc - zone(guess)
  return better + zone(better) === asUtc ? better : guess
}
