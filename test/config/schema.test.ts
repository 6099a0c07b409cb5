import { availableParallelism } from 'node:os'
import { resolve } from 'node:path'
import { expect, test } from 'vitest'
import { demoConfig } from '../../src/config/demo.ts'
import { parseConfig } from '../../src/config/load.ts'
import { type Config, defaultConfig } from '../../src/config/schema.ts'

/** The config of a text that has no problems. */
function configOf(text: string): Config {
  const parsed = parseConfig(text, 'relay.yaml')
  if (!parsed.ok) throw new Error(parsed.error.map(({ message }) => message).join('\n'))
  return parsed.value
}

test('the defaults (M-44, R-3, R-6, R-21, R-45, R-46, D-12, D-13, S-62, SILO-8, SILO-14, SILO-29, SILO-40)', () => {
  expect(defaultConfig()).toEqual({
    data_dir: resolve('data'),
    workers: Math.min(32, availableParallelism() - 1),
    max_connections: 65_536,
    memory_mib: 64,
    listen: [
      { url: 'msrp://127.0.0.1:2855', scheme: 'msrp', host: '127.0.0.1', port: 2855 },
      { url: 'sip://127.0.0.1:5060', scheme: 'sip', host: '127.0.0.1', port: 5060 },
    ],
    domains: ['localhost'],
    auth: { users: [], algorithms: ['SHA-256', 'MD5'], nonce_lifetime: 300 },
    msrp: {
      realm: 'localhost',
      auth_min_expires: 60,
      auth_max_expires: 3600,
      auth_default_expires: 1800,
      max_sessions: 65_536,
      max_transactions: 65_536,
      first_request_timeout: 30,
      response_timeout: 30,
      idle_timeout: 3600,
      unknown_methods: 'forward',
      store_failed: false,
      store_failed_max: 16_384,
      plaintext_peers: false,
      peer_connect_timeout: 5,
      peer_idle_timeout: 300,
      limits: { start_line: 1024, header_line: 16_384, head: 65_536, headers: 1024, path_uris: 64, body: 65_536 },
    },
    sip: {
      peers: [],
      trust_flows: true,
      record_route: true,
      max_transactions: 524_288,
      max_branches: 12,
      timer_t1: 0.5,
      timer_c: 180.5,
      max_message_udp: 8192,
    },
    registrar: {
      realm: 'localhost',
      default_expires: 3600,
      min_expires: 60,
      max_expires: 86_400,
      max_contacts: 10,
      max_bindings: 1_000_000,
    },
    silo: {
      enabled: true,
      use_contact: true,
      skip_notification_flag: -1,
      add_date: true,
      date_zone: 'local',
      add_contact: false,
      send_time: 0,
      expire_time: 259_200,
      check_time: 30,
      clean_period: 5,
      use_mode: 0,
      max_messages: 0,
      max_octets: 0,
      max_per_sender: 0,
      max_body_size: 65_536,
      deliver: 'each',
      store_refused: [405, 501],
      max_attempts: 10,
      max_dead_letters: 100_000,
      deliveries_max: 1000,
      imdn: false,
      push_wait_seconds: 0,
    },
    tls: {},
    admin: { listen: '127.0.0.1:9095', host: '127.0.0.1', port: 9095 },
    log: { level: 'info', format: 'text' },
  })
})

test('a section that is written in part keeps the other defaults', () => {
  const { msrp, log } = configOf('msrp: { limits: { head: 4096 } }\nlog: { format: json }')
  expect(msrp.limits).toEqual({ ...defaultConfig().msrp.limits, head: 4096 })
  expect(log).toEqual({ level: 'info', format: 'json' })
})

test('the realm is the one written, else the first domain (R-30)', () => {
  expect(configOf('domains: [a.test, b.test]').msrp.realm).toBe('a.test')
  expect(configOf('domains: [a.test]\nmsrp: { realm: relay.test }').msrp.realm).toBe('relay.test')
})

