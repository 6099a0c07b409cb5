import { once } from 'node:events'
import JsSIP from 'jssip'
import type { IncomingMessageEvent, UA } from 'jssip/lib/UA.js'
import { expect, onTestFinished, test } from 'vitest'
import { WebSocket } from 'ws'
import { passwordOf, type SipBed, sipDomain, startSip } from '../support/sip-server.ts'

/** JsSIP's way to a WebSocket, over the library `ws` instead of a browser's. */
class Socket {
  readonly via_transport = 'WS'
  readonly url: string
  readonly sip_uri: string
  onconnect: () => void = () => {}
  ondisconnect: (error: boolean, code?: number, reason?: string) => void = () => {}
  ondata: <Data>(data: Data) => void = () => {}
  #socket: WebSocket | null = null

  constructor(url: string) {
    this.url = url
    this.sip_uri = `sip:${new URL(url).host};transport=ws`
  }

  connect(): void {
    const socket = new WebSocket(this.url, 'sip')
    this.#socket = socket
    socket.on('open', () => this.onconnect())
    socket.on('message', (data: Buffer) => this.ondata(data.toString()))
    socket.on('close', (code, reason) => this.ondisconnect(code !== 1000, code, reason.toString()))
  }

  disconnect(): void {
    this.#socket?.terminate()
  }

  send(message: string): boolean {
    if (!this.isConnected()) return false
    this.#socket!.send(message)
    return true
  }

  isConnected(): boolean {
    return this.#socket?.readyState === WebSocket.OPEN
  }

  isConnecting(): boolean {
    return this.#socket?.readyState === WebSocket.CONNECTING
  }
}

async function registered(bed: SipBed, user: string): Promise<UA> {
  const { host, port } = bed.address('ws')
  const agent = new JsSIP.UA({
    sockets: new Socket(`ws://${host}:${port}/`),
    uri: `sip:${user}@${sipDomain}`,
    password: passwordOf(user),
    register_expires: 600,
  })
  onTestFinished(() => agent.stop())
  const done = once(agent, 'registered')
  agent.on('registrationFailed', ({ cause, response }) => agent.emit('error', new Error(`${cause} ${response}`)))
  agent.start()
  await done
  return agent
}

// JsSIP knows nothing but MD5: it takes the challenge that comes last (D-8).
test('JsSIP registers with digest, sends a MESSAGE and receives one (S-25, S-60, S-71, S-80)', async () => {
  const bed = await startSip({ own: true })
  const alice = await registered(bed, 'alice')
  const bob = await registered(bed, 'bob')
  const carol = await bed.online('carol', 'udp')

  const arrived = once(bob, 'newMessage') as Promise<IncomingMessageEvent[]>
  const succeeded = Promise.withResolvers<number>()
  alice.sendMessage(`sip:bob@${sipDomain}`, 'Grüße aus dem Browser', {
    eventHandlers: {
      succeeded: ({ response }) => succeeded.resolve(response.status_code),
      failed: ({ cause }) => succeeded.reject(new Error(cause)),
    },
  })
  const [event] = await arrived
  expect(event!.request.body).toBe('Grüße aus dem Browser')
  expect(event!.request.from.uri.toString()).toBe(`sip:alice@${sipDomain}`)
  expect(await succeeded.promise).toBe(200)

  const fromCarol = once(alice, 'newMessage') as Promise<IncomingMessageEvent[]>
  expect((await carol.message(`sip:alice@${sipDomain}`, 'from elsewhere')).status).toBe(200)
  expect((await fromCarol)[0]!.request.body).toBe('from elsewhere')
})
