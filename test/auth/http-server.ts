import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { onTestFinished } from 'vitest'

export interface Asked {
  readonly method: string
  readonly path: string
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

export interface Reply {
  readonly status?: number
  /** Text as it is, anything else as JSON. */
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
}

/** An HTTP server on a port of its own that keeps what it is asked; replaced at will, `reply` answers. */
export class HttpServer {
  readonly asked: Asked[] = []
  /** Open connections. */
  readonly sockets = new Set<Socket>()
  /** Connections there ever were. */
  connections = 0
  url = ''
  reply: (asked: Asked) => Reply | Promise<Reply> = () => ({ status: 404 })
}

/** Starts a server that ends with the test. */
export async function startHttpServer(reply?: HttpServer['reply']): Promise<HttpServer> {
  const made = new HttpServer()
  if (reply) made.reply = reply
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const { method = '', url: path = '', headers } = request
    const asked = { method, path, headers, body: Buffer.concat(chunks).toString() }
    made.asked.push(asked)
    const { status = 200, body = '', headers: more } = await made.reply(asked)
    response.writeHead(status, { 'content-type': 'application/json', ...more })
    response.end(typeof body === 'string' ? body : JSON.stringify(body))
  })
  server.on('connection', (socket) => {
    made.connections++
    made.sockets.add(socket)
    socket.once('close', () => made.sockets.delete(socket))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  made.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/ask`
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return made
}

/** A logger that keeps its lines, as JSON. */
export function keptLog() {
  const lines: string[] = []
  const method = (level: string) => (fields: object, message: string) => {
    lines.push(JSON.stringify({ level, message, ...fields }))
  }
  const log = { debug: method('debug'), info: method('info'), warn: method('warn'), error: method('error') }
  return { log, lines }
}