test('whether AUTH is taken without TLS is left to the listener unless it is written (R-1)', () => {
  expect(configOf('').msrp.allow_plaintext_auth).toBeUndefined()
  expect(configOf('msrp: { allow_plaintext_auth: false }').msrp.allow_plaintext_auth).toBe(false)
})

test('admin: false switches the admin server off', () => {
  expect(configOf('admin: false').admin).toBe(false)
  expect(configOf('admin: {}').admin).toEqual(defaultConfig().admin)
  expect(configOf('admin: { listen: "[::1]:0" }').admin).toEqual({ listen: '[::1]:0', host: '::1', port: 0 })
})

test('a user has exactly the credentials that are written, hashes in small letters (D-14)', () => {
  const text = `
auth:
  users:
    - { username: alice, password: secret }
    - { username: bob, ha1_md5: ${'AB'.repeat(16)} }
    - { username: carol, ha1_md5: ${'ab'.repeat(16)}, ha1_sha256: ${'CD'.repeat(32)} }`
  expect(configOf(text).auth.users).toStrictEqual([
    { username: 'alice', password: 'secret' },
    { username: 'bob', ha1_md5: 'ab'.repeat(16) },
    { username: 'carol', ha1_md5: 'ab'.repeat(16), ha1_sha256: 'cd'.repeat(32) },
  ])
})

test('the algorithms keep their order (D-12)', () => {
  expect(configOf('auth: { algorithms: [MD5, SHA-256] }').auth.algorithms).toEqual(['MD5', 'SHA-256'])
  expect(configOf('auth: { algorithms: [SHA-256] }').auth.algorithms).toEqual(['SHA-256'])
})

test('the result is frozen all the way down', () => {
  const thawed: string[] = []
  const look = (value: unknown, path: string) => {
    if (typeof value !== 'object' || value === null) return
    if (!Object.isFrozen(value)) thawed.push(path)
    for (const [key, inner] of Object.entries(value)) look(inner, `${path}.${key}`)
  }
  look(configOf('auth: { users: [{ username: a, password: b }] }'), 'config')
  look(defaultConfig(), 'default')
  look(demoConfig().config, 'demo')
  expect(thawed).toEqual([])
})

test('freezing one config leaves the defaults of the next one alone', () => {
  const [first, second] = [defaultConfig(), defaultConfig()]
  expect(second).toEqual(first)
  expect(second.msrp).not.toBe(first.msrp)
})

test('the demo is the defaults with two users whose passwords nobody can guess', () => {
  const { config, users } = demoConfig()
  expect(config).toEqual({ ...defaultConfig(), auth: { ...defaultConfig().auth, users } })
  expect(users.map(({ username }) => username)).toEqual(['alice', 'bob'])
  const passwords = [...users, ...demoConfig().users].map(({ password }) => password)
  expect(new Set(passwords).size).toBe(4)
  for (const password of passwords) expect(password).toMatch(/^[0-9a-f]{24}$/)
})

test('files of listeners and of TLS are relative to the folder of the config file; addresses are read', () => {
  const text = `listen:
  - { url: "wss://[::1]:443", cert: c/relay.pem, key: /keys/relay.key, client_ca: ca.pem, advertise: "chat.example.com:443" }
tls: { ca: peers.pem }`
  const parsed = parseConfig(text, '/etc/silopath/relay.yaml')
  expect(parsed.ok && parsed.value.listen).toEqual([
    {
      url: 'wss://[::1]:443',
      scheme: 'wss',
      host: '::1',
      port: 443,
      cert: '/etc/silopath/c/relay.pem',
      key: '/keys/relay.key',
      client_ca: '/etc/silopath/ca.pem',
      advertise: { host: 'chat.example.com', port: 443 },
    },
  ])
  expect(parsed.ok && parsed.value.tls).toEqual({ ca: '/etc/silopath/peers.pem' })
})
