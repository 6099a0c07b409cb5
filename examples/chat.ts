// Two users of one relay and a message between them: the whole of RFC 4976 that a client needs, on plain sockets.
//
//   npm start                                    in one terminal; it prints two users with passwords
//   npm run try -- alice:PASSWORD bob:PASSWORD   in another
//
// `--relay HOST:PORT` names another relay.
// Rule ids such as R-16 are those of docs/protocol.md.
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { parseArgs } from 'node:util'

const { values, positionals: users } = parseArgs({
  options: { relay: { type: 'string', default: '127.0.0.1:2855' } },
  allowPositionals: true,
})
const { relay } = values
/** Names the relay itself, as nobody's session: where AUTH goes (R-20). */
const relayUri = `msrp://${relay};tcp`
const [, relayHost, relayPort] = /^\[?(.+?)\]?:(\d+)$/.exec(relay) ?? fail(`${relay} is not HOST:PORT`)
const patienceMs = 5000

interface Frame {
  readonly transactionId: string
  /** `SEND`, or `200 OK`. */
  readonly what: string
  readonly headers: readonly (readonly [name: string, value: string])[]
  readonly body: string
}

/** Cuts whole frames from the front of `octets` (M-5, M-8). What a peer sends is not judged: a relay does that. */
function cutFrames(octets: string): { frames: Frame[]; rest: string } {
  const frames: Frame[] = []
  let rest = octets
  for (;;) {
    // The end-line is the start line's transaction id between seven hyphens and a flag: no length, no escaping (M-10).
    const [whole, transactionId = '', what = '', head = '', , body = ''] =
      /^MSRP (\S+) (.*)\r\n((?:.+\r\n)*?)(\r\n([\s\S]*?)\r\n)?-------\1[$+#]\r\n/.exec(rest) ?? []
    if (whole === undefined) return { frames, rest }
    const lines = head.split('\r\n').filter((line) => line !== '')
    const headers = lines.map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 2)] as const)
    frames.push({ transactionId, what, headers, body })
    rest = rest.slice(whole.length)
  }
}

/** One user on one connection. The connection is what a session hangs on: nobody ever connects to a client (R-17). */
class Client {
  readonly name: string
  readonly #socket: Socket
  readonly #arrived: Frame[] = []
  #octets = ''
  /** What this client is called; the relay never looks it up (R-17, U-7). */
  readonly uri = `msrp://${randomBytes(8).toString('hex')}.invalid:2855/${randomBytes(12).toString('hex')};tcp`
  /** Where others reach this client, once it has signed in (R-22). */
  usePath = ''

