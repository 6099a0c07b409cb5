// STUN binding requests on the SIP port: how user agents behind NAT keep their UDP binding alive (S-91; RFC 5389).
import { Buffer } from 'node:buffer'
import { isIPv4 } from 'node:net'

const HEADER_OCTETS = 20
const BINDING_REQUEST = 0x0001
const BINDING_RESPONSE = 0x0101
const MAGIC_COOKIE = 0x2112a442
const XOR_MAPPED_ADDRESS = 0x0020
const IPV4 = 1
const IPV6 = 2

/** Whether the octets from `start` to `end` are a STUN binding request: SIP begins with a letter, STUN never does. */
export function isStun(octets: Buffer, start: number, end: number): boolean {
  return (
    end - start >= HEADER_OCTETS &&
    octets.readUInt16BE(start) === BINDING_REQUEST &&
    octets.readUInt16BE(start + 2) === end - start - HEADER_OCTETS &&
    octets.readUInt32BE(start + 4) === MAGIC_COOKIE
  )
}

/** The answer: from where the request came, as we see it. */
export function stunAnswer(request: Uint8Array, address: string, port: number): Buffer {
  const ip = isIPv4(address) ? Buffer.from(address.split('.').map(Number)) : ipv6Octets(address)
  const answer = Buffer.alloc(HEADER_OCTETS + 8 + ip.length)
  answer.set(request.subarray(0, HEADER_OCTETS))
  answer.writeUInt16BE(BINDING_RESPONSE, 0)
  answer.writeUInt16BE(8 + ip.length, 2)
  answer.writeUInt16BE(XOR_MAPPED_ADDRESS, HEADER_OCTETS)
  answer.writeUInt16BE(4 + ip.length, HEADER_OCTETS + 2)
  answer[HEADER_OCTETS + 5] = ip.length === 4 ? IPV4 : IPV6
  answer.writeUInt16BE(port ^ (MAGIC_COOKIE >>> 16), HEADER_OCTETS + 6)
  // What the address is hidden with, from rewriting NATs: the cookie and the transaction id, which follow each other.
  for (let i = 0; i < ip.length; i++) answer[HEADER_OCTETS + 8 + i] = ip[i]! ^ answer[4 + i]!
  return answer
}

function ipv6Octets(address: string): Buffer {
  const [head = '', tail] = address.split('%')[0]!.split('::')
  const words = (text: string) => (text === '' ? [] : text.split(':').flatMap(wordsOf))
  const before = words(head)
  const after = tail === undefined ? [] : words(tail)
  const octets = Buffer.alloc(16)
  for (const [i, word] of before.entries()) octets.writeUInt16BE(word, i * 2)
  for (const [i, word] of after.entries()) octets.writeUInt16BE(word, 16 - (after.length - i) * 2)
  return octets
}

/** A group of an IPv6 address; the last one may be an IPv4 address, two groups. */
function wordsOf(group: string): number[] {
  if (!group.includes('.')) return [Number.parseInt(group, 16)]
  const [a, b, c, d] = group.split('.').map(Number) as [number, number, number, number]
  return [(a << 8) | b, (c << 8) | d]
}
