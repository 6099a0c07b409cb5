import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { MessageId } from '../../src/ids.ts'
import type { DeliveryOrder, DeliveryOutcome, KeepRequest, OutgoingMessage } from '../../src/silo/order.ts'
import {
  keepColumnsOf,
  keepRequestsIn,
  orderColumnsOf,
  ordersIn,
  outcomeColumnsOf,
  outcomesIn,
} from '../../src/workers/silo-columns.ts'

/** What the other thread gets. */
const posted = <Columns>(columns: Columns): Columns => structuredClone(columns)

/** Records are views of something larger on either side. */
const octets = fc.uint8Array({ maxLength: 40 }).map((content) => {
  const larger = new Uint8Array(content.length + 7)
  larger.set(content, 3)
  return larger.subarray(3, 3 + content.length)
})
const time = fc.nat({ max: 2 ** 48 - 1 })
const text = fc.string({ unit: 'binary', maxLength: 20 })

const outgoing = fc.record<OutgoingMessage>({
  requestUri: text,
  from: text,
  to: text,
  callId: text,
  cseq: fc.nat(),
  headers: fc.array(fc.tuple(text, text), { maxLength: 3 }),
  contentType: text,
  body: octets,
  via: fc.option(text),
})

const keepRequest = fc.record<KeepRequest>({
  message: fc.record({ record: octets, owner: text, srcAddr: text, expTime: time, sndTime: time, octets: fc.nat() }),
  notice: fc.option(outgoing),
  noticeKey: text,
  imdn: fc.option(outgoing),
})

const deliveryOrder = fc
  .record<Omit<DeliveryOrder, 'kind'>>({
    record: octets,
    id: time as fc.Arbitrary<MessageId>,
    sndTime: fc.oneof(fc.constant(0), time),
    attempt: fc.integer({ min: 1, max: 1000 }),
    target: fc.oneof(
      fc.record({ kind: fc.constant('contact' as const), aor: text, contact: text }),
      fc.constant({ kind: 'outbound-proxy' as const }),
    ),
  })
  .map((order): DeliveryOrder => ({ ...order, kind: order.sndTime === 0 ? 'offline' : 'reminder' }))

/** Octets are octets, whatever class they are of. */
const bare = (octets: Uint8Array) => [...octets]

test('requests to keep messages come out of their columns as they went in', () => {
  const bareRequest = ({ message, notice, noticeKey, imdn }: KeepRequest) => ({
    message: { ...message, record: bare(message.record) },
    notice: notice && { ...notice, body: bare(notice.body) },
    imdn: imdn && { ...imdn, body: bare(imdn.body) },
    // Whom nothing is told needs no key.
    noticeKey: notice === null && imdn === null ? '' : noticeKey,
  })
  fc.assert(
    fc.property(fc.array(keepRequest, { maxLength: 8 }), (requests) => {
      expect(keepRequestsIn(posted(keepColumnsOf(requests))).map(bareRequest)).toEqual(requests.map(bareRequest))
    }),
  )
})

test('orders come out of their columns as they went in', () => {
  const bareOrder = (order: DeliveryOrder) => ({ ...order, record: bare(order.record) })
  fc.assert(
    fc.property(fc.array(deliveryOrder, { maxLength: 8 }), (orders) => {
      expect(ordersIn(posted(orderColumnsOf(orders))).map(bareOrder)).toEqual(orders.map(bareOrder))
    }),
  )
})

test('outcomes come out of their columns as they went in', () => {
  const outcome = fc.oneof<fc.Arbitrary<DeliveryOutcome>[]>(
    fc.record({ kind: fc.constant('answered' as const), status: fc.integer({ min: 200, max: 699 }), reason: text }),
    fc.constant({ kind: 'unreachable' }),
    fc.constant({ kind: 'timed-out' }),
  )
  fc.assert(
    fc.property(fc.array(outcome, { maxLength: 8 }), (outcomes) => {
      expect(outcomesIn(posted(outcomeColumnsOf(outcomes)))).toEqual(outcomes)
    }),
  )
})

test('nothing is posted but the octets of the records: of a pooled buffer the whole pool would be copied', () => {
  const record = Buffer.from('pooled')
  const message = { record, owner: 'o', srcAddr: 's', expTime: 1, sndTime: 0, octets: 6 }
  const { records } = keepColumnsOf([{ message, notice: null, noticeKey: '', imdn: null }])
  expect(records.buffer.byteLength).toBe(record.length)
})
