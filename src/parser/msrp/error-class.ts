/**
 * Every way in which the octets of a peer can fail to be an MSRP frame, in the order of protocol.md M-60.
 * The names are stable: they label counters, log lines and the conformance vectors.
 */
export const parseErrorClasses = [
  'bad-start-line',
  'truncated',
  'header-limit',
  'bad-header-line',
  'missing-to-path',
  'missing-from-path',
  'path-order',
  'duplicate-header',
  'bad-uri',
  'missing-message-id',
  'bad-message-id',
  'bad-byte-range',
  'bad-report-value',
  'bad-status',
  'missing-status',
  'bad-expires',
  'content-type-not-last',
  'bad-content-type',
  'body-without-content-type',
  'mime-header-without-body',
  'forbidden-header',
  'body-in-response',
  'bad-flag',
] as const

/**
 * What was wrong with a frame (M-60). `bad-start-line` and `header-limit` end the connection, `truncated` is the end of
 * one; all others cost only the frame, because framing needs the start line and the end-line alone (M-62).
 */
export type ParseErrorClass = (typeof parseErrorClasses)[number]
