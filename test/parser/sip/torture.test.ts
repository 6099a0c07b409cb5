import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { rewrite } from '../../../src/parser/sip/encoder.ts'
import type { SipMessage, SipRequest, SipResponse } from '../../../src/parser/sip/message.ts'
import { answerOf, type SipProblem } from '../../../src/parser/sip/problem.ts'
import { parseSip } from '../../support/sip-parser.ts'
import { readStream } from '../../support/sip-stream.ts'

interface TortureMessage {
  readonly file: string
  readonly section: string
  readonly title: string
  readonly rules: readonly string[]
  readonly valid: boolean
  readonly octets: number
  readonly sha256: string
}

interface Expected {
  readonly problem?: SipProblem
  /** What the request is answered for its problem. */
  readonly answer?: number | 'drop'
  readonly request?: (request: SipRequest) => void
  readonly response?: (response: SipResponse) => void
  /** Over a stream: why framing is lost, or that it waits for more. */
  readonly stream?: SipProblem | 'cut-off'
}

/** What each message of RFC 4475 comes to, by its file. */
const expected: Readonly<Record<string, Expected>> = {
  'esc01.dat': {
    request(request) {
      expect(request.uri?.user).toBe('sips:user@example.com')
      expect(request.to?.uri?.user).toBe('user')
      expect(request.contacts).toHaveLength(1)
      const [contact] = request.contacts as NonNullable<Exclude<SipRequest['contacts'], '*'>>
      expect(contact?.uri?.user).toBe('caller')
      expect([...(contact?.uri?.params ?? [])]).toEqual([
        ['lr', null],
        ['name', 'value%41'],
      ])
    },
  },
  'esc02.dat': {
    request(request) {
      expect(request.method).toBe('RE%47IST%45R')
      expect(request.to?.displayName).toBe('%Z%45')
      expect(request.contacts).toHaveLength(2)
      expect(request.headers('C%6Fntact')).toHaveLength(1)
    },
  },
  'lwsdisp.dat': { request: (request) => expect(request.from?.displayName).toBe('caller') },
  'longreq.dat': {
    request(request) {
      expect(request.vias).toHaveLength(34)
      expect(request.from?.uri?.user?.length).toBeGreaterThan(100)
      expect(request.body).toHaveLength(150)
    },
  },
  'semiuri.dat': {
    request(request) {
      expect(request.uri).toMatchObject({ user: 'user;par=u@example.net', host: 'example.com' })
      expect(request.uri?.params.size).toBe(0)
    },
  },
  'transports.dat': {
    request: ({ vias }) =>
      expect(vias.map(({ protocol }) => protocol)).toEqual(['UDP', 'SCTP', 'TLS', 'UNKNOWN', 'TCP']),
  },
  'unreason.dat': {
    response(response) {
      expect(response.status).toBe(200)
      expect(response.reason).toMatch(/^= 2\*\*3 \* 5\*\*2 .*[а-я]+/)
    },
  },
  'noreason.dat': { response: ({ status, reason }) => expect([status, reason]).toEqual([100, '']) },
  'clerr.dat': { problem: 'truncated-body', answer: 400, stream: 'cut-off' },
  'ncl.dat': { problem: 'bad-content-length', answer: 400, stream: 'bad-content-length' },
  'scalar02.dat': {
    problem: 'bad-cseq',
    answer: 400,
    request: ({ maxForwards, expires }) => expect([maxForwards, expires]).toEqual([null, null]),
  },
  'ltgtruri.dat': { problem: 'bad-request-uri', answer: 400 },
  'lwsruri.dat': { problem: 'bad-start-line', answer: 400 },
  'lwsstart.dat': { problem: 'bad-start-line', answer: 400 },
  'trws.dat': { problem: 'bad-start-line', answer: 400 },
  'escruri.dat': { problem: 'bad-request-uri', answer: 400 },
  'baddate.dat': { request: (request) => expect(request.header('Date')).toMatch(/EST$/) },
  'badaspec.dat': { problem: 'bad-to', answer: 400 },
  'baddn.dat': { problem: 'bad-from', answer: 400 },
  'badvers.dat': { problem: 'bad-version', answer: 505 },
  'mismatch01.dat': { problem: 'cseq-method', answer: 400 },
  'bigcode.dat': { problem: 'bad-status', answer: 'drop', response: ({ status }) => expect(status).toBe(0) },
  'insuf.dat': { problem: 'missing-header', answer: 400 },
  'unkscm.dat': { problem: 'unsupported-scheme', answer: 416 },
  'novelsc.dat': { problem: 'unsupported-scheme', answer: 416 },
  'unksm2.dat': {
    request({ to, from, uri }) {
      expect([to?.uri, from?.uri]).toEqual([null, null])
      expect(to?.uriText).toMatch(/^isbn:/)
      expect(uri?.host).toBe('example.com')
    },
  },
  'invut.dat': { request: ({ body }) => expect(body).toHaveLength(40) },
  'regaut01.dat': { request: (request) => expect(request.header('Authorization')).toMatch(/^NoOneKnowsThisScheme /) },
  'mcl01.dat': { problem: 'bad-content-length', answer: 400, stream: 'bad-content-length' },
  'zeromf.dat': { request: ({ maxForwards }) => expect(maxForwards).toBe(0) },
  'cparam02.dat': {
    request({ contacts }) {
      expect(contacts).toHaveLength(1)
      if (contacts === null || contacts === '*') return
      expect([contacts[0]?.params.size, contacts[0]?.uri?.params.has('unknownparam')]).toEqual([0, true])
    },
  },
  'regescrt.dat': {
    request({ contacts }) {
      if (contacts === null || contacts === '*') throw new Error('a Contact is there')
      expect(contacts[0]?.uri?.headers).toMatch(/^Route=%3C/i)
    },
  },
  'sdp01.dat': { request: ({ body }) => expect(body).toHaveLength(150) },
  'inv2543.dat': {
    stream: 'bad-content-length',
    request(request) {
      expect([request.maxForwards, request.topVia?.branch]).toEqual([null, null])
      expect(request.body).toHaveLength(105)
    },
  },
}

