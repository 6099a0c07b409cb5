import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Address, ConnectionSlot } from '../../src/ids.ts'
import { nextConnectionId } from '../../src/workers/connections.ts'
import { readDatagramHead, writeDatagramHead } from '../../src/workers/datagram.ts'
import { FLOW_OCTETS, Flows } from '../../src/workers/flows.ts'
import { DATAGRAM_HEAD_OCTETS, type Flow } from '../../src/workers/lane-port.ts'

const SLOTS = 4
// The longest text of an address, a link-local one with its zone.
const address = fc.oneof(fc.ipV4(), fc.ipV6(), fc.constant('fe80::1234:5678:9abc:def0%interface-name1'))
const port = fc.integer({ min: 0, max: 65_535 })
const flow: fc.Arbitrary<Flow> = fc.record({
  listener: fc.integer({ min: -1, max: 63 }),
  transport: fc.constantFrom('tcp', 'tls', 'ws', 'wss'),
  protocol: fc.constantFrom(null, 'msrp', 'sip'),
  address,
  port,
})

test('a flow is read as it was written, whatever its neighbours are', () => {
  fc.assert(
    fc.property(fc.array(flow, { minLength: SLOTS, maxLength: SLOTS }), (all) => {
      const memory = new SharedArrayBuffer(256 + SLOTS * FLOW_OCTETS)
      const flows = new Flows(memory, 256 as Address)
      const ids = all.map((_, slot) => nextConnectionId(slot as ConnectionSlot, 0))
      for (const [slot, one] of all.entries()) flows.set(ids[slot]!, one)
      expect(ids.map((id) => flows.get(id))).toEqual(all)
    }),
  )
})

test("a datagram's head is read as it was written, and touches nothing behind it", () => {
  fc.assert(
    fc.property(address, port, (host, number) => {
      const octets = Buffer.alloc(DATAGRAM_HEAD_OCTETS + 8, 0xee)
      writeDatagramHead(octets, 0 as Address, host, number)
      expect(readDatagramHead(octets, 0 as Address)).toEqual({ address: host, port: number })
      expect(octets.subarray(DATAGRAM_HEAD_OCTETS)).toEqual(Buffer.alloc(8, 0xee))
    }),
  )
})
