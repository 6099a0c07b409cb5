// The process of the silo's load generator: reads its options as JSON on standard input, prints its report as one line of
// JSON.
import { text } from 'node:stream/consumers'
import type { SiloLoadOptions } from './options.ts'
import { runSiloLoad } from './run.ts'

const options: SiloLoadOptions = JSON.parse(await text(process.stdin))
try {
  process.stdout.write(`${JSON.stringify(await runSiloLoad(options))}\n`)
} catch (error) {
  process.stderr.write(`load generator: ${error instanceof Error ? error.message : error}\n`)
  // Sockets that were opened before the failure would keep the process alive.
  process.exit(1)
}
