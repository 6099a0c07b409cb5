import { describe, expect, test } from 'vitest'
import type { MessageId } from '../../src/ids.ts'
import { noEvents, type SiloEvent } from '../../src/silo/events.ts'
import { Teller } from '../../src/silo/tell.ts'
import { encodeRecord } from '../../src/store/silo-record.ts'
import { FakeTicker } from '../support/fake-ticker.ts'
import { storedMessage } from './support/texts.ts'

const id = 7 as MessageId
const message = storedMessage({ contentType: 'text/plain; charset=utf-8', body: Buffer.from('secret') })

describe('events of the silo', () => {
  test('say what happened to which message, and never its text', () => {
    const clock = new FakeTicker()
    const events: SiloEvent[] = []
    const tell = new Teller({ emit: (event) => events.push(event) }, clock)
    const recorded = { id, record: encodeRecord(message) }
    const push = [{ provider: 'fcm', prid: 'token', param: null }]
    tell.stored(recorded, push)
    tell.delivered(recorded, 'phone')
    tell.delivered(recorded, null)
    tell.failed(recorded, 'phone', '488 No')
    tell.expired({ id, message, attempts: 0, delivered: false, status: 0, reason: null })
    tell.registered(message.owner, push)
    const common = {
      time: clock.now(),
      owner: message.owner,
      message_id: message.messageId,
      id,
      from: message.srcAddr,
      content_type: message.contentType,
      octets: 6,
    }
    expect(events).toEqual([
      { type: 'message.stored', ...common, push },
      { type: 'message.delivered', ...common, device: 'phone' },
      { type: 'message.delivered', ...common },
      { type: 'message.failed', ...common, device: 'phone', reason: '488 No' },
      { type: 'message.expired', ...common },
      { type: 'user.registered', time: clock.now(), owner: message.owner, push },
    ])
  })

  test('cost nothing when nobody listens: records are not read', () => {
    const tell = new Teller(noEvents, new FakeTicker())
    expect(tell.listening).toBe(false)
    tell.stored({ id, record: Buffer.from('no record') }, [])
    tell.delivered({ id, record: Buffer.from('no record') }, null)
  })
})