  constructor(name: string, socket: Socket) {
    this.name = name
    this.#socket = socket
    socket
      .setEncoding('utf8')
      .setTimeout(patienceMs, () => fail(`${name} has waited ${patienceMs / 1000} s for a frame`))
    socket.on('close', () => fail(`the relay has closed ${name}'s connection`))
    socket.on('data', (octets: string) => {
      const { frames, rest } = cutFrames(this.#octets + octets)
      this.#octets = rest
      this.#arrived.push(...frames)
      if (frames.length > 0) socket.emit('frames')
    })
  }

  async nextFrame(): Promise<Frame> {
    while (this.#arrived.length === 0) await once(this.#socket, 'frames')
    return this.#arrived.shift() as Frame
  }

  /** Sends a frame (M-2, M-8, M-20); `head` has its headers after the paths. */
  send(transactionId: string, what: string, toPath: string, head: readonly string[] = [], body?: string): void {
    const lines = [`MSRP ${transactionId} ${what}`, `To-Path: ${toPath}`, `From-Path: ${this.uri}`, ...head]
    if (body !== undefined) lines.push('Content-Type: text/plain', '', body)
    this.#socket.write(`${lines.join('\r\n')}\r\n-------${transactionId}$\r\n`)
  }

  async request(method: string, toPath: string, head: readonly string[], body?: string): Promise<Frame> {
    this.send(randomId(), method, toPath, head, body)
    return this.nextFrame()
  }

  /** AUTH, 401 with a challenge, AUTH with the answer, 200 with a Use-Path (R-20, R-22). */
  async signIn(password: string): Promise<void> {
    const challenged = await this.request('AUTH', relayUri, [])
    const challenge = header(challenged, 'WWW-Authenticate') ?? fail(`no challenge but ${challenged.what}`)
    const parameter = (name: string) => new RegExp(`\\b${name}="?([^",]*)`, 'i').exec(challenge)?.[1] ?? ''
    const algorithm = parameter('algorithm')
    const hash = (text: string) =>
      createHash(algorithm === 'SHA-256' ? 'sha256' : 'md5')
        .update(text)
        .digest('hex')
    const [realm, nonce, cnonce, nc] = [parameter('realm'), parameter('nonce'), randomId(), '00000001']
    // D-1; the URI of A2 is the rightmost of To-Path (D-11).
    const ha1 = hash(`${this.name}:${realm}:${password}`)
    const response = hash(`${ha1}:${nonce}:${nc}:${cnonce}:auth:${hash(`AUTH:${relayUri}`)}`)
    const answer = await this.request('AUTH', relayUri, [
      `Authorization: Digest username="${this.name}", realm="${realm}", nonce="${nonce}", qop=auth, nc=${nc}, ` +
        `cnonce="${cnonce}", algorithm=${algorithm}, response="${response}"`,
    ])
    if (answer.what.startsWith('401'))
      fail(`wrong password for ${this.name}. Remedy: take those that npm start printed`)
    this.usePath = header(answer, 'Use-Path') ?? fail(`AUTH was answered ${answer.what}`)
    say('relay', this.name, `${answer.what}, for ${header(answer, 'Expires')} s, Use-Path:${listed(this.usePath)}`)
  }

  close(): void {
    this.#socket.removeAllListeners('close').end()
  }
}

function header(frame: Frame, name: string): string | undefined {
  return frame.headers.find(([candidate]) => candidate.toLowerCase() === name.toLowerCase())?.[1]
}

/** 96 random bits, in the grammar of transaction ids and Message-IDs (M-3, M-4). */
function randomId(): string {
  return randomBytes(12).toString('hex')
}

/** URIs are as good as keys (R-90): enough of each to tell them apart, each on a line of its own. */
function listed(path: string): string {
  const uris = path.split(' ').map((uri) => uri.replace(/(\/\/.*?\/[^;]{1,9})[^;]*/, '$1…'))
  return uris.map((uri) => `\n${' '.repeat(20)}${uri}`).join('')
}

function say(from: string, to: string, what: string): void {
  console.log(`${from.padEnd(5)} → ${to.padEnd(5)}  ${what}`)
}

function fail(what: string): never {
  console.error(`try: ${what}`)
  process.exit(1)
}

async function signedIn(user: string): Promise<Client> {
  const [name = '', password = ''] = user.split(':')
  const socket = connect(Number(relayPort), relayHost)
  await once(socket, 'connect').catch((error: Error) => fail(`${error.message}. Remedy: run npm start first`))
  const client = new Client(name, socket)
  await client.signIn(password)
  return client
}

const [from = '', to = ''] = users
if (!from.includes(':') || !to.includes(':')) fail('usage: npm run try -- alice:PASSWORD bob:PASSWORD')
const alice = await signedIn(from)
const bob = await signedIn(to)

// Through both sessions and then to bob himself: first hop first (M-27, R-16).
const path = `${alice.usePath} ${bob.usePath} ${bob.uri}`
say(alice.name, 'relay', `SEND "Hello Bob", To-Path:${listed(path)}`)
const answer = await alice.request('SEND', path, [`Message-ID: ${randomId()}`, 'Byte-Range: 1-9/9'], 'Hello Bob')
say('relay', alice.name, `${answer.what}: the relay has it and takes care of it (R-40)`)

const got = await bob.nextFrame()
const wayBack = header(got, 'From-Path') ?? ''
say('relay', bob.name, `${got.what} "${got.body}", From-Path:${listed(wayBack)}`)
// A SEND is answered to its previous hop only (M-50), and wants an answer as it has no Failure-Report (M-51).
bob.send(got.transactionId, '200 OK', wayBack.split(' ')[0] ?? '')
say(bob.name, 'relay', '200 OK: bob has it, the transaction ends (R-60)')
alice.close()
bob.close()
