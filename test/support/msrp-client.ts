import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import type { ErrorEvent, FrameSnapshot } from './events.ts'
import { type MsrpSocket, type MsrpTransport, openMsrpSocket } from './msrp-socket.ts'
import { createReferenceReader } from './reference-reader.ts'

/** A frame off the wire, with its octets. */
export type ReceivedFrame = FrameSnapshot & {
  /** The whole frame, from "MSRP" through the CRLF of its end-line. */
  readonly octets: Buffer
  /** null: bodiless. */
  readonly content: Buffer | null
}
export type ReceivedResponse = Extract<ReceivedFrame, { kind: 'response' }>
export type ReceivedRequest = Extract<ReceivedFrame, { kind: 'request' }>

type Headers = readonly (readonly [name: string, value: string])[]

interface FrameParts {
  readonly tid: string
  readonly toPath: string | readonly string[]
  readonly fromPath: string | readonly string[]
  /** In the order given, after the paths. With a body and no Content-Type among them, text/plain is added as the last. */
  readonly headers?: Headers
  readonly body?: string | Uint8Array
  /** `$` unless given. */
  readonly flag?: '$' | '+' | '#'
}
export type ComposedFrame = FrameParts &
  ({ readonly method: string } | { readonly status: number; readonly comment?: string })

export interface ClientRequest extends Omit<FrameParts, 'tid' | 'toPath' | 'fromPath'> {
  readonly method: string
  /** Random unless given. */
  readonly tid?: string
  readonly toPath: string | readonly string[]
  /** The client's own URI unless given. */
  readonly fromPath?: string | readonly string[]
}

export interface AuthRequest {
  readonly username: string
  readonly password: string
  /** The challenge to answer; otherwise the first that this client knows, which the server prefers (D-8). */
  readonly algorithm?: DigestAlgorithm
  /** Seconds asked for in Expires; no header unless given. */
  readonly expires?: number
  /** `msrp://HOST:PORT;tcp` of the connection unless given. */
  readonly toPath?: string | readonly string[]
  readonly fromPath?: string | readonly string[]
  /** Changes to the credentials before they are sent, for refusals: a wrong nonce, a repeated nc, a uri. */
  readonly tamper?: (credentials: Record<string, string>) => Record<string, string>
}

export interface AuthOutcome {
  /** Of the request without credentials. */
  readonly first: ReceivedResponse
  /** Of the request with credentials; the same as `first` if that was no 401. */
  readonly final: ReceivedResponse
  /** Nearest relay first (R-26); empty without a 200. */
  readonly usePath: readonly string[]
  /** Seconds until the URI dies; null without the header. */
  readonly expires: number | null
  /** Whether rspauth proves that the relay knows the password (R-22); null without Authentication-Info. */
  readonly rspauthOk: boolean | null
  /** The credentials that were sent. */
  readonly credentials: Readonly<Record<string, string>>
}

const digestHashes = { MD5: 'md5', 'SHA-256': 'sha256', 'SHA-512-256': 'sha512-256' } as const
export type DigestAlgorithm = keyof typeof digestHashes

const patienceMs = 5_000

/** The octets of a frame, well formed if the parts are. */
export function frameText(parts: ComposedFrame): Buffer {
  const { tid, headers = [], body, flag = '$' } = parts
  const path = (uris: string | readonly string[]) => (typeof uris === 'string' ? uris : uris.join(' '))
  const start =
    'method' in parts ? parts.method : [parts.status, parts.comment].filter((part) => part !== undefined).join(' ')
  const lines = [`MSRP ${tid} ${start}`, `To-Path: ${path(parts.toPath)}`, `From-Path: ${path(parts.fromPath)}`]
  lines.push(...headers.map(([name, value]) => `${name}: ${value}`))
  const endLine = Buffer.from(`-------${tid}${flag}\r\n`)
  if (body === undefined) return Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n`), endLine])
  if (!headers.some(([name]) => name.toLowerCase() === 'content-type')) lines.push('Content-Type: text/plain')
  return Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`), Buffer.from(body), Buffer.from('\r\n'), endLine])
}

/** 64 random bits and more (M-4). */
export function randomTid(): string {
  return randomBytes(10).toString('hex')
}

/** The value of the first such header, in any case. */
export function header(frame: FrameSnapshot, name: string): string | undefined {
  return frame.headers.find(([candidate]) => candidate.toLowerCase() === name.toLowerCase())?.[1]
}

/** Opens a TCP connection. */
export async function connect(port: number): Promise<MsrpClient> {
  return new MsrpClient(await openMsrpSocket('tcp', port))
}

