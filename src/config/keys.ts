import { availableParallelism } from 'node:os'
import { z } from 'zod'
import { isHostName, parseEndpoint, parseListenUrl } from './address.ts'
import { authKeys } from './auth-keys.ts'
import { control, count, day, type KeyNotes, notes, seconds } from './key.ts'
import { siloKeys } from './silo-keys.ts'
import { registrarKeys, sipKeys } from './sip-keys.ts'

export type { KeyNotes }

const workersMax = 32
/** As many lanes as fit the shared memory with all other defaults. */
const workersDefaultMax = 16
const path = z.string().min(1)
const reachable = z.string().superRefine((text, context) => {
  const endpoint = parseEndpoint(text)
  if (!endpoint.ok) context.addIssue(`host:port (${endpoint.error})`)
  else if (endpoint.value.port === 0) context.addIssue('host:port (clients cannot reach port 0)')
})

const listener = z
  .strictObject({
    url: z
      .string()
      .superRefine((url, context) => {
        const address = parseListenUrl(url)
        if (!address.ok) context.addIssue(`scheme://host:port (${address.error})`)
      })
      .meta(
        notes(
          'Where to listen. Schemes: `msrp` (TCP), `msrps` (TLS), `sip` (UDP and TCP), `sips` (TLS), `tcp` and `tls` (both protocols, told apart by what peers send), `ws` and `wss` (both protocols, by WebSocket subprotocol). An IPv6 host stands in brackets; port 0 takes any free port.',
          { kamailio: 'listen', expects: 'scheme://host:port' },
        ),
      ),
    cert: path.optional().meta(
      notes('Certificate chain of a TLS listener, in PEM, relative to the folder of the config file.', {
        kamailio: 'certificate (tls)',
        expects: 'a path',
        default_note: 'none; `msrps`, `sips`, `tls` and `wss` need one',
      }),
    ),
    key: path.optional().meta(
      notes('Private key of the certificate, in PEM.', {
        kamailio: 'private_key (tls)',
        expects: 'a path',
        default_note: 'none; `msrps`, `sips`, `tls` and `wss` need one',
      }),
    ),
    client_ca: path
      .optional()
      .meta(
        notes(
          'CA certificates, in PEM: clients of a TLS listener are asked for a certificate of one of these, but need not have one (R-2).',
          { kamailio: 'ca_list (tls)', expects: 'a path', default_note: 'none: clients are not asked' },
        ),
      ),
    advertise: reachable
      .optional()
      .meta(
        notes(
          'The address peers are told instead of the one listened on, in Via, Record-Route and Path; it comes before `msrp.use_path_addr`.',
          { kamailio: 'listen … advertise', expects: 'host:port', default_note: 'address of the listener' },
        ),
      ),
  })
  .meta(notes('A listener.'))

const tls = z
  .strictObject({
    ca: path
      .optional()
      .meta(
        notes(
          'CA certificates, in PEM, that are trusted beside the well-known ones when we connect over TLS. Certificates are always verified (R-5).',
          { kamailio: 'ca_list (tls)', expects: 'a path', default_note: 'none' },
        ),
      ),
  })
  .prefault({})
  .meta(notes('TLS connections that we make.'))

// The defaults of M-44 are also the maxima: the kernel's tables and the segments are sized for them.
const limit = (min: number, max: number) => count(min, max).default(max)
const limits = z
  .strictObject({
    start_line: limit(64, 1024).meta(notes('Start line.', { unit: 'octets' })),
    header_line: limit(64, 16_384).meta(notes('One header line.', { unit: 'octets' })),
    head: limit(256, 65_536).meta(notes('Start line and headers together. Kamailio: 4096, fixed.', { unit: 'octets' })),
    headers: limit(4, 1024).meta(notes('Headers of a frame.', { unit: 'headers' })),
    path_uris: limit(2, 64).meta(notes('URIs in To-Path, and in From-Path.', { unit: 'URIs' })),
    body: limit(1, 65_536).meta(notes('Body of one chunk. Kamailio: 10240, fixed.', { unit: 'octets' })),
  })
  .prefault({})
  .meta(notes('Largest frames taken (M-44). The defaults are also the maxima of this version.'))

