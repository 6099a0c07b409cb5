// The load generator's process: reads one Job as JSON on standard input, prints its result as one line of JSON. The
// job comes that way because it holds a password, which a command line would show to everybody on the machine.
import { text } from 'node:stream/consumers'
import type { Job } from './options.ts'
import { runIdle } from './run-idle.ts'
import { runLoad } from './run-load.ts'

const job: Job = JSON.parse(await text(process.stdin))
try {
  const result = 'load' in job ? await runLoad(job.load) : await runIdle(job.idle)
  process.stdout.write(`${JSON.stringify(result)}\n`)
} catch (error) {
  process.stderr.write(`load generator: ${error instanceof Error ? error.message : error}\n`)
  // Connections that were opened before the failure would keep the process alive.
  process.exit(1)
}
