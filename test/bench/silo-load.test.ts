import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { siloBenchOptions } from '../../bench/load/silo/arguments.ts'
import { Bodies } from '../../bench/load/silo/bodies.ts'
import { compareStored, copyFolder, filledFolder, openSilo } from '../../bench/load/silo/database.ts'
import type { SiloLoadOptions, SiloScenario } from '../../bench/load/silo/options.ts'
import { runSiloLoad } from '../../bench/load/silo/run.ts'
import { startSiloServer } from '../../bench/load/silo/silo-server.ts'
import { siloFailuresOf, storedFailuresOf } from '../../bench/load/silo/verdict.ts'

const load: Omit<SiloLoadOptions, 'target'> = {
  scenarios: ['dump', 'reminders', 'store'],
  users: 5,
  connections: 2,
  windows: [1, 8],
  size: 60,
  warmup: 0,
  seconds: 0.3,
  readers: 3,
  messages: 30,
  rounds: 2,
  drainMs: 1500,
}

async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'silopath-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  return folder
}

test('a server that does everything right loses nothing, and its store has what was answered 202 (SILO-24, SILO-40)', async () => {
  const parent = await temporaryFolder()
  const filled = await filledFolder(parent, 40, load)
  expect(await filledFolder(parent, 40, load)).toBe(filled)
  const dataDir = join(parent, 'run')
  await copyFolder(filled, dataDir)
  const server = await startSiloServer(dataDir, 0, load)
  const { results, stored } = await runSiloLoad({ ...load, target: server.target }).finally(server.stop)
  expect(results.map(({ scenario, window }) => `${scenario} ${window}`)).toEqual([
    'dump 3',
    'reminders 3',
    'store 1',
    'store 8',
  ])
  for (const result of results) expect(siloFailuresOf(result)).toEqual([])
  expect(results[0]!.completed).toBe(180)
  expect(results[1]!.completed).toBe(90)
  const left = await compareStored(dataDir, 40, stored)
  expect(storedFailuresOf(left)).toEqual([])
  expect(left.messages).toBeGreaterThan(40 + results[2]!.completed)
  expect(left.diskOctetsPerMessage).toBeGreaterThan(60)
  // One that was answered and is not there; one that is there and was not answered.
  const [one, ...others] = stored
  const more = await compareStored(dataDir, 40, [{ ...one!, last: one!.last + 1 }, ...others])
  expect(storedFailuresOf(more)).toEqual([expect.stringContaining('1 answered 202 and not in the store')])
  const less = await compareStored(dataDir, 40, [{ ...one!, others: [one!.first] }, ...others])
  expect(storedFailuresOf(less)).toEqual([expect.stringContaining('1 in the store and not answered 202')])
  const store = await openSilo(filled)
  expect(store.counts().messages).toBe(40)
  await store.close()
}, 30_000)

type Wrong = 'twice' | 'swap' | 'corrupt' | 'omit' | 'refuse' | 'drop'

/** Stores MESSAGEs in a Map, and gives them to whoever registers: wrongly. */
class WrongServer {
  readonly wrong: Wrong
  readonly #stored = new Map<string, string[]>()
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  #count = 0