const msrp = z
  .strictObject({
    realm: z
      .string()
      .regex(new RegExp(`^[^"\\\\${control}]{1,255}$`))
      .optional()
      .meta(
        notes('Realm of the digest challenge (R-30); HA1 values are made for it.', {
          expects: 'text of 1 to 255 characters without quotes and backslashes',
          default_note: 'first of `domains`',
        }),
      ),
    use_path_addr: reachable.optional().meta(
      notes(
        'The address handed out in Use-Path URIs: the name and port clients reach this relay at. R-25 asks for a host name, not an IP address.',
        {
          kamailio: 'use_path_addr (msrp)',
          expects: 'host:port',
          default_note: 'address of the listener',
        },
      ),
    ),
    allow_plaintext_auth: z
      .boolean()
      .optional()
      .meta(
        notes('Take AUTH on connections without TLS, which R-1 forbids outside of tests and trusted networks.', {
          default_note: 'true on listeners of a loopback address, false on others',
        }),
      ),
    auth_min_expires: count(1, 30 * day)
      .default(60)
      .meta(
        notes('Shortest session life a client may ask for; below it 423 with Min-Expires (R-21).', {
          unit: 's',
          kamailio: 'auth_min_expires (msrp)',
        }),
      ),
    auth_max_expires: count(1, 30 * day)
      .default(3600)
      .meta(
        notes('Longest session life a client may ask for; above it 423 with Max-Expires (R-21).', {
          unit: 's',
          kamailio: 'auth_max_expires (msrp)',
        }),
      ),
    auth_default_expires: count(1, 30 * day)
      .default(1800)
      .meta(notes('Session life when the client asks for none (R-21).', { unit: 's' })),
    max_sessions: count(1, 1_048_576)
      .default(65_536)
      .meta(
        notes('Sessions of one lane; an AUTH beyond it is refused.', {
          unit: 'sessions',
          kamailio: 'cmap_size (msrp; 2^n slots)',
        }),
      ),
    max_transactions: count(16, 1_048_576)
      .default(65_536)
      .meta(notes('Forwarded chunks of one lane whose outcome is awaited (R-12, R-45).', { unit: 'chunks' })),
    first_request_timeout: seconds(3600)
      .default(30)
      .meta(notes('A new connection without a successful request in this time is closed (R-3).', { unit: 's' })),
    response_timeout: seconds(3600)
      .default(30)
      .meta(
        notes('How long the next hop may take to answer a chunk, before its sender gets a REPORT with 408 (R-45).', {
          unit: 's',
        }),
      ),
    idle_timeout: seconds(30 * day)
      .default(3600)
      .meta(
        notes('A client connection that is idle this long is closed; R-6 allows that after an hour.', {
          unit: 's',
          kamailio: 'tcp_connection_lifetime',
        }),
      ),
    unknown_methods: z
      .enum(['forward', 'refuse'])
      .default('forward')
      .meta(
        notes('Requests with an unknown method: forward them as REPORT is forwarded, or refuse them with 501 (R-46).'),
      ),
    store_failed: z
      .boolean()
      .default(false)
      .meta(
        notes(
          'Keep whole texts (one chunk, `text/*`) of users of ours to a user of ours whose session is gone, and deliver them as MESSAGE when that user registers. Their senders get a REPORT with 202, or 481 where nothing was kept.',
        ),
      ),
    store_failed_max: count(1, 65_536)
      .default(16_384)
      .meta(notes('Largest text that `store_failed` keeps.', { unit: 'octets' })),
    plaintext_peers: z.boolean().default(false).meta(notes('Connect out to foreign next hops over plain TCP (R-1).')),
    peer_connect_timeout: seconds(300)
      .default(5)
      .meta(
        notes('How long connecting to a next hop may take, before senders get 408 (R-48).', {
          unit: 's',
          kamailio: 'tcp_connect_timeout',
        }),
      ),
    peer_idle_timeout: seconds(30 * day)
      .default(300)
      .meta(notes('A connection to a foreign next hop that is idle this long is closed (R-6).', { unit: 's' })),
    limits,
  })
  .prefault({})
  .meta(notes('The MSRP relay.'))

