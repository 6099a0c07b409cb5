import { execFileSync } from 'node:child_process'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { type HookCount, openHooks } from '../../src/silo/hooks.ts'
import { keptLog } from '../auth/http-server.ts'
import { FakeTicker } from '../support/fake-ticker.ts'

/** Run as a process of its own with the data_dir as argument; prints as JSON what it saw. */
const dataDir = process.argv[2]!

/** Files cannot grow beyond this; the write fails, as on a full disk, if the signal that comes with it is handled. */
function limitFiles(octets: number | 'unlimited'): void {
  execFileSync('prlimit', ['--pid', String(process.pid), `--fsize=${octets}:`])
}
process.on('SIGXFSZ', () => {})

const told: number[] = []
const server = createServer(async (request, response) => {
  let body = ''
  for await (const chunk of request.setEncoding('utf8')) body += chunk
  for (const { id } of (JSON.parse(body) as { events: { id: number }[] }).events) told.push(id)
  response.end()
})
await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))

const counts: Record<HookCount, number> = { posted: 0, refused: 0, dropped: 0, failed: 0, opened: 0 }
const { log, lines } = keptLog()
const said = () => lines.map((line) => (JSON.parse(line) as { level: string }).level)
const clock = new FakeTicker()
const open = () =>
  openHooks({
    dataDir,
    config: {
      url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
      secret: 'hunter2-hunter2',
      events: ['user.registered'],
      batch_max: 100,
      batch_wait: 1,
      timeout: 5,
      queue_max: 10_000,
    },
    clock,
    log,
    count: (what, by) => {
      counts[what] += by
    },
  })
const hooks = await open()
const emit = (id: number) => hooks.emit({ type: 'user.registered', time: 0, owner: 'sip:bob@example.org', id })
const until = async (isOver: () => boolean) => {
  while (!isOver()) await nextTurn()
}

emit(1)
emit(2)
await until(() => hooks.depth() === 2)

// Less than any page of the file: nothing at all can be written.
limitFiles(1)
for (let id = 0; id < 1_000; id++) emit(id)
await until(() => counts.dropped === 1_000)
const whileFull = { dropped: counts.dropped, depth: hooks.depth(), said: said() }
clock.advance(1_000)
await until(() => counts.posted === 2)
const posted = { posted: counts.posted, depth: hooks.depth(), said: said() }

limitFiles('unlimited')
for (const id of [3, 4, 5]) emit(id)
await until(() => hooks.depth() === 3)
clock.advance(1_000)
await until(() => counts.posted === 5)
const withRoom = { dropped: counts.dropped, posted: counts.posted, said: said() }

// What cannot be erased is left for the next run, and nobody waits for it.
emit(6)
await until(() => hooks.depth() === 1)
limitFiles(1)
clock.advance(1_000)
await until(() => counts.posted === 6)
await hooks.close()
limitFiles('unlimited')
const next = await open()
const nextRun = { depth: next.depth() }
await next.close()
server.close()
process.stdout.write(JSON.stringify({ whileFull, posted, withRoom, nextRun, told }))
