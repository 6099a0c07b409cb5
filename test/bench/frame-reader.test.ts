import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type FrameHandler, FrameReader, Inbox } from '../../bench/load/frame-reader.ts'

const FRAMES = [
  'MSRP aaaa SEND\r\nTo-Path: t\r\nFrom-Path: f\r\nContent-Type: x/y\r\n\r\nbody\r\n-------aaaa$\r\n',
  'MSRP aaab 200 OK\r\nTo-Path: t\r\nFrom-Path: f\r\n-------aaab$\r\n',
  'MSRP aaac SEND\r\nTo-Path: t\r\nFrom-Path: f\r\nContent-Type: x/y\r\n\r\n\r\n-------aaac+\r\n',
  // M-10: only CRLF, seven hyphens, this transaction id, a flag and CRLF end a body.
  'MSRP aaad SEND\r\nTo-Path: t\r\nFrom-Path: f\r\nContent-Type: x/y\r\n\r\n' +
    '\r\n-------aaac$\r\n-------aaad*\r\n-------aaad$\n\r\n--------aaad$\r\n\r\n-------aaad#\r\n',
].join('')

const EVENTS = [
  'aaaa SEND to-path,from-path,content-type',
  'body',
  '$',
  'aaab 200 to-path,from-path',
  '',
  '$',
  'aaac SEND to-path,from-path,content-type',
  '',
  '+',
  'aaad SEND to-path,from-path,content-type',
  '\r\n-------aaac$\r\n-------aaad*\r\n-------aaad$\n\r\n--------aaad$\r\n',
  '#',
]

/** Feeds pieces of octets as so many reads and notes what the reader makes of them. */
const read = (pieces: readonly string[]): { events: string[]; broken: string[]; drained: number } => {
  const inbox = new Inbox()
  const events: string[] = []
  const broken: string[] = []
  let drained = 0
  let body = ''
  const handler: FrameHandler = {
    whole: () => 0,
    head: ({ tid, method, status, headers }) => {
      body = ''
      events.push(`${tid} ${method ?? status} ${headers.map(([name]) => name)}`)
    },
    body: (at, end) => {
      body += inbox.bytes.toString('latin1', at, end)
    },
    end: (flag) => events.push(body, flag),
    broken: (why) => broken.push(why),
    drained: () => drained++,
  }
  const reader = new FrameReader(inbox, handler)
  for (const piece of pieces) reader.read(inbox.readArea.write(piece, 'latin1'))
  return { events, broken, drained }
}

test('frames come out the same however the octets are cut (M-10, M-11, M-63)', () => {
  expect(read([FRAMES]).events).toEqual(EVENTS)
  expect(read([...FRAMES]).events).toEqual(EVENTS)
  const cuts = fc.array(fc.integer({ min: 0, max: FRAMES.length }), { maxLength: 12 })
  fc.assert(
    fc.property(cuts, (at) => {
      const edges = [0, ...at.toSorted((a, b) => a - b), FRAMES.length]
      const pieces = edges.slice(1).map((edge, i) => FRAMES.slice(edges[i], edge))
      expect(read(pieces)).toEqual({ events: EVENTS, broken: [], drained: pieces.length })
    }),
  )
})

test('octets that are no frame break the stream once, and nothing is read after them (M-60)', () => {
  expect(read([`HTTP/1.1 200 OK\r\n\r\n`, FRAMES])).toMatchObject({ events: [], broken: [expect.any(String)] })
})

test('a head without an end is given up instead of collected (M-44)', () => {
  const endless = ['MSRP aaaa SEND\r\n', ...Array.from({ length: 100 }, () => `X: ${'x'.repeat(1000)}\r\n`)]
  expect(read(endless).broken).toEqual(['a head is longer than 8192 octets'])
})
