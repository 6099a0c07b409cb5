import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { generate } from 'selfsigned'
import { afterEach, beforeAll, describe, expect, test } from 'vitest'
import { parseParameters } from './msrp-client.ts'
import { type AgentOptions, SipAgent } from './sip-agent.ts'
import type { TlsFiles, Transport } from './sip-agent-channel.ts'
import { msrpSdp } from './sip-agent-dialog.ts'
import { addressOf, faultsOf, readMessage, splitOutside } from './sip-agent-message.ts'
import type { IncomingRequest } from './sip-agent-request.ts'

const transports: readonly Transport[] = ['udp', 'tcp', 'tls', 'ws', 'wss']

let tls: TlsFiles
const agents: SipAgent[] = []
const closers: (() => void)[] = []

beforeAll(async () => {
  const subjectAltName = { name: 'subjectAltName' as const, altNames: [{ type: 7 as const, ip: '127.0.0.1' }] }
  const { cert, private: key } = await generate([{ name: 'commonName', value: 'agent' }], {
    extensions: [subjectAltName],
  })
  tls = { ca: cert, cert, key }
})

afterEach(async () => {
  const closing = agents.splice(0).map((agent) => agent.close())
  for (const close of closers.splice(0)) close()
  await Promise.all(closing)
})

/** @param server an agent that listens, or the port of a script */
async function agent(user: string, server: SipAgent | number | null, options: Partial<AgentOptions> = {}) {
  const port = server instanceof SipAgent ? server.local.port : server
  const transport = server instanceof SipAgent ? server.transport : 'tcp'
  const made = await SipAgent.create({
    transport,
    user,
    domain: 'agents.test',
    tls,
    ...(port === null ? { isListening: true } : { server: { host: '127.0.0.1', port } }),
    ...options,
  })
  agents.push(made)
  return made
}

async function pair(transport: Transport, options: Partial<AgentOptions> = {}) {
  const bob = await agent('bob', null, { transport })
  return { alice: await agent('alice', bob, options), bob }
}

/** A TCP server of the test's own; resolves with its port, and with the connection that the agent makes. */
async function scripted(): Promise<{ port: number; connection: Promise<Socket> }> {
  const server = createServer()
  const connection = once(server, 'connection').then(([socket]: Socket[]) => socket!)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  closers.push(() => server.close())
  return { port: (server.address() as AddressInfo).port, connection }
}

describe.each(transports)('over %s', (transport) => {
  test('a MESSAGE arrives as sent and is answered (S-20, S-21, S-80)', async () => {
    const { alice, bob } = await pair(transport)
    const answering = alice.message(bob.uri, 'Grüße,\r\nBob', { headers: [['Subject', 'a, b']] })
    const request = await bob.expect('MESSAGE')
    expect(request.text).toBe('Grüße,\r\nBob')
    expect(request.header('s')).toBe('a, b')
    expect(request.message.vias).toHaveLength(1)
    expect(request.message.vias[0]!.protocol).toBe(transport.toUpperCase())
    request.reply(202, 'Accepted', { headers: [['X-Seen', 'yes']] })
    const response = await answering
    expect(response).toMatchObject({ status: 202, reason: 'Accepted' })
    expect(response.header('x-seen')).toBe('yes')
    expect(response.vias[0]!.params.get('rport')).toBe(`${alice.flow!.localPort}`)
  })

  test('an answering agent answers by itself, and requests go both ways on one flow', async () => {
    const { alice, bob } = await pair(transport)
    bob.on('MESSAGE', (request) => request.reply(200))
    expect((await alice.message(bob.uri, 'one')).status).toBe(200)
    const { flow } = bob.received[0]!
    const answering = bob.request('OPTIONS', alice.uri, { flow })
    const options = await alice.expect('OPTIONS')
    options.reply(200)
    expect((await answering).status).toBe(200)
    expect(bob.unclaimed).toEqual([])
  })

  test('a call: 180, 200, ACK and BYE from the other side, with session descriptions (S-33, S-35, P-1)', async () => {
    const { alice, bob } = await pair(transport)
    const call = alice.invite(bob.uri)
    const invite = await bob.expect('INVITE')
    expect(invite.text).toBe(msrpSdp(alice.local))
    invite.reply(180, 'Ringing')
    await call.response(180)
    const answered = call.answered()
    const dialog = invite.accept(msrpSdp(bob.local), { headers: [['Record-Route', '<sip:p1;lr>, <sip:p2;lr>']] })
    const callee = await answered
    expect((await bob.expect('ACK')).header('Route')).toBe('<sip:p2;lr>')
    expect(callee.state.routes).toEqual(['<sip:p2;lr>', '<sip:p1;lr>'])
    const bye = dialog.bye()
    const request = await alice.expect('BYE')
    expect(request.message.toTag).toBe(call.exchange.current.request.fromTag)
    request.reply(200)
    expect((await bye).status).toBe(200)
  })
})

