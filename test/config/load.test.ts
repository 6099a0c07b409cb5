import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { configError, formatProblems, loadConfig, parseConfig } from '../../src/config/load.ts'

/** The problems of a config text as the operator reads them, a line each. */
function problemsOf(text: string): string[] {
  const parsed = parseConfig(text, 'relay.yaml')
  return parsed.ok ? [] : formatProblems(parsed.error).split('\n')
}

const everyKey =
  'known here: data_dir, workers, max_connections, memory_mib, listen, tls, domains, auth, msrp, sip, registrar, silo, admin, log'

describe('a problem is told with file, line, column, what was found and what was expected', () => {
  test.each<[kind: string, text: string, problem: string]>([
    ['a number out of range', 'workers: 33', '1:10: workers: found 33, expected a whole number from 0 to 32 (threads)'],
    ['a fraction', 'workers: 1.5', '1:10: workers: found 1.5, expected a whole number from 0 to 32 (threads)'],
    [
      'a bad fraction, once',
      'workers: 33.5',
      '1:10: workers: found 33.5, expected a whole number from 0 to 32 (threads)',
    ],
    [
      'no finite number',
      'max_connections: .inf',
      '1:18: max_connections: found Infinity, expected a whole number from 16 to 1048576 (connections)',
    ],
    [
      'text for a number',
      'memory_mib: 64MB',
      '1:13: memory_mib: found "64MB", expected a whole number from 8 to 1024 (MiB)',
    ],
    [
      'a time that is too short',
      'msrp:\n  idle_timeout: 0',
      '2:17: msrp.idle_timeout: found 0, expected a number from 0.1 to 2592000 (s)',
    ],
    [
      'a limit above the maximum (M-44)',
      'msrp: { limits: { body: 65537 } }',
      '1:25: msrp.limits.body: found 65537, expected a whole number from 1 to 65536 (octets)',
    ],
    [
      'YAML 1.1 truth',
      'msrp:\n  plaintext_peers: yes',
      '2:20: msrp.plaintext_peers: found "yes", expected true or false',
    ],
    [
      'a value that is not allowed',
      'msrp: { unknown_methods: drop }',
      '1:26: msrp.unknown_methods: found "drop", expected one of forward, refuse',
    ],
    [
      'a level that is not allowed',
      'log: { level: warning }',
      '1:15: log.level: found "warning", expected one of trace, debug, info, warn, error, fatal, silent',
    ],
    [
      'a key without a value',
      'log:\n  level:\n',
      '2:3: log.level: found nothing, expected one of trace, debug, info, warn, error, fatal, silent',
    ],
    ['a section without keys', '\nmsrp:\n  # realm: x\n', '2:1: msrp: found nothing, expected a section'],
    ['a value for a section', 'msrp: 2855', '1:7: msrp: found 2855, expected a section'],
    ['a list for a section', 'msrp: []', '1:7: msrp: found a list, expected a section'],
    [
      'a section for a list',
      'domains: {}',
      '1:10: domains: found a section, expected a list of 1 to 1024 domain names',
    ],
    ['an empty list', 'domains: []', '1:10: domains: found a list, expected a list of 1 to 1024 domain names'],
    ['a list item', 'domains:\n  - example.org\n  - a b', '3:5: domains[1]: found "a b", expected a domain name'],
    ['no keys at all', 'relay', '1:1: the file: found "relay", expected a section: keys and their values'],
    [
      'a scheme of a later version',
      'listen:\n  - url: http://[::1]:2856',
      '2:10: listen[0].url: found "http://[::1]:2856", expected scheme://host:port (an unknown scheme; known are msrp, msrps, sip, sips, tcp, tls, ws, wss)',
    ],
    [
      'a URL without a port',
      'listen:\n  - url: msrp://127.0.0.1',
      '2:10: listen[0].url: found "msrp://127.0.0.1", expected scheme://host:port (the port is missing)',
    ],
    ['a required key that is missing', 'listen:\n  - {}', '2:5: listen[0].url: missing, expected scheme://host:port'],
    [
      'an address without a port (K-3)',
      'msrp: { use_path_addr: relay.test }',
      '1:24: msrp.use_path_addr: found "relay.test", expected host:port (the port is missing)',
    ],
    [
      'an address nobody can reach (K-3)',
      'msrp: { use_path_addr: "relay.test:0" }',
      '1:24: msrp.use_path_addr: found "relay.test:0", expected host:port (clients cannot reach port 0)',
    ],
    ['admin neither off nor a section', 'admin: true', '1:8: admin: found true, expected false or a section'],
    ['a value inside admin', 'admin: { listen: 9095 }', '1:18: admin.listen: found 9095, expected host:port'],
    ['an unknown key inside admin', 'admin: { port: 9095 }', '1:10: admin.port: unknown key; known here: listen'],
    ['an unknown key', '\npresence: {}', `2:1: presence: unknown key; ${everyKey}`],
    ['an unknown key with odd letters', '"a b": 1', `1:1: "a b": unknown key; ${everyKey}`],
    ['a key that objects have by themselves', '__proto__: {}', `1:1: __proto__: unknown key; ${everyKey}`],
    [
      'a misspelt key',
      'msrp:\n  auth_max_expire: 60',
      '2:3: msrp.auth_max_expire: unknown key; did you mean auth_max_expires?',
    ],
    ['a key with hyphens', 'max-connections: 60', '1:1: max-connections: unknown key; did you mean max_connections?'],
    [
      'a key in the wrong section',
      'auth_max_expires: 60',
      '1:1: auth_max_expires: unknown key; did you mean msrp.auth_max_expires?',
    ],
    [
      'a list item key in the wrong section',
      'url: msrp://[::1]:2855',
      '1:1: url: unknown key; did you mean listen[].url?',
    ],
    [
      'a key that stands twice',
      'workers: 1\nlog: {}\nworkers: 2',
      '3:1: workers: stands here a second time, expected each key once',
    ],
    [
      'no YAML',
      'listen: [',
      '1:10: not readable as YAML: Flow sequence in block collection must be sufficiently indented and end with a ]',
    ],
    ['a list as a key', '[a]: 1', '1:1: not readable as YAML: a key must be text'],
    ['two documents', 'workers: 1\n---\nworkers: 2', '2:1: a second document starts here, expected one'],
    ['an alias', 'log: &log {}\nmsrp: *log', '2:7: aliases are not supported: text that starts with * must be quoted'],
    ['a tag', 'log: !custom {}', '1:6: tags are not supported: text that starts with ! must be quoted'],
  ])('%s', (_kind, text, problem) => {
    expect(problemsOf(text)).toEqual([`relay.yaml:${problem}`])
  })

  test('all problems at once, in the order of the file, rules between sound keys among them', () => {
    const text = `
workers: 33.5
unknown: 1
workers: 3
msrp:
  auth_max_expires: 100
  realmm: x
listen:
  - url: msrp://[::1]:2855
    backlog: 5
auth:
  users:
    - username: al:ice
      password: secret
`
    expect(problemsOf(text)).toEqual([
      `relay.yaml:3:1: unknown: unknown key; ${everyKey}`,
      'relay.yaml:4:1: workers: stands here a second time, expected each key once',
      'relay.yaml:6:21: msrp.auth_max_expires: found 100, expected auth_min_expires (60) <= auth_default_expires (1800) <= auth_max_expires (100)',
      'relay.yaml:7:3: msrp.realmm: unknown key; did you mean realm?',
      'relay.yaml:10:5: listen[0].backlog: unknown key; known here: url, cert, key, client_ca, advertise',
      'relay.yaml:13:17: auth.users[0].username: found "al:ice", expected text of 1 to 128 characters without a colon',
    ])
  })
})

