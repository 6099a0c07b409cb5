import { parseArgs } from 'node:util'
import { argumentValues } from './argument-values.ts'
import type { LoadOptions, Target, Topology } from './options.ts'

export const USAGE = `npm run bench:relay -- [options]

  --pairs N              sender and receiver connections, N each (100)
  --window N             SENDs in flight a pair (32)
  --size N               octets in a body (200)
  --topology T           one-hop: the sender is a plain peer; two-hop: sender and receiver use the relay (one-hop)
  --workers LIST         one run for each value of \`workers\`, e.g. 0,1 (0,1)
  --seconds S            measured time (5)
  --warmup S             time before it (1)
  --runs N               repeat everything, and add a line of medians (1)
  --rate R               open loop: R frames a second over all pairs (closed loop)
  --idle N               no traffic: N authenticated sessions, memory before and after
  --connect HOST:PORT    use a relay that is running already; password in SILOPATH_LOAD_PASSWORD
  --user NAME            its user (load)
  --pid PID              its process, for CPU and memory
  --json                 lines of JSON only, nothing readable on stderr
`

export interface BenchOptions {
  /** Of LoadOptions, everything but the relay. */
  readonly load: Omit<LoadOptions, 'target'>
  /** Sessions of an idle run, 0 for traffic. */
  readonly idle: number
  readonly workers: readonly number[]
  readonly runs: number
  /** A relay that is running already, null to start one. */
  readonly connect: Target | null
  readonly json: boolean
}

/** A message is up to 1 GiB, so that the generator's buffers are what memory allows. */
const SIZE_MAX = 2 ** 30
/** Sequence numbers have 30 bits: half an hour at 590 k frames a second on a single pair. */
const SECONDS_MAX = 1800
const DRAIN_MS = 3000

const { refuse, numberIn } = argumentValues(USAGE)

const parse = (argv: readonly string[]) => {
  const text = (value: string) => ({ type: 'string' as const, default: value })
  try {
    return parseArgs({
      args: [...argv],
      options: {
        pairs: text('100'),
        window: text('32'),
        size: text('200'),
        topology: text('one-hop'),
        workers: text('0,1'),
        seconds: text('5'),
        warmup: text('1'),
        runs: text('1'),
        rate: text('0'),
        idle: text('0'),
        user: text('load'),
        connect: { type: 'string' },
        pid: { type: 'string' },
        json: { type: 'boolean', default: false },
      },
    }).values
  } catch (error) {
    return refuse(error instanceof Error ? error.message : String(error))
  }
}

/** @throws SilopathError CONFIG_INVALID, with the usage */
export const benchOptions = (argv: readonly string[], environment: NodeJS.ProcessEnv): BenchOptions => {
  const values = parse(argv)
  const integer = (name: 'pairs' | 'window' | 'size' | 'runs' | 'idle', min: number, max: number): number =>
    numberIn(name, values[name], min, max)
  const seconds = (name: 'seconds' | 'warmup', min: number): number =>
    numberIn(name, values[name], min, SECONDS_MAX / 2, false)
  const { topology, connect, pid } = values
  const isTopology = (name: string): name is Topology => name === 'one-hop' || name === 'two-hop'
  if (!isTopology(topology)) return refuse(`--topology ${topology}: expected one-hop or two-hop`)
  if (pid !== undefined && connect === undefined) refuse('--pid only goes with --connect')

  const relay = (address: string): Target => {
    const [, host, port] = /^(.+):(\d+)$/.exec(address) ?? []
    if (host === undefined || port === undefined) return refuse(`--connect ${address}: expected HOST:PORT`)
    const password = environment.SILOPATH_LOAD_PASSWORD
    if (password === undefined) return refuse('--connect needs the password in SILOPATH_LOAD_PASSWORD')
    return {
      host,
      port: numberIn('connect', port, 1, 65_535),
      pid: pid === undefined ? null : numberIn('pid', pid, 1, 2 ** 22),
      user: values.user,
      password,
    }
  }

  return {
    load: {
      pairs: integer('pairs', 1, 100_000),
      window: integer('window', 1, 65_536),
      size: integer('size', 0, SIZE_MAX),
      topology,
      warmup: seconds('warmup', 0),
      seconds: seconds('seconds', 0.1),
      rate: numberIn('rate', values.rate, 0, 1e7, false),
      drainMs: DRAIN_MS,
    },
    idle: integer('idle', 0, 1_000_000),
    workers: values.workers.split(',').map((count) => numberIn('workers', count, 0, 32)),
    runs: integer('runs', 1, 1000),
    connect: connect === undefined ? null : relay(connect),
    json: values.json,
  }
}
