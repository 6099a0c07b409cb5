import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decodeRecord, encodeRecord, isRecordOf, siloRecordVersion } from '../../src/store/silo-record.ts'
import { siloMessage } from '../support/silo-messages.ts'

describe('a record of the silo', () => {
  const plain = encodeRecord(siloMessage('hello'))

  test('SILO-4, SILO-51: has every field of the message, whatever is in it', () => {
    const text = fc.string({ unit: 'grapheme', maxLength: 40 })
    const time = fc.nat({ max: 2 ** 53 - 1 })
    const message = fc.record({
      owner: text,
      srcAddr: text,
      dstAddr: text,
      contentType: text,
      body: fc.uint8Array({ maxLength: 300 }).map((octets) => Buffer.from(octets)),
      incTime: time,
      expTime: time,
      sndTime: time,
      extraHeaders: text,
      callId: text,
      messageId: text,
    })
    fc.assert(
      fc.property(message, (message) => {
        expect(decodeRecord(encodeRecord(message))).toEqual(message)
      }),
    )
  })

  test('says whose the message is', () => {
    const owners = fc.string({ unit: 'grapheme', maxLength: 6 })
    fc.assert(
      fc.property(owners, owners, fc.string({ maxLength: 6 }), (owner, other, srcAddr) => {
        const record = encodeRecord({ ...siloMessage('hello'), owner, srcAddr })
        expect(isRecordOf(record, owner)).toBe(true)
        expect(isRecordOf(record, other)).toBe(other === owner)
        expect(isRecordOf(record, owner + srcAddr)).toBe(srcAddr === '')
      }),
    )
  })

  test('can be read where it lies among other octets', () => {
    const octets = new Uint8Array([1, 2, 3, ...plain, 4, 5])
    expect(decodeRecord(octets.subarray(3, 3 + plain.length))).toEqual(siloMessage('hello'))
  })

  test('is not read when any octet of it has changed, it was cut short, or something follows', () => {
    for (let at = 0; at < plain.length; at += 1) {
      const changed = Buffer.from(plain)
      changed[at]! ^= 0x10
      expect(() => decodeRecord(changed), `octet ${at}`).toThrow(/version|checksum/)
      expect(() => decodeRecord(plain.subarray(0, at)), `${at} octets`).toThrow(/cut short|checksum/)
      expect(() => isRecordOf(changed, siloMessage('hello').owner), `octet ${at}`).toThrow(/version|checksum/)
    }
    expect(() => decodeRecord(Buffer.concat([plain, Buffer.alloc(1)]))).toThrow('checksum')
  })

  test('says its version, and is not read when that is another', () => {
    expect(plain[0]).toBe(siloRecordVersion)
    const later = Buffer.from(plain)
    later[0] = 9
    expect(() => decodeRecord(later)).toThrow('a record has version 9, not 1')
  })
})
