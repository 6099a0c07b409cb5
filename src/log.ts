import pino from 'pino'

type LogMethod = (fields: object, message: string) => void

/** What the code asks of a logger. Fields never hold a secret: no password, HA1, nonce or full session-id. */
export interface Logger {
  readonly debug: LogMethod
  readonly info: LogMethod
  readonly warn: LogMethod
  readonly error: LogMethod
}

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent'
export type LogFormat = 'text' | 'json'

/**
 * A logger that writes a line a message: JSON for programs, or text for people. Lines leave at once, to stderr, since
 * stdout belongs to what a command answers; `destination` is for tests.
 */
export function createLogger(
  level: LogLevel,
  format: LogFormat,
  destination: { write(line: string): void } = pino.destination({ dest: 2, sync: true }),
): Logger {
  return pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: pino.stdSerializers.err },
      ...(format === 'text' && { hooks: { streamWrite: textLine } }),
    },
    destination,
  )
}

/** `2026-01-31T12:00:00.000Z WARN  message key=value`; where a value is an error, its stack follows on lines of its own. */
function textLine(json: string): string {
  const { level, time, msg, ...fields } = JSON.parse(json) as { level: string; time: string; msg: string }
  const pairs = Object.entries(fields).map(
    ([key, value]) => ` ${key}=${textOf(isError(value) ? value.message : value)}`,
  )
  const calls = Object.values(fields).flatMap((value) => (isError(value) ? value.stack.split('\n').slice(1) : []))
  const lines = [
    `${time} ${level.toUpperCase().padEnd(5)} ${msg}${pairs.join('')}`,
    ...calls.map((call) => `  ${call}`),
  ]
  return `${lines.map(printable).join('\n')}\n`
}

function textOf(value: unknown): string {
  return typeof value === 'string' && /^[\w.:/@[\]-]+$/.test(value) ? value : JSON.stringify(value)
}

/** Text without control characters: what others wrote must not break a line or drive the terminal. */
export function printable(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, ' ')
}

function isError(value: unknown): value is { message: string; stack: string } {
  return typeof value === 'object' && value !== null && 'stack' in value && typeof value.stack === 'string'
}
