import type { Buffer } from 'node:buffer'
import type { Address } from '../ids.ts'
import { DATAGRAM_HEAD_OCTETS } from './lane-port.ts'

/** Longest IP address as text, with the zone of a link-local one. */
const ADDRESS_MAX = DATAGRAM_HEAD_OCTETS - 3

/** Writes the head in front of a datagram; see DATAGRAM_HEAD_OCTETS. `address` is an IP address, IPv6 without brackets. */
export function writeDatagramHead(octets: Buffer, at: Address, address: string, port: number): void {
  octets.writeUInt16LE(port, at)
  const length = Math.min(address.length, ADDRESS_MAX)
  octets[at + 2] = length
  // So few that a call to write them costs more.
  for (let i = 0; i < length; i++) octets[at + 3 + i] = address.charCodeAt(i)
}

/** By which datagrams are dealt out to lanes, and nonces are bound to where they came from: 0 … 2^32 - 1. */
export function sourceHash(address: string, port: number): number {
  let hash = port
  for (let i = 0; i < address.length; i++) hash = Math.imul(hash ^ address.charCodeAt(i), 0x0100_0193)
  return (hash ^ (hash >>> 15)) >>> 0
}

/** Who a datagram came from, or goes to. */
export function readDatagramHead(octets: Buffer, at: Address): { readonly address: string; readonly port: number } {
  const start = at + 3
  return { port: octets.readUInt16LE(at), address: octets.toString('latin1', start, start + octets[at + 2]!) }
}
