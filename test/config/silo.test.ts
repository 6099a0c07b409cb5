import { describe, expect, test } from 'vitest'
import { formatProblems, parseConfig } from '../../src/config/load.ts'
import type { Config } from '../../src/config/schema.ts'
import { headerTexts } from '../../src/config/silo-keys.ts'

/** The section of a text without problems. */
function siloOf(text: string): Config['silo'] {
  const parsed = parseConfig(text, 'relay.yaml')
  if (!parsed.ok) throw new Error(formatProblems(parsed.error))
  return parsed.value.silo
}

/** The problems of a text as the operator reads them, a line each. */
function problemsOf(text: string): string[] {
  const parsed = parseConfig(text, 'relay.yaml')
  return parsed.ok ? [] : formatProblems(parsed.error).split('\n')
}

test("every parameter of MSILO's manual is taken by its name (SILO-12, SILO-40, SILO-50)", () => {
  const text = `
silo:
  from_address: sip:$rU@example.org
  contact_hdr: "Contact: <sip:null@example.com>\\r\\n"
  extra_hdrs: "X-Extra: $tu\\r\\nY-Extra: foo\\r\\n"
  offline_message: "*** User $rU is offline!"
  content_type_hdr: "Content-Type: text/plain\\r\\n"
  reminder: sip:registrar@example.org
  outbound_proxy: sip:kamailio.org;transport=tcp
  expire_time: 36000
  check_time: 10
  send_time: 60
  clean_period: 3
  use_contact: 0
  snd_time_avp: $avp(i:123)
  add_date: 0
  max_messages: 100
  add_contact: 1
  extra_hdrs_avp: $avp(msilo_extra_hdrs)
  skip_notification_flag: 18
  use_mode: 1
`
  expect(siloOf(text)).toMatchObject({
    from_address: 'sip:$rU@example.org',
    extra_hdrs: 'X-Extra: $tu\r\nY-Extra: foo\r\n',
    use_contact: false,
    add_date: false,
    add_contact: true,
    skip_notification_flag: 18,
    use_mode: 1,
  })
})

test.each([
  [0, false],
  [1, true],
  [false, false],
  [true, true],
])('add_date: %s is what Kamailio writes, or YAML', (written, meant) => {
  expect(siloOf(`silo: { add_date: ${written} }`).add_date).toBe(meant)
})

test.each([
  ['as Kamailio has them', '"X-A: 1\\r\\nX-B: a: b\\r\\n"'],
  ['without the last end of line', '"X-A: 1\\r\\nX-B: a: b"'],
  ['unquoted', "'X-A: 1\\r\\nX-B: a: b\\r\\n'"],
  ['as a block', '|\n    X-A: 1\n    X-B :  a: b \n'],
])('header lines can be written %s', (_how, written) => {
  expect(headerTexts(siloOf(`silo:\n  extra_hdrs: ${written}`).extra_hdrs!)).toEqual([
    { name: 'X-A', value: '1' },
    { name: 'X-B', value: 'a: b' },
  ])
})

test.each(['db_url', 'db_table', 'sc_mid', 'sc_stored_hdrs'])(
  'SILO-50: %s is no key of the server, and the problem says where it belongs',
  (key) => {
    expect(problemsOf(`silo:\n  ${key}: x`)).toEqual([
      `relay.yaml:2:3: silo.${key}: names a part of an SQL table, which only import and export know; see silopath silo import --help and silopath silo export --help`,
    ])
  },
)

