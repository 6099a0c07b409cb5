// The process of the SIP load generator: reads its options as JSON on standard input, prints its results as one line of
// JSON. They come that way because there is a password in them, which a command line would show to everybody.
import { text } from 'node:stream/consumers'
import type { SipLoadOptions } from './options.ts'
import { runSipLoad } from './run.ts'

const options: SipLoadOptions = JSON.parse(await text(process.stdin))
try {
  process.stdout.write(`${JSON.stringify(await runSipLoad(options))}\n`)
} catch (error) {
  process.stderr.write(`load generator: ${error instanceof Error ? error.message : error}\n`)
  // Sockets that were opened before the failure would keep the process alive.
  process.exit(1)
}