const admin = z
  .union([
    z.literal(false),
    z.strictObject({
      listen: z
        .string()
        .superRefine((text, context) => {
          const endpoint = parseEndpoint(text)
          if (!endpoint.ok) context.addIssue(`host:port (${endpoint.error})`)
        })
        .default('127.0.0.1:9095')
        .meta(
          notes(
            'Address of /metrics, /healthz, /readyz and the admin API. Whoever reaches it sees users and sessions.',
            {
              kamailio: 'listen (with xhttp, xhttp_prom)',
              expects: 'host:port',
            },
          ),
        ),
    }),
  ])
  .prefault({})
  .meta(notes('The admin HTTP server; `admin: false` switches it off.', { expects: 'false or a section' }))

const log = z
  .strictObject({
    level: z
      .enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'])
      .default('info')
      .meta(notes('Least important log lines written.', { kamailio: 'debug' })),
    format: z
      .enum(['text', 'json'])
      .default('text')
      .meta(
        notes('Log lines for people or for programs; `silopath run --log-format` comes first.', {
          kamailio: 'log_engine_type',
        }),
      ),
  })
  .prefault({})
  .meta(notes('Logging, on stderr.'))

/** Every key of the config file. */
export const configKeys = z
  .strictObject({
    data_dir: z
      .string()
      .min(1)
      .default('./data')
      .meta(
        notes('Folder of the databases, relative to the folder of the config file; made when it is not there.', {
          expects: 'a path',
        }),
      ),
    workers: count(0, workersMax)
      .default(() => Math.min(workersDefaultMax, Math.max(0, availableParallelism() - 1)))
      .meta(
        notes('Worker threads, each with one lane; 0 runs one lane in the primary thread.', {
          unit: 'threads',
          kamailio: 'children, tcp_children',
          default_note: `processor cores - 1, at most ${workersDefaultMax}`,
        }),
      ),
    max_connections: count(16, 1_048_576)
      .default(65_536)
      .meta(
        notes('Open connections; more are closed at once.', { unit: 'connections', kamailio: 'tcp_max_connections' }),
      ),
    memory_mib: count(8, 1024)
      .default(64)
      .meta(
        notes(
          `Memory of each lane for frames in transit; when it is used up, reading pauses. With the tables, all lanes together take at most 2047 MiB.`,
          {
            unit: 'MiB',
            kamailio: '-m (shared memory)',
          },
        ),
      ),
    listen: z
      .array(listener)
      .min(1)
      .max(64)
      .default([{ url: 'msrp://127.0.0.1:2855' }, { url: 'sip://127.0.0.1:5060' }])
      .meta(notes('The listeners.', { expects: 'a list of 1 to 64 listeners, each `- url: scheme://host:port`' })),
    tls,
    domains: z
      .array(
        z
          .string()
          .refine(isHostName, 'a domain name')
          .meta(notes('A domain.', { expects: 'a domain name' })),
      )
      .min(1)
      .max(1024)
      .default(['localhost'])
      .meta(
        notes('SIP domains served here; the first is the default realm.', {
          kamailio: 'alias',
          expects: 'a list of 1 to 1024 domain names',
        }),
      ),
    auth: authKeys,
    msrp,
    sip: sipKeys,
    registrar: registrarKeys,
    silo: siloKeys,
    admin,
    log,
  })
  .meta(notes('The config file.', { expects: 'a section: keys and their values' }))

/** What the keys' schema makes of a file: defaults filled in, rules between keys not yet checked. */
export type ConfigKeys = z.output<typeof configKeys>
