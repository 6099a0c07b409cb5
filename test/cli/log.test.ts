import { expect, test } from 'vitest'
import { SilopathError } from '../../src/errors.ts'
import { createLogger, type LogFormat, type Logger, type LogLevel } from '../../src/log.ts'

/** What a logger writes. */
function written(level: LogLevel, format: LogFormat, use: (log: Logger) => void): string {
  let text = ''
  use(createLogger(level, format, { write: (line) => void (text += line) }))
  return text
}

test('text: a line with time, level, message and fields, quoted where they need it', () => {
  const text = written('info', 'text', (log) => {
    log.info({ lanes: 2, url: 'msrp://[::1]:2855', reason: 'not found', limits: { head: 1 } }, 'listening')
    log.warn({}, 'slow')
  })
  expect(text.replace(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/gm, 'TIME')).toBe(
    'TIME INFO  listening lanes=2 url=msrp://[::1]:2855 reason="not found" limits={"head":1}\nTIME WARN  slow\n',
  )
})

test('text: what peers wrote neither breaks the line nor drives the terminal', () => {
  const text = written('info', 'text', (log) => log.info({ name: 'a\n\u001b[2J\u009b' }, 'one\r\ntwo\u001b[2J'))
  expect(text).toMatch(/^[^\u0000-\u001f\u007f-\u009f]+\n$/)
})

test('text: an error gives its message, and its stack with the cause on lines of its own', () => {
  const cause = new Error('EADDRINUSE')
  const err = new SilopathError('LISTEN_FAILED', 'port 2855 is in use', { cause })
  const [first, ...others] = written('info', 'text', (log) => log.error({ err }, 'failed')).split('\n')
  expect(first).toMatch(/ ERROR failed err="port 2855 is in use: EADDRINUSE"$/)
  expect(others[0]).toMatch(/^ {6}at .*log\.test\.ts/)
  expect(others).toContain('  caused by: Error: EADDRINUSE')
})

test('json: an object a line, the level by name', () => {
  const text = written('debug', 'json', (log) => log.debug({ lanes: 2 }, 'started'))
  expect(JSON.parse(text)).toEqual({ level: 'debug', time: expect.stringMatching(/Z$/), lanes: 2, msg: 'started' })
  expect(text.endsWith('}\n')).toBe(true)
})

test.each<[LogLevel, string[]]>([
  ['debug', ['debug', 'info', 'warn', 'error']],
  ['info', ['info', 'warn', 'error']],
  ['warn', ['warn', 'error']],
  ['error', ['error']],
  ['silent', []],
])('level %s lets %j through', (level, expected) => {
  const text = written(level, 'json', (log) => {
    for (const method of ['debug', 'info', 'warn', 'error'] as const) log[method]({}, method)
  })
  const lines = text.split('\n').filter((line) => line !== '')
  expect(lines.map((line) => (JSON.parse(line) as { msg: string }).msg)).toEqual(expected)
})
