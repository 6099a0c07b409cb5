import { describe, expect, test } from 'vitest'
import { sipLimits } from '../../../src/parser/sip/parse.ts'
import { SipStreamState } from '../../../src/parser/sip/reader.ts'
import { createTestReader } from '../../support/sip-parser.ts'
import type { SipEvent } from '../../support/sip-snapshot.ts'
import { noting, readStream } from '../../support/sip-stream.ts'

function message(callId: string, body = '', more = ''): string {
  return (
    'MESSAGE sip:bob@b.test SIP/2.0\r\nVia: SIP/2.0/TCP a.test;branch=z9hG4bK1\r\nMax-Forwards: 70\r\n' +
    `From: <sip:alice@a.test>;tag=1\r\nTo: <sip:bob@b.test>\r\nCall-ID: ${callId}\r\nCSeq: 1 MESSAGE\r\n${more}` +
    `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
  )
}

/** One word an event. */
function brief(events: readonly SipEvent[]): string[] {
  return events.map((event) => {
    if (event.type === 'message') return event.message.problem ?? event.message.callId
    return event.type === 'broken' ? `broken ${event.problem} ${event.message?.callId}` : event.type
  })
}

function start() {
  const events: SipEvent[] = []
  const reader = createTestReader(noting(events))
  const stream = new SipStreamState()
  return { events, reader, stream, feed: (text: string) => reader.feed(stream, Buffer.from(text, 'latin1')) }
}

describe('keep-alives (S-92)', () => {
  test('CRLFCRLF is told as soon as its last octet is there, however it comes', () => {
    const { events, feed } = start()
    feed('\r\n\r')
    expect(events).toEqual([])
    feed('\n')
    expect(brief(events)).toEqual(['keep-alive'])
    for (const octet of '\r\n\r\n\r\n\r') feed(octet)
    expect(brief(events)).toEqual(['keep-alive', 'keep-alive'])
    feed('\n')
    expect(brief(events)).toEqual(['keep-alive', 'keep-alive', 'keep-alive'])
  })

  test('a CRLF that a message follows is forgotten: it is half of nothing (S-12)', () => {
    const { events, feed } = start()
    feed(`\r\n${message('a')}\r\n`)
    feed('\r\n')
    expect(brief(events)).toEqual(['a', 'keep-alive'])
  })

  test('CRLFCRLF in a head ends it, and in a body is body', () => {
    const { events, feed } = start()
    feed(message('a', '\r\n\r\n\r\n\r\n'))
    expect(brief(events)).toEqual(['a'])
  })
})

describe('streams', () => {
  test('a message is handed over with its last octet, never later (S-5)', () => {
    const { events, feed } = start()
    const text = message('a', 'body')
    feed(text.slice(0, -1))
    expect(events).toEqual([])
    feed(text.slice(-1) + message('b').slice(0, 5))
    expect(brief(events)).toEqual(['a'])
  })

  test('the end of a stream tells whether it cuts a message off', () => {
    const cut = start()
    cut.feed('MESSAGE')
    expect([cut.reader.end(cut.stream), cut.stream.kept]).toEqual([true, null])
    const clean = start()
    clean.feed(`${message('a')}\r\n\r`)
    expect(clean.reader.end(clean.stream)).toBe(false)
  })

  test('nothing is read after framing is lost, or after the end', () => {
    const { events, feed, reader, stream } = start()
    feed(`nonsense\r\n${message('a')}`)
    feed(message('b'))
    reader.whole(stream, Buffer.from(message('c')))
    expect(brief(events)).toEqual(['broken not-sip undefined'])
  })

  test('a handler may close the stream: what came with the message is not read', () => {
    const events: SipEvent[] = []
    const handler = noting(events)
    const reader = createTestReader<SipStreamState>({
      ...handler,
      message(stream, read) {
        handler.message(stream, read)
        reader.forget(stream)
      },
      keepAlive(stream) {
        handler.keepAlive(stream)
        if (events.length > 2) reader.forget(stream)
      },
    })
    const stream = new SipStreamState()
    reader.feed(stream, Buffer.from(message('a') + message('b')))
    expect(brief(events)).toEqual(['a'])
    const other = new SipStreamState()
    reader.feed(other, Buffer.from(`\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n`))
    expect(brief(events)).toEqual(['a', 'keep-alive', 'keep-alive'])
  })

  test('streams do not mix: each keeps its own unfinished message', () => {
    const events: SipEvent[] = []
    const reader = createTestReader(noting(events))
    const streams = ['a', 'b', 'c'].map((callId) => ({
      state: new SipStreamState(),
      text: message(callId, 'x'.repeat(50)),
    }))
    for (let at = 0; at < 400; at += 7) {
      for (const { state, text } of streams) reader.feed(state, Buffer.from(text.slice(at, at + 7)))
    }
    expect(brief(events)).toEqual(['a', 'b', 'c'])
    expect(events.map((event) => event.type === 'message' && event.message.body)).toEqual(
      Array.from({ length: 3 }, () => 'x'.repeat(50)),
    )
  })
})

describe('datagrams and WebSocket messages', () => {
  test('each is a message of its own, whatever came before (S-5, S-25)', () => {
    const { events, reader, stream } = start()
    for (const text of ['garbage', message('a').slice(0, 60), '', '\r\n', message('b').replace(/Content.*\r\n/, '')]) {
      reader.whole(stream, Buffer.from(text))
    }
    expect(brief(events)).toEqual(['not-sip', 'truncated-head', 'b'])
  })

  test('one of CRLFs alone is a keep-alive for each pair of them', () => {
    const { events, reader, stream } = start()
    reader.whole(stream, Buffer.from('\r\n\r\n'))
    reader.whole(stream, Buffer.from('\r\n'))
    reader.whole(stream, Buffer.from('\r\n'))
    expect(brief(events)).toEqual(['keep-alive'])
  })
})

describe('limits', () => {
  const filler = (octets: number) => `X: ${'v'.repeat(octets - 5)}\r\n`

  test('a head of 64 KiB passes, one octet more is answered as far as it came, and ends the stream', () => {
    const plain = message('a').length
    const fill = (octets: number) => filler(16_000).repeat(4) + filler(octets - plain - 64_000)
    const most = message('a', '', fill(sipLimits.head))
    expect(most).toHaveLength(sipLimits.head)
    expect(brief(readStream(Buffer.from(most), []))).toEqual(['a'])
    const more = Buffer.from(message('a', '', fill(sipLimits.head + 1)) + message('b'))
    expect(brief(readStream(more, []))).toEqual(['broken head-too-large a'])
    expect(readStream(more, [1, 100, 3_000, 65_535, 65_536, 65_537])).toStrictEqual(readStream(more, []))
  })

  test('a stream that never ends its head is broken off at the limit, not kept', () => {
    const { events, feed, stream } = start()
    feed('MESSAGE sip:b SIP/2.0\r\nX: ')
    for (let fed = 0; fed < 65; fed++) feed('x'.repeat(1024))
    expect(brief(events)).toEqual(['broken head-too-large undefined'])
    expect([stream.dead, stream.kept]).toEqual([true, null])
    const silent = start()
    for (let fed = 0; fed < 65; fed++) silent.feed('x'.repeat(1024))
    expect(brief(silent.events)).toEqual(['broken not-sip undefined'])
  })

  test('a body of 64 KiB passes, one octet more is 413 before it comes', () => {
    expect(brief(readStream(Buffer.from(message('a', 'b'.repeat(65_536))), [500, 30_000]))).toEqual(['a'])
    const { events, feed } = start()
    feed(message('a', 'b'.repeat(65_537)).slice(0, 400))
    expect(brief(events)).toEqual(['broken body-too-large a'])
  })

  test('512 headers pass, 513 do not; a line of 16 KiB passes, folds included, one octet more does not', () => {
    const lines = (count: number) => 'X:\r\n'.repeat(count - 7)
    expect(brief(readStream(Buffer.from(message('a', '', lines(512))), []))).toEqual(['a'])
    expect(brief(readStream(Buffer.from(message('a', '', lines(513))), []))).toEqual(['broken too-many-headers a'])
    const folded = (octets: number) => `X: ${'v'.repeat(8_000)}\r\n ${'v'.repeat(octets - 8_006)}\r\n`
    expect(brief(readStream(Buffer.from(message('a', '', folded(16_384))), []))).toEqual(['a'])
    expect(brief(readStream(Buffer.from(message('a', '', folded(16_385))), []))).toEqual(['broken header-too-long a'])
  })

  test('a request line over the limit is answered, its headers being known', () => {
    const long = (octets: number) => {
      const request = message('a')
      return request.replace('bob@b.test SIP', `${'u'.repeat(octets - 27)}@b.test SIP`)
    }
    expect(long(16_384).indexOf('\r\n')).toBe(16_384)
    expect(brief(readStream(Buffer.from(long(16_384)), []))).toEqual(['a'])
    expect(brief(readStream(Buffer.from(long(16_385)), [9_000]))).toEqual(['broken start-line-too-long a'])
  })

  test('what is kept of a stream is bounded by head and body, and given up with each message', () => {
    const { feed, stream } = start()
    const text = message('a', 'b'.repeat(60_000))
    let most = 0
    for (let at = 0; at < text.length - 1; at += 997) {
      feed(text.slice(at, Math.min(at + 997, text.length - 1)))
      most = Math.max(most, stream.kept?.length ?? 0)
    }
    expect(most).toBeLessThanOrEqual(text.length)
    feed(text.slice(-1))
    expect(stream.kept).toBeNull()
  })
})

test('an octet at a time costs in proportion to the message: nothing is read from its start again and again (S-5)', () => {
  const head = message('a', '', `X: ${'v'.repeat(995)}\r\n`.repeat(60))
  const body = message('a', 'b'.repeat(60_000))
  for (const text of [head, body]) {
    const octets = Buffer.from(text)
    const { events, reader, stream } = start()
    const before = reader.octetsIndexed()
    for (let at = 0; at < octets.length; at++) reader.feed(stream, octets.subarray(at, at + 1))
    expect(brief(events)).toEqual(['a'])
    // Once for the start line, once for the head, once for the whole; the first octet where it came.
    expect(reader.octetsIndexed() - before).toBeLessThanOrEqual(3 * octets.length + 1)
  }
})