test('a refused INVITE gets its ACK on the same branch, and every copy of the answer too (S-35)', async () => {
  const { alice, bob } = await pair('udp')
  const call = alice.invite(bob.uri)
  const invite = await bob.expect('INVITE')
  invite.reply(486, 'Busy Here')
  expect((await call.final()).status).toBe(486)
  const ack = await bob.expect('ACK')
  expect(ack.message.vias[0]!.branch).toBe(invite.message.vias[0]!.branch)
  expect(ack.message.toTag).toBe(invite.localTag)
  invite.resend()
  await expect.poll(() => ack.copies).toBe(1)
})

test('a cancelled call: CANCEL on the same branch gets 200, the INVITE 487 (S-50)', async () => {
  const { alice, bob } = await pair('tcp')
  const call = alice.invite(bob.uri)
  const invite = await bob.expect('INVITE')
  invite.reply(180)
  await call.response(180)
  const cancelled = call.cancel()
  const cancel = await bob.expect('CANCEL')
  expect(cancel.message.vias[0]!.text).toBe(invite.message.vias[0]!.text)
  cancel.reply(200)
  invite.reply(487, 'Request Terminated')
  expect((await cancelled).status).toBe(200)
  expect((await call.final()).status).toBe(487)
  await bob.expect('ACK')
})