describe('a pseudo-variable that there is not is told where it stands', () => {
  test.each([
    ['plain', 'from_address: sip:$zz@a.test', '2:21'],
    ['in single quotes', "offline_message: '''$zz'", '2:23'],
    ['in double quotes', 'offline_message: "\\"\\t\\x41$zz"', '2:29'],
    ['in a block', 'extra_hdrs: |\n    X-A: 1\n    X-B: $zz', '4:10'],
    ['in a folded text', 'offline_message: >-\n    one\n    two $zz', '4:9'],
    ['in a text over two lines', 'offline_message: one\n    two $zz', '3:9'],
    ['after a line that is left out, where the text begins', 'offline_message: one\n\n    two $zz', '2:20'],
    ['at the beginning', 'reminder: $zz', '2:13'],
  ])('%s', (_how, line, place) => {
    // The type is there so that nothing but the text is wrong.
    const [problem, ...others] = problemsOf(`silo:\n  ${line}\n  content_type_hdr: "Content-Type: text/plain"`)
    expect(others).toEqual([])
    expect(problem).toContain(`relay.yaml:${place}: silo.`)
    expect(problem).toContain('expected text with pseudo-variables (there is no $zz; there are ru rU rd')
  })
})

describe('what could not work is told at start', () => {
  test.each([
    [
      'SILO-12: a text without its type',
      'silo: { offline_message: gone }',
      '1:7: silo.content_type_hdr: missing, expected a header line with the type of offline_message',
    ],
    [
      'another header',
      'silo: { content_type_hdr: "Contact: x" }',
      '1:27: silo.content_type_hdr: found "Contact: x", expected one header line, `Content-Type: ...`',
    ],
    [
      'two headers for one',
      'silo: { contact_hdr: "Contact: x\\nX-A: y" }',
      '1:22: silo.contact_hdr: found "Contact: x\\nX-A: y", expected one header line, `Contact: ...`',
    ],
    [
      'no header',
      'silo: { extra_hdrs: hello }',
      '1:21: silo.extra_hdrs: found "hello", expected header lines, `Name: value` each',
    ],
    [
      'a bare end of line in a header',
      'silo: { extra_hdrs: "X-A: b\\rX-C: d" }',
      '1:21: silo.extra_hdrs: found "X-A: b\\rX-C: d", expected header lines, `Name: value` each',
    ],
    [
      'a header of the server',
      'silo: { extra_hdrs: "via: x" }',
      '1:21: silo.extra_hdrs: found "via: x", expected headers that the server does not write itself, as it does via',
    ],
    ['an address that is none', 'silo: { reminder: bob }', '1:19: silo.reminder: found "bob", expected a SIP URI'],
    [
      'a proxy that is none',
      'silo: { outbound_proxy: a.test }',
      '1:25: silo.outbound_proxy: found "a.test", expected a SIP URI',
    ],
    [
      'a variable that is none',
      'silo: { snd_time_avp: "$var(x)" }',
      '1:23: silo.snd_time_avp: found "$var(x)", expected a variable, `$avp(name)` or `$hdr(Name)`',
    ],
    ['another number', 'silo: { use_contact: 2 }', '1:22: silo.use_contact: found 2, expected 0 or 1, false or true'],
    [
      'no zone',
      'silo: { date_zone: Mars/Olympus }',
      '1:20: silo.date_zone: found "Mars/Olympus", expected local, utc, or a zone such as Europe/Berlin',
    ],
    [
      'no code',
      'silo: { store_refused: [200] }',
      '1:25: silo.store_refused[0]: found 200, expected a whole number from 400 to 699 (status)',
    ],
  ])('%s', (_kind, text, problem) => {
    expect(problemsOf(text)).toEqual([`relay.yaml:${problem}`])
  })

  test('a secret of hooks is never shown', () => {
    const [problem, ...others] = problemsOf('silo: { hooks: { url: "http://a.test", secret: hush } }')
    expect(others).toEqual([])
    expect(problem).toBe('relay.yaml:1:48: silo.hooks.secret: found text, expected text of 16 to 1024 characters')
  })
})

test('hooks: all but the address and the secret has a default', () => {
  expect(siloOf('silo: { hooks: { url: "https://a.test/silo", secret: 0123456789abcdef } }').hooks).toEqual({
    url: 'https://a.test/silo',
    secret: '0123456789abcdef',
    events: ['message.stored', 'message.delivered', 'message.failed', 'message.expired', 'user.registered'],
    batch_max: 100,
    batch_wait: 1,
    timeout: 5,
    queue_max: 100_000,
    push: false,
  })
})