interface Waiter {
  readonly wanted: (frame: ReceivedFrame) => boolean
  readonly resolve: (frame: ReceivedFrame) => void
  readonly reject: (error: Error) => void
  readonly what: string
  readonly timer: NodeJS.Timeout
}

/** An endpoint on one connection, for tests: it sends what it is told and keeps every frame it gets. */
export class MsrpClient {
  /** What this client is called in From-Path, if a request does not say otherwise. */
  readonly uri: string
  /** Every frame received, in order, also those that were awaited or answered. */
  readonly frames: ReceivedFrame[] = []
  /** What could not be read of the octets received. */
  readonly errors: ErrorEvent[] = []
  /** Resolves when the connection has closed, whichever way. */
  readonly closed: Promise<void>

  readonly #socket: MsrpSocket
  readonly #relayUri: string
  /** Frames that nobody has awaited yet. */
  #unclaimed: ReceivedFrame[] = []
  #waiters: Waiter[] = []
  #over: string | null = null
  #answer: { status: number; comment: string } | null = null

  constructor(socket: MsrpSocket, transport: MsrpTransport = 'tcp') {
    this.#socket = socket
    const scheme = transport === 'tls' || transport === 'wss' ? 'msrps' : 'msrp'
    const parameter = transport === 'ws' || transport === 'wss' ? 'ws' : 'tcp'
    const authority = (address = '', port = 0) => `${address.includes(':') ? `[${address}]` : address}:${port}`
    this.uri = `${scheme}://${authority(socket.localAddress, socket.localPort)}/${randomBytes(12).toString('hex')};${parameter}`
    this.#relayUri = `${scheme}://${authority(socket.remoteAddress, socket.remotePort)};tcp`
    const reader = createReferenceReader({
      onEvent: (event, octets, body) => {
        if (event.type === 'error') this.errors.push(event)
        else this.#receive({ ...event.frame, octets, content: body })
      },
    })
    socket.on('data', (octets: Buffer) => reader.feed(octets))
    // A reset is one of the ways a connection ends: 'close' follows, and says what happened.
    socket.on('error', (error) => (this.#over = `failed (${error.message})`))
    this.closed = new Promise((resolve) => {
      socket.once('close', () => {
        reader.end()
        this.#over ??= 'closed'
        for (const waiter of this.#waiters.splice(0)) this.#giveUp(waiter, `the connection ${this.#over}`)
        resolve()
      })
    })
  }

  /** Sends octets as they are. False: the socket is full, see `drained`. */
  send(octets: Uint8Array | string): boolean {
    return this.#socket.write(octets)
  }

  /** Resolves when everything sent has been handed to the kernel, or the connection has closed. */
  async drained(): Promise<void> {
    if (this.#socket.writableLength === 0) return
    await Promise.race([new Promise<void>((resolve) => this.#socket.write('', () => resolve())), this.closed])
  }

  /** Sends a request and returns its transaction id. A SEND without Message-ID gets a random one. */
  request({ tid = randomTid(), fromPath = this.uri, headers = [], ...request }: ClientRequest): string {
    const missing = request.method === 'SEND' && !headers.some(([name]) => name.toLowerCase() === 'message-id')
    const all: Headers = missing ? [['Message-ID', randomTid()], ...headers] : headers
    this.send(frameText({ ...request, tid, fromPath, headers: all }))
    return tid
  }

  /** Sends a request and waits for its response. */
  transact(request: ClientRequest, timeoutMs = patienceMs): Promise<ReceivedResponse> {
    return this.response(this.request(request), timeoutMs)
  }

  /** Sends a response to a request (M-50). From-Path is the URI addressed. */
  respond(request: ReceivedRequest, status: number, comment?: string, headers: Headers = []): void {
    const toPath = request.method === 'SEND' ? request.fromPath.slice(0, 1) : request.fromPath
    const fromPath = request.toPath.slice(0, 1)
    this.send(
      frameText({ tid: request.tid, status, ...(comment === undefined ? {} : { comment }), toPath, fromPath, headers }),
    )
  }

  /**
   * From now on answers each SEND that wants an answer (M-51): with 200 only those whose Failure-Report is `yes`, with
   * an error also those with `partial`.
   */
  autoAnswer(status = 200, comment = 'OK'): void {
    this.#answer = { status, comment }
  }

  stopAnswering(): void {
    this.#answer = null
  }

  /** The first frame that was not yet awaited, or the next to come. */
  nextFrame(timeoutMs = patienceMs): Promise<ReceivedFrame> {
    return this.#await('a frame', () => true, timeoutMs)
  }

  /** The first such frame that was not yet awaited, or the next to come. Others stay to be awaited. */
  frameWhere(what: string, wanted: (frame: ReceivedFrame) => boolean, timeoutMs = patienceMs): Promise<ReceivedFrame> {
    return this.#await(what, wanted, timeoutMs)
  }

  async response(tid: string, timeoutMs = patienceMs): Promise<ReceivedResponse> {
    const isWanted = (frame: ReceivedFrame) => frame.kind === 'response' && frame.tid === tid
    return (await this.#await(`a response to ${tid}`, isWanted, timeoutMs)) as ReceivedResponse
  }

  async nextRequest(method: string, timeoutMs = patienceMs): Promise<ReceivedRequest> {
    const isWanted = (frame: ReceivedFrame) => frame.kind === 'request' && frame.method === method
    return (await this.#await(`a ${method}`, isWanted, timeoutMs)) as ReceivedRequest
  }

  /** Frames that have arrived and were not awaited. */
  get unclaimed(): readonly ReceivedFrame[] {
    return this.#unclaimed
  }

  /** The digest exchange of RFC 4976: AUTH, 401, AUTH with credentials, 200 (R-20, R-22, D-10, D-11). */
  async auth(request: AuthRequest): Promise<AuthOutcome> {
    const { expires, toPath = this.#relayUri, fromPath = this.uri } = request
    const headers: Headers = expires === undefined ? [] : [['Expires', String(expires)]]
    const send = (more: Headers) => this.transact({ method: 'AUTH', toPath, fromPath, headers: [...headers, ...more] })

    const first = await send([])
    if (first.status !== 401) return authOutcome(first, first, {}, null)
    const challenge = chooseChallenge(first, request.algorithm)
    const { realm = '', nonce = '', algorithm = 'MD5', opaque } = challenge
    // D-11: A2 names the rightmost URI of To-Path.
    const uri = (typeof toPath === 'string' ? toPath.split(' ') : toPath).at(-1) ?? ''
    const secrets = { username: request.username, password: request.password, realm, nonce, uri }
    const proof = { ...secrets, nc: '00000001', cnonce: randomBytes(8).toString('hex'), qop: 'auth' }
    const untouched: Record<string, string> = {
      username: request.username,
      realm,
      nonce,
      qop: proof.qop,
      nc: proof.nc,
      cnonce: proof.cnonce,
      algorithm,
      response: digest(algorithm, proof, 'AUTH'),
      ...(opaque === undefined ? {} : { opaque }),
    }
    const credentials = request.tamper?.(untouched) ?? untouched
    const final = await send([['Authorization', `Digest ${writeParameters(credentials)}`]])
    // D-3: the server's proof is made with an empty method.
    return authOutcome(first, final, credentials, digest(algorithm, proof, ''))
  }

  /** Stops reading the socket, so that the peer meets back-pressure. */
  pause(): void {
    this.#socket.pause()
  }

  resume(): void {
    this.#socket.resume()
  }

  /** Sends no more, but still reads. */
  halfClose(): void {
    this.#socket.end()
  }

  /** Closes at once, unsent octets are lost. */
  async close(): Promise<void> {
    this.#socket.destroy()
    await this.closed
  }

  /** Resets the connection (TCP RST). */
  async reset(): Promise<void> {
    this.#socket.resetAndDestroy()
    await this.closed
  }

  #receive(frame: ReceivedFrame): void {
    this.frames.push(frame)
    if (this.#answer !== null && frame.kind === 'request' && frame.method === 'SEND') {
      const { status, comment } = this.#answer
      const wants = status === 200 ? ['yes'] : ['yes', 'partial']
      if (wants.includes(frame.failureReport ?? 'yes') && this.#socket.writable) this.respond(frame, status, comment)
    }
    const index = this.#waiters.findIndex(({ wanted }) => wanted(frame))
    const [waiter] = index < 0 ? [] : this.#waiters.splice(index, 1)
    if (waiter === undefined) {
      this.#unclaimed.push(frame)
      return
    }
    clearTimeout(waiter.timer)
    waiter.resolve(frame)
  }

  #await(what: string, wanted: (frame: ReceivedFrame) => boolean, timeoutMs: number): Promise<ReceivedFrame> {
    const index = this.#unclaimed.findIndex(wanted)
    const [already] = index < 0 ? [] : this.#unclaimed.splice(index, 1)
    if (already !== undefined) return Promise.resolve(already)
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiters.splice(this.#waiters.indexOf(waiter), 1)
        this.#giveUp(waiter, `not within ${timeoutMs} ms`)
      }, timeoutMs)
      const waiter: Waiter = { what, wanted, resolve, reject, timer }
      if (this.#over === null) this.#waiters.push(waiter)
      else this.#giveUp(waiter, `the connection ${this.#over}`)
    })
  }

  #giveUp({ what, reject, timer }: Waiter, why: string): void {
    clearTimeout(timer)
    const list = (title: string, lines: readonly string[]) =>
      lines.length === 0
        ? `${title}: none`
        : `${title}:\n${lines
            .slice(-20)
            .map((line) => `    ${line}`)
            .join('\n')}`
    const text = [
      `waited for ${what}: ${why}`,
      list('  frames not awaited', this.#unclaimed.map(describeFrame)),
      list(`  last of all ${this.frames.length} frames`, this.frames.slice(-5).map(describeFrame)),
      list(
        '  unreadable',
        this.errors.map(({ cls, start }) => `${cls}${start === undefined ? '' : ` in ${start.tid}`}`),
      ),
    ]
    reject(new Error(text.join('\n')))
  }
}

/** The lines of the head, and the size of the body. */
function describeFrame({ octets, content }: ReceivedFrame): string {
  const text = octets.toString('utf8')
  const head = text.slice(0, content === null ? text.length : text.indexOf('\r\n\r\n'))
  return `${head.trimEnd().split('\r\n').join(' | ')}${content === null ? '' : ` | ${content.length} octets`}`
}

function authOutcome(
  first: ReceivedResponse,
  final: ReceivedResponse,
  credentials: Record<string, string>,
  proof: string | null,
): AuthOutcome {
  const info = header(final, 'Authentication-Info')
  const expires = header(final, 'Expires')
  const rspauth = info === undefined ? undefined : parseParameters(info).rspauth
  return {
    first,
    final,
    usePath: final.status === 200 ? (header(final, 'Use-Path')?.split(/ +/) ?? []) : [],
    expires: expires === undefined ? null : Number(expires),
    rspauthOk: info === undefined || proof === null ? null : isEqual(rspauth ?? '', proof),
    credentials,
  }
}

function isEqual(a: string, b: string): boolean {
  return a.length === b.length && timingSafeEqual(Buffer.from(a), Buffer.from(b))
}

/** The parameters of the challenge to answer (D-8). */
function chooseChallenge(response: FrameSnapshot, algorithm: DigestAlgorithm | undefined): Record<string, string> {
  const values = response.headers
    .filter(([name]) => name.toLowerCase() === 'www-authenticate')
    .map(([, value]) => value)
  const challenges = values.map((value) => parseParameters(value.replace(/^Digest +/i, '')))
  const chosen = challenges.find(({ algorithm: offered = 'MD5' }) => {
    return algorithm === undefined ? Object.hasOwn(digestHashes, offered) : offered === algorithm
  })
  if (chosen === undefined) throw new Error(`no ${algorithm ?? 'known'} challenge among ${JSON.stringify(values)}`)
  return chosen
}

/** `name=value, name="value"` (D-4: quoted or not). */
export function parseParameters(value: string): Record<string, string> {
  const parameters: Record<string, string> = {}
  for (const [, name = '', quoted, plain] of value.matchAll(/([A-Za-z]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s,]+))/g)) {
    parameters[name.toLowerCase()] = quoted === undefined ? (plain ?? '') : quoted.replace(/\\(.)/g, '$1')
  }
  return parameters
}

/** D-4: algorithm, qop and nc are never quoted, all else is. */
function writeParameters(parameters: Record<string, string>): string {
  const plain = ['algorithm', 'qop', 'nc']
  const write = ([name, value]: [string, string]) =>
    plain.includes(name) ? `${name}=${value}` : `${name}="${value.replace(/["\\]/g, '\\$&')}"`
  return Object.entries(parameters).map(write).join(', ')
}

/** D-1 with qop=auth; with an empty method the server's rspauth (D-3). */
export function digest(
  algorithm: string,
  input: Record<'username' | 'password' | 'realm' | 'nonce' | 'nc' | 'cnonce' | 'qop' | 'uri', string>,
  method: string,
): string {
  const known = digestHashes[algorithm as DigestAlgorithm]
  const hash = (text: string) => createHash(known).update(text, 'utf8').digest('hex')
  const { username, password, realm, nonce, nc, cnonce, qop, uri } = input
  const a1 = hash(`${username}:${realm}:${password}`)
  return hash(`${a1}:${nonce}:${nc}:${cnonce}:${qop}:${hash(`${method}:${uri}`)}`)
}