describe('digest', () => {
  const secret = 'correct horse'

  /** A registrar's side, just enough to see what the agent sends: the very same digest is proven with the vectors. */
  function challenge(registrar: SipAgent, header: string, status: number, algorithms: readonly string[]): string[] {
    const seen: string[] = []
    registrar.on('REGISTER', (request: IncomingRequest) => {
      const credentials = request.header(header.replace('Authenticate', 'Authorization').replace('WWW-', ''))
      if (credentials !== null) {
        seen.push(credentials)
        return request.reply(200, 'OK', { headers: request.message.all('Contact').map((value) => ['Contact', value]) })
      }
      const headers = algorithms.map((algorithm) => {
        return [header, `Digest realm="r", nonce="n-${algorithm}", qop="auth", algorithm=${algorithm}`] as const
      })
      request.reply(status, 'Prove it', { headers })
    })
    return seen
  }

  test.each([
    { header: 'WWW-Authenticate', status: 401, offered: ['SHA-256', 'MD5'], taken: 'SHA-256', digits: 64 },
    { header: 'WWW-Authenticate', status: 401, offered: ['SHA-512', 'MD5'], taken: 'MD5', digits: 32 },
    { header: 'Proxy-Authenticate', status: 407, offered: ['MD5'], taken: 'MD5', digits: 32 },
  ])('answers $status $header with the first of $offered it knows (D-1, D-8)', async (one) => {
    const registrar = await agent('registrar', null, { transport: 'udp' })
    const seen = challenge(registrar, one.header, one.status, one.offered)
    const alice = await agent('alice', registrar, { password: secret })
    const response = await alice.register({ expires: 60 })
    expect(response.contacts.map(({ text }) => text)).toEqual([alice.contact])
    const credentials = parseParameters(seen[0]!)
    expect(credentials).toMatchObject({ username: 'alice', realm: 'r', uri: 'sip:agents.test', nc: '00000001' })
    expect(credentials).toMatchObject({ algorithm: one.taken, nonce: `n-${one.taken}`, qop: 'auth' })
    expect(credentials.response).toMatch(new RegExp(`^[0-9a-f]{${one.digits}}$`))
    expect(registrar.received.map(({ message }) => message.cseq.number)).toEqual([1, 2])
    expect(new Set(registrar.received.map(({ message }) => message.callId)).size).toBe(1)
  })

  test('a nonce can be used again, with the next count (D-5), and credentials tampered with', async () => {
    const registrar = await agent('registrar', null, { transport: 'tcp' })
    const seen = challenge(registrar, 'WWW-Authenticate', 401, ['SHA-256'])
    const alice = await agent('alice', registrar, { password: secret })
    await alice.register()
    await alice.register({ auth: { reuse: true } })
    await alice.register({ auth: { reuse: true, tamper: (credentials) => ({ ...credentials, nc: '0000002a' }) } })
    expect(seen.map((value) => parseParameters(value).nc)).toEqual(['00000001', '00000002', '0000002a'])
    expect(registrar.received).toHaveLength(4)
  })

  test('wrong credentials are sent once; without a password the challenge is the answer', async () => {
    const registrar = await agent('registrar', null, { transport: 'tcp' })
    const again = 'Digest realm="r", nonce="n", qop="auth", algorithm=MD5'
    registrar.on('REGISTER', (request) => request.reply(401, 'No', { headers: [['WWW-Authenticate', again]] }))
    const alice = await agent('alice', registrar, { password: 'wrong' })
    expect((await alice.register()).status).toBe(401)
    expect(registrar.received).toHaveLength(2)
    const carol = await agent('carol', registrar)
    expect((await carol.register()).status).toBe(401)
    expect(registrar.received).toHaveLength(3)
  })
})

describe('loss and retransmission over UDP', () => {
  test('a request that is lost is sent again at T1, 2 T1, the very same octets (S-34)', async () => {
    const { alice, bob } = await pair('udp', { t1Ms: 15 })
    bob.on('MESSAGE', (request) => request.reply(200))
    bob.lose(({ kind }) => kind === 'request', 2)
    const startedAt = performance.now()
    expect((await alice.message(bob.uri, 'again')).status).toBe(200)
    const [first, , third] = bob.received
    expect(bob.received.map(({ isLost }) => isLost)).toEqual([true, true, false])
    expect(third!.message.octets).toEqual(first!.message.octets)
    // 15 + 30 ms; timers count whole milliseconds.
    expect(third!.atMs - startedAt).toBeGreaterThan(43)
  })

  test('a copy is answered with the same octets and counted, but arrives once (S-34)', async () => {
    const { alice, bob } = await pair('udp')
    bob.on('MESSAGE', (request) => request.reply(200))
    const transaction = alice.start('MESSAGE', bob.uri, { body: 'x' })
    await transaction.final()
    transaction.retransmit()
    await transaction.response(200)
    expect(transaction.responses[1]!.octets).toEqual(transaction.responses[0]!.octets)
    bob.answersCopies = false
    transaction.retransmit()
    await expect.poll(() => bob.received.length).toBe(3)
    expect(transaction.responses).toHaveLength(2)
  })
})

