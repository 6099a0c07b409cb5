import { createHash } from 'node:crypto'
import { parseParameters } from '../support/msrp-client.ts'
import { type Flow, openChannel, type Transport } from '../support/sip-agent-channel.ts'
import {
  addressOf,
  faultsOf,
  type Headers,
  messageText,
  readMessage,
  type TextRequest,
  type TextResponse,
  token,
} from '../support/sip-agent-message.ts'

/** `right`, or what the stub does wrong with one MESSAGE or REGISTER of every seven. */
export type SipBehaviour =
  | 'right'
  | 'drop'
  | 'deliver-twice'
  | 'answer-twice'
  | 'copy'
  | 'corrupt-body'
  | 'corrupt-from'
  | 'wrong-user'
  | 'not-delivered'
  | 'refuse'
  | 'forget-contact'
  | 'keep-contact'

export interface SipStub {
  readonly port: number
  /** Contacts that are registered now. */
  readonly bindings: ReadonlyMap<string, unknown>
  /** What the generator sent that no correct user agent sends. */
  readonly faults: readonly string[]
  /** Digest responses that were not what they have to be. */
  readonly wrongProofs: number
  close(): Promise<void>
}

const EVERY = 7
const PASSWORD = 'stub'

/** A registrar and proxy, just enough for the generator, slow and obvious. Its users' password is `stub`. */
export async function startSipStub(transport: Transport, behaviour: SipBehaviour = 'right'): Promise<SipStub> {
  const bindings = new Map<string, { contact: string; flow: Flow }>()
  const nonces = new Map<string, number>()
  const pending = new Map<string, Flow>()
  const faults: string[] = []
  let wrongProofs = 0
  let count = 0
  const isDue = (wanted: SipBehaviour) => behaviour === wanted && ++count % EVERY === 0

  /** Whether the credentials prove the password (D-1) with a nonce of ours and the next count (D-5). */
  const proves = (request: TextRequest, name: string): boolean => {
    const value = request.header(name)
    if (value === null) return false
    const given = parseParameters(value)
    const { username, realm, nonce = '', nc = '', cnonce, uri, response } = given
    const hash = (text: string) => createHash('sha256').update(text).digest('hex')
    const a2 = hash(`${request.method}:${uri}`)
    const proof = hash(`${hash(`${username}:${realm}:${PASSWORD}`)}:${nonce}:${nc}:${cnonce}:auth:${a2}`)
    const isNext = nonces.get(nonce) === Number.parseInt(nc, 16)
    if (proof !== response || !isNext || uri !== request.uri) {
      wrongProofs++
      return false
    }
    nonces.set(nonce, Number.parseInt(nc, 16) + 1)
    return true
  }

  const challenge = (): string => {
    const nonce = token(8)
    nonces.set(nonce, 1)
    return `Digest realm="stub", nonce="${nonce}", algorithm=SHA-256, qop="auth"`
  }

  const reply = (request: TextRequest, flow: Flow, status: number, headers: Headers = []): void => {
    const copied = ['Via', 'From', 'To', 'Call-ID', 'CSeq'].flatMap((name) => {
      const tag = name === 'To' ? ';tag=stub' : ''
      return request.all(name).map((value) => [name, `${value}${tag}`] as const)
    })
    flow.send(messageText(`SIP/2.0 ${status} Because`, [...copied, ...headers]))
  }

  const onRegister = (request: TextRequest, flow: Flow) => {
    if (!proves(request, 'Authorization')) return reply(request, flow, 401, [['WWW-Authenticate', challenge()]])
    const contact = request.header('Contact') ?? ''
    const user = request.to.uri
    if (request.header('Expires') !== '0') bindings.set(user, { contact, flow })
    else if (behaviour !== 'keep-contact') bindings.delete(user)
    const listed = bindings.has(user) && !isDue('forget-contact')
    reply(request, flow, 200, listed ? [['Contact', `${contact};expires=600`]] : [])
  }

  const onMessage = (request: TextRequest, flow: Flow) => {
    if (isDue('drop')) return
    if (!proves(request, 'Proxy-Authorization')) return reply(request, flow, 407, [['Proxy-Authenticate', challenge()]])
    if (isDue('refuse')) return reply(request, flow, 480)
    if (isDue('not-delivered')) return reply(request, flow, 200)
    const users = [...bindings.keys()]
    const wrong = isDue('wrong-user') ? users[(users.indexOf(request.uri) + 1) % users.length] : undefined
    const target = bindings.get(wrong ?? request.uri)
    if (target === undefined) return reply(request, flow, 404)
    const body = Buffer.from(request.body)
    if (isDue('corrupt-body')) body[body.length - 1] = (body.at(-1) ?? 0) ^ 1
    const isCorrupt = isDue('corrupt-from')
    const forward = (): Buffer => {
      const branch = `z9hG4bK${token(8)}`
      pending.set(branch, flow)
      const kept = request.fields.filter(([name]) => !/^(max-forwards|proxy-|content-length)/.test(name))
      const headers: Headers = [
        ['Via', `SIP/2.0/${transport.toUpperCase()} 127.0.0.1:${channel.local.port};branch=${branch}`],
        ...kept.map(
          ([name, value]) => [name, isCorrupt && name === 'from' ? value.replace('tag=', 'tag=x') : value] as const,
        ),
        ['Max-Forwards', '69'],
      ]
      return messageText(`MESSAGE ${addressOf(target.contact).uri} SIP/2.0`, headers, body)
    }
    const octets = forward()
    target.flow.send(octets)
    if (isDue('deliver-twice')) target.flow.send(forward())
    if (isDue('copy')) target.flow.send(octets)
  }

  const onResponse = (response: TextResponse): void => {
    const branch = response.vias[0]?.branch ?? ''
    const flow = pending.get(branch)
    if (flow === undefined) return
    pending.delete(branch)
    const headers = response.fields.filter(([name]) => name !== 'content-length')
    const octets = messageText(response.start, headers.slice(1))
    flow.send(octets)
    if (isDue('answer-twice')) flow.send(octets)
  }

  const channel = await openChannel(
    { transport, server: null, isListening: true, tls: {}, host: '127.0.0.1' },
    {
      onMessage(octets, flow) {
        const message = readMessage(octets)
        faults.push(...faultsOf(message, transport === 'tcp'))
        if (message.kind === 'response') onResponse(message)
        else if (message.method === 'REGISTER') onRegister(message, flow)
        else onMessage(message, flow)
      },
      onPong: () => faults.push('a CRLF'),
      onStun: () => faults.push('STUN'),
      onFault: (what) => faults.push(what),
      onClose: () => {},
    },
  )
  return {
    port: channel.local.port,
    bindings,
    faults,
    get wrongProofs() {
      return wrongProofs
    },
    close: () => channel.close(),
  }
}
