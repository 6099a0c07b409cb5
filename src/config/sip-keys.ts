/** The sections `sip` and `registrar`. */
import { BlockList, isIP } from 'node:net'
import { z } from 'zod'
import { count, day, notes, seconds } from './key.ts'

/** Reads an address or a network (`10.0.0.0/8`); null when it is neither. */
export function parseNetwork(text: string): { readonly address: string; readonly prefix: number } | null {
  const [, address = '', prefix] = /^([^/]*)(?:\/(\d{1,3}))?$/.exec(text) ?? []
  const most = { 0: -1, 4: 32, 6: 128 }[isIP(address) as 0 | 4 | 6]
  const length = prefix === undefined ? most : Number(prefix)
  return most < 0 || length > most ? null : { address, prefix: length }
}

/** What the networks of a list have in common: whether they hold an address. */
export function networksOf(texts: readonly string[]): BlockList {
  const list = new BlockList()
  for (const text of texts) {
    const network = parseNetwork(text)
    if (network !== null) list.addSubnet(network.address, network.prefix, isIP(network.address) === 4 ? 'ipv4' : 'ipv6')
  }
  return list
}

export const sipKeys = z
  .strictObject({
    peers: z
      .array(
        z
          .string()
          .refine((text) => parseNetwork(text) !== null)
          .meta(notes('An address or a network.', { expects: 'an IP address, or a network such as 10.0.0.0/8' })),
      )
      .max(1024)
      .default([])
      .meta(
        notes(
          'Servers that requests are taken from without credentials, and relayed for to wherever they name. The address is all that is looked at, which over UDP anybody can write into a datagram: name only networks that yours does not let in from outside.',
          { kamailio: 'permissions (allow_source_address)', expects: 'a list of at most 1024 addresses and networks' },
        ),
      ),
    trust_flows: z
      .boolean()
      .default(true)
      .meta(
        notes(
          'Requests on a TCP, TLS or WebSocket connection, for a user who has registered on it with credentials, are not challenged again. Over UDP every request is.',
        ),
      ),
    record_route: z
      .boolean()
      .default(true)
      .meta(
        notes('Stay on the way of dialogs, so that their requests pass here (S-44).', {
          kamailio: 'record_route (rr)',
        }),
      ),
    max_transactions: count(64, 4_194_304)
      .default(524_288)
      .meta(
        notes(
          'Transactions of each lane; beyond them new requests are answered 503. Over UDP each is remembered for 32 s (S-34).',
          { unit: 'transactions' },
        ),
      ),
    max_branches: count(1, 100)
      .default(12)
      .meta(
        notes('Contacts that one request is sent to; those of lowest preference are left out.', {
          unit: 'branches',
          kamailio: 'max_branches',
        }),
      ),
    timer_t1: seconds(5)
      .default(0.5)
      .meta(
        notes('T1 of RFC 3261: the estimate of a round trip. T2 and T4 follow as eight and ten times that.', {
          unit: 's',
          kamailio: 'retr_timer1 (tm), in ms',
        }),
      ),
    timer_c: seconds(3600)
      .default(180.5)
      .meta(
        notes('How long an INVITE may ring after the last provisional answer (S-48); over three minutes by the RFC.', {
          unit: 's',
          kamailio: 'fr_inv_timer (tm), in ms',
        }),
      ),
    max_message_udp: count(200, 65_000)
      .default(8192)
      .meta(notes('MESSAGE requests over UDP that are larger are answered 513 (S-82).', { unit: 'octets' })),
  })
  .prefault({})
  .meta(notes('The SIP proxy.'))

export const registrarKeys = z
  .strictObject({
    realm: z
      .string()
      .min(1)
      .max(253)
      .exactOptional()
      .meta(
        notes('Realm of digest challenges to SIP requests.', {
          default_note: 'the first of domains',
          expects: 'text',
        }),
      ),
    default_expires: count(1, 30 * day)
      .default(3600)
      .meta(
        notes('For how long a contact is registered that asks for no time of its own (S-62).', {
          unit: 's',
          kamailio: 'default_expires (registrar)',
        }),
      ),
    min_expires: count(1, 3600)
      .default(60)
      .meta(
        notes('Who asks for less gets 423 with Min-Expires (S-62).', {
          unit: 's',
          kamailio: 'min_expires (registrar)',
        }),
      ),
    max_expires: count(60, 30 * day)
      .default(day)
      .meta(notes('Who asks for more gets this much (S-62).', { unit: 's', kamailio: 'max_expires (registrar)' })),
    max_contacts: count(1, 1000)
      .default(10)
      .meta(
        notes('Contacts of one address-of-record; more are answered 403.', {
          unit: 'contacts',
          kamailio: 'max_contacts (registrar)',
        }),
      ),
    max_bindings: count(1, 100_000_000)
      .default(1_000_000)
      .meta(notes('Contacts of all users; more are answered 503.', { unit: 'contacts' })),
  })
  .prefault({})
  .meta(notes('The registrar.'))