describe('keep-alives', () => {
  test.each(['tcp', 'tls', 'ws'] as const)(
    '%s: CRLFCRLF is answered with CRLF, many times (S-90, S-92)',
    async (name) => {
      const { alice, bob } = await pair(name)
      await alice.ping()
      await Promise.all([alice.ping(), alice.ping()])
      bob.on('OPTIONS', (request) => request.reply(200))
      expect((await alice.request('OPTIONS', bob.uri)).status).toBe(200)
    },
  )

  test('udp: a STUN binding response tells the address the server sees (S-91)', async () => {
    const server = createSocket('udp4').bind(0, '127.0.0.1')
    await once(server, 'listening')
    closers.push(() => server.close())
    server.on('message', (request, { port }) => {
      const answer = Buffer.alloc(32)
      answer.writeUInt16BE(0x0101, 0)
      answer.writeUInt16BE(12, 2)
      request.copy(answer, 4, 4, 20)
      answer.writeUInt16BE(0x0020, 20)
      answer.writeUInt16BE(8, 22)
      answer.writeUInt16BE(1, 24)
      answer.writeUInt16BE(port ^ 0x2112, 26)
      answer.writeUInt32BE((0x7f000001 ^ 0x2112a442) >>> 0, 28)
      server.send(answer, port, '127.0.0.1')
    })
    const alice = await agent('alice', server.address().port, { transport: 'udp' })
    expect(await alice.stun()).toEqual({ host: '127.0.0.1', port: alice.local.port })
  })
})

