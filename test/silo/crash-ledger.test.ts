// What the crash test would say of a server that does something wrong.
import { beforeEach, describe, expect, test } from 'vitest'
import { type Arrival, contentType, Ledger, type Sent } from '../crash/ledger.ts'

const alice = 'sip:alice@crash.test'
const bob = 'sip:bob@crash.test'

let now: number
let ledger: Ledger

beforeEach(() => {
  now = 1_000_000
  ledger = new Ledger(new Map([[bob, ['phone', 'laptop']]]), () => now)
})

function accepted(expires: number | null = null): Sent {
  const message = ledger.create(alice, bob, expires, 'text')
  message.requests = 1
  message.runs.add(1)
  ledger.answered(message, 202)
  return message
}

function arrives(message: Sent, changes: Partial<Arrival> = {}): void {
  ledger.arrived({
    device: 'phone',
    body: message.body,
    callId: message.callId,
    messageId: 'A'.repeat(22),
    from: `<${alice}>;tag=a`,
    to: `<${bob}>`,
    contentType,
    again: false,
    ...changes,
  })
}

function delivered(message: Sent, device = 'phone', status = 200): void {
  arrives(message, { device })
  ledger.answers(device, message, true, status)
}

describe('a crash test finds nothing wrong with', () => {
  test('a message that each device has taken, or refused, and one that waits', () => {
    const [first, second, third] = [accepted(), accepted(), accepted()]
    delivered(first)
    delivered(first, 'laptop', 415)
    delivered(second, 'laptop')
    ledger.compare([second.body, third.body], [], 'now')
    expect(ledger.faults).toEqual([])
    expect(ledger.owed).toBe(2)
  })

  test('a repeat that is marked as one', () => {
    const message = accepted()
    delivered(message)
    message.runs.add(2)
    delivered(message)
    expect(ledger.faults).toEqual([])
    expect(ledger.counts).toMatchObject({ delivered: 1, repeats: 1 })
  })

  test('a message that has expired, and one that a later one overtakes because of that', () => {
    accepted(1)
    now += 1_001
    delivered(accepted())
    ledger.compare([], [], 'now')
    expect(ledger.faults).toEqual([expect.stringContaining('taken by laptop')])
    expect(ledger.counts.expired).toBe(1)
  })

  test('a message that arrives before its sender knows that it was accepted', () => {
    const message = ledger.create(alice, bob, null, 'text')
    delivered(message)
    delivered(message, 'laptop')
    ledger.answered(message, 202)
    ledger.compare([], [], 'now')
    expect(ledger.faults).toEqual([])
  })
})

describe('a crash test finds', () => {
  test.each<[what: string, does: (message: Sent) => void, fault: RegExp]>([
    [
      'a lost message',
      () => ledger.compare([], [], 'now'),
      /answered 202, and is neither stored nor taken by phone,laptop/,
    ],
    [
      'one that a device never got',
      (message) => {
        delivered(message)
        ledger.compare([], [], 'now')
      },
      /nor taken by laptop/,
    ],
    [
      'one that came and was not taken',
      (message) => {
        delivered(message, 'laptop')
        delivered(message, 'phone', 480)
        ledger.compare([], [], 'now')
      },
      /nor taken by phone/,
    ],
    ['a dead letter that a device has not refused', (message) => ledger.compare([], [message.body], 'now'), /is dead/],
    ['stored octets that nobody sent', () => ledger.compare(['100000009 x'], [], 'now'), /stored is what nobody sent/],
    ['a delivery that nobody sent', (message) => arrives(message, { body: 'x' }), /what nobody sent/],
    ['another body', (message) => arrives(message, { body: `${message.body}!` }), /another body/],
    ['another type', (message) => arrives(message, { contentType: 'text/plain' }), /Content-Type text\/plain/],
    ['another sender', (message) => arrives(message, { from: `<${bob}>` }), /with From/],
    ['another reader', (message) => arrives(message, { device: 'tablet' }), /came to tablet/],
    ['a repeat with another Call-ID', (message) => arrives(message, { callId: 'x' }), /marks no repeat/],
    [
      'a repeat with another Message-ID',
      (message) => {
        arrives(message)
        arrives(message, { messageId: 'B'.repeat(22) })
      },
      /and before with A/,
    ],
    [
      'a repeat for which there was no reason',
      (message) => {
        delivered(message)
        arrives(message, { again: true })
      },
      /came again on the line/,
    ],
    ['a message that overtakes another', () => delivered(accepted()), /which was accepted earlier/],
  ])('%s', (_what, does, fault) => {
    does(accepted())
    expect(ledger.faults[0]).toMatch(fault)
  })

  test('a delivery of what has expired (SILO-30)', () => {
    const message = accepted(1)
    now += 10_000
    arrives(message)
    expect(ledger.faults[0]).toMatch(/had expired/)
  })
})
