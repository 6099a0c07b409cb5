import assert from 'node:assert/strict'
import { Buffer } from 'node:buffer'
import { crc32 } from 'node:zlib'
import type { SiloMessage } from './silo-store.ts'

/** Version of the layout below; raised with every change of it. */
export const siloRecordVersion = 1

/*
 * One message, numbers little-endian:
 *
 *   0         1       5         13        21        29            57           61             61 + text octets
 *   | version | crc32 | incTime | expTime | sndTime | lengths (7) | text octets | text (UTF-8) | body … |
 *
 * The text is all strings in one, so that it is encoded and decoded at once; `lengths` are theirs, in UTF-16 units, which
 * is what it is cut by again. The checksum covers all that follows it.
 */
const crcAt = 1
const timesAt = 5
const lengthsAt = 29
const textOctetsAt = 57
const textAt = 61

/** The record of a message, as it is stored. */
export function encodeRecord(message: SiloMessage): Buffer {
  const { owner, srcAddr, dstAddr, contentType, extraHeaders, callId, messageId, body } = message
  const text = owner + srcAddr + dstAddr + contentType + extraHeaders + callId + messageId
  const textOctets = Buffer.byteLength(text)
  const record = Buffer.allocUnsafe(textAt + textOctets + body.length)
  record[0] = siloRecordVersion
  record.writeDoubleLE(message.incTime, timesAt)
  record.writeDoubleLE(message.expTime, timesAt + 8)
  record.writeDoubleLE(message.sndTime, timesAt + 16)
  record.writeUInt32LE(owner.length, lengthsAt)
  record.writeUInt32LE(srcAddr.length, lengthsAt + 4)
  record.writeUInt32LE(dstAddr.length, lengthsAt + 8)
  record.writeUInt32LE(contentType.length, lengthsAt + 12)
  record.writeUInt32LE(extraHeaders.length, lengthsAt + 16)
  record.writeUInt32LE(callId.length, lengthsAt + 20)
  record.writeUInt32LE(messageId.length, lengthsAt + 24)
  record.writeUInt32LE(textOctets, textOctetsAt)
  record.write(text, textAt)
  record.set(body, textAt + textOctets)
  record.writeUInt32LE(crc32(record.subarray(timesAt)), crcAt)
  return record
}

/**
 * Whether the record is that of a message for the owner.
 * @throws Error as `decodeRecord`, which takes longer
 */
export function isRecordOf(record: Buffer, owner: string): boolean {
  check(record)
  if (record.readUInt32LE(lengthsAt) !== owner.length) return false
  return record.toString('utf8', textAt, textAt + Buffer.byteLength(owner)) === owner
}

function check(record: Buffer): void {
  if (record.length < textAt) throw new Error(`a record of ${record.length} octets is cut short`)
  if (record[0] !== siloRecordVersion) throw new Error(`a record has version ${record[0]}, not ${siloRecordVersion}`)
  if (record.readUInt32LE(crcAt) !== crc32(record.subarray(timesAt))) throw new Error('a record has a wrong checksum')
}

/**
 * The message of a record. Its body is a view of `octets`.
 * @throws Error when these are not what `encodeRecord` has made: another version, cut short, or changed
 */
export function decodeRecord(octets: Uint8Array): SiloMessage {
  const record = Buffer.from(octets.buffer, octets.byteOffset, octets.byteLength)
  check(record)
  const bodyAt = textAt + record.readUInt32LE(textOctetsAt)
  const text = record.toString('utf8', textAt, bodyAt)
  let cut = 0
  let at = lengthsAt
  const next = (): string => {
    const length = record.readUInt32LE(at)
    at += 4
    return text.slice(cut, (cut += length))
  }
  const message: SiloMessage = {
    owner: next(),
    srcAddr: next(),
    dstAddr: next(),
    contentType: next(),
    extraHeaders: next(),
    callId: next(),
    messageId: next(),
    incTime: record.readDoubleLE(timesAt),
    expTime: record.readDoubleLE(timesAt + 8),
    sndTime: record.readDoubleLE(timesAt + 16),
    body: record.subarray(bodyAt),
  }
  // Octets with the right checksum are what we have written.
  assert(cut === text.length && bodyAt <= record.length, 'the lengths of a record add up')
  return message
}