const given = process.env.SILOPATH_VECTORS
const folder = join(given ?? '', 'sip-torture')

describe.skipIf(given === undefined)(
  given === undefined ? 'RFC 4475, skipped because SILOPATH_VECTORS names no folder' : 'RFC 4475',
  () => {
    const messages =
      given !== undefined && existsSync(folder)
        ? (JSON.parse(readFileSync(join(folder, 'index.json'), 'utf8')) as { messages: readonly TortureMessage[] })
            .messages
        : []

    test('every message of the folder is expected, and there', () => {
      const files = readdirSync(folder).filter((file) => file.endsWith('.dat'))
      expect(files.sort()).toEqual(Object.keys(expected).sort())
      expect(messages.map(({ file }) => file).sort()).toEqual(Object.keys(expected).sort())
    })

    for (const { file, section, title, rules, octets, sha256 } of messages) {
      const read = () => {
        const content = readFileSync(join(folder, file))
        expect(content).toHaveLength(octets)
        expect(createHash('sha256').update(content).digest('hex')).toBe(sha256)
        return content
      }

      test(`${file} ${title} (RFC 4475 section ${section}, ${rules.join(', ')})`, () => {
        const message: SipMessage = parseSip(read())
        const { problem = null, answer, request, response } = expected[file]!
        expect(message.problem).toBe(problem)
        if (answer !== undefined) {
          const given = answerOf(problem!)
          expect(given === 'drop' ? given : given.status).toBe(answer)
        }
        if (request) expect(message.kind).toBe('request')
        if (response) expect(message.kind).toBe('response')
        if (message.kind === 'request') request?.(message)
        else response?.(message)
        expect(rewrite(message, {}).equals(message.octets)).toBe(true)
      })

      test(`${file} over a stream, cut anywhere (S-5)`, () => {
        const content = read()
        const whole = readStream(content, [])
        const { stream, problem = null } = expected[file]!
        expect(whole.map((event) => event.type)).toEqual([
          stream === 'cut-off' ? 'cut-off' : stream === undefined ? 'message' : 'broken',
        ])
        const [event] = whole
        if (event?.type === 'broken') expect(event.problem).toBe(stream)
        if (event?.type === 'message') expect(event.message.problem).toBe(problem)
        const everywhere = Array.from({ length: content.length - 1 }, (_, i) => i + 1)
        expect(readStream(content, everywhere)).toStrictEqual(whole)
        const step = Math.ceil(content.length / 400)
        for (let cut = 1; cut < content.length; cut += step) expect(readStream(content, [cut])).toStrictEqual(whole)
      })
    }
  },
)
