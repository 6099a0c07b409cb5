// Kills a server with SIGKILL under load and starts it again, 200 times: what it has promised, it has to keep.
// `npm run test:crash -- [--rounds N] [--minutes M] [--seed N]`.
import { parseArgs } from 'node:util'
import { crash } from '../test/crash/run.ts'

const USAGE = `npm run test:crash -- [options]

  --rounds N    kills (200)
  --minutes M   no further round begins after so long
  --seed N      what everybody does: that of an earlier run, to repeat it (random)
`

const numberIn = (name, text, min, max) => {
  const value = text.trim() === '' ? Number.NaN : Number(text)
  if (value >= min && value <= max) return value
  throw new Error(`--${name} ${text}: expected a number from ${min} to ${max}`)
}

const optionsOf = (argv) => {
  const text = { type: 'string' }
  const { values } = parseArgs({ args: argv, options: { rounds: text, minutes: text, seed: text } })
  const { rounds = '200', minutes, seed = `${Math.floor(Math.random() * 2 ** 32)}` } = values
  return {
    rounds: Math.floor(numberIn('rounds', rounds, 1, 1_000_000)),
    ...(minutes !== undefined && { withinMs: numberIn('minutes', minutes, 0.01, 10_000) * 60_000 }),
    seed: Math.floor(numberIn('seed', seed, 0, 2 ** 32 - 1)),
  }
}

let options
try {
  options = optionsOf(process.argv.slice(2))
} catch (error) {
  console.error(`${error.message}\n\n${USAGE}`)
  process.exit(2)
}

/** Ends the server, too. */
const interrupted = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => interrupted.abort(new Error(signal)))

const startedAt = performance.now()
console.log(`seed ${options.seed}`)
try {
  const { rounds, faults } = await crash({ ...options, progress: console.log, signal: interrupted.signal })
  for (const fault of faults) console.error(`FAILED: ${fault}`)
  const seconds = Math.round((performance.now() - startedAt) / 1000)
  console.log(`${rounds} kills in ${seconds} s, ${faults.length === 0 ? 'nothing lost' : `seed ${options.seed}`}`)
  process.exit(faults.length === 0 ? 0 : 1)
} catch (error) {
  console.error(error.message)
  process.exit(1)
}