describe('what a server must not send', () => {
  const sound = [
    'MESSAGE sip:alice@agents.test SIP/2.0',
    'Via: SIP/2.0/TCP 127.0.0.1:5060;branch=z9hG4bKabc',
    'Max-Forwards: 69',
    'From: "B, <Bob>" <sip:bob@agents.test>;tag=1',
    'To: <sip:alice@agents.test>',
    'Call-ID: c1',
    'CSeq: 7 MESSAGE',
    'Content-Type: text/plain',
    'Content-Length: 2',
    '',
    'hi',
  ].join('\r\n')
  const response = sound
    .replace('MESSAGE sip:alice@agents.test SIP/2.0', 'SIP/2.0 200 OK')
    .replace('To: <sip:alice@agents.test>', 'To: <sip:alice@agents.test>;tag=2')
  const faults = (text: string) => faultsOf(readMessage(Buffer.from(text)), true)

  test('a sound message has no faults, folded and in compact form neither (S-2, S-4)', () => {
    expect(faults(sound)).toEqual([])
    expect(faults(response)).toEqual([])
    expect(faults(sound.replace('127.0.0.1:5060', '[::1] : 5060').replace('SIP/2.0/TCP', 'SIP / 2.0/ SCTP'))).toEqual(
      [],
    )
    expect(faults(sound.replace('Content-Length: 2', 'Content-Length: 002'))).toEqual([])
    expect(faults(sound.replace('Call-ID: c1', 'i :\r\n\t c1').replace('Content-Length', 'l'))).toEqual([])
  })

  test.each<[what: string, from: string | RegExp, to: string, fault: RegExp]>([
    ['another version', 'SIP/2.0\r\n', 'SIP/3.0\r\n', /bad start line/],
    ['two spaces in the start line', 'MESSAGE sip', 'MESSAGE  sip', /bad start line/],
    ['a bare LF', 'CSeq: 7 MESSAGE\r\n', 'CSeq: 7 MESSAGE\n', /a bare CR, a bare LF/],
    ['a line without colon', 'Call-ID: c1', 'Call-ID: c1\r\nnonsense', /bad header line "nonsense"/],
    ['no Call-ID', 'Call-ID: c1\r\n', '', /no call-id/],
    ['no Max-Forwards', 'Max-Forwards: 69\r\n', '', /no max-forwards/],
    ['Max-Forwards of 256', 'Max-Forwards: 69', 'Max-Forwards: 256', /bad Max-Forwards/],
    ['two From', 'To: ', 'f: <sip:x@y>;tag=3\r\nTo: ', /more than one from/],
    ['no Via', /Via: .*\r\n/, '', /no via/],
    ['a branch without the cookie', 'z9hG4bKabc', 'abc', /top Via without a branch/],
    ['an empty branch', 'z9hG4bKabc', 'z9hG4bK', /top Via without a branch/],
    ['a CSeq of another method', '7 MESSAGE', '7 OPTIONS', /CSeq of OPTIONS in a MESSAGE/],
    ['a CSeq over 32 bits', '7 MESSAGE', '4294967296 MESSAGE', /bad CSeq/],
    ['a wrong Content-Length', 'Content-Length: 2', 'Content-Length: 3', /Content-Length 3 for 2/],
    ['no Content-Length on a stream', 'Content-Length: 2\r\n', '', /no Content-Length on a stream/],
    ['a body without Content-Type', 'Content-Type: text/plain\r\n', '', /body without Content-Type/],
  ])('%s (S-1 … S-7, S-20)', (_what, from, to, fault) => {
    const changed = sound.replace(from, to)
    expect(changed).not.toBe(sound)
    expect(faults(changed).join('; ')).toMatch(fault)
  })

  test('a response without To tag, or with a status of 700', () => {
    expect(faults(response.replace(';tag=2', ''))).toEqual(['200 without a To tag'])
    expect(faults(response.replace('200 OK', '100 Trying').replace(';tag=2', ''))).toEqual([])
    expect(faults(response.replace('200 OK', '700 OK'))).toEqual(['a bad start line "SIP/2.0 700 OK"'])
  })

  test.each<[what: string, change: (answer: string) => string, fault: RegExp]>([
    [
      'a Via of the server left',
      (text) => text.replace('Via:', 'Via: SIP/2.0/TCP p;branch=z9hG4bKp\r\nVia:'),
      /to no request/,
    ],
    [
      'a Via too many',
      (text) => text.replace('\r\nFrom', '\r\nVia: SIP/2.0/TCP q;branch=z9hG4bKq\r\nFrom'),
      /200: Via list/,
    ],
    ['another From tag', (text) => text.replace(/(From: .*tag=)\w+/, '$1other'), /200: From/],
    ['another Call-ID', (text) => text.replace(/Call-ID: \w+/, 'Call-ID: other'), /200: Call-ID/],
    ['another CSeq', (text) => text.replace('CSeq: 1 ', 'CSeq: 2 '), /200: CSeq/],
    ['another rport', (text) => text.replace(/rport=\d+/, 'rport=1'), /200: rport/],
    ['no received', (text) => text.replace(/;received=[\d.]+/, ''), /200: rport without received/],
  ])('%s in a response fails the wait and close, with the trace (S-21, S-23)', async (_what, change, fault) => {
    const { alice, bob } = await pair('tcp')
    const waiting = alice.message(bob.uri, 'hello there')
    const failing = expect(waiting).rejects.toThrow(fault)
    const request = await bob.expect('MESSAGE')
    bob.send(change(request.response(200, 'OK').toString()), request.flow)
    await failing
    await expect(waiting).rejects.toThrow(
      /> [\d.]+ ms\s+MESSAGE sip:bob@agents.test(.|\n)*hello there(.|\n)*< [\d.]+ ms/,
    )
    agents.splice(agents.indexOf(alice), 1)
    await expect(alice.close()).rejects.toThrow(fault)
  })

  test('a lenient agent only notes it', async () => {
    const { port, connection } = await scripted()
    const alice = await agent('alice', port, { isLenient: true })
    const socket = await connection
    socket.write(sound.replace('Max-Forwards: 69\r\n', ''))
    expect((await alice.expect('MESSAGE')).text).toBe('hi')
    expect(alice.faults).toEqual(['no max-forwards', 'a bad Max-Forwards'])
  })

  test('a request of raw octets has its transaction, other octets have strays (S-23)', async () => {
    const { alice, bob } = await pair('tcp', { isLenient: true })
    bob.on('OPTIONS', (request) => request.reply(200))
    const octets = alice.compose('OPTIONS', bob.uri).toString().replace('Call-ID:', 'i :\r\n ')
    expect((await alice.startRaw(octets).final()).status).toBe(200)
    expect(alice.faults).toEqual([])
    alice.send(alice.compose('OPTIONS', bob.uri))
    expect((await alice.expectStray(200)).cseq.method).toBe('OPTIONS')
    expect(alice.faults).toEqual(['a 200 to no request of this agent (S-23)'])
  })

  test('a retransmission over TCP, and a CR that is no keep-alive', async () => {
    const { port, connection } = await scripted()
    const alice = await agent('alice', port, { isLenient: true })
    const socket = await connection
    socket.write(`${sound}${sound}\rX`)
    await expect.poll(() => alice.faults).toHaveLength(2)
    expect(alice.faults.join()).toMatch(/MESSAGE was retransmitted over tcp,a CR that begins neither/)
    expect((await alice.expect('MESSAGE')).copies).toBe(1)
  })

  test('messages come whole whatever the pieces of the stream', async () => {
    const { port, connection } = await scripted()
    const alice = await agent('alice', port)
    const socket = (await connection).setNoDelay()
    const second = sound.replaceAll('z9hG4bKabc', 'z9hG4bKdef').replace('hi', '\r\n')
    for (const octet of Buffer.from(`${sound}\r\n\r\n${second}`)) socket.write(Buffer.of(octet))
    expect((await alice.expect('MESSAGE')).text).toBe('hi')
    expect((await alice.expect('MESSAGE')).text).toBe('\r\n')
    const [pong] = await once(socket, 'data')
    expect(pong.toString()).toBe('\r\n')
  })
})

