import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'

/** What the stub does wrong, or does right in an unusual way (`split`, `trickle`), to every `FAULT_EVERY`th SEND. */
export type Behaviour =
  | 'right'
  | 'split'
  | 'trickle'
  | 'corrupt-body'
  | 'drop'
  | 'swap'
  | 'duplicate'
  | 'keep-to-path'
  | 'keep-from-path'
  | 'lose-header'
  | 'wrong-end-line'
  | 'abort'
  | 'refuse'
  | 'report'
  | 'no-answer'

export const FAULT_EVERY = 20

export interface StubRelay {
  readonly port: number
  /** Sessions that have been authenticated. */
  readonly sessions: number
  /** 200s that receivers sent and that were right in every octet (M-50). */
  readonly answers: number
  /** Frames that receivers sent and that were not. */
  readonly wrongAnswers: number
  close(): Promise<void>
}

interface Frame {
  readonly start: string
  readonly tid: string
  /** Headers and, if there is one, the empty line and the body; without the end-line. */
  readonly rest: string
  readonly flag: string
}

const FRAME = /^MSRP (\S+) ([^\r]+)\r\n([\s\S]*?)-------\1([+$#])\r\n/

const header = (frame: Frame, name: string): string => new RegExp(`^${name}: (.*)\r$`, 'm').exec(frame.rest)?.[1] ?? ''

const encode = ({ tid, start, rest, flag }: Frame): string => `MSRP ${tid} ${start}\r\n${rest}-------${tid}${flag}\r\n`

/**
 * A slow and obvious MSRP relay, just enough to try the load generator on: any digest is good, paths are rewritten,
 * every SEND is answered, and it can be told to be wrong in one way.
 */
export const startStubRelay = async (behaviour: Behaviour = 'right'): Promise<StubRelay> => {
  const sessions = new Map<string, Socket>()
  const sockets = new Set<Socket>()
  /** The 200 that each forwarded SEND must be answered with, by transaction id. */
  const expectedAnswers = new Map<string, string>()
  let answers = 0
  let wrongAnswers = 0
  let forwarded = 0
  let nextId = 1000
  let held: { session: Socket; octets: string } | null = null

  const server = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    socket.on('error', () => socket.destroy())
    let input = ''
    socket.setEncoding('latin1')
    socket.on('data', (data: string) => {
      input += data
      for (let match = FRAME.exec(input); match !== null; match = FRAME.exec(input)) {
        input = input.slice(match[0].length)
        const [, tid = '', start = '', rest = '', flag = ''] = match
        receive(socket, { start, tid, rest, flag })
      }
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo

  const reply = (socket: Socket, frame: Frame, status: string, headers = ''): void => {
    const [to = ''] = header(frame, 'From-Path').split(' ')
    const [from = ''] = header(frame, 'To-Path').split(' ')
    socket.write(
      encode({ ...frame, start: status, rest: `To-Path: ${to}\r\nFrom-Path: ${from}\r\n${headers}`, flag: '$' }),
    )
  }

  const receive = (socket: Socket, frame: Frame): void => {
    if (frame.start === 'AUTH') auth(socket, frame)
    else if (frame.start === 'SEND') send(socket, frame)
    else if (expectedAnswers.get(frame.tid) === encode(frame)) {
      expectedAnswers.delete(frame.tid)
      answers++
    } else wrongAnswers++
  }

  const auth = (socket: Socket, frame: Frame): void => {
    if (!header(frame, 'Authorization').includes('response=')) {
      reply(socket, frame, '401 Unauthorized', 'WWW-Authenticate: Digest realm="stub", nonce="n", qop="auth"\r\n')
      return
    }
    const usePath = `msrp://127.0.0.1:${port}/u${nextId++};tcp`
    sessions.set(usePath, socket)
    reply(socket, frame, '200 OK', `Use-Path: ${usePath}\r\nExpires: 600\r\n`)
  }

  const send = (socket: Socket, frame: Frame): void => {
    const isFaulty = behaviour !== 'right' && ++forwarded % FAULT_EVERY === 0
    if (isFaulty && behaviour === 'refuse') reply(socket, frame, '413 Too Large')
    else if (!isFaulty || behaviour !== 'no-answer') reply(socket, frame, '200 OK')
    if (isFaulty && behaviour === 'report') {
      reply(socket, { ...frame, tid: `rep${nextId++}` }, 'REPORT', 'Message-ID: m1234\r\nStatus: 000 408\r\n')
    }

    const to = header(frame, 'To-Path').split(' ')
    const from = header(frame, 'From-Path').split(' ')
    let session: Socket | undefined
    for (let mine = sessions.get(to[0] ?? ''); mine !== undefined; mine = sessions.get(to[0] ?? '')) {
      session = mine
      from.unshift(to.shift() ?? '')
    }
    if (session === undefined) throw new Error('the stub has no such session')
    const rewritten = frame.rest
      .replace(/^To-Path: .*\r$/m, `To-Path: ${to.join(' ')}\r`)
      .replace(/^From-Path: .*\r$/m, `From-Path: ${from.join(' ')}\r`)
    forward(session, { ...frame, tid: `fwd${nextId++}`, rest: rewritten }, frame, isFaulty ? behaviour : 'right')
  }

  const forward = (session: Socket, frame: Frame, original: Frame, how: Behaviour): void => {
    const write = (chunk: Frame, octets = encode(chunk)): void => {
      const [to = ''] = header(chunk, 'From-Path').split(' ')
      const rest = `To-Path: ${to}\r\nFrom-Path: ${header(chunk, 'To-Path')}\r\n`
      expectedAnswers.set(chunk.tid, encode({ start: '200 OK', tid: chunk.tid, rest, flag: '$' }))
      session.write(octets, 'latin1')
    }
    const bodyAt = frame.rest.indexOf('\r\n\r\n') + 4
    const withBody = (change: (body: string) => string): Frame => ({
      ...frame,
      rest: frame.rest.slice(0, bodyAt) + change(frame.rest.slice(bodyAt)),
    })
    const octets = encode(frame)
    switch (how) {
      case 'corrupt-body':
        write(withBody((body) => `-${body.slice(1)}`))
        return
      case 'drop':
        return
      case 'swap':
        write(frame, '')
        held = { session, octets }
        return
      case 'duplicate':
        write(frame)
        write({ ...frame, tid: `dup${nextId++}` })
        return
      case 'keep-to-path':
        write({
          ...frame,
          rest: frame.rest.replace(/^To-Path.*$/m, /^To-Path.*$/m.exec(original.rest)?.[0] ?? ''),
        })
        return
      case 'keep-from-path':
        write({
          ...frame,
          rest: frame.rest.replace(/^From-Path.*$/m, /^From-Path.*$/m.exec(original.rest)?.[0] ?? ''),
        })
        return
      case 'lose-header':
        write({ ...frame, rest: frame.rest.replace(/^Byte-Range.*\r\n/m, '') })
        return
      case 'wrong-end-line':
        write(frame, `${octets.slice(0, -4)}~$\r\n`)
        return
      case 'abort':
        write({ ...frame, flag: '#' })
        return
      case 'split': {
        const at = 7
        write({ ...withBody((body) => `${body.slice(0, at)}\r\n`), flag: '+' })
        const second = withBody((body) => body.slice(at))
        const rest = second.rest.replace(/^Byte-Range: 1-/m, `Byte-Range: ${at + 1}-`)
        write({ ...second, tid: `piece${nextId++}`, rest })
        return
      }
      case 'trickle':
        // Cut in odd places, each piece a segment of its own as far as the kernel lets us (M-63).
        for (let from = 0, length = 1; from < octets.length; from += length++) {
          write(frame, octets.slice(from, from + length))
        }
        return
      default:
        write(frame)
        if (held?.session !== session) return
        session.write(held.octets, 'latin1')
        held = null
    }
  }

  return {
    port,
    get sessions() {
      return sessions.size
    },
    get answers() {
      return answers
    },
    get wrongAnswers() {
      return wrongAnswers
    },
    close: async () => {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}