describe('rules between keys', () => {
  const expires = (min: number, usual: number, max: number) =>
    `auth_min_expires (${min}) <= auth_default_expires (${usual}) <= auth_max_expires (${max})`

  test.each<[text: string, problem: string]>([
    ['auth_default_expires: 59', `3:25: msrp.auth_default_expires: found 59, expected ${expires(60, 59, 3600)}`],
    ['auth_default_expires: 3601', `3:25: msrp.auth_default_expires: found 3601, expected ${expires(60, 3601, 3600)}`],
    ['auth_min_expires: 1801', `3:21: msrp.auth_min_expires: found 1801, expected ${expires(1801, 1800, 3600)}`],
    ['auth_max_expires: 1799', `3:21: msrp.auth_max_expires: found 1799, expected ${expires(60, 1800, 1799)}`],
  ])('R-21: the default life of a session lies between its bounds, %s does not', (text, problem) => {
    expect(problemsOf(`\nmsrp:\n  ${text}`)).toEqual([`relay.yaml:${problem}`])
  })

  test('R-21: the bounds themselves are allowed as the default', () => {
    expect(problemsOf('msrp: { auth_min_expires: 60, auth_default_expires: 60, auth_max_expires: 60 }')).toEqual([])
  })

  test('a rule does not judge keys that are in error themselves', () => {
    expect(problemsOf('msrp: { auth_min_expires: x, auth_default_expires: 4000 }')).toEqual([
      'relay.yaml:1:27: msrp.auth_min_expires: found "x", expected a whole number from 1 to 2592000 (s)',
    ])
  })

  test('the memory of all lanes fits into the shared memory', () => {
    expect(problemsOf('workers: 8\nmemory_mib: 192')).toEqual([])
    const [problem, ...others] = problemsOf('workers: 8\nmemory_mib: 256')
    expect(others).toEqual([])
    expect(problem).toMatch(/^relay\.yaml:2:13: memory_mib: found 256, expected .* at most 2047 MiB together/)
    expect(problem).toMatch(/these take 2\d{3} with 8 lanes/)
    expect(problemsOf('workers: 0\nmemory_mib: 1024')).toEqual([])
    expect(problemsOf('workers: 16')).toEqual([])
  })

  test.each(['msrps', 'sips', 'tls', 'wss'])('a %s listener needs a certificate and its key', (scheme) => {
    const url = `${scheme}://127.0.0.1:0`
    expect(problemsOf(`listen:\n  - url: ${url}`)).toEqual([
      `relay.yaml:2:5: listen[0].cert: missing, expected a path, as ${scheme} needs a certificate`,
      `relay.yaml:2:5: listen[0].key: missing, expected a path, as ${scheme} needs a certificate`,
    ])
    expect(problemsOf(`listen:\n  - { url: "${url}", cert: a.pem, key: b.pem, client_ca: c.pem }`)).toEqual([])
  })

  test.each(['msrp', 'sip', 'tcp', 'ws'])('a %s listener takes none', (scheme) => {
    expect(problemsOf(`listen:\n  - url: ${scheme}://127.0.0.1:0\n    cert: a.pem\n    client_ca: c.pem`)).toEqual([
      `relay.yaml:3:11: listen[0].cert: found "a.pem", expected nothing, as ${scheme} has no TLS`,
      `relay.yaml:4:16: listen[0].client_ca: found "c.pem", expected nothing, as ${scheme} has no TLS`,
    ])
  })

  test('an advertised address is one that peers can use', () => {
    expect(problemsOf('listen:\n  - { url: "sip://0.0.0.0:5060", advertise: "sip.example.com:5060" }')).toEqual([])
    expect(problemsOf('listen:\n  - { url: "sip://0.0.0.0:5060", advertise: "sip.example.com:0" }').join()).toMatch(
      /listen\[0\]\.advertise: .* expected host:port \(clients cannot reach port 0\)$/,
    )
  })

  test('two listeners do not share an address, nor does the admin server; port 0 is never the same', () => {
    const text = `
listen:
  - url: msrp://localhost:2855
  - url: msrp://LOCALHOST:2855
  - url: msrp://[::1]:0
  - url: msrp://[::1]:0
admin: { listen: "localhost:2855" }`
    expect(problemsOf(text)).toEqual([
      'relay.yaml:4:10: listen[1].url: found "msrp://LOCALHOST:2855", expected an address that listen[0] does not use',
      'relay.yaml:7:18: admin.listen: found "localhost:2855", expected an address that listen[0] does not use',
    ])
  })

  test('D-12: an algorithm is offered once', () => {
    expect(problemsOf('auth: { algorithms: [MD5, MD5] }')).toEqual([
      'relay.yaml:1:27: auth.algorithms[1]: found "MD5", expected each algorithm once',
    ])
  })

  test('a username stands once', () => {
    const text = `
auth:
  users:
    - { username: alice, password: a }
    - { username: bob, password: b }
    - { username: alice, password: c }`
    expect(problemsOf(text)).toEqual([
      'relay.yaml:6:19: auth.users[2].username: found "alice", expected each username once (see auth.users[0])',
    ])
  })

  test('D-14: a user has a password or HA1 values, for an algorithm that is offered', () => {
    const md5 = 'a'.repeat(32)
    const sha256 = 'b'.repeat(64)
    const text = `
auth:
  algorithms: [MD5]
  users:
    - { username: a }
    - { username: b, password: x, ha1_md5: ${md5} }
    - { username: c, ha1_sha256: ${sha256} }
    - { username: d, ha1_sha256: ${sha256}, ha1_md5: ${md5} }
    - { username: e, password: x }`
    const either = 'found a section, expected either password, or ha1_md5 and/or ha1_sha256'
    expect(problemsOf(text.replace(/.*username: c.*\n/, ''))).toEqual([
      `relay.yaml:5:7: auth.users[0]: ${either}`,
      `relay.yaml:6:7: auth.users[1]: ${either}`,
    ])
    expect(problemsOf(text.replace(/.*username: [ab],? .*\n/g, ''))).toEqual([
      'relay.yaml:5:7: auth.users[0]: found a section, expected ha1_md5, as auth.algorithms asks for',
    ])
  })
})

