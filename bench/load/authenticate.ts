import { createHash } from 'node:crypto'
import type { Connection } from './connection.ts'
import { type Head, headerOf } from './frame-reader.ts'
import type { Target } from './options.ts'
import { randomIdent } from './sequence.ts'

const HASHES: Readonly<Record<string, string>> = { 'SHA-256': 'sha256', MD5: 'md5' }

type Challenge = ReadonlyMap<string, string>

const parametersOf = (value: string): Challenge =>
  new Map(
    Array.from(value.matchAll(/([\w-]+)=(?:"([^"]*)"|([^\s,]+))/g), ([, name = '', quoted, bare]) => [
      name.toLowerCase(),
      quoted ?? bare ?? '',
    ]),
  )

/** The first challenge whose algorithm we know: the relay lists the ones it prefers first (D-8). */
const chooseChallenge = (head: Head): Challenge => {
  const challenge = head.headers
    .filter(([name]) => name === 'www-authenticate')
    .map(([, value]) => parametersOf(value))
    .find((parameters) => (parameters.get('algorithm') ?? 'MD5').toUpperCase() in HASHES)
  if (challenge === undefined) throw new Error('the relay offers no digest algorithm that the generator knows')
  return challenge
}

/** The Authorization header for an AUTH whose rightmost To-Path URI is `uri` (D-1, D-10, D-11). */
const authorization = (challenge: Challenge, target: Target, uri: string): string => {
  const algorithm = (challenge.get('algorithm') ?? 'MD5').toUpperCase()
  const hash = (text: string): string => createHash(HASHES[algorithm]!).update(text, 'utf8').digest('hex')
  const realm = challenge.get('realm') ?? ''
  const nonce = challenge.get('nonce') ?? ''
  const opaque = challenge.get('opaque')
  const cnonce = randomIdent(16)
  const ha1 = hash(`${target.user}:${realm}:${target.password}`)
  const response = hash(`${ha1}:${nonce}:00000001:${cnonce}:auth:${hash(`AUTH:${uri}`)}`)
  return [
    `Digest username="${target.user}"`,
    `realm="${realm}"`,
    `nonce="${nonce}"`,
    `uri="${uri}"`,
    `response="${response}"`,
    `cnonce="${cnonce}"`,
    'qop=auth',
    'nc=00000001',
    `algorithm=${algorithm}`,
    ...(opaque === undefined ? [] : [`opaque="${opaque}"`]),
  ].join(', ')
}

/**
 * AUTH on a new connection, with the challenge in between (R-20, R-22).
 * @returns the Use-Path URI of the session
 */
export const authenticate = async (connection: Connection, target: Target): Promise<string> => {
  const relay = `msrp://${target.host}:${target.port};tcp`
  const request = (tid: string, headers: string): string =>
    `MSRP ${tid} AUTH\r\nTo-Path: ${relay}\r\nFrom-Path: ${connection.uri}\r\n${headers}-------${tid}$\r\n`

  const challenged = await connection.exchange(request(randomIdent(16), ''))
  if (challenged.status !== 401)
    throw new Error(`the relay answered AUTH without credentials with ${challenged.status}`)
  const credentials = authorization(chooseChallenge(challenged), target, relay)

  const accepted = await connection.exchange(request(randomIdent(16), `Authorization: ${credentials}\r\n`))
  if (accepted.status !== 200) throw new Error(`the relay answered AUTH with ${accepted.status}`)
  const usePath = headerOf(accepted, 'use-path')
  if (usePath === undefined || usePath.includes(' ')) throw new Error('the relay gave no Use-Path of one URI')
  return usePath
}
