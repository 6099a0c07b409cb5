import { once } from 'node:events'
import { connect as connectTcp, createServer, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { describe, expect, onTestFinished, test } from 'vitest'
import { eventually, type SipBed, startSip } from '../support/sip-server.ts'

/** A client that sends a request and nothing after it: what it reads until the server ends the connection. */
class Client {
  readonly socket: Socket
  text = ''

  constructor(socket: Socket) {
    this.socket = socket
    socket.setEncoding('latin1').on('data', (text: string) => (this.text += text))
    onTestFinished(() => void socket.destroy())
  }

  /** Sends a MESSAGE from elsewhere with this sent-by, and ends its side of the connection. */
  sendLast(to: string, sentBy: string): void {
    const head = [
      `MESSAGE ${to} SIP/2.0`,
      `Via: SIP/2.0/TCP ${sentBy};branch=z9hG4bKlast`,
      'Max-Forwards: 70',
      'From: <sip:eve@elsewhere.test>;tag=e',
      `To: <${to}>`,
      'Call-ID: last@elsewhere.test',
      'CSeq: 1 MESSAGE',
      'Content-Type: text/plain',
      'Content-Length: 4',
    ]
    this.socket.end(`${head.join('\r\n')}\r\n\r\nlast`)
  }
}

async function connect(bed: SipBed, transport: 'tcp' | 'tls'): Promise<Client> {
  const { host, port } = bed.address(transport)
  const tcp = connectTcp({ host, port, allowHalfOpen: true })
  const socket = transport === 'tcp' ? tcp : connectTls({ socket: tcp, rejectUnauthorized: false })
  await once(socket, transport === 'tcp' ? 'connect' : 'secureConnect')
  return new Client(socket)
}

/** A port that nobody listens on. */
async function deadPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  server.close()
  await once(server, 'close')
  return port
}

describe.each([0, 2])('a client that ends its side after its request (S-22; workers: %i)', (workers) => {
  test.each(['tcp', 'tls'] as const)('reads the answer over %s, then the connection ends', async (transport) => {
    const bed = await startSip({ workers, own: true })
    const bob = await bed.online('bob', 'tcp')
    const client = await connect(bed, transport)
    const ended = once(client.socket, 'end')
    client.sendLast(bob.uri, `127.0.0.1:${await deadPort()}`)
    const request = await bob.expect('MESSAGE')
    // The server has seen the end by now, or sees it while the answer is on its way.
    await eventually(() => client.socket.writableFinished).toBe(true)
    request.reply(200, 'In Time')
    await ended
    expect(client.text).toMatch(/^SIP\/2\.0 200 In Time\r\n/)
    await eventually(() => bed.metric('silopath_connections', { state: 'open' })).toBe(1)
  })

  test('is answered at the address in its Via instead, if somebody is there', async () => {
    const bed = await startSip({ workers })
    const bob = await bed.online('bob', 'tcp')
    const answers: string[] = []
    const server = createServer((socket) => {
      socket.setEncoding('latin1').on('data', (text: string) => answers.push(text))
      onTestFinished(() => void socket.destroy())
    }).listen(0, '127.0.0.1')
    onTestFinished(() => void server.close())
    await once(server, 'listening')
    const client = await connect(bed, 'tcp')
    const ended = once(client.socket, 'end')
    client.sendLast(bob.uri, `127.0.0.1:${(server.address() as { port: number }).port}`)
    const request = await bob.expect('MESSAGE')
    await bob.request('OPTIONS', 'sip:sip.test')
    request.reply(200, 'There')
    await ended
    await eventually(() => `${client.text}${answers.join('')}`).toMatch(/^SIP\/2\.0 200 There\r\n/)
  })
})
