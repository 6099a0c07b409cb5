import type { Address } from './sip-agent-channel.ts'

const magicCookie = 0x2112a442
const bindingRequest = 0x0001
const bindingResponse = 0x0101
const xorMappedAddress = 0x0020

/** A STUN binding request without attributes (S-91). */
export function stunRequest(id: Uint8Array): Buffer {
  const head = Buffer.alloc(8)
  head.writeUInt16BE(bindingRequest, 0)
  head.writeUInt32BE(magicCookie, 4)
  return Buffer.concat([head, id])
}

/** The IPv4 address in XOR-MAPPED-ADDRESS. @throws Error when the octets are no binding response with one */
export function stunResult(octets: Buffer): Address {
  const isResponse = octets.readUInt16BE(0) === bindingResponse && octets.readUInt32BE(4) === magicCookie
  if (!isResponse || octets.readUInt16BE(2) !== octets.length - 20) {
    throw new Error(`no STUN binding response: ${octets.toString('hex')}`)
  }
  for (let at = 20; at < octets.length; at += 4 + Math.ceil(octets.readUInt16BE(at + 2) / 4) * 4) {
    if (octets.readUInt16BE(at) !== xorMappedAddress) continue
    const address = Buffer.alloc(4)
    address.writeUInt32BE((octets.readUInt32BE(at + 8) ^ magicCookie) >>> 0)
    return { host: address.join('.'), port: octets.readUInt16BE(at + 6) ^ (magicCookie >>> 16) }
  }
  throw new Error(`no XOR-MAPPED-ADDRESS: ${octets.toString('hex')}`)
}
