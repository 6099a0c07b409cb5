import { parseConfig } from '../../../src/config/load.ts'
import { createLogger } from '../../../src/log.ts'
import { startServer } from '../../../src/server.ts'
import type { RelayAnswer, RelayOrder } from './relay.ts'

/** The server in a process of its own: config text as the one argument, orders and answers as messages. */
const config = parseConfig(process.argv[2]!, 'test.yaml')
if (!config.ok) throw new Error(JSON.stringify(config.error))
const server = await startServer(config.value, { log: createLogger('warn', 'text') })

// A test that dies leaves no server behind.
const onAbandoned = () => process.exit(1)
process.on('disconnect', onAbandoned)

const answer = (message: RelayAnswer) => process.send!(message)

process.on('message', async (order: RelayOrder) => {
  switch (order.do) {
    case 'kill':
      server.killWorker(order.lane)
      answer({ did: 'kill' })
      break
    case 'measure':
      answer({ did: 'measure', residentOctets: process.memoryUsage.rss() })
      break
    case 'close': {
      const startedAt = performance.now()
      await server.close()
      await server.closed
      answer({ did: 'close', tookMs: performance.now() - startedAt })
      // From here on nothing of ours keeps the process alive.
      process.off('disconnect', onAbandoned)
      process.disconnect!()
    }
  }
})
answer({ did: 'start', port: server.listeners[0]!.port, adminUrl: server.adminUrl! })
