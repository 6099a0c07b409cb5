import { parseArgs } from 'node:util'
import { argumentValues } from '../argument-values.ts'
import { BODY_HEAD } from './bodies.ts'
import { type SiloLoadOptions, type SiloScenario, warmupRounds } from './options.ts'

export const USAGE = `npm run bench:silo -- [options]

  --scenario LIST        store: MESSAGEs to users who are away; dump: readers come back and take theirs; reminders: those
                         that become due while their readers are there (store,dump,reminders)
  --window LIST          MESSAGEs in flight in all, one run of store for each (64,512)
  --connections N        TCP connections that they are sent on (16)
  --users N              users who are away, whom they are for (10000)
  --size N               octets in the body of a MESSAGE (200)
  --readers N            readers at a time, of dump and reminders (100)
  --messages N           messages of each of these (50)
  --rounds N             how often other readers take as many, of dump (10)
  --stored LIST          messages that are in the store beforehand, e.g. 10000,1000000,5000000 (10000)
  --data-dir DIR         keep stores that have been filled there, and use those that are there
  --workers LIST         one run for each value of \`workers\`, e.g. 0,1 (0,1)
  --seconds S            measured time of each run of store (5)
  --warmup S             time before it, in which the server's code is compiled; two rounds of dump for each second (5)
  --runs N               repeat everything, and add a line of medians (1)
  --json                 lines of JSON only, nothing readable on stderr
`

export interface SiloBenchOptions {
  /** Everything but the server. */
  readonly load: Omit<SiloLoadOptions, 'target'>
  readonly stored: readonly number[]
  /** Null: a folder that goes when all is done. */
  readonly dataDir: string | null
  readonly workers: readonly number[]
  readonly runs: number
  readonly json: boolean
}

const SCENARIOS: readonly SiloScenario[] = ['store', 'dump', 'reminders']
/** A users file holds 100,000 users; readers of dump and reminders are others. */
const USERS_MAX = 80_000
const READERS_MAX = 10_000
const STORED_MAX = 100_000_000
const DRAIN_MS = 5000

const { refuse, numberIn } = argumentValues(USAGE)

const numbersIn = (name: string, text: string, min: number, max: number): number[] =>
  text.split(',').map((one) => numberIn(name, one, min, max))

const parse = (argv: readonly string[]) => {
  const text = (value: string) => ({ type: 'string' as const, default: value })
  try {
    return parseArgs({
      args: [...argv],
      options: {
        scenario: text(SCENARIOS.join(',')),
        window: text('64,512'),
        connections: text('16'),
        users: text('10000'),
        size: text('200'),
        readers: text('100'),
        messages: text('50'),
        rounds: text('10'),
        stored: text('10000'),
        'data-dir': { type: 'string' },
        workers: text('0,1'),
        seconds: text('5'),
        warmup: text('5'),
        runs: text('1'),
        json: { type: 'boolean', default: false },
      },
    }).values
  } catch (error) {
    return refuse(error instanceof Error ? error.message : String(error))
  }
}

/** @throws SilopathError CONFIG_INVALID, with the usage */
export const siloBenchOptions = (argv: readonly string[]): SiloBenchOptions => {
  const values = parse(argv)
  const scenarios = values.scenario
    .split(',')
    .map(
      (text) =>
        SCENARIOS.find((scenario) => scenario === text) ??
        refuse(`--scenario ${text}: expected ${SCENARIOS.join(' or ')}`),
    )
  const readers = numberIn('readers', values.readers, 1, 1000)
  const roundsMax = READERS_MAX / readers
  const warmup = numberIn('warmup', values.warmup, 0, (roundsMax - 1) / 2, false)
  return {
    load: {
      scenarios,
      users: numberIn('users', values.users, 1, USERS_MAX),
      connections: numberIn('connections', values.connections, 1, 1000),
      windows: numbersIn('window', values.window, 1, 10_000),
      size: numberIn('size', values.size, BODY_HEAD, 65_536),
      warmup,
      seconds: numberIn('seconds', values.seconds, 0.1, 900, false),
      readers,
      messages: numberIn('messages', values.messages, 1, 10_000),
      rounds: numberIn('rounds', values.rounds, 1, roundsMax - warmupRounds({ warmup })),
      drainMs: DRAIN_MS,
    },
    // From few to many: each is made of the one before.
    stored: numbersIn('stored', values.stored, 0, STORED_MAX).toSorted((a, b) => a - b),
    dataDir: values['data-dir'] ?? null,
    workers: numbersIn('workers', values.workers, 0, 32),
    runs: numberIn('runs', values.runs, 1, 1000),
    json: values.json,
  }
}