describe('D-14: a problem never shows what may be a secret', () => {
  test.each([
    ['a password of digits', '{ username: a, password: 4711 }'],
    ['a password with a control character', '{ username: a, password: "s3cr\\te" }'],
    ['an HA1 of the wrong size', '{ username: a, ha1_md5: s3cr3t }'],
    ['a user in short form', 'alice:s3cr3t'],
    ['a password without its key', '{ username: a, s3cr3t }'],
    ['a password as an alias', '{ username: a, password: *s3cr3t }'],
    ['a password as a tag', '{ username: a, password: !s3cr3t }'],
    ['text behind a quoted password', '{ username: a, password: "x" s3cr3t }'],
  ])('%s', (_kind, user) => {
    const [problem, ...others] = problemsOf(`auth: { users: [${user}] }`)
    expect(problem).toMatch(/^relay\.yaml:1:\d+: /)
    expect([problem, ...others].join()).not.toMatch(/s3cr|4711/)
  })

  test('a user in a listen URL', () => {
    expect(problemsOf('listen: [{ url: "msrp://alice:s3cr3t@[::1]:2855" }]').join()).toMatch(
      /found "msrp:\/\/\.\.\.@\[::1\]:2855", expected .*users do not belong/,
    )
  })
})

describe('loadConfig', () => {
  let folder: string
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'silopath-config-'))
  })
  afterEach(() => rm(folder, { recursive: true }))

  test('takes relative paths from the folder of the file', async () => {
    await mkdir(join(folder, 'etc'))
    await writeFile(join(folder, 'etc', 'relay.yaml'), 'data_dir: ../data\n')
    const loaded = await loadConfig(join(folder, 'etc', 'relay.yaml'))
    expect(loaded.ok && loaded.value.data_dir).toBe(join(folder, 'data'))
  })

  test('an empty file gives the defaults', async () => {
    await writeFile(join(folder, 'relay.yaml'), '# nothing\n')
    const loaded = await loadConfig(join(folder, 'relay.yaml'))
    expect(loaded.ok && loaded.value.msrp.auth_max_expires).toBe(3600)
  })

  test('says that there is no such file', async () => {
    const path = join(folder, 'nowhere.yaml')
    const problem = { file: path, position: null, message: 'there is no such file' }
    expect(await loadConfig(path)).toEqual({ ok: false, error: [problem] })
    expect(configError([problem])).toMatchObject({
      code: 'CONFIG_INVALID',
      message: `1 problem in the configuration:\n${path}: there is no such file`,
    })
  })

  test('says why a file cannot be read', async () => {
    const problem = { file: folder, position: null, message: 'the file cannot be read (EISDIR)' }
    expect(await loadConfig(folder)).toEqual({ ok: false, error: [problem] })
  })
})

test('every example is a good config', async () => {
  const folder = resolve(import.meta.dirname, '../../examples')
  const examples = (await readdir(folder)).filter((file) => file.endsWith('.yaml'))
  expect(examples).toContain('relay.yaml')
  for (const example of examples) {
    const loaded = await loadConfig(join(folder, example))
    expect(loaded.ok ? '' : formatProblems(loaded.error)).toBe('')
  }
})
