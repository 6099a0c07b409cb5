import { formatProblems, parseConfig } from '../../../src/config/load.ts'
import type { Config } from '../../../src/config/schema.ts'
import type { SipRequest } from '../../../src/parser/sip/message.ts'
import { type SiloTemplates, siloTemplates } from '../../../src/silo/templates.ts'
import type { SiloMessage } from '../../../src/store/silo-store.ts'
import { parseSipRequest } from '../../support/sip-parser.ts'

/** The section `silo` with these lines in it, dates in UTC, and what is prepared of it. */
export function siloConfig(lines = ''): { readonly config: Config['silo']; readonly templates: SiloTemplates } {
  const all = lines.includes('date_zone') ? [lines] : ['date_zone: utc', lines]
  const text = `silo:\n${all.join('\n').replaceAll(/^/gm, '  ')}`
  const parsed = parseConfig(text, 'silo.yaml')
  if (!parsed.ok) throw new Error(formatProblems(parsed.error))
  const { silo } = parsed.value
  return { config: silo, templates: siloTemplates(silo) }
}

/** A MESSAGE of alice to bob. `headers`: lines to go in; one of these names stands instead of the usual one. */
export function messageRequest(headers: readonly string[] = [], body: string | Uint8Array = 'hi bob'): SipRequest {
  const usual = [
    'Via: SIP/2.0/TCP 192.0.2.1:5060;branch=z9hG4bK1',
    'Max-Forwards: 70',
    'From: "Alice" <sip:alice@a.test>;tag=f1',
    'To: <sip:bob@b.test>',
    'Call-ID: call-1@a.test',
    'CSeq: 7 MESSAGE',
    'Content-Type: text/plain',
  ]
  const nameOf = (line: string) => line.slice(0, line.indexOf(':')).toLowerCase()
  const given = new Set(headers.map(nameOf))
  // A line without a value takes the usual one away.
  const lines = [...usual.filter((line) => !given.has(nameOf(line))), ...headers.filter((line) => !line.endsWith(':'))]
  const octets = Buffer.from(body)
  const head = ['MESSAGE sip:bob@b.test SIP/2.0', ...lines, `Content-Length: ${octets.length}`, '', ''].join('\r\n')
  return parseSipRequest(Buffer.concat([Buffer.from(head), octets]))
}

/** Mon Feb 19 18:42:27 2007, UTC. */
export const keptAt = Date.UTC(2007, 1, 19, 18, 42, 27)

/** What was stored of one. */
export function storedMessage(parts: Partial<SiloMessage> = {}): SiloMessage {
  return {
    owner: 'sip:bob@b.test',
    srcAddr: 'sip:alice@a.test',
    dstAddr: 'sip:bob@b.test',
    contentType: 'text/plain',
    body: Buffer.from('hi'),
    incTime: keptAt,
    expTime: keptAt + 259_200_000,
    sndTime: 0,
    extraHeaders: '',
    callId: '',
    messageId: 'abcdefghijklmnopqrstuv',
    ...parts,
  }
}
