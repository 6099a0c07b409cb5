import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ctime, parseSendTime, parseSipDate, zoneOf } from '../../src/silo/dates.ts'

const utc = zoneOf('utc')
const berlin = zoneOf('Europe/Berlin')
const now = Date.UTC(2007, 0, 1)

describe('SILO-25: ctime', () => {
  test.each([
    [Date.UTC(2007, 1, 19, 18, 42, 27), utc, 'Mon Feb 19 18:42:27 2007'],
    [Date.UTC(2007, 1, 9, 8, 2, 7), utc, 'Fri Feb  9 08:02:07 2007'],
    [Date.UTC(2007, 1, 19, 23, 30), berlin, 'Tue Feb 20 00:30:00 2007'],
    [Date.UTC(2007, 6, 1, 0, 0), berlin, 'Sun Jul  1 02:00:00 2007'],
    [Date.UTC(2007, 6, 1, 0, 0), zoneOf('Asia/Kolkata'), 'Sun Jul  1 05:30:00 2007'],
    [Date.UTC(2007, 0, 1, 0, 0), zoneOf('America/St_Johns'), 'Sun Dec 31 20:30:00 2006'],
  ])('%d', (instant, zone, text) => {
    expect(ctime(instant, zone)).toBe(text)
    expect(text).toHaveLength(24)
  })

  test('local is the zone of the process', () => {
    const date = new Date(2007, 1, 9, 8, 2, 7)
    expect(ctime(date.getTime(), zoneOf('local'))).toBe('Fri Feb  9 08:02:07 2007')
  })
})

describe('SILO-9: the time that a reminder is set for', () => {
  test.each([
    ['20070219184227', Date.UTC(2007, 1, 19, 18, 42, 27)],
    ['200702191842', Date.UTC(2007, 1, 19, 18, 42)],
    ['2007021918', Date.UTC(2007, 1, 19, 18)],
    ['20070219', Date.UTC(2007, 1, 19)],
    ['200702', Date.UTC(2007, 1, 1)],
    ['2007', Date.UTC(2007, 0, 1)],
    ['20080229', Date.UTC(2008, 1, 29)],
  ])('%s', (text, instant) => {
    expect(parseSendTime(text, utc, now)).toBe(instant)
  })

  test.each([
    '',
    '20070219184227 ',
    '2007021918422',
    '200702191842271',
    '2007-02-19',
    '20071301',
    '20070230',
    '20070229',
    '2007021924',
    '20070219236000',
    '20200101000000',
    '00000000000000',
    '٢٠٠٧',
  ])('%j is none, which makes an ordinary message', (text) => {
    expect(parseSendTime(text, utc, now)).toBe(0)
  })

  test.each([
    ['20070219184227', 'Europe/Berlin', Date.UTC(2007, 1, 19, 17, 42, 27)],
    ['20070701000000', 'Europe/Berlin', Date.UTC(2007, 5, 30, 22)],
    ['20070701000000', 'America/Los_Angeles', Date.UTC(2007, 6, 1, 7)],
    // The hour that the clocks leave out, and the one that they go through twice.
    ['20070325023000', 'Europe/Berlin', Date.UTC(2007, 2, 25, 0, 30)],
    ['20071028023000', 'Europe/Berlin', Date.UTC(2007, 9, 28, 1, 30)],
  ])('%s on a wall in %s', (text, zone, instant) => {
    expect(parseSendTime(text, zoneOf(zone), now)).toBe(instant)
  })

  test('what ctime writes can be set, in any zone', () => {
    const months = 'JanFebMarAprMayJunJulAugSepOctNovDec'
    const zones = fc.constantFrom('utc', 'local', 'Europe/Berlin', 'America/St_Johns', 'Pacific/Chatham')
    const instants = fc.integer({ min: now / 1000, max: now / 1000 + 9 * 365 * 86_400 })
    fc.assert(
      fc.property(zones, instants, (name, seconds) => {
        const zone = zoneOf(name)
        const text = ctime(seconds * 1000, zone)
        const month = String(months.indexOf(text.slice(4, 7)) / 3 + 1).padStart(2, '0')
        const day = text.slice(8, 10).replace(' ', '0')
        const written = `${text.slice(20)}${month}${day}${text.slice(11, 19).replaceAll(':', '')}`
        const set = parseSendTime(written, zone, now)
        // Of an hour that the clocks go through twice either is right.
        expect(ctime(set, zone)).toBe(text)
      }),
    )
  })

  test('a Date is taken as it is; one that is none, or over ten years away, is none', () => {
    expect(parseSendTime(new Date(now + 1000), utc, now)).toBe(now + 1000)
    expect(parseSendTime(new Date(Number.NaN), utc, now)).toBe(0)
    expect(parseSendTime(new Date(now + 11 * 365 * 86_400_000), utc, now)).toBe(0)
  })
})

test('S-84: a Date header', () => {
  expect(parseSipDate('Mon, 19 Feb 2007 18:42:27 GMT')).toBe(Date.UTC(2007, 1, 19, 18, 42, 27))
  for (const bad of ['', 'Mon, 19 Feb 2007 18:42:27 CET', '2007-02-19', 'Mon, 39 Feb 2007 18:42:27 GMT'])
    expect(parseSipDate(bad)).toBeNull()
})