  constructor(wrong: Wrong) {
    this.wrong = wrong
    this.#server = createServer((socket) => {
      this.#sockets.add(socket)
      let rest = ''
      socket.setEncoding('latin1').on('data', (read: string) => {
        rest += read
        for (;;) {
          const headEnd = rest.indexOf('\r\n\r\n') + 4
          const end = headEnd + Number(/Content-Length: (\d+)/.exec(rest)?.[1] ?? 0)
          if (headEnd < 4 || rest.length < end) break
          this.#receive(socket, rest.slice(0, headEnd), rest.slice(headEnd, end))
          rest = rest.slice(end)
        }
      })
    })
  }

  async listen(): Promise<number> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve))
    return (this.#server.address() as { port: number }).port
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy()
    this.#server.close()
  }

  #receive(socket: Socket, head: string, body: string): void {
    if (head.startsWith('SIP/2.0')) return
    const user = /\r\nTo: <([^>]*)>/.exec(head)![1]!
    const isRegister = head.startsWith('REGISTER')
    const isSeventh = !isRegister && ++this.#count % 7 === 0
    if (isSeventh && this.wrong === 'drop') return
    const status = isRegister ? 200 : isSeventh && this.wrong === 'refuse' ? 503 : 202
    socket.write(
      `SIP/2.0 ${status} OK${head.slice(head.indexOf('\r\n'), -2).replace(/\d+\r\n$/, '0\r\n')}\r\n`,
      'latin1',
    )
    if (!isRegister) this.#stored.set(user, [...(this.#stored.get(user) ?? []), body])
    else for (const text of this.#wronged(this.#stored.get(user) ?? [])) this.#deliver(socket, user, text)
  }

  #wronged(bodies: readonly string[]): string[] {
    const [first = '', second = '', ...others] = bodies
    switch (this.wrong) {
      case 'twice':
        return [first, first, second, ...others]
      case 'swap':
        return [second, first, ...others]
      case 'corrupt':
        return [first, `${second.slice(0, -1)}~`, ...others]
      case 'omit':
        return [first, second, ...others.slice(0, -1)]
      default:
        return [...bodies]
    }
  }

  #deliver(socket: Socket, user: string, text: string): void {
    const head = `MESSAGE sip:x SIP/2.0\r\nVia: SIP/2.0/TCP x;branch=z9hG4bKx\r\nFrom: <sip:s>;tag=x\r\nTo: <${user}>`
    const rest = `Call-ID: x\r\nCSeq: 1 MESSAGE\r\nContent-Length: ${text.length}\r\n\r\n${text}`
    socket.write(`${head}\r\n${rest}`, 'latin1')
  }
}

describe('a server that does something wrong is found out', () => {
  let server: WrongServer

  afterEach(() => server.close())

  async function loadWrong(wrong: Wrong, scenario: SiloScenario) {
    server = new WrongServer(wrong)
    const target = { host: '127.0.0.1', port: await server.listen(), pid: process.pid, domain: 'x', password: '' }
    return runSiloLoad({ ...load, target, scenarios: [scenario], windows: [4], rounds: 1, drainMs: 200 })
  }

  test.each<[wrong: Wrong, fault: RegExp]>([
    ['twice', /^3 duplicate$/],
    ['swap', /^3 out of order$/],
    ['corrupt', /3 failed/],
    ['omit', /^3 lost$/],
  ])('dump, %s', async (wrong, fault) => {
    const { results } = await loadWrong(wrong, 'dump')
    expect(siloFailuresOf(results[0]!).join()).toMatch(fault)
  })

  test('store, refused: what was refused is not looked for in the store', async () => {
    const { results, stored } = await loadWrong('refuse', 'store')
    expect(results[0]!.failed).toBeGreaterThan(0)
    expect(results[0]!.first_fault).toMatch(/answered 503/)
    expect(stored.flatMap(({ others }) => others)).toHaveLength(results[0]!.failed)
  })

  test('store, never answered', async () => {
    const { results, stored } = await loadWrong('drop', 'store')
    expect(siloFailuresOf(results[0]!).join()).toMatch(/4 lost/)
    expect(stored.flatMap(({ others }) => others)).toHaveLength(4)
  })
})

describe('options', () => {
  test('have defaults, and lists', () => {
    const options = siloBenchOptions(['--stored', '1000000,10000', '--window', '8', '--scenario', 'store,dump'])
    expect(options.stored).toEqual([10_000, 1_000_000])
    expect(options.load).toMatchObject({ windows: [8], scenarios: ['store', 'dump'], readers: 100, messages: 50 })
  })

  test.each(['--window=0', '--scenario=storing', '--stored=-1', '--seconds=x', '--size=10', '--nothing'])(
    '%s is refused with the usage',
    (argument) => {
      expect(() => siloBenchOptions([argument])).toThrow(/npm run bench:silo/)
    },
  )
})

describe('a body', () => {
  let bodies: Bodies

  beforeEach(() => {
    bodies = new Bodies(60)
  })

  test('is known by whom it is for, and by each of its octets', () => {
    const text = bodies.text(3, 100_000_007)
    expect(bodies.sequenceIn(Buffer.from(text), 3)).toBe(100_000_007)
    expect(bodies.sequenceIn(Buffer.from(text), 4)).toBe(-1)
    expect(bodies.sequenceIn(Buffer.from(text.slice(0, -1)), 3)).toBe(-1)
    expect(bodies.sequenceIn(Buffer.from(`${text.slice(0, -1)}\t`), 3)).toBe(-1)
  })
})