describe('waits in vain', () => {
  test('tell what was waited for and what was said', async () => {
    const { alice, bob } = await pair('udp', { patienceMs: 150 })
    const waiting = alice.request('OPTIONS', bob.uri, { headers: [['Subject', 'nobody answers']] })
    await expect(waiting).rejects.toThrow(
      /waited for a final response to OPTIONS sip:bob@agents\.test: not within 150 ms(.|\n)*Subject: nobody answers/,
    )
    await expect(alice.expect('INVITE')).rejects.toThrow(/waited for a INVITE: not within 150 ms/)
    expect(bob.unclaimed).toHaveLength(1)
  })

  test('end with the connection', async () => {
    const { port, connection } = await scripted()
    const alice = await agent('alice', port)
    const waiting = alice.expect('MESSAGE')
    const socket = await connection
    socket.end('MESSAGE sip:half')
    await expect(waiting).rejects.toThrow(/the server sent what it must not: the connection ended inside a message/)
    expect(await alice.disconnected).toBe('closed')
    agents.splice(agents.indexOf(alice), 1)
    await expect(alice.close()).rejects.toThrow(/ended inside a message/)
    const other = await agent('bob', null)
    const carol = await agent('carol', other)
    const idle = carol.expect('MESSAGE')
    carol.flow!.close()
    await expect(idle).rejects.toThrow(/waited for a MESSAGE: the connection closed/)
  })
})

test('commas and semicolons inside quotes and angle brackets separate nothing (S-2, S-8)', () => {
  expect(splitOutside('"a,\\",b" <sip:x@y;p,q>;r="1,2", <sip:z>', ',')).toEqual([
    '"a,\\",b" <sip:x@y;p,q>;r="1,2"',
    '<sip:z>',
  ])
  const { displayName, uri, params } = addressOf('"a <b>; c" <sip:x@y;p=1>;expires=5;q')
  expect({ displayName, uri }).toEqual({ displayName: '"a <b>; c"', uri: 'sip:x@y;p=1' })
  expect([...params]).toEqual([
    ['expires', '5'],
    ['q', null],
  ])
  expect(addressOf('sip:x@y;tag=1')).toMatchObject({ uri: 'sip:x@y' })
})
