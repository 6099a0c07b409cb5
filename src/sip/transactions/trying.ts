import type { Buffer } from 'node:buffer'
import { response } from '../../parser/sip/encoder.ts'
import type { SipRequest } from '../../parser/sip/message.ts'

/** The 100 that a server transaction sends by itself: without To tag, and with the request's Timestamp (8.2.6.1). */
export function trying(request: SipRequest): Buffer {
  // What a malformed request says is not repeated: a line of it may not be one line.
  const timestamp = request.problem === null ? request.header('Timestamp') : null
  return response(request, 100, 'Trying', timestamp === null ? {} : { headers: [['Timestamp', timestamp]] })
}
