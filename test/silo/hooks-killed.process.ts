import { setImmediate as nextTurn } from 'node:timers/promises'
import { openHooks } from '../../src/silo/hooks.ts'
import { keptLog } from '../auth/http-server.ts'
import { FakeTicker } from '../support/fake-ticker.ts'

/** Run as a process of its own with the data_dir as argument: dies with its events stored and none of them posted. */
const hooks = await openHooks({
  dataDir: process.argv[2]!,
  config: {
    url: 'http://127.0.0.1:1/',
    secret: 'hunter2-hunter2',
    events: ['user.registered'],
    batch_max: 100,
    batch_wait: 1,
    timeout: 5,
    queue_max: 100,
  },
  clock: new FakeTicker(),
  log: keptLog().log,
  count() {},
})
for (let id = 0; id < 50; id++) hooks.emit({ type: 'user.registered', time: 0, owner: 'sip:bob@example.org', id })
while (hooks.depth() < 50) await nextTurn()
process.kill(process.pid, 'SIGKILL')
